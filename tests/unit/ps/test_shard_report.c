/* What a shard tells the scheduler of more ranks than one message holds. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "ps/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RANKS = 1300, PER_MESSAGE = 512, VERSION = 7 };

typedef struct heard {
    unsigned n_reports;
    uint64_t versions[8];
    unsigned times[RANKS]; /* that each rank was reported */
} heard_t;

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    RUB_UNUSED(context);
    RUB_UNUSED(peer);
    rub_packet_unref(&packet);
}

static void on_control(void *context, const rub_control_t *message)
{
    heard_t *heard = context;
    if (message->type != RUB_MSG_REPORT) {
        return;
    }
    rub_buf_t encoded;
    rub_buf_init(&encoded);
    assert_int_equal(rub_control_encode(message, &encoded, NULL), 0);
    rub_buf_fini(&encoded);
    assert_true(heard->n_reports < 8);
    assert_true(message->report.n_ranks <= PER_MESSAGE);
    assert_int_equal(message->report.n_status, 1);
    heard->versions[heard->n_reports++] = message->report.version;
    for (uint32_t i = 0; i < message->report.n_ranks; i++) {
        heard->times[message->report.ranks[i].rank]++;
    }
}

static void report_of(uint32_t n_ranks, heard_t *heard)
{
    const rub_shard_config_t config = {.n_shards = 1, .durability = RUB_DURABILITY_NONE};
    const rub_shard_effects_t effects = {.context = heard, .send = on_send, .control = on_control};
    *heard = (heard_t){0};
    rub_shard_t *shard = rub_shard_new(&config, &effects);
    assert_non_null(shard);
    assert_int_equal(rub_shard_open(shard, 1, 1000, NULL), 0);
    rub_rank_view_t *ranks = rub_calloc(n_ranks, sizeof(*ranks));
    assert_non_null(ranks);
    for (uint32_t i = 0; i < n_ranks; i++) {
        ranks[i] = (rub_rank_view_t){.rank = i, .epoch = 1, .state = RUB_RANK_LIVE};
    }
    const rub_control_t view = {.type = RUB_MSG_VIEW,
                                .view = {.job = 77,
                                         .generation = 1,
                                         .version = VERSION,
                                         .n_workers = n_ranks,
                                         .staleness = 4,
                                         .ranks = ranks,
                                         .n_ranks = n_ranks}};
    rub_shard_turn_begin(shard, 1000);
    assert_int_equal(rub_shard_control(shard, &view), 0);
    assert_int_equal(rub_shard_turn_end(shard), 0);
    const unsigned before = heard->n_reports;
    rub_shard_turn_begin(shard, 2000);
    assert_int_equal(rub_shard_tick(shard), 0);
    assert_int_equal(rub_shard_turn_end(shard), 0);
    assert_int_equal(before, 0);
    rub_shard_destroy(&shard);
    rub_free(ranks);
}

static void a_report_of_few_ranks_is_one_message(void **state)
{
    RUB_UNUSED(state);
    static heard_t heard;
    report_of(PER_MESSAGE, &heard);
    assert_int_equal(heard.n_reports, 1);
    assert_int_equal(heard.versions[0], VERSION);
}

static void a_report_of_many_ranks_names_each_once_and_the_version_last(void **state)
{
    RUB_UNUSED(state);
    static heard_t heard;
    report_of(RANKS, &heard);
    assert_int_equal(heard.n_reports, 3);
    assert_int_equal(heard.versions[0], 0);
    assert_int_equal(heard.versions[1], 0);
    assert_int_equal(heard.versions[2], VERSION);
    for (unsigned i = 0; i < RANKS; i++) {
        assert_int_equal(heard.times[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_of_few_ranks_is_one_message),
        cmocka_unit_test(a_report_of_many_ranks_names_each_once_and_the_version_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
