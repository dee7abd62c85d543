/* The two reactors that `rubato scheduler` and `rubato ps` run, as threads of somebody else's
 * process, on inproc endpoints of one libzmq context.
 *
 * Nothing here knows the protocol. What differs from processes: there is no wire that could break,
 * so a thread that ends is only noticed by its result; a shard that fails stops the others, as a ps
 * does; and who ends is always joined before its memory goes. Order of the end: the scheduler is
 * told to stop, it lets the shards go, and what has not gone by then is halted.
 *
 * Names of endpoints are the same in every fleet: they belong to the fleet's own context. */
#include "include/rubato_inproc.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/timing.h"
#include "common/net/zmq_socket.h"
#include "common/wire/control.h"
#include "ps/zmq_shard.h"
#include "scheduler/zmq_scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    WORKERS_LIMIT = 2048,
    SHARDS_LIMIT = 64,
    GRACE_MS = 10000,
    STOP_TRY_MS = 10,
    SNAPSHOT_TIMEOUT_MS = 300000 /* there is nowhere to take one to; the core wants a bound */
};

#define ADDRESS "inproc://rubato-scheduler"

typedef struct fleet_shard {
    rub_shard_run_t run;
    rub_net_t *net;
    atomic_int *halt;
    char listen[48];
    pthread_t thread;
    int rc;
    rub_error_t err;
} fleet_shard_t;

struct rub_inproc {
    rub_net_t *net;
    rub_zmq_scheduler_t *scheduler;
    pthread_t thread; /* of the scheduler */
    bool scheduling;
    int rc;
    rub_error_t err;
    atomic_int halt;
    fleet_shard_t *shards;
    uint32_t n_shards; /* started */
    FILE *log_file;
    rub_log_t log;
    char who[32];
};

void rub_inproc_options_defaults(rub_inproc_options_t *options)
{
    *options = (rub_inproc_options_t){.workers = 1,
                                      .shards = 1,
                                      .staleness = 4,
                                      .seed = 1,
                                      .memory_limit_bytes = UINT64_C(4) << 30,
                                      .join_timeout_ms = 60000,
                                      .lease_ms = 5000};
}

static int check(const rub_inproc_options_t *options, rub_error_t *err)
{
    if (options->workers < 1 || options->workers > WORKERS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "fleet: %u workers, expected 1 to %d", options->workers,
                        WORKERS_LIMIT);
    }
    if (options->shards < 1 || options->shards > SHARDS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "fleet: %u shards, expected 1 to %d", options->shards,
                        SHARDS_LIMIT);
    }
    if (options->memory_limit_bytes < (1u << 20)) {
        return rub_fail(err, RUB_EINVAL, "fleet: %llu bytes of memory, at least 1 MiB is needed",
                        (unsigned long long)options->memory_limit_bytes);
    }
    if (options->join_timeout_ms == 0 || options->lease_ms < 100) {
        return rub_fail(err, RUB_EINVAL,
                        "fleet: join_timeout_ms %u, lease_ms %u; expected at least 1 and 100",
                        options->join_timeout_ms, options->lease_ms);
    }
    return 0;
}

/* ---- threads ---- */

static void *schedule(void *context)
{
    rub_inproc_t *self = context;
    self->rc = rub_zmq_scheduler_run(self->scheduler, &self->err);
    return NULL;
}

static void *serve(void *context)
{
    fleet_shard_t *self = context;
    self->rc = rub_shard_run(self->net, &self->run, &self->err);
    if (self->rc && self->rc != RUB_ECANCELLED) {
        rub_log(self->run.log, RUB_LOG_ERROR, "%s", self->err.message);
        atomic_store(self->halt, 1);
    }
    return NULL;
}

/* Signals are the host's: its own threads get them. */
static int start_thread(pthread_t *thread, void *(*work)(void *), void *context, rub_error_t *err)
{
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failure = pthread_create(thread, NULL, work, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure ? rub_fail_errno(err, RUB_EIO, failure, "fleet: cannot start a thread") : 0;
}

static int start_scheduler(rub_inproc_t *self, const rub_inproc_options_t *options,
                           rub_error_t *err)
{
    rub_zmq_scheduler_options_t run = {.scheduler = {.n_workers = options->workers,
                                                     .n_shards = options->shards,
                                                     .staleness = options->staleness,
                                                     .seed = options->seed,
                                                     .lease_ms = options->lease_ms,
                                                     .join_timeout_ms = options->join_timeout_ms,
                                                     .grace_ms = GRACE_MS,
                                                     .snapshot_timeout_ms = SNAPSHOT_TIMEOUT_MS},
                                       .net = self->net,
                                       .address = ADDRESS,
                                       .who = self->who,
                                       .log = &self->log};
    (void)snprintf(run.scheduler.who, sizeof(run.scheduler.who), "%s", self->who);
    int rc = rub_zmq_scheduler_open(&run, &self->scheduler, err);
    rc = rc ? rc : start_thread(&self->thread, schedule, self, err);
    self->scheduling = rc == 0;
    return rc;
}

static int start_shard(rub_inproc_t *self, const rub_inproc_options_t *options, rub_error_t *err)
{
    fleet_shard_t *shard = &self->shards[self->n_shards];
    (void)snprintf(shard->listen, sizeof(shard->listen), "inproc://rubato-shard-%u",
                   self->n_shards);
    shard->net = self->net;
    shard->halt = &self->halt;
    shard->run = (rub_shard_run_t){.core = {.shard = self->n_shards,
                                            .n_shards = options->shards,
                                            .durability = RUB_DURABILITY_NONE,
                                            .limit_bytes = (size_t)options->memory_limit_bytes},
                                   .listen = shard->listen,
                                   .advertise = "",
                                   .scheduler = ADDRESS,
                                   .store_dir = "",
                                   .snapshots_dir = "",
                                   .join_timeout_ms = options->join_timeout_ms,
                                   .grace_ms = GRACE_MS,
                                   .halt = &self->halt,
                                   .log = &self->log};
    (void)snprintf(shard->run.core.who, sizeof(shard->run.core.who), "%s", self->who);
    const int rc = start_thread(&shard->thread, serve, shard, err);
    self->n_shards += rc == 0;
    return rc;
}

/* ---- life ---- */

static int open_log(rub_inproc_t *self, const char *path, rub_error_t *err)
{
    if (path) {
        self->log_file = fopen(path, "ae");
        if (!self->log_file) {
            return rub_fail_errno(err, RUB_EIO, errno, "fleet: cannot write its log '%s'", path);
        }
    }
    rub_log_init(&self->log, self->log_file, RUB_LOG_INFO, "fleet");
    return 0;
}

int rub_inproc_start(const rub_inproc_options_t *options, rub_inproc_t **fleet_p, rub_error_t *err)
{
    rub_error_t unasked = {0};
    err = err ? err : &unasked;
    if (!options || !fleet_p) {
        return rub_fail(err, RUB_EINVAL, "fleet: %s is NULL", options ? "fleet_p" : "options");
    }
    *fleet_p = NULL;
    int rc = check(options, err);
    if (rc) {
        return rc;
    }
    rub_inproc_t *self = rub_calloc(1, sizeof(*self));
    fleet_shard_t *shards = rub_calloc(options->shards, sizeof(*shards));
    if (!self || !shards) {
        rub_free(self);
        rub_free(shards);
        return rub_fail(err, RUB_ENOMEM, "fleet: memory is short");
    }
    self->shards = shards;
    atomic_init(&self->halt, 0);
    (void)snprintf(self->who, sizeof(self->who), "fleet:%p", (void *)self);
    rc = open_log(self, options->log_path, err);
    self->net = rc ? NULL : rub_net_new(err);
    rc = rc || self->net ? rc : err->code;
    rc = rc ? rc : start_scheduler(self, options, err);
    while (!rc && self->n_shards < options->shards) {
        rc = start_shard(self, options, err);
    }
    if (rc) {
        (void)rub_inproc_stop(&self, NULL);
    }
    *fleet_p = self;
    return rc;
}

const char *rub_inproc_address(const rub_inproc_t *fleet)
{
    (void)fleet;
    return ADDRESS;
}

void *rub_inproc_context(const rub_inproc_t *fleet)
{
    return rub_net_context(fleet->net);
}

/* STOP, as `rubato` says it, and that nobody wants to look at what is left. */
static int say_stop(rub_socket_t *socket, rub_error_t *err)
{
    const rub_control_t stop = {.type = RUB_MSG_STOP,
                                .stop = {.why = "its program stops the fleet"}};
    const rub_control_t seen = {.type = RUB_MSG_STATUS_ASK, .status_ask = {.finish = 1}};
    rub_buf_t out;
    rub_buf_init(&out);
    int rc = rub_control_encode(&stop, &out, err);
    rc = rc ? rc : rub_socket_send_bytes(socket, 0, out.data, out.bytes);
    rub_buf_reset(&out);
    rc = rc ? rc : rub_control_encode(&seen, &out, err);
    rc = rc ? rc : rub_socket_send_bytes(socket, 0, out.data, out.bytes);
    rub_buf_fini(&out);
    return rc;
}

/* Until the scheduler's thread has ended. Told by a message, and the socket stays until it has been
 * heard. Memory may be too short for that: it is tried again, since a thread that runs can not be
 * left behind. */
static void stop_scheduler(rub_inproc_t *self)
{
    rub_socket_t *socket = NULL;
    while (!socket || say_stop(socket, NULL) != 0) {
        rub_socket_close(&socket, 0);
        if (rub_socket_open(self->net, RUB_SOCKET_DEALER, &socket, NULL) != 0 ||
            rub_socket_connect(socket, ADDRESS, NULL) != 0) {
            rub_socket_close(&socket, 0);
            rub_sleep_ms(STOP_TRY_MS);
        }
    }
    (void)pthread_join(self->thread, NULL);
    rub_socket_close(&socket, 0);
}

/* How the job ended: being stopped is no failure. Shards are refused by a scheduler whose job has
 * failed; why it has, the scheduler says itself. */
static int result_of(const rub_inproc_t *self, rub_error_t *err)
{
    for (uint32_t i = 0; i < self->n_shards; i++) {
        const fleet_shard_t *shard = &self->shards[i];
        if (shard->rc && shard->rc != RUB_ECANCELLED && shard->rc != RUB_EREFUSED) {
            return rub_fail(err, shard->rc, "%s", shard->err.message);
        }
    }
    return self->rc && self->rc != RUB_EINTR ? rub_fail(err, self->rc, "%s", self->err.message) : 0;
}

int rub_inproc_stop(rub_inproc_t **fleet_p, rub_error_t *err)
{
    rub_inproc_t *self = *fleet_p;
    *fleet_p = NULL;
    if (!self) {
        return 0;
    }
    if (self->scheduling) {
        stop_scheduler(self);
    }
    atomic_store(&self->halt, 1); /* who was let go has gone, or goes now */
    for (uint32_t i = 0; i < self->n_shards; i++) {
        (void)pthread_join(self->shards[i].thread, NULL);
    }
    const int rc = result_of(self, err);
    rub_zmq_scheduler_close(&self->scheduler);
    rub_net_destroy(&self->net);
    if (self->log_file) {
        (void)fclose(self->log_file);
    }
    rub_free(self->shards);
    rub_free(self);
    return rc;
}
