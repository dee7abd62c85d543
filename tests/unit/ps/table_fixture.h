/* Tables, pushes and pulls in few words, for the tests of ps/table. */
#ifndef RUB_TABLE_FIXTURE_H
#define RUB_TABLE_FIXTURE_H

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "ps/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(1234)

static inline rub_table_view_t schema_of(rub_table_kind_t kind, uint64_t size,
                                         rub_optimizer_kind_t optimizer)
{
    rub_table_view_t schema = {
        .id = 3,
        .kind = kind,
        .optimizer = optimizer,
        .init = RUB_INIT_UNIFORM,
        .init_scale = 0.5,
        .lr = 0.125,
        .momentum = 0.5,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .rho = 0.9,
        .ftrl_beta = 1,
    };
    if (kind == RUB_DENSE) {
        schema.elements = size;
    } else {
        schema.width = (uint32_t)size;
    }
    snprintf(schema.name, sizeof schema.name, "weights");
    return schema;
}

static inline rub_ptable_t *table_on(rub_table_kind_t kind, uint64_t size,
                                     rub_optimizer_kind_t optimizer, uint32_t shard,
                                     uint32_t n_shards)
{
    const rub_table_view_t schema = schema_of(kind, size, optimizer);
    rub_ptable_t *table;
    assert_int_equal(rub_ptable_new(&schema, SEED, shard, n_shards, &table, NULL), 0);
    return table;
}

static inline rub_ptable_t *table_of(rub_table_kind_t kind, uint64_t size,
                                     rub_optimizer_kind_t optimizer)
{
    return table_on(kind, size, optimizer, 0, 1);
}

/* keys in host order, which is little-endian here. */
static inline rub_push_view_t keys_push(const uint64_t *keys, size_t n_keys, const float *values,
                                        size_t width)
{
    return (rub_push_view_t){
        .rows = {.keys = (const uint8_t *)keys, .n_keys = n_keys},
        .values = values,
        .n_values = n_keys * width,
    };
}

static inline rub_push_view_t range_push(uint64_t first, uint64_t count, const float *values)
{
    return (rub_push_view_t){
        .rows = {.is_range = true, .first = first, .count = count},
        .values = values,
        .n_values = (size_t)count,
    };
}

static inline int check(const rub_ptable_t *table, rub_push_view_t push)
{
    rub_error_t err;
    const int rc = rub_ptable_push_check(table, &push, UINT64_MAX, &err);
    if (rc != 0) {
        assert_int_equal(err.code, rc);
        assert_true(strlen(err.message) > 10);
    }
    return rc;
}

static inline void push(rub_ptable_t *table, rub_push_view_t view, uint64_t lsn)
{
    assert_int_equal(check(table, view), 0);
    assert_int_equal(rub_ptable_push(table, &view, lsn, NULL), 0);
}

static inline void push_key(rub_ptable_t *table, uint64_t key, float value, uint64_t lsn)
{
    float values[64];
    const uint32_t width = rub_ptable_schema(table)->width;
    for (uint32_t i = 0; i < width; i++) {
        values[i] = value;
    }
    push(table, keys_push(&key, 1, values, width), lsn);
}

static inline bool pull_key(const rub_ptable_t *table, uint64_t key, float *values)
{
    const rub_rows_t rows = {.keys = (const uint8_t *)&key, .n_keys = 1};
    uint8_t exists = 0xff;
    assert_int_equal(rub_ptable_pull_check(table, &rows, NULL), 0);
    rub_ptable_pull(table, &rows, values, &exists);
    assert_int_equal(exists & 0xfe, 0);
    return exists != 0;
}

static inline bool pull_range(const rub_ptable_t *table, uint64_t first, uint64_t count,
                              float *values)
{
    const rub_rows_t rows = {.is_range = true, .first = first, .count = count};
    uint8_t exists;
    assert_int_equal(rub_ptable_pull_check(table, &rows, NULL), 0);
    rub_ptable_pull(table, &rows, values, &exists);
    return exists != 0;
}

/* A staged chunk. */
typedef struct staged {
    void *bytes;
    size_t n_bytes;
} staged_t;

static inline staged_t stage(rub_ptable_t *table, uint32_t chunk, uint64_t lsn)
{
    staged_t staged;
    assert_int_equal(rub_ptable_stage(table, chunk, lsn, &staged.bytes, &staged.n_bytes, NULL), 0);
    return staged;
}

/* Stages everything dirty; returns how many chunks. */
static inline size_t sweep(rub_ptable_t *table, uint64_t lsn, staged_t *out, size_t limit)
{
    size_t n = 0;
    for (uint32_t chunk = 0; rub_ptable_next_dirty(table, &chunk); chunk++) {
        assert_true(n < limit);
        out[n++] = stage(table, chunk, lsn);
    }
    return n;
}

static inline void load(rub_ptable_t *table, staged_t staged)
{
    assert_int_equal(rub_ptable_load(table, staged.bytes, staged.n_bytes, NULL), 0);
}

#endif
