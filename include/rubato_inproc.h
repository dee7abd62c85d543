/* A whole fleet inside one process: a scheduler and shards as threads, and sessions of the same
 * process that reach them without a wire (libzmq's inproc). For tests, notebooks and programs that
 * train with threads: the same protocol, consistency and refusals as a fleet of processes.
 *
 *     rub_inproc_options_t fleet_options;
 *     rub_inproc_options_defaults(&fleet_options);
 *     fleet_options.workers = 2;
 *     rub_inproc_start(&fleet_options, &fleet, &err);
 *     options.scheduler = rub_inproc_address(fleet);
 *     options.zmq_context = rub_inproc_context(fleet);
 *     rub_open(&options, &session, &err);     ... as with any fleet
 *
 * Its tables live in memory and end with it (durability `none`). Messages above 8 KiB pass by
 * reference: a shard reads a push where rub_push has laid it, which is the only copy (it is kept
 * until it is acknowledged; rub_push_lent does without). Of a pull there is none: a shard's thread
 * writes the rows into the caller's array (of at least 8 KiB, as plain float32), at some moment
 * until the pull has ended by rub_pull, rub_wait or rub_cancel, or its session is closed or
 * abandoned; never later.
 *
 * The library has no globals, installs no signal handlers (its threads block all signals) and never
 * exits; several fleets may stand in one process. Part of librubato-inproc, which needs LMDB;
 * the sessions come from librubato. */
#ifndef RUBATO_INPROC_H
#define RUBATO_INPROC_H

#include "rubato.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rub_inproc rub_inproc_t;

typedef struct rub_inproc_options {
    uint32_t workers;   /* trainers that the job waits for; 1, at most 2048 */
    uint32_t shards;    /* a thread each; 1, at most 64 */
    uint64_t staleness; /* bound s, 0 for bsp (one step with the mean of a period's pushes),
                           RUB_ASYNC; 4 */
    uint64_t seed;      /* 1 */
    uint64_t memory_limit_bytes; /* for the tables of each shard; 4 GiB */
    uint32_t join_timeout_ms;    /* for the trainers to open their sessions, or the job fails and
                                    names who is missing; 60000 */
    uint32_t lease_ms;           /* a trainer silent for so long may be evicted; 5000 */
    const char *log_path;        /* a file that the fleet's log is added to; NULL: none */
} rub_inproc_options_t;

RUB_API void rub_inproc_options_defaults(rub_inproc_options_t *options);

/* Starts the threads; does not wait for sessions. On success *fleet_p is the caller's. RUB_EINVAL:
 * an option out of its bounds; RUB_EIO: no threads or files left; RUB_ENOMEM. */
RUB_API int rub_inproc_start(const rub_inproc_options_t *options, rub_inproc_t **fleet_p,
                             rub_error_t *err);

/* For rub_options_t.scheduler and rub_options_t.zmq_context of this process's sessions. Borrowed
 * until rub_inproc_stop. */
RUB_API const char *rub_inproc_address(const rub_inproc_t *fleet);
RUB_API void *rub_inproc_context(const rub_inproc_t *fleet);

/* Ends the job and its threads, frees the fleet and sets *fleet_p to NULL, whatever the result. All
 * sessions must be closed or abandoned before: it waits for their sockets. Returns how the job
 * ended: 0, also when it was stopped here; else the first failure of a thread (RUB_ENOMEM,
 * RUB_EPEER: who was missing, ...). NULL is fine. */
RUB_API int rub_inproc_stop(rub_inproc_t **fleet_p, rub_error_t *err);

#ifdef __cplusplus
}
#endif

#endif
