/* Slicing sparse batches, and finding their distinct keys.
 *
 * Why: the wire and the shards work by key, so a key that forty examples share must travel once;
 * and a sorted list of keys travels in few bytes and is known to have no duplicates
 * (common/wire/key_pack.h). Idea: where the keys that may be are not many more than the entries, a
 * bit for each: setting, reading and counting bits sorts them, and a key's place is the number of
 * bits before its own (a rank directory: Jacobson, FOCS 1989). Otherwise pairs (key, entry) are
 * sorted by radix, in as few passes as the greatest key of the batch needs.
 * Invariant: nothing is read outside the data set; keys ascend strictly and the bias is the last.
 */
#include "worker/data/sparse_batch.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/radix.h"

#include <inttypes.h>
#include <string.h>

enum {
    AHEAD = 8, /* examples: in a shuffled order the processor cannot guess the next */
    CACHE_LINE = 64,
    FIRST_ENTRIES = 1024
};

rub_sparse_batch_t *rub_sparse_batch_new(size_t capacity)
{
    RUB_ASSERT(capacity > 0);
    rub_sparse_batch_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->capacity = capacity;
    self->starts = rub_calloc(capacity + 1, sizeof *self->starts);
    self->labels = rub_calloc(capacity, sizeof *self->labels);
    if (self->starts == NULL || self->labels == NULL) {
        rub_sparse_batch_destroy(&self);
    }
    return self;
}

static void free_entries(rub_sparse_batch_t *self)
{
    rub_free(self->places);
    rub_free(self->values_room);
    rub_free(self->keys);
    rub_free(self->pairs);
    rub_free(self->scratch);
    rub_free(self->bits);
    rub_free(self->before);
}

void rub_sparse_batch_destroy(rub_sparse_batch_t **self_p)
{
    rub_sparse_batch_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->starts);
    rub_free(self->labels);
    rub_free(self->parts);
    free_entries(self);
    rub_free(self);
    *self_p = NULL;
}

static int check_range(const rub_sparse_batch_t *self, uint64_t n_places, uint64_t first,
                       size_t count, rub_error_t *err)
{
    if (count == 0 || count > self->capacity) {
        return rub_fail(err, RUB_EINVAL, "batch of %zu examples, expected 1 to %zu", count,
                        self->capacity);
    }
    if (first > n_places || count > n_places - first) {
        return rub_fail(err, RUB_EINVAL,
                        "batch of examples %" PRIu64 " to %" PRIu64 ", the data set has %" PRIu64,
                        first, first + (count - 1), n_places);
    }
    return 0;
}

static size_t example_at(const uint32_t *order, uint64_t first, size_t i)
{
    return order != NULL ? order[first + i] : (size_t)first + i;
}

/* Labels and starts; RUB_ELIMIT when entries can not be counted in 32 bits. */
static int lay_out(rub_sparse_batch_t *self, const rub_sparse_set_t *set, const uint32_t *order,
                   uint64_t first, size_t count, rub_error_t *err)
{
    uint64_t n_entries = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t example = example_at(order, first, i);
        if (i + AHEAD < count) {
            __builtin_prefetch(set->offsets + example_at(order, first, i + AHEAD));
        }
        self->starts[i] = (uint32_t)n_entries;
        self->labels[i] = set->labels[example];
        n_entries += set->offsets[example + 1] - set->offsets[example];
        if (n_entries > UINT32_MAX) {
            return rub_fail(err, RUB_ELIMIT,
                            "batch of %zu examples: they have more than %u entries", count,
                            UINT32_MAX);
        }
    }
    self->starts[count] = (uint32_t)n_entries;
    return 0;
}

/* Room for n entries; what the arrays held is of no use any more. */
static int make_room(rub_sparse_batch_t *self, size_t n, rub_error_t *err)
{
    if (n < self->entries_room) { /* below: the bias is one key more */
        return 0;
    }
    size_t room = self->entries_room > 0 ? self->entries_room : FIRST_ENTRIES;
    while (room <= n) {
        room *= 2;
    }
    free_entries(self);
    self->places = rub_calloc(room, sizeof *self->places);
    self->values_room = rub_calloc(room, sizeof *self->values_room);
    self->keys = rub_calloc(room, sizeof *self->keys);
    self->pairs = rub_calloc(room, sizeof *self->pairs);
    self->scratch = rub_calloc(room, sizeof *self->scratch);
    self->bits = rub_calloc(room, sizeof *self->bits);
    self->before = rub_calloc(room, sizeof *self->before);
    const bool whole = self->places && self->values_room && self->keys && self->pairs &&
                       self->scratch && self->bits && self->before;
    self->entries_room = whole ? room : 0;
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "batch: no memory for %zu entries", n);
}

static void prefetch_entries(const rub_sparse_set_t *set, size_t example)
{
    const uint64_t first = set->offsets[example];
    const uint64_t last = set->offsets[example + 1];
    const uint64_t step = CACHE_LINE / sizeof *set->keys;
    const uint64_t wanted = last - first < AHEAD * step ? last : first + AHEAD * step;
    for (uint64_t e = first; e < wanted; e += step) {
        __builtin_prefetch(set->keys + e);
        if (set->values != NULL) {
            __builtin_prefetch(set->values + e);
        }
    }
}

/* Keys, into places for now, and values. Returns a number that no key of the batch is above. */
static uint32_t gather(rub_sparse_batch_t *self, const rub_sparse_set_t *set, const uint32_t *order,
                       uint64_t first, size_t count)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD / 2 < count) {
            prefetch_entries(set, example_at(order, first, i + AHEAD / 2));
        }
        const uint64_t from = set->offsets[example_at(order, first, i)];
        const uint32_t start = self->starts[i];
        const uint32_t n = self->starts[i + 1] - start;
        for (uint32_t k = 0; k < n; k++) {
            self->places[start + k] = set->keys[from + k];
            bits |= set->keys[from + k];
        }
        if (set->values != NULL && n > 0) {
            memcpy(self->values_room + start, set->values + from, n * sizeof(float));
        }
    }
    return bits > 0 ? UINT32_MAX >> __builtin_clz(bits) : 0;
}

/* ---- keys close together: a bit for each that may be ---- */

static inline uint32_t ones(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(x * UINT64_C(0x0101010101010101) >> 56);
}

/* Reads the keys that have a bit, in order, and counts before each word. */
static size_t read_bits(rub_sparse_batch_t *self, size_t n_words)
{
    size_t n_keys = 0;
    for (size_t w = 0; w < n_words; w++) {
        self->before[w] = (uint32_t)n_keys;
        for (uint64_t left = self->bits[w]; left != 0; left &= left - 1) {
            self->keys[n_keys++] = w << 6 | (unsigned)__builtin_ctzll(left);
        }
    }
    return n_keys;
}

static size_t name_by_bits(rub_sparse_batch_t *self, size_t n, size_t n_words)
{
    memset(self->bits, 0, n_words * sizeof *self->bits);
    for (size_t e = 0; e < n; e++) {
        const uint32_t key = self->places[e];
        self->bits[key >> 6] |= UINT64_C(1) << (key & 63);
    }
    const size_t n_keys = read_bits(self, n_words);
    for (size_t e = 0; e < n; e++) {
        const uint32_t key = self->places[e];
        const uint64_t below = self->bits[key >> 6] & ((UINT64_C(1) << (key & 63)) - 1);
        self->places[e] = self->before[key >> 6] + ones(below);
    }
    return n_keys;
}

/* ---- keys far apart: sorted with their entries ---- */

static size_t name_by_sorting(rub_sparse_batch_t *self, size_t n, uint32_t greatest)
{
    for (size_t e = 0; e < n; e++) {
        self->pairs[e] = (uint64_t)self->places[e] << 32 | e;
    }
    const unsigned key_bits = greatest > 0 ? 32u - (unsigned)__builtin_clz(greatest) : 0;
    const uint64_t *const sorted = rub_radix_sort(self->pairs, self->scratch, n, 32, key_bits);
    size_t n_keys = 0;
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        const uint64_t key = sorted[i] >> 32;
        if (key != before) {
            self->keys[n_keys++] = key;
            before = key;
        }
        self->places[(uint32_t)sorted[i]] = (uint32_t)(n_keys - 1);
    }
    return n_keys;
}

/* Keys ascend, and own columns are numbered above the hash: so each has its stretch of them, in
 * which the number is said once instead. */
static int divide(rub_sparse_batch_t *self, const rub_sparse_set_t *set, rub_error_t *err)
{
    const uint64_t mask = (UINT64_C(1) << set->hash_bits) - 1;
    if (rub_grow(&self->parts, &self->parts_room, set->n_own + 2u, sizeof *self->parts) != 0) {
        return rub_fail(err, RUB_ENOMEM, "batch: no memory for %" PRIu32 " columns", set->n_own);
    }
    size_t at = 0;
    self->n_own = set->n_own;
    for (uint32_t own = 0; own < set->n_own; own++) {
        self->parts[own] = at;
        for (; at < self->n_keys && self->keys[at] >> set->hash_bits == own; at++) {
            self->keys[at] &= mask;
        }
    }
    self->parts[set->n_own] = at;
    for (; set->n_own > 0 && at < self->n_keys; at++) {
        self->keys[at] &= mask;
    }
    return 0;
}

/* order: of n_places examples of the set, or NULL for all of them as they stand. */
static int slice(rub_sparse_batch_t *self, const rub_sparse_set_t *set, const uint32_t *order,
                 uint64_t n_places, uint64_t first, size_t count, rub_error_t *err)
{
    self->count = 0;
    self->n_keys = 0;
    int rc = check_range(self, n_places, first, count, err);
    rc = rc ? rc : lay_out(self, set, order, first, count, err);
    const size_t n = rc == 0 ? self->starts[count] : 0;
    rc = rc ? rc : make_room(self, n, err);
    if (rc != 0) {
        return rc;
    }
    const uint32_t greatest = gather(self, set, order, first, count);
    const size_t n_words = ((size_t)greatest >> 6) + 1;
    self->n_keys = n_words <= self->entries_room ? name_by_bits(self, n, n_words)
                                                 : name_by_sorting(self, n, greatest);
    rc = divide(self, set, err);
    if (rc != 0) {
        return rc;
    }
    self->keys[self->n_keys++] = RUB_SPARSE_BIAS;
    self->parts[self->n_own + 1] = self->n_keys;
    self->values = set->values != NULL ? self->values_room : NULL;
    self->count = count;
    return 0;
}

int rub_sparse_batch_fill(rub_sparse_batch_t *self, const rub_sparse_set_t *set,
                          const rub_order_t *order, uint64_t first, size_t count, rub_error_t *err)
{
    if (order != NULL && rub_order_count(order) != set->n_examples) {
        self->count = 0;
        return rub_fail(err, RUB_EINVAL, "order of %zu examples, the data set has %zu",
                        rub_order_count(order), set->n_examples);
    }
    return slice(self, set, order != NULL ? rub_order_examples(order) : NULL, set->n_examples,
                 first, count, err);
}

int rub_sparse_batch_take(rub_sparse_batch_t *self, const rub_sparse_set_t *set,
                          const uint32_t *examples, size_t count, rub_error_t *err)
{
    for (size_t i = 0; i < count; i++) {
        RUB_ASSERT(examples[i] < set->n_examples);
    }
    return slice(self, set, examples, count, 0, count, err);
}
