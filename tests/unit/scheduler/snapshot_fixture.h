/* A job of two workers and two shards in which a snapshot is asked for, pinned and folded. */
#ifndef TEST_SNAPSHOT_FIXTURE_H
#define TEST_SNAPSHOT_FIXTURE_H

#include "tests/unit/scheduler/job_fixture.h"

enum { OBSERVER = 950 };

static inline rub_control_t ask(job_t *job, uint8_t nonce)
{
    rub_control_t message = {.type = RUB_MSG_SNAPSHOT_ASK, .snapshot_ask = {.nonce_bytes = 16}};
    memset(message.snapshot_ask.nonce, nonce, 16);
    const size_t before = job->n_sent;
    job_receive(job, OBSERVER, &message);
    for (size_t i = job->n_sent; i > before; i--) {
        if (job->sent[i - 1].to == OBSERVER) {
            return job->sent[i - 1].message;
        }
    }
    fail_msg("the observer got no answer");
    return (rub_control_t){0};
}

static inline void pinned_as(job_t *job, uint32_t shard, uint64_t number, uint64_t done0,
                             uint64_t done1, uint32_t marks)
{
    rub_pinned_rank_t ranks[] = {{.rank = 0, .epoch = 1, .done = done0, .marks = RUB_PINNED_PUSHED},
                                 {.rank = 1, .epoch = 1, .done = done1, .marks = marks}};
    const rub_control_t message = {.type = RUB_MSG_PINNED,
                                   .pinned = {.shard = shard,
                                              .incarnation = job->incarnation[shard],
                                              .number = number,
                                              .ranks = ranks,
                                              .n_ranks = 2}};
    job_receive(job, SHARD(shard), &message);
}

/* Both ranks are at work, and keep nothing back. */
static inline void pinned(job_t *job, uint32_t shard, uint64_t number, uint64_t done0,
                          uint64_t done1)
{
    pinned_as(job, shard, number, done0, done1, RUB_PINNED_PUSHED);
    job_ack(job, WORKER(0));
    job_ack(job, WORKER(1));
}

static inline void folded(job_t *job, uint32_t shard, uint64_t number)
{
    const rub_control_t message = {.type = RUB_MSG_FOLDED,
                                   .folded = {.shard = shard,
                                              .incarnation = job->incarnation[shard],
                                              .number = number,
                                              .part_bytes = 100 + shard,
                                              .hash = 7 + shard,
                                              .rows = 5,
                                              .digest = 9}};
    job_receive(job, SHARD(shard), &message);
}

static inline void open_job(job_t *job, uint64_t staleness)
{
    job_init(job, 2, 2, staleness);
    job_gather(job);
}

/* The observer asks again: the snapshot was given up, and why. */
static inline void expect_given_up(job_t *job, uint8_t nonce, int code, const char *why)
{
    const rub_control_t answer = ask(job, nonce);
    assert_int_equal(answer.type, RUB_MSG_SNAPSHOT);
    assert_int_equal(answer.snapshot.state, RUB_SNAPSHOT_GIVEN_UP);
    assert_int_equal(answer.snapshot.code, -code);
    if (!strstr(answer.snapshot.sentence, why)) {
        fail_msg("'%s' does not say '%s'", answer.snapshot.sentence, why);
    }
    assert_int_equal(job_got(job, SHARD(0), RUB_MSG_UNPIN)->unpin.keep, 0);
    assert_int_equal(job->dropped[job->n_dropped - 1], answer.snapshot.number);
    assert_int_equal(job->n_manifests, 0);
}

#endif
