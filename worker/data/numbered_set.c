/* A bit for each key that may be, and a count before each word of them: a key's number is the count
 * of bits before its own (a rank directory: Jacobson, FOCS 1989), so one pass finds what there is
 * and a second one writes the numbers.
 *
 * Invariant: numbers ascend as keys do, so a batch of the numbered set lists the same features at
 * the same places as one of the first set. */
#include "worker/data/numbered_set.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <inttypes.h>

typedef struct ranks {
    uint64_t *bits;
    uint32_t *before; /* bits in all earlier words */
    size_t n_words;
    size_t n; /* bits that are set */
} ranks_t;

static size_t rank_of(const ranks_t *self, uint64_t key)
{
    const uint64_t below = self->bits[key >> 6] & ((UINT64_C(1) << (key & 63)) - 1);
    return self->before[key >> 6] + (size_t)__builtin_popcountll(below);
}

/* Of all keys below this one, which may be above the greatest. */
static size_t count_below(const ranks_t *self, uint64_t key)
{
    return key >> 6 < self->n_words ? rank_of(self, key) : self->n;
}

static int rank(const rub_sparse_set_t *set, ranks_t *self)
{
    const uint64_t n_entries = set->offsets[set->n_examples];
    self->n_words = ((size_t)set->greatest_key >> 6) + 1;
    self->bits = rub_calloc(self->n_words, sizeof *self->bits);
    self->before = rub_calloc(self->n_words, sizeof *self->before);
    if (self->bits == NULL || self->before == NULL) {
        return RUB_ENOMEM;
    }
    for (uint64_t e = 0; e < n_entries; e++) {
        self->bits[set->keys[e] >> 6] |= UINT64_C(1) << (set->keys[e] & 63);
    }
    for (size_t w = 0; w < self->n_words; w++) {
        self->before[w] = (uint32_t)self->n;
        self->n += (size_t)__builtin_popcountll(self->bits[w]);
    }
    return 0;
}

static void name(const rub_sparse_set_t *set, const ranks_t *ranks, rub_numbered_set_t *self)
{
    const uint32_t mask =
        set->n_own > 0 ? (uint32_t)((UINT64_C(1) << set->hash_bits) - 1) : UINT32_MAX;
    size_t n = 0;
    for (size_t w = 0; w < ranks->n_words; w++) {
        for (uint64_t left = ranks->bits[w]; left != 0; left &= left - 1) {
            self->names[n++] = (uint32_t)(w << 6 | (unsigned)__builtin_ctzll(left)) & mask;
        }
    }
    for (uint32_t i = 0; i <= set->n_own; i++) {
        self->parts[i] = count_below(ranks, (uint64_t)i << set->hash_bits);
    }
    self->parts[set->n_own + 1] = ranks->n;
}

static void number(const rub_sparse_set_t *set, const ranks_t *ranks, rub_numbered_set_t *self)
{
    const uint64_t n_entries = set->offsets[set->n_examples];
    self->set.greatest_key = 0;
    for (uint64_t e = 0; e < n_entries; e++) {
        const uint64_t key = set->keys[e];
        const uint64_t column = set->n_own > 0 ? key >> set->hash_bits : 0;
        const uint32_t numbered =
            (uint32_t)(column << set->hash_bits | (rank_of(ranks, key) - self->parts[column]));
        self->set.keys[e] = numbered;
        if (numbered > self->set.greatest_key) {
            self->set.greatest_key = numbered;
        }
    }
}

int rub_numbered_set_open(const rub_sparse_set_t *set, rub_numbered_set_t *self, rub_error_t *err)
{
    const uint64_t n_entries = set->offsets[set->n_examples];
    ranks_t ranks = {0};
    *self = (rub_numbered_set_t){.set = *set};
    self->set.keys = rub_calloc((size_t)n_entries + 1, sizeof *self->set.keys);
    int rc = self->set.keys != NULL ? rank(set, &ranks) : RUB_ENOMEM;
    if (rc == 0) {
        self->names = rub_calloc(ranks.n + 1, sizeof *self->names);
        self->parts = rub_calloc(set->n_own + 2u, sizeof *self->parts);
        rc = self->names != NULL && self->parts != NULL ? 0 : RUB_ENOMEM;
    }
    if (rc == 0) {
        name(set, &ranks, self);
        number(set, &ranks, self);
    } else {
        rc = rub_fail(err, RUB_ENOMEM, "no memory to number the keys of %" PRIu64 " entries",
                      n_entries);
    }
    rub_free(ranks.bits);
    rub_free(ranks.before);
    return rc;
}

void rub_numbered_set_close(rub_numbered_set_t *self)
{
    rub_free(self->set.keys);
    rub_free(self->names);
    rub_free(self->parts);
    *self = (rub_numbered_set_t){0};
}
