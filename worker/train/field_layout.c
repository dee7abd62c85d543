/* A batch's keys come in stretches, one for each table, and so do its lines; an entry's place says
 * by itself in which stretch it is. */
#include "worker/train/field_layout.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>

int rub_field_layout_open(const rub_column_tables_t *columns, uint32_t n_fields,
                          rub_field_layout_t *self, uint32_t *n_inputs_p, rub_error_t *err)
{
    *self = (rub_field_layout_t){.columns = columns, .n_fields = n_fields};
    if (n_fields < columns->n_own) {
        return rub_fail(err, RUB_ECONFIG,
                        "fields: %" PRIu32 ", but %" PRIu32 " columns have tables of their own, "
                        "and each is a field",
                        n_fields, columns->n_own);
    }
    uint64_t n_inputs = (uint64_t)(n_fields - columns->n_own) * columns->factors[columns->n_own];
    for (uint32_t c = 0; c < columns->n_own; c++) {
        n_inputs += columns->factors[c];
    }
    *n_inputs_p = n_inputs < UINT32_MAX ? (uint32_t)n_inputs : UINT32_MAX;
    self->table_of = rub_calloc(n_fields, sizeof *self->table_of);
    self->lines = rub_calloc(n_fields, sizeof *self->lines);
    return self->table_of && self->lines
               ? 0
               : rub_fail(err, RUB_ENOMEM, "no memory for %" PRIu32 " fields", n_fields);
}

void rub_field_layout_close(rub_field_layout_t *self)
{
    rub_free(self->table_of);
    rub_free(self->lines);
    *self = (rub_field_layout_t){0};
}

static bool is_in(const rub_sparse_batch_t *batch, uint32_t place, uint32_t table)
{
    return place >= batch->parts[table] && place < batch->parts[table + 1];
}

/* The first example tells; each own column must have its field, in the order of those that the
 * model was made for. */
static int learn(rub_field_layout_t *self, const rub_sparse_batch_t *batch, uint64_t first,
                 const char *where, rub_error_t *err)
{
    const uint32_t n_own = self->columns->n_own;
    uint32_t before = 0;
    for (uint32_t field = 0; field < self->n_fields; field++) {
        uint32_t table = 0;
        while (!is_in(batch, batch->places[field], table)) {
            table++;
        }
        if (table < before) {
            return rub_fail(err, RUB_EDATA,
                            "%s: example %" PRIu64
                            " has column '%s' before '%s', expected the order of the data that the "
                            "model is trained on",
                            where, first, self->columns->own[before], self->columns->own[table]);
        }
        self->table_of[field] = table;
        before = table < n_own ? table : before;
    }
    for (uint32_t c = 0; c < n_own; c++) {
        uint32_t n = 0;
        for (uint32_t field = 0; field < self->n_fields; field++) {
            n += self->table_of[field] == c;
        }
        if (n != 1) {
            return rub_fail(err, RUB_EDATA,
                            "%s: example %" PRIu64 " has %" PRIu32
                            " features of column '%s', expected 1",
                            where, first, n, self->columns->own[c]);
        }
    }
    self->is_known = true;
    return 0;
}

static const char *name_of(const rub_field_layout_t *self, uint32_t field)
{
    const uint32_t table = self->table_of[field];
    return table < self->columns->n_own ? self->columns->own[table]
                                        : "a column without a table of its own";
}

int rub_field_layout_check(rub_field_layout_t *self, const rub_sparse_batch_t *batch,
                           uint64_t first, const char *where, rub_error_t *err)
{
    if (!self->is_known && batch->count > 0) {
        const int rc = learn(self, batch, first, where, err);
        if (rc != 0) {
            return rc;
        }
    }
    const uint32_t *place = batch->places;
    for (size_t i = 0; i < batch->count; i++) {
        for (uint32_t field = 0; field < self->n_fields; field++, place++) {
            if (!is_in(batch, *place, self->table_of[field])) {
                return rub_fail(err, RUB_EDATA,
                                "%s: feature %" PRIu32 " of example %" PRIu64
                                " is not of %s, as it was before (every example has a feature of "
                                "each column, in one order)",
                                where, field + 1, first + i, name_of(self, field));
            }
        }
    }
    return 0;
}

const rub_field_lines_t *rub_field_layout_lines(rub_field_layout_t *self,
                                                const rub_sparse_batch_t *batch)
{
    RUB_ASSERT(self->is_known);
    const uint32_t *const widths = self->columns->factors;
    uint32_t equal = 0;
    while (equal < self->columns->n_own && widths[equal] == widths[equal + 1]) {
        equal++;
    }
    if (equal == self->columns->n_own) {
        return NULL;
    }
    for (uint32_t field = 0; field < self->n_fields; field++) {
        const uint32_t table = self->table_of[field];
        size_t begins = 0; /* of the table's lines */
        for (uint32_t t = 0; t < table; t++) {
            begins += (batch->parts[t + 1] - batch->parts[t]) * widths[t];
        }
        self->lines[field] = (rub_field_lines_t){
            .width = widths[table], .shift = begins - batch->parts[table] * widths[table]};
    }
    return self->lines;
}
