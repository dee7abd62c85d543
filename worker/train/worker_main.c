/* `rubato worker`: one rank of the job. Files are read and the model is built before the scheduler
 * is asked for a place, so that a missing file costs nobody anything. SIGTERM or Ctrl-C: leaves
 * with BYE, its data is dealt again; a second one leaves now. */
#include "worker/train/worker_main.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/proc/signals.h"
#include "worker/model/model.h"
#include "worker/train/workload.h"

#include <limits.h>
#include <stdio.h>

static void on_notice(void *context, const char *sentence)
{
    rub_log(context, RUB_LOG_INFO, "%s", sentence);
}

static int join(const rub_config_t *config, rub_log_t *log, rub_session_t **session_p,
                rub_error_t *err)
{
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = config->scheduler;
    options.rank = config->rank == RUB_RANK_ANY ? RUB_ANY_RANK : (int32_t)config->rank;
    options.join_timeout_ms = (uint32_t)config->join_timeout_ms;
    options.request_timeout_ms = (uint32_t)config->request_timeout_ms;
    options.grace_ms = (uint32_t)config->grace_ms;
    options.notice = on_notice;
    options.notice_context = log;
    options.interrupted = rub_signals_count();
    char pulls[PATH_MAX];
    if (config->pull_log) {
        if (snprintf(pulls, sizeof(pulls), "%s/pulls",
                     config->run_dir[0] ? config->run_dir : ".") >= (int)sizeof(pulls)) {
            return rub_fail(err, RUB_ECONFIG, "run_dir: the path is too long");
        }
        options.pull_log_dir = pulls;
    }
    options.retain = (rub_retain_t)config->retain;
    options.lane = (rub_lane_choice_t)config->lane;
    return rub_open(&options, session_p, err);
}

static void say_joined(const rub_session_t *session, rub_log_t *log)
{
    rub_info_t info;
    char blas[200];
    rub_session_info(session, &info);
    rub_model_blas(blas, sizeof(blas));
    snprintf(log->who, sizeof(log->who), "worker %u", info.rank);
    rub_log(log, RUB_LOG_INFO, "joined as rank %u (epoch %u) of %u, %u shards, seed %llu; %s",
            info.rank, info.epoch, info.n_workers, info.n_shards, (unsigned long long)info.seed,
            blas);
}

static void say_traffic(const rub_session_t *session, const rub_log_t *log)
{
    rub_stats_t stats;
    rub_session_stats(session, &stats);
    rub_log(log, RUB_LOG_INFO, "values on the wire: pushed %llu bytes, pulled %llu bytes",
            (unsigned long long)stats.push_bytes, (unsigned long long)stats.pull_bytes);
}

/* Leaves as the training ended; err is what ended it. */
static int leave(rub_session_t **session_p, int rc, const rub_log_t *log, rub_error_t *err)
{
    rub_error_t leaving = {0};
    int left = 0;
    if (rc == 0 || rc == RUB_EINTR) {
        left = rub_close(session_p, rc == 0, &leaving);
    } else {
        left = rub_close_failed(session_p, rc, err->message, &leaving);
    }
    if (left) {
        rub_log(log, RUB_LOG_WARN, "left without an answer: %s", leaving.message);
    }
    if (rc == 0 && left) {
        *err = leaving;
        return left;
    }
    return rc;
}

int rub_worker_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    rub_log_t log;
    rub_workload_t workload = {0};
    rub_session_t *session = NULL;
    rub_alloc_tune_process();
    rub_signals_install(true);
    rub_log_init(&log, stderr, (rub_log_level_t)config->log_level, "worker");

    int rc = rub_workload_join(config, &workload, &err);
    rc = rc ? rc : join(config, &log, &session, &err);
    if (rc == 0) {
        say_joined(session, &log);
        rc = rub_training_run(session, workload.task, &workload.plan, &log, &err);
        say_traffic(session, &log);
        rc = leave(&session, rc, &log, &err);
    }
    rub_workload_close(&workload);
    if (rc == 0) {
        rub_log(&log, RUB_LOG_INFO, "done");
        return 0;
    }
    if (rub_signals_exit_code() != 0) {
        rub_log(&log, RUB_LOG_INFO, "stopped by a signal");
        return rub_signals_exit_code();
    }
    rub_log(&log, RUB_LOG_ERROR, "%s", err.message);
    return rub_error_exit_code(rc);
}
