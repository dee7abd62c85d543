/* Rows are called by numbers: which names a job may go on with. */
#include "worker/train/kept_names.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* One name for each letter, in that order. */
static rub_vocabulary_t *names_of(const char *letters)
{
    rub_vocabulary_t *names = rub_vocabulary_new();
    uint32_t number = 0;
    assert_non_null(names);
    for (uint32_t i = 0; letters[i] != '\0'; i++) {
        assert_int_equal(rub_vocabulary_add(names, letters + i, 1, &number, NULL), 0);
        assert_int_equal(number, i);
    }
    return names;
}

static void numbers_keep_their_names_and_there_may_be_more_or_fewer(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *kept, *now;
        const char *words; /* NULL: it may */
    } rows[] = {
        {"abc", "abc", NULL},
        {"abc", "abcd", NULL},
        {"abc", "ab", NULL},
        {"abc", "", NULL},
        {"", "abc", NULL},
        {"abc", "acb",
         "train_file 'now': its word number 1 is 'c', expected 'b', which the job's "
         "rows are of ('then')"},
        {"abc", "xabc", "its word number 0 is 'x', expected 'a'"},
        {"abc", "abx", "its word number 2 is 'x', expected 'c'"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        rub_error_t err = {0};
        rub_vocabulary_t *kept = names_of(rows[i].kept), *now = names_of(rows[i].now);
        const int rc = rub_kept_names_compare(kept, now, "word", "now", "then", &err);
        if (rc != (rows[i].words != NULL ? RUB_EDATA : 0) ||
            (rc != 0 && strstr(err.message, rows[i].words) == NULL)) {
            fail_msg("case %zu: %d '%s'", i, rc, err.message);
        }
        rub_vocabulary_destroy(&kept);
        rub_vocabulary_destroy(&now);
    }
}

static void they_count_once_this_job_has_trained(void **state)
{
    RUB_UNUSED(state);
    const rub_info_t begins = {.rank = 0}, restored = {.rank = 1, .resumed_clock = 9},
                     again = {.rank = 0, .clock = 5}, other = {.rank = 1, .clock = 5};
    assert_false(rub_kept_names_count(&begins));
    assert_true(rub_kept_names_count(&restored));
    assert_true(rub_kept_names_count(&again));
    assert_false(rub_kept_names_count(&other)); /* rank 0 may not have written them yet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_keep_their_names_and_there_may_be_more_or_fewer),
        cmocka_unit_test(they_count_once_this_job_has_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
