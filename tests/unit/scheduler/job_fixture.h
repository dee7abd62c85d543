/* A job on a bench: the scheduler's core with recorded effects, virtual time, and short names for
 * what shards and workers say. Callers: shard s is 100 + s, the worker of rank r is 200 + r. Time
 * starts at 1,000,000 ms. */
#ifndef RUB_JOB_FIXTURE_H
#define RUB_JOB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/error.h"
#include "scheduler/scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#define SENT_LIMIT 65536
#define SHARD(s) (100u + (s))
#define WORKER(r) (200u + (r))

typedef struct sent {
    rub_caller_t to;
    rub_control_t message; /* lists: only counts are valid later */
    unsigned commits;      /* made before it left */
    uint64_t at_ms;
} sent_t;

typedef struct job {
    rub_scheduler_t *core;
    rub_scheduler_config_t config;
    uint64_t now_ms;
    uint64_t incarnation[8];
    sent_t *sent;
    size_t n_sent;
    unsigned commits;
    int commit_result;
    uint8_t *state;
    size_t state_bytes;
    rub_status_t status; /* of the last STATUS */
    rub_gap_count_t gaps[16];
    rub_metric_value_t metrics[4];
    rub_shard_status_t shards[8];
    rub_cut_rank_t cut[8]; /* of the last CUT */
    uint32_t n_cut;
    rub_manifest_t manifest; /* the last one; lists: only counts are valid */
    rub_manifest_part_t parts[8];
    unsigned n_manifests;
    int write_result;
    uint64_t dropped[16];
    unsigned n_dropped;
    unsigned n_notices;
    char notice[256]; /* the last one */
} job_t;

static inline void job_send(void *context, rub_caller_t to, const rub_control_t *message)
{
    job_t *job = context;
    assert_true(job->n_sent < SENT_LIMIT);
    job->sent[job->n_sent++] =
        (sent_t){.to = to, .message = *message, .commits = job->commits, .at_ms = job->now_ms};
    for (uint32_t i = 0; message->type == RUB_MSG_CUT && i < message->cut.n_ranks && i < 8; i++) {
        job->cut[i] = message->cut.ranks[i];
        job->n_cut = i + 1;
    }
    if (message->type == RUB_MSG_STATUS) {
        job->status = message->status;
        for (uint32_t i = 0; i < message->status.n_gaps && i < 16; i++) {
            job->gaps[i] = message->status.gaps[i];
        }
        for (uint32_t i = 0; i < message->status.n_metrics && i < 4; i++) {
            job->metrics[i] = message->status.metrics[i];
        }
        for (uint32_t i = 0; i < message->status.n_shards && i < 8; i++) {
            job->shards[i] = message->status.shards[i];
        }
    }
}

static inline int job_commit(void *context, const void *state, size_t n_bytes)
{
    job_t *job = context;
    if (job->commit_result < 0) {
        return job->commit_result;
    }
    job->commits++;
    free(job->state);
    job->state = malloc(n_bytes);
    memcpy(job->state, state, n_bytes);
    job->state_bytes = n_bytes;
    return 0;
}

static inline int job_snapshot_write(void *context, rub_manifest_t *manifest, uint64_t since_cut_ms,
                                     rub_error_t *err)
{
    job_t *job = context;
    RUB_UNUSED(since_cut_ms);
    if (job->write_result < 0) {
        return rub_fail(err, job->write_result, "the disk says no");
    }
    job->n_manifests++;
    job->manifest = *manifest;
    for (uint32_t i = 0; i < manifest->n_shards && i < 8; i++) {
        job->parts[i] = manifest->parts[i];
    }
    return 0;
}

static inline void job_snapshot_drop(void *context, uint64_t number)
{
    job_t *job = context;
    assert_true(job->n_dropped < 16);
    job->dropped[job->n_dropped++] = number;
}

static inline void job_notice(void *context, const char *sentence)
{
    job_t *job = context;
    job->n_notices++;
    snprintf(job->notice, sizeof job->notice, "%s", sentence);
}

static inline void job_start(job_t *job)
{
    const rub_scheduler_effects_t effects = {.context = job,
                                             .send = job_send,
                                             .commit = job_commit,
                                             .snapshot_write = job_snapshot_write,
                                             .snapshot_drop = job_snapshot_drop,
                                             .notice = job_notice};
    job->core = rub_scheduler_new(&job->config, &effects);
    assert_non_null(job->core);
    if (job->state) {
        rub_error_t err = {0};
        assert_int_equal(rub_scheduler_load(job->core, job->state, job->state_bytes, &err), 0);
    }
    assert_int_equal(rub_scheduler_start(job->core, job->now_ms), 0);
}

static inline void job_init(job_t *job, uint32_t n_workers, uint32_t n_shards, uint64_t staleness)
{
    *job = (job_t){.now_ms = 1000000,
                   .config = {.job = 77,
                              .n_workers = n_workers,
                              .n_shards = n_shards,
                              .staleness = staleness,
                              .seed = 1,
                              .lease_ms = 5000,
                              .join_timeout_ms = 20000,
                              .grace_ms = 10000,
                              .snapshots_dir = "run/snapshots",
                              .snapshot_timeout_ms = 60000}};
    for (int i = 0; i < 8; i++) {
        job->incarnation[i] = 1;
    }
    job->sent = calloc(SENT_LIMIT, sizeof *job->sent);
    job_start(job);
}

static inline void job_fini(job_t *job)
{
    rub_scheduler_destroy(&job->core);
    free(job->sent);
    free(job->state);
}

/* kill -9 and a new generation from what was committed. */
static inline void job_restart(job_t *job)
{
    rub_scheduler_destroy(&job->core);
    job->now_ms += 300;
    job_start(job);
}

static inline void job_receive(job_t *job, rub_caller_t from, const rub_control_t *message)
{
    assert_int_equal(rub_scheduler_receive(job->core, from, message, job->now_ms), 0);
}

/* The last message of that type to that caller since `from_index`; fails the test when there is
 * none. */
static inline const rub_control_t *job_find(const job_t *job, size_t from_index, rub_caller_t to,
                                            uint32_t type)
{
    for (size_t i = job->n_sent; i > from_index; i--) {
        if (job->sent[i - 1].to == to && job->sent[i - 1].message.type == type) {
            return &job->sent[i - 1].message;
        }
    }
    return NULL;
}

static inline const rub_control_t *job_got(const job_t *job, rub_caller_t to, uint32_t type)
{
    const rub_control_t *message = job_find(job, 0, to, type);
    if (!message) {
        fail_msg("no %s was sent to %u", rub_message_name(type), (unsigned)to);
    }
    return message;
}

static inline size_t job_count(const job_t *job, size_t from_index, rub_caller_t to, uint32_t type)
{
    size_t n = 0;
    for (size_t i = from_index; i < job->n_sent; i++) {
        n += job->sent[i].to == to && job->sent[i].message.type == type;
    }
    return n;
}

static inline void job_ack_whole(job_t *job, rub_caller_t from, uint64_t whole_from)
{
    const rub_view_t *view = rub_scheduler_view(job->core);
    const rub_control_t message = {.type = RUB_MSG_VIEW_ACK,
                                   .view_ack = {.generation = view->generation,
                                                .version = view->version,
                                                .whole_from = whole_from}};
    job_receive(job, from, &message);
}

static inline void job_ack(job_t *job, rub_caller_t from)
{
    job_ack_whole(job, from, 0);
}

static inline void job_register(job_t *job, uint32_t shard)
{
    rub_control_t message = {.type = RUB_MSG_REGISTER,
                             .register_shard = {.shard = shard,
                                                .n_shards = job->config.n_shards,
                                                .incarnation = job->incarnation[shard]}};
    snprintf(message.register_shard.address, sizeof message.register_shard.address, "tcp://ps:%u",
             6000 + shard);
    snprintf(message.register_shard.who, sizeof message.register_shard.who, "ps:%u", 10 + shard);
    job_receive(job, SHARD(shard), &message);
    job_ack(job, SHARD(shard));
}

static inline rub_control_t job_join_message(uint32_t wanted, uint8_t nonce)
{
    rub_control_t message = {
        .type = RUB_MSG_JOIN,
        .join = {.role = RUB_TRAINER, .wanted_rank = wanted, .nonce_bytes = 16}};
    memset(message.join.nonce, nonce, 16);
    snprintf(message.join.who, sizeof message.join.who, "host:%u", 1000u + nonce);
    return message;
}

static inline void job_join(job_t *job, rub_caller_t from, uint32_t wanted, uint8_t nonce)
{
    const rub_control_t message = job_join_message(wanted, nonce);
    job_receive(job, from, &message);
}

/* What shard knows of a rank: heard so long ago, waits for it, its cursor. */
static inline rub_rank_report_t job_heard(uint32_t rank, uint32_t epoch, uint64_t heard_ms,
                                          uint32_t waited_for)
{
    return (rub_rank_report_t){
        .rank = rank, .epoch = epoch, .heard_ms = heard_ms, .waited_for = waited_for};
}

static inline void job_cursor(rub_rank_report_t *report, uint64_t epoch, uint64_t piece,
                              uint64_t done)
{
    report->cursor_bytes = 24;
    report->done = 1;
    rub_put_u64(report->cursor, epoch);
    rub_put_u64(report->cursor + 8, piece);
    rub_put_u64(report->cursor + 16, done);
}

static inline void job_report(job_t *job, uint32_t shard, rub_rank_report_t *ranks, uint32_t n)
{
    const rub_view_t *view = rub_scheduler_view(job->core);
    rub_shard_status_t status = {.shard = shard, .incarnation = job->incarnation[shard]};
    rub_gap_count_t gap = {.gap = 2, .count = 5};
    const rub_control_t message = {.type = RUB_MSG_REPORT,
                                   .report = {.job = view->job,
                                              .generation = view->generation,
                                              .version = view->version,
                                              .status = &status,
                                              .n_status = 1,
                                              .ranks = ranks,
                                              .n_ranks = n,
                                              .gaps = &gap,
                                              .n_gaps = 1}};
    job_receive(job, SHARD(shard), &message);
}

static inline void job_lease(job_t *job, uint32_t rank, uint32_t epoch)
{
    const rub_control_t message = {.type = RUB_MSG_LEASE,
                                   .lease = {.job = 77, .rank = rank, .epoch = epoch, .clock = 3}};
    job_receive(job, 300u + rank, &message);
}

/* Lets time pass in ticks; ranks and shards below their numbers speak each 500 ms. */
static inline void job_pass(job_t *job, uint64_t ms, uint32_t live_ranks, uint32_t live_shards)
{
    for (uint64_t end_ms = job->now_ms + ms; job->now_ms < end_ms;) {
        job->now_ms += 100;
        for (uint32_t i = 0; job->now_ms % 500 == 0 && i < live_ranks; i++) {
            job_lease(job, i, rub_scheduler_view(job->core)->ranks[i].epoch);
        }
        for (uint32_t i = 0; job->now_ms % 500 == 0 && i < live_shards; i++) {
            job_report(job, i, NULL, 0);
        }
        assert_int_equal(rub_scheduler_tick(job->core, job->now_ms), 0);
    }
}

/* All shards registered, all ranks joined: RUNNING. */
static inline void job_gather(job_t *job)
{
    for (uint32_t i = 0; i < job->config.n_shards; i++) {
        job_register(job, i);
    }
    for (uint32_t i = 0; i < job->config.n_workers; i++) {
        job_join(job, WORKER(i), i, (uint8_t)(1 + i));
    }
    for (uint32_t i = 0; i < job->config.n_shards; i++) {
        job_ack(job, SHARD(i));
        job_report(job, i, NULL, 0);
    }
    assert_int_equal(rub_scheduler_state(job->core), RUB_JOB_RUNNING);
}

static inline void job_dead(job_t *job, const char *who)
{
    rub_control_t message = {.type = RUB_MSG_DEAD};
    snprintf(message.dead.who, sizeof message.dead.who, "%s", who);
    job_receive(job, 900, &message);
}

static inline void job_leave(job_t *job, uint32_t rank, uint32_t epoch, uint32_t done, int code)
{
    rub_control_t message = {
        .type = RUB_MSG_LEAVE,
        .leave = {.rank = rank, .epoch = epoch, .done = done, .code = (uint64_t)-code}};
    snprintf(message.leave.why, sizeof message.leave.why, "%s", code ? "loss is NaN" : "");
    job_receive(job, WORKER(rank), &message);
}

static inline void job_status(job_t *job, uint32_t finish)
{
    const rub_control_t message = {.type = RUB_MSG_STATUS_ASK, .status_ask = {.finish = finish}};
    job_receive(job, 901, &message);
}

/* Asks for a piece; the answer. finished: UINT64_MAX for none. */
static inline rub_dealt_t job_piece(job_t *job, uint32_t rank, uint64_t request, uint64_t epoch,
                                    uint64_t finished)
{
    const rub_control_t message = {
        .type = RUB_MSG_PIECE_ASK,
        .piece_ask = {.request = request,
                      .rank = rank,
                      .epoch = rub_scheduler_view(job->core)->ranks[rank].epoch,
                      .data_epoch = epoch,
                      .n_examples = 250,
                      .piece_examples = 100,
                      .finished_piece = finished}};
    size_t before = job->n_sent;
    job_receive(job, WORKER(rank), &message);
    const rub_control_t *reply = job_find(job, before, WORKER(rank), RUB_MSG_PIECE);
    assert_non_null(reply);
    return reply->dealt;
}

static inline void job_barrier(job_t *job, uint32_t rank, uint64_t number, uint64_t clock,
                               double sum)
{
    rub_control_t message = {.type = RUB_MSG_BARRIER,
                             .barrier = {.number = number,
                                         .rank = rank,
                                         .epoch = rub_scheduler_view(job->core)->ranks[rank].epoch,
                                         .clock = clock,
                                         .sums_bytes = 8}};
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    rub_put_u64(message.barrier.sums, bits);
    job_receive(job, WORKER(rank), &message);
}

static inline void job_resumed(job_t *job, uint32_t rank, uint64_t number)
{
    const rub_control_t message = {
        .type = RUB_MSG_RESUMED,
        .resumed = {.number = number,
                    .rank = rank,
                    .epoch = rub_scheduler_view(job->core)->ranks[rank].epoch}};
    job_receive(job, WORKER(rank), &message);
}

static inline void job_finished(job_t *job, uint32_t shard, uint64_t digest)
{
    rub_shard_status_t status = {
        .shard = shard, .incarnation = job->incarnation[shard], .pushes = 9};
    const rub_control_t message = {
        .type = RUB_MSG_FINISHED,
        .finished = {
            .shard = shard, .digest = digest, .rows = 4, .status = &status, .n_status = 1}};
    job_receive(job, SHARD(shard), &message);
}

#endif
