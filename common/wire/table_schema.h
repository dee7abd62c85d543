/* Whether two schemas describe the same table: what scheduler and client must agree on before
 * anybody pushes, or rows of one shape would be taken for rows of another. */
#ifndef RUB_TABLE_SCHEMA_H
#define RUB_TABLE_SCHEMA_H

#include "common/wire/control.h"

/* The first field in which they differ, with what each says, for a sentence: "width 4". */
typedef struct rub_schema_difference {
    char one[64], other[64];
} rub_schema_difference_t;

/* Compares all that makes a table but its number and name; a dense table's width and a hashed one's
 * elements mean nothing. Numbers exactly: two programs that round differently are two programs.
 * difference: filled when true. */
bool rub_schemas_differ(const rub_table_view_t *one, const rub_table_view_t *other,
                        rub_schema_difference_t *difference);

/* The hyper-parameters that stand in a schema. */
rub_hyper_t rub_schema_hyper(const rub_table_view_t *schema);
void rub_schema_set_hyper(rub_table_view_t *schema, const rub_hyper_t *hyper);

#endif
