/* N-grams of words. fastText's rules are kept to the letter, since ids are what files of vectors
 * share: bytes are hashed as signed (beyond ASCII that differs from FNV-1a), `<` or `>` alone is no
 * n-gram, and the whole of `<word>` is one when it is short enough.
 *
 * A vocabulary meets few of the buckets, so those that it meets are numbered anew, in ascending
 * order: what holds vectors of n-grams is as large as they are many, not as there are buckets. */
#include "worker/data/subwords.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FNV_BASIS UINT32_C(2166136261)
#define FNV_PRIME UINT32_C(16777619)

int rub_subword_spec_check(const rub_subword_spec_t *spec, rub_error_t *err)
{
    if (spec->maxn == 0) {
        return 0;
    }
    if (spec->minn < 1 || spec->minn > spec->maxn || spec->maxn > RUB_SUBWORD_LENGTH_LIMIT) {
        return rub_fail(err, RUB_EINVAL,
                        "n-grams of %" PRIu32 " to %" PRIu32 " characters (minn, maxn), expected 1 "
                        "to %u, the smaller first",
                        spec->minn, spec->maxn, RUB_SUBWORD_LENGTH_LIMIT);
    }
    if (spec->buckets < 1 || spec->buckets > RUB_SUBWORD_BUCKETS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "n-grams in %" PRIu32 " buckets, expected 1 to %u",
                        spec->buckets, RUB_SUBWORD_BUCKETS_LIMIT);
    }
    return 0;
}

/* Inside a character of UTF-8? */
static bool continues(char c)
{
    return ((unsigned char)c & 0xc0u) == 0x80u;
}

size_t rub_subwords_of(const rub_subword_spec_t *spec, const char *word, size_t bytes,
                       uint32_t *ids)
{
    char text[RUB_TEXT_WORD_LIMIT + 2];
    const size_t end = bytes + 2;
    size_t n_ids = 0;
    RUB_ASSERT(bytes <= RUB_TEXT_WORD_LIMIT);
    text[0] = '<';
    memcpy(text + 1, word, bytes);
    text[end - 1] = '>';
    for (size_t i = 0; i < end; i++) {
        uint32_t hash = FNV_BASIS;
        size_t at = i;
        for (uint32_t n = 1; n <= spec->maxn && at < end && !continues(text[i]); n++) {
            do {
                hash = (hash ^ (uint32_t)(int8_t)text[at++]) * FNV_PRIME;
            } while (at < end && continues(text[at]));
            if (n >= spec->minn && !(n == 1 && (i == 0 || at == end))) {
                ids[n_ids++] = hash % spec->buckets;
            }
        }
    }
    return n_ids;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int no_memory(size_t n_words, rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory for the n-grams of %zu words", n_words);
}

/* Buckets of all words into grams; first says whose they are. */
static int list(rub_subwords_t *self, const rub_vocabulary_t *words, uint32_t *ids,
                rub_error_t *err)
{
    const size_t n_words = rub_vocabulary_size(words);
    size_t room = 0;
    for (size_t w = 0; w < n_words; w++) {
        const char *word = rub_vocabulary_word(words, (uint32_t)w);
        const size_t n = rub_subwords_of(&self->spec, word, strlen(word), ids);
        const size_t first = self->first[w];
        if (first + n > UINT32_MAX) {
            return rub_fail(err, RUB_EDATA, "more than %u n-grams in %zu words", UINT32_MAX, w);
        }
        if (rub_grow(&self->grams, &room, first + n + 1, sizeof *self->grams) != 0) {
            return no_memory(n_words, err);
        }
        memcpy(self->grams + first, ids, n * sizeof *ids);
        self->first[w + 1] = first + n;
        self->most = n > self->most ? n : self->most;
    }
    return 0;
}

/* Buckets that were met get numbers, and grams becomes these. */
static int number(rub_subwords_t *self, size_t n_words, rub_error_t *err)
{
    const size_t n = self->first[n_words];
    self->buckets = rub_calloc(n + 1, sizeof *self->buckets);
    if (self->buckets == NULL) {
        return no_memory(n_words, err);
    }
    for (size_t i = 0; i < n; i++) {
        self->buckets[i] = self->grams[i];
    }
    qsort(self->buckets, n, sizeof *self->buckets, by_number);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || self->buckets[i] != self->buckets[self->n_buckets - 1]) {
            self->buckets[self->n_buckets++] = self->buckets[i];
        }
    }
    for (size_t i = 0; i < n; i++) {
        const uint64_t bucket = self->grams[i];
        const uint64_t *found =
            bsearch(&bucket, self->buckets, self->n_buckets, sizeof bucket, by_number);
        self->grams[i] = (uint32_t)(found - self->buckets);
    }
    return 0;
}

int rub_subwords_new(const rub_subword_spec_t *spec, const rub_vocabulary_t *words,
                     rub_subwords_t **self_p, rub_error_t *err)
{
    const size_t n_words = rub_vocabulary_size(words);
    rub_subwords_t *self = rub_calloc(1, sizeof *self);
    uint32_t *ids = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof *ids);
    *self_p = NULL;
    if (self != NULL) {
        self->spec = *spec;
        self->first = rub_calloc(n_words + 1, sizeof *self->first);
    }
    int rc = self == NULL || self->first == NULL || ids == NULL ? no_memory(n_words, err) : 0;
    rc = rc ? rc : list(self, words, ids, err);
    rc = rc ? rc : number(self, n_words, err);
    rub_free(ids);
    if (rc) {
        rub_subwords_destroy(&self);
    }
    *self_p = self;
    return rc;
}

void rub_subwords_destroy(rub_subwords_t **self_p)
{
    rub_subwords_t *self = *self_p;
    if (self != NULL) {
        rub_free(self->first);
        rub_free(self->grams);
        rub_free(self->buckets);
        rub_free(self);
        *self_p = NULL;
    }
}
