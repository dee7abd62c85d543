/* A growing byte string and a reader that cannot run past its end.
 *
 * Both carry a sticky `failed`: an encoder or decoder is then a straight run of lines with one
 * check at the end, and no line of it can be forgotten. After a failure a buffer appends nothing
 * more and a reader yields only zeros. Integers are little-endian whatever the host is. */
#include "common/base/bytes.h"

#include "common/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

void rub_buf_init(rub_buf_t *self)
{
    *self = (rub_buf_t){0};
}

void rub_buf_fini(rub_buf_t *self)
{
    rub_free(self->data);
    *self = (rub_buf_t){0};
}

void rub_buf_reset(rub_buf_t *self)
{
    self->bytes = 0;
    self->failed = false;
}

void *rub_buf_extend(rub_buf_t *self, size_t bytes)
{
    size_t want;
    if (self->failed) {
        return NULL;
    }
    /* One byte is always there, so that an empty tail has an address too. */
    if (__builtin_add_overflow(self->bytes, bytes, &want) || want == SIZE_MAX ||
        rub_grow(&self->data, &self->capacity, want + 1, 1) != 0) {
        self->failed = true;
        return NULL;
    }
    uint8_t *tail = self->data + self->bytes;
    self->bytes = want;
    return tail;
}

void rub_buf_append(rub_buf_t *self, const void *data, size_t bytes)
{
    void *tail = rub_buf_extend(self, bytes);
    if (tail != NULL && bytes > 0) {
        memcpy(tail, data, bytes);
    }
}

void rub_buf_u8(rub_buf_t *self, uint8_t v)
{
    rub_buf_append(self, &v, 1);
}

void rub_buf_u16(rub_buf_t *self, uint16_t v)
{
    uint8_t raw[2];
    rub_put_u16(raw, v);
    rub_buf_append(self, raw, sizeof(raw));
}

void rub_buf_u32(rub_buf_t *self, uint32_t v)
{
    uint8_t raw[4];
    rub_put_u32(raw, v);
    rub_buf_append(self, raw, sizeof(raw));
}

void rub_buf_u64(rub_buf_t *self, uint64_t v)
{
    uint8_t raw[8];
    rub_put_u64(raw, v);
    rub_buf_append(self, raw, sizeof(raw));
}

void rub_buf_f64(rub_buf_t *self, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    rub_buf_u64(self, bits);
}

void rub_buf_str(rub_buf_t *self, const char *text)
{
    const size_t length = strlen(text);
    if (length > UINT32_MAX) {
        self->failed = true;
        return;
    }
    rub_buf_u32(self, (uint32_t)length);
    rub_buf_append(self, text, length);
}

void rub_buf_printf(rub_buf_t *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        self->failed = true;
        return;
    }
    char *tail = rub_buf_extend(self, (size_t)length + 1);
    if (tail == NULL) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(tail, (size_t)length + 1, format, arguments);
    va_end(arguments);
    self->bytes--; /* the terminator is not content */
}

void rub_reader_init(rub_reader_t *self, const void *data, size_t bytes)
{
    *self = (rub_reader_t){.at = data, .left = bytes};
}

const void *rub_read_bytes(rub_reader_t *self, size_t bytes)
{
    if (self->failed || bytes > self->left) {
        self->failed = true;
        return NULL;
    }
    const uint8_t *p = self->at;
    if (bytes > 0) {
        self->at += bytes;
        self->left -= bytes;
    }
    return p;
}

uint8_t rub_read_u8(rub_reader_t *self)
{
    const uint8_t *p = rub_read_bytes(self, 1);
    return p == NULL ? 0 : *p;
}

uint16_t rub_read_u16(rub_reader_t *self)
{
    const void *p = rub_read_bytes(self, 2);
    return p == NULL ? 0 : rub_get_u16(p);
}

uint32_t rub_read_u32(rub_reader_t *self)
{
    const void *p = rub_read_bytes(self, 4);
    return p == NULL ? 0 : rub_get_u32(p);
}

uint64_t rub_read_u64(rub_reader_t *self)
{
    const void *p = rub_read_bytes(self, 8);
    return p == NULL ? 0 : rub_get_u64(p);
}

double rub_read_f64(rub_reader_t *self)
{
    const uint64_t bits = rub_read_u64(self);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

void rub_read_str(rub_reader_t *self, char *out, size_t out_bytes)
{
    const size_t length = rub_read_u32(self);
    if (length >= out_bytes) {
        self->failed = true;
    }
    const void *p = rub_read_bytes(self, length);
    if (out_bytes == 0) {
        return;
    }
    if (p == NULL) {
        out[0] = '\0';
        return;
    }
    memcpy(out, p, length);
    out[length] = '\0';
}
