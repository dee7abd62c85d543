/* Which name or address a ps tells others, when it listens on every interface. */
#include "common/base/check.h"
#include "common/proc/known_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* No resolver knows it, and none is asked: a label has at most 63 bytes. */
#define NOBODY "nobody-nobody-nobody-nobody-nobody-nobody-nobody-nobody-nobody-n"

static void unknown_name_is_replaced_by_the_address_towards_the_scheduler(void **state)
{
    RUB_UNUSED(state);
    char out[64];
    assert_int_equal(rub_known_host(NOBODY, "tcp://127.0.0.1:5555", out, sizeof(out)),
                     RUB_KNOWN_BY_ADDRESS);
    assert_string_equal(out, "127.0.0.1");
}

static void without_a_way_to_the_scheduler_the_name_stays(void **state)
{
    RUB_UNUSED(state);
    char out[128];
    const char *nowhere[] = {"tcp://" NOBODY ":5555", "tcp://127.0.0.1", "", "127.0.0.1:no-port"};
    for (size_t i = 0; i < RUB_COUNT_OF(nowhere); i++) {
        assert_int_equal(rub_known_host(NOBODY, nowhere[i], out, sizeof(out)), RUB_NOT_KNOWN);
        assert_string_equal(out, NOBODY);
    }
}

static void known_name_is_told_wherever_the_scheduler_is(void **state)
{
    RUB_UNUSED(state);
    char out[64];
    assert_int_equal(rub_known_host("127.0.0.2", "tcp://" NOBODY ":1", out, sizeof(out)),
                     RUB_KNOWN_BY_NAME);
    assert_string_equal(out, "127.0.0.2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_name_is_replaced_by_the_address_towards_the_scheduler),
        cmocka_unit_test(without_a_way_to_the_scheduler_the_name_stays),
        cmocka_unit_test(known_name_is_told_wherever_the_scheduler_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
