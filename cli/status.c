/* `rubato status`: asks a scheduler once and shows what it says, as tables for people or JSON for
 * machines.
 *
 * An observer changes nothing, and gives up after 3 s. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/run_folder.h"
#include "cli/status_link.h"
#include "cli/tally.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <czmq.h>
#include <inttypes.h>
#include <jansson.h>

#define RUB_STATUS_TIMEOUT_MS 3000u

static const char *const job_states[] = {"gathering", "running", "finishing", "done", "failed"};
static const char *const rank_states[] = {"live", "gone", "done"};

static const char *word(const char *const *words, size_t n, uint32_t index)
{
    return index < n ? words[index] : "?";
}

#define JOB_STATE(state) word(job_states, 5, state)
#define RANK_STATE(state) word(rank_states, 3, state)

/* "0.3 s" or "never". */
static const char *ago(uint64_t ms, char *out, size_t out_bytes)
{
    if (ms == UINT64_MAX) {
        snprintf(out, out_bytes, "never");
    } else {
        snprintf(out, out_bytes, "%.1f s", (double)ms / 1000);
    }
    return out;
}

/* Who asks and does not read costs a shard memory, and is not heard until it has read. */
static void print_cut_off(const rub_status_t *status, FILE *out)
{
    for (uint32_t i = 0; i < status->n_shards; i++) {
        if (status->shards[i].cut_off > 0) {
            fprintf(out, "\nshard %u cut off %" PRIu64 " sessions that did not read\n",
                    status->shards[i].shard, status->shards[i].cut_off);
        }
    }
}

/* Whose values share memory with a shard; the others' come through their connections. */
static void print_lanes(const rub_status_t *status, FILE *out)
{
    for (uint32_t i = 0; i < status->n_shards; i++) {
        if (status->shards[i].lanes > 0) {
            fprintf(out, "\nshard %u: values of %" PRIu64 " sessions come through shared memory\n",
                    status->shards[i].shard, status->shards[i].lanes);
        }
    }
}

static void print_people(const rub_status_t *status, FILE *out)
{
    char bound[24], heard[32];
    fprintf(out,
            "job %016" PRIx64 "  %s, %.0f s old, staleness %s, scheduler generation %" PRIu64 "\n",
            status->job, JOB_STATE(status->state), (double)status->uptime_ms / 1000,
            rub_staleness_text(status->staleness, bound, sizeof bound), status->generation);
    if (status->reason[0]) {
        fprintf(out, "%s\n", status->reason);
    }
    fprintf(out, "\n%5s  %-6s %8s %6s %8s %10s %8s  %s\n", "rank", "state", "clock", "epoch",
            "step", "examples", "heard", "who");
    for (uint32_t i = 0; i < status->n_ranks; i++) {
        const rub_rank_status_t *rank = &status->ranks[i];
        /* People count the epoch that is trained from 1; who is done has them all behind. */
        const uint64_t epoch =
            rank->data_epoch + (rank->epoch > 0 && rank->state == RUB_RANK_LIVE ? 1 : 0);
        fprintf(out, "%5u  %-6s %8" PRIu64 " %6" PRIu64 " %8" PRIu64 " %10" PRIu64 " %8s  %s\n",
                rank->rank, rank->epoch ? RANK_STATE(rank->state) : "absent", rank->clock, epoch,
                rank->step, rank->examples, ago(rank->heard_ms, heard, sizeof heard), rank->who);
    }
    fprintf(out, "\n%5s  %8s %8s %7s %8s %9s %8s  %s\n", "shard", "pushes", "pulls", "parked",
            "rows", "memory", "heard", "address");
    for (uint32_t i = 0; i < status->n_shards; i++) {
        const rub_shard_status_t *shard = &status->shards[i];
        fprintf(out, "%5u  %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %8" PRIu64 " %8.1fM %8s  %s\n",
                shard->shard, shard->pushes, shard->pulls, shard->parked, shard->rows,
                (double)shard->memory_bytes / (1 << 20), ago(shard->heard_ms, heard, sizeof heard),
                shard->address[0] ? shard->address : "not here yet");
    }
    print_lanes(status, out);
    print_cut_off(status, out);
    if (status->lost_records > 0) {
        fprintf(out, "\n%" PRIu64 " acknowledged records were lost with the power\n",
                status->lost_records);
    }
    if (status->deleted_rows > 0) {
        fprintf(out, "\n%" PRIu64 " rows were deleted because they were idle or short\n",
                status->deleted_rows);
    }
    fprintf(out, "\ngap            p50 %" PRIu64 ", p99 %" PRIu64 ", max %" PRIu64 "\n",
            rub_gap_percentile(status->gaps, status->n_gaps, 0.5),
            rub_gap_percentile(status->gaps, status->n_gaps, 0.99),
            rub_gap_percentile(status->gaps, status->n_gaps, 1));
    for (uint32_t i = 0; i < status->n_metrics; i++) {
        fprintf(out, "%-14s %.6g\n", status->metrics[i].name, status->metrics[i].value);
    }
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Milliseconds since somebody was heard; null: never. */
static json_t *heard(uint64_t ms)
{
    return ms == UINT64_MAX ? json_null() : count(ms);
}

static json_t *ranks_json(const rub_status_t *status)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < status->n_ranks; i++) {
        const rub_rank_status_t *rank = &status->ranks[i];
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                            "rank", (int)rank->rank, "epoch", (int)rank->epoch, "state",
                            rank->epoch ? RANK_STATE(rank->state) : "absent", "who", rank->who,
                            "heard_ms", heard(rank->heard_ms), "clock", count(rank->clock),
                            "data_epoch", count(rank->data_epoch), "step", count(rank->step),
                            "examples", count(rank->examples), "loss", rub_json_number(rank->loss),
                            "pull_wait_us", count(rank->pull_wait_us), "push_wait_us",
                            count(rank->push_wait_us), "meet_wait_us", count(rank->meet_wait_us)));
    }
    return list;
}

static json_t *shards_json(const rub_status_t *status)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < status->n_shards; i++) {
        const rub_shard_status_t *shard = &status->shards[i];
        json_array_append_new(
            list,
            json_pack(
                "{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
                "s:o, s:o, s:o}",
                "shard", (int)shard->shard, "address", shard->address, "who", shard->who,
                "incarnation", count(shard->incarnation), "heard_ms", heard(shard->heard_ms),
                "pushes", count(shard->pushes), "pulls", count(shard->pulls), "parked",
                count(shard->parked), "rows", count(shard->rows), "memory_bytes",
                count(shard->memory_bytes), "journal_bytes", count(shard->journal_bytes), "lsn",
                count(shard->lsn), "synced_lsn", count(shard->synced_lsn), "lost",
                count(shard->lost), "no_space_ms", count(shard->no_space_ms), "cut_off",
                count(shard->cut_off), "lanes", count(shard->lanes), "deleted_rows",
                count(shard->deleted_rows), "not_admitted", count(shard->not_admitted)));
    }
    return list;
}

static void print_machine(const rub_status_t *status, FILE *out)
{
    char job[24];
    snprintf(job, sizeof job, "%016" PRIx64, status->job);
    json_t *metrics = json_object();
    for (uint32_t i = 0; i < status->n_metrics; i++) {
        json_object_set_new(metrics, status->metrics[i].name,
                            rub_json_number(status->metrics[i].value));
    }
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:o, s:i, s:b}", "job", job, "state",
                  JOB_STATE(status->state), "reason", status->reason, "generation",
                  count(status->generation), "version", count(status->version), "uptime_ms",
                  count(status->uptime_ms), "n_workers", (int)status->n_workers, "staleness",
                  status->staleness == RUB_ASYNC ? json_string("async") : count(status->staleness),
                  "evictions", (int)status->evictions, "clocked", status->clocked != 0);
    json_object_set_new(root, "lost_records", count(status->lost_records));
    json_object_set_new(root, "deleted_rows", count(status->deleted_rows));
    json_object_set_new(root, "not_admitted", count(status->not_admitted));
    json_object_set_new(root, "ranks", ranks_json(status));
    json_object_set_new(root, "shards", shards_json(status));
    json_object_set_new(root, "metrics", metrics);
    json_object_set_new(
        root, "gap",
        json_pack("{s:o, s:o, s:o}", "p50",
                  count(rub_gap_percentile(status->gaps, status->n_gaps, 0.5)), "p99",
                  count(rub_gap_percentile(status->gaps, status->n_gaps, 0.99)), "max",
                  count(rub_gap_percentile(status->gaps, status->n_gaps, 1))));
    json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(root);
}

int rub_status_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    rub_status_link_t *link = NULL;
    const rub_status_t *status = NULL;
    char address[128];
    int rc = 0;
    snprintf(address, sizeof address, "%s", config->scheduler);
    if (config->n_words > 1) {
        rc = rub_fail(&err, RUB_ECONFIG, "one run directory at a time, not also '%s'",
                      config->words[1]);
    } else if (config->n_words == 1) {
        rc = rub_run_folder_address(config->words[0], address, sizeof address, &err);
    }
    rc = rc ? rc : rub_status_link_open(address, &link, &err);
    rc = rc ? rc : rub_status_link_wait(link, address, RUB_STATUS_TIMEOUT_MS, &status, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato status: %s\n", err.message);
    } else if (config->json) {
        print_machine(status, stdout);
    } else {
        print_people(status, stdout);
    }
    rub_status_link_close(&link);
    return rc == RUB_EINTR ? rub_signals_exit_code() : rub_error_exit_code(rc);
}
