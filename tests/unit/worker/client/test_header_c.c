/* The public header stands alone in C, and every symbol it promises is there. */
#include <rubato.h>

/* after it, on purpose */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_public_function_exists(void **state)
{
    (void)state;
    void (*const functions[])(void) = {
        (void (*)(void))rub_error_name,
        (void (*)(void))rub_version,
        (void (*)(void))rub_options_defaults,
        (void (*)(void))rub_open,
        (void (*)(void))rub_close,
        (void (*)(void))rub_abandon,
        (void (*)(void))rub_session_info,
        (void (*)(void))rub_session_stats,
        (void (*)(void))rub_schema_defaults,
        (void (*)(void))rub_table_open,
        (void (*)(void))rub_pull_range,
        (void (*)(void))rub_pull,
        (void (*)(void))rub_pull_range_async,
        (void (*)(void))rub_pull_async,
        (void (*)(void))rub_push_range,
        (void (*)(void))rub_push,
        (void (*)(void))rub_wait,
        (void (*)(void))rub_cancel,
        (void (*)(void))rub_flush,
        (void (*)(void))rub_clock,
        (void (*)(void))rub_barrier,
        (void (*)(void))rub_pause,
        (void (*)(void))rub_resume,
        (void (*)(void))rub_piece_next,
        (void (*)(void))rub_session_progress,
        (void (*)(void))rub_metric,
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        assert_true(functions[i] != 0);
    }
}

static void open_refuses_bad_options_with_a_sentence(void **state)
{
    (void)state;
    rub_options_t options;
    rub_options_defaults(&options);
    rub_session_t *session = NULL;
    rub_error_t err;
    assert_int_equal(rub_open(&options, &session, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "scheduler"));
    options.scheduler = "nonsense";
    assert_int_equal(rub_open(&options, &session, &err), RUB_ECONFIG);
    assert_null(session);
}

static void open_names_the_missing_scheduler_at_its_deadline(void **state)
{
    (void)state;
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = "tcp://127.0.0.1:1";
    options.join_timeout_ms = 200;
    rub_session_t *session = NULL;
    rub_error_t err;
    assert_int_equal(rub_open(&options, &session, &err), RUB_EPEER);
    assert_int_equal(err.code, RUB_EPEER);
    assert_non_null(strstr(err.message, "scheduler"));
    assert_int_equal(rub_close(&session, true, NULL), 0);
    rub_abandon(&session);
}

static void an_interrupted_open_ends_at_once(void **state)
{
    (void)state;
    static volatile int flag = 0;
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = "tcp://127.0.0.1:1";
    options.interrupted = &flag;
    flag = 1;
    rub_session_t *session = NULL;
    assert_int_equal(rub_open(&options, &session, NULL), RUB_EINTR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_public_function_exists),
        cmocka_unit_test(open_refuses_bad_options_with_a_sentence),
        cmocka_unit_test(open_names_the_missing_scheduler_at_its_deadline),
        cmocka_unit_test(an_interrupted_open_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
