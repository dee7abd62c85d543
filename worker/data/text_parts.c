/* Cutting a text.
 *
 * Why by bytes and not by lines: a text may be one line, as text8 is, and where lines end is known
 * only to who has read it. What a cut does to the sentence that it goes through is mended by who
 * puts parts together (worker/data/word_merge.h). */
#include "worker/data/text_parts.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "worker/data/data_files.h"
#include "worker/data/packed_file.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLE_BYTES = 64 * 1024 }; /* of a file's beginning, and of its end */

typedef struct text {
    uint64_t begin, bytes; /* where it lies when all lie one behind the other */
    uint64_t content;      /* a checksum of its beginning and its end, as they lie there */
    bool packed;
} text_t;

struct rub_text_parts {
    const char *path;
    rub_data_files_t *files;
    text_t *texts; /* one for each file */
    uint64_t bytes;
    uint32_t n_parts;
};

struct rub_part_reader {
    const rub_text_parts_t *parts;
    uint64_t from, to; /* the part */
    size_t next;       /* the file to be opened next */
    rub_text_file_t *file;
    bool ends; /* the stretch of file goes up to its end */
};

/* A text that was edited has another length or, most often, another beginning or end; reading all
 * of it would be half the work that workers share. Not when it was changed: that says nothing of
 * what is in it, and copies on other hosts have times of their own. */
static int sample(int fd, text_t *text, rub_error_t *err)
{
    const size_t n = text->bytes < SAMPLE_BYTES ? (size_t)text->bytes : SAMPLE_BYTES;
    uint8_t *const bytes = rub_alloc(SAMPLE_BYTES);
    int rc = bytes ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for its beginning");
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        rc = rub_fs_pread(fd, bytes, n, i == 0 ? 0 : text->bytes - n, err);
        text->content = text->content << 32 | (rc == 0 ? rub_crc32c(0, bytes, n) : 0);
    }
    rub_free(bytes);
    return rc;
}

static int measure(const char *path, text_t *text, rub_error_t *err)
{
    rub_packed_file_t *file = NULL;
    int fd = -1;
    int rc = rub_fs_open_regular(path, &fd, &text->bytes, err);
    rc = rc ? rc : sample(fd, text, err);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (rc != 0) {
        return rub_wrap(err, rc == RUB_ENOMEM ? rc : RUB_EDATA, "text file '%s'", path);
    }
    rc = rub_packed_file_open(path, &file, err);
    text->packed = rc == 0 && rub_packed_file_packed(file);
    rub_packed_file_close(&file);
    return rc;
}

int rub_text_parts_open(const char *path, rub_text_parts_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_text_parts_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", path);
    }
    self->path = path;
    self->n_parts = 1;
    int rc = rub_data_files_open(path, &self->files, err);
    if (rc == 0) {
        self->texts = rub_calloc(self->files->n, sizeof *self->texts);
        rc = self->texts ? 0 : rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", path);
    }
    for (size_t i = 0; rc == 0 && i < self->files->n; i++) {
        self->texts[i].begin = self->bytes;
        rc = measure(self->files->paths[i], &self->texts[i], err);
        self->bytes += self->texts[i].bytes;
    }
    if (rc != 0) {
        rub_text_parts_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_text_parts_close(rub_text_parts_t **self_p)
{
    rub_text_parts_t *self = *self_p;
    if (self != NULL) {
        rub_data_files_close(&self->files);
        rub_free(self->texts);
        rub_free(self);
        *self_p = NULL;
    }
}

const char *rub_text_parts_path(const rub_text_parts_t *self)
{
    return self->path;
}

uint64_t rub_text_parts_bytes(const rub_text_parts_t *self)
{
    return self->bytes;
}

void rub_text_parts_cut(rub_text_parts_t *self, uint32_t n)
{
    RUB_ASSERT(n >= 1);
    RUB_ASSERT(n <= RUB_TEXT_PARTS_LIMIT);
    self->n_parts = n;
}

uint32_t rub_text_parts_n(const rub_text_parts_t *self)
{
    return self->n_parts;
}

/* Where a part begins; the end of all for the one behind the last. */
static uint64_t beginning(const rub_text_parts_t *self, uint32_t part)
{
    const uint64_t share = self->bytes / self->n_parts, more = self->bytes % self->n_parts;
    return share * part + more * part / self->n_parts;
}

/* What of the file is in [from, to): bytes [*first_p, *last_p) of it; false: nothing. */
static bool stretch_of(const text_t *text, uint64_t from, uint64_t to, uint64_t *first_p,
                       uint64_t *last_p)
{
    const uint64_t end = text->begin + text->bytes;
    const uint64_t begin = text->packed ? text->begin : text->begin < from ? from : text->begin;
    *first_p = begin - text->begin;
    *last_p = text->packed || end < to ? text->bytes : to - text->begin;
    return text->bytes > 0 && begin >= from && begin < to && begin < end;
}

uint64_t rub_text_parts_part_bytes(const rub_text_parts_t *self, uint32_t part)
{
    uint64_t bytes = 0, first = 0, last = 0;
    for (size_t i = 0; i < self->files->n; i++) {
        const bool in = stretch_of(&self->texts[i], beginning(self, part),
                                   beginning(self, part + 1), &first, &last);
        bytes += in ? last - first : 0;
    }
    return bytes;
}

uint64_t rub_text_parts_digest(const rub_text_parts_t *self)
{
    uint64_t digest = rub_mix64(self->n_parts);
    for (size_t i = 0; i < self->files->n; i++) {
        digest = rub_mix64(digest ^ (2 * self->texts[i].bytes + self->texts[i].packed));
        digest = rub_mix64(digest ^ self->texts[i].content);
    }
    return digest;
}

int rub_part_reader_open(const rub_text_parts_t *parts, uint32_t part, rub_part_reader_t **self_p,
                         rub_error_t *err)
{
    RUB_ASSERT(part < parts->n_parts);
    rub_part_reader_t *self = rub_calloc(1, sizeof *self);
    *self_p = self;
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", parts->path);
    }
    self->parts = parts;
    self->from = beginning(parts, part);
    self->to = beginning(parts, part + 1);
    return 0;
}

void rub_part_reader_close(rub_part_reader_t **self_p)
{
    if (*self_p != NULL) {
        rub_text_file_close(&(*self_p)->file);
        rub_free(*self_p);
        *self_p = NULL;
    }
}

/* Opens the next file of which the part has something; none is open behind the last. */
static int open_next(rub_part_reader_t *self, rub_error_t *err)
{
    const rub_text_parts_t *parts = self->parts;
    int rc = 0;
    while (rc == 0 && self->file == NULL && self->next < parts->files->n) {
        const text_t *text = &parts->texts[self->next];
        uint64_t first = 0, last = 0;
        if (stretch_of(text, self->from, self->to, &first, &last)) {
            self->ends = last == text->bytes;
            rc = rub_text_file_open_stretch(parts->files->paths[self->next], first,
                                            self->ends ? UINT64_MAX : last, &self->file, err);
        }
        self->next++;
    }
    return rc;
}

int rub_part_reader_next(rub_part_reader_t *self, rub_text_kind_t *kind_p, const char **word_p,
                         size_t *bytes_p, rub_error_t *err)
{
    *kind_p = RUB_TEXT_END;
    for (;;) {
        int rc = self->file ? 0 : open_next(self, err);
        if (rc != 0 || self->file == NULL) {
            return rc;
        }
        rc = rub_text_file_next(self->file, kind_p, word_p, bytes_p, err);
        if (rc != 0 || *kind_p != RUB_TEXT_END) {
            return rc;
        }
        rub_text_file_close(&self->file);
        if (self->ends) {
            *kind_p = RUB_TEXT_LINE_END;
            return 0;
        }
    }
}
