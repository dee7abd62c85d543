/* Background threads stand behind their process, by name, and nobody else does. */
#include "common/base/check.h"
#include "common/base/priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct seen {
    int steps, nice;
    char name[16];
} seen_t;

static void *give_way(void *context)
{
    seen_t *seen = context;
    rub_priority_background("behind", seen->steps);
    seen->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    assert_int_equal(pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name)), 0);
    return NULL;
}

static int nice_behind(int steps, seen_t *seen)
{
    pthread_t thread;
    *seen = (seen_t){.steps = steps};
    assert_int_equal(pthread_create(&thread, NULL, give_way, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return seen->nice;
}

static void a_background_thread_is_nicer_than_its_process_and_has_a_name(void **state)
{
    RUB_UNUSED(state);
    seen_t seen;
    const int own = getpriority(PRIO_PROCESS, (id_t)gettid());
    rub_priority_prompt();
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
    assert_int_equal(nice_behind(3, &seen), own + 3 < 19 ? own + 3 : 19);
    assert_string_equal(seen.name, "behind");
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)gettid()), own);
}

static void nice_has_an_end(void **state)
{
    RUB_UNUSED(state);
    seen_t seen;
    assert_int_equal(nice_behind(100, &seen), 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_background_thread_is_nicer_than_its_process_and_has_a_name),
        cmocka_unit_test(nice_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
