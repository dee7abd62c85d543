/* Bytes in rows of a hashed table of optimizer `add`.
 *
 * A row holds a 1 and, in each of its other values, 2 bytes as a number: all of it exact in
 * float32. Who writes the same row again adds the same numbers, so the 1 has become how often it
 * was written, and dividing by it gives the bytes, exactly for up to 256 writers. (That a row is
 * looked for before it is written keeps writers few; it can not keep them to one, since a dead
 * worker's push may still be on its way.) Under bsp a period's pushes are folded, perhaps to their
 * mean; the quotient is the same, up to a rounding that is far below one half.
 *
 * Row i of text n has key n * 2^40 + i. The first one begins with the text's length and checksum.
 * A message holds whole rows, so each row is there or is not. */
#include "worker/train/byte_rows.h"

#include "common/base/alloc.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    WIDTH = 512,
    ROW_BYTES = 2 * (WIDTH - 1),
    HEAD_BYTES = 12, /* length and checksum, in front of the text */
    ROWS_AT_ONCE = 1024,
    WRITERS_LIMIT = 256
};

#define ROW_BITS 40

struct rub_byte_rows {
    rub_session_t *session;
    rub_table_t table;
    float values[ROWS_AT_ONCE * WIDTH];
    uint64_t keys[ROWS_AT_ONCE];
    uint8_t exists[ROWS_AT_ONCE];
};

int rub_byte_rows_open(rub_session_t *session, const char *table, rub_byte_rows_t **self_p,
                       rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = table;
    schema.kind = RUB_HASHED;
    schema.elements = 0;
    schema.width = WIDTH;
    schema.optimizer = RUB_ADD;
    schema.init = RUB_INIT_ZEROS;
    *self_p = NULL;
    rub_byte_rows_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for rows", table);
    }
    self->session = session;
    const int rc = rub_table_open(session, &schema, &self->table, err);
    if (rc) {
        rub_byte_rows_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_byte_rows_close(rub_byte_rows_t **self_p)
{
    rub_free(*self_p);
    *self_p = NULL;
}

static uint64_t rows_of(uint64_t bytes)
{
    return (HEAD_BYTES + bytes + ROW_BYTES - 1) / ROW_BYTES;
}

static void name_rows(rub_byte_rows_t *self, uint64_t name, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        self->keys[i] = (name << ROW_BITS) + first + i;
    }
}

/* Byte `at` of head and text; 0 behind the end. */
static uint8_t byte_at(const uint8_t head[HEAD_BYTES], const uint8_t *data, size_t bytes,
                       uint64_t at)
{
    return at < HEAD_BYTES ? head[at] : at - HEAD_BYTES < bytes ? data[at - HEAD_BYTES] : 0;
}

int rub_byte_rows_write(rub_byte_rows_t *self, uint64_t name, const void *data, size_t bytes,
                        rub_error_t *err)
{
    uint8_t head[HEAD_BYTES];
    int rc = 0;
    if (rows_of(bytes) >> ROW_BITS != 0 || name >= RUB_BYTE_ROWS_NAMES_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "rows of bytes: %zu bytes under name %" PRIu64, bytes,
                        name);
    }
    rub_put_u64(head, bytes);
    rub_put_u32(head + 8, rub_crc32c(0, data, bytes));
    /* Backwards, so that the first row, which says that there is a text, is likely to be last. */
    for (uint64_t left = rows_of(bytes); rc == 0 && left > 0;) {
        const size_t n = left < ROWS_AT_ONCE ? (size_t)left : ROWS_AT_ONCE;
        left -= n;
        for (size_t i = 0; i < n; i++) {
            float *row = self->values + i * WIDTH;
            const uint64_t at = (left + i) * ROW_BYTES;
            row[0] = 1;
            for (unsigned v = 0; v < WIDTH - 1; v++) {
                row[v + 1] = (float)(byte_at(head, data, bytes, at + 2 * v) +
                                     256 * byte_at(head, data, bytes, at + 2 * v + 1));
            }
        }
        name_rows(self, name, left, n);
        rc = rub_push(self->session, self->table, self->keys, n, self->values, NULL, err);
    }
    return rc;
}

int rub_byte_rows_begun(rub_byte_rows_t *self, const uint64_t *names, size_t n, uint8_t *there,
                        rub_error_t *err)
{
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < n;) {
        const size_t now = n - done < ROWS_AT_ONCE ? n - done : ROWS_AT_ONCE;
        for (size_t i = 0; i < now; i++) {
            self->keys[i] = names[done + i] << ROW_BITS;
        }
        rc = rub_pull(self->session, self->table, self->keys, now, self->values, there + done, err);
        done += now;
    }
    return rc;
}

/* The row's bytes, appended. RUB_EDATA: it is no sum of equal rows. */
static int take_row(const float *row, rub_buf_t *out)
{
    const float writers = row[0];
    uint8_t *bytes = rub_buf_extend(out, ROW_BYTES); /* NULL: failed is set */
    if (!(writers > 0) || writers > WRITERS_LIMIT) {
        return RUB_EDATA;
    }
    for (unsigned v = 1; v < WIDTH && bytes; v++) {
        const float number = row[v] / writers, whole = rintf(number);
        if (!(whole >= 0) || whole > UINT16_MAX || fabsf(number - whole) > 0.125f) {
            return RUB_EDATA;
        }
        rub_put_u16(bytes + 2 * (v - 1), (uint16_t)whole);
    }
    return 0;
}

static int read_rows(rub_byte_rows_t *self, uint64_t name, uint64_t first, uint64_t n_rows,
                     rub_buf_t *out, rub_error_t *err)
{
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < n_rows;) {
        const size_t n = n_rows - done < ROWS_AT_ONCE ? (size_t)(n_rows - done) : ROWS_AT_ONCE;
        name_rows(self, name, first + done, n);
        rc = rub_pull(self->session, self->table, self->keys, n, self->values, self->exists, err);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            rc = !self->exists[i] ? RUB_BYTE_ROWS_MISSING : take_row(self->values + i * WIDTH, out);
            if (rc < 0) {
                rub_fail(err, rc,
                         "rows of bytes: under name %" PRIu64 " stands no sum of equal rows", name);
            }
        }
        done += n;
    }
    return rc;
}

int rub_byte_rows_read(rub_byte_rows_t *self, uint64_t name, rub_buf_t *out, rub_error_t *err)
{
    const size_t before = out->bytes;
    uint64_t bytes = 0;
    uint32_t checksum = 0;
    int rc = read_rows(self, name, 0, 1, out, err);
    if (rc == 0 && !out->failed) {
        bytes = rub_get_u64(out->data + before);
        checksum = rub_get_u32(out->data + before + 8);
        rc = bytes < UINT64_C(1) << ROW_BITS
                 ? read_rows(self, name, 1, rows_of(bytes) - 1, out, err)
                 : rub_fail(err, RUB_EDATA, "rows of bytes: %" PRIu64 " bytes under name %" PRIu64,
                            bytes, name);
    }
    if (rc == 0 && out->failed) {
        rc = rub_fail(err, RUB_ENOMEM, "rows of bytes: no memory for %" PRIu64 " bytes", bytes);
    }
    if (rc == 0) {
        memmove(out->data + before, out->data + before + HEAD_BYTES, (size_t)bytes);
        out->bytes = before + (size_t)bytes;
        if (rub_crc32c(0, out->data + before, (size_t)bytes) != checksum) {
            rc = rub_fail(err, RUB_EDATA,
                          "rows of bytes: name %" PRIu64 " was written with different bytes", name);
        }
    }
    if (rc != 0 && !out->failed) {
        out->bytes = before;
    }
    return rc;
}
