/* Counting a part of a text.
 *
 * What is told of it: each word with its count, and which sentences will be there once rare words
 * are dropped. A word that occurs min_count times in the part alone will stay, and so will a
 * sentence that has one. Nearly all have; the others, whose words are rare in the part, are told
 * word by word, and so are those that the part's borders cut, unless they are sure. So how many
 * tokens of a part stay follows from what is told of all parts, and nobody needs to be asked again.
 */
#include "worker/data/word_part.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <string.h>

enum { LOOK_EVERY = 1 << 18 };

static int append(rub_word_part_t *self, const rub_text_parts_t *parts, uint32_t token,
                  rub_error_t *err)
{
    if (self->n_tokens == UINT32_MAX) {
        return rub_fail(err, RUB_EDATA, "text file '%s' has a part of more than %" PRIu32 " words",
                        rub_text_parts_path(parts), UINT32_MAX);
    }
    if (rub_grow(&self->tokens, &self->room, self->n_tokens + 1, sizeof *self->tokens) != 0) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory for %zu words",
                        rub_text_parts_path(parts), self->n_tokens);
    }
    self->tokens[self->n_tokens++] = token;
    return 0;
}

static int count_all(rub_word_part_t *self, const rub_text_parts_t *parts,
                     rub_part_reader_t *reader, const rub_part_watch_t *watch, rub_error_t *err)
{
    for (;;) {
        rub_text_kind_t kind = RUB_TEXT_END;
        const char *word = NULL;
        size_t bytes = 0;
        uint32_t token = RUB_NO_WORD;
        int rc = rub_part_reader_next(reader, &kind, &word, &bytes, err);
        if (rc != 0 || kind == RUB_TEXT_END) {
            return rc;
        }
        if (kind == RUB_TEXT_WORD) {
            rc = rub_vocabulary_add(self->words, word, bytes, &token, err);
        }
        rc = rc ? rc : append(self, parts, token, err);
        if (rc == 0 && watch != NULL && self->n_tokens % LOOK_EVERY == 0) {
            rc = watch->look(watch->context, err);
            rc = rc > 0 ? RUB_WORD_PART_LEFT : rc;
        }
        if (rc != 0) {
            return rc;
        }
    }
}

int rub_word_part_count(const rub_text_parts_t *parts, uint32_t part, const rub_part_watch_t *watch,
                        rub_word_part_t **self_p, rub_error_t *err)
{
    rub_part_reader_t *reader = NULL;
    int rc = RUB_ENOMEM;
    *self_p = NULL;
    rub_word_part_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->words = rub_vocabulary_new();
    }
    if (self == NULL || self->words == NULL) {
        rub_fail(err, rc, "text file '%s': no memory", rub_text_parts_path(parts));
        goto out;
    }
    rc = rub_part_reader_open(parts, part, &reader, err);
    rc = rc ? rc : count_all(self, parts, reader, watch, err);
    if (rc == 0) {
        *self_p = self;
        self = NULL;
    }
out:
    rub_part_reader_close(&reader);
    rub_word_part_destroy(&self);
    return rc;
}

void rub_word_part_destroy(rub_word_part_t **self_p)
{
    rub_word_part_t *self = *self_p;
    if (self != NULL) {
        rub_vocabulary_destroy(&self->words);
        rub_free(self->tokens);
        rub_free(self);
        *self_p = NULL;
    }
}

/* ---- what is told ---- */

static bool is_sure(const rub_word_part_t *self, const uint32_t *tokens, size_t n,
                    uint64_t min_count)
{
    bool sure = false;
    for (size_t i = 0; i < n && !sure; i++) {
        sure = rub_vocabulary_count(self->words, tokens[i]) >= min_count;
    }
    return sure;
}

/* A sentence, or what the part has of it: 0 when it is sure, else one more than its words, and
 * these. */
static void write_sentence(const rub_word_part_t *self, const uint32_t *tokens, size_t n,
                           uint64_t min_count, rub_buf_t *out)
{
    const bool sure = is_sure(self, tokens, n, min_count);
    rub_buf_u32(out, sure ? 0 : (uint32_t)n + 1);
    for (size_t i = 0; i < n && !sure; i++) {
        rub_buf_u32(out, tokens[i]);
    }
}

static size_t sentence_words(const rub_word_part_t *self, size_t first)
{
    size_t i = first;
    while (i < self->n_tokens && self->tokens[i] != RUB_NO_WORD) {
        i++;
    }
    return i - first;
}

/* Of those that begin and end in the part: how many are sure, then the others. */
static void write_whole(const rub_word_part_t *self, size_t first, size_t last, uint64_t min_count,
                        rub_buf_t *out)
{
    uint64_t n_sure = 0;
    uint32_t n_others = 0;
    rub_buf_t others;
    rub_buf_init(&others);
    for (size_t at = first; at < last;) {
        const size_t n = sentence_words(self, at);
        if (is_sure(self, self->tokens + at, n, min_count)) {
            n_sure++;
        } else if (n > 0) {
            n_others++;
            write_sentence(self, self->tokens + at, n, min_count, &others);
        }
        at += n + 1;
    }
    rub_buf_u64(out, n_sure);
    rub_buf_u32(out, n_others);
    rub_buf_append(out, others.data, others.bytes);
    out->failed = out->failed || others.failed;
    rub_buf_fini(&others);
}

void rub_word_part_write(const rub_word_part_t *self, uint64_t min_count, rub_buf_t *out)
{
    const uint32_t n_words = (uint32_t)rub_vocabulary_size(self->words);
    rub_buf_u32(out, n_words);
    for (uint32_t i = 0; i < n_words; i++) {
        const char *word = rub_vocabulary_word(self->words, i);
        const size_t bytes = strlen(word);
        rub_buf_u32(out, (uint32_t)rub_vocabulary_count(self->words, i));
        rub_buf_u16(out, (uint16_t)bytes);
        rub_buf_append(out, word, bytes);
    }
    const size_t first = sentence_words(self, 0);
    const bool cut = first < self->n_tokens; /* else all of it is the middle of one sentence */
    size_t last = self->n_tokens;
    while (cut && self->tokens[last - 1] != RUB_NO_WORD) {
        last--;
    }
    write_sentence(self, self->tokens, first, min_count, out);
    rub_buf_u8(out, cut);
    if (cut) {
        write_whole(self, first + 1, last, min_count, out);
        write_sentence(self, self->tokens + last, self->n_tokens - last, min_count, out);
    }
}
