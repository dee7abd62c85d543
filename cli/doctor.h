/* The two halves of `rubato doctor`: this machine and a plan; a job that runs or has run. Both
 * block, on files and on connections with deadlines of their own, and add what they find. */
#ifndef RUB_DOCTOR_H
#define RUB_DOCTOR_H

#include "cli/findings.h"
#include "common/conf/config.h"

/* Versions, processors, limits, clock, disk. parameters: float32 of the model, 0: not known. */
void rub_doctor_machine(const rub_config_t *config, uint64_t parameters, rub_findings_t *findings);

/* The place of a job that is still to be started: can its addresses be bound here? */
void rub_doctor_ports(const rub_config_t *config, rub_findings_t *findings);

/* Asks the scheduler, and looks at everybody it names. False: no scheduler answers; then *tried (if
 * wanted) is a sentence about what was tried and how it ended. */
bool rub_doctor_job(const rub_config_t *config, rub_findings_t *findings, char *tried,
                    size_t tried_bytes);

typedef enum rub_doctor_folder_state {
    RUB_FOLDER_IDLE,   /* nobody holds it: its job is over */
    RUB_FOLDER_HELD,   /* its job is held to be running */
    RUB_FOLDER_BY_HAND /* no `rubato train` made it: whether its job runs, only the job can say */
} rub_doctor_folder_state_t;

/* A run directory: who holds it, what came out, the last complaint in each log. */
rub_doctor_folder_state_t rub_doctor_folder(const char *run_dir, rub_findings_t *findings);

/* Tries a TCP connection for at most timeout_ms. 0, or RUB_EPEER with a sentence: which addresses
 * the host's name has, and how each ended. */
int rub_doctor_connect(const char *host, uint16_t port, uint32_t timeout_ms, rub_error_t *err);

#endif
