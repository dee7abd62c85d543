/* A fold holds what each rank did below its cut, and nothing else, whatever the journal's order. */
#include "common/base/error.h"
#include "tests/unit/ps/fold_fixture.h"

static char folder[64];

static int setup(void **state)
{
    RUB_UNUSED(state);
    snprintf(folder, sizeof(folder), "/tmp/rub-fold-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    RUB_UNUSED(state);
    return rub_fs_remove_tree(folder, NULL);
}

/* One period of a rank: two pushes and a CLOCK; seqs in step with periods. */
static void period(fx_t *fx, uint32_t rank, uint64_t clock)
{
    const uint64_t seq = 3 * clock + 1;
    fx_push_block(fx, 100 + rank, seq, clock, clock % 2, 0.01F * (float)(rank + clock + 1));
    fx_push(fx, 100 + rank, seq + 1, clock, 1000 * rank + clock, 1.0F);
    fx_say(fx, 100 + rank, RUB_MSG_CLOCK, seq + 2, clock + 1);
}

/* A shard that was only told what is below the cut, in the order of before. */
static uint64_t digest_of_prefix(uint64_t staleness, const uint8_t *order, size_t n, uint64_t cut_0,
                                 uint64_t cut_1)
{
    const uint64_t cuts[2] = {cut_0, cut_1};
    uint64_t clocks[2] = {0, 0};
    fx_t fx;
    fx_open(&fx, 2, staleness);
    for (size_t i = 0; i < n; i++) {
        const uint32_t rank = order[i];
        if (clocks[rank] < cuts[rank]) {
            period(&fx, rank, clocks[rank]++);
        }
    }
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_close(&fx);
    return digest;
}

static const uint8_t order[] = {0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1};

static void run_order(fx_t *fx, size_t from, size_t to)
{
    uint64_t clocks[2] = {0, 0};
    for (size_t i = 0; i < to; i++) {
        if (i >= from) {
            period(fx, order[i], clocks[order[i]]);
        }
        clocks[order[i]]++;
    }
}

static void expect_fold(fx_t *fx, const rub_fold_cut_t *cut, uint64_t digest)
{
    rub_fold_result_t result;
    rub_error_t err = {0};
    if (ff_fold(fx, folder, cut, &result, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_true(result.digest == digest);
    assert_true(result.n_bytes > 0);
    char path[100];
    uint64_t n_bytes = 0, hash = 0;
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    assert_int_equal(rub_part_read(path, &(rub_part_visitor_t){0}, &n_bytes, &hash, &err), 0);
    assert_int_equal(n_bytes, result.n_bytes);
    assert_true(hash == result.hash);
}

/* ---- the filter ---- */

static bool beyond(const rub_fold_cut_t *cut, uint64_t lsn, rub_record_type_t type, uint32_t rank,
                   uint32_t epoch, uint64_t done)
{
    uint8_t payload[RUB_RECORD_HEAD_BYTES];
    const rub_record_t record = {.rank = rank, .epoch = epoch, .seq = 9, .clock = done};
    rub_record_write_head(&record, payload);
    const rub_fold_place_t place = {.done = done, .applied = 8};
    return rub_fold_is_beyond(cut, lsn, type, payload, sizeof(payload), &place);
}

static void the_clock_of_a_rank_decides(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{3, 2, 7}, {0, 1, 5}};
    const rub_fold_cut_t cut = {.pin_lsn = 100, .ranks = ranks, .n_ranks = 2};
    assert_false(beyond(&cut, 101, RUB_RECORD_PUSH, 0, 1, 4));
    assert_true(beyond(&cut, 101, RUB_RECORD_PUSH, 0, 1, 5));
    assert_false(beyond(&cut, 101, RUB_RECORD_PUSH, 3, 2, 6));
    assert_true(beyond(&cut, 101, RUB_RECORD_CLOCK, 3, 2, 7));
    assert_false(beyond(&cut, 101, RUB_RECORD_CLOCK, 3, 2, 6)); /* CLOCK 7 itself */
    assert_true(beyond(&cut, 101, RUB_RECORD_REFUSED, 0, 1, 9));
    assert_true(beyond(&cut, 101, RUB_RECORD_PUSH, 3, 3, 0));  /* a later epoch */
    assert_true(beyond(&cut, 101, RUB_RECORD_PUSH, 1, 1, 0));  /* nobody the cut knows */
    assert_false(beyond(&cut, 100, RUB_RECORD_PUSH, 1, 1, 0)); /* but before the pin all is in */
}

static void a_rank_that_rests_at_its_cut_says_so(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 5}};
    const rub_fold_cut_t cut = {.pin_lsn = 100, .ranks = ranks, .n_ranks = 1};
    assert_false(beyond(&cut, 101, RUB_RECORD_IDLE, 0, 1, 5));
    assert_false(beyond(&cut, 101, RUB_RECORD_BYE, 0, 1, 5));
    assert_true(beyond(&cut, 101, RUB_RECORD_RESUME, 0, 1, 5));
    assert_true(beyond(&cut, 101, RUB_RECORD_IDLE, 0, 1, 6));
}

static void behind_the_first_record_that_is_passed_over_all_of_the_stream_is(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 5}};
    const rub_fold_cut_t cut = {.pin_lsn = 100, .ranks = ranks, .n_ranks = 1};
    uint8_t payload[RUB_RECORD_HEAD_BYTES];
    const rub_record_t record = {.rank = 0, .epoch = 1, .seq = 9, .clock = 5};
    const rub_fold_place_t place = {.done = 5, .applied = 6};
    rub_record_write_head(&record, payload);
    assert_true(rub_fold_is_beyond(&cut, 101, RUB_RECORD_IDLE, payload, sizeof(payload), &place));
}

/* Between the pin and the cut rank 0 goes on while rank 1, cut below, stands: so rank 2 comes in
 * higher at the shard than the folding core, which passes over the others, would let it. */
static void who_comes_in_behind_the_pin_stands_where_its_stamps_say(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, UINT64_MAX);
    for (uint64_t clock = 1; clock <= 2; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
        fx_say(&fx, 101, RUB_MSG_CLOCK, clock, clock);
    }
    const rub_fold_rank_t ranks[] = {{0, 1, 2}, {1, 1, 2}, {2, 1, 5}};
    const rub_fold_cut_t cut = {.pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 3};
    for (uint64_t clock = 3; clock <= 4; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
        fx_say(&fx, 101, RUB_MSG_CLOCK, clock, clock);
    }
    fx.ranks[2] = (rub_rank_view_t){.rank = 2, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 3;
    fx_view(&fx);
    assert_int_equal(rub_shard_done(fx.shard, 2), 4);
    fx_hello(&fx, 102, 2, 1);
    fx_push(&fx, 102, 1, 4, 7, 1); /* stamped 4: in */
    fx_say(&fx, 102, RUB_MSG_CLOCK, 2, 5);
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_push(&fx, 102, 3, 5, 7, 1); /* stamped 5: not in */
    expect_fold(&fx, &cut, digest);
    fx_close(&fx);
}

static void a_period_is_closed_only_below_the_greatest_cut(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 5}, {1, 1, 7}};
    const rub_fold_cut_t cut = {.ranks = ranks, .n_ranks = 2};
    const rub_fold_place_t place = {.done = 0};
    uint8_t payload[RUB_RECORD_CLOSE_BYTES];
    rub_close_write(&(rub_close_record_t){.period = 6}, payload);
    assert_false(rub_fold_is_beyond(&cut, 1, RUB_RECORD_CLOSE, payload, sizeof(payload), &place));
    rub_close_write(&(rub_close_record_t){.period = 7}, payload);
    assert_true(rub_fold_is_beyond(&cut, 1, RUB_RECORD_CLOSE, payload, sizeof(payload), &place));
    assert_false(rub_fold_is_beyond(&cut, 1, RUB_RECORD_VIEW, "", 0, &place));
    /* The replay refuses it. */
    assert_false(rub_fold_is_beyond(&cut, 1, RUB_RECORD_PUSH, "short", 5, &place));
}

/* ---- whole folds ---- */

static void ranks_are_cut_where_they_stand_without_a_bound(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t cut_0 = 3; cut_0 <= 8; cut_0++) {
        for (uint64_t cut_1 = 3; cut_1 <= 8; cut_1 += 2) {
            const rub_fold_rank_t ranks[] = {{0, 1, cut_0}, {1, 1, cut_1}};
            fx_t fx;
            fx_open(&fx, 2, UINT64_MAX);
            run_order(&fx, 0, 6); /* three periods each */
            const rub_fold_cut_t cut = {
                .pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
            run_order(&fx, 6, sizeof(order));
            expect_fold(&fx, &cut,
                        digest_of_prefix(UINT64_MAX, order, sizeof(order), cut_0, cut_1));
            fx_close(&fx);
        }
    }
}

static void an_image_from_before_the_pin_is_brought_to_the_cut(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 6}, {1, 1, 5}};
    for (size_t stored_at = 2; stored_at <= 6; stored_at++) {
        fx_t fx;
        fx_open(&fx, 2, UINT64_MAX);
        run_order(&fx, 0, stored_at);
        fx_tick(&fx, 1000);
        fx_commit(&fx);
        run_order(&fx, stored_at, 8);
        const rub_fold_cut_t cut = {
            .pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
        run_order(&fx, 8, sizeof(order));
        expect_fold(&fx, &cut, digest_of_prefix(UINT64_MAX, order, sizeof(order), 6, 5));
        fx_close(&fx);
    }
}

static void a_bsp_fold_is_the_state_after_a_period(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t at = 4; at <= 7; at++) {
        const rub_fold_rank_t ranks[] = {{0, 1, at}, {1, 1, at}};
        fx_t fx;
        fx_open(&fx, 2, 0);
        run_order(&fx, 0, 7);
        const rub_fold_cut_t cut = {
            .pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
        run_order(&fx, 7, sizeof(order));
        expect_fold(&fx, &cut, digest_of_prefix(0, order, sizeof(order), at, at));
        fx_close(&fx);
    }
}

static void a_period_whose_close_waits_for_room_is_closed_by_the_fold(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 3}, {1, 1, 3}};
    fx_t fx;
    fx_open(&fx, 2, 0);
    run_order(&fx, 0, 6);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    const rub_fold_cut_t cut = {.pin_lsn = 1, .ranks = ranks, .n_ranks = 2};
    rub_free(fx.journal[--fx.n_journal].bytes); /* as if the journal were full just then */
    expect_fold(&fx, &cut, digest_of_prefix(0, order, sizeof(order), 3, 3));
    fx_close(&fx);
}

/* Rank 0 ends period 0 by its first record, an IDLE, without a push: the mean is over both. */
static void who_rests_first_of_all_takes_part_in_the_period_that_it_ends(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 1}, {1, 1, 1}};
    fx_t fx;
    fx_open(&fx, 2, 0);
    const rub_fold_cut_t cut = {.pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
    period(&fx, 1, 0);
    fx_say(&fx, 100, RUB_MSG_IDLE, 1, 1);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    expect_fold(&fx, &cut, rub_shard_digest(fx.shard));
    fx_close(&fx);
}

/* Rank 0 comes back behind the pin and is lifted from 1 to 3; that it ends period 3 without a push
 * is no jump. */
static void who_comes_back_behind_the_pin_is_lifted_as_the_shard_lifted_it(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 4}, {1, 1, 4}};
    fx_t fx;
    fx_open(&fx, 2, 0);
    period(&fx, 0, 0);
    period(&fx, 1, 0);
    fx_say(&fx, 100, RUB_MSG_IDLE, 4, 1);
    period(&fx, 1, 1);
    period(&fx, 1, 2);
    const rub_fold_cut_t cut = {.pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
    fx_say(&fx, 100, RUB_MSG_RESUME, 5, 1);
    assert_int_equal(rub_shard_done(fx.shard, 0), 3);
    period(&fx, 1, 3);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 6, 4);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    expect_fold(&fx, &cut, rub_shard_digest(fx.shard));
    fx_close(&fx);
}

static void a_rank_that_has_not_come_to_its_cut_is_named(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 3}, {1, 1, 4}};
    fx_t fx;
    rub_fold_result_t result;
    rub_error_t err = {0};
    fx_open(&fx, 2, 4);
    run_order(&fx, 0, 6);
    const rub_fold_cut_t cut = {.pin_lsn = 1, .ranks = ranks, .n_ranks = 2};
    assert_int_equal(ff_fold(&fx, folder, &cut, &result, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "rank 1 epoch 1 stands at clock 3, the cut is at 4"));
    char path[100];
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    assert_false(rub_fs_exists(path));
    fx_close(&fx);
}

static void fold_that_needs_more_memory_than_it_is_given_is_given_up(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 3}, {1, 1, 3}};
    fx_t fx;
    rub_fold_result_t result;
    rub_error_t err = {0};
    char journal[100], path[100];
    fx_open(&fx, 2, 4);
    run_order(&fx, 0, RUB_COUNT_OF(order));
    snprintf(journal, sizeof(journal), "%s/journal", folder);
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    ff_write_journal(&fx, journal);
    rub_fold_request_t request = {
        .n_shards = 1,
        .image = {.context = &fx, .state = ff_state, .each_chunk = ff_each_chunk},
        .journal_dir = journal,
        .to_lsn = rub_shard_lsn(fx.shard),
        .cut = {.pin_lsn = 1, .ranks = ranks, .n_ranks = 2},
        .limit_bytes = 4096, /* less than a block */
        .path = path};
    assert_int_equal(rub_fold_write(&request, &result, &err), RUB_ELIMIT);
    assert_non_null(strstr(err.message, "at most 4096"));
    assert_false(rub_fs_exists(path));
    request.limit_bytes = 1u << 30;
    assert_int_equal(rub_fold_write(&request, &result, &err), 0);
    assert_true(rub_fs_exists(path));
    assert_int_equal(unlink(path), 0);
    fx_close(&fx);
}

static void who_was_given_up_leaves_no_file(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 3}, {1, 1, 3}};
    atomic_bool cancel = true;
    fx_t fx;
    rub_fold_result_t result;
    rub_error_t err = {0};
    char journal[100], path[100];
    fx_open(&fx, 2, 4);
    run_order(&fx, 0, 6);
    snprintf(journal, sizeof(journal), "%s/journal", folder);
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    ff_write_journal(&fx, journal);
    const rub_fold_request_t request = {
        .n_shards = 1,
        .image = {.context = &fx, .state = ff_state, .each_chunk = ff_each_chunk},
        .journal_dir = journal,
        .to_lsn = rub_shard_lsn(fx.shard),
        .cut = {.pin_lsn = 1, .ranks = ranks, .n_ranks = 2},
        .path = path,
        .cancel = &cancel};
    assert_int_equal(rub_fold_write(&request, &result, &err), RUB_ECANCELLED);
    assert_false(rub_fs_exists(path));
    fx_close(&fx);
}

/* A cursor is that of the cut, also when its rank was replaced behind it. */
static int note_head(void *context, const rub_part_head_t *head, rub_error_t *err)
{
    RUB_UNUSED(err);
    rub_part_rank_t *rank = context;
    assert_int_equal(head->n_ranks, 2);
    *rank = head->ranks[1];
    return 0;
}

static void places_are_those_of_the_cut(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 3}, {1, 1, 2}};
    const uint8_t cursors[2][8] = {"second", "third"};
    fx_t fx;
    rub_fold_result_t result;
    rub_error_t err = {0};
    fx_open(&fx, 2, UINT64_MAX);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    const rub_fold_cut_t cut = {.pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
    for (uint64_t i = 0; i < 2; i++) {
        fx_frame(&fx, 101, (rub_header_t){.type = RUB_MSG_CLOCK, .seq = 2 + i, .clock = 2 + i},
                 NULL, 0, cursors[i], sizeof(cursors[i]));
    }
    fx.ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 2, .state = RUB_RANK_LIVE};
    fx_view(&fx);
    run_order(&fx, 0, 1);
    period(&fx, 0, 1);
    period(&fx, 0, 2);
    period(&fx, 0, 3);
    if (ff_fold(&fx, folder, &cut, &result, &err) != 0) {
        fail_msg("%s", err.message);
    }
    char path[100];
    rub_part_rank_t place;
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    const rub_part_visitor_t visitor = {.context = &place, .head = note_head};
    assert_int_equal(rub_part_read(path, &visitor, NULL, NULL, &err), 0);
    assert_int_equal(place.rank, 1);
    assert_int_equal(place.epoch, 1);
    assert_int_equal(place.done, 2);
    assert_int_equal(place.cursor_bytes, 8);
    assert_memory_equal(place.cursor, "second", 7);
    fx_close(&fx);
}

/* A verdict journals the clock that was refused, whatever it was: the core does not move by it, and
 * a fold that did would pass over all that the rank pushed afterwards. */
static void a_refused_clock_is_no_place(void **state)
{
    RUB_UNUSED(state);
    const rub_fold_rank_t ranks[] = {{0, 1, 2}, {1, 1, 2}};
    uint64_t digests[2];
    for (uint64_t refused = 0; refused < 2; refused++) {
        fx_t fx;
        rub_fold_result_t result;
        rub_error_t err = {0};
        uint64_t seq = 1;
        fx_open(&fx, 2, 4);
        fx_say(&fx, 100, RUB_MSG_IDLE, seq++, 0);
        const rub_fold_cut_t cut = {
            .pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
        fx_say(&fx, 100, RUB_MSG_RESUME, seq++, 0);
        if (refused) {
            fx_push(&fx, 100, seq++, 1000, 5, 1.0F); /* RUB_ECLOCK */
            assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_REFUSED);
        }
        for (uint64_t clock = 0; clock < 3; clock++) {
            fx_push(&fx, 100, seq++, clock, 7 + clock, 1.0F);
            fx_say(&fx, 100, RUB_MSG_CLOCK, seq++, clock + 1);
            period(&fx, 1, clock);
        }
        if (ff_fold(&fx, folder, &cut, &result, &err) != 0) {
            fail_msg("%s", err.message);
        }
        digests[refused] = result.digest;
        fx_close(&fx);
    }
    assert_true(digests[0] == digests[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_of_a_rank_decides),
        cmocka_unit_test(a_rank_that_rests_at_its_cut_says_so),
        cmocka_unit_test(behind_the_first_record_that_is_passed_over_all_of_the_stream_is),
        cmocka_unit_test(a_period_is_closed_only_below_the_greatest_cut),
        cmocka_unit_test_setup_teardown(a_rank_that_has_not_come_to_its_cut_is_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(fold_that_needs_more_memory_than_it_is_given_is_given_up,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_given_up_leaves_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(ranks_are_cut_where_they_stand_without_a_bound, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_image_from_before_the_pin_is_brought_to_the_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bsp_fold_is_the_state_after_a_period, setup, teardown),
        cmocka_unit_test_setup_teardown(a_period_whose_close_waits_for_room_is_closed_by_the_fold,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            who_rests_first_of_all_takes_part_in_the_period_that_it_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            who_comes_back_behind_the_pin_is_lifted_as_the_shard_lifted_it, setup, teardown),
        cmocka_unit_test_setup_teardown(places_are_those_of_the_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_in_behind_the_pin_stands_where_its_stamps_say,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_clock_is_no_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
