/* The auditor's ranks against the shard's: two programs written apart, stepped with the same random
 * records, agree on the minimum after every one of them. And what the auditor must refuse. */
#include "cli/audit_ranks.h"
#include "common/base/bytes.h"
#include "common/base/rng.h"
#include "ps/members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define RANKS 4u

typedef struct pair {
    rub_members_t shard;
    rub_audit_ranks_t audit;
    rub_rng_t rng;
    rub_rank_view_t ranks[RANKS];
    uint32_t n_ranks;
    uint64_t version, resumed_clock;
} pair_t;

static void over(void *context, const rub_member_t *member)
{
    (void)context;
    (void)member;
}

static void agree(pair_t *self)
{
    rub_members_raise_floor(&self->shard, rub_members_minimum(&self->shard));
    assert_int_equal(rub_audit_ranks_minimum(&self->audit), rub_members_minimum(&self->shard));
    for (uint32_t i = 0; i < RANKS; i++) {
        const rub_member_t *member = rub_members_find(&self->shard, i);
        if (member && member->epoch > 0) {
            assert_int_equal(rub_audit_ranks_seq(&self->audit, i, member->epoch), member->applied);
        }
    }
}

static void take_view(pair_t *self)
{
    const rub_control_t message = {.type = RUB_MSG_VIEW,
                                   .view = {.generation = 1,
                                            .version = ++self->version,
                                            .n_workers = 2,
                                            .resumed_clock = self->resumed_clock,
                                            .ranks = self->ranks,
                                            .n_ranks = self->n_ranks}};
    rub_buf_t bytes;
    rub_buf_init(&bytes);
    assert_int_equal(rub_control_encode(&message, &bytes, NULL), 0);
    assert_int_equal(rub_members_take_view(&self->shard, &message.view, 1, over, NULL), 0);
    assert_int_equal(
        rub_audit_ranks_take(&self->audit, RUB_RECORD_VIEW, bytes.data, bytes.bytes, NULL), 0);
    rub_buf_fini(&bytes);
    agree(self);
}

/* A new epoch of some rank, or the end of one. */
static void change_view(pair_t *self)
{
    const uint32_t rank = (uint32_t)(rub_rng_u64(&self->rng) % RANKS);
    while (self->n_ranks <= rank) {
        self->ranks[self->n_ranks] =
            (rub_rank_view_t){.rank = self->n_ranks, .epoch = 1, .state = (uint32_t)RUB_RANK_LIVE};
        self->n_ranks++;
    }
    if (rub_rng_u64(&self->rng) % 2) {
        self->ranks[rank].epoch++;
        self->ranks[rank].state = RUB_RANK_LIVE;
    } else {
        self->ranks[rank].state = RUB_RANK_GONE;
    }
    take_view(self);
}

static void take_record(pair_t *self, rub_record_type_t type, const rub_record_t *record)
{
    uint8_t payload[RUB_RECORD_HEAD_BYTES];
    rub_record_write_head(record, payload);
    rub_member_t *member = rub_members_find(&self->shard, record->rank);
    const uint64_t pin = rub_members_pin(&self->shard);
    switch (type) {
    case RUB_RECORD_PUSH:
        rub_member_push(member);
        break;
    case RUB_RECORD_CLOCK:
        rub_member_clock(member, record);
        break;
    case RUB_RECORD_IDLE:
        rub_member_idle(member, record);
        break;
    case RUB_RECORD_BYE:
        rub_member_bye(member, record);
        break;
    default:
        rub_member_resume(member, record, pin);
        break;
    }
    const bool revised = type == RUB_RECORD_PUSH && record->seq % 2 == 1;
    assert_int_equal(rub_audit_ranks_take(&self->audit, revised ? RUB_RECORD_REVISION : type,
                                          payload, sizeof payload, NULL),
                     0);
    agree(self);
}

/* One record that the shard would admit; false: this rank may say nothing now. */
static bool step_stream(pair_t *self)
{
    static const rub_record_type_t types[] = {RUB_RECORD_PUSH,  RUB_RECORD_PUSH, RUB_RECORD_CLOCK,
                                              RUB_RECORD_CLOCK, RUB_RECORD_IDLE, RUB_RECORD_RESUME,
                                              RUB_RECORD_BYE};
    const uint32_t rank = (uint32_t)(rub_rng_u64(&self->rng) % RANKS);
    const rub_member_t *member = rub_members_find(&self->shard, rank);
    if (!member || member->epoch == 0 || member->state != RUB_RANK_LIVE) {
        return false;
    }
    rub_record_type_t type = types[rub_rng_u64(&self->rng) % 7];
    type = type == RUB_RECORD_BYE && rub_rng_u64(&self->rng) % 8 ? RUB_RECORD_PUSH : type;
    const uint64_t ahead = rub_rng_u64(&self->rng) % 3;
    const rub_record_t record = {.rank = rank,
                                 .epoch = member->epoch,
                                 .seq = member->applied + 1,
                                 .clock = member->done + (type == RUB_RECORD_PUSH ? 0 : ahead)};
    int rc = 0;
    switch (type) {
    case RUB_RECORD_PUSH:
        rc = rub_member_check_push(member, record.clock);
        break;
    case RUB_RECORD_CLOCK:
        rc = rub_member_check_clock(member, record.clock, 0);
        break;
    case RUB_RECORD_RESUME:
        rc = rub_member_check_resume(member, record.clock);
        break;
    default:
        rc = rub_member_check_pause(member, record.clock, 0);
        break;
    }
    if (rc == 0) {
        take_record(self, type, &record);
    }
    return rc == 0;
}

static void the_auditor_and_the_shard_agree_on_every_minimum(void **state)
{
    (void)state;
    size_t steps = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        pair_t pair = {0};
        rub_members_init(&pair.shard);
        rub_audit_ranks_init(&pair.audit);
        rub_rng_init(&pair.rng, seed, 0);
        if (seed % 3 == 0) { /* a job that goes on from a snapshot */
            pair.resumed_clock = seed % 7 + 1;
            assert_int_equal(rub_members_found(&pair.shard, 2, pair.resumed_clock), 0);
        }
        take_view(&pair); /* the first one: places for two, held by nobody */
        for (int i = 0; i < 60; i++) {
            if (rub_rng_u64(&pair.rng) % 10 == 0) {
                change_view(&pair);
            } else {
                steps += step_stream(&pair);
            }
        }
        rub_members_fini(&pair.shard);
        rub_audit_ranks_fini(&pair.audit);
    }
    assert_true(steps > 20000); /* it was not only views */
}

static void records_of_a_rank_that_no_view_named_are_refused(void **state)
{
    (void)state;
    rub_audit_ranks_t audit;
    rub_audit_ranks_init(&audit);
    uint8_t payload[RUB_RECORD_HEAD_BYTES];
    rub_error_t err = {0};
    rub_record_write_head(&(rub_record_t){.rank = 1, .epoch = 1, .seq = 1}, payload);
    assert_int_equal(rub_audit_ranks_take(&audit, RUB_RECORD_CLOCK, payload, sizeof payload, &err),
                     RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "rank 1, epoch 1"));
    assert_int_equal(rub_audit_ranks_take(&audit, RUB_RECORD_VIEW, "?", 1, &err), RUB_EPROTO);
    assert_true(rub_audit_ranks_take(&audit, RUB_RECORD_PUSH, payload, 3, &err) < 0);
    rub_audit_ranks_fini(&audit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_auditor_and_the_shard_agree_on_every_minimum),
        cmocka_unit_test(records_of_a_rank_that_no_view_named_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
