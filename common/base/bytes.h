/* Bytes: little-endian reads and writes, spans, a growing buffer, and a bounds-checked reader. */
#ifndef RUB_BYTES_H
#define RUB_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. */
typedef struct rub_span {
    const void *data;
    size_t bytes;
} rub_span_t;

static inline void rub_put_u16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}
static inline void rub_put_u32(void *p, uint32_t v)
{
    uint8_t *b = p;
    for (int i = 0; i < 4; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline void rub_put_u64(void *p, uint64_t v)
{
    uint8_t *b = p;
    for (int i = 0; i < 8; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint16_t rub_get_u16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | (uint16_t)(b[1] << 8));
}
static inline uint32_t rub_get_u32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t rub_get_u64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)rub_get_u32(b) | (uint64_t)rub_get_u32(b + 4) << 32;
}

/* A growing byte string. A failed append sets `failed` and changes nothing more: check it once at
 * the end. */
typedef struct rub_buf {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
    bool failed;
} rub_buf_t;

void rub_buf_init(rub_buf_t *self);
void rub_buf_fini(rub_buf_t *self);
void rub_buf_reset(rub_buf_t *self); /* empties, keeps the memory, clears failed */
void rub_buf_append(rub_buf_t *self, const void *data, size_t bytes);
void *rub_buf_extend(rub_buf_t *self, size_t bytes); /* uninitialised tail, or NULL */
void rub_buf_u8(rub_buf_t *self, uint8_t v);
void rub_buf_u16(rub_buf_t *self, uint16_t v);
void rub_buf_u32(rub_buf_t *self, uint32_t v);
void rub_buf_u64(rub_buf_t *self, uint64_t v);
void rub_buf_f64(rub_buf_t *self, double v);
void rub_buf_str(rub_buf_t *self, const char *text); /* u32 length, bytes */
void rub_buf_printf(rub_buf_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads what rub_buf_* wrote. Reading past the end sets `failed`, yields zeros, and never touches
 * memory. */
typedef struct rub_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
} rub_reader_t;

void rub_reader_init(rub_reader_t *self, const void *data, size_t bytes);
uint8_t rub_read_u8(rub_reader_t *self);
uint16_t rub_read_u16(rub_reader_t *self);
uint32_t rub_read_u32(rub_reader_t *self);
uint64_t rub_read_u64(rub_reader_t *self);
double rub_read_f64(rub_reader_t *self);
const void *rub_read_bytes(rub_reader_t *self, size_t bytes); /* borrowed; NULL past the end */
void rub_read_str(rub_reader_t *self, char *out,
                  size_t out_bytes); /* always terminated; too long = failed */

#endif
