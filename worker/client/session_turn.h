/* A session of the library: the client core with its sockets, and the loop in which the caller's
 * thread waits. One thread at a time uses a session. */
#ifndef RUB_SESSION_TURN_H
#define RUB_SESSION_TURN_H

#include "common/base/fork_mark.h"
#include "worker/client/lease_thread.h"
#include "worker/client/pull_log.h"
#include "worker/client/zmq_session.h"

struct rub_session {
    rub_fork_mark_t mark; /* of the process that opened it */
    rub_options_t options;
    char *scheduler;
    rub_net_t *net;
    rub_zmq_session_t *sockets;
    rub_client_t *client;
    rub_lease_thread_t *lease;
    rub_pull_log_t *pulls; /* NULL: none is wanted */
    uint64_t ticked_ms;
    unsigned calls;          /* since the last look */
    unsigned yields;         /* of this wait, for a loan */
    rub_handle_t unfinished; /* the exclusive operation whose wait ended before it did; 0: none */
    char unfinished_what[96];
    int interrupted_before; /* value of the flag that does not count (rub_close after a first
                               Ctrl-C) */
};

/* 0, or RUB_EINVAL in a process that was forked from the one that opened the session: there are no
 * threads there, and the sockets and the shared memory are the parent's. */
int rub_session_ours(const rub_session_t *self, rub_error_t *err);

/* To the user's notice function, if there is one. */
void rub_session_say(const rub_session_t *self, const char *sentence);

/* Shards to which values go through shared memory now. */
uint32_t rub_session_lanes_open(const rub_session_t *self);

/* Takes what has arrived and lets the timers run. Returns how many messages there were. */
size_t rub_session_look(rub_session_t *self);
/* Before a call that does not wait: not every time, because a look at every socket costs as much as
 * a tiny push. */
void rub_session_glance(rub_session_t *self);

/* One turn of waiting. A peer that never stops talking stops no deadline. Returns 0, RUB_EINTR, or
 * RUB_ETIMEOUT once now is behind the deadline (0: none). The sentence names what waited and, from
 * the core, for whom. */
int rub_session_turn(rub_session_t *self, rub_handle_t handle, const char *what,
                     uint64_t started_ms, uint64_t timeout_ms, rub_error_t *err);
/* Until the operation has ended. After RUB_ETIMEOUT and RUB_EINTR it is still under way. */
int rub_session_wait_for(rub_session_t *self, rub_handle_t handle, const char *what,
                         uint64_t timeout_ms, rub_error_t *err);

#endif
