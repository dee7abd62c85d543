/* The loop of a call that must wait: take what has arrived, let the timers run, look whether the
 * operation has ended, or the deadline has passed, or somebody wants out. It is the only place of
 * the library where the caller's thread sleeps.
 *
 * Calls that need not wait also take what has arrived now and then, so that acknowledgements free
 * the ring and replies find their arrays while the caller computes. */
#include "worker/client/session_turn.h"

#include "common/base/error.h"
#include "common/base/timing.h"

#include <sched.h>

enum {
    SLICE_MS = 50, /* of waiting: how soon a flag or a timer is looked at */
    TICK_MS = 10,
    CALLS_PER_LOOK = 16, /* non-blocking calls between two looks at the sockets */
    LOAN_YIELDS = 64,    /* then a wait for a loan, which no message ends, */
    LOAN_SLICE_MS = 1    /* sleeps */
};

int rub_session_ours(const rub_session_t *self, rub_error_t *err)
{
    return rub_fork_mark_is_ours(&self->mark)
               ? 0
               : rub_fail(err, RUB_EINVAL,
                          "the session belongs to process %lld, from which this one was forked: "
                          "open one here",
                          (long long)self->mark.pid);
}

void rub_session_say(const rub_session_t *self, const char *sentence)
{
    if (self->options.notice) {
        self->options.notice(self->options.notice_context, sentence);
    }
}

uint32_t rub_session_lanes_open(const rub_session_t *self)
{
    uint32_t n = 0;
    const rub_session_lane_t *lane = NULL;
    for (uint32_t i = 0; (lane = rub_zmq_session_lane(self->sockets, i)); i++) {
        n += lane->state == RUB_LANE_OPEN;
    }
    return n;
}

size_t rub_session_look(rub_session_t *self)
{
    const uint64_t now_ms = rub_now_ms();
    const size_t n = rub_zmq_session_receive(self->sockets, self->client, now_ms);
    self->calls = 0;
    if (now_ms - self->ticked_ms < TICK_MS) {
        return n;
    }
    self->ticked_ms = now_ms;
    rub_control_t message = {.type = RUB_MSG_LEASE_OK};
    if (self->lease && rub_lease_thread_heard(self->lease, &message.lease_ok)) {
        rub_client_control(self->client, &message, now_ms);
    }
    rub_client_tick(self->client, now_ms);
    return n;
}

void rub_session_glance(rub_session_t *self)
{
    if (++self->calls >= CALLS_PER_LOOK || rub_now_ms() - self->ticked_ms >= TICK_MS) {
        rub_session_look(self);
    }
}

static bool interrupted(const rub_session_t *self)
{
    return self->options.interrupted && *self->options.interrupted != self->interrupted_before;
}

static int turn(rub_session_t *self, rub_handle_t handle, const char *what, uint64_t started_ms,
                uint64_t timeout_ms, rub_error_t *err)
{
    const bool heard = rub_session_look(self) > 0;
    const uint64_t waited_ms = rub_now_ms() - started_ms;
    const bool late = timeout_ms != 0 && waited_ms >= timeout_ms;
    if (interrupted(self) || late) {
        char whom[400];
        rub_client_waits_for(self->client, handle, rub_now_ms(), whom, sizeof(whom));
        return rub_fail(err, late ? RUB_ETIMEOUT : RUB_EINTR, "%s %s %.1f s for %s", what,
                        late ? "waited" : "was interrupted; it had waited",
                        (double)waited_ms / 1000.0, whom);
    }
    if (heard) {
        return 0;
    }
    uint64_t slice_ms = SLICE_MS;
    if (rub_client_awaits_loan(self->client, handle)) {
        if (self->yields < LOAN_YIELDS) {
            self->yields++;
            (void)sched_yield();
            return 0;
        }
        slice_ms = LOAN_SLICE_MS;
    }
    if (timeout_ms != 0 && timeout_ms - waited_ms < slice_ms) {
        slice_ms = timeout_ms - waited_ms;
    }
    /* Only a wait can be stuck: while the caller computes, the lease says 0. */
    if (self->lease) {
        rub_lease_thread_stuck(self->lease, rub_client_stuck_at(self->client, rub_now_ms()));
    }
    rub_zmq_session_wait(self->sockets, slice_ms);
    if (self->lease) {
        rub_lease_thread_stuck(self->lease, 0);
    }
    return 0;
}

int rub_session_turn(rub_session_t *self, rub_handle_t handle, const char *what,
                     uint64_t started_ms, uint64_t timeout_ms, rub_error_t *err)
{
    const uint64_t began_us = rub_now_us();
    const int rc = turn(self, handle, what, started_ms, timeout_ms, err);
    const rub_stats_t *stats = rub_client_waited(self->client, handle, rub_now_us() - began_us);
    if (self->lease) {
        rub_lease_thread_waited(self->lease, stats);
    }
    return rc;
}

int rub_session_wait_for(rub_session_t *self, rub_handle_t handle, const char *what,
                         uint64_t timeout_ms, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    self->yields = 0;
    for (;;) {
        int rc = rub_client_poll(self->client, handle, err);
        if (rc != RUB_CLIENT_WAIT) {
            return rc;
        }
        const int late = rub_session_turn(self, handle, what, started_ms, timeout_ms, err);
        if (late) {
            rub_error_t ended = {0}; /* by what came in this very turn? */
            rc = rub_client_poll(self->client, handle, &ended);
            if (rc < 0 && err) {
                *err = ended;
            }
            return rc == RUB_CLIENT_WAIT ? late : rc;
        }
    }
}
