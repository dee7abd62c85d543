/* `rubato doctor`: what is wrong, and what to do about it.
 *
 * The words are no run file: a run directory, whose own configuration is read, and its job when it
 * still runs. A run file: a plan, as `rubato train` with the same words would see it. Neither: this
 * machine, and the job at --scheduler.
 *
 * It changes nothing and takes no place in a job. It says "fine" too, so that one sees what was
 * looked at. */
#include "cli/doctor.h"

#include "cli/commands.h"
#include "cli/plan.h"
#include "cli/run_folder.h"
#include "common/base/error.h"
#include "common/wire/control.h"

#include <string.h>
#include <sys/stat.h>

static void look_at_plan(const rub_config_t *config, rub_findings_t *findings)
{
    uint64_t parameters = 0;
    rub_error_t err = {0};
    if (config->file[0]) {
        if (rub_plan_check_data(config, &parameters, &err) != 0) {
            rub_findings_problem(findings, err.code, "data", "%s", err.message);
        } else if (parameters == 0) {
            rub_findings_fine(findings, "data", "can be read; the model grows with what it sees");
        } else {
            rub_findings_fine(findings, "data", "can be read; the model has %llu parameters",
                              (unsigned long long)parameters);
        }
        if (rub_plan_check_options(config, &err) != 0) {
            rub_findings_problem(findings, err.code, "options", "%s", err.message);
        }
        if (config->durability == RUB_DURABILITY_NONE) {
            rub_findings_note(findings, "durability",
                              "none: a ps that is killed takes its weights with it");
        }
    }
    rub_doctor_machine(config, parameters, findings);
}

/* A job that was named must answer; one that was started by hand may be over; one at the default
 * address is looked at if it is there. */
typedef enum expected { EXPECTED_NOT, EXPECTED_PERHAPS, EXPECTED } expected_t;

static void look_at_job(const rub_config_t *config, expected_t expected, rub_findings_t *findings)
{
    char tried[400];
    if (rub_doctor_job(config, findings, tried, sizeof tried)) {
        return;
    }
    if (expected == EXPECTED_PERHAPS) {
        rub_findings_note(findings, "scheduler",
                          "none answers at %s: %s; the job is over, or not begun",
                          config->scheduler, tried);
    } else if (expected == EXPECTED) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_EPEER, "scheduler", "none answers at %s: %s", config->scheduler, tried);
        rub_finding_remedy(found, "is it started, and does --listen let others in (--listen '*')?");
    } else {
        rub_doctor_ports(config, findings);
    }
}

static int look_at_run(const char *run_dir, rub_findings_t *findings, rub_error_t *err)
{
    struct stat info;
    if (stat(run_dir, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return rub_fail(err, RUB_ECONFIG,
                        "'%s' is neither a run file (.yaml or .yml) nor a run directory", run_dir);
    }
    rub_config_t config;
    rub_config_init(&config);
    const int rc = rub_run_folder_load(run_dir, &config, err);
    if (rc == 0) {
        const rub_doctor_folder_state_t state = rub_doctor_folder(run_dir, findings);
        if (state != RUB_FOLDER_IDLE) {
            look_at_job(&config, state == RUB_FOLDER_HELD ? EXPECTED : EXPECTED_PERHAPS, findings);
        }
        rub_doctor_machine(&config, 0, findings);
    }
    rub_config_fini(&config);
    return rc;
}

int rub_doctor_main(rub_config_t *config)
{
    rub_error_t err = {0};
    rub_findings_t findings;
    int rc = rub_findings_init(&findings, &err);
    if (rc != 0) {
        /* said below */
    } else if (config->n_words > 1) {
        rc = rub_fail(&err, RUB_ECONFIG, "one run directory at a time, not also '%s'",
                      config->words[1]);
    } else if (config->n_words == 1) {
        rc = look_at_run(config->words[0], &findings, &err);
    } else {
        const bool named = config->origins[RUB_OPT_scheduler].source != RUB_FROM_DEFAULT;
        look_at_job(config, named && !config->file[0] ? EXPECTED : EXPECTED_NOT, &findings);
        look_at_plan(config, &findings);
    }
    if (rc != 0) {
        fprintf(stderr, "rubato doctor: %s\n", err.message);
    } else {
        (config->json ? rub_findings_print_json : rub_findings_print)(&findings, stdout);
        rc = rub_findings_code(&findings);
    }
    rub_findings_fini(&findings);
    return rub_error_exit_code(rc);
}
