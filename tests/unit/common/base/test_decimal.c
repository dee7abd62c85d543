/* Our scanner against strtod, bit for bit. */
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_as_strtod(const char *text)
{
    char *end = NULL;
    const double expected = strtod(text, &end);
    double value = NAN;
    const char *const behind = rub_decimal_scan(text, &value);
    if (behind != end || memcmp(&value, &expected, sizeof value) != 0) {
        fail_msg("'%s': %a, %td bytes; strtod: %a, %td bytes", text, value,
                 behind != NULL ? behind - text : -1, expected, end - text);
    }
}

static void what_numbers_may_look_like(void **state)
{
    RUB_UNUSED(state);
    static const char *const texts[] = {
        "0",
        "-0",
        "+1",
        "1.",
        ".5",
        "-.5e1",
        "00012.50",
        "1e5 ",
        "1E-5:",
        "1e",
        "1e+",
        "1e-x",
        "2.5\n",
        "1e400",
        "-1e400",
        "1e-400",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "123456789012345678901234567890",
        "9007199254740992",
        "9007199254740993",
        "0.1",
        "0.30000000000000004",
        "2.2250738585072012e-308",
        "4.9e-324",
        "1e99999999999999999999",
        "0e99999999999999999999",
        "1e-99999999999999999999",
        "0.000000000000000000000000000001",
        "18446744073709551616",
    };
    for (size_t i = 0; i < RUB_COUNT_OF(texts); i++) {
        assert_as_strtod(texts[i]);
    }
}

static void what_is_no_number_is_not_read(void **state)
{
    RUB_UNUSED(state);
    static const char *const texts[] = {"",    " 1",  "+",   "-", ".",   "-.",  "e5",
                                        ".e5", "inf", "nan", "x", "--1", "+-1", "\n"};
    for (size_t i = 0; i < RUB_COUNT_OF(texts); i++) {
        double value = 7;
        assert_null(rub_decimal_scan(texts[i], &value));
        assert_true(value == 7);
    }
    double value = 7;
    assert_string_equal(rub_decimal_scan("0x10", &value), "x10"); /* strtod would read 16 */
    assert_true(value == 0);
}

static void random_numbers_are_what_strtod_says(void **state)
{
    RUB_UNUSED(state);
    rub_rng_t rng;
    rub_rng_init(&rng, 11, 0);
    for (int i = 0; i < 60000; i++) {
        char text[80];
        const uint64_t bits = rub_rng_u64(&rng);
        double value;
        memcpy(&value, &bits, sizeof value);
        const int digits = (int)rub_rng_below(&rng, 22);
        switch (i % 5) {
        case 0: /* any double */
            if (!isfinite(value)) {
                continue;
            }
            (void)snprintf(text, sizeof text, "%.*e", digits, value);
            break;
        case 1: /* what programs print */
            (void)snprintf(text, sizeof text, "%.*g", 1 + digits % 17,
                           rub_rng_unit(&rng) * 100 - 50);
            break;
        case 2:
            (void)snprintf(text, sizeof text, "%.*f", digits % 7, rub_rng_unit(&rng) * 1e6);
            break;
        case 3: /* digits and exponents at the edges of the fast path */
            (void)snprintf(text, sizeof text, "%llue%d",
                           (unsigned long long)(bits >> rub_rng_below(&rng, 64)),
                           (int)rub_rng_below(&rng, 60) - 30);
            break;
        default:
            (void)snprintf(text, sizeof text, "%.9g", (double)(float)rub_rng_unit(&rng));
        }
        assert_as_strtod(text);
    }
}

static void whole_numbers_stop_at_their_limit(void **state)
{
    RUB_UNUSED(state);
    uint64_t value = 7;
    assert_string_equal(rub_decimal_scan_u64("0042:", UINT32_MAX, &value), ":");
    assert_int_equal(value, 42);
    assert_non_null(rub_decimal_scan_u64("4294967295", UINT32_MAX, &value));
    assert_int_equal(value, UINT32_MAX);
    assert_non_null(rub_decimal_scan_u64("18446744073709551615", UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    value = 7;
    assert_null(rub_decimal_scan_u64("4294967296", UINT32_MAX, &value));
    assert_null(rub_decimal_scan_u64("18446744073709551616", UINT64_MAX, &value));
    assert_null(rub_decimal_scan_u64("9", 8, &value));
    assert_null(rub_decimal_scan_u64("-1", UINT32_MAX, &value));
    assert_null(rub_decimal_scan_u64("", UINT32_MAX, &value));
    assert_int_equal(value, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_numbers_may_look_like),
        cmocka_unit_test(what_is_no_number_is_not_read),
        cmocka_unit_test(random_numbers_are_what_strtod_says),
        cmocka_unit_test(whole_numbers_stop_at_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
