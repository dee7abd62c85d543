/* Rows that a worker changes itself, on their way between the job's hashed tables and this worker.
 *
 * A set is what one period works on; there are two, so that the next period's rows can be on their
 * way while this one computes. The period trains on a copy; what it has changed is pushed as a sum
 * (optimizer add). One thread. Uses the public client library alone. */
#ifndef RUB_DELTA_ROWS_H
#define RUB_DELTA_ROWS_H

#include "include/rubato.h"

#define RUB_DELTA_TABLES_LIMIT 6u

typedef struct rub_delta_table {
    const char *name; /* static */
    uint32_t width;
    rub_init_kind_t init;
    double init_scale;
    uint64_t n_keys; /* keys are below this, which is below 2^32 */
    rub_codec_kind_t push_codec, pull_codec;
    rub_eviction_t evict;
} rub_delta_table_t;

/* The keys that a period needs of a table, each once. */
typedef struct rub_key_list {
    const uint64_t *keys;
    size_t n;
} rub_key_list_t;

typedef struct rub_delta_rows rub_delta_rows_t;

/* How a table is opened. */
void rub_delta_rows_schema(const rub_delta_table_t *table, rub_schema_t *schema);

/* Opens (or creates) n_tables hashed tables. Blocks as rub_table_open does. The result is the
 * caller's; NULL on failure. */
int rub_delta_rows_open(rub_session_t *session, const rub_delta_table_t *tables, size_t n_tables,
                        rub_delta_rows_t **self_p, rub_error_t *err);
/* Gives up what is under way and frees. The session must still live. NULL is fine. */
void rub_delta_rows_close(rub_delta_rows_t **self_p);

/* Makes the rows of these lists (one per table), as of the present clock, those that work() shows:
 * those that were prefetched for the same arrays of keys and this clock, otherwise pulled now.
 * Blocks until the bound allows. Keeps the keys until the next call but one. */
int rub_delta_rows_pull(rub_delta_rows_t *self, const rub_key_list_t *lists, rub_error_t *err);
/* Asks for the rows of the lists for the next period; does not wait. Keeps the keys as above. */
int rub_delta_rows_prefetch(rub_delta_rows_t *self, const rub_key_list_t *lists, rub_error_t *err);

/* The present rows of a table, in the order of its list, to be changed. 64-byte aligned. */
float *rub_delta_rows_work(rub_delta_rows_t *self, size_t table);
/* Pushes what has changed since the pull, once what was prefetched is there (unless in lock step):
 * blocks until the bound allows that. RUB_ENAN: a value is not finite. */
int rub_delta_rows_push(rub_delta_rows_t *self, rub_error_t *err);

/* Pulls rows of a table as float32, whatever codec pulls have, into values: for who takes them
 * away. Those of n keys, or of keys [first, first + n). Blocks until the bound allows. */
int rub_delta_rows_read_keys(rub_delta_rows_t *self, size_t table, const uint64_t *keys, size_t n,
                             float *values, rub_error_t *err);
int rub_delta_rows_read(rub_delta_rows_t *self, size_t table, uint64_t first, size_t n,
                        float *values, rub_error_t *err);

#endif
