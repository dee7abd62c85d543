/* A mark is of one process. */
#include "common/base/fork_mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int seen_by_a_child(const rub_fork_mark_t *mark)
{
    const pid_t child = fork();
    if (child == 0) {
        _exit(rub_fork_mark_is_ours(mark) ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void it_is_ours_here_and_not_in_a_child(void **state)
{
    (void)state;
    rub_fork_mark_t mark;
    rub_fork_mark_set(&mark);
    assert_true(rub_fork_mark_is_ours(&mark));
    assert_int_equal(seen_by_a_child(&mark), 0);
    assert_true(rub_fork_mark_is_ours(&mark));
    rub_fork_mark_clear(&mark);
    assert_false(rub_fork_mark_is_ours(&mark));
}

static void so_it_is_where_the_kernel_has_no_page_for_it(void **state)
{
    (void)state;
    const rub_fork_mark_t mark = {.pid = (int64_t)getpid()};
    assert_true(rub_fork_mark_is_ours(&mark));
    assert_int_equal(seen_by_a_child(&mark), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_ours_here_and_not_in_a_child),
        cmocka_unit_test(so_it_is_where_the_kernel_has_no_page_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
