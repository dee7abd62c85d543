/* First touch without a shard: the same numbers, by the shards' own code, so that a local loop and
 * a fleet begin at the same point. */
#include "worker/train/local_table.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/num/initializer.h"

#include <inttypes.h>
#include <string.h>

float *rub_local_table_new(const rub_delta_table_t *table, uint64_t seed, rub_error_t *err)
{
    const rub_initializer_t initializer = {.kind = table->init,
                                           .scale = table->init_scale,
                                           .seed = seed,
                                           .table =
                                               rub_hash_bytes(table->name, strlen(table->name))};
    const size_t n = (size_t)table->n_keys;
    float *rows = rub_alloc_aligned(64, n * table->width * sizeof(*rows));
    if (!rows) {
        (void)rub_fail(err, RUB_ENOMEM, "local loop: no memory for %" PRIu64 " rows of '%s'",
                       table->n_keys, table->name);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        rub_initializer_fill_row(&initializer, i, table->width, rows + i * table->width);
    }
    return rows;
}
