/* Reading text line by line.
 *
 * Why: a reader of text wants three things that stdio gives at a price or not at all: lines that
 * are looked at where they lie, a byte at their end that stops every scanner, and for what is wrong
 * the place in words. Idea: one buffer; a line that is cut by the buffer's end is moved to its
 * front and the rest is read behind it; a longer line makes the buffer grow, up to the limit.
 * Invariant: the buffer has one byte more than it may fill, so the last line of a file can be
 * ended, too. */
#include "worker/data/line_reader.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/packed_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)1 << 20)
#define QUOTE_BYTES 24 /* of what was found, in a sentence */

struct rub_line_reader {
    const char *path;
    rub_packed_file_t *file;
    char *buffer;
    size_t capacity; /* the buffer has one byte more */
    size_t begin;    /* of the next line */
    size_t end;      /* of what has been read */
    uint64_t offset; /* of the buffer's first byte in the content */
    uint64_t left;   /* bytes to read, of a range; UINT64_MAX: to the file's end */
    bool at_end;     /* of file or range: nothing comes behind end */
    uint64_t number; /* of the present line, from 1; of the last one of those that are joined */
    uint64_t joined; /* line ends within the present line */
    bool quotes;     /* lines that end within quotes are joined */
    const char *line;
    const char *line_end;
};

int rub_line_reader_open(const char *path, rub_line_reader_t **self_p, rub_error_t *err)
{
    int rc = 0;
    *self_p = NULL;
    rub_line_reader_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    self->path = path;
    self->capacity = BUFFER_BYTES;
    self->left = UINT64_MAX;
    rc = rub_packed_file_open(path, &self->file, err);
    if (rc != 0) {
        goto out;
    }
    self->buffer = rub_alloc(self->capacity + 1);
    if (self->buffer == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for its lines", path);
        goto out;
    }
    *self_p = self;
    self = NULL;
out:
    rub_line_reader_close(&self);
    return rc;
}

void rub_line_reader_close(rub_line_reader_t **self_p)
{
    rub_line_reader_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_packed_file_close(&self->file);
    rub_free(self->buffer);
    rub_free(self);
    *self_p = NULL;
}

/* More room behind end: what is begun goes to the front, or the buffer grows. */
static int make_room(rub_line_reader_t *self, rub_error_t *err)
{
    if (self->begin > 0) {
        memmove(self->buffer, self->buffer + self->begin, self->end - self->begin);
        self->end -= self->begin;
        self->offset += self->begin;
        self->begin = 0;
        return 0;
    }
    if (self->end < self->capacity) {
        return 0;
    }
    if (self->capacity >= RUB_LINE_LIMIT) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s', line %" PRIu64 ", column %zu: the line goes on, expected "
                        "at most %zu bytes",
                        self->path, self->number + 1, self->end + 1, RUB_LINE_LIMIT);
    }
    char *larger = rub_realloc_array(self->buffer, 2 * self->capacity + 1, 1);
    if (larger == NULL) {
        return rub_fail(err, RUB_ENOMEM,
                        "data file '%s', line %" PRIu64 ": no memory for %zu bytes", self->path,
                        self->number + 1, 2 * self->capacity);
    }
    self->buffer = larger;
    self->capacity *= 2;
    return 0;
}

static int read_more(rub_line_reader_t *self, rub_error_t *err)
{
    int rc = make_room(self, err);
    if (rc != 0) {
        return rc;
    }
    const size_t free_bytes = self->capacity - self->end;
    const size_t room = self->left < free_bytes ? (size_t)self->left : free_bytes;
    size_t got = 0;
    rc = rub_packed_file_read_some(self->file, self->buffer + self->end, room, &got, err);
    if (rc != 0) {
        return rc;
    }
    if (self->offset + self->end == 0) {
        self->begin = rub_text_mark_bytes(self->buffer, got);
    }
    self->end += got;
    if (self->left == UINT64_MAX) {
        self->at_end = got < room;
        return self->at_end ? rub_packed_file_expect_end(self->file, err) : 0;
    }
    self->left -= got;
    self->at_end = self->left == 0;
    return got == room ? 0
                       : rub_fail(err, RUB_EDATA,
                                  "data file '%s' ends at byte %" PRIu64
                                  ", it was longer when it was opened",
                                  self->path, self->offset + self->end);
}

void rub_line_reader_join_quoted(rub_line_reader_t *self)
{
    self->quotes = true;
}

const char *rub_line_reader_path(const rub_line_reader_t *self)
{
    return self->path;
}

uint64_t rub_line_reader_offset(const rub_line_reader_t *self)
{
    return self->offset + self->begin;
}

uint64_t rub_line_reader_count(const rub_line_reader_t *self)
{
    return self->number;
}

bool rub_line_reader_packed(const rub_line_reader_t *self)
{
    return rub_packed_file_packed(self->file);
}

int rub_line_reader_seek(rub_line_reader_t *self, uint64_t offset, uint64_t bytes,
                         uint64_t lines_before, rub_error_t *err)
{
    self->begin = self->end = 0;
    self->offset = offset;
    self->left = bytes;
    self->at_end = bytes == 0;
    self->number = lines_before;
    return rub_packed_file_seek(self->file, offset, err);
}

/* The end of the line in the buffer, at or behind `from`; NULL when it is not there yet. Counts
 * quotes, and the line ends within them. */
static char *find_end(rub_line_reader_t *self, size_t from, size_t *n_quotes)
{
    char *at = self->buffer + from;
    const char *const end = self->buffer + self->end;
    if (!self->quotes) {
        return memchr(at, '\n', (size_t)(end - at));
    }
    for (; at < end; at++) {
        *n_quotes += *at == '"';
        if (*at == '\n') {
            if (*n_quotes % 2 == 0) {
                return at;
            }
            self->joined++;
        }
    }
    return NULL;
}

int rub_line_reader_next(rub_line_reader_t *self, const char **line_p, size_t *length_p,
                         rub_error_t *err)
{
    size_t searched = self->begin;
    size_t n_quotes = 0;
    char *newline = NULL;
    *line_p = NULL;
    *length_p = 0;
    self->joined = 0;
    while (true) {
        newline = find_end(self, searched, &n_quotes);
        if (newline != NULL || self->at_end) {
            break;
        }
        searched = self->end - self->begin; /* begin will be 0 */
        const int rc = read_more(self, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (newline == NULL && self->begin == self->end) {
        return 0;
    }
    char *end = newline != NULL ? newline : self->buffer + self->end;
    self->line = self->buffer + self->begin;
    self->begin = (size_t)(end - self->buffer) + (newline != NULL);
    self->number += 1 + self->joined;
    if (end > self->line && end[-1] == '\r') {
        end--;
    }
    *end = '\n';
    self->line_end = end;
    *line_p = self->line;
    *length_p = (size_t)(end - self->line);
    return 0;
}

void rub_line_reader_present(const rub_line_reader_t *self, const char **line_p, size_t *length_p)
{
    *line_p = self->line;
    *length_p = self->line != NULL ? (size_t)(self->line_end - self->line) : 0;
}

/* What stands at `at`, up to a blank: as a quotation, or in words. */
static void describe(const char *at, const char *end, char out[QUOTE_BYTES + 24])
{
    int n = 0;
    while (n < QUOTE_BYTES && at + n < end && at[n] > ' ' && at[n] < 0x7f) {
        n++;
    }
    if (n > 0) {
        (void)snprintf(out, QUOTE_BYTES + 24, "'%.*s'", n, at);
    } else if (at == end) {
        (void)snprintf(out, QUOTE_BYTES + 24, "the line's end");
    } else if (*at == ' ') {
        (void)snprintf(out, QUOTE_BYTES + 24, "a blank");
    } else if (*at == '\t') {
        (void)snprintf(out, QUOTE_BYTES + 24, "a tab");
    } else {
        (void)snprintf(out, QUOTE_BYTES + 24, "byte 0x%02x", (unsigned char)*at);
    }
}

int rub_line_reader_refuse(const rub_line_reader_t *self, const char *at, rub_error_t *err,
                           const char *format, ...)
{
    char found[QUOTE_BYTES + 24];
    char sentence[256];
    RUB_ASSERT(at >= self->line);
    RUB_ASSERT(at <= self->line_end);
    describe(at, self->line_end, found);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    uint64_t number = self->number - self->joined;
    const char *begin = self->line;
    for (const char *c = self->line; self->joined > 0 && c < at; c++) {
        if (*c == '\n') {
            number++;
            begin = c + 1;
        }
    }
    return rub_fail(err, RUB_EDATA, "data file '%s', line %" PRIu64 ", column %zu: found %s, %s",
                    self->path, number, (size_t)(at - begin) + 1, found, sentence);
}
