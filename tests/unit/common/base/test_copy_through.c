/* Every length and alignment arrives whole, and nothing beside it is touched. */
#include "common/base/check.h"
#include "common/base/copy_through.h"
#include "common/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 2600, AROUND = 80 };

static uint8_t from[ROOM + 2 * AROUND], to[ROOM + 2 * AROUND], expected[ROOM + 2 * AROUND];

static void check(size_t from_at, size_t to_at, size_t bytes)
{
    memset(to, 0xee, sizeof(to));
    memset(expected, 0xee, sizeof(expected));
    memcpy(expected + to_at, from + from_at, bytes);
    rub_copy_through(to + to_at, from + from_at, bytes);
    rub_copy_through_end();
    assert_memory_equal(to, expected, sizeof(to));
}

static void all_lengths_and_alignments_arrive(void **state)
{
    RUB_UNUSED(state);
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(i * 7 + 1);
    }
    for (size_t bytes = 0; bytes <= ROOM; bytes += bytes < 200 ? 1 : 13) {
        for (size_t shift = 0; shift <= 64; shift += 9) {
            check(shift % 11, shift, bytes);
        }
    }
    for (size_t shift = 0; shift <= 64; shift++) {
        check(3, shift, 1024 + shift);
    }
}

static void checksum_in_passing_is_that_of_what_arrives(void **state)
{
    RUB_UNUSED(state);
    for (size_t bytes = 0; bytes <= ROOM; bytes += bytes < 100 ? 1 : 31) {
        for (size_t shift = 0; shift <= 64; shift += 7) {
            memset(to, 0xee, sizeof(to));
            memset(expected, 0xee, sizeof(expected));
            memcpy(expected + shift, from + 5, bytes);
            const uint32_t crc = rub_crc32c_copy(77, to + shift, from + 5, bytes);
            rub_copy_through_end();
            assert_memory_equal(to, expected, sizeof(to));
            assert_int_equal(crc, rub_crc32c_way(0)(77, from + 5, bytes));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lengths_and_alignments_arrive),
        cmocka_unit_test(checksum_in_passing_is_that_of_what_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
