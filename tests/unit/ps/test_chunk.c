/* Chunks: memory that stays, dirt that is found, headers that are believed only when they agree. */
#include "common/base/bytes.h"
#include "ps/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void memory_is_zeroed_aligned_and_never_moves(void **state)
{
    (void)state;
    enum { N = 500 };
    rub_chunks_t chunks;
    uint8_t *places[N];
    rub_chunks_init(&chunks, 20001);
    assert_int_equal(chunks.chunk_bytes, 20032);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(rub_chunks_add(&chunks, i), 0);
        places[i] = chunks.data[i];
        assert_int_equal((uintptr_t)places[i] % 64, 0);
        for (size_t b = 0; b < chunks.chunk_bytes; b++) {
            assert_true(places[i][b] == 0);
        }
        memset(places[i], (int)(i % 251), chunks.chunk_bytes);
    }
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(places[i], chunks.data[i]);
        assert_int_equal(places[i][0], i % 251);
        assert_int_equal(places[i][chunks.chunk_bytes - 1], i % 251);
    }
    rub_chunks_fini(&chunks);
}

static void dirty_chunks_are_found_once_and_in_order(void **state)
{
    (void)state;
    const size_t where[] = {0, 1, 63, 64, 65, 300};
    rub_chunks_t chunks;
    size_t at = 0;
    rub_chunks_init(&chunks, 64);
    assert_false(rub_chunks_next_dirty(&chunks, &at));
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(rub_chunks_add(&chunks, where[5 - i]), 0);
        rub_chunks_touch(&chunks, where[5 - i], 9);
        rub_chunks_touch(&chunks, where[5 - i], 10);
    }
    assert_int_equal(chunks.touched_lsn, 10);
    assert_false(rub_chunks_has(&chunks, 2));
    assert_false(rub_chunks_has(&chunks, 301));
    assert_int_equal(chunks.n_dirty, 6);
    for (size_t i = 0; i < 6; i++, at++) {
        assert_true(rub_chunks_next_dirty(&chunks, &at));
        assert_int_equal(at, where[i]);
    }
    assert_false(rub_chunks_next_dirty(&chunks, &at));
    at = 100000;
    assert_false(rub_chunks_next_dirty(&chunks, &at));
    rub_chunks_clean(&chunks, 64);
    rub_chunks_clean(&chunks, 64);
    assert_int_equal(chunks.n_dirty, 5);
    at = 64;
    assert_true(rub_chunks_next_dirty(&chunks, &at));
    assert_int_equal(at, 65);
    rub_chunks_fini(&chunks);
}

static void headers_survive_the_round_trip(void **state)
{
    (void)state;
    const rub_chunk_header_t header = {
        .table = 5, .chunk = 70000, .lsn = UINT64_C(3) << 40, .n_rows = 2, .row_bytes = 12};
    uint8_t bytes[RUB_CHUNK_HEADER_BYTES + 24] = {0};
    rub_chunk_header_t back;
    rub_chunk_header_write(&header, bytes);
    assert_int_equal(rub_chunk_header_read(bytes, sizeof bytes, &back, NULL), 0);
    assert_memory_equal(&header, &back, sizeof header);
    for (size_t n = 0; n < sizeof bytes; n++) {
        assert_int_equal(rub_chunk_header_read(bytes, n, &back, NULL), RUB_ECORRUPT);
    }
    rub_put_u32(bytes + 24, UINT32_MAX); /* a product that would not fit 32 bits */
    rub_put_u32(bytes + 28, UINT32_MAX);
    assert_int_equal(rub_chunk_header_read(bytes, sizeof bytes, &back, NULL), RUB_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_never_moves),
        cmocka_unit_test(dirty_chunks_are_found_once_and_in_order),
        cmocka_unit_test(headers_survive_the_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
