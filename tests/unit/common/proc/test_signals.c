/* How a program's children end is seen, whatever whoever started the program has ignored. */
#include "common/base/check.h"
#include "common/base/timing.h"
#include "common/proc/child.h"
#include "common/proc/signals.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LIMIT_MS = 20000 };

static void children_are_seen_to_end_when_sigchld_was_ignored_before(void **state)
{
    RUB_UNUSED(state);
    char shell[] = "/bin/sh", option[] = "-c", words[] = "exit 7";
    char *const arguments[] = {shell, option, words, NULL};
    rub_child_t child = {0};
    rub_error_t err = {0};
    assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    rub_signals_install(true);
    assert_int_equal(rub_child_start(&child, arguments, "/dev/null", &err), 0);
    const uint64_t begun_ms = rub_now_ms();
    while (!rub_child_ended(&child)) {
        assert_true(rub_now_ms() - begun_ms < LIMIT_MS);
        rub_sleep_ms(2);
    }
    assert_int_equal(child.exit_code, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_seen_to_end_when_sigchld_was_ignored_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
