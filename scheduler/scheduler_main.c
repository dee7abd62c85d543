/* `rubato scheduler`: from the options to a reactor, and from how the job ended to an exit code.
 *
 * The address to listen on is the one that everybody else is given, unless --listen or --port say
 * otherwise (behind a forwarded port, or on all interfaces). */
#include "scheduler/scheduler_main.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"
#include "scheduler/zmq_scheduler.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "tcp://host:port" from --scheduler, --listen and --port. */
static int listen_address(const rub_config_t *config, char *out, size_t out_bytes, rub_error_t *err)
{
    static const char scheme[] = "tcp://";
    const char *colon = strrchr(config->scheduler, ':');
    if (strncmp(config->scheduler, scheme, strlen(scheme)) != 0 ||
        colon < config->scheduler + strlen(scheme)) {
        return rub_fail(err, RUB_ECONFIG, "scheduler: '%s' is not tcp://host:port",
                        config->scheduler);
    }
    const char *host = config->scheduler + strlen(scheme);
    int host_chars = (int)(colon - host);
    if (config->origins[RUB_OPT_listen].source != RUB_FROM_DEFAULT &&
        !rub_config_listens_on_ipc(config)) {
        host = config->listen;
        host_chars = (int)strlen(host);
    }
    if (config->port) {
        snprintf(out, out_bytes, "%s%.*s:%" PRIu64, scheme, host_chars, host, config->port);
    } else {
        snprintf(out, out_bytes, "%s%.*s%s", scheme, host_chars, host, colon);
    }
    return 0;
}

/* NULL when memory is short; "" when the job lives in memory only. The caller frees it. */
static char *store_folder(const rub_config_t *config)
{
    if (config->store_dir[0]) {
        return rub_strdup(config->store_dir);
    }
    return config->run_dir[0] ? rub_sprintf("%s/scheduler", config->run_dir) : rub_strdup("");
}

static int run(const rub_config_t *config, const rub_log_t *log, rub_error_t *err)
{
    char who[128];
    char address[300];
    rub_zmq_scheduler_t *scheduler = NULL;
    char *store_dir = NULL;
    int rc = rub_config_check_reduce(config, err);
    if (rc < 0) {
        goto out;
    }
    store_dir = store_folder(config);
    if (!store_dir) {
        return rub_fail(err, RUB_ENOMEM, "scheduler: out of memory");
    }
    rc = listen_address(config, address, sizeof address, err);
    if (rc < 0) {
        goto out;
    }
    const uint64_t n_shards = config->n_shards ? config->n_shards : config->ps * config->shards;
    rub_zmq_scheduler_options_t options = {
        .scheduler = {.n_workers = (uint32_t)config->workers,
                      .n_shards = (uint32_t)n_shards,
                      .staleness = config->staleness,
                      .reduce = (uint32_t)config->reduce,
                      .seed = config->seed,
                      .lease_ms = (uint32_t)config->lease_ms,
                      .join_timeout_ms = (uint32_t)config->join_timeout_ms,
                      .grace_ms = (uint32_t)config->grace_ms,
                      .snapshot_interval_ms = config->snapshot_interval_ms,
                      .snapshots_kept = (uint32_t)config->snapshots_kept,
                      .snapshot_timeout_ms = config->snapshot_timeout_ms},
        .address = address,
        .store_dir = store_dir,
        .who = rub_host_pid(getpid(), who, sizeof who),
        .log = log,
        .interrupted = rub_signals_count(),
    };
    memcpy(options.scheduler.who, who, sizeof who);
    rub_snapshots_folder(config->snapshots_dir, config->run_dir, options.scheduler.snapshots_dir,
                         sizeof options.scheduler.snapshots_dir);
    /* Cut off it would be another folder, in which snapshots are removed. */
    if (strlen(options.scheduler.snapshots_dir) + 1 == sizeof options.scheduler.snapshots_dir) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "the folder of snapshots in run_dir has a path above %zu bytes: set "
                      "snapshots_dir",
                      sizeof options.scheduler.snapshots_dir - 2);
        goto out;
    }
    rc = rub_zmq_scheduler_open(&options, &scheduler, err);
    if (rc < 0) {
        goto out;
    }
    printf("scheduler at %s\n", rub_zmq_scheduler_address(scheduler));
    fflush(stdout);
    rub_log(log, RUB_LOG_INFO,
            "job %016" PRIx64 ", generation %" PRIu64 ": %" PRIu64 " workers, %" PRIu64 " shards%s",
            rub_zmq_scheduler_job(scheduler), rub_zmq_scheduler_generation(scheduler),
            config->workers, n_shards, store_dir[0] ? "" : ", in memory only");
    rc = rub_zmq_scheduler_run(scheduler, err);
out:
    rub_zmq_scheduler_close(&scheduler);
    rub_free(store_dir);
    return rc;
}

int rub_scheduler_main(const rub_config_t *config)
{
    rub_log_t log;
    rub_error_t err = {0};
    rub_log_init(&log, stderr, (rub_log_level_t)config->log_level, "scheduler");
    rub_signals_install(true);
    int rc = run(config, &log, &err);
    if (rc == 0) {
        rub_log(&log, RUB_LOG_INFO, "done");
        return 0;
    }
    rub_log(&log, RUB_LOG_ERROR, "%s", err.message);
    int signalled = rub_signals_exit_code();
    return rc == RUB_EINTR && signalled ? signalled : rub_error_exit_code(rc);
}
