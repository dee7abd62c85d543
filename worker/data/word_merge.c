/* Putting counted parts together.
 *
 * Counts of a word add up, and a vocabulary is ordered by counts and bytes alone; so it does not
 * matter who has counted what, and in which order it comes. An end of a sentence is a token when a
 * word that stays stands before it; `open` carries that over the borders of parts.
 *
 * Bytes come from tables that others write, so they are held against their bounds. */
#include "worker/data/word_merge.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/text_file.h"

rub_word_merge_t *rub_word_merge_new(uint32_t n_parts)
{
    rub_word_merge_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->n_parts = n_parts;
    self->words = rub_vocabulary_new();
    self->parts = rub_calloc(n_parts, sizeof *self->parts);
    if (self->words == NULL || self->parts == NULL) {
        rub_word_merge_destroy(&self);
    }
    return self;
}

void rub_word_merge_destroy(rub_word_merge_t **self_p)
{
    rub_word_merge_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t i = 0; self->parts != NULL && i < self->n_parts; i++) {
        rub_free(self->parts[i].numbers);
        rub_free(self->parts[i].counts);
        rub_free(self->parts[i].sentences);
    }
    rub_vocabulary_destroy(&self->words);
    rub_free(self->parts);
    rub_free(self);
    *self_p = NULL;
}

static int no_memory(const rub_merged_part_t *part, rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for a part's %u words", part->n_words);
}

static int malformed(uint32_t number, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "vocabulary: part %u of the text was not told as it should be",
                    number);
}

/* Could it stand in a text? */
static bool is_word(const char *word, size_t bytes)
{
    bool whole = bytes > 0 && bytes <= RUB_TEXT_WORD_LIMIT && !rub_text_bad_byte(word, bytes);
    for (size_t i = 0; i < bytes && whole; i++) {
        whole = !rub_text_is_space(word[i]);
    }
    return whole;
}

/* Room as the bytes that are left can fill, whatever they claim; and of words no more than a part
 * can have, so that sums over all parts do not overflow. */
static int take_words(rub_word_merge_t *self, rub_merged_part_t *part, uint32_t number,
                      rub_reader_t *in, rub_error_t *err)
{
    enum { LEAST_BYTES = 7 };
    part->n_words = rub_read_u32(in);
    if (in->failed || part->n_words > in->left / LEAST_BYTES) {
        return malformed(number, err);
    }
    part->numbers = rub_calloc(part->n_words + 1, sizeof *part->numbers);
    part->counts = rub_calloc(part->n_words + 1, sizeof *part->counts);
    if (part->numbers == NULL || part->counts == NULL) {
        return no_memory(part, err);
    }
    for (uint32_t i = 0; i < part->n_words; i++) {
        part->counts[i] = rub_read_u32(in);
        const uint16_t bytes = rub_read_u16(in);
        const char *word = rub_read_bytes(in, bytes);
        if (word == NULL || part->counts[i] == 0 || !is_word(word, bytes)) {
            return malformed(number, err);
        }
        part->words_read += part->counts[i];
        if (part->words_read > UINT32_MAX) {
            return malformed(number, err);
        }
        const int rc = rub_vocabulary_add_counted(self->words, word, bytes, part->counts[i],
                                                  &part->numbers[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* A sentence goes to part->sentences as it came, but with the numbers that words have here. */
static int take_sentence(rub_merged_part_t *part, uint32_t number, rub_reader_t *in)
{
    const uint32_t head = rub_read_u32(in);
    if (in->failed || (head > 0 && head - 1 > in->left / sizeof(uint32_t))) {
        return malformed(number, NULL);
    }
    part->sentences[part->n_sentences++] = head;
    for (uint32_t i = 1; i < head; i++) {
        const uint32_t word = rub_read_u32(in);
        if (word >= part->n_words) {
            return malformed(number, NULL);
        }
        part->sentences[part->n_sentences++] = part->numbers[word];
    }
    return 0;
}

static int take_sentences(rub_merged_part_t *part, uint32_t number, rub_reader_t *in,
                          rub_error_t *err)
{
    part->sentences = rub_calloc(in->left / sizeof(uint32_t) + 1, sizeof *part->sentences);
    if (part->sentences == NULL) {
        return no_memory(part, err);
    }
    int rc = take_sentence(part, number, in);
    part->cut = rc == 0 && rub_read_u8(in) != 0;
    if (part->cut) {
        part->n_sure = rub_read_u64(in);
        const uint32_t n = rub_read_u32(in);
        rc = part->n_sure <= part->words_read ? 0 : RUB_EDATA; /* each has a word */
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            rc = take_sentence(part, number, in);
        }
        rc = rc ? rc : take_sentence(part, number, in);
    }
    return rc || in->failed || in->left > 0 ? malformed(number, err) : 0;
}

int rub_word_merge_add(rub_word_merge_t *self, uint32_t number, const void *data, size_t bytes,
                       rub_error_t *err)
{
    RUB_ASSERT(number < self->n_parts);
    rub_merged_part_t *part = &self->parts[number];
    rub_reader_t in;
    RUB_ASSERT(!part->here);
    rub_reader_init(&in, data, bytes);
    int rc = take_words(self, part, number, &in, err);
    rc = rc ? rc : take_sentences(part, number, &in, err);
    part->here = true;
    self->n_here++;
    return rc;
}

/* ---- settling ---- */

/* Reads the sentence at *at_p: does a word of it stay? */
static bool stays(const rub_merged_part_t *part, const uint32_t *settled, size_t *at_p)
{
    const uint32_t head = part->sentences[(*at_p)++];
    bool any = head == 0;
    for (uint32_t i = 1; i < head; i++) {
        any = settled[part->sentences[(*at_p)++]] != RUB_NO_WORD || any;
    }
    return any;
}

/* open_p: before the part, then behind it, has a sentence begun that has a word? */
static uint64_t count_ends(const rub_merged_part_t *part, const uint32_t *settled, bool *open_p)
{
    size_t at = 0;
    uint64_t ends = 0;
    *open_p = stays(part, settled, &at) || *open_p;
    if (!part->cut) {
        return 0;
    }
    ends = part->n_sure + *open_p;
    *open_p = false;
    while (at < part->n_sentences) {
        *open_p = stays(part, settled, &at);
        ends += *open_p;
    }
    return ends - *open_p; /* the last one goes on behind the part */
}

static void settle_part(rub_merged_part_t *part, const uint32_t *settled, bool *open_p)
{
    part->open = *open_p;
    part->n_tokens = count_ends(part, settled, open_p);
    for (uint32_t i = 0; i < part->n_words; i++) {
        part->numbers[i] = settled[part->numbers[i]];
        part->n_words_left += part->numbers[i] != RUB_NO_WORD ? part->counts[i] : 0;
    }
    part->n_tokens += part->n_words_left;
    rub_free(part->counts);
    rub_free(part->sentences);
    part->counts = part->sentences = NULL;
}

int rub_word_merge_settle(rub_word_merge_t *self, uint64_t min_count, rub_error_t *err)
{
    uint32_t *settled = NULL;
    bool open = false;
    RUB_ASSERT(self->n_here == self->n_parts);
    const int rc = rub_vocabulary_settle(self->words, min_count, &settled, err);
    for (uint32_t i = 0; rc == 0 && i < self->n_parts; i++) {
        rub_merged_part_t *part = &self->parts[i];
        part->first_token = self->n_tokens;
        settle_part(part, settled, &open);
        self->n_tokens += part->n_tokens;
        self->n_words += part->n_words_left;
        self->words_read += part->words_read;
    }
    rub_free(settled);
    return rc;
}
