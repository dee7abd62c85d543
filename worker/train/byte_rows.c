/* Bytes in rows of a hashed table of optimizer `add`.
 *
 * A row holds a 1 and, in each of its other values, some bits of the text as a number: all of it
 * exact in float32. Who writes the same row again adds the same numbers, so the 1 has become how
 * often it was written, and dividing by it gives the bits, exactly as long as the greatest sum is
 * at most 2^24: of 16 bits up to 256 writers. (That a row is looked for before it is written keeps
 * writers few. It can not keep them to one: a dead worker's push may still be on its way, and a
 * compressed file, which is one part, is counted by all who wait for it at the same time.) Where
 * more may write a number has 12 bits, for 4096 writers; rows are a third more then. Under bsp a
 * period's pushes are folded, perhaps to their mean; the quotient is the same, up to a rounding
 * that is far below one half.
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
    ROW_BYTES_MOST = 2 * (WIDTH - 1),
    HEAD_BYTES = 12, /* length and checksum, in front of the text */
    ROWS_AT_ONCE = 1024,
    EXACT_BITS = 24, /* of a sum */
    MANY_BITS = 16,  /* of the text in a value */
    FEW_BITS = 12    /* where there are many writers */
};

_Static_assert(RUB_BYTE_ROWS_WRITERS_LIMIT <= 1u << (EXACT_BITS - FEW_BITS), "sums are exact");

#define ROW_BITS 40

struct rub_byte_rows {
    rub_session_t *session;
    rub_table_t table;
    unsigned bits;    /* of the text in a value */
    size_t row_bytes; /* of the text in a row */
    float values[ROWS_AT_ONCE * WIDTH];
    uint64_t keys[ROWS_AT_ONCE];
    uint8_t exists[ROWS_AT_ONCE];
};

int rub_byte_rows_open(rub_session_t *session, const char *table, uint32_t n_writers,
                       rub_byte_rows_t **self_p, rub_error_t *err)
{
    rub_schema_t schema;
    *self_p = NULL;
    if (n_writers > RUB_BYTE_ROWS_WRITERS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "table '%s': rows of bytes for %u writers, at most %u",
                        table, n_writers, RUB_BYTE_ROWS_WRITERS_LIMIT);
    }
    rub_schema_defaults(&schema);
    schema.name = table;
    schema.kind = RUB_HASHED;
    schema.elements = 0;
    schema.width = WIDTH;
    schema.optimizer = RUB_ADD;
    schema.init = RUB_INIT_ZEROS;
    rub_byte_rows_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for rows", table);
    }
    self->session = session;
    self->bits = n_writers <= 1u << (EXACT_BITS - MANY_BITS) ? MANY_BITS : FEW_BITS;
    self->row_bytes = (WIDTH - 1) * self->bits / 8;
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

static uint64_t rows_of(const rub_byte_rows_t *self, uint64_t bytes)
{
    return (HEAD_BYTES + bytes + self->row_bytes - 1) / self->row_bytes;
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

/* The row's bytes as numbers, of two bytes at most each. */
static void fill_row(const rub_byte_rows_t *self, const uint8_t *bytes, float *row)
{
    const uint32_t mask = (1u << self->bits) - 1;
    row[0] = 1;
    for (unsigned v = 0; v < WIDTH - 1; v++) {
        const size_t at = (size_t)v * self->bits / 8;
        const uint32_t two =
            bytes[at] | (at + 1 < self->row_bytes ? (uint32_t)bytes[at + 1] << 8 : 0);
        row[v + 1] = (float)(two >> (v * self->bits % 8) & mask);
    }
}

int rub_byte_rows_write(rub_byte_rows_t *self, uint64_t name, const void *data, size_t bytes,
                        rub_error_t *err)
{
    uint8_t head[HEAD_BYTES];
    int rc = 0;
    if (rows_of(self, bytes) >> ROW_BITS != 0 || name >= RUB_BYTE_ROWS_NAMES_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "rows of bytes: %zu bytes under name %" PRIu64, bytes,
                        name);
    }
    rub_put_u64(head, bytes);
    rub_put_u32(head + 8, rub_crc32c(0, data, bytes));
    /* Backwards, so that the first row, which says that there is a text, is likely to be last. */
    for (uint64_t left = rows_of(self, bytes); rc == 0 && left > 0;) {
        const size_t n = left < ROWS_AT_ONCE ? (size_t)left : ROWS_AT_ONCE;
        left -= n;
        for (size_t i = 0; i < n; i++) {
            uint8_t row[ROW_BYTES_MOST];
            for (size_t b = 0; b < self->row_bytes; b++) {
                row[b] = byte_at(head, data, bytes, (left + i) * self->row_bytes + b);
            }
            fill_row(self, row, self->values + i * WIDTH);
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

/* The row's bytes, appended. RUB_EDATA: it is no sum of equal rows, or of too many. */
static int take_row(const rub_byte_rows_t *self, uint64_t name, const float *row, rub_buf_t *out,
                    rub_error_t *err)
{
    const float writers = row[0], most = (float)(1u << (EXACT_BITS - self->bits));
    const float greatest = (float)((1u << self->bits) - 1);
    uint8_t *bytes = rub_buf_extend(out, self->row_bytes); /* NULL: failed is set */
    if (writers > most) {
        return rub_fail(err, RUB_EDATA,
                        "rows of bytes: name %" PRIu64 " was written %.0f times, at most %.0f can "
                        "be told apart from other bytes",
                        name, (double)writers, (double)most);
    }
    if (bytes) {
        memset(bytes, 0, self->row_bytes);
    }
    for (unsigned v = 0; v < WIDTH - 1 && bytes; v++) {
        const float number = row[v + 1] / writers, whole = rintf(number);
        if (!(writers > 0) || !(whole >= 0) || whole > greatest || fabsf(number - whole) > 0.125f) {
            return rub_fail(err, RUB_EDATA,
                            "rows of bytes: under name %" PRIu64 " stands no sum of equal rows",
                            name);
        }
        const size_t at = (size_t)v * self->bits / 8;
        const uint32_t two = (uint32_t)whole << (v * self->bits % 8);
        bytes[at] |= (uint8_t)two;
        if (at + 1 < self->row_bytes) {
            bytes[at + 1] |= (uint8_t)(two >> 8);
        }
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
            rc = self->exists[i] ? take_row(self, name, self->values + i * WIDTH, out, err)
                                 : RUB_BYTE_ROWS_MISSING;
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
                 ? read_rows(self, name, 1, rows_of(self, bytes) - 1, out, err)
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
