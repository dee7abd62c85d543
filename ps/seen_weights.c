/* Copies of weights that ranks compute with. A rank has one period open, and with a prefetch two;
 * a copy is taken over by the next period as soon as its own is over, so that in the long run
 * nothing is allocated.
 *
 * Invariant: a block is known only if all of it was copied when the rank was given it for the
 * period that the copy is of; what is not known is no ground for a guess. */
#include "ps/seen_weights.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/wire/placement.h"

static size_t copy_bytes(uint64_t n_elements)
{
    return (size_t)n_elements * sizeof(float) +
           (size_t)rub_placement_blocks(n_elements) * sizeof(bool);
}

static void drop(rub_seen_weights_t *self, rub_seen_table_t *table, size_t i)
{
    rub_free(table->copies[i].weights);
    rub_free(table->copies[i].known);
    self->bytes -= copy_bytes(table->n_elements);
    table->copies[i] = table->copies[--table->n];
}

void rub_seen_fini(rub_seen_weights_t *self)
{
    for (size_t t = 0; t < self->n; t++) {
        rub_seen_table_t *table = &self->tables[t];
        while (table->n > 0) {
            drop(self, table, table->n - 1);
        }
        rub_free(table->copies);
        rub_free(table->squares);
    }
    rub_free(self->tables);
    *self = (rub_seen_weights_t){.tables = NULL};
}

static rub_seen_table_t *find_table(const rub_seen_weights_t *self, uint32_t id)
{
    return id < self->n ? &self->tables[id] : NULL;
}

static rub_seen_table_t *find_or_add(rub_seen_weights_t *self, uint32_t id)
{
    const size_t want = (size_t)id + 1;
    if (want > self->n) {
        if (rub_grow(&self->tables, &self->capacity, want, sizeof(*self->tables)) != 0) {
            return NULL;
        }
        for (size_t t = self->n; t < want; t++) {
            self->tables[t] = (rub_seen_table_t){.n = 0};
        }
        self->n = want;
    }
    return &self->tables[id];
}

static void begin(rub_seen_copy_t *copy, const rub_seen_key_t *key, uint64_t n_elements)
{
    copy->rank = key->rank;
    copy->epoch = key->epoch;
    copy->clock = key->clock;
    memset(copy->known, 0, (size_t)rub_placement_blocks(n_elements) * sizeof(bool));
}

static rub_seen_copy_t *add_copy(rub_seen_weights_t *self, rub_seen_table_t *table,
                                 const rub_seen_key_t *key)
{
    const uint64_t n = table->n_elements;
    if (rub_grow(&table->copies, &table->capacity, table->n + 1, sizeof(*table->copies)) != 0) {
        return NULL;
    }
    rub_seen_copy_t *copy = &table->copies[table->n];
    *copy = (rub_seen_copy_t){
        .weights = rub_alloc((size_t)n * sizeof(float)),
        .known = rub_calloc((size_t)rub_placement_blocks(n), sizeof(bool)),
    };
    if (!copy->weights || !copy->known) {
        rub_free(copy->weights);
        rub_free(copy->known);
        return NULL;
    }
    table->n++;
    self->bytes += copy_bytes(n);
    begin(copy, key, n);
    return copy;
}

rub_seen_copy_t *rub_seen_open(rub_seen_weights_t *self, const rub_seen_key_t *key, uint64_t done,
                               uint64_t n_elements, size_t room_bytes, bool *full_p)
{
    *full_p = false;
    rub_seen_table_t *table = find_or_add(self, key->table);
    if (!table) {
        *full_p = true;
        return NULL;
    }
    RUB_ASSERT(table->n_elements == 0 || table->n_elements == n_elements);
    table->n_elements = n_elements;
    rub_seen_copy_t *over = NULL;
    size_t n_open = 0;
    for (size_t i = 0; i < table->n; i++) {
        rub_seen_copy_t *copy = &table->copies[i];
        if (copy->rank != key->rank) {
            continue;
        }
        const bool same = copy->epoch == key->epoch;
        if (same && copy->clock == key->clock) {
            return copy;
        }
        n_open++;
        over = !same || copy->clock < done ? copy : over;
    }
    if (over) {
        begin(over, key, n_elements);
        return over;
    }
    if (n_open >= RUB_SEEN_COPIES) {
        return NULL;
    }
    *full_p = copy_bytes(n_elements) > room_bytes;
    rub_seen_copy_t *copy = *full_p ? NULL : add_copy(self, table, key);
    *full_p = copy == NULL;
    return copy;
}

float *rub_seen_fill(rub_seen_copy_t *copy, uint64_t n_elements, uint64_t first, uint64_t n)
{
    const uint64_t end = first + n;
    RUB_ASSERT(end <= n_elements);
    for (uint64_t block = (first + RUB_BLOCK - 1) / RUB_BLOCK; block * RUB_BLOCK < end; block++) {
        const uint64_t next = (block + 1) * RUB_BLOCK;
        if ((next < n_elements ? next : n_elements) <= end) {
            copy->known[block] = true;
        }
    }
    return copy->weights + first;
}

const float *rub_seen_block(const rub_seen_weights_t *self, const rub_seen_key_t *key,
                            uint64_t block)
{
    const rub_seen_table_t *table = find_table(self, key->table);
    for (size_t i = 0; table && i < table->n; i++) {
        const rub_seen_copy_t *copy = &table->copies[i];
        if (copy->rank == key->rank && copy->epoch == key->epoch && copy->clock == key->clock) {
            return copy->known[block] ? copy->weights + block * RUB_BLOCK : NULL;
        }
    }
    return NULL;
}

float *rub_seen_squares(rub_seen_weights_t *self, uint32_t id, size_t room_bytes)
{
    rub_seen_table_t *table = find_table(self, id);
    if (!table || table->n_elements == 0 || table->squares) {
        return table ? table->squares : NULL;
    }
    const size_t bytes = (size_t)table->n_elements * sizeof(float);
    table->squares = bytes > room_bytes ? NULL : rub_calloc(1, bytes);
    self->bytes += table->squares ? bytes : 0;
    return table->squares;
}

bool rub_seen_tell(rub_seen_weights_t *self, uint32_t id)
{
    rub_seen_table_t *table = find_table(self, id);
    const bool first = table && !table->told;
    if (first) {
        table->told = true;
    }
    return first;
}

void rub_seen_forget_gone(rub_seen_weights_t *self, rub_seen_lives_t lives, const void *context)
{
    for (size_t t = 0; t < self->n; t++) {
        rub_seen_table_t *table = &self->tables[t];
        for (size_t i = table->n; i > 0; i--) {
            if (!lives(context, table->copies[i - 1].rank, table->copies[i - 1].epoch)) {
                drop(self, table, i - 1);
            }
        }
    }
}
