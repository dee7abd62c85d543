/* Whole tables, sorted by key: the one form in which a model leaves a job, whichever shards held
 * its rows and in which order. Sorted, so that equal models make equal files, and so that the rows
 * of a batch, whose keys ascend too, are found by walking ahead instead of searching anew.
 *
 * Invariant: no row is invented or lost here; what was never stored is computed by the initializer
 * that the shards have (common/num/initializer.h), so a model at rest answers what it answered
 * while it was trained. */
#include "common/num/weights.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rub_weights_init(rub_weights_t *self)
{
    *self = (rub_weights_t){0};
}

void rub_weights_fini(rub_weights_t *self)
{
    for (size_t i = 0; i < self->n_tables; i++) {
        rub_free(self->tables[i].keys);
        rub_free(self->tables[i].values);
    }
    rub_free(self->tables);
    *self = (rub_weights_t){0};
}

int rub_weights_add(rub_weights_t *self, const char *name, rub_weight_table_t **table_p,
                    rub_error_t *err)
{
    *table_p = NULL;
    const size_t bytes = strlen(name);
    if (bytes == 0 || bytes > RUB_WEIGHTS_NAME_LIMIT) {
        return rub_fail(err, RUB_ECORRUPT, "a table's name has %zu bytes, expected 1 to %u", bytes,
                        RUB_WEIGHTS_NAME_LIMIT);
    }
    if (rub_weights_find(self, name)) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s' comes twice", name);
    }
    if (rub_grow(&self->tables, &self->capacity, self->n_tables + 1, sizeof(*self->tables)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for table '%s'", name);
    }
    rub_weight_table_t *table = &self->tables[self->n_tables++];
    *table = (rub_weight_table_t){.width = 1};
    memcpy(table->name, name, bytes);
    *table_p = table;
    return 0;
}

void rub_weights_drop(rub_weights_t *self, size_t index)
{
    RUB_ASSERT(index < self->n_tables);
    rub_free(self->tables[index].keys);
    rub_free(self->tables[index].values);
    self->n_tables--;
    memmove(self->tables + index, self->tables + index + 1,
            (self->n_tables - index) * sizeof(*self->tables));
}

const rub_weight_table_t *rub_weights_find(const rub_weights_t *self, const char *name)
{
    for (size_t i = 0; i < self->n_tables; i++) {
        if (strcmp(self->tables[i].name, name) == 0) {
            return &self->tables[i];
        }
    }
    return NULL;
}

/* "'layer0/weights', 'layer0/bias'" */
static const char *names_of(const rub_weights_t *self, char out[300])
{
    size_t used = 0;
    snprintf(out, 300, "none");
    for (size_t i = 0; i < self->n_tables && used < 300; i++) {
        used +=
            (size_t)snprintf(out + used, 300 - used, "%s'%s'", i ? ", " : "", self->tables[i].name);
    }
    return out;
}

int rub_weights_expect(const rub_weights_t *self, const char *name, uint64_t elements,
                       uint32_t width, const rub_weight_table_t **table_p, rub_error_t *err)
{
    char names[300];
    const rub_weight_table_t *table = rub_weights_find(self, name);
    *table_p = table;
    if (!table) {
        return rub_fail(err, RUB_ECONFIG, "there is no table '%s'; there are: %s", name,
                        names_of(self, names));
    }
    if (elements > 0 && (!table->dense || table->n_rows != elements)) {
        return rub_fail(err, RUB_ECONFIG, "table '%s' has %" PRIu64 " %s, expected %" PRIu64, name,
                        table->n_rows, table->dense ? "numbers" : "rows under keys", elements);
    }
    if (elements == 0 && (table->dense || table->width != width)) {
        return rub_fail(err, RUB_ECONFIG, "table '%s' %s %u wide, expected rows %u wide", name,
                        table->dense ? "is dense, not of rows" : "has rows", table->width, width);
    }
    return 0;
}

/* ---- hashed tables ---- */

typedef struct place {
    uint64_t key, row;
} place_t;

static int by_key(const void *a, const void *b)
{
    const uint64_t x = ((const place_t *)a)->key, y = ((const place_t *)b)->key;
    return x < y ? -1 : x > y;
}

static bool ascends(const rub_weight_table_t *self)
{
    for (uint64_t i = 1; i < self->n_rows; i++) {
        if (self->keys[i] <= self->keys[i - 1]) {
            return false;
        }
    }
    return true;
}

int rub_weight_table_sort(rub_weight_table_t *self, rub_error_t *err)
{
    const size_t n = (size_t)self->n_rows;
    const size_t row_bytes = self->width * sizeof(float);
    if (self->dense || ascends(self)) {
        return 0;
    }
    int rc = 0;
    place_t *places = rub_calloc(n, sizeof(*places));
    float *sorted = rub_calloc(n, row_bytes);
    if (!places || !sorted) {
        rc = rub_fail(err, RUB_ENOMEM, "table '%s': no memory to sort %zu rows", self->name, n);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        places[i] = (place_t){self->keys[i], i};
    }
    qsort(places, n, sizeof(*places), by_key);
    for (size_t i = 0; i < n && rc == 0; i++) {
        self->keys[i] = places[i].key;
        memcpy(sorted + i * self->width, self->values + places[i].row * self->width, row_bytes);
        if (i > 0 && places[i].key == places[i - 1].key) {
            rc = rub_fail(err, RUB_ECORRUPT, "table '%s': key %" PRIu64 " comes twice", self->name,
                          places[i].key);
        }
    }
    float *unsorted = self->values;
    self->values = sorted;
    sorted = unsorted;
out:
    rub_free(places);
    rub_free(sorted);
    return rc;
}

/* The first row at or behind `from` whose key is not below: strides that double, then halves. */
static uint64_t seek(const rub_weight_table_t *self, uint64_t from, uint64_t key)
{
    uint64_t low = from, stride = 1;
    while (low < self->n_rows && stride < self->n_rows - low && self->keys[low + stride] < key) {
        low += stride;
        stride *= 2;
    }
    uint64_t high = self->n_rows - low > stride ? low + stride : self->n_rows;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (self->keys[middle] < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void rub_weight_table_rows(const rub_weight_table_t *self, const uint64_t *keys, size_t n,
                           float *out)
{
    const size_t width = self->width;
    uint64_t at = 0;
    RUB_ASSERT(!self->dense);
    for (size_t i = 0; i < n; i++, out += width) {
        at = seek(self, at, keys[i]);
        if (at < self->n_rows && self->keys[at] == keys[i]) {
            memcpy(out, self->values + at * width, width * sizeof(*out));
        } else {
            rub_initializer_fill_row(&self->init, keys[i], self->width, out);
        }
    }
}
