/* The scheduler's reactor: carries the core's effects out over a ROUTER socket and a store.
 *
 * One thread. Blocks in poll, in the store's commits, and nowhere else. */
#ifndef RUB_ZMQ_SCHEDULER_H
#define RUB_ZMQ_SCHEDULER_H

#include "common/base/log.h"
#include "common/net/zmq_socket.h"
#include "scheduler/scheduler.h"

typedef struct rub_zmq_scheduler rub_zmq_scheduler_t;

typedef struct rub_zmq_scheduler_options {
    rub_scheduler_config_t scheduler; /* job 0: a random one */
    rub_net_t *net;                   /* kept until close; NULL: one of its own */
    const char *address;              /* "tcp://host:port" to listen on */
    const char *store_dir;            /* "" or NULL: in memory, a restart begins a new job */
    const char *who;                  /* host:pid, for whoever finds the store locked */
    const rub_log_t *log;             /* kept until close */
    const volatile int *interrupted;  /* kept until close; non-zero: stop the job in order */
} rub_zmq_scheduler_options_t;

/* Listens, locks the store, reads the job from it if there is one, and starts the core. RUB_EBUSY:
 * the address is taken, and no file was touched; RUB_EHELD names who holds the store; RUB_ECONFIG:
 * the address is malformed, or the stored job is another one; RUB_ESTORE, RUB_ECORRUPT, RUB_ENOMEM.
 */
int rub_zmq_scheduler_open(const rub_zmq_scheduler_options_t *options, rub_zmq_scheduler_t **self_p,
                           rub_error_t *err);
/* What was said last gets a second to leave. NULL is fine. */
void rub_zmq_scheduler_close(rub_zmq_scheduler_t **self_p);

const char *rub_zmq_scheduler_address(const rub_zmq_scheduler_t *self); /* with its real port */
uint64_t rub_zmq_scheduler_job(const rub_zmq_scheduler_t *self);
uint64_t rub_zmq_scheduler_generation(const rub_zmq_scheduler_t *self);

/* Until the job is over and everybody has been told. 0: done; the job's failure; or a fatal error
 * of this process (RUB_ESTORE, RUB_ENOMEM). */
int rub_zmq_scheduler_run(rub_zmq_scheduler_t *self, rub_error_t *err);

#define RUB_STATE_JOB "job" /* in the scheduler's store: what the core gave to commit */

#endif
