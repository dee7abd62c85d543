/* The history checker: what is right passes, and each wrong history is refused by the law that it
 * breaks. Histories are written as the text that real processes write. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/history/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SSP2 "rubato-history 1 writers=2 rows=2 staleness=2 durability=journal\n"
#define BSP "rubato-history 1 writers=2 rows=2 staleness=0 durability=journal\n"
#define ASYNC "rubato-history 1 writers=2 rows=2 staleness=- durability=journal\n"

/* Runs the text; the law that it breaks. */
static rub_law_t law_of(const char *text)
{
    char line[600];
    float values[RUB_HISTORY_ROWS];
    rub_history_config_t config = {0};
    rub_history_t *history = NULL;
    rub_error_t err = {0};
    for (const char *at = text; *at;) {
        const char *newline = strchr(at, '\n');
        const size_t n = (size_t)(newline - at);
        assert_true(n < sizeof(line));
        memcpy(line, at, n);
        line[n] = '\0';
        at = newline + 1;
        if (!history) {
            assert_int_equal(rub_history_read_header(line, &config, &err), 0);
            history = rub_history_new(&config);
            assert_non_null(history);
            continue;
        }
        rub_history_event_t event;
        if (rub_history_read_line(&config, line, values, &event, &err) != 0) {
            fail_msg("%s", err.message);
        }
        rub_history_step(history, &event);
    }
    const rub_law_t law = rub_history_law(history);
    if (law != RUB_LAW_NONE) {
        print_message("%s: %s\n", rub_law_name(law), rub_history_sentence(history));
        assert_true(rub_history_sentence(history)[0] != '\0');
    }
    rub_history_destroy(&history);
    return law;
}

#define OPEN2 "1 O 0.1 0\n1 O 1.1 0\n"

static void a_lock_step_history_is_accepted(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(BSP OPEN2 "2 Q 0.1 1 0\n"
                                      "3 R 0.1 1 0 0 0 0 0\n"
                                      "4 P 0.1 1 0\n"
                                      "5 P 1.1 1 0\n"
                                      "6 C 0.1 1\n"
                                      "7 Q 0.1 2 1\n"
                                      "8 C 1.1 1\n"
                                      "9 R 0.1 2 0 1 1 1 1\n"
                                      "9 A 0.1 1 1\n"
                                      "10 E 0.1 left\n"
                                      "11 E 1.1 left\n"
                                      "12 O 2.0 0\n"
                                      "13 F 2.0 1 1 1 1\n"),
                     RUB_LAW_NONE);
}

static void a_late_push_within_the_bound_is_accepted(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 P 1.1 1 0\n"
                                       "3 C 0.1 1\n"
                                       "4 C 0.1 2\n"
                                       "5 Q 0.1 1 2\n"
                                       "6 R 0.1 1 2 0 0 0 0\n"),
                     RUB_LAW_NONE);
}

static void what_a_killed_writer_had_not_heard_of_may_be_there_or_not(void **state)
{
    RUB_UNUSED(state);
    const char *const ends[] = {"9 F 1.1 1 1 0 0\n", "9 F 1.1 2 2 0 0\n", "9 F 1.1 1 2 0 0\n"};
    for (size_t i = 0; i < RUB_COUNT_OF(ends); i++) {
        char text[600];
        snprintf(text, sizeof(text), "%s%s",
                 ASYNC OPEN2
                 "2 P 0.1 1 0\n3 A 0.1 1 0\n4 P 0.1 2 0\n5 E 0.1 killed\n6 E 1.1 left\n",
                 ends[i]);
        assert_int_equal(law_of(text), RUB_LAW_NONE);
    }
}

static void a_push_of_a_zombie_is_no_sin_until_it_is_heard(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "1 D 0.1 0\n"
                                       "2 C 1.1 5\n"
                                       "3 Q 1.1 1 5\n"
                                       "4 R 1.1 1 0 0 0 0 0\n"
                                       "5 P 0.1 1 0\n"
                                       "6 E 0.1 fenced\n"
                                       "7 E 1.1 left\n"
                                       "8 F 1.1 0 0 0 0\n"),
                     RUB_LAW_NONE);
}

static void a_loss_that_was_reported_is_accepted(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 0.1 1 0\n"
                                        "3 P 0.1 2 0\n"
                                        "4 A 0.1 2 0\n"
                                        "5 Q 1.1 1 0\n"
                                        "6 R 1.1 1 0 2 2 0 0\n"
                                        "7 B 0 1\n"
                                        "8 L 0 1 1\n"
                                        "9 Q 1.1 2 0\n"
                                        "10 R 1.1 2 0 2 1 0 0\n"
                                        "11 E 0.1 left\n"
                                        "12 E 1.1 left\n"
                                        "13 F 1.1 2 1 0 0\n"),
                     RUB_LAW_NONE);
}

/* ---- one wrong history for each law, and some that break it another way ---- */

static void a_period_that_the_bound_promises_must_be_in(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 P 1.1 1 0\n"
                                       "3 C 1.1 1\n"
                                       "4 C 0.1 3\n"
                                       "5 Q 0.1 1 3\n"
                                       "6 R 0.1 1 - 0 0 0 0\n"),
                     RUB_LAW_SSP);
}

static void lock_step_shows_nothing_of_the_running_period(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(BSP OPEN2 "2 P 1.1 1 0\n"
                                      "3 Q 0.1 1 0\n"
                                      "4 R 0.1 1 0 0 0 1 1\n"),
                     RUB_LAW_BSP);
}

static void lock_step_shows_all_of_the_last_period(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(BSP OPEN2 "2 P 1.1 1 0\n"
                                      "3 C 1.1 1\n"
                                      "3 C 0.1 1\n"
                                      "4 Q 0.1 1 1\n"
                                      "5 R 0.1 1 0 0 0 0 0\n"),
                     RUB_LAW_BSP);
}

static void a_session_reads_what_it_wrote(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 0.1 1 0\n"
                                        "3 Q 0.1 1 0\n"
                                        "4 R 0.1 1 0 0 1 0 0\n"),
                     RUB_LAW_OWN);
}

static void a_session_never_reads_backwards(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 1.1 1 0\n"
                                        "3 Q 0.1 1 0\n"
                                        "3 Q 0.1 2 0\n"
                                        "4 R 0.1 1 0 0 0 1 1\n"
                                        "5 R 0.1 2 0 0 0 0 1\n"),
                     RUB_LAW_MONOTONIC);
}

static void what_was_shown_to_one_is_shown_to_who_asks_later(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 1.1 1 0\n"
                                        "3 Q 1.1 1 0\n"
                                        "4 R 1.1 1 0 0 0 1 1\n"
                                        "5 Q 0.1 1 0\n"
                                        "6 R 0.1 1 0 0 0 0 1\n"),
                     RUB_LAW_REGRESSION);
}

static void nobody_reads_more_than_was_pushed(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 P 1.1 1 0\n"
                                       "3 Q 0.1 1 0\n"
                                       "4 R 0.1 1 0 0 0 2 1\n"),
                     RUB_LAW_DOUBLED);
}

static void a_doubled_push_shows_at_the_end_too(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 P 1.1 1 0\n"
                                       "3 E 0.1 left\n"
                                       "3 E 1.1 left\n"
                                       "4 F 0.1 0 0 1 2\n"),
                     RUB_LAW_DOUBLED);
}

static void what_a_writer_that_left_has_pushed_is_there_at_the_end(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 P 1.1 1 0\n"
                                       "3 E 0.1 left\n"
                                       "3 E 1.1 left\n"
                                       "4 F 0.1 0 0 1 0\n"),
                     RUB_LAW_LOST);
}

static void an_acknowledged_push_is_there_for_who_asks_later(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 1.1 1 0\n"
                                        "3 A 1.1 1 0\n"
                                        "4 E 1.1 killed\n"
                                        "5 Q 0.1 1 0\n"
                                        "6 R 0.1 1 0 0 0 0 1\n"),
                     RUB_LAW_DURABILITY);
}

static void an_acknowledged_push_of_a_killed_writer_is_there_at_the_end(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 1.1 1 0\n"
                                        "3 A 1.1 1 0\n"
                                        "4 E 1.1 killed\n"
                                        "5 E 0.1 left\n"
                                        "6 F 0.1 0 0 1 0\n"),
                     RUB_LAW_LOST);
}

static void a_row_that_is_no_number_is_not_the_end_of_anything(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 1.1 1 0\n"
                                        "3 A 1.1 1 0\n"
                                        "4 E 1.1 left\n"
                                        "5 E 0.1 left\n"
                                        "6 F 0.1 0 0 1 nan\n"),
                     RUB_LAW_LOST);
}

static void what_was_synced_can_not_be_reported_lost(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of("rubato-history 1 writers=1 rows=1 staleness=- durability=sync\n"
                            "1 O 0.1 0\n"
                            "2 P 0.1 1 0\n"
                            "3 A 0.1 1 0\n"
                            "4 L 0 - 1\n"),
                     RUB_LAW_DURABILITY);
}

static void a_push_of_an_old_epoch_does_not_come_after_the_new_ones_first_read(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC OPEN2 "2 P 0.1 1 0\n"
                                        "3 E 0.1 fenced\n"
                                        "4 O 0.2 0\n"
                                        "5 Q 0.2 1 0\n"
                                        "6 R 0.2 1 0 0 0 0 0\n"
                                        "7 P 0.2 1 0\n"
                                        "8 Q 1.1 1 0\n"
                                        "9 R 1.1 1 0 2 1 0 0\n"),
                     RUB_LAW_FENCING);
}

static void what_the_power_took_may_still_be_in_an_answer_from_before_it(void **state)
{
    RUB_UNUSED(state);
    for (unsigned before = 0; before < 2; before++) {
        char text[500];
        snprintf(text, sizeof(text),
                 ASYNC OPEN2 "2 P 0.1 1 0\n"
                             "3 A 0.1 1 0\n"
                             "4 E 0.1 left\n"
                             "5 %s\n"
                             "6 L 0 - 1\n"
                             "6 B 0 -\n"
                             "7 O 0.2 0\n"
                             "8 Q 0.2 1 0\n"
                             "8 R 0.2 1 0 0 0 0 0\n"
                             "9 %s\n"
                             "9 R 1.1 1 0 1 1 0 0\n",
                 before ? "Q 1.1 1 0" : "C 1.1 0", before ? "C 1.1 0" : "Q 1.1 1 0");
        assert_int_equal(law_of(text), before ? RUB_LAW_NONE : RUB_LAW_FENCING);
    }
}

static void epochs_of_a_writer_rise(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(ASYNC "1 O 0.2 0\n2 O 0.1 0\n"), RUB_LAW_FENCING);
}

static void a_message_is_in_or_not(void **state)
{
    RUB_UNUSED(state);
    const char *const reads[] = {"4 R 1.1 1 0 1 0 0 0 0 0\n", "4 R 1.1 1 0 1 1 0 0 0 0\n"};
    for (size_t i = 0; i < RUB_COUNT_OF(reads); i++) {
        char text[400];
        snprintf(text, sizeof(text), "%s%s",
                 "rubato-history 1 writers=2 rows=3 staleness=- durability=journal groups=0,0,1\n"
                 "1 O 0.1 0\n1 O 1.1 0\n2 P 0.1 1 0\n3 Q 1.1 1 0\n",
                 reads[i]);
        assert_int_equal(law_of(text), i == 0 ? RUB_LAW_ATOMICITY : RUB_LAW_NONE);
    }
}

static void no_minimum_falls(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 "1 M 0 4\n2 M 1 3\n3 M 0 3\n"), RUB_LAW_MINIMUM);
    assert_int_equal(law_of(SSP2 "1 M 0 4\n2 M 0 -\n3 M 0 3\n"), RUB_LAW_NONE);
}

static void nobody_pushes_below_what_was_shown_to_be_over(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 C 0.1 5\n"
                                       "3 Q 0.1 1 5\n"
                                       "4 R 0.1 1 - 0 0 0 0\n"
                                       "5 P 1.1 1 2\n"),
                     RUB_LAW_MINIMUM);
}

static void the_power_takes_the_clocks_that_were_shown(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 C 0.1 5\n"
                                       "3 Q 0.1 1 5\n"
                                       "4 R 0.1 1 - 0 0 0 0\n"
                                       "5 Q 0.1 2 5\n"
                                       "6 B 0 -\n"
                                       "7 R 0.1 2 - 0 0 0 0\n" /* answered before it */
                                       "8 P 1.1 1 2\n"),
                     RUB_LAW_NONE);
    assert_int_equal(law_of(SSP2 OPEN2 "2 C 0.1 5\n"
                                       "3 B 0 -\n"
                                       "4 Q 0.1 1 5\n"
                                       "5 R 0.1 1 - 0 0 0 0\n"
                                       "6 P 1.1 1 2\n"),
                     RUB_LAW_MINIMUM);
}

static void a_pull_that_the_power_overtook_holds_what_was_there_before(void **state)
{
    RUB_UNUSED(state);
    for (unsigned before = 0; before < 2; before++) {
        char text[500];
        snprintf(text, sizeof(text),
                 SSP2 OPEN2 "2 C 0.1 5\n"
                            "3 %s\n"
                            "4 Q 0.1 1 5\n"
                            "5 B 0 -\n"
                            "5 B 1 -\n"
                            "6 %s\n"
                            "7 R 0.1 1 - 0 0 0 0\n",
                 before ? "P 1.1 1 2" : "C 1.1 2", before ? "C 1.1 2" : "P 1.1 1 2");
        assert_int_equal(law_of(text), before ? RUB_LAW_SSP : RUB_LAW_NONE);
    }
}

static void the_measured_gap_is_within_the_bound(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(law_of(SSP2 OPEN2 "2 C 0.1 3\n"
                                       "3 Q 0.1 1 3\n"
                                       "4 R 0.1 1 3 0 0 0 0\n"),
                     RUB_LAW_GAP);
}

static void a_history_that_makes_no_sense_is_no_proof(void **state)
{
    RUB_UNUSED(state);
    const char *const wrong[] = {
        SSP2 "1 P 0.1 1 0\n",                /* never opened */
        SSP2 OPEN2 "2 P 0.1 2 0\n",          /* not its first push */
        SSP2 OPEN2 "2 A 0.1 1 0\n",          /* nothing was pushed */
        SSP2 OPEN2 "2 C 0.1 3\n3 C 0.1 2\n", /* a clock goes back */
        SSP2 OPEN2 "2 R 0.1 7 0 0 0 0 0\n",  /* never asked */
        SSP2 OPEN2 "0 C 0.1 1\n",            /* time goes back */
        SSP2 OPEN2 "2 O 0.1 0\n",            /* opened twice */
    };
    for (size_t i = 0; i < RUB_COUNT_OF(wrong); i++) {
        assert_int_equal(law_of(wrong[i]), RUB_LAW_FORM);
    }
}

static void a_line_that_is_none_is_refused_with_its_column(void **state)
{
    RUB_UNUSED(state);
    const char *const wrong[] = {"",
                                 "x",
                                 "1",
                                 "1 O",
                                 "1 Z 0.1 0",
                                 "1 O 0.1",
                                 "1 O 0.1 0 ",
                                 "1 R 0.1 1 0 1 1 1",
                                 "1 E 0.1 gone",
                                 "1 L 0 2 1",
                                 "1 P 0.1 1",
                                 "1 O 0.1 -1"};
    rub_history_config_t config;
    rub_history_event_t event;
    float values[4];
    rub_error_t err;
    assert_int_equal(
        rub_history_read_header("rubato-history 1 writers=2 rows=2 staleness=2 durability=sync",
                                &config, &err),
        0);
    for (size_t i = 0; i < RUB_COUNT_OF(wrong); i++) {
        assert_int_equal(rub_history_read_line(&config, wrong[i], values, &event, &err), RUB_EDATA);
        assert_non_null(strstr(err.message, "column"));
    }
    assert_int_equal(rub_history_read_header("rubato-history 2 writers=2", &config, &err),
                     RUB_EDATA);
    assert_int_equal(
        rub_history_read_header("rubato-history 1 writers=2 rows=65 staleness=2 durability=sync",
                                &config, &err),
        RUB_EDATA);
    assert_int_equal(
        rub_history_read_header("rubato-history 1 writers=2 rows=2 staleness=2 durability=safe",
                                &config, &err),
        RUB_EDATA);
}

static void what_is_written_reads_the_same(void **state)
{
    RUB_UNUSED(state);
    const char *const lines[] = {"1 O 0.1 3",
                                 "2 P 0.1 1 3",
                                 "3 A 0.1 1 0",
                                 "4 C 0.1 4",
                                 "5 Q 0.1 9 4",
                                 "5 Q 7.0 1 -",
                                 "6 R 0.1 9 - 1 2 3 4",
                                 "7 E 0.1 fenced",
                                 "8 D 0.1 6",
                                 "9 L 1 - 5",
                                 "9 L 1 1 5",
                                 "9 B 0 0",
                                 "10 M 3 8",
                                 "10 M 3 -",
                                 "11 F 0.1 1 2 3.5 1000000"};
    rub_history_config_t config = {.n_writers = 2, .n_rows = 2, .staleness = 1};
    rub_error_t err;
    for (size_t i = 0; i < RUB_COUNT_OF(lines); i++) {
        rub_history_event_t event;
        float values[4];
        char line[1024];
        const size_t limit = rub_history_line_limit(&config);
        assert_true(limit <= sizeof(line));
        if (rub_history_read_line(&config, lines[i], values, &event, &err) != 0) {
            fail_msg("%s", err.message);
        }
        const size_t n = rub_history_write_line(&config, &event, line, limit);
        assert_int_equal(line[n - 1], '\n');
        line[n - 1] = '\0';
        assert_string_equal(line, lines[i]);
    }
    config.grouped = true;
    config.groups[1] = 3;
    config.staleness = RUB_ASYNC;
    char header[600];
    const size_t n = rub_history_write_header(&config, header, sizeof(header));
    header[n - 1] = '\0';
    assert_string_equal(header, "rubato-history 1 writers=2 rows=2 staleness=- durability=none "
                                "groups=0,3");
    rub_history_config_t again;
    assert_int_equal(rub_history_read_header(header, &again, &err), 0);
    assert_memory_equal(&again, &config, sizeof(config));
}

/* Two writers, n periods of push, read and acknowledgement. */
static uint64_t operations_of(uint64_t n_periods)
{
    const rub_history_config_t config = {.n_writers = 2, .n_rows = 2, .staleness = 3};
    rub_history_t *history = rub_history_new(&config);
    uint64_t time_us = 0;
    assert_non_null(history);
    for (uint32_t w = 0; w < 2; w++) {
        rub_history_step(history,
                         &(rub_history_event_t){.kind = RUB_HISTORY_OPEN, .writer = w, .epoch = 1});
    }
    for (uint64_t period = 0; period < n_periods; period++) {
        for (uint32_t w = 0; w < 2; w++) {
            const float first = (float)(period + w); /* writer 0 goes first */
            const float pushed[4] = {first, first, (float)period, (float)period};
            rub_history_event_t event = {
                .writer = w, .epoch = 1, .number = period + 1, .clock = period, .values = pushed};
            const char kinds[] = {'Q', 'R', 'P', 'A'};
            for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
                event.kind = (rub_history_kind_t)kinds[i];
                event.time_us = ++time_us;
                rub_history_step(history, &event);
            }
        }
    }
    if (rub_history_law(history) != RUB_LAW_NONE) {
        fail_msg("%s", rub_history_sentence(history));
    }
    const uint64_t operations = rub_history_operations(history);
    rub_history_destroy(&history);
    return operations;
}

static void twice_the_history_costs_twice_the_steps(void **state)
{
    RUB_UNUSED(state);
    const uint64_t one = operations_of(1000);
    const uint64_t two = operations_of(2000);
    const uint64_t four = operations_of(4000);
    assert_true(two - one <= one + one / 100);
    assert_true(four - two <= 2 * (two - one) + one / 100);
    assert_true(one <= 1000 * 2 * 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_step_history_is_accepted),
        cmocka_unit_test(a_late_push_within_the_bound_is_accepted),
        cmocka_unit_test(what_a_killed_writer_had_not_heard_of_may_be_there_or_not),
        cmocka_unit_test(a_push_of_a_zombie_is_no_sin_until_it_is_heard),
        cmocka_unit_test(a_loss_that_was_reported_is_accepted),
        cmocka_unit_test(a_period_that_the_bound_promises_must_be_in),
        cmocka_unit_test(lock_step_shows_nothing_of_the_running_period),
        cmocka_unit_test(lock_step_shows_all_of_the_last_period),
        cmocka_unit_test(a_session_reads_what_it_wrote),
        cmocka_unit_test(a_session_never_reads_backwards),
        cmocka_unit_test(what_was_shown_to_one_is_shown_to_who_asks_later),
        cmocka_unit_test(nobody_reads_more_than_was_pushed),
        cmocka_unit_test(a_doubled_push_shows_at_the_end_too),
        cmocka_unit_test(what_a_writer_that_left_has_pushed_is_there_at_the_end),
        cmocka_unit_test(an_acknowledged_push_is_there_for_who_asks_later),
        cmocka_unit_test(an_acknowledged_push_of_a_killed_writer_is_there_at_the_end),
        cmocka_unit_test(a_row_that_is_no_number_is_not_the_end_of_anything),
        cmocka_unit_test(what_was_synced_can_not_be_reported_lost),
        cmocka_unit_test(a_push_of_an_old_epoch_does_not_come_after_the_new_ones_first_read),
        cmocka_unit_test(what_the_power_took_may_still_be_in_an_answer_from_before_it),
        cmocka_unit_test(epochs_of_a_writer_rise),
        cmocka_unit_test(a_message_is_in_or_not),
        cmocka_unit_test(no_minimum_falls),
        cmocka_unit_test(nobody_pushes_below_what_was_shown_to_be_over),
        cmocka_unit_test(the_power_takes_the_clocks_that_were_shown),
        cmocka_unit_test(a_pull_that_the_power_overtook_holds_what_was_there_before),
        cmocka_unit_test(the_measured_gap_is_within_the_bound),
        cmocka_unit_test(a_history_that_makes_no_sense_is_no_proof),
        cmocka_unit_test(a_line_that_is_none_is_refused_with_its_column),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(twice_the_history_costs_twice_the_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
