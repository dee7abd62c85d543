/* NumPy's headers of arrays.
 *
 * An array is a magic, a version, the length of a header, the header, padded with blanks and ended
 * by a line feed so that the items begin at a multiple of 64, and the items in C order. The header
 * is a Python dictionary of three keys, written by repr; what is read here is that and no more of
 * Python: strings without escapes, True and False, a tuple of whole numbers. Written is
 * version 1.0. Invariant: no size of a header is believed before it was held against the limits;
 * memory follows the bytes that really arrive, which is the caller's part. Reference:
 * numpy.lib.format, "Format Version 1.0" to 3.0. */
#include "common/tensor/npy_header.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
enum { MAGIC_BYTES = 8, PREFIX_BYTES = 10, ALIGNMENT = 64 }; /* with the version; and the length */

/* ---- reading ---- */

typedef struct scan {
    const char *subject, *begin, *at;
    uint64_t offset; /* of begin in the array */
} scan_t;

static int expected(const scan_t *scan, const char *what, rub_error_t *err)
{
    int n = 0;
    while (n < 16 && scan->at[n] >= ' ' && scan->at[n] < 0x7f) {
        n++;
    }
    return rub_fail(err, RUB_EDATA, "%s, byte %" PRIu64 ": found '%.*s', expected %s",
                    scan->subject, scan->offset + (uint64_t)(scan->at - scan->begin), n, scan->at,
                    what);
}

static void skip_blanks(scan_t *scan)
{
    while (*scan->at == ' ') {
        scan->at++;
    }
}

static bool take(scan_t *scan, const char *text)
{
    skip_blanks(scan);
    const size_t n = strlen(text);
    if (strncmp(scan->at, text, n) != 0) {
        return false;
    }
    scan->at += n;
    return true;
}

/* '<f4' and its kind; quotes of either sort. */
static int scan_descr(scan_t *scan, rub_npy_header_t *self, rub_error_t *err)
{
    static const char what[] =
        "a type '?', 'b1', 'i' or 'u' of 1 to 8 bytes, or 'f' of 4 or 8, '<' or '>' before it";
    skip_blanks(scan);
    const char *at = scan->at;
    const char quote = *at;
    if (quote != '\'' && quote != '"') {
        return expected(scan, what, err);
    }
    at++;
    self->big_endian = *at == '>';
    at += *at == '<' || *at == '>' || *at == '|' || *at == '=';
    const bool question = *at == '?';
    self->kind = question ? 'b' : *at;
    at += *at != '\0';
    self->item_bytes = question ? 1 : (size_t)(*at - '0');
    at += !question && *at != '\0';
    const size_t n = self->item_bytes;
    const bool whole = n == 1 || n == 2 || n == 4 || n == 8;
    const bool known = (self->kind == 'b' && n == 1) ||
                       ((self->kind == 'i' || self->kind == 'u') && whole) ||
                       (self->kind == 'f' && (n == 4 || n == 8));
    if (!known || *at != quote) {
        return expected(scan, what, err);
    }
    scan->at = at + 1;
    return 0;
}

static int scan_order(scan_t *scan, rub_error_t *err)
{
    return take(scan, "False") ? 0
                               : expected(scan, "False: arrays in Fortran order are not read", err);
}

static int scan_shape(scan_t *scan, rub_npy_header_t *self, rub_error_t *err)
{
    static const uint64_t most = UINT64_C(1) << 40;
    self->n_dimensions = 0;
    self->n_items = 1;
    if (!take(scan, "(")) {
        return expected(scan, "a tuple of the dimensions", err);
    }
    while (!take(scan, ")")) {
        uint64_t n = 0;
        const char *const behind = rub_decimal_scan_u64(scan->at, most, &n);
        if (behind == NULL || self->n_dimensions == RUB_NPY_DIMENSIONS_LIMIT) {
            return expected(scan, "at most 8 dimensions, up to 2^40 each", err);
        }
        if (n > 0 && self->n_items > most / n) {
            return expected(scan, "dimensions whose product is at most 2^40", err);
        }
        self->n_items *= n;
        self->shape[self->n_dimensions++] = n;
        scan->at = behind;
        skip_blanks(scan);
        if (*scan->at != ')' && !take(scan, ",")) {
            return expected(scan, "',' or ')' behind a dimension", err);
        }
    }
    return 0;
}

static int scan_header(scan_t *scan, rub_npy_header_t *self, rub_error_t *err)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
    unsigned seen = 0;
    int rc = take(scan, "{") ? 0 : expected(scan, "'{'", err);
    while (rc == 0 && !take(scan, "}")) {
        if (take(scan, "'descr':")) {
            seen |= DESCR;
            rc = scan_descr(scan, self, err);
        } else if (take(scan, "'fortran_order':")) {
            seen |= ORDER;
            rc = scan_order(scan, err);
        } else if (take(scan, "'shape':")) {
            seen |= SHAPE;
            rc = scan_shape(scan, self, err);
        } else {
            rc = expected(scan, "'descr', 'fortran_order' or 'shape'", err);
        }
        skip_blanks(scan);
        if (rc == 0 && *scan->at != '}' && !take(scan, ",")) {
            rc = expected(scan, "',' or '}'", err);
        }
    }
    if (rc == 0 && seen != ALL) {
        rc = expected(scan, "descr, fortran_order and shape before it", err);
    }
    skip_blanks(scan);
    if (rc == 0 && *scan->at != '\n' && *scan->at != '\0') {
        rc = expected(scan, "nothing behind '}'", err);
    }
    return rc;
}

typedef struct source {
    const char *subject;
    rub_npy_source_t *read;
    void *context;
} source_t;

/* What stands before the dictionary; *bytes_p: its length. */
static int read_prefix(rub_npy_header_t *self, const source_t *source, size_t *bytes_p,
                       rub_error_t *err)
{
    uint8_t head[MAGIC_BYTES + 4];
    int rc = source->read(source->context, head, MAGIC_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(head, magic, sizeof magic) != 0) {
        return rub_fail(err, RUB_EDATA,
                        "%s, byte 0: found %02x %02x %02x %02x, expected NumPy's magic 93 4e 55 4d "
                        "50 59",
                        source->subject, head[0], head[1], head[2], head[3]);
    }
    if (head[6] < 1 || head[6] > 3 || head[7] != 0) {
        return rub_fail(err, RUB_EDATA, "%s, byte 6: version %u.%u, expected 1.0, 2.0 or 3.0",
                        source->subject, head[6], head[7]);
    }
    const size_t n = head[6] == 1 ? 2 : 4;
    rc = source->read(source->context, head + MAGIC_BYTES, n, err);
    if (rc != 0) {
        return rc;
    }
    self->bytes = MAGIC_BYTES + n;
    *bytes_p = n == 2 ? rub_get_u16(head + MAGIC_BYTES) : rub_get_u32(head + MAGIC_BYTES);
    return *bytes_p <= RUB_NPY_HEADER_LIMIT
               ? 0
               : rub_fail(err, RUB_EDATA, "%s, byte 8: a header of %zu bytes, expected at most %u",
                          source->subject, *bytes_p, RUB_NPY_HEADER_LIMIT);
}

int rub_npy_header_read(rub_npy_header_t *self, const char *subject, rub_npy_source_t *read,
                        void *context, rub_error_t *err)
{
    const source_t source = {subject, read, context};
    size_t bytes = 0;
    *self = (rub_npy_header_t){0};
    int rc = read_prefix(self, &source, &bytes, err);
    char *const text = rc == 0 ? rub_calloc(bytes + 1, 1) : NULL;
    if (rc == 0 && text == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "%s: no memory for its header", subject);
    }
    scan_t scan = {.subject = subject, .begin = text, .at = text, .offset = self->bytes};
    rc = rc ? rc : read(context, text, bytes, err);
    rc = rc ? rc : scan_header(&scan, self, err);
    self->bytes += bytes;
    rub_free(text);
    return rc;
}

/* ---- writing ---- */

size_t rub_npy_header_write(const rub_npy_header_t *self, char out[RUB_NPY_WRITTEN_LIMIT])
{
    char shape[RUB_NPY_DIMENSIONS_LIMIT * 24], text[RUB_NPY_WRITTEN_LIMIT];
    size_t used = 0;
    RUB_ASSERT(self->n_dimensions >= 1);
    RUB_ASSERT(self->n_dimensions <= RUB_NPY_DIMENSIONS_LIMIT);
    for (unsigned i = 0; i < self->n_dimensions; i++) {
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64, i > 0 ? ", " : "",
                                 self->shape[i]);
    }
    const int n = snprintf(text, sizeof text,
                           "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (%s%s), }",
                           self->item_bytes > 1 ? '<' : '|', self->kind, self->item_bytes, shape,
                           self->n_dimensions == 1 ? "," : "");
    const size_t whole = (PREFIX_BYTES + (size_t)n + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)((whole - PREFIX_BYTES) & 0xff);
    out[9] = (char)((whole - PREFIX_BYTES) >> 8);
    memcpy(out + PREFIX_BYTES, text, (size_t)n);
    memset(out + PREFIX_BYTES + n, ' ', whole - PREFIX_BYTES - (size_t)n);
    out[whole - 1] = '\n';
    return whole;
}
