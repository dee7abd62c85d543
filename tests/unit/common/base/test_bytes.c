/* The buffer grows and fails stickily; the reader never leaves its bytes. */
#include "common/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void reader_gives_back_what_the_buffer_took(void **state)
{
    (void)state;
    rub_buf_t buf;
    rub_buf_init(&buf);
    rub_buf_u8(&buf, 0xab);
    rub_buf_u16(&buf, 0x1234);
    rub_buf_u32(&buf, 0xdeadbeef);
    rub_buf_u64(&buf, UINT64_C(0x0123456789abcdef));
    rub_buf_f64(&buf, -1.5);
    rub_buf_str(&buf, "ledger");
    rub_buf_printf(&buf, "%d%s", 42, "x");
    assert_false(buf.failed);
    assert_int_equal(buf.data[1], 0x34); /* little-endian on every host */

    rub_reader_t reader;
    char text[16];
    rub_reader_init(&reader, buf.data, buf.bytes);
    assert_int_equal(rub_read_u8(&reader), 0xab);
    assert_int_equal(rub_read_u16(&reader), 0x1234);
    assert_int_equal(rub_read_u32(&reader), 0xdeadbeef);
    assert_true(rub_read_u64(&reader) == UINT64_C(0x0123456789abcdef));
    assert_true(rub_read_f64(&reader) == -1.5);
    rub_read_str(&reader, text, sizeof(text));
    assert_string_equal(text, "ledger");
    assert_memory_equal(rub_read_bytes(&reader, 3), "42x", 3);
    assert_int_equal(reader.left, 0);
    assert_false(reader.failed);
    rub_buf_fini(&buf);
}

static void reading_past_the_end_fails_and_stays_failed(void **state)
{
    (void)state;
    const uint8_t three[3] = {1, 2, 3};
    rub_reader_t reader;
    rub_reader_init(&reader, three, sizeof(three));
    assert_int_equal(rub_read_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(rub_read_u8(&reader), 0); /* although a byte is left */
    rub_reader_init(&reader, NULL, 0);
    assert_null(rub_read_bytes(&reader, 1));
    assert_true(reader.failed);
}

static void too_long_a_string_fails_and_is_terminated(void **state)
{
    (void)state;
    rub_buf_t buf;
    rub_buf_init(&buf);
    rub_buf_str(&buf, "12345678");
    rub_reader_t reader;
    char small[8] = "garbage";
    rub_reader_init(&reader, buf.data, buf.bytes);
    rub_read_str(&reader, small, sizeof(small));
    assert_true(reader.failed);
    assert_string_equal(small, "");
    rub_buf_fini(&buf);
}

static void impossible_growth_fails_and_changes_nothing(void **state)
{
    (void)state;
    rub_buf_t buf;
    rub_buf_init(&buf);
    rub_buf_append(&buf, "abc", 3);
    assert_null(rub_buf_extend(&buf, SIZE_MAX - 2));
    assert_true(buf.failed);
    rub_buf_append(&buf, "d", 1);
    assert_int_equal(buf.bytes, 3);
    rub_buf_reset(&buf);
    assert_false(buf.failed);
    assert_int_equal(buf.bytes, 0);
    assert_non_null(rub_buf_extend(&buf, 0));
    rub_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_gives_back_what_the_buffer_took),
        cmocka_unit_test(reading_past_the_end_fails_and_stays_failed),
        cmocka_unit_test(too_long_a_string_fails_and_is_terminated),
        cmocka_unit_test(impossible_growth_fails_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
