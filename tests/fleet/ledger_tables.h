/* The tables of ledgers that are written with the public header alone: both only add, so that what
 * is in them can be told from what was given. */
#ifndef RUB_LEDGER_TABLES_H
#define RUB_LEDGER_TABLES_H

#include <rubato.h>

/* "dense", of n elements, and "rows", of that width. The error of rub_table_open. */
static inline int ledger_tables_open(rub_session_t *session, uint64_t n, uint32_t width,
                                     rub_table_t *dense_p, rub_table_t *rows_p, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "dense";
    schema.elements = n;
    schema.optimizer = RUB_ADD;
    const int rc = rub_table_open(session, &schema, dense_p, err);
    schema.name = "rows";
    schema.kind = RUB_HASHED;
    schema.elements = 0;
    schema.width = width;
    return rc ? rc : rub_table_open(session, &schema, rows_p, err);
}

#endif
