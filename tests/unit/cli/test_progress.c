/* What people read while a run goes on. */
#include "cli/progress.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void line_shows_epoch_loss_rate_gap_and_time_left(void **state)
{
    RUB_UNUSED(state);
    char line[256];
    rub_tally_t tally = {.data_epoch = 2,
                         .loss = 0.43125,
                         .gap_p50 = 2,
                         .gap_max = 4,
                         .examples = 60000,
                         .total_examples = 120000};
    assert_string_equal(rub_progress_line(&tally, 10, 10000, line, sizeof line),
                        "epoch 3/10  loss 0.4313  10,000 examples/s  gap 2 (max 4)  left 0:06");
}

static void line_leaves_out_what_is_not_known(void **state)
{
    RUB_UNUSED(state);
    char line[256];
    rub_tally_t tally = {.examples = 1, .loss = 2};
    assert_string_equal(rub_progress_line(&tally, 1, 0, line, sizeof line),
                        "epoch 1/1  loss 2.0000  gap 0 (max 0)");
}

static void line_never_counts_beyond_the_last_epoch(void **state)
{
    RUB_UNUSED(state);
    char line[256];
    rub_tally_t tally = {.data_epoch = 10, .examples = 10, .total_examples = 5, .loss = 1};
    assert_string_equal(rub_progress_line(&tally, 10, 1, line, sizeof line),
                        "epoch 10/10  loss 1.0000  1 examples/s  gap 0 (max 0)  left 0:00");
}

static void hours_are_shown_when_there_are_any(void **state)
{
    RUB_UNUSED(state);
    char line[256];
    rub_tally_t tally = {.examples = 1, .total_examples = 7326, .loss = 1};
    assert_non_null(strstr(rub_progress_line(&tally, 1, 1, line, sizeof line), "left 2:02:05"));
}

static void rate_is_of_the_last_seconds(void **state)
{
    RUB_UNUSED(state);
    rub_rate_t rate = {0};
    assert_true(rub_rate_per_s(&rate) == 0);
    for (int i = 0; i < 100; i++) {
        rub_rate_add(&rate, i * 0.5, (uint64_t)(i < 50 ? 0 : (i - 50) * 100));
    }
    assert_true(rub_rate_per_s(&rate) == 200);
}

static void thousands_are_grouped(void **state)
{
    RUB_UNUSED(state);
    char text[28];
    assert_string_equal(rub_thousands(0, text, sizeof text), "0");
    assert_string_equal(rub_thousands(999, text, sizeof text), "999");
    assert_string_equal(rub_thousands(1000, text, sizeof text), "1,000");
    assert_string_equal(rub_thousands(UINT64_MAX, text, sizeof text), "18,446,744,073,709,551,615");
}

static void a_pipe_gets_whole_lines_rarely(void **state)
{
    RUB_UNUSED(state);
    FILE *out = tmpfile();
    assert_non_null(out);
    rub_progress_show_t show;
    rub_progress_show_init(&show, out);
    assert_false(show.is_terminal);
    rub_tally_t tally = {.loss = 1};
    rub_progress_show_update(&show, &tally, 1, 0, true);
    assert_int_equal(ftell(out), 0);
    for (int i = 0; i < 20; i++) {
        tally.examples = 10 + (uint64_t)i;
        rub_progress_show_update(&show, &tally, 1, i * 0.2, true);
    }
    tally.examples = 40; /* and no more: what is measured then takes its time */
    for (int i = 0; i < 9; i++) {
        rub_progress_show_update(&show, &tally, 1, 6.5 + i * 3, true);
    }
    rub_progress_show_say(&show, "ps %d ended", 1);
    tally.examples = 50; /* the end is shown however soon it comes, once */
    tally.loss = 0.25;
    tally.state = RUB_JOB_DONE;
    rub_progress_show_update(&show, &tally, 1, 31, true);
    rub_progress_show_update(&show, &tally, 1, 31.1, true);
    rewind(out);
    char text[1024];
    text[fread(text, 1, sizeof text - 1, out)] = 0;
    fclose(out);
    unsigned lines = 0;
    for (const char *p = text; *p; p++) {
        lines += *p == '\n';
    }
    assert_int_equal(lines, 5); /* at 0, 3, 6.5 s, what was said, and the end */
    assert_non_null(strstr(text, "epoch 1/1  loss 0.2500"));
    assert_null(strchr(text, '\r'));
    assert_non_null(strstr(text, "ps 1 ended\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_shows_epoch_loss_rate_gap_and_time_left),
        cmocka_unit_test(line_leaves_out_what_is_not_known),
        cmocka_unit_test(line_never_counts_beyond_the_last_epoch),
        cmocka_unit_test(hours_are_shown_when_there_are_any),
        cmocka_unit_test(rate_is_of_the_last_seconds),
        cmocka_unit_test(thousands_are_grouped),
        cmocka_unit_test(a_pipe_gets_whole_lines_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
