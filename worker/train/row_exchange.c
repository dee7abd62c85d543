/* Pulls and pushes of the rows that a batch needs. Each table is asked by one asynchronous pull, so
 * that all tables and shards work at once (pull_set.h). Arrays grow with the longest list of keys,
 * and only while nothing is under way to them. */
#include "worker/train/row_exchange.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/train/pull_set.h"

#define FIRST_ROOM ((size_t)1 << 12)

typedef struct row_set {
    rub_pull_set_t pulls;
    float *values[RUB_SPARSE_TABLES_MOST];
    size_t room; /* keys */
} row_set_t;

struct rub_row_exchange {
    rub_session_t *session;
    const rub_sparse_table_t *tables; /* of the model */
    size_t n_tables;
    const rub_column_tables_t *columns;
    rub_table_t *ids; /* as columns->items */
    row_set_t sets[RUB_ROW_SETS];
    float *gradients[RUB_SPARSE_TABLES_MOST];
    size_t gradients_room; /* keys */
};

void rub_row_exchange_schema(const rub_sparse_table_t *table, const rub_row_table_t *own,
                             uint64_t schedule_clocks, rub_schema_t *schema)
{
    const rub_update_t *const update = own->update;
    rub_schema_defaults(schema);
    schema->name = own->name;
    schema->kind = RUB_HASHED;
    schema->width = own->width;
    schema->optimizer = update->optimizer;
    schema->hyper = update->hyper;
    schema->hyper.schedule_clocks = schedule_clocks;
    schema->init = table->init;
    schema->init_scale = table->init_scale;
    schema->evict = update->evict;
    schema->admit_probability = update->admit_probability;
    schema->admit_count = update->admit_count;
    schema->admit_counters = update->admit_counters;
}

static size_t n_items(const rub_row_exchange_t *self)
{
    return self->n_tables * (self->columns->n_own + 1u);
}

static int open_tables(rub_row_exchange_t *self, uint64_t schedule_clocks, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < n_items(self) && rc == 0; i++) {
        const rub_row_table_t *const own = &self->columns->items[i];
        rub_schema_t schema;
        rub_row_exchange_schema(&self->tables[i / (self->columns->n_own + 1u)], own,
                                schedule_clocks, &schema);
        rc = rub_table_open(self->session, &schema, &self->ids[i], err);
        rc = rc ? rc
                : rub_table_codec(self->session, self->ids[i], own->update->push_codec,
                                  own->update->pull_codec, err);
    }
    return rc;
}

int rub_row_exchange_open(rub_session_t *session, const rub_sparse_model_t *model,
                          const rub_column_tables_t *columns, uint64_t schedule_clocks,
                          rub_row_exchange_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_row_exchange_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "rows: out of memory");
    }
    self->session = session;
    self->tables = rub_sparse_model_tables(model, &self->n_tables);
    self->columns = columns;
    RUB_ASSERT(columns->n_tables == self->n_tables);
    self->ids = rub_calloc(n_items(self), sizeof(*self->ids));
    int rc = self->ids ? 0 : rub_fail(err, RUB_ENOMEM, "rows: out of memory");
    for (unsigned set = 0; set < RUB_ROW_SETS && rc == 0; set++) {
        rc = rub_pull_set_init(&self->sets[set].pulls, session, n_items(self), err);
    }
    rc = rc ? rc : open_tables(self, schedule_clocks, err);
    if (rc) {
        rub_row_exchange_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_row_exchange_close(rub_row_exchange_t **self_p)
{
    rub_row_exchange_t *self = *self_p;
    if (!self) {
        return;
    }
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        rub_pull_set_fini(&self->sets[set].pulls);
    }
    for (size_t t = 0; t < self->n_tables; t++) {
        for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
            rub_free(self->sets[set].values[t]);
        }
        rub_free(self->gradients[t]);
    }
    rub_free(self->ids);
    rub_free(self);
    *self_p = NULL;
}

/* Arrays for n keys at least in place of smaller ones; what they held is lost. */
static int make_room(const rub_row_exchange_t *self, float **arrays, size_t *room_p, size_t n,
                     rub_error_t *err)
{
    if (n <= *room_p) {
        return 0;
    }
    size_t room = *room_p > 0 ? *room_p : FIRST_ROOM;
    while (room < n) {
        room *= 2;
    }
    *room_p = 0;
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_free(arrays[t]);
        arrays[t] = rub_alloc_aligned(64, room * self->tables[t].width * sizeof(float));
        if (!arrays[t]) {
            return rub_fail(err, RUB_ENOMEM, "rows: no memory for %zu keys of '%s'", room,
                            self->tables[t].name);
        }
    }
    *room_p = room;
    return 0;
}

void rub_row_exchange_forget(rub_row_exchange_t *self, unsigned number)
{
    rub_pull_set_forget(&self->sets[number].pulls);
}

/* The keys of the batch whose rows are in the model's table t and, there, in the column's. */
static size_t lines_of(const rub_row_exchange_t *self, const rub_sparse_batch_t *batch, size_t t,
                       uint32_t column)
{
    const size_t n = batch->parts[column + 1] - batch->parts[column];
    return column < batch->n_own ? n : n - !self->tables[t].has_bias;
}

int rub_row_exchange_ask(rub_row_exchange_t *self, unsigned number, const rub_sparse_batch_t *batch,
                         uint32_t ahead, rub_error_t *err)
{
    row_set_t *set = &self->sets[number];
    RUB_ASSERT(batch->n_own == self->columns->n_own);
    rub_row_exchange_forget(self, number);
    int rc = make_room(self, set->values, &set->room, batch->n_keys, err);
    rc = rc ? rc : make_room(self, self->gradients, &self->gradients_room, batch->n_keys, err);
    if (rc) {
        return rc;
    }
    rub_pull_set_begin(&set->pulls, ahead);
    for (size_t t = 0, i = 0; t < self->n_tables; t++) {
        float *values = set->values[t];
        for (uint32_t c = 0; c <= batch->n_own && rc == 0; c++, i++) {
            const size_t lines = lines_of(self, batch, t, c);
            rc = rub_pull_set_rows(&set->pulls, self->ids[i], batch->keys + batch->parts[c], lines,
                                   values, err);
            values += lines * self->columns->items[i].width;
        }
    }
    return rc;
}

bool rub_row_exchange_asked(const rub_row_exchange_t *self, unsigned number)
{
    return rub_pull_set_asked(&self->sets[number].pulls);
}

int rub_row_exchange_await(rub_row_exchange_t *self, unsigned number, rub_error_t *err)
{
    return rub_pull_set_await(&self->sets[number].pulls, err);
}

const float *const *rub_row_exchange_rows(const rub_row_exchange_t *self, unsigned number)
{
    return (const float *const *)self->sets[number].values;
}

float *const *rub_row_exchange_gradients(rub_row_exchange_t *self)
{
    return self->gradients;
}

int rub_row_exchange_push(rub_row_exchange_t *self, const rub_sparse_batch_t *batch,
                          rub_error_t *err)
{
    int rc = 0;
    for (size_t t = 0, i = 0; t < self->n_tables; t++) {
        const float *gradients = self->gradients[t];
        for (uint32_t c = 0; c <= batch->n_own && rc == 0; c++, i++) {
            const size_t lines = lines_of(self, batch, t, c);
            rc = lines > 0 ? rub_push(self->session, self->ids[i], batch->keys + batch->parts[c],
                                      lines, gradients, NULL, err)
                           : 0;
            gradients += lines * self->columns->items[i].width;
        }
    }
    return rc;
}
