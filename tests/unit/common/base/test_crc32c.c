/* Stored data depends on these numbers: every way of this processor is held against the published
 * ones, and against the definition byte by byte. */
#include "common/base/crc32c.h"
#include "common/base/hash.h"
#include "common/base/timing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void the_check_string_has_the_published_crc(void **state)
{
    (void)state;
    const uint8_t zeros[32] = {0};
    for (size_t way = 0; rub_crc32c_way(way); way++) {
        assert_int_equal(rub_crc32c_way(way)(0, "123456789", 9), 0xe3069283u);
        assert_int_equal(rub_crc32c_way(way)(0, zeros, sizeof(zeros)), 0x8a9136aau);
        assert_int_equal(rub_crc32c_way(way)(0, zeros, 0), 0);
    }
    assert_int_equal(rub_crc32c(0, "123456789", 9), 0xe3069283u);
}

/* Around every length at which a way of computing begins or ends a loop. */
static void every_way_computes_what_the_table_does(void **state)
{
    (void)state;
    static uint8_t data[3 * 3 * 1024 + 77];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rub_mix64(i);
    }
    const size_t sizes[] = {
        1,    7,    8,    63,   64,   65,   255,  256,  257,  1023, 1024,
        1025, 1088, 1279, 1280, 1281, 3071, 3072, 3073, 6144, 9216, sizeof(data) - 3};
    for (size_t way = 1; rub_crc32c_way(way); way++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (size_t start = 0; start < 3; start++) {
                const uint32_t before = (uint32_t)rub_mix64(s * 3 + start);
                assert_int_equal(rub_crc32c_way(way)(before, data + start, sizes[s]),
                                 rub_crc32c_way(0)(before, data + start, sizes[s]));
            }
        }
    }
}

static void pieces_make_the_whole(void **state)
{
    (void)state;
    static uint8_t data[5000];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rub_mix64(i);
    }
    for (size_t cut = 0; cut < sizeof(data); cut += 7) {
        assert_int_equal(rub_crc32c(rub_crc32c(0, data, cut), data + cut, sizeof(data) - cut),
                         rub_crc32c(0, data, sizeof(data)));
    }
}

/* Printed for people; no machine must be fast. */
static void speeds_are_told(void **state)
{
    (void)state;
    enum { BYTES = 64 << 10, ROUNDS = 40 };
    static const char *const names[] = {"table", "SSE4.2", "AVX-512"};
    static uint8_t data[BYTES];
    uint32_t first = 0;
    for (size_t way = 0; rub_crc32c_way(way); way++) {
        uint64_t best_ns = UINT64_MAX;
        uint32_t crc = 0;
        assert_true(way < sizeof(names) / sizeof(names[0]));
        for (int round = 0; round < ROUNDS; round++) {
            const uint64_t began_ns = rub_now_ns();
            crc = rub_crc32c_way(way)(crc, data, BYTES);
            const uint64_t took_ns = rub_now_ns() - began_ns;
            best_ns = took_ns < best_ns ? took_ns : best_ns;
        }
        first = way == 0 ? crc : first;
        assert_int_equal(crc, first);
        print_message("%-8s %7.2f GB/s\n", names[way], (double)BYTES / (double)(best_ns + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_string_has_the_published_crc),
        cmocka_unit_test(every_way_computes_what_the_table_does),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(speeds_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
