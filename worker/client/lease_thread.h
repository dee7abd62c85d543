/* The thread that tells the scheduler every second, or four times a lease, that this session lives
 * and how far it is, while the session's own thread computes. It has its own socket; all that the
 * two threads share is a handful of atomic numbers. */
#ifndef RUB_LEASE_THREAD_H
#define RUB_LEASE_THREAD_H

#include "common/net/zmq_socket.h"
#include "common/wire/control.h"

typedef struct rub_lease_thread rub_lease_thread_t;

typedef struct rub_lease_identity {
    uint64_t job;
    uint32_t rank, epoch;
    uint32_t lease_ms; /* of the job: a quarter of it passes between two leases, at most a second */
} rub_lease_identity_t;

/* Starts the thread. Borrows net. Signals are blocked in it: they are the program's. RUB_EIO,
 * RUB_ENOMEM. */
int rub_lease_thread_open(rub_net_t *net, const char *scheduler,
                          const rub_lease_identity_t *identity, rub_lease_thread_t **self_p,
                          rub_error_t *err);
/* Stops and joins it; takes milliseconds. NULL is fine. */
void rub_lease_thread_close(rub_lease_thread_t **self_p);

/* Any thread; never blocks. */
void rub_lease_thread_progress(rub_lease_thread_t *self, const rub_progress_t *progress);
void rub_lease_thread_clock(rub_lease_thread_t *self, uint64_t clock);
void rub_lease_thread_stuck(rub_lease_thread_t *self, uint32_t stuck_at); /* 1 + shard, or 0 */
/* Takes the three times that calls have stood waiting out of stats. */
void rub_lease_thread_waited(rub_lease_thread_t *self, const rub_stats_t *stats);
/* What the next lease will say. */
void rub_lease_thread_read(rub_lease_thread_t *self, rub_lease_t *lease);
/* True once for each answer that came since the last call: what the scheduler said last. */
bool rub_lease_thread_heard(rub_lease_thread_t *self, rub_lease_ok_t *lease);

#endif
