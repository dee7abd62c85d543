/* Errors, log lines, and time as text: what people read. */
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/timing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fail_fills_code_and_sentence(void **state)
{
    (void)state;
    rub_error_t err = {0};
    assert_int_equal(rub_fail(&err, RUB_ELIMIT, "ring of %d bytes is full", 7), RUB_ELIMIT);
    assert_int_equal(err.code, RUB_ELIMIT);
    assert_string_equal(err.message, "ring of 7 bytes is full");
    assert_int_equal(rub_fail(NULL, RUB_ENAN, "nobody listens"), RUB_ENAN);
    assert_int_equal(rub_fail_errno(&err, RUB_EIO, ENOENT, "cannot open '%s'", "a"), RUB_EIO);
    assert_string_equal(err.message, "cannot open 'a': No such file or directory");
}

static void wrap_puts_context_in_front_and_the_code_is_the_callers(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_fail(&err, RUB_EDATA, "wrong magic");
    assert_int_equal(rub_wrap(&err, err.code, "file '%s'", "x.idx"), RUB_EDATA);
    assert_int_equal(err.code, RUB_EDATA);
    assert_string_equal(err.message, "file 'x.idx': wrong magic");
    /* an argument that points into err, and a code that says what this means up here */
    assert_int_equal(rub_wrap(&err, RUB_EINTERNAL, "%s", err.message), RUB_EINTERNAL);
    assert_int_equal(err.code, RUB_EINTERNAL);
    assert_string_equal(err.message, "file 'x.idx': wrong magic: file 'x.idx': wrong magic");
    assert_int_equal(rub_wrap(NULL, RUB_EPEER, "shard 1"), RUB_EPEER);
}

static void sentences_that_are_too_long_are_cut_and_terminated(void **state)
{
    (void)state;
    rub_error_t err = {0};
    char text[2000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rub_fail(&err, RUB_EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    rub_wrap(&err, RUB_EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    rub_fail_errno(&err, RUB_EIO, ENOSPC, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

static void every_code_has_its_name_and_exit_code(void **state)
{
    (void)state;
#define RUB_ERROR(name, number, exit_code, text)                                                   \
    assert_string_equal(rub_error_name(number), #name);                                            \
    assert_int_equal(rub_error_exit_code(number), exit_code);
#include "include/rubato_errors.def"
#undef RUB_ERROR
    assert_string_equal(rub_error_name(0), "RUB_OK");
    assert_int_equal(rub_error_exit_code(0), 0);
    assert_string_equal(rub_error_name(-9999), "?");
    assert_int_equal(rub_error_exit_code(-9999), 1);
    assert_string_equal(rub_version(), RUBATO_VERSION);
}

static void log_writes_one_line_and_drops_what_is_too_detailed(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    rub_log_t log;
    rub_log_init(&log, out, RUB_LOG_INFO, "ps 0");
    rub_log(&log, RUB_LOG_WARN, "rank %d said\nsomething", 3);
    rub_log(&log, RUB_LOG_DEBUG, "not this");
    rub_log(NULL, RUB_LOG_ERROR, "nor this");
    fclose(out);
    assert_non_null(strstr(text, "Z warn  ps 0: rank 3 said something\n"));
    assert_ptr_equal(strchr(text, '\n'), text + bytes - 1);
    free(text);
    rub_log_init(&log, NULL, RUB_LOG_INFO,
                 "a name that is longer than what fits into the field of a log");
    rub_log(&log, RUB_LOG_ERROR, "discarded");
}

static void time_moves_forward_and_reads_as_text(void **state)
{
    (void)state;
    char text[25];
    const uint64_t before = rub_now_us();
    rub_sleep_ms(2);
    assert_true(rub_now_us() >= before + 2000);
    assert_true(rub_now_ms() <= rub_now_ns() / 1000000);
    assert_true(rub_wall_s() > 1.6e9);
    assert_true(rub_cpu_s() >= 0);
    rub_wall_text(text, sizeof(text));
    assert_int_equal(strlen(text), 24);
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[23], 'Z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_fills_code_and_sentence),
        cmocka_unit_test(wrap_puts_context_in_front_and_the_code_is_the_callers),
        cmocka_unit_test(sentences_that_are_too_long_are_cut_and_terminated),
        cmocka_unit_test(every_code_has_its_name_and_exit_code),
        cmocka_unit_test(log_writes_one_line_and_drops_what_is_too_detailed),
        cmocka_unit_test(time_moves_forward_and_reads_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
