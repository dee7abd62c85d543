/* The log of pulls: one line per answer, readable while the session lives, and no trouble to a
 * training when it cannot be written. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "worker/client/pull_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const rub_info_t trainer = {
    .job = 0xab, .rank = 3, .epoch = 2, .n_shards = 4, .staleness = 5};

static void each_answer_is_a_line_behind_a_head(void **state)
{
    (void)state;
    char folder[] = "/tmp/rubato-pulls-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    rub_pull_log_t *log = NULL;
    assert_int_equal(rub_pull_log_open(folder, &trainer, &log, NULL), 0);
    rub_pull_log_note(
        log, &(rub_answer_t){
                 .shard = 1, .stamp = 9, .minimum = 6, .lsn = UINT64_C(1) << 41, .own_seq = 17});
    assert_int_equal(rub_pull_log_flush(log, NULL), 0);

    snprintf(path, sizeof path, "%s/rank-3.epoch-2.pulls", folder);
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(path, 4096, &text, &bytes, NULL), 0);
    assert_string_equal(text, "rubato-pulls 1 job 00000000000000ab role trainer rank 3 epoch 2 "
                              "shards 4 staleness 5\n1 9 6 2199023255552 17\n");
    rub_free(text);
    rub_pull_log_close(&log);
    assert_null(log);
    assert_int_equal(rub_fs_remove_tree(folder, NULL), 0);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    rub_pull_log_t *log = NULL;
    rub_error_t err = {0};
    assert_true(rub_pull_log_open("/proc/nowhere", &trainer, &log, &err) < 0);
    assert_null(log);
    assert_non_null(strstr(err.message, "/proc/nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_is_a_line_behind_a_head),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
