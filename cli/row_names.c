/* Moving rows by name. The new numbers are gone through in their order and each looks for its row,
 * so the result is sorted as it is made, and two numbers may share a name, as entities do whose
 * names differ in a blank alone where a file of vectors can not have blanks. */
#include "cli/row_names.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <string.h>

#define NO_ROW UINT64_MAX

/* By old number; NO_ROW: it has none. NULL: no memory. */
static uint64_t *rows_by_number(const rub_weight_table_t *table, size_t n_old)
{
    uint64_t *rows = rub_alloc((n_old + 1) * sizeof(*rows));
    if (rows) {
        memset(rows, 0xff, n_old * sizeof(*rows));
    }
    for (uint64_t i = 0; rows && i < table->n_rows; i++) {
        if (table->keys[i] < n_old) {
            rows[table->keys[i]] = i;
        }
    }
    return rows;
}

/* For each new number its row of the table; how many have one. */
static uint64_t find_rows(const rub_vocabulary_t *old, const uint64_t *rows, uint32_t n_new,
                          rub_new_name_fn *name, void *context, uint64_t *found)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_new; i++) {
        const char *word = name(context, i);
        const uint32_t number = rub_vocabulary_find(old, word, strlen(word));
        found[i] = number == RUB_NO_WORD ? NO_ROW : rows[number];
        n += found[i] != NO_ROW;
    }
    return n;
}

int rub_rows_rename(rub_weight_table_t *table, const rub_vocabulary_t *old, uint32_t n_new,
                    rub_new_name_fn *name, void *context, rub_error_t *err)
{
    const size_t width = table->width;
    uint64_t *rows = rows_by_number(table, rub_vocabulary_size(old));
    uint64_t *found = rub_alloc(((size_t)n_new + 1) * sizeof(*found));
    const uint64_t n = rows && found ? find_rows(old, rows, n_new, name, context, found) : 0;
    uint64_t *keys = rub_alloc((size_t)(n + 1) * sizeof(*keys));
    float *values = rub_alloc((size_t)(n + 1) * width * sizeof(*values));
    const bool room = rows && found && keys && values;
    if (room) {
        uint64_t at = 0;
        for (uint32_t i = 0; i < n_new; i++) {
            if (found[i] != NO_ROW) {
                memcpy(values + at * width, table->values + found[i] * width,
                       width * sizeof(*values));
                keys[at++] = i;
            }
        }
        rub_free(table->keys);
        rub_free(table->values);
        table->keys = keys;
        table->values = values;
        table->n_rows = n;
    } else {
        rub_free(keys);
        rub_free(values);
    }
    rub_free(rows);
    rub_free(found);
    return room ? 0
                : rub_fail(err, RUB_ENOMEM, "no memory to move %" PRIu64 " rows of '%s'",
                           table->n_rows, table->name);
}

void rub_rows_limit(rub_weight_table_t *table, uint32_t n_new)
{
    while (table->n_rows > 0 && table->keys[table->n_rows - 1] >= n_new) {
        table->n_rows--;
    }
}
