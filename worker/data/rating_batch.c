/* Cutting batches of ratings.
 *
 * Why negatives are shared within a chunk: its scores against them are one matrix product. What is
 * drawn for all may be what one of them has chosen; whether it is, is found out here, where the
 * data are, by the shorter way: the user's items against the drawn ones by a map, or the drawn ones
 * in the user's sorted items. Invariant: the maps are clean between calls. */
#include "worker/data/rating_batch.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

#include <string.h>

/* Keeps this stream of a seed apart from all others: "items" in ASCII, above any data epoch. */
#define NEGATIVES_STREAM (UINT64_C(0x6974656d73) << 24)
#define STEPS_OF_A_SEARCH                                                                          \
    16u /* a binary search among a user's items costs about as much as so many                     \
           looks into the map */

static size_t negatives_of(const rub_rating_plan_t *plan)
{
    return plan->uniform + plan->from_chunk;
}

/* A map from numbers to rows, clean. */
static uint32_t *numbers_new(size_t n)
{
    uint32_t *numbers = rub_alloc((n + 1) * sizeof *numbers);
    if (numbers != NULL) {
        memset(numbers, 0xff, (n + 1) * sizeof *numbers);
    }
    return numbers;
}

rub_rating_batch_t *rub_rating_batch_new(const rub_rating_plan_t *plan, const rub_rating_set_t *set,
                                         size_t capacity)
{
    rub_rating_batch_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    RUB_ASSERT(plan->chunk > 0);
    const size_t n_users = rub_vocabulary_size(set->users);
    const size_t n_items = rub_vocabulary_size(set->items);
    const size_t chunks = (capacity + plan->chunk - 1) / plan->chunk;
    const size_t most_items = capacity + chunks * plan->uniform;
    self->plan = *plan;
    self->capacity = capacity;
    self->users = rub_calloc(capacity, sizeof *self->users);
    self->items = rub_calloc(capacity, sizeof *self->items);
    self->values = rub_calloc(capacity, sizeof *self->values);
    self->negatives = rub_calloc(chunks * negatives_of(plan) + 1, sizeof *self->negatives);
    self->skip_starts = rub_calloc(capacity + 1, sizeof *self->skip_starts);
    self->user_keys = rub_calloc(capacity < n_users ? capacity : n_users, sizeof *self->user_keys);
    self->item_keys =
        rub_calloc(most_items < n_items ? most_items : n_items, sizeof *self->item_keys);
    self->row_of_user = numbers_new(n_users);
    self->row_of_item = numbers_new(n_items);
    self->places = rub_calloc(n_items, sizeof *self->places);
    self->same = rub_calloc(negatives_of(plan) + 1, sizeof *self->same);
    if (!self->users || !self->items || !self->values || !self->negatives || !self->skip_starts ||
        !self->user_keys || !self->item_keys || !self->row_of_user || !self->row_of_item ||
        !self->places || !self->same) {
        rub_rating_batch_destroy(&self);
    }
    return self;
}

void rub_rating_batch_destroy(rub_rating_batch_t **self_p)
{
    rub_rating_batch_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->users);
    rub_free(self->items);
    rub_free(self->values);
    rub_free(self->negatives);
    rub_free(self->skip_starts);
    rub_free(self->skips);
    rub_free(self->user_keys);
    rub_free(self->item_keys);
    rub_free(self->row_of_user);
    rub_free(self->row_of_item);
    rub_free(self->places);
    rub_free(self->same);
    rub_free(self);
    *self_p = NULL;
}

static uint32_t row_of(uint32_t number, uint32_t *rows, uint64_t *keys, size_t *n_p)
{
    if (rows[number] == RUB_NO_WORD) {
        rows[number] = (uint32_t)*n_p;
        keys[(*n_p)++] = number;
    }
    return rows[number];
}

/* Numbers of items into out, not rows. */
static void draw(const rub_rating_batch_t *self, size_t first, size_t n, size_t n_items,
                 rub_rng_t *rng, uint32_t *out)
{
    for (size_t i = 0; i < self->plan.uniform; i++) {
        *out++ = (uint32_t)rub_rng_below(rng, n_items);
    }
    for (size_t i = 0; i < self->plan.from_chunk; i++) {
        *out++ = (uint32_t)self->item_keys[self->items[first + rub_rng_below(rng, n)]];
    }
}

static bool has(const uint32_t *known, size_t n, uint32_t item)
{
    size_t first = 0;
    for (size_t left = n; left > 0;) {
        const size_t half = left / 2;
        const bool below = known[first + half] < item;
        first += below ? half + 1 : 0;
        left = below ? left - half - 1 : half;
    }
    return first < n && known[first] == item;
}

static int skip(rub_rating_batch_t *self, size_t *n_p, uint32_t place, rub_error_t *err)
{
    if (rub_grow(&self->skips, &self->skips_room, *n_p + 1, sizeof *self->skips) != 0) {
        return rub_fail(err, RUB_ENOMEM, "training: no memory for %zu negatives that are none",
                        *n_p);
    }
    self->skips[(*n_p)++] = place;
    return 0;
}

/* The drawn items of a chunk that this user has in training. */
static int find_skips(rub_rating_batch_t *self, const rub_rating_set_t *set, uint32_t user,
                      const uint32_t *drawn, size_t *n_p, rub_error_t *err)
{
    const size_t m = negatives_of(&self->plan);
    size_t n = 0;
    const uint32_t *known = rub_rating_set_known(set, user, &n);
    int rc = 0;
    if (n > STEPS_OF_A_SEARCH * m) {
        for (size_t j = 0; j < m && rc == 0; j++) {
            rc = has(known, n, drawn[j]) ? skip(self, n_p, (uint32_t)j, err) : 0;
        }
        return rc;
    }
    for (size_t k = 0; k < n && rc == 0; k++) {
        const bool again = k > 0 && known[k] == known[k - 1];
        for (uint32_t p = again ? 0 : self->places[known[k]]; p != 0 && rc == 0;
             p = self->same[p - 1]) {
            rc = skip(self, n_p, p - 1, err);
        }
    }
    return rc;
}

/* Draws for ratings [first, first + n), which have their rows. */
static int fill_chunk(rub_rating_batch_t *self, const rub_rating_set_t *set, size_t first, size_t n,
                      rub_rng_t *rng, rub_error_t *err)
{
    const size_t m = negatives_of(&self->plan);
    uint32_t *const drawn = self->negatives + first / self->plan.chunk * m;
    int rc = 0;
    draw(self, first, n, rub_vocabulary_size(set->items), rng, drawn);
    for (size_t j = 0; j < m; j++) { /* places[item]: its last draw + 1; same: the one before */
        self->same[j] = self->places[drawn[j]];
        self->places[drawn[j]] = (uint32_t)j + 1;
    }
    for (size_t i = first; i < first + n && rc == 0; i++) {
        size_t end = self->skip_starts[i];
        rc = find_skips(self, set, (uint32_t)self->user_keys[self->users[i]], drawn, &end, err);
        self->skip_starts[i + 1] = end;
    }
    for (size_t j = 0; j < m; j++) {
        self->places[drawn[j]] = 0;
        drawn[j] = row_of(drawn[j], self->row_of_item, self->item_keys, &self->n_items);
    }
    return rc;
}

int rub_rating_batch_fill(rub_rating_batch_t *self, const rub_rating_set_t *set,
                          const uint32_t *order, uint64_t data_epoch, size_t first, size_t count,
                          rub_error_t *err)
{
    const size_t chunk = self->plan.chunk;
    const bool draws = negatives_of(&self->plan) > 0;
    rub_rng_t rng;
    int rc = 0;
    RUB_ASSERT(count <= self->capacity);
    rub_rng_init(&rng, self->plan.seed, rub_mix64(NEGATIVES_STREAM + data_epoch) + first);
    self->n = count;
    self->n_users = self->n_items = 0;
    for (size_t i = 0; i < count; i++) {
        const rub_rating_t *rating = &set->train.items[order[first + i]];
        self->users[i] = row_of(rating->user, self->row_of_user, self->user_keys, &self->n_users);
        self->items[i] = row_of(rating->item, self->row_of_item, self->item_keys, &self->n_items);
        self->values[i] = rating->value;
    }
    self->n_chunks = (count + chunk - 1) / chunk;
    self->skip_starts[0] = 0;
    for (size_t c = 0; c < self->n_chunks && draws && rc == 0; c++) {
        const size_t left = count - c * chunk;
        rc = fill_chunk(self, set, c * chunk, left < chunk ? left : chunk, &rng, err);
    }
    for (size_t i = 0; i < self->n_users; i++) {
        self->row_of_user[self->user_keys[i]] = RUB_NO_WORD;
    }
    for (size_t i = 0; i < self->n_items; i++) {
        self->row_of_item[self->item_keys[i]] = RUB_NO_WORD;
    }
    return rc;
}
