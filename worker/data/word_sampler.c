/* Sampling words.
 *
 * One Philox block serves two tokens: a number that decides whether the word stays, compared with a
 * threshold per word made beforehand, and one that says how far it looks. Words that stay close up;
 * so windows reach as far as in word2vec, over dropped words. Invariant: before[i] and behind[i]
 * never reach over a sentence's end or out of the slice. */
#include "worker/data/word_sampler.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "worker/data/alias_table.h"

#include <inttypes.h>
#include <math.h>

/* Keep these streams of a seed apart from all others: "words", "negat" and others in ASCII, above
 * any data epoch. */
#define WORDS_STREAM (UINT64_C(0x776f726473) << 24)
#define RUNS_STREAM (UINT64_C(0x72756e73) << 24) /* "runs" */
#define NEGATIVES_STREAM (UINT64_C(0x6e65676174) << 24)

struct rub_word_sampler {
    uint32_t window;
    uint64_t seed;
    rub_alias_table_t *negatives;
    uint64_t stays[]; /* of 2^32 draws so many; by word */
};

static uint64_t stays_of(double fraction, double sample)
{
    const double rare = sample / fraction; /* word2vec's (sqrt(1 / rare) + 1) rare, always finite */
    const double keep = sample > 0 ? sqrt(rare) + rare : 1;
    return keep >= 1 ? UINT64_C(1) << 32 : (uint64_t)(keep * 0x1p32);
}

static rub_alias_table_t *new_negatives(const uint64_t *counts, size_t n)
{
    double *weights = rub_alloc(n * sizeof *weights);
    if (weights == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const double root = sqrt((double)counts[i]);
        weights[i] = root * sqrt(root);
    }
    rub_alias_table_t *table = rub_alias_table_new(weights, n);
    rub_free(weights);
    return table;
}

int rub_word_sampler_new(const rub_vocabulary_t *vocabulary, uint32_t window, double sample,
                         uint64_t seed, rub_word_sampler_t **self_p, rub_error_t *err)
{
    const size_t n = rub_vocabulary_size(vocabulary);
    const uint64_t *counts = rub_vocabulary_counts(vocabulary);
    uint64_t all = 0;
    *self_p = NULL;
    RUB_ASSERT(n > 0);
    if (window < 1 || window > RUB_WINDOW_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "words with a window of %" PRIu32 ", expected 1 to %u",
                        window, RUB_WINDOW_LIMIT);
    }
    if (!(sample >= 0)) {
        return rub_fail(err, RUB_EINVAL, "words with a sample of %g, expected 0 or more", sample);
    }
    rub_word_sampler_t *self = rub_calloc(1, sizeof *self + n * sizeof self->stays[0]);
    if (self != NULL) {
        self->negatives = new_negatives(counts, n);
    }
    if (self == NULL || self->negatives == NULL) {
        rub_word_sampler_destroy(&self);
        return rub_fail(err, RUB_ENOMEM, "words: no memory for a vocabulary of %zu", n);
    }
    self->window = window;
    self->seed = seed;
    for (size_t i = 0; i < n; i++) {
        all += counts[i];
    }
    for (size_t i = 0; i < n; i++) {
        self->stays[i] = stays_of((double)counts[i] / (double)all, sample);
    }
    *self_p = self;
    return 0;
}

void rub_word_sampler_destroy(rub_word_sampler_t **self_p)
{
    if (*self_p != NULL) {
        rub_alias_table_destroy(&(*self_p)->negatives);
        rub_free(*self_p);
        *self_p = NULL;
    }
}

rub_word_slice_t *rub_word_slice_new(size_t capacity)
{
    rub_word_slice_t *slice = rub_calloc(1, sizeof *slice);
    if (slice == NULL) {
        return NULL;
    }
    slice->capacity = capacity;
    slice->words = rub_calloc(capacity, sizeof *slice->words);
    slice->before = rub_calloc(capacity, sizeof *slice->before);
    slice->behind = rub_calloc(capacity, sizeof *slice->behind);
    if (slice->words == NULL || slice->before == NULL || slice->behind == NULL) {
        rub_word_slice_destroy(&slice);
    }
    return slice;
}

void rub_word_slice_destroy(rub_word_slice_t **slice_p)
{
    rub_word_slice_t *slice = *slice_p;
    if (slice != NULL) {
        rub_free(slice->words);
        rub_free(slice->before);
        rub_free(slice->behind);
        rub_free(slice);
        *slice_p = NULL;
    }
}

/* Words [first, n) of the slice are a sentence, or what the slice has of it: until now before[]
 * says how far each looks. */
static void close_sentence(rub_word_slice_t *slice, size_t first)
{
    for (size_t i = first; i < slice->n_words; i++) {
        const size_t reach = slice->before[i];
        const size_t in_front = i - first;
        const size_t follow = slice->n_words - 1 - i;
        slice->before[i] = (uint8_t)(reach < in_front ? reach : in_front);
        slice->behind[i] = (uint8_t)(reach < follow ? reach : follow);
    }
}

rub_word_run_t rub_word_sampler_run(const rub_word_sampler_t *self, rub_sampling_t how,
                                    size_t n_tokens, uint64_t data_epoch, size_t place, size_t most)
{
    RUB_ASSERT(place < n_tokens);
    size_t first = place, count = n_tokens - place;
    if (how == RUB_REPLACED) {
        rub_rng_t rng;
        rub_rng_init(&rng, self->seed, rub_mix64(RUNS_STREAM + data_epoch) + place / RUB_WORD_RUN);
        first = (size_t)((rub_rng_below(&rng, n_tokens) + place % RUB_WORD_RUN) % n_tokens);
        const size_t left = RUB_WORD_RUN - place % RUB_WORD_RUN;
        count = left < n_tokens - first ? left : n_tokens - first;
    }
    return (rub_word_run_t){first, count < most ? count : most};
}

/* tokens: of n places of the order from `first` on. What is drawn is the place's. */
static void add_run(const rub_word_sampler_t *self, const uint32_t *tokens, uint64_t data_epoch,
                    size_t first, size_t n, rub_word_slice_t *slice)
{
    uint32_t random[4];
    size_t sentence = slice->n_words;
    for (size_t i = first; i < first + n; i++) {
        const uint32_t word = tokens[i - first];
        if (i == first || i % 2 == 0) {
            rub_philox(self->seed, WORDS_STREAM + data_epoch, i / 2, random);
        }
        if (word == RUB_SENTENCE_END) {
            close_sentence(slice, sentence);
            sentence = slice->n_words;
            continue;
        }
        const uint32_t *draws = random + 2 * (i % 2);
        if (draws[0] < self->stays[word]) {
            slice->words[slice->n_words] = word;
            slice->before[slice->n_words++] =
                (uint8_t)(1 + ((uint64_t)draws[1] * self->window >> 32));
        }
    }
    close_sentence(slice, sentence);
}

void rub_word_sampler_slice(const rub_word_sampler_t *self, const rub_corpus_t *corpus,
                            rub_sampling_t how, uint64_t data_epoch, size_t first, size_t count,
                            rub_word_slice_t *slice)
{
    RUB_ASSERT(first <= corpus->n_tokens);
    RUB_ASSERT(count <= corpus->n_tokens - first);
    RUB_ASSERT(count <= slice->capacity);
    slice->n_words = 0;
    for (size_t done = 0; done < count;) {
        const rub_word_run_t run = rub_word_sampler_run(self, how, corpus->n_tokens, data_epoch,
                                                        first + done, count - done);
        add_run(self, corpus->tokens + run.first, data_epoch, first + done, run.count, slice);
        done += run.count;
    }
}

void rub_word_sampler_negatives(const rub_word_sampler_t *self, uint64_t data_epoch, size_t first,
                                size_t n, uint32_t *words)
{
    rub_rng_t rng;
    rub_rng_init(&rng, self->seed, rub_mix64(NEGATIVES_STREAM + data_epoch) + first);
    for (size_t i = 0; i < n; i++) {
        words[i] = rub_alias_table_draw(self->negatives, rub_rng_u64(&rng));
    }
}
