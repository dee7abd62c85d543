/* The public API over the client core: sockets, time and waiting. Each call lets the core act, and
 * if it must wait, turns a loop: take what has arrived, let the timers run, look whether the
 * operation has ended, or the deadline has passed, or somebody wants out. That loop is the only
 * place of the library where the caller's thread sleeps.
 *
 * Calls that need not wait also take what has arrived now and then, so that acknowledgements free
 * the ring and replies find their arrays while the caller computes. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "include/rubato.h"
#include "worker/client/lease_thread.h"
#include "worker/client/pull_log.h"
#include "worker/client/zmq_session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SLICE_MS = 50, /* of waiting: how soon a flag or a timer is looked at */
    TICK_MS = 10,
    CALLS_PER_LOOK = 16, /* non-blocking calls between two looks at the sockets */
    CLOSE_LIMIT_MS = 300000,
    LINGER_MS = 200
};

#define JOIN_DEFAULT_MS 60000u

struct rub_session {
    rub_options_t options;
    char *scheduler;
    rub_net_t *net;
    rub_zmq_session_t *sockets;
    rub_client_t *client;
    rub_lease_thread_t *lease;
    rub_pull_log_t *pulls; /* NULL: none is wanted */
    uint64_t ticked_ms;
    unsigned calls;          /* since the last look */
    rub_handle_t unfinished; /* the exclusive operation whose wait ended before it did; 0: none */
    char unfinished_what[96];
    int interrupted_before; /* value of the flag that does not count (rub_close after a first
                               Ctrl-C) */
};

void rub_options_defaults(rub_options_t *options)
{
    *options = (rub_options_t){
        .role = RUB_TRAINER,
        .rank = RUB_ANY_RANK,
        .join_timeout_ms = JOIN_DEFAULT_MS,
        .request_timeout_ms = 300000,
        .grace_ms = 60000,
        .ring_limit_bytes = (size_t)64 << 20,
    };
}

void rub_schema_defaults(rub_schema_t *schema)
{
    *schema = (rub_schema_t){
        .kind = RUB_DENSE,
        .optimizer = RUB_SGD,
        .hyper = {.lr = 0.01, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
        .init = RUB_INIT_ZEROS,
    };
}

/* ---- the core's effects ---- */

static void on_connect(void *context, uint32_t shard, const char *address)
{
    rub_session_t *self = context;
    rub_zmq_session_connect(self->sockets, shard, address);
}

static void on_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    rub_session_t *self = context;
    rub_zmq_session_send(self->sockets, shard, packet);
}

static void on_control(void *context, const rub_control_t *message)
{
    rub_session_t *self = context;
    rub_zmq_session_control(self->sockets, message);
}

static void on_notice(void *context, const char *sentence)
{
    const rub_session_t *self = context;
    if (self->options.notice) {
        self->options.notice(self->options.notice_context, sentence);
    }
}

static void on_answered(void *context, const rub_answer_t *answer)
{
    const rub_session_t *self = context;
    if (self->pulls) {
        rub_pull_log_note(self->pulls, answer);
    }
}

/* ---- turning ---- */

/* Takes what has arrived and lets the timers run. Returns how many messages there were. */
static size_t look(rub_session_t *self)
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

/* Before a call that does not wait: not every time, because a look at every socket costs as much as
 * a tiny push. */
static void glance(rub_session_t *self)
{
    if (++self->calls >= CALLS_PER_LOOK || rub_now_ms() - self->ticked_ms >= TICK_MS) {
        look(self);
    }
}

static bool interrupted(const rub_session_t *self)
{
    return self->options.interrupted && *self->options.interrupted != self->interrupted_before;
}

/* One turn of waiting. A peer that never stops talking stops no deadline. Returns 0, RUB_EINTR, or
 * RUB_ETIMEOUT once now is behind the deadline (0: none). The sentence names what waited and, from
 * the core, for whom. */
static int turn(rub_session_t *self, rub_handle_t handle, const char *what, uint64_t started_ms,
                uint64_t timeout_ms, rub_error_t *err)
{
    const bool heard = look(self) > 0;
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

/* Until the operation has ended. After RUB_ETIMEOUT and RUB_EINTR it is still under way. */
static int wait_for(rub_session_t *self, rub_handle_t handle, const char *what, uint64_t timeout_ms,
                    rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    for (;;) {
        int rc = rub_client_poll(self->client, handle, err);
        if (rc != RUB_CLIENT_WAIT) {
            return rc;
        }
        const int late = turn(self, handle, what, started_ms, timeout_ms, err);
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

/* "pull of 'x'" */
static const char *subject(const rub_session_t *self, const char *verb, rub_table_t table,
                           char out[96])
{
    const rub_table_view_t *schema = rub_client_table(self->client, table);
    snprintf(out, 96, "%s '%s'", verb, schema ? schema->name : "?");
    return out;
}

/* ---- open and close ---- */

static void destroy(rub_session_t **self_p, uint32_t linger_ms)
{
    rub_session_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    rub_pull_log_close(&self->pulls);
    rub_lease_thread_close(&self->lease);
    rub_client_destroy(&self->client);
    rub_zmq_session_close(&self->sockets, linger_ms);
    rub_net_destroy(&self->net);
    rub_free(self->scheduler);
    rub_free(self);
}

static int make_client(rub_session_t *self, rub_error_t *err)
{
    rub_client_config_t config = {
        .role = self->options.role,
        .rank = self->options.rank,
        .ring_limit_bytes = self->options.ring_limit_bytes,
        .grace_ms = self->options.grace_ms,
        .retain = self->options.retain,
    };
    char host[64] = "localhost";
    gethostname(host, sizeof(host) - 1);
    snprintf(config.who, sizeof(config.who), "%s:%ld", host, (long)getpid());
    if (rub_random_nonce(config.nonce)) {
        return rub_fail(err, RUB_EIO, "open: the system has no random numbers");
    }
    const rub_client_effects_t effects = {.context = self,
                                          .connect = on_connect,
                                          .send = on_send,
                                          .control = on_control,
                                          .notice = on_notice,
                                          .answered =
                                              self->options.pull_log_dir ? on_answered : NULL};
    self->client = rub_client_new(&config, &effects);
    return self->client ? 0 : rub_fail(err, RUB_ENOMEM, "open: memory is short");
}

/* As soon as there is a rank, long before every shard may be there: a lease runs from JOINED. */
static int start_lease(rub_session_t *self, rub_error_t *err)
{
    rub_info_t info;
    rub_client_info(self->client, &info);
    if (self->lease || self->options.role == RUB_READER || info.epoch == 0) {
        return 0;
    }
    const rub_lease_identity_t identity = {.job = info.job,
                                           .rank = info.rank,
                                           .epoch = info.epoch,
                                           .lease_ms = rub_client_lease_ms(self->client)};
    return rub_lease_thread_open(self->net, self->scheduler, &identity, &self->lease, err);
}

static int join(rub_session_t *self, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    rub_handle_t handle = 0;
    int rc = rub_client_join(self->client, started_ms, &handle, err);
    while (!rc) {
        rc = start_lease(self, err);
        if (rc) {
            break;
        }
        rc = rub_client_poll(self->client, handle, err);
        if (rc != RUB_CLIENT_WAIT) {
            break;
        }
        rc = turn(self, handle, "open", started_ms, self->options.join_timeout_ms, err);
    }
    if (rc == RUB_ETIMEOUT) {
        if (err) {
            err->code = RUB_EPEER; /* what an open waits for is always a peer */
        }
        rc = RUB_EPEER;
    }
    return rc;
}

static int open_pull_log(rub_session_t *self, rub_error_t *err)
{
    rub_info_t info;
    rub_client_info(self->client, &info);
    return rub_pull_log_open(self->options.pull_log_dir, &info, &self->pulls, err);
}

/* An open that fails may have got a rank already: it is given back at once, not after a lease. */
static void withdraw(rub_session_t **self_p)
{
    rub_info_t info = {0};
    rub_handle_t handle = 0;
    rub_client_t *client = (*self_p)->client;
    if (client) {
        rub_client_info(client, &info);
        (void)rub_client_leave(client, false, 0, "its open did not succeed", &handle, NULL);
    }
    destroy(self_p, info.epoch > 0 ? LINGER_MS : 0);
}

int rub_open(const rub_options_t *options, rub_session_t **session_p, rub_error_t *err)
{
    if (!options || !session_p) {
        return rub_fail(err, RUB_EINVAL, "open: %s is NULL", options ? "session_p" : "options");
    }
    *session_p = NULL;
    if (!options->scheduler || options->scheduler[0] == '\0') {
        return rub_fail(err, RUB_EINVAL, "open: no scheduler's address");
    }
    if (options->role != RUB_TRAINER && options->role != RUB_READER) {
        return rub_fail(err, RUB_EINVAL, "open: role %d does not exist", options->role);
    }
    if (options->retain != RUB_RETAIN_ACKED && options->retain != RUB_RETAIN_SYNCED) {
        return rub_fail(err, RUB_EINVAL, "open: retain %d does not exist", (int)options->retain);
    }
    int rc = 0;
    rub_session_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "open: memory is short");
    }
    self->options = *options;
    if (self->options.join_timeout_ms == 0) {
        self->options.join_timeout_ms = JOIN_DEFAULT_MS; /* an open without a deadline is a hang */
    }
    self->scheduler = rub_strdup(options->scheduler);
    self->net = self->scheduler ? rub_net_new(err) : NULL;
    if (!self->net) {
        rc =
            self->scheduler && err ? err->code : rub_fail(err, RUB_ENOMEM, "open: memory is short");
        goto out;
    }
    rc = rub_zmq_session_open(self->net, self->scheduler, &self->sockets, err);
    if (!rc) {
        rc = make_client(self, err);
    }
    if (!rc) {
        rc = join(self, err);
        if (rc == RUB_ETIMEOUT || rc == RUB_EPEER) {
            rc = rub_wrap(err, rc, "job at %s", self->scheduler);
        }
    }
    if (!rc && options->pull_log_dir) {
        rc = open_pull_log(self, err);
    }
out:
    if (rc) {
        withdraw(&self);
    }
    *session_p = self;
    return rc;
}

static int leave(rub_session_t **session_p, bool done, int code, const char *why, rub_error_t *err)
{
    rub_session_t *self = *session_p;
    *session_p = NULL;
    if (!self) {
        return 0;
    }
    /* The signal that made the caller leave must not end the leaving; a second one may. */
    self->interrupted_before = self->options.interrupted ? *self->options.interrupted : 0;
    const uint64_t limit_ms = self->options.request_timeout_ms;
    rub_handle_t handle = 0;
    look(self);
    if (self->lease) {
        /* On the socket that carries LEAVE, so that the job's last numbers are there before it. */
        rub_control_t message = {.type = RUB_MSG_LEASE};
        rub_lease_thread_read(self->lease, &message.lease);
        rub_zmq_session_control(self->sockets, &message);
    }
    int rc = rub_client_leave(self->client, done, code, why, &handle, err);
    if (!rc) {
        rc = wait_for(self, handle, "close", limit_ms ? limit_ms : CLOSE_LIMIT_MS, err);
    }
    destroy(&self, LINGER_MS);
    return rc;
}

int rub_close(rub_session_t **session_p, bool done, rub_error_t *err)
{
    return leave(session_p, done, 0, "", err);
}

int rub_close_failed(rub_session_t **session_p, int code, const char *why, rub_error_t *err)
{
    return leave(session_p, false, code, why, err);
}

void rub_abandon(rub_session_t **session_p)
{
    destroy(session_p, 0);
}

void rub_session_info(const rub_session_t *session, rub_info_t *info)
{
    rub_client_info(session->client, info);
}

void rub_session_stats(const rub_session_t *session, rub_stats_t *stats)
{
    rub_client_stats(session->client, stats);
}

/* ---- operations that are one at a time ---- */

static void tell_clock(rub_session_t *session)
{
    rub_info_t info;
    rub_client_info(session->client, &info);
    if (session->lease) {
        rub_lease_thread_clock(session->lease, info.clock);
    }
}

/* A wait that ended at its deadline leaves the operation under way: the same call takes it up again
 * instead of beginning another one. */
static bool take_up(const rub_session_t *session, const char *what, rub_handle_t *handle_p)
{
    *handle_p = session->unfinished;
    return session->unfinished != 0 && strcmp(session->unfinished_what, what) == 0;
}

/* Ends a call that began an operation, or took one up: waits for it, and tells the lease thread
 * where the clock stands now. */
static int finish(rub_session_t *session, int rc, rub_handle_t handle, const char *what,
                  rub_error_t *err)
{
    if (rc) {
        return rc;
    }
    if (session->unfinished != handle) {
        (void)rub_client_poll(session->client, session->unfinished, NULL); /* it ended unseen */
    }
    rc = wait_for(session, handle, what, session->options.request_timeout_ms, err);
    const bool under_way = (rc == RUB_ETIMEOUT || rc == RUB_EINTR) &&
                           rub_client_poll(session->client, handle, NULL) == RUB_CLIENT_WAIT;
    session->unfinished = under_way ? handle : 0;
    snprintf(session->unfinished_what, sizeof(session->unfinished_what), "%s", what);
    tell_clock(session);
    return rc;
}

/* ---- tables ---- */

int rub_table_open(rub_session_t *session, const rub_schema_t *schema, rub_table_t *table_p,
                   rub_error_t *err)
{
    rub_handle_t handle = 0;
    char what[96];
    look(session);
    snprintf(what, sizeof(what), "opening table '%s'", schema->name ? schema->name : "");
    int rc = take_up(session, what, &handle)
                 ? 0
                 : rub_client_table_open(session->client, schema, &handle, err);
    rc = finish(session, rc, handle, what, err);
    if (!rc) {
        *table_p = rub_client_table_result(session->client);
    }
    return rc;
}

/* ---- pulls ---- */

static int start_pull(rub_session_t *session, const rub_client_pull_t *pull, rub_handle_t *handle_p,
                      rub_error_t *err)
{
    glance(session);
    return rub_client_pull(session->client, pull, handle_p, err);
}

/* A failed pull gives the caller's arrays back: it is cancelled, not left under way. */
static int pull_and_wait(rub_session_t *session, const rub_client_pull_t *pull, rub_error_t *err)
{
    rub_handle_t handle = 0;
    int rc = start_pull(session, pull, &handle, err);
    if (!rc) {
        char what[96];
        rc = wait_for(session, handle, subject(session, "pull of", pull->table, what),
                      session->options.request_timeout_ms, err);
        if (rc) {
            rub_client_cancel(session->client, handle, NULL);
        }
    }
    return rc;
}

/* The core takes keys NULL for a range; a call with no keys at all may pass NULL too. */
static const uint64_t NO_KEY = 0;

int rub_pull_range(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                   float *values, rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table, .first = first, .n = count, .values = values};
    return pull_and_wait(session, &pull, err);
}

int rub_pull(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
             float *values, uint8_t *exists, rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table,
                                    .keys = n_keys ? keys : &NO_KEY,
                                    .n = n_keys,
                                    .values = values,
                                    .exists = exists};
    return pull_and_wait(session, &pull, err);
}

int rub_pull_range_async(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                         uint32_t ahead, float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_pull_t pull = {
        .table = table, .first = first, .n = count, .ahead = ahead, .values = values};
    return start_pull(session, &pull, handle_p, err);
}

int rub_pull_async(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
                   uint32_t ahead, float *values, uint8_t *exists, rub_handle_t *handle_p,
                   rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table,
                                    .keys = n_keys ? keys : &NO_KEY,
                                    .n = n_keys,
                                    .ahead = ahead,
                                    .values = values,
                                    .exists = exists};
    return start_pull(session, &pull, handle_p, err);
}

/* ---- pushes and the clock: they wait only for room in the rings ---- */

static int push_when_room(rub_session_t *session, const rub_client_push_t *push,
                          rub_handle_t *handle_p, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    glance(session);
    for (;;) {
        int rc = rub_client_push(session->client, push, handle_p, err);
        if (rc != RUB_CLIENT_WAIT) {
            return rc;
        }
        char what[96];
        rc = turn(session, 0, subject(session, "push to", push->table, what), started_ms,
                  session->options.request_timeout_ms, err);
        if (rc) {
            return rc;
        }
    }
}

int rub_push_range(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                   const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {.table = table, .first = first, .n = count, .values = values};
    return push_when_room(session, &push, handle_p, err);
}

int rub_push(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
             const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {
        .table = table, .keys = n_keys ? keys : &NO_KEY, .n = n_keys, .values = values};
    return push_when_room(session, &push, handle_p, err);
}

static void flush_pull_log(rub_session_t *session)
{
    rub_error_t trouble = {0};
    if (session->pulls && rub_pull_log_flush(session->pulls, &trouble) != 0) {
        on_notice(session, trouble.message);
    }
}

int rub_clock(rub_session_t *session, const void *cursor, size_t cursor_bytes, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    glance(session);
    for (;;) {
        int rc = rub_client_clock(session->client, cursor, cursor_bytes, err);
        if (rc != RUB_CLIENT_WAIT) {
            tell_clock(session);
            flush_pull_log(session);
            return rc;
        }
        rc = turn(session, 0, "clock", started_ms, session->options.request_timeout_ms, err);
        if (rc) {
            return rc;
        }
    }
}

/* ---- waiting ---- */

int rub_wait(rub_session_t *session, rub_handle_t handle, rub_error_t *err)
{
    return wait_for(session, handle, "wait", session->options.request_timeout_ms, err);
}

int rub_cancel(rub_session_t *session, rub_handle_t handle, rub_error_t *err)
{
    return rub_client_cancel(session->client, handle, err);
}

int rub_flush(rub_session_t *session, rub_error_t *err)
{
    rub_handle_t handle = 0;
    look(session);
    const int rc = rub_client_flush(session->client, &handle, err);
    return rc ? rc : wait_for(session, handle, "flush", session->options.request_timeout_ms, err);
}

/* ---- standing aside ---- */

int rub_barrier(rub_session_t *session, double *sums, uint32_t n_sums, rub_error_t *err)
{
    static const char what[] = "barrier";
    rub_handle_t handle = 0;
    look(session);
    int rc = take_up(session, what, &handle)
                 ? 0
                 : rub_client_barrier(session->client, sums, sums ? n_sums : 0, &handle, err);
    rc = finish(session, rc, handle, what, err);
    if (!rc && sums) {
        double out[16];
        const uint32_t n = rub_client_barrier_sums(session->client, out);
        memcpy(sums, out, (n < n_sums ? n : n_sums) * sizeof(*sums));
    }
    return rc;
}

int rub_pause(rub_session_t *session, rub_error_t *err)
{
    static const char what[] = "pause";
    rub_handle_t handle = 0;
    look(session);
    const int rc =
        take_up(session, what, &handle) ? 0 : rub_client_pause(session->client, &handle, err);
    return finish(session, rc, handle, what, err);
}

int rub_resume(rub_session_t *session, rub_error_t *err)
{
    static const char what[] = "resume";
    rub_handle_t handle = 0;
    look(session);
    const int rc =
        take_up(session, what, &handle) ? 0 : rub_client_resume(session->client, &handle, err);
    return finish(session, rc, handle, what, err);
}

/* ---- data and reports ---- */

int rub_piece_next(rub_session_t *session, uint64_t epoch, uint64_t n_examples,
                   uint64_t piece_examples, rub_piece_t *piece, rub_error_t *err)
{
    static const char what[] = "next piece of data";
    rub_handle_t handle = 0;
    look(session);
    int rc = take_up(session, what, &handle) ? 0
                                             : rub_client_piece(session->client, epoch, n_examples,
                                                                piece_examples, &handle, err);
    rc = finish(session, rc, handle, what, err);
    if (!rc) {
        *piece = *rub_client_piece_result(session->client);
    }
    return rc;
}

void rub_session_progress(rub_session_t *session, const rub_progress_t *progress)
{
    if (session->lease) {
        rub_lease_thread_progress(session->lease, progress);
    }
}

int rub_metric(rub_session_t *session, const char *name, double value, rub_error_t *err)
{
    glance(session);
    return rub_client_metric(session->client, name, value, err);
}
