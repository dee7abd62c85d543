/* `rubato ps`: a process of shards. Each shard is one thread that owns all it needs, from its
 * folder's lock to its sockets; this file turns options into shards, joins them, and makes one exit
 * code of their ends.
 *
 * A shard that fails takes the process with it at once: its siblings' journals are whole, and a
 * supervisor can only restart processes. */
#include "ps/ps_main.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/net/zmq_socket.h"
#include "common/proc/known_host.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"
#include "ps/zmq_shard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEEP_ALL = 1 }; /* of option journal_keep */

typedef struct shard_thread {
    rub_shard_run_t run;
    char listen[256], advertise[256];
    char snapshots[4096];
    rub_net_t *net;
    atomic_int *halt;
    pthread_t thread;
    int rc;
    rub_error_t err;
} shard_thread_t;

static void *shard_main(void *context)
{
    shard_thread_t *self = context;
    self->rc = rub_shard_run(self->net, &self->run, &self->err);
    if (self->rc && self->rc != RUB_EINTR && self->rc != RUB_ECANCELLED) {
        rub_log(self->run.log, RUB_LOG_ERROR, "%s", self->err.message);
        atomic_store(self->halt, 1);
    } else {
        rub_log(self->run.log, RUB_LOG_INFO, "%s",
                self->rc ? self->err.message : "the scheduler let this shard go");
    }
    return NULL;
}

/* What others call us when we listen on every interface. */
static const char *advertised_host(const rub_config_t *config, const rub_log_t *log, char *host,
                                   size_t host_bytes)
{
    if (config->advertise[0] != '\0') {
        return config->advertise;
    }
    if (strcmp(config->listen, "*") != 0 && strcmp(config->listen, "0.0.0.0") != 0) {
        return "";
    }
    char name[256];
    if (gethostname(name, sizeof(name)) != 0) {
        return "localhost";
    }
    name[sizeof(name) - 1] = '\0';
    const rub_known_host_t known = rub_known_host(name, config->scheduler, host, host_bytes);
    if (known != RUB_KNOWN_BY_NAME) {
        rub_log(log, RUB_LOG_WARN,
                "this host's name '%s' is not known here: others are told %s%s; --advertise tells "
                "them another",
                name, host,
                known == RUB_NOT_KNOWN ? ", as no address of ours leads to the scheduler" : "");
    }
    return host;
}

/* The colon before an advertised port; NULL: only a host is advertised ("[::1]" has colons too). */
static const char *advertised_port(const char *told)
{
    const char *colon = strrchr(told, ':');
    return colon && !strchr(colon, ']') ? colon : NULL;
}

/* Where others reach shard i of this ps: an advertised port counts up with the shards, as the bound
 * one does. */
static void advertise_at(const char *told, uint32_t i, char *out, size_t out_bytes)
{
    const char *colon = advertised_port(told);
    if (!colon) {
        (void)snprintf(out, out_bytes, "%s", told);
    } else {
        (void)snprintf(out, out_bytes, "%.*s:%lu", (int)(colon - told), told,
                       strtoul(colon + 1, NULL, 10) + i);
    }
}

/* A Unix socket without a file (the abstract namespace): however this process ends, nothing is left
 * of it. A successor takes another name, and tells the scheduler. RUB_EIO. */
static int name_ipc(const rub_config_t *config, uint32_t i, char *out, size_t out_bytes,
                    rub_error_t *err)
{
    uint8_t nonce[16];
    uint64_t token;
    if (rub_random_nonce(nonce)) {
        return rub_fail(err, RUB_EIO, "no random number for the name of a socket");
    }
    memcpy(&token, nonce, sizeof(token));
    (void)snprintf(out, out_bytes, "ipc://@rubato-%016llx-shard-%llu", (unsigned long long)token,
                   (unsigned long long)config->first_shard + i);
    return 0;
}

static int fill(shard_thread_t *self, const rub_config_t *config, uint32_t i, const char *store_dir,
                const char *advertise, const rub_log_t *log, rub_error_t *err)
{
    const uint64_t port = config->port ? config->port + i : 0;
    (void)snprintf(self->listen, sizeof(self->listen), "tcp://%s:%llu", config->listen,
                   (unsigned long long)port);
    const int rc = rub_config_listens_on_ipc(config)
                       ? name_ipc(config, i, self->listen, sizeof(self->listen), err)
                       : 0;
    if (rc) {
        return rc;
    }
    advertise_at(advertise, i, self->advertise, sizeof(self->advertise));
    self->run = (rub_shard_run_t){
        .core =
            {
                .shard = (uint32_t)config->first_shard + i,
                .n_shards = (uint32_t)config->n_shards,
                .durability = (uint32_t)config->durability,
                .limit_bytes = config->memory_limit_bytes,
                .checkpoint_interval_ms = (uint32_t)config->checkpoint_interval_ms,
                .redo_limit_bytes =
                    config->redo_limit_bytes ? config->redo_limit_bytes : RUB_REDO_LIMIT_BYTES,
                .redo_limit_grows = config->redo_limit_bytes == 0,
            },
        .listen = self->listen,
        .advertise = self->advertise,
        .scheduler = config->scheduler,
        .store_dir = store_dir,
        .snapshots_dir = rub_snapshots_folder(config->snapshots_dir, config->run_dir,
                                              self->snapshots, sizeof(self->snapshots)),
        .segment_bytes = config->segment_bytes,
        .lanes = config->lane != RUB_LANE_TCP,
        .keep_journal = config->journal_keep == KEEP_ALL,
        .join_timeout_ms = config->join_timeout_ms,
        .grace_ms = config->grace_ms,
        .signals = rub_signals_count(),
        .halt = self->halt,
        .log = log,
    };
    (void)rub_host_pid((int64_t)getpid(), self->run.core.who, sizeof(self->run.core.who));
    return 0;
}

/* What the options allow one by one but not together. */
static int check_config(const rub_config_t *config, rub_error_t *err)
{
    if (config->first_shard + config->shards > config->n_shards) {
        return rub_fail(err, RUB_ECONFIG, "shards %llu to %llu of a job of %llu",
                        (unsigned long long)config->first_shard,
                        (unsigned long long)(config->first_shard + config->shards - 1),
                        (unsigned long long)config->n_shards);
    }
    if (rub_config_listens_on_ipc(config) && (config->advertise[0] || config->port)) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: a Unix socket (listen: ipc) has a name of its own, and no port",
                        config->port ? "port" : "advertise");
    }
    if (config->port + config->shards > 65536) {
        return rub_fail(err, RUB_ECONFIG,
                        "port %llu and %llu shards: the last port would be above 65535",
                        (unsigned long long)config->port, (unsigned long long)config->shards);
    }
    const char *colon = advertised_port(config->advertise);
    char *end = NULL;
    const unsigned long told = colon ? strtoul(colon + 1, &end, 10) : 1;
    if (colon &&
        (end == colon + 1 || *end != '\0' || told == 0 || told + config->shards - 1 > 65535)) {
        return rub_fail(err, RUB_ECONFIG,
                        "advertise '%s': no port from 1 to 65535 for each of %llu shards",
                        config->advertise, (unsigned long long)config->shards);
    }
    return 0;
}

/* The first real failure decides; a signal's number comes before a clean end. */
static int exit_code_of(const shard_thread_t *threads, uint32_t n, rub_error_t *err)
{
    bool interrupted = false;
    for (uint32_t i = 0; i < n; i++) {
        if (threads[i].rc && threads[i].rc != RUB_EINTR && threads[i].rc != RUB_ECANCELLED) {
            *err = threads[i].err;
            return rub_error_exit_code(threads[i].rc);
        }
        interrupted = interrupted || threads[i].rc == RUB_EINTR;
    }
    return interrupted ? rub_signals_exit_code() : 0;
}

static int run_shards(const rub_config_t *config, const rub_log_t *log, rub_error_t *err)
{
    const uint32_t n = (uint32_t)config->shards;
    char host[256];
    atomic_int halt;
    atomic_init(&halt, 0);
    char *store_dir =
        config->store_dir[0]
            ? rub_strdup(config->store_dir)
            : rub_sprintf("%s%sps-%llu", config->run_dir, config->run_dir[0] ? "/" : "",
                          (unsigned long long)(config->first_shard / config->shards));
    shard_thread_t *threads = rub_calloc(n, sizeof(*threads));
    rub_net_t *net = rub_net_new(err);
    uint32_t started = 0;
    int code = 0;
    if (!store_dir || !threads || !net) {
        code = rub_error_exit_code(net ? rub_fail(err, RUB_ENOMEM, "no memory for %u shards", n)
                                       : err->code);
        goto out;
    }
    const char *advertise = advertised_host(config, log, host, sizeof(host));
    for (; started < n && !code; started++) {
        threads[started].halt = &halt;
        threads[started].net = net;
        int rc = fill(&threads[started], config, started, store_dir, advertise, log, err);
        if (!rc &&
            pthread_create(&threads[started].thread, NULL, shard_main, &threads[started]) != 0) {
            rc = rub_fail_errno(err, RUB_EIO, errno, "cannot start a thread");
        }
        if (rc) {
            code = rub_error_exit_code(rc);
            atomic_store(&halt, 1);
            break;
        }
    }
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i].thread, NULL);
    }
    code = code ? code : exit_code_of(threads, started, err);
out:
    rub_net_destroy(&net);
    rub_free(threads);
    rub_free(store_dir);
    return code;
}

int rub_ps_main(const rub_config_t *config)
{
    rub_alloc_tune_process();
    rub_signals_install(true);
    rub_signals_install_for_store();
    char who[48];
    (void)snprintf(who, sizeof(who), "ps %llu",
                   (unsigned long long)(config->first_shard / config->shards));
    rub_log_t log;
    rub_log_init(&log, stderr, (rub_log_level_t)config->log_level, who);
    rub_error_t err = {0};
    int code = rub_error_exit_code(check_config(config, &err));
    if (code) {
        rub_log(&log, RUB_LOG_ERROR, "%s", err.message);
    } else {
        code = run_shards(config, &log, &err);
    }
    rub_log(&log, code ? RUB_LOG_WARN : RUB_LOG_INFO, "leaves with %d%s%s", code,
            err.message[0] ? ": " : "", err.message);
    return code;
}
