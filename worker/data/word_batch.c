/* Numbering the rows of a batch: one look at a map of the vocabulary per word, and the map is
 * cleaned by the keys that were met, so that a batch costs nothing for words that it does not have.
 * Invariant: rows[i] and negatives[i] are places in keys. */
#include "worker/data/word_batch.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

static size_t negatives_of(const rub_word_batch_t *self, size_t n_words)
{
    return (n_words + self->block_words - 1) / self->block_words * self->block_negatives;
}

static bool make_gram_room(rub_word_batch_t *self, size_t capacity, size_t n_words)
{
    const rub_subwords_t *subwords = self->subwords;
    const size_t most_words = capacity < n_words ? capacity : n_words;
    const size_t most =
        most_words < SIZE_MAX / (subwords->most + 1) ? most_words * subwords->most : SIZE_MAX;
    const size_t all = subwords->first[n_words];
    self->grams_capacity = most < all ? most : all;
    self->first_gram = rub_calloc(most_words + 1, sizeof *self->first_gram);
    self->grams = rub_calloc(self->grams_capacity + 1, sizeof *self->grams);
    self->gram_keys = rub_calloc(self->grams_capacity + 1, sizeof *self->gram_keys);
    return self->first_gram && self->grams && self->gram_keys;
}

rub_word_batch_t *rub_word_batch_new(size_t capacity, size_t n_words, size_t block_words,
                                     size_t block_negatives, const rub_subwords_t *subwords)
{
    rub_word_batch_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->subwords = subwords;
    self->n_words = n_words;
    self->block_words = block_words;
    self->block_negatives = block_negatives;
    const size_t negatives = negatives_of(self, capacity);
    const size_t most = capacity + negatives;
    self->keys_capacity = most < n_words ? most : n_words;
    self->slice = rub_word_slice_new(capacity);
    self->rows = rub_calloc(capacity, sizeof *self->rows);
    self->negatives = rub_calloc(negatives, sizeof *self->negatives);
    self->keys = rub_calloc(self->keys_capacity, sizeof *self->keys);
    if (!self->slice || !self->rows || !self->negatives || !self->keys ||
        (subwords && !make_gram_room(self, capacity, n_words))) {
        rub_word_batch_destroy(&self);
    }
    return self;
}

void rub_word_batch_destroy(rub_word_batch_t **self_p)
{
    rub_word_batch_t *self = *self_p;
    if (self != NULL) {
        rub_word_slice_destroy(&self->slice);
        rub_free(self->rows);
        rub_free(self->negatives);
        rub_free(self->keys);
        rub_free(self->first_gram);
        rub_free(self->grams);
        rub_free(self->gram_keys);
        rub_free(self);
        *self_p = NULL;
    }
}

/* Words become rows. */
static void number(rub_word_batch_t *self, const uint32_t *words, size_t n, uint32_t *rows,
                   uint32_t *row_of)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t word = words[i];
        if (row_of[word] == RUB_NO_WORD) {
            RUB_ASSERT(self->n_out < self->keys_capacity);
            row_of[word] = (uint32_t)self->n_out;
            self->keys[self->n_out++] = word;
        }
        rows[i] = row_of[word];
    }
}

/* N-grams of the batch's words become rows. row_of: of buckets. */
static void number_grams(rub_word_batch_t *self, uint32_t *row_of)
{
    const rub_subwords_t *subwords = self->subwords;
    size_t n = 0;
    self->n_grams = 0;
    for (size_t i = 0; i < self->n_in; i++) {
        const size_t word = (size_t)self->keys[i];
        self->first_gram[i] = n;
        for (size_t at = subwords->first[word]; at < subwords->first[word + 1]; at++) {
            const uint32_t gram = subwords->grams[at];
            if (row_of[gram] == RUB_NO_WORD) {
                RUB_ASSERT(self->n_grams < self->grams_capacity);
                row_of[gram] = (uint32_t)self->n_grams;
                self->gram_keys[self->n_grams++] = gram;
            }
            self->grams[n++] = row_of[gram];
        }
    }
    self->first_gram[self->n_in] = n;
    for (size_t i = 0; i < self->n_grams; i++) {
        const size_t gram = (size_t)self->gram_keys[i];
        row_of[gram] = RUB_NO_WORD;
        self->gram_keys[i] = subwords->buckets[gram];
    }
}

void rub_word_batch_fill(rub_word_batch_t *self, const rub_word_sampler_t *sampler,
                         const rub_corpus_t *corpus, rub_sampling_t how, uint64_t data_epoch,
                         size_t first, size_t count, uint32_t *row_of)
{
    rub_word_sampler_slice(sampler, corpus, how, data_epoch, first, count, self->slice);
    self->n_negatives = negatives_of(self, self->slice->n_words);
    rub_word_sampler_negatives(sampler, data_epoch, first, self->n_negatives, self->negatives);
    self->n_out = 0;
    number(self, self->slice->words, self->slice->n_words, self->rows, row_of);
    self->n_in = self->n_out;
    number(self, self->negatives, self->n_negatives, self->negatives, row_of);
    for (size_t i = 0; i < self->n_out; i++) {
        row_of[self->keys[i]] = RUB_NO_WORD;
    }
    if (self->subwords != NULL) {
        number_grams(self, row_of + self->n_words);
    }
}
