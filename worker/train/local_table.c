/* First touch without a shard: the same numbers, by the shards' own code, so that a local loop and
 * a fleet begin at the same point. */
#include "worker/train/local_table.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/num/initializer.h"

#include <string.h>

/* keys NULL: 0 to n - 1. */
static float *first_touch(const rub_delta_table_t *table, const uint64_t *keys, size_t n,
                          uint64_t seed, rub_error_t *err)
{
    const rub_initializer_t initializer = {.kind = table->init,
                                           .scale = table->init_scale,
                                           .seed = seed,
                                           .table =
                                               rub_hash_bytes(table->name, strlen(table->name))};
    float *rows = rub_alloc_aligned(64, n * table->width * sizeof(*rows));
    if (!rows) {
        (void)rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu rows of '%s'", n,
                       table->name);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        rub_initializer_fill_row(&initializer, keys ? keys[i] : i, table->width,
                                 rows + i * table->width);
    }
    return rows;
}

float *rub_local_table_new(const rub_delta_table_t *table, uint64_t seed, rub_error_t *err)
{
    return first_touch(table, NULL, (size_t)table->n_keys, seed, err);
}

float *rub_local_rows_new(const rub_delta_table_t *table, const uint64_t *keys, size_t n,
                          uint64_t seed, rub_error_t *err)
{
    return first_touch(table, keys, n, seed, err);
}
