/* The journal keeps what was written, cuts what was torn, and refuses what was damaged. */
#include "tests/unit/common/store/journal_fixture.h"

static void what_was_written_is_replayed_in_order(void **state)
{
    seen_t seen;
    uint64_t torn = 9;
    write_records(*state, 1, 300); /* many segments */
    assert_int_equal(replay(*state, 1, &seen, &torn, NULL), 0);
    assert_int_equal(seen.n, 300);
    assert_int_equal(torn, 0);
    assert_int_equal(replay(*state, 250, &seen, &torn, NULL), 0);
    assert_int_equal(seen.first, 250);
    assert_int_equal(seen.last, 300);
}

static void journal_goes_on_after_reopening_in_a_new_segment(void **state)
{
    seen_t seen;
    for (uint64_t i = 0; i < 5; i++) {
        write_records(*state, i * 3 + 1, i * 3 + 3);
    }
    assert_int_equal(replay(*state, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.n, 15);
    char path[160];
    segment_path(*state, 5, path);
    assert_true(rub_fs_exists(path));
}

static void count_bytes(const char *path, void *context)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    *(uint64_t *)context += (uint64_t)status.st_size;
}

static void trimmed_journal_is_small_and_goes_on_behind_its_end(void **state)
{
    const place_t *place = *state;
    uint64_t torn = 0, bytes = 0;
    seen_t seen = {0};
    write_records(place, 1, 5);
    rub_journal_t *journal = reopen(place);
    assert_false(rub_journal_is_new(journal));
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    append(journal, 6);
    append(journal, 7); /* a mark behind what was stored */
    assert_int_equal(rub_journal_trim(journal, 6, NULL), 0);
    rub_journal_close(&journal);
    each_file(place->journal, count_bytes, &bytes);
    assert_true(bytes < 1000);
    assert_int_equal(replay(place, 7, &seen, &torn, NULL), 0);
    assert_int_equal(seen.n, 0);
    assert_int_equal(torn, 0);
    journal = reopen(place);
    assert_int_equal(rub_journal_replay(journal, 7, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_last_lsn(journal), 6);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    append(journal, 17);
    rub_journal_close(&journal);
    assert_int_equal(replay(place, 7, &seen, &torn, NULL), 0);
    assert_int_equal(seen.n, 1);
    rub_error_t err = {0};
    assert_int_equal(replay(place, 6, &seen, &torn, &err), RUB_ECORRUPT); /* that is gone */
}

static void trimmed_journal_that_keeps_all_keeps_its_records(void **state)
{
    const place_t *place = *state;
    uint64_t torn = 0;
    seen_t seen = {0};
    rub_journal_t *journal = reopen(place);
    assert_true(rub_journal_is_new(journal));
    assert_int_equal(rub_journal_keep_all(journal, NULL), 0);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    append(journal, 1);
    append(journal, 2);
    assert_int_equal(rub_journal_trim(journal, 2, NULL), 0);
    assert_int_equal(rub_journal_room(journal), 0);
    rub_journal_close(&journal);
    assert_int_equal(replay(place, 1, &seen, &torn, NULL), 0);
    assert_int_equal(seen.n, 2);
    assert_int_equal(torn, 0);
}

static void remove_spare(const char *path, void *context)
{
    if (strstr(path, ".free")) {
        remove_file(path, context);
    }
}

static uint64_t inode_of(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    return status.st_ino;
}

/* The spare in which a segment is found when its new name was not on the platter yet; its content
 * goes to content. The descriptor keeps its inode from coming again. */
static int lose_name(const place_t *place, uint64_t number, uint8_t content[SEGMENT])
{
    char path[160], spare_path[160];
    each_file(place->journal, remove_spare, NULL);
    segment_path(place, number, path);
    snprintf(spare_path, sizeof(spare_path), "%s/00000000000000ff.free", place->journal);
    assert_int_equal(rename(path, spare_path), 0);
    const int spare = open(spare_path, O_RDONLY);
    assert_true(spare >= 0);
    assert_int_equal(pread(spare, content, SEGMENT, 0), SEGMENT);
    return spare;
}

/* What was written to the segment from there on never came to the platter: what the file held
 * before is there. */
static void lose_writes(const place_t *place, uint64_t number, long from, int spare,
                        const uint8_t *content)
{
    static const uint8_t zeros[SEGMENT];
    char path[160];
    segment_path(place, number, path);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    const uint8_t *before = inode_of(fd) == inode_of(spare) ? content : zeros;
    patch(path, from, before + from, (size_t)(SEGMENT - from));
    close(fd);
}

static void what_a_power_loss_took_does_not_come_back_with_the_next_one(void **state)
{
    const place_t *place = *state;
    uint8_t content[SEGMENT];
    seen_t seen;
    write_records(place, 1, 5);
    write_records(place, 6, 10);
    const int spare = lose_name(place, 2, content);
    set_boot(place, 1, 77);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.last, 5);

    rub_journal_t *journal = reopen(place); /* and so its successor goes on from there */
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    append(journal, 101);
    rub_journal_close(&journal);
    lose_writes(place, 2, HEADER, spare, content);
    set_boot(place, 2, 78);
    close(spare);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.last, 5);
}

/* The old header would say that nothing of the segment before it is needed. */
static void header_from_before_a_power_loss_does_not_hide_the_segment_before_it(void **state)
{
    const place_t *place = *state;
    uint8_t content[SEGMENT];
    char path[160], aside[160];
    seen_t seen;
    write_records(place, 1, 5);
    write_records(place, 6, 10);
    write_records(place, 11, 15);
    const int spare = lose_name(place, 3, content);
    segment_path(place, 2, path);
    assert_int_equal(unlink(path), 0);
    set_boot(place, 1, 77);

    snprintf(path, sizeof(path), "%s/00000000000000ff.free", place->journal);
    snprintf(aside, sizeof(aside), "%s/aside", place->folder);
    rub_journal_t *journal = reopen(place);
    rub_journal_close(&journal);
    const bool is_spare = rub_fs_exists(path);
    assert_int_equal(is_spare ? rename(path, aside) : 0, 0);
    write_records(place, 101, 105); /* another spare becomes segment 2 */
    each_file(place->journal, remove_spare, NULL);
    assert_int_equal(is_spare ? rename(aside, path) : 0, 0);
    write_records(place, 106, 106);
    lose_writes(place, 3, 0, spare, content);
    set_boot(place, 2, 78);
    close(spare);
    assert_int_equal(replay(place, 103, &seen, NULL, NULL), 0);
    assert_int_equal(seen.first, 103);
    assert_int_equal(seen.last, 105);
}

static void tail_torn_at_any_byte_is_cut_and_counted(void **state)
{
    const place_t *place = *state;
    static const uint8_t zeros[4096];
    const uint64_t last = 5;
    seen_t seen;
    for (long torn_at = 0; torn_at < (long)RUB_JOURNAL_FRAME(size_of(last)); torn_at++) {
        each_file(place->journal, remove_file, NULL);
        write_records(place, 1, last);
        char path[160];
        segment_path(place, 1, path);
        const long at = offset_of(1, last) + torn_at;
        const size_t n = (size_t)(offset_of(1, last + 1) - at);
        uint8_t rest[4096];
        const int fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, rest, n, at), (ssize_t)n);
        close(fd);
        patch(path, at, zeros, n);
        uint64_t torn = 0;
        assert_int_equal(replay(place, 1, &seen, &torn, NULL), 0);
        const bool lost = memcmp(rest, zeros, n) != 0; /* only padding was cut otherwise */
        assert_int_equal(seen.last, lost ? last - 1 : last);
        if (lost && torn_at > 0) {
            assert_true(torn > 0);
        }
        if (torn_at % 16 == 3) {
            write_records(place, seen.last + 1, seen.last + 4); /* and it goes on from there */
            const uint64_t end = seen.last + 4;
            assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
            assert_int_equal(seen.last, end);
            assert_int_equal(seen.n, end);
        }
    }
}

/* Appends to a new segment after a reboot; synced: up to before the last record. */
static void write_and_sync(const place_t *place, uint64_t first, uint64_t last)
{
    rub_journal_t *journal = reopen(place);
    uint64_t synced = 0;
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    for (uint64_t lsn = first; lsn < last; lsn++) {
        append(journal, lsn);
        assert_int_equal(rub_journal_sync(journal, &synced, NULL), 0);
    }
    assert_int_equal(synced, last - 1);
    append(journal, last);
    rub_journal_close(&journal);
    set_boot(place, 1, 77);
}

static void zero_record(const place_t *place, uint64_t lsn)
{
    static const uint8_t zeros[4096];
    char path[160];
    segment_path(place, 1, path);
    patch(path, offset_of(1, lsn), zeros, RUB_JOURNAL_FRAME(size_of(lsn)));
}

static void end_that_was_on_the_platter_is_missed(void **state)
{
    const place_t *place = *state;
    seen_t seen;
    rub_error_t err = {0};
    write_and_sync(place, 1, 6);
    zero_record(place, 6); /* was not: a torn tail */
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.last, 5);
    zero_record(place, 5);
    assert_int_equal(replay(place, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "ends with lsn 4, it had been synced up to 5"));
}

static void note_of_the_end_that_is_torn_or_gone_says_nothing(void **state)
{
    const place_t *place = *state;
    char path[160];
    seen_t seen;
    write_and_sync(place, 1, 6);
    zero_record(place, 6);
    zero_record(place, 5);
    snprintf(path, sizeof(path), "%s/tail", place->journal);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), RUB_ECORRUPT);
    flip(path, 20); /* the slot of 5; the other one says 4 */
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    zero_record(place, 4);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), RUB_ECORRUPT);
    flip(path, 512 + 20);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.last, 3);
}

static void note_that_is_something_else_is_refused(void **state)
{
    const place_t *place = *state;
    char path[160], other[160];
    seen_t seen;
    rub_error_t err = {0};
    write_and_sync(place, 1, 6);
    snprintf(path, sizeof(path), "%s/tail", place->journal);
    snprintf(other, sizeof(other), "%s/other", place->journal);
    assert_int_equal(rename(path, other), 0);
    segment_path(place, 1, other);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(replay(place, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "note")); /* the cause is kept */
    assert_non_null(strstr(err.message, "1024"));
}

static void trimmed_journal_may_end_before_what_was_synced(void **state)
{
    const place_t *place = *state;
    seen_t seen;
    char path[160];
    write_and_sync(place, 1, 6);
    rub_journal_t *journal = reopen(place);
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_trim(journal, 3, NULL), 0);
    rub_journal_close(&journal);
    snprintf(path, sizeof(path), "%s/tail", place->journal);
    assert_false(rub_fs_exists(path));
    assert_int_equal(replay(place, 4, &seen, NULL, NULL), 0);
}

static void recycled_segments_never_show_their_old_records(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = reopen(place);
    uint64_t lsn = 0;
    for (int round = 0; round < 200; round++) {
        assert_int_equal(rub_journal_prepare(journal, NULL), 0);
        for (int i = 0; i < 20; i++) {
            append(journal, ++lsn);
        }
        if (round % 10 == 9) {
            assert_int_equal(rub_journal_release(journal, lsn - 5, NULL), 0);
        }
    }
    assert_true(rub_journal_bytes_since(journal, lsn) < 40u * SEGMENT);
    rub_journal_close(&journal);
    seen_t seen;
    uint64_t torn = 9;
    assert_int_equal(replay(place, lsn - 5, &seen, &torn, NULL), 0);
    assert_int_equal(seen.last, lsn);
    assert_int_equal(seen.n, 6);
    assert_int_equal(torn, 0);
    write_records(place, lsn + 1, lsn + 100);
    assert_int_equal(replay(place, lsn - 5, &seen, &torn, NULL), 0);
    assert_int_equal(seen.last, lsn + 100);
}

static void count_spare(const char *path, void *context)
{
    *(unsigned *)context += strstr(path, ".free") != NULL;
}

static unsigned spares_of(const place_t *place)
{
    unsigned n = 0;
    each_file(place->journal, count_spare, &n);
    return n;
}

/* More than 24 segments are filled with what follows *lsn, and released but for the last. */
static void fill_and_release(rub_journal_t *journal, uint64_t *lsn, uint64_t left_free)
{
    rub_journal_leave_free(journal, 0);
    for (unsigned i = 0; i < 24 * 64; i++) {
        assert_int_equal(rub_journal_prepare(journal, NULL), 0);
        append(journal, ++*lsn);
    }
    rub_journal_leave_free(journal, left_free);
    assert_int_equal(rub_journal_release(journal, *lsn, NULL), 0);
}

static void spares_are_as_many_as_a_stretch_fills(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = reopen(place);
    uint64_t lsn = 0;
    fill_and_release(journal, &lsn, 0);
    const unsigned n = spares_of(place);
    assert_true(n >= 24);
    fill_and_release(journal, &lsn, 0);
    assert_true(spares_of(place) <= n + 1);
    rub_journal_close(&journal);
}

/* A short stretch between two long ones takes nothing away that the next one would make anew. */
static void short_stretch_leaves_the_spares_of_a_long_one(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = reopen(place);
    uint64_t lsn = 0;
    fill_and_release(journal, &lsn, 0);
    const unsigned n = spares_of(place);
    for (unsigned i = 0; i < 4 * 64; i++) {
        append(journal, ++lsn);
    }
    assert_int_equal(rub_journal_release(journal, lsn, NULL), 0);
    assert_true(spares_of(place) + 1 >= n);
    for (unsigned stretch = 0; stretch < 64; stretch++) { /* but what is not needed goes */
        for (unsigned i = 0; i < 2 * 64; i++) {
            append(journal, ++lsn);
        }
        assert_int_equal(rub_journal_release(journal, lsn, NULL), 0);
    }
    assert_int_equal(spares_of(place), 16);
    rub_journal_close(&journal);
}

static void spares_are_few_where_the_store_wants_the_disk(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = reopen(place);
    uint64_t lsn = 0;
    fill_and_release(journal, &lsn, UINT64_MAX / 2);
    assert_int_equal(spares_of(place), 16);
    rub_journal_close(&journal);
}

static void release_keeps_every_record_from_the_redo_point_on(void **state)
{
    const place_t *place = *state;
    const uint64_t last = 300; /* some seven segments */
    write_records(place, 1, last);
    for (uint64_t redo = 20; redo < last; redo += 20) {
        rub_journal_t *journal = reopen(place);
        assert_int_equal(rub_journal_replay(journal, redo, NULL, NULL, NULL, NULL), 0);
        assert_int_equal(rub_journal_release(journal, redo, NULL), 0);
        rub_journal_close(&journal);
        seen_t seen;
        assert_int_equal(replay(place, redo, &seen, NULL, NULL), 0);
        assert_int_equal(seen.first, redo);
        assert_int_equal(seen.last, last);
    }
}

static void segment_that_can_not_be_renamed_is_given_back(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = reopen(place);
    char path[160];
    for (uint64_t lsn = 1; lsn <= 200; lsn++) {
        assert_int_equal(rub_journal_prepare(journal, NULL), 0);
        append(journal, lsn);
    }
    for (unsigned i = 0; i < 50; i++) { /* every name that a recycled segment could take */
        snprintf(path, sizeof(path), "%s/%016x.free", place->journal, i);
        (void)mkdir(path, 0777);
    }
    assert_int_equal(rub_journal_release(journal, 190, NULL), 0);
    rub_journal_close(&journal);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(path, sizeof(path), "%s/%016x.free", place->journal, i);
        (void)rmdir(path);
    }
    seen_t seen;
    assert_int_equal(replay(place, 190, &seen, NULL, NULL), 0); /* no gap */
    assert_int_equal(seen.last, 200);
    assert_int_equal(seen.n, 11);
}

static void sync_tells_the_last_written_lsn(void **state)
{
    rub_journal_t *journal = reopen(*state);
    uint64_t synced = 9;
    assert_int_equal(rub_journal_sync(journal, &synced, NULL), 0);
    assert_int_equal(synced, 0);
    append(journal, 1);
    append(journal, 2);
    const rub_span_t part = {"x", 1};
    assert_int_equal(rub_journal_append(journal, 3, 1, &part, 1, NULL), 0); /* not written */
    assert_int_equal(rub_journal_sync(journal, &synced, NULL), 0);
    assert_int_equal(synced, 2);
    rub_journal_close(&journal);
}

static void room_is_never_promised_in_vain(void **state)
{
    rub_journal_t *journal = reopen(*state);
    assert_int_equal(rub_journal_room(journal), 0);
    assert_true(rub_journal_wants_segment(journal));
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    assert_false(rub_journal_wants_segment(journal));
    static uint8_t bytes[20000];
    uint64_t lsn = 0;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){.rlim_cur = 1, .rlim_max = old.rlim_max};
    while (rub_journal_room(journal) >= RUB_JOURNAL_FRAME(sizeof(bytes))) {
        const rub_span_t part = {bytes, sizeof(bytes)};
        assert_int_equal(rub_journal_append(journal, ++lsn, 1, &part, 1, NULL), 0);
        assert_int_equal(rub_journal_write(journal, NULL), 0);
    }
    assert_true(lsn >= 3);
    setrlimit(RLIMIT_FSIZE, &tight);
    rub_error_t err = {0};
    assert_int_equal(rub_journal_prepare(journal, &err), RUB_ENOSPC);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rub_journal_prepare(journal, &err), 0); /* it was left as it was */
    append(journal, ++lsn);
    rub_journal_close(&journal);
}

static void record_beyond_the_limit_is_refused_and_harmless(void **state)
{
    rub_journal_t *journal = reopen(*state);
    static uint8_t bytes[SEGMENT];
    const rub_span_t part = {bytes, sizeof(bytes)};
    assert_int_equal(rub_journal_append(journal, 1, 1, &part, 1, NULL), RUB_ELIMIT);
    append(journal, 1);
    rub_journal_close(&journal);
    seen_t seen;
    assert_int_equal(replay(*state, 1, &seen, NULL, NULL), 0);
    assert_int_equal(seen.n, 1);
}

static void foreign_segment_is_refused_and_other_files_are_left_alone(void **state)
{
    const place_t *place = *state;
    write_records(place, 1, 3);
    char path[160], note[160];
    snprintf(note, sizeof(note), "%s/note.txt", place->journal);
    assert_int_equal(rub_fs_write(note, "mine", 4, NULL), 0);
    seen_t seen;
    assert_int_equal(replay(place, 1, &seen, NULL, NULL), 0);
    assert_true(rub_fs_exists(note));
    segment_path(place, 2, path);
    assert_int_equal(rub_fs_write(path, "this is not a segment", 21, NULL), 0);
    rub_error_t err = {0};
    assert_int_equal(replay(place, 1, &seen, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "0000000000000002.seg"));
}

static void count_file(const char *path, void *context)
{
    RUB_UNUSED(path);
    ++*(int *)context;
}

/* Found by crash images: the loss of power fell between the removal of old spares and the making of
 * new ones, and the store took its journal for lost. */
static void a_journal_that_was_never_written_always_shows_that_it_is_there(void **state)
{
    place_t *place = *state;
    for (int opening = 0; opening < 3; opening++) {
        rub_journal_t *journal = NULL;
        rub_error_t err = {0};
        assert_int_equal(rub_journal_open(place->journal, RUB_JOURNAL_SEGMENT_MIN, &journal, &err),
                         0);
        assert_int_equal(rub_journal_is_new(journal), opening == 0);
        int files = 0;
        each_file(place->journal, count_file, &files);
        assert_int_equal(files, opening == 0 ? 0 : 1); /* already made anew before prepare */
        assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, &err), 0);
        assert_int_equal(rub_journal_prepare(journal, &err), 0);
        rub_journal_close(&journal);
    }
}

static void segment_sizes_out_of_bounds_are_refused(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = NULL;
    assert_int_equal(rub_journal_open(place->journal, 1000, &journal, NULL), RUB_EINVAL);
    assert_int_equal(rub_journal_open(place->journal, SIZE_MAX, &journal, NULL), RUB_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_was_written_is_replayed_in_order),
        TEST(journal_goes_on_after_reopening_in_a_new_segment),
        TEST(trimmed_journal_is_small_and_goes_on_behind_its_end),
        TEST(trimmed_journal_that_keeps_all_keeps_its_records),
        TEST(what_a_power_loss_took_does_not_come_back_with_the_next_one),
        TEST(header_from_before_a_power_loss_does_not_hide_the_segment_before_it),
        TEST(tail_torn_at_any_byte_is_cut_and_counted),
        TEST(end_that_was_on_the_platter_is_missed),
        TEST(note_of_the_end_that_is_torn_or_gone_says_nothing),
        TEST(note_that_is_something_else_is_refused),
        TEST(trimmed_journal_may_end_before_what_was_synced),
        TEST(recycled_segments_never_show_their_old_records),
        TEST(spares_are_as_many_as_a_stretch_fills),
        TEST(short_stretch_leaves_the_spares_of_a_long_one),
        TEST(spares_are_few_where_the_store_wants_the_disk),
        TEST(release_keeps_every_record_from_the_redo_point_on),
        TEST(segment_that_can_not_be_renamed_is_given_back),
        TEST(sync_tells_the_last_written_lsn),
        TEST(room_is_never_promised_in_vain),
        TEST(record_beyond_the_limit_is_refused_and_harmless),
        TEST(foreign_segment_is_refused_and_other_files_are_left_alone),
        TEST(a_journal_that_was_never_written_always_shows_that_it_is_there),
        TEST(segment_sizes_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
