/* What msgpack-c would believe, the skipper does not. */
#include "common/base/rng.h"
#include "common/wire/header.h"
#include "common/wire/skipper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ACCEPTED(text) assert_int_equal(rub_skipper_check(text, sizeof(text) - 1, NULL), 0)

static void refused(const void *data, size_t bytes, const char *words)
{
    rub_error_t err = {0};
    /* An exact heap copy, so that the sanitizer sees a read past the end. */
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    memcpy(copy, data, bytes);
    assert_int_equal(rub_skipper_check(bytes > 0 ? copy : NULL, bytes, &err), RUB_EPROTO);
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    free(copy);
}

#define REFUSED(text, words) refused(text, sizeof(text) - 1, words)

static void every_plain_type_is_accepted(void **state)
{
    (void)state;
    ACCEPTED("\x00");
    ACCEPTED("\xff");
    ACCEPTED("\xc0");
    ACCEPTED("\xc3");
    ACCEPTED("\xca\0\0\0\0");
    ACCEPTED("\xcb\0\0\0\0\0\0\0\0");
    ACCEPTED("\xcc\0");
    ACCEPTED("\xcf\0\0\0\0\0\0\0\0");
    ACCEPTED("\xd0\0");
    ACCEPTED("\xd3\0\0\0\0\0\0\0\0");
    ACCEPTED("\xa3"
             "abc");
    ACCEPTED("\xd9\x01"
             "a");
    ACCEPTED("\xc4\x01"
             "a");
    ACCEPTED("\xdb\0\0\0\1a");
    ACCEPTED("\x90");
    ACCEPTED("\x92\x01\x92\x02\x03");
    ACCEPTED("\x81\xa1k\x05");
    ACCEPTED("\xdc\0\2\1\1");
    ACCEPTED("\xdf\0\0\0\1\1\1");
    ACCEPTED("\x91\x91\x91\x91\x91\x91\x91\x90"); /* depth 8 */
}

static void lies_about_length_are_refused(void **state)
{
    (void)state;
    REFUSED("\xdd\xff\xff\xff\xff", "list of 4294967295 elements");
    REFUSED("\xdf\xff\xff\xff\xff", "list of 8589934590 elements");
    REFUSED("\xdc\x10\x01", "list of 4097 elements");
    REFUSED("\xdc\x10\x00", "announces 4096 more elements");
    REFUSED("\x92\x01\x9f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "19 bytes came");
    REFUSED("\x93\x92\x01\x01\x01", "announces 4 more elements");
    REFUSED("\x93\x93\x01\x01\x01", "announces 5 more elements");
    REFUSED("\xdb\xff\xff\xff\xff", "ends inside");
    REFUSED("\xda\x01", "ends inside");
    REFUSED("\xcf\0\0", "ends inside");
    REFUSED("\xa2"
            "a",
            "ends inside");
    REFUSED("", "ends inside");
}

static void depth_extensions_and_trailing_bytes_are_refused(void **state)
{
    (void)state;
    REFUSED("\x91\x91\x91\x91\x91\x91\x91\x91\x90", "deeper than 8");
    REFUSED("\xc7\0\0", "type byte 0xc7");
    REFUSED("\xd4\0\0", "type byte 0xd4");
    REFUSED("\xd8\0\0", "type byte 0xd8");
    REFUSED("\xc1", "type byte 0xc1");
    REFUSED("\x01\x01", "2 bytes came");
    REFUSED("\x90\x90", "2 bytes came");
}

static void more_than_the_limit_is_refused_unread(void **state)
{
    (void)state;
    rub_error_t err = {0};
    assert_int_equal(rub_skipper_check(NULL, RUB_CONTROL_LIMIT + 1, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, "65537 bytes, limit 65536"));
}

static void random_bytes_end_within_their_length(void **state)
{
    (void)state;
    rub_rng_t rng;
    rub_rng_init(&rng, 12, 0);
    for (int i = 0; i < 200000; i++) {
        const size_t bytes = (size_t)rub_rng_below(&rng, 40);
        uint8_t *data = malloc(bytes + 1);
        for (size_t j = 0; j < bytes; j++) {
            /* Mostly container heads, which random bytes alone rarely are. */
            data[j] = (uint8_t)(rub_rng_below(&rng, 2) ? 0x90 + rub_rng_below(&rng, 4)
                                                       : rub_rng_u32(&rng));
        }
        uint8_t *exact = realloc(data, bytes > 0 ? bytes : 1);
        const int rc = rub_skipper_check(exact, bytes, NULL);
        assert_true(rc == 0 || rc == RUB_EPROTO);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plain_type_is_accepted),
        cmocka_unit_test(lies_about_length_are_refused),
        cmocka_unit_test(depth_extensions_and_trailing_bytes_are_refused),
        cmocka_unit_test(more_than_the_limit_is_refused_unread),
        cmocka_unit_test(random_bytes_end_within_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
