/* Opening NumPy's arrays as data: a file by itself, which may be compressed, or a member of an
 * archive by its name. The formats are common/tensor's (npy_header.h, zip_archive.h); here are
 * names, and items as numbers. */
#include "worker/data/npy_array.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "worker/data/dataset.h"

#include <inttypes.h>
#include <string.h>

bool rub_npy_path(const char *path, size_t *file_bytes_p)
{
    const size_t n = strlen(path);
    const char *const colon = strstr(path, ".npz:");
    *file_bytes_p = colon != NULL ? (size_t)(colon - path) + 4 : n;
    return colon != NULL || (n > 4 && (memcmp(path + n - 4, ".npy", 4) == 0 ||
                                       memcmp(path + n - 4, ".npz", 4) == 0));
}

/* What the archive says, of this file. */
static int of_file(const rub_npy_array_t *self, int rc, rub_error_t *err)
{
    return rc ? rub_wrap(err, rc == RUB_ENOMEM ? rc : RUB_EDATA, "data file '%s'", self->path) : 0;
}

static int read_bytes(void *context, void *data, size_t bytes, rub_error_t *err)
{
    rub_npy_array_t *const self = context;
    const int rc = self->archive != NULL
                       ? of_file(self, rub_zip_archive_read(self->archive, data, bytes, err), err)
                       : rub_packed_file_read(self->file, data, bytes, err);
    self->offset += rc == 0 ? bytes : 0;
    return rc;
}

/* ---- members of an archive ---- */

static bool ends_in(const char *name, size_t bytes, const char *suffix)
{
    const size_t n = strlen(suffix);
    return bytes > n && memcmp(name + bytes - n, suffix, n) == 0;
}

static bool has_name(const rub_zip_entry_t *entry, const char *name)
{
    const size_t n = strlen(name);
    return entry->name_bytes >= n && memcmp(entry->name, name, n) == 0 &&
           (entry->name_bytes == n ||
            (entry->name_bytes == n + 4 && ends_in(entry->name, entry->name_bytes, ".npy")));
}

static int no_such_member(const rub_npy_array_t *self, const char *name,
                          const rub_zip_entry_t *entries, size_t n, rub_error_t *err)
{
    if (name[0] != '\0' || n == 0) {
        return rub_fail(err, RUB_EDATA, "data file '%s' has no array '%s' among its %zu members",
                        self->file_path, name, n);
    }
    const size_t bytes = entries->name_bytes;
    return rub_fail(err, RUB_EDATA,
                    "data file '%s' has %zu members, expected the name of one behind a colon, as "
                    "':%.*s'",
                    self->file_path, n,
                    (int)(ends_in(entries->name, bytes, ".npy") ? bytes - 4 : bytes),
                    entries->name);
}

/* name: "" is the only member. */
static int open_member(rub_npy_array_t *self, const char *name, rub_error_t *err)
{
    size_t n = 0;
    int rc = rub_zip_archive_open(self->file_path, &self->archive, err);
    if (rc != 0) {
        return of_file(self, rc, err);
    }
    const rub_zip_entry_t *const entries = rub_zip_archive_entries(self->archive, &n);
    for (size_t i = 0; i < n; i++) {
        if (name[0] != '\0' ? has_name(&entries[i], name) : n == 1) {
            return of_file(self, rub_zip_archive_begin(self->archive, &entries[i], err), err);
        }
    }
    return no_such_member(self, name, entries, n, err);
}

int rub_npy_array_open(rub_npy_array_t *self, const char *path, rub_error_t *err)
{
    *self = (rub_npy_array_t){.path = path};
    size_t file_bytes = 0;
    (void)rub_npy_path(path, &file_bytes);
    self->file_path = rub_sprintf("%.*s", (int)file_bytes, path);
    char *const subject = rub_sprintf("data file '%s'", path);
    const char *const name = path[file_bytes] == ':' ? path + file_bytes + 1 : "";
    int rc = self->file_path && subject ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a path");
    if (rc == 0) {
        rc = ends_in(self->file_path, file_bytes, ".npz")
                 ? open_member(self, name, err)
                 : rub_packed_file_open(self->file_path, &self->file, err);
    }
    rc = rc ? rc : rub_npy_header_read(&self->header, subject, read_bytes, self, err);
    rub_free(subject);
    return rc;
}

void rub_npy_array_close(rub_npy_array_t *self)
{
    rub_zip_archive_close(&self->archive);
    rub_packed_file_close(&self->file);
    rub_free(self->file_path);
    self->file_path = NULL;
}

int rub_npy_array_examples(const rub_npy_array_t *self, rub_npy_examples_t *examples,
                           rub_error_t *err)
{
    const rub_npy_header_t *const header = &self->header;
    const uint64_t n = header->n_dimensions > 0 ? header->shape[0] : 0;
    const uint64_t width = n > 0 ? header->n_items / n : 0;
    if (n == 0 || n > RUB_DATASET_EXAMPLES_LIMIT) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' holds %" PRIu64 " examples, expected 1 to %u", self->path,
                        n, RUB_DATASET_EXAMPLES_LIMIT);
    }
    if (width == 0 || width > RUB_DATASET_WIDTH_LIMIT) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' has %" PRIu64 " features per example, expected 1 to %u",
                        self->path, width, RUB_DATASET_WIDTH_LIMIT);
    }
    *examples = (rub_npy_examples_t){.n = (size_t)n, .width = (size_t)width};
    if (header->n_dimensions == 3 || header->n_dimensions == 4) {
        examples->image[0] = (uint32_t)header->shape[1];
        examples->image[1] = (uint32_t)header->shape[2];
        examples->image[2] = header->n_dimensions == 4 ? (uint32_t)header->shape[3] : 1;
    }
    return 0;
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
    const int rc = read_bytes(self, items, n * self->header.item_bytes, err);
    if (rc == 0 && self->header.big_endian) {
        swap_bytes(items, n, self->header.item_bytes);
    }
    return rc;
}

int rub_npy_array_expect_end(rub_npy_array_t *self, rub_error_t *err)
{
    return self->archive != NULL
               ? of_file(self, rub_zip_archive_expect_end(self->archive, err), err)
               : rub_packed_file_expect_end(self->file, err);
}

int64_t rub_npy_array_integer(const rub_npy_array_t *self, const void *items, size_t i)
{
    const uint8_t *const item = (const uint8_t *)items + i * self->header.item_bytes;
    uint64_t bits = 0;
    for (size_t k = 0; k < self->header.item_bytes; k++) {
        bits |= (uint64_t)item[k] << 8 * k;
    }
    if (self->header.kind == 'b') {
        return bits != 0;
    }
    if (self->header.kind == 'i') {
        const unsigned above = (unsigned)(64 - 8 * self->header.item_bytes);
        return (int64_t)(bits << above) >> above;
    }
    return bits < INT64_MAX ? (int64_t)bits : INT64_MAX;
}

double rub_npy_array_number(const rub_npy_array_t *self, const void *items, size_t i)
{
    const uint8_t *const item = (const uint8_t *)items + i * self->header.item_bytes;
    if (self->header.kind != 'f') {
        return self->header.kind == 'u' && self->header.item_bytes == 8
                   ? (double)rub_get_u64(item)
                   : (double)rub_npy_array_integer(self, items, i);
    }
    if (self->header.item_bytes == 8) {
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
