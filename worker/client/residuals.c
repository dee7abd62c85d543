/* Rows of residuals, found by key. Open addressing over row numbers; the rows stand in blocks that
 * never move, so that growing copies keys and slots but no values.
 *
 * Invariant: n_slots is a power of two, at least twice the rows there is room for, so a search
 * ends; memory is counted before it is asked for and never above the limit. */
#include "worker/client/residuals.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "include/rubato.h"

#include <string.h>

enum { BLOCK_VALUES = 16384, BLOCK_ROWS_MOST = 64, SLOTS_FIRST = 128 };

struct rub_residuals {
    uint32_t row;
    size_t block_rows; /* rows in a block, about BLOCK_VALUES values; a power of two */
    size_t limit_bytes;
    uint32_t *slots; /* row number + 1; 0: free */
    size_t n_slots;
    uint64_t *keys; /* of each row */
    float **blocks; /* of block_rows rows */
    size_t n_rows, n_blocks;
};

rub_residuals_t *rub_residuals_new(uint32_t row, size_t limit_bytes)
{
    rub_residuals_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->row = row;
        self->block_rows = BLOCK_ROWS_MOST;
        while (self->block_rows > 1 && self->block_rows * row > BLOCK_VALUES) {
            self->block_rows /= 2;
        }
        self->limit_bytes = limit_bytes;
    }
    return self;
}

void rub_residuals_destroy(rub_residuals_t **self_p)
{
    rub_residuals_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        for (size_t i = 0; i < self->n_blocks; i++) {
            rub_free(self->blocks[i]);
        }
        rub_free(self->blocks);
        rub_free(self->keys);
        rub_free(self->slots);
        rub_free(self);
    }
}

static size_t block_bytes(const rub_residuals_t *self)
{
    return self->block_rows * self->row * sizeof(float);
}

/* What so many slots and blocks take; keys and block pointers are dimensioned with the slots. */
static size_t bytes_of(const rub_residuals_t *self, size_t n_slots, size_t n_blocks)
{
    const size_t most_rows = n_slots / 2;
    return n_slots * sizeof(*self->slots) + most_rows * sizeof(*self->keys) +
           (most_rows / self->block_rows) * sizeof(*self->blocks) + n_blocks * block_bytes(self);
}

size_t rub_residuals_rows(const rub_residuals_t *self)
{
    return self->n_rows;
}

size_t rub_residuals_bytes(const rub_residuals_t *self)
{
    return bytes_of(self, self->n_slots, self->n_blocks);
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t slot_of(const rub_residuals_t *self, uint64_t key)
{
    size_t slot = (size_t)rub_mix64(key) & (self->n_slots - 1);
    while (self->slots[slot] && self->keys[self->slots[slot] - 1] != key) {
        slot = (slot + 1) & (self->n_slots - 1);
    }
    return slot;
}

static float *row_at(const rub_residuals_t *self, size_t i)
{
    return self->blocks[i / self->block_rows] + (i % self->block_rows) * self->row;
}

float *rub_residuals_find(const rub_residuals_t *self, uint64_t key)
{
    if (self->n_rows == 0) {
        return NULL;
    }
    const uint32_t found = self->slots[slot_of(self, key)];
    return found ? row_at(self, found - 1) : NULL;
}

float *rub_residuals_at(const rub_residuals_t *self, size_t i, uint64_t *key_p)
{
    RUB_ASSERT(i < self->n_rows);
    *key_p = self->keys[i];
    return row_at(self, i);
}

static int grow_slots(rub_residuals_t *self, size_t n_slots)
{
    uint32_t *slots = rub_calloc(n_slots, sizeof(*slots));
    uint64_t *keys = rub_alloc(n_slots / 2 * sizeof(*keys));
    float **blocks = rub_alloc(n_slots / 2 / self->block_rows * sizeof(*blocks));
    if (!slots || !keys || !blocks) {
        rub_free(slots);
        rub_free(keys);
        rub_free(blocks);
        return RUB_ENOMEM;
    }
    if (self->n_slots > 0) {
        memcpy(keys, self->keys, self->n_rows * sizeof(*keys));
        memcpy(blocks, self->blocks, self->n_blocks * sizeof(*blocks));
    }
    rub_free(self->slots);
    rub_free(self->keys);
    rub_free(self->blocks);
    self->slots = slots;
    self->keys = keys;
    self->blocks = blocks;
    self->n_slots = n_slots;
    for (size_t i = 0; i < self->n_rows; i++) {
        slots[slot_of(self, keys[i])] = (uint32_t)i + 1;
    }
    return 0;
}

int rub_residuals_reserve(rub_residuals_t *self, size_t more)
{
    if (more > UINT32_MAX / 4 || self->n_rows > UINT32_MAX / 4) {
        return RUB_ELIMIT;
    }
    const size_t n = self->n_rows + more;
    size_t n_slots = self->n_slots ? self->n_slots : SLOTS_FIRST;
    while (n_slots < 2 * n) {
        n_slots *= 2;
    }
    const size_t n_blocks = (n + self->block_rows - 1) / self->block_rows;
    if (bytes_of(self, n_slots, n_blocks) > self->limit_bytes) {
        return RUB_ELIMIT;
    }
    if (n_slots != self->n_slots && grow_slots(self, n_slots)) {
        return RUB_ENOMEM;
    }
    while (self->n_blocks < n_blocks) {
        float *block = rub_alloc(block_bytes(self));
        if (!block) {
            return RUB_ENOMEM;
        }
        self->blocks[self->n_blocks++] = block;
    }
    return 0;
}

float *rub_residuals_put(rub_residuals_t *self, uint64_t key)
{
    const size_t slot = slot_of(self, key);
    if (!self->slots[slot]) {
        RUB_ASSERT(self->n_rows < self->n_blocks * self->block_rows);
        self->keys[self->n_rows] = key;
        self->slots[slot] = (uint32_t)++self->n_rows;
    }
    return row_at(self, self->slots[slot] - 1);
}
