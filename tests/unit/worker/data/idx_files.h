/* Writes IDX files into a folder of its own, for tests of worker/data. */
#ifndef TEST_IDX_FILES_H
#define TEST_IDX_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

typedef struct idx_files {
    char folder[64];
    char features[96];
    char labels[96];
} idx_files_t;

static inline void idx_files_init(idx_files_t *self)
{
    strcpy(self->folder, "/tmp/rubato-data-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    snprintf(self->features, sizeof self->features, "%s/features", self->folder);
    snprintf(self->labels, sizeof self->labels, "%s/labels", self->folder);
}

static inline void idx_files_fini(idx_files_t *self)
{
    unlink(self->features);
    unlink(self->labels);
    rmdir(self->folder);
}

static inline void write_bytes(const char *path, bool gzip, const void *data, size_t bytes)
{
    gzFile file = gzopen(path, gzip ? "wb" : "wbT"); /* T: as it is */
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(file), Z_OK);
}

static inline void put_u32_big(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* data: as it stands in the file, big-endian. */
static inline void write_idx(const char *path, bool gzip, uint8_t type, uint8_t n_dimensions,
                             const uint32_t *dimensions, const void *data, size_t bytes)
{
    uint8_t *file = malloc(4 + 4u * n_dimensions + bytes);
    const uint8_t magic[4] = {0, 0, type, n_dimensions};
    memcpy(file, magic, 4);
    for (size_t i = 0; i < n_dimensions; i++) {
        put_u32_big(file + 4 + 4 * i, dimensions[i]);
    }
    memcpy(file + 4 + 4u * n_dimensions, data, bytes);
    write_bytes(path, gzip, file, 4 + 4u * n_dimensions + bytes);
    free(file);
}

/* n images of 2 x 3 bytes, byte j of image i being 10 i + j, and labels i mod 3. */
static inline void write_small_images(const idx_files_t *files, bool gzip, uint32_t n)
{
    uint8_t *pixels = malloc(6 * (size_t)n);
    uint8_t *labels = malloc(n);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint8_t)(i % 3);
        for (size_t j = 0; j < 6; j++) {
            pixels[6 * i + j] = (uint8_t)(10 * i + j);
        }
    }
    write_idx(files->features, gzip, 0x08, 3, (const uint32_t[]){n, 2, 3}, pixels, 6 * (size_t)n);
    write_idx(files->labels, gzip, 0x08, 1, &n, labels, n);
    free(pixels);
    free(labels);
}

#endif
