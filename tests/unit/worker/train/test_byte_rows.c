/* Bytes in a table: what was written once, or by many, or half and then again, comes out as it was
 * or not at all. With a fleet in this process. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "tests/unit/worker/train/one_session.h"
#include "worker/train/byte_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LARGE = 1200 * 1022 }; /* more rows than one call takes */

typedef struct world {
    rub_inproc_t *fleet;
    rub_session_t *session;
    rub_byte_rows_t *rows;
    uint8_t *bytes;
} world_t;

static int world_init(void **state)
{
    static world_t self;
    rub_inproc_options_t fleet;
    rub_rng_t rng;
    rub_inproc_options_defaults(&fleet);
    one_session_open(&fleet, &self.fleet, &self.session);
    assert_int_equal(rub_byte_rows_open(self.session, "bytes", 256, &self.rows, NULL), 0);
    self.bytes = malloc(LARGE);
    rub_rng_init(&rng, 1, 0);
    for (size_t i = 0; i < LARGE; i++) {
        self.bytes[i] = (uint8_t)rub_rng_u64(&rng);
    }
    *state = &self;
    return 0;
}

static int world_fini(void **state)
{
    world_t *self = *state;
    rub_byte_rows_close(&self->rows);
    free(self->bytes);
    one_session_close(&self->fleet, &self->session);
    return 0;
}

static void expect(world_t *self, uint64_t name, size_t bytes)
{
    rub_error_t err = {0};
    rub_buf_t out;
    rub_buf_init(&out);
    rub_buf_u8(&out, 77); /* stays */
    if (rub_byte_rows_read(self->rows, name, &out, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(out.bytes, 1 + bytes);
    assert_int_equal(out.data[0], 77);
    assert_memory_equal(out.data + 1, self->bytes, bytes);
    rub_buf_fini(&out);
}

static void texts_of_any_length_come_out_as_they_were(void **state)
{
    static const size_t lengths[] = {0, 1, 1009, 1010, 1011, 2032, LARGE};
    world_t *self = *state;
    for (uint64_t i = 0; i < RUB_COUNT_OF(lengths); i++) {
        assert_int_equal(rub_byte_rows_write(self->rows, i, self->bytes, lengths[i], NULL), 0);
    }
    for (uint64_t i = 0; i < RUB_COUNT_OF(lengths); i++) {
        expect(self, i, lengths[i]);
    }
}

static void what_many_have_written_is_what_one_wrote(void **state)
{
    world_t *self = *state;
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(rub_byte_rows_write(self->rows, 20, self->bytes, 3000, NULL), 0);
        if (i % 51 == 0) {
            expect(self, 20, 3000);
        }
    }
    expect(self, 20, 3000);
}

static void as_many_as_were_said_may_write_and_more_are_refused_by_their_number(void **state)
{
    world_t *self = *state;
    rub_error_t err = {0};
    rub_buf_t out;
    rub_buf_init(&out);
    for (unsigned i = 0; i < 257; i++) {
        assert_int_equal(rub_byte_rows_write(self->rows, 21, self->bytes, 400, NULL), 0);
    }
    assert_int_equal(rub_byte_rows_read(self->rows, 21, &out, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "name 21 was written 257 times, at most 256"));
    rub_buf_fini(&out);
    world_t many = *self;
    assert_int_equal(rub_byte_rows_open(self->session, "many", 4096, &many.rows, NULL), 0);
    static const size_t lengths[] = {0, 1, 753, 754, 755, 1520, LARGE};
    for (uint64_t i = 0; i < RUB_COUNT_OF(lengths); i++) {
        assert_int_equal(rub_byte_rows_write(many.rows, i, self->bytes, lengths[i], NULL), 0);
        expect(&many, i, lengths[i]);
    }
    memset(self->bytes, 0xff, 100); /* the greatest sums */
    for (unsigned i = 0; i < 4096; i++) {
        assert_int_equal(rub_byte_rows_write(many.rows, 21, self->bytes, 700, NULL), 0);
    }
    expect(&many, 21, 700);
    rub_byte_rows_close(&many.rows);
    assert_int_equal(rub_byte_rows_open(self->session, "more", 4097, &many.rows, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "4097 writers, at most 4096"));
    assert_null(many.rows);
}

static void a_text_that_is_not_whole_is_not_there(void **state)
{
    world_t *self = *state;
    const uint64_t names[] = {30, 31};
    uint8_t begun[2] = {7, 7};
    float row[512] = {1, 3000};
    rub_table_t table = 0;
    rub_buf_t out;
    rub_buf_init(&out);
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "bytes";
    schema.kind = RUB_HASHED;
    schema.width = 512;
    schema.optimizer = RUB_ADD;
    assert_int_equal(rub_table_open(self->session, &schema, &table, NULL), 0);
    const uint64_t first = UINT64_C(30) << 40; /* the first of three rows, and no other */
    assert_int_equal(rub_push(self->session, table, &first, 1, row, NULL, NULL), 0);
    assert_int_equal(rub_byte_rows_begun(self->rows, names, 2, begun, NULL), 0);
    assert_int_equal(begun[0], 1);
    assert_int_equal(begun[1], 0);
    assert_int_equal(rub_byte_rows_read(self->rows, 30, &out, NULL), RUB_BYTE_ROWS_MISSING);
    assert_int_equal(rub_byte_rows_read(self->rows, 31, &out, NULL), RUB_BYTE_ROWS_MISSING);
    assert_int_equal(out.bytes, 0);
    rub_buf_fini(&out);
}

static void texts_that_differ_under_one_name_are_refused(void **state)
{
    world_t *self = *state;
    rub_error_t err = {0};
    rub_buf_t out;
    rub_buf_init(&out);
    assert_int_equal(rub_byte_rows_write(self->rows, 40, self->bytes, 500, NULL), 0);
    assert_int_equal(rub_byte_rows_write(self->rows, 40, self->bytes + 1, 500, NULL), 0);
    assert_int_equal(rub_byte_rows_read(self->rows, 40, &out, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "name 40"));
    assert_int_equal(rub_byte_rows_write(self->rows, RUB_BYTE_ROWS_NAMES_LIMIT, "", 0, &err),
                     RUB_EINVAL);
    rub_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_any_length_come_out_as_they_were),
        cmocka_unit_test(what_many_have_written_is_what_one_wrote),
        cmocka_unit_test(as_many_as_were_said_may_write_and_more_are_refused_by_their_number),
        cmocka_unit_test(a_text_that_is_not_whole_is_not_there),
        cmocka_unit_test(texts_that_differ_under_one_name_are_refused),
    };
    return cmocka_run_group_tests(tests, world_init, world_fini);
}
