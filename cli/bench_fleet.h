/* One scheduler and one ps (or several) as child processes, for measurements: the caller is the
 * only worker, and does what a supervisor does. One thread; the kernel ends the children with it.
 */
#ifndef RUB_BENCH_FLEET_H
#define RUB_BENCH_FLEET_H

#include "cli/bench_case.h"
#include "cli/status_link.h"
#include "common/proc/child.h"
#include "include/rubato_inproc.h"

typedef struct rub_bench_fleet {
    char folder[128], address[64], ps_log[160], store[160], snapshots[160];
    rub_bench_shape_t shape;
    rub_child_t scheduler, ps;                    /* the first ps is the one that is measured */
    rub_child_t other_ps[RUB_BENCH_PS_LIMIT - 1]; /* of a larger shape */
    const char *const *ps_flags; /* keeps: flags of the ps besides, NULL at the end */
    rub_inproc_t *inproc;        /* of a shape without processes: all there is */
    rub_status_link_t *link;
    char ps_who[128];
    uint64_t ps_started_ms;
    unsigned ps_short_lives;
} rub_bench_fleet_t;

/* What the ps has used so far. */
typedef struct rub_bench_usage {
    double cpu_s;          /* of all its threads */
    uint64_t file_bytes;   /* written to files: journal and store (sockets do not count) */
    uint64_t memory_bytes; /* resident */
    unsigned descriptors;  /* open: sockets, and a file for each segment of a journal */
    uint64_t open_bytes;   /* that the open files take on the disk */
} rub_bench_usage_t;

/* Starts both; the folder is made. Errors: RUB_EIO, RUB_ENOMEM; nothing is left running then. */
int rub_bench_fleet_start(rub_bench_fleet_t *self, const char *folder, const char *const *ps_flags,
                          rub_error_t *err);
/* The same with more ps, shards or workers, or inside this process (then ps_flags do not count);
 * the caller opens as many sessions, and closes them before the end. */
int rub_bench_fleet_start_shape(rub_bench_fleet_t *self, const char *folder,
                                const char *const *ps_flags, const rub_bench_shape_t *shape,
                                rub_error_t *err);
/* Kills what is left, waits for it, removes the folder; not when the measurement has failed (rc
 * below 0): its logs say why. A second time does nothing more. */
void rub_bench_fleet_end(rub_bench_fleet_t *self, int rc);

/* A session with this fleet. */
int rub_bench_fleet_join(const rub_bench_fleet_t *self, rub_role_t role, rub_session_t **session_p,
                         rub_error_t *err);

/* Starts a scheduler in the place of the one that was killed: same address, same store. */
int rub_bench_fleet_start_scheduler(rub_bench_fleet_t *self, rub_error_t *err);
/* SIGKILL, and waits until it is gone. */
void rub_bench_fleet_kill_scheduler(rub_bench_fleet_t *self);

/* Starts a ps in the place of the one that ended. */
int rub_bench_fleet_start_ps(rub_bench_fleet_t *self, rub_error_t *err);
/* SIGKILL. */
void rub_bench_fleet_kill_ps(rub_bench_fleet_t *self);
/* The supervisor's part after a kill: notices the end as the supervisor does, tells the scheduler,
 * starts the next one. */
int rub_bench_fleet_supervise(rub_bench_fleet_t *self, rub_error_t *err);

/* CPU seconds that scheduler and every ps have used so far, as processes of their own.
 * RUB_EINTERNAL: one of them is gone. */
int rub_bench_fleet_cpu(rub_bench_fleet_t *self, double *cpu_s_p, rub_error_t *err);
/* CPU seconds of a process, all threads; 0: it is not there. */
double rub_bench_process_cpu_s(pid_t pid);

/* RUB_EINTERNAL with the last line of its log when the ps is not there any more. */
int rub_bench_fleet_usage(rub_bench_fleet_t *self, rub_bench_usage_t *usage, rub_error_t *err);
/* Waits until the ps has written nothing and used no CPU to speak of for quiet_ms; gives up waiting
 * after a minute. *usage is as of the beginning of the quiet. */
int rub_bench_fleet_settle(rub_bench_fleet_t *self, uint64_t quiet_ms, rub_bench_usage_t *usage,
                           rub_error_t *err);

#endif
