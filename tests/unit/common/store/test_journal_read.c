/* A journal can be read beside its writer, and kept from its beginning. */
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/store/journal_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEGMENT = 64 * 1024, PAYLOAD = 3000, PER_SEGMENT = 21 }; /* records that fit */

typedef struct place {
    char folder[64];
    rub_journal_t *journal;
    uint64_t first, last, n; /* that visit saw */
    rub_error_t err;
} place_t;

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-read-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    assert_int_equal(rub_journal_open(place->folder, SEGMENT, &place->journal, NULL), 0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    rub_journal_close(&place->journal);
    (void)rub_fs_remove_tree(place->folder, NULL);
    free(place);
    return 0;
}

static void append(place_t *place, uint64_t from, uint64_t to)
{
    uint8_t payload[PAYLOAD];
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        memset(payload, (int)(lsn % 251), sizeof(payload));
        const rub_span_t part = {payload, sizeof(payload)};
        assert_int_equal(rub_journal_append(place->journal, lsn, 1, &part, 1, NULL), 0);
        assert_int_equal(rub_journal_write(place->journal, NULL), 0);
    }
}

static int visit(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                 rub_error_t *err)
{
    place_t *place = context;
    RUB_UNUSED(err);
    assert_int_equal(type, 1);
    assert_int_equal(bytes, PAYLOAD);
    assert_int_equal(*(const uint8_t *)payload, lsn % 251);
    place->first = place->n == 0 ? lsn : place->first;
    assert_true(place->n == 0 || lsn == place->last + 1);
    place->last = lsn;
    place->n++;
    return 0;
}

static int read_all(place_t *place, uint64_t from, uint64_t to)
{
    place->n = 0;
    place->err = (rub_error_t){0};
    return rub_journal_read(place->folder, from, to, visit, place, NULL, &place->err);
}

static void reading_stops_at_the_record_that_was_asked_for(void **state)
{
    place_t *place = *state;
    append(place, 1, 50);
    const uint64_t room = rub_journal_room(place->journal);
    assert_int_equal(read_all(place, 10, 45), 0);
    assert_int_equal(place->first, 10);
    assert_int_equal(place->last, 45);
    assert_int_equal(place->n, 36);
    assert_int_equal(rub_journal_room(place->journal), room);
    append(place, 51, 60); /* the writer has not been disturbed */
    assert_int_equal(read_all(place, 1, 60), 0);
    assert_int_equal(place->n, 60);
    assert_int_equal(read_all(place, 7, 6), 0);
    assert_int_equal(place->n, 0);
}

static void a_half_written_record_behind_the_end_is_not_looked_at(void **state)
{
    place_t *place = *state;
    append(place, 1, 5);
    char path[100];
    snprintf(path, sizeof(path), "%s/0000000000000001.seg", place->folder);
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char garbage[500];
    memset(garbage, 0x5a, sizeof(garbage));
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 72 + 5 * (24 + PAYLOAD) + 40), 500);
    close(fd);
    assert_int_equal(read_all(place, 1, 5), 0);
    assert_int_equal(place->n, 5);
}

static void a_journal_that_ends_too_early_is_refused(void **state)
{
    place_t *place = *state;
    append(place, 1, 5);
    assert_int_equal(read_all(place, 1, 9), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "ends at lsn 5, lsn 9 is needed"));
    assert_int_equal(read_all(place, 1, UINT64_MAX), 0);
    assert_int_equal(place->n, 5);
}

static void a_released_journal_has_no_beginning(void **state)
{
    place_t *place = *state;
    append(place, 1, 3 * PER_SEGMENT);
    assert_int_equal(rub_journal_release(place->journal, 2 * PER_SEGMENT, NULL), 0);
    assert_int_equal(read_all(place, 1, UINT64_MAX), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "records from lsn 1 are needed"));
}

static bool has(const place_t *place, const char *name)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    return rub_fs_exists(path);
}

static void what_is_held_is_read_while_the_journal_behind_it_comes_round(void **state)
{
    place_t *place = *state;
    append(place, 1, 3 * PER_SEGMENT);
    rub_journal_hold(place->journal, PER_SEGMENT + 5, UINT64_MAX);
    append(place, 3 * PER_SEGMENT + 1, 7 * PER_SEGMENT);
    rub_journal_hold(place->journal, PER_SEGMENT + 5, 4 * PER_SEGMENT + 2);
    assert_int_equal(rub_journal_release(place->journal, 6 * PER_SEGMENT + 1, NULL), 0);
    assert_false(has(place, "0000000000000001.held")); /* before what is read */
    assert_true(has(place, "0000000000000002.held"));
    assert_true(has(place, "0000000000000005.held"));
    assert_false(has(place, "0000000000000005.seg"));
    assert_false(has(place, "0000000000000006.held")); /* behind it */
    for (uint64_t lsn = 7 * PER_SEGMENT; lsn < 20 * PER_SEGMENT; lsn += PER_SEGMENT) {
        append(place, lsn + 1, lsn + PER_SEGMENT);
        assert_int_equal(rub_journal_release(place->journal, lsn, NULL), 0);
        assert_int_equal(read_all(place, PER_SEGMENT + 5, 4 * PER_SEGMENT + 2), 0);
        assert_int_equal(place->n, 3 * PER_SEGMENT - 2);
    }
    rub_journal_findings_t findings;
    assert_int_equal(rub_journal_inspect(place->folder, 0, NULL, NULL, &findings, &place->err), 0);
    assert_in_range(findings.file_bytes, 1, 11 * SEGMENT); /* and not 20 */
    assert_int_equal(rub_journal_let_go(place->journal, NULL), 0);
    assert_false(has(place, "0000000000000002.held"));
    assert_int_equal(read_all(place, PER_SEGMENT + 5, 4 * PER_SEGMENT + 2), RUB_ECORRUPT);
}

static void what_was_held_by_who_is_gone_is_used_again(void **state)
{
    place_t *place = *state;
    append(place, 1, 4 * PER_SEGMENT);
    rub_journal_hold(place->journal, 1, UINT64_MAX);
    assert_int_equal(rub_journal_release(place->journal, 3 * PER_SEGMENT + 1, NULL), 0);
    assert_true(has(place, "0000000000000003.held"));
    rub_journal_close(&place->journal);
    assert_int_equal(rub_journal_open(place->folder, SEGMENT, &place->journal, NULL), 0);
    assert_false(has(place, "0000000000000003.held"));
    assert_false(rub_journal_wants_segment(place->journal));
    place->n = 0;
    assert_int_equal(
        rub_journal_replay(place->journal, 3 * PER_SEGMENT + 1, visit, place, NULL, &place->err),
        0);
    assert_int_equal(place->n, PER_SEGMENT);
    append(place, 4 * PER_SEGMENT + 1, 9 * PER_SEGMENT);
    assert_int_equal(read_all(place, 3 * PER_SEGMENT + 1, 9 * PER_SEGMENT), 0);
}

static void a_kept_journal_is_read_from_its_beginning(void **state)
{
    place_t *place = *state;
    char kept[100];
    assert_int_equal(rub_journal_keep_all(place->journal, NULL), 0);
    append(place, 1, 5 * PER_SEGMENT);
    assert_int_equal(rub_journal_release(place->journal, 3 * PER_SEGMENT + 1, NULL), 0);
    snprintf(kept, sizeof(kept), "%s/kept/0000000000000003.seg", place->folder);
    assert_true(rub_fs_exists(kept));
    assert_int_equal(read_all(place, 1, UINT64_MAX), 0);
    assert_int_equal(place->n, 5 * PER_SEGMENT);
    /* Also by the next process, and by a recovery, which needs none of it. */
    rub_journal_close(&place->journal);
    assert_int_equal(rub_journal_open(place->folder, SEGMENT, &place->journal, NULL), 0);
    place->n = 0;
    assert_int_equal(
        rub_journal_replay(place->journal, 3 * PER_SEGMENT + 1, visit, place, NULL, NULL), 0);
    assert_int_equal(place->n, 2 * PER_SEGMENT);
    assert_int_equal(rub_journal_keep_all(place->journal, NULL), 0);
    append(place, 5 * PER_SEGMENT + 1, 8 * PER_SEGMENT);
    assert_int_equal(rub_journal_release(place->journal, 7 * PER_SEGMENT, NULL), 0);
    assert_int_equal(read_all(place, 1, 8 * PER_SEGMENT), 0);
    assert_int_equal(place->n, 8 * PER_SEGMENT);
}

/* Killed between the commit of a redo point and the release of what is before it: recovery passes
 * over those segments, and they are kept whole all the same. */
static void what_recovery_does_not_read_is_kept_whole(void **state)
{
    place_t *place = *state;
    append(place, 1, 5 * PER_SEGMENT);
    rub_journal_close(&place->journal);
    assert_int_equal(rub_journal_open(place->folder, SEGMENT, &place->journal, NULL), 0);
    place->n = 0;
    assert_int_equal(
        rub_journal_replay(place->journal, 3 * PER_SEGMENT + 1, visit, place, NULL, NULL), 0);
    assert_int_equal(rub_journal_keep_all(place->journal, NULL), 0);
    assert_int_equal(rub_journal_release(place->journal, 3 * PER_SEGMENT + 1, NULL), 0);
    assert_int_equal(read_all(place, 1, UINT64_MAX), 0);
    assert_int_equal(place->n, 5 * PER_SEGMENT);
}

static void a_missing_or_damaged_kept_segment_is_named(void **state)
{
    place_t *place = *state;
    char path[100], aside[100];
    assert_int_equal(rub_journal_keep_all(place->journal, NULL), 0);
    append(place, 1, 4 * PER_SEGMENT);
    assert_int_equal(rub_journal_release(place->journal, 3 * PER_SEGMENT, NULL), 0);
    snprintf(path, sizeof(path), "%s/kept/0000000000000002.seg", place->folder);
    snprintf(aside, sizeof(aside), "%s/aside", place->folder);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(read_all(place, 1, UINT64_MAX), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "0000000000000002 is missing"));
    assert_int_equal(rename(aside, path), 0);
    const int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 30000), 1);
    close(fd);
    assert_int_equal(read_all(place, 1, UINT64_MAX), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "0000000000000002.seg is damaged at offset"));
    assert_int_equal(read_all(place, 1, 3 * PER_SEGMENT), RUB_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_journal_that_ends_too_early_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_released_journal_has_no_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_held_is_read_while_the_journal_behind_it_comes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_held_by_who_is_gone_is_used_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_missing_or_damaged_kept_segment_is_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_half_written_record_behind_the_end_is_not_looked_at,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(reading_stops_at_the_record_that_was_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_kept_journal_is_read_from_its_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(what_recovery_does_not_read_is_kept_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
