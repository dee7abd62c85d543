/* Reading words from text.
 *
 * Why its own reader: a vocabulary is made of what stands in the file, so a binary file given by
 * mistake would train without a complaint. What no tool down the line could read is refused here,
 * with the line. Idea: one buffer that is refilled behind what is left of a word cut at its end;
 * a word is handed out where it lies. Invariant: bytes [at, end) of the buffer were not handed out
 * yet, and a word never reaches `end` unless the file ends there. */
#include "worker/data/text_file.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/line_reader.h"
#include "worker/data/packed_file.h"

#include <inttypes.h>
#include <string.h>

enum { BUFFER_BYTES = 256 * 1024 };

struct rub_text_file {
    rub_packed_file_t *file;
    const char *path;
    uint64_t line;         /* the one being read, from 1 where the stretch begins */
    uint64_t line_at;      /* the byte of the content that it begins with */
    uint64_t offset;       /* of the buffer in the content */
    uint64_t from, stop;   /* where the stretch begins, in the content, and where it is over */
    rub_text_place_t last; /* of what was handed out last */
    size_t at, end;
    bool ended;   /* nothing follows the buffer */
    bool in_line; /* something of this line was handed out */
    char buffer[BUFFER_BYTES];
};

int rub_text_file_open(const char *path, rub_text_file_t **file_p, rub_error_t *err)
{
    *file_p = NULL;
    rub_text_file_t *self = rub_alloc(sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", path);
    }
    self->file = NULL;
    self->path = path;
    self->line = 1;
    self->line_at = self->offset = 0;
    self->from = 0;
    self->stop = UINT64_MAX;
    self->last = (rub_text_place_t){1, 1};
    self->at = self->end = 0;
    self->ended = self->in_line = false;
    const int rc = rub_packed_file_open(path, &self->file, err);
    if (rc != 0) {
        rub_text_file_close(&self);
    }
    *file_p = self;
    return rc;
}

void rub_text_file_close(rub_text_file_t **file_p)
{
    if (*file_p != NULL) {
        rub_packed_file_close(&(*file_p)->file);
        rub_free(*file_p);
        *file_p = NULL;
    }
}

/* Moves what was not handed out to the front and reads more behind it. */
static int refill(rub_text_file_t *self, rub_error_t *err)
{
    size_t got = 0;
    memmove(self->buffer, self->buffer + self->at, self->end - self->at);
    self->end -= self->at;
    self->offset += self->at;
    self->at = 0;
    const size_t room = sizeof self->buffer - self->end;
    int rc = rub_packed_file_read_some(self->file, self->buffer + self->end, room, &got, err);
    self->end += got;
    if (rc == 0 && got < room) {
        self->ended = true;
        rc = rub_packed_file_expect_end(self->file, err);
    }
    return rc;
}

/* Goes to the stretch's begin: a word that stands across it belongs to the stretch before. */
static int begin_stretch(rub_text_file_t *self, rub_error_t *err)
{
    self->offset = self->from - 1;
    int rc = rub_packed_file_seek(self->file, self->offset, err);
    rc = rc ? rc : refill(self, err);
    if (rc == 0 && self->end == 0) {
        rc = rub_fail(err, RUB_EDATA, "text file '%s' ends before byte %" PRIu64, self->path,
                      self->from);
    }
    if (rc == 0 && rub_text_is_space(self->buffer[0])) {
        self->at = 1;
        return 0;
    }
    while (rc == 0 && self->at < self->end && !rub_text_is_space(self->buffer[self->at])) {
        self->at++;
        rc = self->at == self->end && !self->ended ? refill(self, err) : 0;
    }
    return rc;
}

int rub_text_file_open_stretch(const char *path, uint64_t from, uint64_t to,
                               rub_text_file_t **file_p, rub_error_t *err)
{
    int rc = rub_text_file_open(path, file_p, err);
    if (rc != 0) {
        return rc;
    }
    (*file_p)->from = from;
    (*file_p)->stop = to;
    rc = from > 0 ? begin_stretch(*file_p, err) : 0;
    if (rc != 0) {
        rub_text_file_close(file_p);
    }
    return rc;
}

/* The bytes that a character beginning with this byte has (RFC 3629); 0: none begins so. */
static size_t character_bytes(uint8_t first)
{
    if (first < 0x80) {
        return first != 0;
    }
    return first >= 0xc2 && first < 0xe0   ? 2
           : first >= 0xe0 && first < 0xf0 ? 3
           : first >= 0xf0 && first < 0xf5 ? 4
                                           : 0;
}

static bool is_character(const uint8_t *bytes, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    /* Overlong forms, surrogates, and what lies above U+10FFFF. */
    return !(bytes[0] == 0xe0 && bytes[1] < 0xa0) && !(bytes[0] == 0xed && bytes[1] > 0x9f) &&
           !(bytes[0] == 0xf0 && bytes[1] < 0x90) && !(bytes[0] == 0xf4 && bytes[1] > 0x8f);
}

const uint8_t *rub_text_bad_byte(const char *word, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)word;
    const uint8_t *end = at + bytes;
    while (at < end) {
        const size_t n = character_bytes(*at);
        if (n == 0 || n > (size_t)(end - at) || (n > 1 && !is_character(at, n))) {
            return at;
        }
        at += n;
    }
    return NULL;
}

/* Of a byte of the buffer. */
static rub_text_place_t place_of(const rub_text_file_t *self, size_t at)
{
    return (rub_text_place_t){self->line, self->offset + at - self->line_at + 1};
}

/* The same in the whole file. What stands before a stretch is counted only for who wants to know.
 */
static rub_text_place_t place_in_file(const rub_text_file_t *self, size_t at)
{
    rub_packed_file_t *file = NULL;
    rub_text_place_t place = place_of(self, at);
    char block[4096];
    uint64_t done = 0, line_at = 0;
    int rc = self->from > 0 ? rub_packed_file_open(self->path, &file, NULL) : 0;
    while (rc == 0 && done < self->from) {
        size_t got = 0;
        const uint64_t left = self->from - done;
        const size_t want = left < sizeof block ? (size_t)left : sizeof block;
        rc = rub_packed_file_read_some(file, block, want, &got, NULL);
        for (size_t i = 0; i < got; i++) {
            if (block[i] == '\n') {
                place.line++;
                line_at = done + i + 1;
            }
        }
        line_at = done == 0 && line_at == 0 ? rub_text_mark_bytes(block, got) : line_at;
        done = got == want ? done + got : self->from;
    }
    rub_packed_file_close(&file);
    if (self->from > 0 && self->line == 1) {
        place.column = self->offset + at - line_at + 1;
    }
    return place;
}

rub_text_place_t rub_text_file_last(const rub_text_file_t *self)
{
    return self->last;
}

static int check_word(const rub_text_file_t *self, const char *word, size_t bytes, rub_error_t *err)
{
    const uint8_t *bad = rub_text_bad_byte(word, bytes);
    if (bad != NULL) {
        const rub_text_place_t place =
            place_in_file(self, (size_t)((const char *)bad - self->buffer));
        return rub_fail(err, RUB_EDATA,
                        "text file '%s', line %" PRIu64 ", column %" PRIu64
                        ": byte 0x%02x of a word is not UTF-8 text",
                        self->path, place.line, place.column, *bad);
    }
    return 0;
}

static size_t word_end(const rub_text_file_t *self)
{
    size_t i = self->at;
    while (i < self->end && !rub_text_is_space(self->buffer[i])) {
        i++;
    }
    return i;
}

/* No word, of 0 bytes: there was a mark alone. */
static int take_word(rub_text_file_t *self, const char **word_p, size_t *bytes_p, rub_error_t *err)
{
    if (self->offset + self->at == 0) {
        self->line_at = rub_text_mark_bytes(self->buffer, self->end);
        self->at += (size_t)self->line_at;
    }
    size_t end = word_end(self);
    if (end == self->end && !self->ended) {
        const int rc = refill(self, err);
        if (rc != 0) {
            return rc;
        }
        end = word_end(self);
    }
    const size_t bytes = end - self->at;
    self->last = place_of(self, self->at);
    if (bytes > RUB_TEXT_WORD_LIMIT) {
        const rub_text_place_t place = place_in_file(self, self->at);
        return rub_fail(err, RUB_EDATA,
                        "text file '%s', line %" PRIu64 ", column %" PRIu64
                        ": a word of more than %u bytes",
                        self->path, place.line, place.column, RUB_TEXT_WORD_LIMIT);
    }
    *word_p = self->buffer + self->at;
    *bytes_p = bytes;
    self->at = end;
    self->in_line = self->in_line || bytes > 0;
    return check_word(self, *word_p, bytes, err);
}

int rub_text_file_next(rub_text_file_t *self, rub_text_kind_t *kind_p, const char **word_p,
                       size_t *bytes_p, rub_error_t *err)
{
    for (;;) {
        if (self->offset + self->at >= self->stop) {
            *kind_p = RUB_TEXT_END;
            return 0;
        }
        if (self->at == self->end && !self->ended) {
            const int rc = refill(self, err);
            if (rc != 0) {
                return rc;
            }
        }
        if (self->at == self->end) {
            self->last = place_of(self, self->at);
            *kind_p = self->in_line ? RUB_TEXT_LINE_END : RUB_TEXT_END;
            self->in_line = false;
            return 0;
        }
        const char c = self->buffer[self->at];
        if (c == '\n') {
            self->last = place_of(self, self->at);
            self->at++;
            self->line++;
            self->line_at = self->offset + self->at;
            self->in_line = false;
            *kind_p = RUB_TEXT_LINE_END;
            return 0;
        }
        if (!rub_text_is_space(c)) {
            const int rc = take_word(self, word_p, bytes_p, err);
            *kind_p = RUB_TEXT_WORD;
            if (rc != 0 || *bytes_p > 0) {
                return rc;
            }
        } else {
            self->at++;
        }
    }
}
