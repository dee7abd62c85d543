/* What was damaged in a journal is refused by name, and never taken for a torn tail. */
#include "tests/unit/common/store/journal_fixture.h"

static void flipped_bit_in_the_middle_is_corruption_and_named(void **state)
{
    const place_t *place = *state;
    write_records(place, 1, 20);
    char path[160], place_text[64];
    segment_path(place, 1, path);
    seen_t seen;
    for (long in = 0; in < (long)RUB_JOURNAL_FRAME(size_of(7)); in += 5) {
        rub_error_t err = {0};
        flip(path, offset_of(1, 7) + in);
        assert_int_equal(replay(place, 1, &seen, NULL, &err), RUB_ECORRUPT);
        assert_non_null(strstr(err.message, "0000000000000001.seg"));
        snprintf(place_text, sizeof(place_text), "offset %ld", offset_of(1, 7));
        assert_non_null(strstr(err.message, place_text));
        assert_int_equal(seen.last, 6);
        flip(path, offset_of(1, 7) + in);
    }
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
}

static void flipped_bit_in_an_earlier_segment_is_corruption(void **state)
{
    write_records(*state, 1, 100);
    char path[160];
    segment_path(*state, 1, path);
    flip(path, offset_of(1, 3) + 30);
    seen_t seen;
    assert_int_equal(replay(*state, 1, &seen, NULL, NULL), RUB_ECORRUPT);
}

static void segment_of_which_nothing_is_needed_is_not_read(void **state)
{
    write_records(*state, 1, 200);
    char path[160];
    segment_path(*state, 1, path);
    flip(path, offset_of(1, 3) + 30);
    seen_t seen;
    assert_int_equal(replay(*state, 1, &seen, NULL, NULL), RUB_ECORRUPT);
    assert_int_equal(replay(*state, 190, &seen, NULL, NULL), 0);
    assert_int_equal(seen.n, 11);
}

static void missing_segment_is_corruption(void **state)
{
    write_records(*state, 1, 200);
    char path[160];
    seen_t seen;
    rub_error_t err = {0};
    segment_path(*state, 2, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replay(*state, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "is missing"));
}

static void segment_of_another_journal_is_refused(void **state)
{
    write_records(*state, 1, 100);
    seen_t seen;
    rub_error_t err = {0};
    set_header(*state, 2, 40, 3); /* base_lsn: its records would come again */
    assert_int_equal(replay(*state, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "follows lsn 3, the one before it ends with lsn"));
}

static void header_that_claims_impossible_sizes_is_refused(void **state)
{
    write_records(*state, 1, 100);
    seen_t seen;
    rub_error_t err = {0};
    set_header(*state, 2, 32, UINT64_MAX); /* previous_end */
    assert_int_equal(replay(*state, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "says that the one before it ended at"));
    set_header(*state, 2, 48, UINT64_MAX / 2); /* bytes */
    rub_journal_t *journal = NULL;
    const place_t *place = *state;
    assert_int_equal(rub_journal_open(place->journal, SEGMENT, &journal, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "its header says"));
}

static void journal_that_begins_too_late_is_refused(void **state)
{
    write_records(*state, 1, 200);
    char path[160];
    seen_t seen;
    segment_path(*state, 1, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replay(*state, 1, &seen, NULL, NULL), RUB_ECORRUPT);
    assert_int_equal(replay(*state, 150, &seen, NULL, NULL), 0);
}

/* Records 1 to 20 of boot 77, of which the seventh is damaged. */
static void write_hole_of_boot_77(void **state)
{
    write_records(*state, 1, 20);
    set_boot(*state, 1, 77);
    char path[160];
    segment_path(*state, 1, path);
    flip(path, offset_of(1, 7) + 30);
}

static void hole_after_a_power_loss_is_a_torn_tail(void **state)
{
    write_hole_of_boot_77(state);
    seen_t seen;
    uint64_t torn = 0;
    assert_int_equal(replay(*state, 1, &seen, &torn, NULL), 0);
    assert_int_equal(seen.last, 6);
    assert_true(torn >= (uint64_t)(offset_of(1, 21) - offset_of(1, 7)));
    write_records(*state, 7, 9);
    assert_int_equal(replay(*state, 1, &seen, &torn, NULL), 0);
    assert_int_equal(seen.last, 9);
    assert_int_equal(torn, 0);
}

static void hole_below_a_sync_mark_is_corruption_even_after_a_power_loss(void **state)
{
    for (uint64_t vouched = 6; vouched <= 7; vouched++) {
        each_file(((place_t *)*state)->journal, remove_file, NULL);
        write_records(*state, 1, 8);
        rub_journal_t *journal = reopen(*state);
        assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
        uint8_t payload[8];
        rub_put_u64(payload, vouched);
        const rub_span_t part = {payload, 8};
        assert_int_equal(rub_journal_append(journal, 9, RUB_JOURNAL_SYNC_TYPE, &part, 1, NULL), 0);
        assert_int_equal(rub_journal_write(journal, NULL), 0);
        rub_journal_close(&journal);
        set_boot(*state, 1, 77);
        set_boot(*state, 2, 77);
        char path[160];
        segment_path(*state, 1, path);
        flip(path, offset_of(1, 7) + 30);
        seen_t seen;
        assert_int_equal(replay(*state, 1, &seen, NULL, NULL), vouched == 7 ? RUB_ECORRUPT : 0);
    }
}

static void journal_that_ends_before_what_is_needed_is_corruption(void **state)
{
    write_records(*state, 1, 20);
    char path[160];
    segment_path(*state, 1, path);
    assert_int_equal(truncate(path, offset_of(1, 7)), 0);
    seen_t seen;
    rub_error_t err = {0};
    assert_int_equal(replay(*state, 16, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "its store needs it from lsn 15 on"));
}

/* As after a checkpoint whose redo point is lsn 15, committed in boot 77 without a sync. */
static int replay_from_16(const place_t *place, uint64_t redo_boot, seen_t *seen)
{
    *seen = (seen_t){0};
    rub_journal_t *journal = reopen(place);
    rub_journal_redo_of_boot(journal, redo_boot);
    const int rc = rub_journal_replay(journal, 16, check_record, seen, NULL, NULL);
    rub_journal_close(&journal);
    return rc;
}

static void hole_before_what_is_needed_is_passed_over_after_a_power_loss(void **state)
{
    write_hole_of_boot_77(state);
    seen_t seen;
    for (int times = 0; times < 2; times++) { /* killed before it had written anything */
        assert_int_equal(replay_from_16(*state, 77, &seen), 0);
        assert_int_equal(seen.n, 0);
    }
    rub_journal_t *journal = reopen(*state);
    uint64_t lsn = 0;
    rub_journal_redo_of_boot(journal, 77);
    assert_int_equal(rub_journal_replay(journal, 16, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_last_lsn(journal), 15);
    assert_int_equal(rub_journal_sync(journal, &lsn, NULL), 0);
    rub_journal_close(&journal);
    assert_int_equal(replay_from_16(*state, 77, &seen), 0); /* whatever that sync has noted */
    journal = reopen(*state);
    rub_journal_redo_of_boot(journal, 77);
    assert_int_equal(rub_journal_replay(journal, 16, NULL, NULL, NULL, NULL), 0);
    append(journal, 30);
    rub_journal_close(&journal);
    assert_int_equal(replay_from_16(*state, 77, &seen), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.last, 30);
    rub_error_t err = {0};
    assert_int_equal(replay(*state, 3, &seen, NULL, &err), RUB_ECORRUPT); /* 7 to 15 are missing */
}

/* The newest segment is gone, and what is left is of another boot: no power loss, since the redo
 * point is of this one. */
static void journal_that_lost_a_segment_of_this_boot_is_refused(void **state)
{
    write_records(*state, 1, 6);
    set_boot(*state, 1, 77);
    seen_t seen;
    assert_int_equal(replay_from_16(*state, rub_journal_boot(), &seen), RUB_ECORRUPT);
    assert_int_equal(replay_from_16(*state, 0, &seen), RUB_ECORRUPT);
    assert_int_equal(replay_from_16(*state, 77, &seen), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(flipped_bit_in_the_middle_is_corruption_and_named),
        TEST(flipped_bit_in_an_earlier_segment_is_corruption),
        TEST(segment_of_which_nothing_is_needed_is_not_read),
        TEST(missing_segment_is_corruption),
        TEST(segment_of_another_journal_is_refused),
        TEST(header_that_claims_impossible_sizes_is_refused),
        TEST(journal_that_begins_too_late_is_refused),
        TEST(hole_after_a_power_loss_is_a_torn_tail),
        TEST(hole_below_a_sync_mark_is_corruption_even_after_a_power_loss),
        TEST(journal_that_ends_before_what_is_needed_is_corruption),
        TEST(hole_before_what_is_needed_is_passed_over_after_a_power_loss),
        TEST(journal_that_lost_a_segment_of_this_boot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
