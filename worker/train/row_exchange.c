/* Pulls and pushes of the rows that a batch needs. Each table is asked by one asynchronous pull, so
 * that all tables and shards work at once (pull_set.h). Arrays grow with the longest list of keys,
 * and only while nothing is under way to them. */
#include "worker/train/row_exchange.h"

#include "common/base/alloc.h"
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
    const rub_sparse_table_t *tables;
    size_t n_tables;
    rub_table_t ids[RUB_SPARSE_TABLES_MOST];
    row_set_t sets[RUB_ROW_SETS];
    float *gradients[RUB_SPARSE_TABLES_MOST];
    size_t gradients_room; /* keys */
};

void rub_row_exchange_schema(const rub_sparse_table_t *table, const rub_update_t *update,
                             rub_schema_t *schema)
{
    rub_schema_defaults(schema);
    schema->name = table->name;
    schema->kind = RUB_HASHED;
    schema->width = table->width;
    schema->optimizer = update->optimizer;
    schema->hyper = update->hyper;
    schema->init = table->init;
    schema->init_scale = table->init_scale;
    schema->evict = update->evict;
    schema->admit_probability = update->admit_probability;
    schema->admit_count = update->admit_count;
    schema->admit_counters = update->admit_counters;
}

static int open_tables(rub_row_exchange_t *self, const rub_update_t *update, rub_error_t *err)
{
    int rc = 0;
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        rub_schema_t schema;
        rub_row_exchange_schema(&self->tables[t], update, &schema);
        rc = rub_table_open(self->session, &schema, &self->ids[t], err);
        rc = rc ? rc
                : rub_table_codec(self->session, self->ids[t], update->push_codec,
                                  update->pull_codec, err);
    }
    return rc;
}

int rub_row_exchange_open(rub_session_t *session, const rub_sparse_model_t *model,
                          const rub_update_t *update, rub_row_exchange_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_row_exchange_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "rows: out of memory");
    }
    self->session = session;
    self->tables = rub_sparse_model_tables(model, &self->n_tables);
    int rc = 0;
    for (unsigned set = 0; set < RUB_ROW_SETS && rc == 0; set++) {
        rc = rub_pull_set_init(&self->sets[set].pulls, session, self->n_tables, err);
    }
    rc = rc ? rc : open_tables(self, update, err);
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

int rub_row_exchange_ask(rub_row_exchange_t *self, unsigned number, const uint64_t *keys,
                         size_t n_keys, uint32_t ahead, rub_error_t *err)
{
    row_set_t *set = &self->sets[number];
    rub_row_exchange_forget(self, number);
    int rc = make_room(self, set->values, &set->room, n_keys, err);
    rc = rc ? rc : make_room(self, self->gradients, &self->gradients_room, n_keys, err);
    if (rc) {
        return rc;
    }
    rub_pull_set_begin(&set->pulls, ahead);
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        const size_t lines = rub_sparse_lines(&self->tables[t], n_keys);
        rc = rub_pull_set_rows(&set->pulls, self->ids[t], keys, lines, set->values[t], err);
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

void rub_row_exchange_clip(rub_row_exchange_t *self, const rub_clip_t *clip, size_t n_keys)
{
    size_t n[RUB_SPARSE_TABLES_MOST];
    for (size_t t = 0; t < self->n_tables; t++) {
        n[t] = rub_sparse_lines(&self->tables[t], n_keys) * self->tables[t].width;
    }
    (void)rub_clip_gradients(clip, self->gradients, n, self->n_tables);
}

int rub_row_exchange_push(rub_row_exchange_t *self, const uint64_t *keys, size_t n_keys,
                          rub_error_t *err)
{
    int rc = 0;
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        const size_t lines = rub_sparse_lines(&self->tables[t], n_keys);
        if (lines > 0) {
            rc = rub_push(self->session, self->ids[t], keys, lines, self->gradients[t], NULL, err);
        }
    }
    return rc;
}
