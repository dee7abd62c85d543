/* A session's life: its sockets, its core, its place in the job, its lease; and the leaving.
 *
 * Whatever an open that fails has got is given back at once, a rank too: others would wait for a
 * lease else. A close says BYE everywhere and waits until the scheduler has heard LEAVE; only
 * abandon leaves without a word. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "common/num/optimizer.h"
#include "worker/client/session_turn.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { CLOSE_LIMIT_MS = 300000, LINGER_MS = 200 };
enum { LOAN_SAID_MS = 1000, LOAN_SAID_AGAIN_MS = 10000 }; /* a wait for what was lent */

#define LANES_LIMIT_MS 3000u
#define LIST_LEAST_KEYS 64u /* of fewer a digest saves less than it costs */

#define JOIN_DEFAULT_MS 60000u
#define RESIDUAL_BYTES ((size_t)1 << 30)

void rub_options_defaults(rub_options_t *options)
{
    *options = (rub_options_t){
        .role = RUB_TRAINER,
        .rank = RUB_ANY_RANK,
        .join_timeout_ms = JOIN_DEFAULT_MS,
        .request_timeout_ms = 300000,
        .grace_ms = 60000,
        .ring_limit_bytes = (size_t)64 << 20,
        .residual_limit_bytes = RESIDUAL_BYTES,
    };
}

void rub_schema_defaults(rub_schema_t *schema)
{
    *schema = (rub_schema_t){
        .kind = RUB_DENSE,
        .optimizer = RUB_SGD,
        .init = RUB_INIT_ZEROS,
        .evict = {.sweep_clocks = 1024},
    };
    rub_hyper_defaults(&schema->hyper);
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

static rub_packet_t *on_packet(void *context, uint32_t shard, const rub_header_t *header,
                               size_t keys_bytes)
{
    rub_session_t *self = context;
    return rub_zmq_session_packet(self->sockets, shard, header, keys_bytes);
}

static size_t on_flight(void *context, uint32_t shard)
{
    const rub_session_t *self = context;
    return rub_zmq_session_flight(self->sockets, shard);
}

static void on_control(void *context, const rub_control_t *message)
{
    rub_session_t *self = context;
    rub_zmq_session_control(self->sockets, message);
}

static void on_notice(void *context, const char *sentence)
{
    rub_session_say(context, sentence);
}

static void on_answered(void *context, const rub_answer_t *answer)
{
    const rub_session_t *self = context;
    if (self->pulls) {
        rub_pull_log_note(self->pulls, answer);
    }
}

/* ---- open and close ---- */

/* What a session of its own context had lent is back once that has ended. In a context of somebody
 * else's libzmq closes sockets in the background, and what went by inproc is with a shard of this
 * process until the end of its turn, or its own. */
static void get_back(const rub_session_t *self, const rub_loan_t *loans)
{
    const uint64_t begun_ms = rub_now_ms();
    uint64_t say_ms = begun_ms + LOAN_SAID_MS;
    /* Without a limit, as the end of a context waits for its threads: to return sooner would give
     * an array back that is still read. */
    while (loans && rub_loan_is_out(loans)) {
        rub_sleep_ms(1);
        const uint64_t now_ms = rub_now_ms();
        if (now_ms >= say_ms) {
            char sentence[160];
            (void)snprintf(sentence, sizeof sentence,
                           "close waits for %" PRIu64 " ms: libzmq's threads, or a shard of this "
                           "process, have not let go of arrays that were lent",
                           now_ms - begun_ms);
            rub_session_say(self, sentence);
            say_ms = now_ms + LOAN_SAID_AGAIN_MS;
        }
    }
}

static void destroy(rub_session_t **self_p, uint32_t linger_ms)
{
    rub_session_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    rub_loan_t *loans = self->client ? rub_loan_ref(rub_client_loans(self->client)) : NULL;
    rub_pull_log_close(&self->pulls);
    rub_lease_thread_close(&self->lease);
    rub_client_destroy(&self->client);
    rub_zmq_session_close(&self->sockets, linger_ms);
    rub_net_destroy(&self->net);
    get_back(self, loans);
    rub_loan_unref(&loans);
    rub_fork_mark_clear(&self->mark);
    rub_free(self->scheduler);
    rub_free(self);
}

static int make_client(rub_session_t *self, rub_error_t *err)
{
    rub_client_config_t config = {
        .role = self->options.role,
        .rank = self->options.rank,
        .ring_limit_bytes = self->options.ring_limit_bytes,
        .list_least_keys = LIST_LEAST_KEYS,
        .grant_least_bytes = RUB_INLINE_LIMIT,
        .residual_limit_bytes = self->options.residual_limit_bytes
                                    ? self->options.residual_limit_bytes
                                    : RESIDUAL_BYTES,
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
                                          .packet = on_packet,
                                          .flight = on_flight,
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
        rc = rub_session_turn(self, handle, "open", started_ms, self->options.join_timeout_ms, err);
    }
    if (rc == RUB_ETIMEOUT) {
        if (err) {
            err->code = RUB_EPEER; /* what an open waits for is always a peer */
        }
        rc = RUB_EPEER;
    }
    return rc;
}

/* Asked for memory or nothing: waits until every shard has taken its lane. Shards that know no
 * lanes never say HOST, so the wait has an end of its own. */
static int insist_on_lanes(rub_session_t *self, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    int rc = 0;
    rub_info_t info;
    rub_client_info(self->client, &info);
    for (uint32_t i = 0; i < info.n_shards && !rc;) {
        const rub_session_lane_t *lane = rub_zmq_session_lane(self->sockets, i);
        const rub_session_lane_state_t state = lane ? lane->state : RUB_LANE_NONE;
        if (state == RUB_LANE_OPEN) {
            i++;
        } else if (state == RUB_LANE_ELSEWHERE) {
            rc = rub_fail(err, RUB_EREFUSED, "lane shm: shard %u is not on this host", i);
        } else if (state == RUB_LANE_REFUSED) {
            rc = rub_fail(err, RUB_EREFUSED, "lane shm: no memory can be shared with shard %u: %s",
                          i, rub_error_name(lane->code));
        } else if (rub_now_ms() - started_ms >= LANES_LIMIT_MS) {
            rc = rub_fail(err, RUB_EREFUSED, "lane shm: shard %u offers none within %u s", i,
                          LANES_LIMIT_MS / 1000);
        } else {
            rc = rub_session_turn(self, 0, "open", started_ms, 0, err);
        }
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
    if (options->lane != RUB_LANE_AUTO && options->lane != RUB_LANE_TCP &&
        options->lane != RUB_LANE_SHM) {
        return rub_fail(err, RUB_EINVAL, "open: lane %d does not exist", (int)options->lane);
    }
    int rc = 0;
    rub_session_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "open: memory is short");
    }
    rub_fork_mark_set(&self->mark);
    self->options = *options;
    if (self->options.join_timeout_ms == 0) {
        self->options.join_timeout_ms = JOIN_DEFAULT_MS; /* an open without a deadline is a hang */
    }
    self->scheduler = rub_strdup(options->scheduler);
    if (self->scheduler) {
        self->net =
            options->zmq_context ? rub_net_borrow(options->zmq_context, err) : rub_net_new(err);
    }
    if (!self->net) {
        rc =
            self->scheduler && err ? err->code : rub_fail(err, RUB_ENOMEM, "open: memory is short");
        goto out;
    }
    rub_session_lanes_t lanes;
    rub_session_lanes_init(&lanes, options->lane != RUB_LANE_TCP, options->ring_limit_bytes);
    rc = rub_zmq_session_open(self->net, self->scheduler, &lanes, &self->sockets, err);
    if (!rc) {
        rc = make_client(self, err);
    }
    if (!rc) {
        rc = join(self, err);
        if (rc == RUB_ETIMEOUT || rc == RUB_EPEER) {
            rc = rub_wrap(err, rc, "job at %s", self->scheduler);
        }
    }
    if (!rc && options->lane == RUB_LANE_SHM) {
        rc = insist_on_lanes(self, err);
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
    int rc = rub_session_ours(self, err);
    if (rc) {
        return rc; /* its threads are not here to be ended: what stands in memory goes with us */
    }
    /* The signal that made the caller leave must not end the leaving; a second one may. */
    self->interrupted_before = self->options.interrupted ? *self->options.interrupted : 0;
    const uint64_t limit_ms = self->options.request_timeout_ms;
    rub_handle_t handle = 0;
    rub_session_look(self);
    if (self->lease) {
        /* On the socket that carries LEAVE, so that the job's last numbers are there before it. */
        rub_control_t message = {.type = RUB_MSG_LEASE};
        rub_lease_thread_read(self->lease, &message.lease);
        rub_zmq_session_control(self->sockets, &message);
    }
    rc = rub_client_leave(self->client, done, code, why, &handle, err);
    if (!rc) {
        rc = rub_session_wait_for(self, handle, "close", limit_ms ? limit_ms : CLOSE_LIMIT_MS, err);
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
    if (*session_p && rub_session_ours(*session_p, NULL) != 0) {
        *session_p = NULL;
        return;
    }
    destroy(session_p, 0);
}
