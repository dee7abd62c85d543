/* A rank has one period open, and with a prefetch two; a copy is emptied and taken over by the next
 * period as soon as its own is over, so that in the long run next to nothing is allocated. Rows are
 * noted in the order in which they are given and found through places, a hash of their ids.
 *
 * Invariant: bytes is what all copies have allocated; each of a copy's n rows has its place. */
#include "ps/seen_sums.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <string.h>

enum { LEAST_ROWS = 64, LEAST_FLOATS = 4096 };

static size_t copy_bytes(const rub_sums_copy_t *copy, size_t capacity)
{
    return capacity *
           (sizeof(*copy->ids) + 2 * sizeof(*copy->places) + copy->width * sizeof(*copy->sums));
}

static void release(rub_seen_sums_t *self, rub_sums_copy_t *copy)
{
    self->bytes -= copy_bytes(copy, copy->capacity);
    rub_free(copy->ids);
    rub_free(copy->sums);
    rub_free(copy->places);
    *copy = (rub_sums_copy_t){.width = copy->width};
}

static void drop(rub_seen_sums_t *self, size_t i)
{
    release(self, &self->copies[i]);
    self->copies[i] = self->copies[--self->n];
}

void rub_sums_fini(rub_seen_sums_t *self)
{
    while (self->n > 0) {
        drop(self, self->n - 1);
    }
    rub_free(self->copies);
    *self = (rub_seen_sums_t){.copies = NULL};
}

static bool same(const rub_sums_key_t *a, const rub_sums_key_t *b)
{
    return a->table == b->table && a->rank == b->rank && a->epoch == b->epoch &&
           a->clock == b->clock;
}

/* What was large once, as for a validation, is not kept, and not cleared in each period. */
static void begin(rub_seen_sums_t *self, rub_sums_copy_t *copy, const rub_sums_key_t *key)
{
    if (copy->capacity > LEAST_ROWS && copy->n < copy->capacity / 4) {
        release(self, copy);
    }
    copy->key = *key;
    copy->n = 0;
    if (copy->places) {
        memset(copy->places, 0, 2 * copy->capacity * sizeof(*copy->places));
    }
}

rub_sums_copy_t *rub_sums_open(rub_seen_sums_t *self, const rub_sums_key_t *key, uint64_t done,
                               size_t width, bool *full_p)
{
    rub_sums_copy_t *over = NULL;
    size_t n_open = 0;
    *full_p = false;
    for (size_t i = 0; i < self->n; i++) {
        rub_sums_copy_t *copy = &self->copies[i];
        if (copy->key.table != key->table || copy->key.rank != key->rank) {
            continue;
        }
        if (same(&copy->key, key)) {
            return copy;
        }
        n_open++;
        over = copy->key.epoch != key->epoch || copy->key.clock < done ? copy : over;
    }
    if (over) {
        RUB_ASSERT(over->width == width);
        begin(self, over, key);
        return over;
    }
    if (n_open >= RUB_SUMS_COPIES) {
        return NULL;
    }
    if (rub_grow(&self->copies, &self->capacity, self->n + 1, sizeof(*self->copies)) != 0) {
        *full_p = true;
        return NULL;
    }
    rub_sums_copy_t *copy = &self->copies[self->n++];
    *copy = (rub_sums_copy_t){.width = width};
    begin(self, copy, key);
    return copy;
}

/* The place of the row, or the empty one where it belongs. */
static uint32_t *place_of(const rub_sums_copy_t *copy, uint64_t id)
{
    const size_t mask = 2 * copy->capacity - 1;
    size_t at = (size_t)rub_mix64(id + 1) & mask;
    while (copy->places[at] != 0 && copy->ids[copy->places[at] - 1] != id) {
        at = (at + 1) & mask;
    }
    return &copy->places[at];
}

/* To twice as many rows, always a power of two. What is large is not copied, nor there twice. */
static bool grow(rub_seen_sums_t *self, rub_sums_copy_t *copy, size_t room_bytes)
{
    const size_t least = copy->width < LEAST_FLOATS / LEAST_ROWS ? LEAST_ROWS : 1;
    const size_t capacity = copy->capacity > 0 ? 2 * copy->capacity : least;
    const size_t more = copy_bytes(copy, capacity) - copy_bytes(copy, copy->capacity);
    if (more > room_bytes || capacity > UINT32_MAX / 2) {
        return false;
    }
    uint32_t *places = rub_calloc(2 * capacity, sizeof(*places));
    uint64_t *ids = places ? rub_realloc_array(copy->ids, capacity, sizeof(*ids)) : NULL;
    copy->ids = ids ? ids : copy->ids;
    float *sums = ids ? rub_realloc_array(copy->sums, capacity, copy->width * sizeof(*sums)) : NULL;
    if (!sums) {
        rub_free(places);
        return false;
    }
    copy->sums = sums;
    rub_free(copy->places);
    copy->places = places;
    copy->capacity = capacity;
    self->bytes += more;
    for (size_t i = 0; i < copy->n; i++) {
        *place_of(copy, ids[i]) = (uint32_t)i + 1;
    }
    return true;
}

float *rub_sums_note(rub_seen_sums_t *self, rub_sums_copy_t *copy, uint64_t id, size_t room_bytes)
{
    uint32_t *place = copy->capacity > 0 ? place_of(copy, id) : NULL;
    if (!place || *place == 0) {
        if (copy->n == copy->capacity && !grow(self, copy, room_bytes)) {
            return NULL;
        }
        place = place_of(copy, id);
        copy->ids[copy->n] = id;
        *place = (uint32_t)++copy->n;
    }
    return copy->sums + (size_t)(*place - 1) * copy->width;
}

const rub_sums_copy_t *rub_sums_of(const rub_seen_sums_t *self, const rub_sums_key_t *key)
{
    for (size_t i = 0; i < self->n; i++) {
        if (same(&self->copies[i].key, key)) {
            return &self->copies[i];
        }
    }
    return NULL;
}

static float *find(const rub_sums_copy_t *copy, uint64_t id)
{
    const uint32_t row = copy->capacity > 0 ? *place_of(copy, id) : 0;
    return row > 0 ? copy->sums + (size_t)(row - 1) * copy->width : NULL;
}

const float *rub_sums_find(const rub_sums_copy_t *copy, uint64_t id)
{
    return find(copy, id);
}

/* Copy by copy: what each looks in is small, all of them are not. */
void rub_sums_restart(rub_seen_sums_t *self, uint32_t table, const uint8_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < self->n; i++) {
        const rub_sums_copy_t *copy = &self->copies[i];
        if (copy->key.table != table || copy->n == 0) {
            continue;
        }
        for (size_t k = 0; k < n_ids; k++) {
            float *sums = find(copy, rub_get_u64(ids + 8 * k));
            if (sums) {
                memset(sums, 0, copy->width * sizeof(*sums));
            }
        }
    }
}

void rub_sums_forget_gone(rub_seen_sums_t *self, rub_sums_lives_t lives, const void *context)
{
    for (size_t i = self->n; i > 0; i--) {
        if (!lives(context, self->copies[i - 1].key.rank, self->copies[i - 1].key.epoch)) {
            drop(self, i - 1);
        }
    }
}
