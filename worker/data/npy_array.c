/* Opening NumPy's arrays.
 *
 * A .npy file is a magic, a version, the length of a header, the header, and the items in C order.
 * The header is a Python dictionary of three keys, written by repr; what is read here is that and
 * no more of Python: strings without escapes, True and False, a tuple of whole numbers.
 * Invariant: no size of a header is believed before it was held against the limits; memory follows
 * the bytes that really arrive, which is the caller's part.
 * Reference: numpy.lib.format, "Format Version 1.0" to 3.0. */
#include "worker/data/npy_array.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "worker/data/decimal.h"

#include <inttypes.h>
#include <string.h>

enum { MAGIC_BYTES = 8 };

bool rub_npy_path(const char *path, size_t *file_bytes_p)
{
    const size_t n = strlen(path);
    const char *const colon = strstr(path, ".npz:");
    *file_bytes_p = colon != NULL ? (size_t)(colon - path) + 4 : n;
    return colon != NULL || (n > 4 && (memcmp(path + n - 4, ".npy", 4) == 0 ||
                                       memcmp(path + n - 4, ".npz", 4) == 0));
}

static int read_bytes(rub_npy_array_t *self, void *data, size_t bytes, rub_error_t *err)
{
    const int rc = self->member != NULL ? rub_npz_member_read(self->member, data, bytes, err)
                                        : rub_packed_file_read(self->file, data, bytes, err);
    self->offset += rc == 0 ? bytes : 0;
    return rc;
}

/* ---- the header ---- */

typedef struct scan {
    const char *path, *begin, *at;
    uint64_t offset; /* of begin in the file */
} scan_t;

static int expected(const scan_t *scan, const char *what, rub_error_t *err)
{
    int n = 0;
    while (n < 16 && scan->at[n] >= ' ' && scan->at[n] < 0x7f) {
        n++;
    }
    return rub_fail(err, RUB_EDATA, "data file '%s', byte %" PRIu64 ": found '%.*s', expected %s",
                    scan->path, scan->offset + (uint64_t)(scan->at - scan->begin), n, scan->at,
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
static int scan_descr(scan_t *scan, rub_npy_array_t *self, rub_error_t *err)
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

static int scan_shape(scan_t *scan, rub_npy_array_t *self, rub_error_t *err)
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

static int scan_header(scan_t *scan, rub_npy_array_t *self, rub_error_t *err)
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

static int read_header_bytes(rub_npy_array_t *self, size_t *bytes_p, rub_error_t *err)
{
    uint8_t head[MAGIC_BYTES + 4];
    int rc = read_bytes(self, head, MAGIC_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(head, "\x93NUMPY", 6) != 0) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s', byte 0: found %02x %02x %02x %02x, expected NumPy's magic "
                        "93 4e 55 4d 50 59",
                        self->path, head[0], head[1], head[2], head[3]);
    }
    if (head[6] < 1 || head[6] > 3 || head[7] != 0) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s', byte 6: version %u.%u, expected 1.0, 2.0 or 3.0",
                        self->path, head[6], head[7]);
    }
    const bool first = head[6] == 1;
    rc = read_bytes(self, head + MAGIC_BYTES, first ? 2 : 4, err);
    if (rc != 0) {
        return rc;
    }
    *bytes_p = first ? rub_get_u16(head + MAGIC_BYTES) : rub_get_u32(head + MAGIC_BYTES);
    return *bytes_p <= RUB_NPY_HEADER_LIMIT
               ? 0
               : rub_fail(err, RUB_EDATA,
                          "data file '%s', byte 8: a header of %zu bytes, expected at most %u",
                          self->path, *bytes_p, RUB_NPY_HEADER_LIMIT);
}

static int read_header(rub_npy_array_t *self, rub_error_t *err)
{
    size_t bytes = 0;
    int rc = read_header_bytes(self, &bytes, err);
    char *const text = rc == 0 ? rub_calloc(bytes + 1, 1) : NULL;
    if (rc == 0 && text == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for its header", self->path);
    }
    scan_t scan = {.path = self->path, .begin = text, .at = text, .offset = self->offset};
    rc = rc ? rc : read_bytes(self, text, bytes, err);
    rc = rc ? rc : scan_header(&scan, self, err);
    rub_free(text);
    return rc;
}

static bool ends_in_npz(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && memcmp(path + n - 4, ".npz", 4) == 0;
}

int rub_npy_array_open(rub_npy_array_t *self, const char *path, rub_error_t *err)
{
    *self = (rub_npy_array_t){.path = path};
    size_t file_bytes = 0;
    (void)rub_npy_path(path, &file_bytes);
    self->file_path = rub_sprintf("%.*s", (int)file_bytes, path);
    if (self->file_path == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    const char *const name = path[file_bytes] == ':' ? path + file_bytes + 1 : NULL;
    const int rc = ends_in_npz(self->file_path)
                       ? rub_npz_member_open(self->file_path, name, &self->member, err)
                       : rub_packed_file_open(self->file_path, &self->file, err);
    return rc ? rc : read_header(self, err);
}

void rub_npy_array_close(rub_npy_array_t *self)
{
    rub_npz_member_close(&self->member);
    rub_packed_file_close(&self->file);
    rub_free(self->file_path);
    self->file_path = NULL;
}

/* ---- items ---- */

static void swap_bytes(uint8_t *items, size_t n, size_t item_bytes)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t *const item = items + i * item_bytes;
        for (size_t k = 0; k < item_bytes / 2; k++) {
            const uint8_t byte = item[k];
            item[k] = item[item_bytes - 1 - k];
            item[item_bytes - 1 - k] = byte;
        }
    }
}

int rub_npy_array_read(rub_npy_array_t *self, void *items, size_t n, rub_error_t *err)
{
    const int rc = read_bytes(self, items, n * self->item_bytes, err);
    if (rc == 0 && self->big_endian) {
        swap_bytes(items, n, self->item_bytes);
    }
    return rc;
}

int rub_npy_array_expect_end(rub_npy_array_t *self, rub_error_t *err)
{
    return self->member != NULL ? rub_npz_member_expect_end(self->member, err)
                                : rub_packed_file_expect_end(self->file, err);
}

int64_t rub_npy_array_integer(const rub_npy_array_t *self, const void *items, size_t i)
{
    const uint8_t *const item = (const uint8_t *)items + i * self->item_bytes;
    uint64_t bits = 0;
    for (size_t k = 0; k < self->item_bytes; k++) {
        bits |= (uint64_t)item[k] << 8 * k;
    }
    if (self->kind == 'b') {
        return bits != 0;
    }
    if (self->kind == 'i') {
        const unsigned above = (unsigned)(64 - 8 * self->item_bytes);
        return (int64_t)(bits << above) >> above;
    }
    return bits < INT64_MAX ? (int64_t)bits : INT64_MAX;
}

double rub_npy_array_number(const rub_npy_array_t *self, const void *items, size_t i)
{
    const uint8_t *const item = (const uint8_t *)items + i * self->item_bytes;
    if (self->kind != 'f') {
        return self->kind == 'u' && self->item_bytes == 8
                   ? (double)rub_get_u64(item)
                   : (double)rub_npy_array_integer(self, items, i);
    }
    if (self->item_bytes == 8) {
        const uint64_t bits = rub_get_u64(item);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const uint32_t bits = rub_get_u32(item);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
