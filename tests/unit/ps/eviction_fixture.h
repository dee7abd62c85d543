/* Tables that delete rows or admit them late, in few words, for the tests of both. */
#ifndef RUB_EVICTION_FIXTURE_H
#define RUB_EVICTION_FIXTURE_H

#include "tests/unit/ps/table_fixture.h"

#include "common/wire/table_schema.h"

static inline rub_ptable_t *table_with(uint32_t width, rub_optimizer_kind_t optimizer,
                                       rub_eviction_t evict, double admit_probability)
{
    rub_table_view_t schema = schema_of(RUB_HASHED, width, optimizer);
    schema.evict_idle_clocks = evict.idle_clocks;
    schema.evict_norm = evict.norm;
    schema.evict_sweep_clocks = evict.sweep_clocks;
    schema.admit_probability = admit_probability;
    rub_ptable_t *table;
    assert_int_equal(rub_ptable_new(&schema, SEED, 0, 1, &table, NULL), 0);
    return table;
}

static inline rub_ptable_t *counting_table(uint32_t width, rub_optimizer_kind_t optimizer,
                                           rub_eviction_t evict, uint32_t admit_count)
{
    rub_table_view_t schema = schema_of(RUB_HASHED, width, optimizer);
    schema.evict_idle_clocks = evict.idle_clocks;
    schema.evict_sweep_clocks = evict.sweep_clocks;
    schema.admit_count = admit_count;
    schema.admit_counters = RUB_ADMIT_COUNTERS_LEAST;
    rub_ptable_t *table;
    assert_int_equal(rub_ptable_new(&schema, SEED, 0, 1, &table, NULL), 0);
    return table;
}

static inline rub_ptable_t *evicting(uint32_t width, rub_optimizer_kind_t optimizer,
                                     rub_eviction_t evict)
{
    return table_with(width, optimizer, evict, 0);
}

static inline void push_at(rub_ptable_t *table, uint64_t key, float value, uint64_t clock,
                           uint64_t lsn)
{
    float values[64];
    const uint32_t width = rub_ptable_schema(table)->width;
    for (uint32_t i = 0; i < width; i++) {
        values[i] = value;
    }
    rub_push_view_t view = keys_push(&key, 1, values, width);
    view.clock = clock;
    push(table, view, lsn);
}

enum { MOST = 64 };

static inline size_t sweep_to(rub_ptable_t *table, uint64_t tick, uint64_t keys[MOST], uint64_t *at)
{
    size_t rows_left = SIZE_MAX;
    return rub_ptable_sweep(table, tick, keys, MOST, at, &rows_left);
}

static inline int delete_keys(rub_ptable_t *table, const uint64_t *keys, size_t n, uint64_t tick,
                              uint64_t lsn, rub_error_t *err)
{
    return rub_ptable_delete(table, (const uint8_t *)keys, n, tick, lsn, false, err);
}

/* Sweeps up to that tick and deletes all that is named. Returns how many. */
static inline size_t evict_to(rub_ptable_t *table, uint64_t tick, uint64_t lsn)
{
    uint64_t keys[MOST], at = 0;
    size_t n, all = 0;
    while ((n = sweep_to(table, tick, keys, &at)) > 0) {
        assert_int_equal(delete_keys(table, keys, n, at, lsn, NULL), 0);
        all += n;
    }
    assert_int_equal(rub_ptable_swept(table), tick);
    return all;
}

#endif
