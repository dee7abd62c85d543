/* Whether two schemas describe the same table: what scheduler and client must agree on before
 * anybody pushes, or rows of one shape would be taken for rows of another. */
#ifndef RUB_TABLE_SCHEMA_H
#define RUB_TABLE_SCHEMA_H

#include "common/wire/control.h"

#define RUB_WIDTH_LIMIT 65536u /* float32 in a row of a hashed table */

/* The first field in which they differ, with what each says, for a sentence: "width 4". */
typedef struct rub_schema_difference {
    char one[64], other[64];
} rub_schema_difference_t;

/* Compares all that makes a table but its number and name; a dense table's width and a hashed one's
 * elements mean nothing. Numbers exactly: two programs that round differently are two programs.
 * difference: filled when true. */
bool rub_schemas_differ(const rub_table_view_t *one, const rub_table_view_t *other,
                        rub_schema_difference_t *difference);

/* A user's schema as it travels; id 0, and 0 for all that means nothing for its kind. schema:
 * whole, its name of at most 63 bytes. hyper: its hyper-parameters, trimmed (rub_optimizer_trim).
 */
void rub_schema_to_view(const rub_schema_t *schema, const rub_hyper_t *hyper,
                        rub_table_view_t *view);

/* The eviction that stands in a schema, and whether there is any. */
rub_eviction_t rub_schema_eviction(const rub_table_view_t *schema);
static inline bool rub_schema_evicts(const rub_table_view_t *schema)
{
    return schema->evict_idle_clocks > 0 || schema->evict_norm > 0;
}

#define RUB_EVICT_IDLE_LIMIT (UINT64_C(1) << 30)
#define RUB_EVICT_SWEEP_LIMIT (UINT64_C(1) << 20)
/* RUB_EINVAL: a dense table; idle_clocks or sweep_clocks outside their bounds; a norm that is not
 * finite or below 0. The sentence does not name the table. */
int rub_eviction_check(const rub_eviction_t *evict, uint32_t kind, rub_error_t *err);

/* Which pushes may make rows: as in rub_schema_t. */
typedef struct rub_admission {
    double probability;
    uint32_t count;
    uint64_t counters;
} rub_admission_t;
rub_admission_t rub_schema_admission(const rub_table_view_t *schema);

#define RUB_ADMIT_COUNT_LIMIT 15u
#define RUB_ADMIT_COUNTERS_LEAST (UINT64_C(1) << 17)
#define RUB_ADMIT_COUNTERS_LIMIT (UINT64_C(1) << 26)
#define RUB_ADMIT_COUNTERS (UINT64_C(1) << 22)
/* RUB_EINVAL: a probability outside 0..1, a count or, where there is one, counters outside their
 * bounds; both a probability and a count; either for a dense table. As above. */
int rub_admission_check(const rub_admission_t *admit, uint32_t kind, rub_error_t *err);

/* The hyper-parameters that stand in a schema. */
rub_hyper_t rub_schema_hyper(const rub_table_view_t *schema);
void rub_schema_set_hyper(rub_table_view_t *schema, const rub_hyper_t *hyper);

#endif
