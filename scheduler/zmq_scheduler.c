/* The scheduler's reactor.
 *
 * The core decides, this file moves: a frame in, decoded, stepped; effects out as they come. commit
 * returns only when the state is on the platter, and the core sends only after it has returned, so
 * no order needs to be kept here. A message that cannot be read is dropped and logged, seldom: a
 * peer must not fill our log. The address is taken before any file is made, and the
 * store's lock before the store is opened, so that a start that fails leaves nothing behind and
 * uses up no generation. */
#include "scheduler/zmq_scheduler.h"
#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/rate_limit.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "common/net/dropped.h"
#include "common/net/zmq_socket.h"
#include "common/store/lmdb_store.h"
#include "scheduler/check_scheduler_store.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TICK_MS 100u
#define MESSAGES_PER_TURN 256u
#define LINGER_MS 1000u
#define NO_SPACE_MS 200u /* between two tries on a full disk */
#define SAY_NO_SPACE_MS 1000u
#define UNREAD_LIMIT_BYTES (UINT64_C(16) << 20) /* 256 of the largest messages */

struct rub_zmq_scheduler {
    const rub_log_t *log;
    const volatile int *interrupted;
    int lock_fd;
    rub_store_t *store; /* NULL: in memory */
    rub_net_t *net;     /* NULL: somebody else's is used */
    rub_socket_t *socket;
    rub_scheduler_t *core;
    char address[160];
    char snapshots_dir[1000];
    rub_arena_t arena; /* of the message being stepped */
    rub_buf_t out;
    uint64_t encoded_view;   /* version of the VIEW that out holds; 0: it holds something else */
    rub_error_t store_error; /* of a commit that failed */
    uint64_t grace_ms;       /* how long a full disk is waited out */
    uint64_t ticked_ms;
    rub_rate_limit_t complaints; /* by peer */
    rub_dropped_t dropped;
    bool stopping;
};

static void complain(rub_zmq_scheduler_t *self, uint64_t peer, const char *sentence)
{
    uint64_t held_back = 0;
    char rest[RUB_HELD_BACK_ROOM];
    if (rub_rate_limit_may(&self->complaints, peer, rub_now_ms(), RUB_COMPLAIN_EVERY_MS,
                           &held_back)) {
        rub_log(self->log, RUB_LOG_WARN, "peer %" PRIu64 ": %s%s", peer, sentence,
                rub_held_back_text(held_back, rest));
    }
}

/* What a peer does not read lies in our memory, and 100 bytes of a question are worth 64 KiB of
 * answer. Above the limit nothing more is said to it; whatever matters is said again, until it is
 * acknowledged or as often as it is asked for. */
static bool is_deaf(rub_zmq_scheduler_t *self, rub_caller_t to)
{
    const uint64_t unread = rub_socket_unread(self->socket, to);
    if (unread <= UNREAD_LIMIT_BYTES) {
        return false;
    }
    rub_error_t err;
    (void)rub_fail(&err, RUB_ELIMIT,
                   "it does not read: %llu bytes wait for it, limit %llu; nothing more is said to "
                   "it until it has read them",
                   (unsigned long long)unread, (unsigned long long)UNREAD_LIMIT_BYTES);
    complain(self, to, err.message);
    return true;
}

static void send_message(void *context, rub_caller_t to, const rub_control_t *message)
{
    rub_zmq_scheduler_t *self = context;
    rub_error_t err = {0};
    if (!to || is_deaf(self, to)) {
        return;
    }
    /* A view goes to everybody, one after the other: it is encoded once. */
    const uint64_t version = message->type == RUB_MSG_VIEW ? message->view.version : 0;
    if (version == 0 || version != self->encoded_view) {
        rub_buf_reset(&self->out);
        self->encoded_view = 0;
        if (rub_control_encode(message, &self->out, &err) < 0) {
            rub_log(self->log, RUB_LOG_ERROR, "%s not sent: %s", rub_message_name(message->type),
                    err.message);
            return;
        }
        self->encoded_view = version;
    }
    if (rub_socket_send_bytes(self->socket, to, self->out.data, self->out.bytes) < 0) {
        rub_log(self->log, RUB_LOG_ERROR, "%s not sent: out of memory",
                rub_message_name(message->type));
    }
}

static int commit_once(rub_zmq_scheduler_t *self, const void *state, size_t n_bytes)
{
    int rc = rub_store_begin(self->store, &self->store_error);
    if (rc == 0) {
        rub_store_put_state(self->store, RUB_STATE_JOB, state, n_bytes);
        rc = rub_store_commit(self->store, &self->store_error);
    }
    return rc;
}

/* ---- snapshots ---- */

static char *snapshot_folder(const rub_zmq_scheduler_t *self, uint64_t number)
{
    return rub_sprintf("%s/" RUB_MANIFEST_FOLDER_NAME, self->snapshots_dir,
                       (unsigned long long)number);
}

/* The shards wrote the parts, perhaps on other hosts: a manifest must not promise what is not here.
 */
static int check_part(const char *folder, uint32_t shard, uint64_t n_bytes, rub_error_t *err)
{
    struct stat info;
    char *path = rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, folder, shard);
    if (!path) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a snapshot");
    }
    int rc = 0;
    if (stat(path, &info) != 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno,
                            "the part of shard %u is not at %s; the scheduler and every ps must "
                            "see one --snapshots-dir",
                            shard, path);
    } else if ((uint64_t)info.st_size != n_bytes) {
        rc = rub_fail(err, RUB_ESTORE, "%s has %llu bytes, shard %u wrote %llu", path,
                      (unsigned long long)info.st_size, shard, (unsigned long long)n_bytes);
    }
    rub_free(path);
    return rc;
}

static int write_snapshot(void *context, rub_manifest_t *manifest, uint64_t since_cut_ms,
                          rub_error_t *err)
{
    const rub_zmq_scheduler_t *self = context;
    char *folder = snapshot_folder(self, manifest->number);
    int rc = folder ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a snapshot");
    for (uint32_t i = 0; i < manifest->n_shards && rc == 0; i++) {
        rc = check_part(folder, i, manifest->parts[i].n_bytes, err);
    }
    if (rc == 0) {
        manifest->time_ms = (uint64_t)(rub_wall_s() * 1000.0) - since_cut_ms;
        rc = rub_manifest_write(folder, manifest, err);
    }
    rub_free(folder);
    return rc;
}

static void drop_snapshot(void *context, uint64_t number)
{
    const rub_zmq_scheduler_t *self = context;
    rub_error_t err = {0};
    char *folder = snapshot_folder(self, number);
    if (folder && rub_fs_remove_tree(folder, &err) != 0) {
        rub_log(self->log, RUB_LOG_WARN, "%s", err.message);
    }
    rub_free(folder);
}

/* The folder may be another run's too: its numbers are not used again. */
static uint64_t greatest_snapshot(const char *folder)
{
    uint64_t greatest = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char *end = NULL;
        const uint64_t number = strtoull(entry->d_name, &end, 10);
        greatest = end != entry->d_name && *end == 0 && number > greatest ? number : greatest;
    }
    if (dir) {
        closedir(dir);
    }
    return greatest;
}

/* Says why nobody is answered. A second is a small part of any grace. */
static void say_no_space(rub_zmq_scheduler_t *self, uint64_t *said_ms_p)
{
    const uint64_t now_ms = rub_now_ms();
    if (*said_ms_p == 0 || now_ms - *said_ms_p >= SAY_NO_SPACE_MS) {
        *said_ms_p = now_ms;
        rub_scheduler_say_hindered(self->core, RUB_ENOSPC, "its disk is full, it waits for space");
    }
}

/* Nobody needs us for a while: trainers pull and push, and after a pause all leases count afresh.
 * So a full disk is waited out for a grace before the job loses its scheduler. Sessions are told
 * all the while: their grace begins when ours has ended, so that another scheduler still finds
 * them. */
static int commit_state(void *context, const void *state, size_t n_bytes)
{
    rub_zmq_scheduler_t *self = context;
    if (!self->store) {
        return 0;
    }
    const uint64_t begun_ms = rub_now_ms();
    int rc = commit_once(self, state, n_bytes);
    if (rc == RUB_ENOSPC) {
        rub_log(self->log, RUB_LOG_ERROR, "%s; trying again for %.1f s", self->store_error.message,
                (double)self->grace_ms / 1e3);
    }
    const bool waited = rc == RUB_ENOSPC;
    uint64_t said_ms = 0;
    while (rc == RUB_ENOSPC && rub_now_ms() - begun_ms < self->grace_ms &&
           !(self->interrupted && *self->interrupted)) {
        say_no_space(self, &said_ms);
        rub_sleep_ms(NO_SPACE_MS);
        rc = commit_once(self, state, n_bytes);
    }
    if (waited && rc == 0) {
        rub_log(self->log, RUB_LOG_INFO, "there is space again, after %.1f s",
                (double)(rub_now_ms() - begun_ms) / 1e3);
    }
    return rc;
}

static void log_notice(void *context, const char *sentence)
{
    const rub_zmq_scheduler_t *self = context;
    rub_log(self->log, RUB_LOG_INFO, "%s", sentence);
}

static int open_store(rub_zmq_scheduler_t *self, const rub_zmq_scheduler_options_t *options,
                      rub_error_t *err)
{
    rub_error_t cause = {0};
    char *path = rub_sprintf("%s/lock", options->store_dir);
    if (!path) {
        return rub_fail(err, RUB_ENOMEM, "scheduler's store: out of memory");
    }
    int rc = rub_fs_mkdirs(options->store_dir, &cause);
    rc = rc ? rc : rub_fs_lock(path, options->who, &self->lock_fd, &cause);
    rub_free(path);
    if (rc < 0) { /* a disk that can not be written is the store's failure */
        return rub_fail(err, rc == RUB_EHELD ? RUB_EHELD : RUB_ESTORE, "scheduler's store: %s",
                        cause.message);
    }
    return rub_store_open(options->store_dir, &self->store, err);
}

static int listen_on(rub_zmq_scheduler_t *self, rub_net_t *net, const char *address,
                     rub_error_t *err)
{
    self->net = net ? NULL : rub_net_new(err);
    if (!net && !self->net) {
        return err->code;
    }
    int rc = rub_socket_open(net ? net : self->net, RUB_SOCKET_ROUTER, &self->socket, err);
    if (rc < 0) {
        return rc;
    }
    return rub_socket_bind(self->socket, address, self->address, sizeof self->address, err);
}

static int random_job(uint64_t *job_p, rub_error_t *err)
{
    uint8_t bytes[16];
    if (rub_random_nonce(bytes) < 0) {
        return rub_fail(err, RUB_EIO, "no random number for the job");
    }
    *job_p = rub_get_u64(bytes) | 1u; /* 0 means any */
    return 0;
}

static int load_core(rub_zmq_scheduler_t *self, rub_error_t *err)
{
    if (!self->store) {
        return 0;
    }
    void *state = NULL;
    size_t n_bytes = 0;
    int rc = rub_store_get_state(self->store, RUB_STATE_JOB, &state, &n_bytes, err);
    if (rc == 0 && state) {
        rc = rub_scheduler_load(self->core, state, n_bytes, err);
    }
    rub_free(state);
    return rc;
}

static int start_core(rub_zmq_scheduler_t *self, const rub_zmq_scheduler_options_t *options,
                      rub_error_t *err)
{
    rub_scheduler_config_t config = options->scheduler;
    const rub_scheduler_effects_t effects = {
        .context = self,
        .send = send_message,
        .commit = commit_state,
        .snapshot_write = write_snapshot,
        .snapshot_drop = drop_snapshot,
        .notice = log_notice,
    };
    config.snapshots_there = greatest_snapshot(config.snapshots_dir);
    memcpy(self->snapshots_dir, config.snapshots_dir, sizeof self->snapshots_dir);
    int rc = config.job ? 0 : random_job(&config.job, err);
    if (rc < 0) {
        return rc;
    }
    self->core = rub_scheduler_new(&config, &effects);
    if (!self->core) {
        return rub_fail(err, RUB_ENOMEM, "scheduler: out of memory");
    }
    rc = load_core(self, err);
    if (rc < 0) {
        return rc;
    }
    self->ticked_ms = rub_now_ms();
    rc = rub_scheduler_start(self->core, self->ticked_ms);
    if (rc < 0) {
        return rub_fail(err, rc, "scheduler: the first state was not committed: %s",
                        self->store_error.code ? self->store_error.message : rub_error_name(rc));
    }
    return 0;
}

int rub_zmq_scheduler_open(const rub_zmq_scheduler_options_t *options, rub_zmq_scheduler_t **self_p,
                           rub_error_t *err)
{
    rub_error_t unasked = {0};
    err = err ? err : &unasked;
    rub_zmq_scheduler_t *self = rub_calloc(1, sizeof *self);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "scheduler: out of memory");
    }
    self->lock_fd = -1;
    self->log = options->log;
    self->interrupted = options->interrupted;
    self->grace_ms = options->scheduler.grace_ms;
    rub_arena_init(&self->arena);
    rub_buf_init(&self->out);
    int rc = listen_on(self, options->net, options->address, err);
    if (rc == 0 && options->store_dir && options->store_dir[0]) {
        rc = open_store(self, options, err);
    }
    if (rc == 0) {
        rc = start_core(self, options, err);
    }
    if (rc < 0) {
        rub_zmq_scheduler_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_zmq_scheduler_close(rub_zmq_scheduler_t **self_p)
{
    rub_zmq_scheduler_t *self = *self_p;
    if (!self) {
        return;
    }
    rub_scheduler_destroy(&self->core);
    rub_socket_close(&self->socket, LINGER_MS);
    rub_net_destroy(&self->net);
    rub_store_close(&self->store);
    if (self->lock_fd >= 0) {
        rub_fs_unlock(self->lock_fd);
    }
    rub_buf_fini(&self->out);
    rub_arena_fini(&self->arena);
    rub_free(self);
    *self_p = NULL;
}

const char *rub_zmq_scheduler_address(const rub_zmq_scheduler_t *self)
{
    return self->address;
}

uint64_t rub_zmq_scheduler_job(const rub_zmq_scheduler_t *self)
{
    return rub_scheduler_view(self->core)->job;
}

uint64_t rub_zmq_scheduler_generation(const rub_zmq_scheduler_t *self)
{
    return rub_scheduler_view(self->core)->generation;
}

static int step(rub_zmq_scheduler_t *self, const rub_received_t *received)
{
    uint64_t now_ms = rub_now_ms();
    rub_error_t err = {0};
    if (received->n_parts != 1) {
        complain(self, received->peer, "dropped a message: control messages have one part");
        return 0;
    }
    rub_control_t message;
    rub_arena_reset(&self->arena);
    int rc = rub_control_decode(received->parts[0].data, received->parts[0].bytes, &self->arena,
                                &message, &err);
    if (rc == RUB_ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        (void)rub_wrap(&err, rc, "dropped a message");
        complain(self, received->peer, err.message);
        return 0;
    }
    return rub_scheduler_receive(self->core, received->peer, &message, now_ms);
}

static int receive_all(rub_zmq_scheduler_t *self)
{
    rub_received_t received;
    rub_dropped_tell(&self->dropped, self->socket, "", self->log);
    for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
        int rc = rub_socket_receive(self->socket, &received);
        if (rc == RUB_SOCKET_EMPTY) {
            return 0;
        }
        if (rc == 0) {
            rc = step(self, &received);
            rub_received_release(&received);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A signal ends the job as a STOP would. Whoever sent it needs no STATUS, so there is nobody to
 * wait for. */
static int stop(rub_zmq_scheduler_t *self)
{
    self->stopping = true;
    rub_control_t message = {.type = RUB_MSG_STOP};
    memcpy(message.stop.why, "the scheduler got a signal", sizeof "the scheduler got a signal");
    int rc = rub_scheduler_receive(self->core, 0, &message, rub_now_ms());
    if (rc == 0) {
        message = (rub_control_t){.type = RUB_MSG_STATUS_ASK, .status_ask = {.finish = 1}};
        rc = rub_scheduler_receive(self->core, 0, &message, rub_now_ms());
    }
    return rc;
}

static int turn(rub_zmq_scheduler_t *self)
{
    rub_poll_t item = {.socket = self->socket};
    if (self->interrupted && *self->interrupted && !self->stopping) {
        int rc = stop(self);
        if (rc < 0) {
            return rc;
        }
    }
    if (rub_socket_poll(&item, 1, TICK_MS / 2) > 0) {
        int rc = receive_all(self);
        if (rc < 0) {
            return rc;
        }
    }
    uint64_t now_ms = rub_now_ms();
    if (now_ms - self->ticked_ms < TICK_MS) {
        return 0;
    }
    self->ticked_ms = now_ms;
    return rub_scheduler_tick(self->core, now_ms);
}

int rub_zmq_scheduler_run(rub_zmq_scheduler_t *self, rub_error_t *err)
{
    while (!rub_scheduler_may_leave(self->core, rub_now_ms())) {
        int rc = turn(self);
        if (rc < 0) {
            return rub_fail(err, rc, "scheduler: %s",
                            self->store_error.code ? self->store_error.message
                                                   : rub_error_name(rc));
        }
    }
    const char *sentence = "";
    int failure = rub_scheduler_failure(self->core, &sentence);
    return failure ? rub_fail(err, failure, "%s", sentence) : 0;
}
