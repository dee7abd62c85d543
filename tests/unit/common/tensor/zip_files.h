/* Archives for tests, made member by member as numpy.savez makes them. */
#ifndef RUB_ZIP_FILES_H
#define RUB_ZIP_FILES_H

#include "common/base/fs.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

typedef struct rub_zip_file {
    uint8_t bytes[8192], directory[2048];
    size_t n, n_directory;
    unsigned n_members;
} rub_zip_file_t;

static inline void rub_zip_put(uint8_t *out, size_t *n, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[(*n)++] = (uint8_t)(value >> 8 * i);
    }
}

static inline size_t rub_zip_deflate(const uint8_t *data, size_t bytes, uint8_t *out, size_t room)
{
    z_stream z = {.next_in = (uint8_t *)data, .avail_in = (uInt)bytes, .next_out = out};
    z.avail_out = (uInt)room;
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, 0), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/* large: sizes and place stand in 64 bits. */
static inline void rub_zip_add(rub_zip_file_t *self, const char *name, const uint8_t *data,
                               size_t bytes, bool deflated, bool large)
{
    uint8_t packed[2048];
    size_t n_packed = bytes;
    memcpy(packed, data, bytes);
    if (deflated) {
        n_packed = rub_zip_deflate(data, bytes, packed, sizeof packed);
    }
    const size_t local = self->n;
    const uint32_t crc = (uint32_t)crc32(0, data, (uInt)bytes);
    rub_zip_put(self->bytes, &self->n, 0x04034b50, 4);
    memset(self->bytes + self->n, 0, 22); /* not believed */
    self->n += 22;
    rub_zip_put(self->bytes, &self->n, strlen(name), 2);
    rub_zip_put(self->bytes, &self->n, 5, 2); /* an extra field */
    memcpy(self->bytes + self->n, name, strlen(name));
    self->n += strlen(name) + 5;
    memcpy(self->bytes + self->n, packed, n_packed);
    self->n += n_packed;

    uint8_t *const d = self->directory;
    size_t *const at = &self->n_directory;
    rub_zip_put(d, at, 0x02014b50, 4);
    rub_zip_put(d, at, 0, 6);
    rub_zip_put(d, at, deflated ? 8 : 0, 2);
    rub_zip_put(d, at, 0, 4);
    rub_zip_put(d, at, crc, 4);
    rub_zip_put(d, at, large ? UINT32_MAX : n_packed, 4);
    rub_zip_put(d, at, large ? UINT32_MAX : bytes, 4);
    rub_zip_put(d, at, strlen(name), 2);
    rub_zip_put(d, at, large ? 28 : 0, 2);
    rub_zip_put(d, at, 0, 8);
    rub_zip_put(d, at, 0, 2);
    rub_zip_put(d, at, large ? UINT32_MAX : local, 4);
    memcpy(d + *at, name, strlen(name));
    *at += strlen(name);
    if (large) {
        rub_zip_put(d, at, 1, 2);
        rub_zip_put(d, at, 24, 2);
        rub_zip_put(d, at, bytes, 8);
        rub_zip_put(d, at, n_packed, 8);
        rub_zip_put(d, at, local, 8);
    }
    self->n_members++;
}

static inline void rub_zip_write(rub_zip_file_t *self, const char *path)
{
    const size_t begins = self->n;
    memcpy(self->bytes + self->n, self->directory, self->n_directory);
    self->n += self->n_directory;
    rub_zip_put(self->bytes, &self->n, 0x06054b50, 4);
    rub_zip_put(self->bytes, &self->n, 0, 4);
    rub_zip_put(self->bytes, &self->n, self->n_members, 2);
    rub_zip_put(self->bytes, &self->n, self->n_members, 2);
    rub_zip_put(self->bytes, &self->n, self->n_directory, 4);
    rub_zip_put(self->bytes, &self->n, begins, 4);
    rub_zip_put(self->bytes, &self->n, 3, 2);
    memcpy(self->bytes + self->n, "end", 3);
    self->n += 3;
    assert_int_equal(rub_fs_write(path, self->bytes, self->n, NULL), 0);
}

#endif
