/* Pulls and pushes of whole models. Each table is pulled by one asynchronous request into its own
 * array, so that all shards work at once; a prefetch is the same for the next clock into the other
 * set (pull_set.h). */
#include "worker/train/parameters.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/train/pull_set.h"

typedef struct parameter_set {
    rub_pull_set_t pulls;
    float **values;
} parameter_set_t;

struct rub_parameters {
    rub_session_t *session;
    const rub_model_table_t *tables;
    size_t n_tables;
    rub_table_t *ids;
    parameter_set_t sets[2];
    unsigned current;
    float **gradients;
    size_t *sizes; /* of each array */
};

static float **arrays_new(const rub_parameters_t *self)
{
    float **arrays = rub_calloc(self->n_tables, sizeof(*arrays));
    for (size_t t = 0; arrays && t < self->n_tables; t++) {
        arrays[t] = rub_alloc_aligned(64, (size_t)self->tables[t].elements * sizeof(float));
    }
    return arrays;
}

static bool arrays_whole(float *const *arrays, size_t n)
{
    for (size_t t = 0; arrays && t < n; t++) {
        if (!arrays[t]) {
            return false;
        }
    }
    return arrays != NULL;
}

static void arrays_free(float **arrays, size_t n)
{
    for (size_t t = 0; arrays && t < n; t++) {
        rub_free(arrays[t]);
    }
    rub_free(arrays);
}

void rub_parameters_schema(const rub_model_table_t *table, rub_optimizer_kind_t optimizer,
                           const rub_hyper_t *hyper, rub_schema_t *schema)
{
    rub_schema_defaults(schema);
    schema->name = table->name;
    schema->kind = RUB_DENSE;
    schema->elements = table->elements;
    schema->optimizer = optimizer;
    schema->hyper = *hyper;
    schema->init = table->init;
    schema->init_scale = table->init_scale;
}

static int open_tables(rub_parameters_t *self, rub_optimizer_kind_t optimizer,
                       const rub_hyper_t *hyper, rub_error_t *err)
{
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_schema_t schema;
        rub_parameters_schema(&self->tables[t], optimizer, hyper, &schema);
        const int rc = rub_table_open(self->session, &schema, &self->ids[t], err);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int rub_parameters_open(rub_session_t *session, const rub_model_t *model,
                        rub_optimizer_kind_t optimizer, const rub_hyper_t *hyper,
                        rub_codec_kind_t push, rub_codec_kind_t pull, rub_parameters_t **self_p,
                        rub_error_t *err)
{
    int rc = RUB_ENOMEM;
    *self_p = NULL;
    rub_parameters_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "parameters: out of memory");
    }
    self->session = session;
    self->tables = rub_model_tables(model, &self->n_tables);
    self->ids = rub_calloc(self->n_tables, sizeof(*self->ids));
    self->gradients = arrays_new(self);
    self->sizes = rub_calloc(self->n_tables, sizeof(*self->sizes));
    for (size_t t = 0; self->sizes && t < self->n_tables; t++) {
        self->sizes[t] = (size_t)self->tables[t].elements;
    }
    bool whole = self->ids && self->sizes && arrays_whole(self->gradients, self->n_tables);
    for (int i = 0; i < 2; i++) {
        self->sets[i].values = arrays_new(self);
        whole = whole && arrays_whole(self->sets[i].values, self->n_tables);
    }
    if (!whole) {
        rub_fail(err, rc, "parameters: out of memory");
        goto out;
    }
    rc = rub_pull_set_init(&self->sets[0].pulls, session, self->n_tables, err);
    rc = rc ? rc : rub_pull_set_init(&self->sets[1].pulls, session, self->n_tables, err);
    rc = rc ? rc : open_tables(self, optimizer, hyper, err);
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        rc = rub_table_codec(session, self->ids[t], push, pull, err);
    }
out:
    if (rc) {
        rub_parameters_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_parameters_close(rub_parameters_t **self_p)
{
    rub_parameters_t *self = *self_p;
    if (!self) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        rub_pull_set_fini(&self->sets[i].pulls);
        arrays_free(self->sets[i].values, self->n_tables);
    }
    arrays_free(self->gradients, self->n_tables);
    rub_free(self->sizes);
    rub_free(self->ids);
    rub_free(self);
    *self_p = NULL;
}

void rub_parameters_forget(rub_parameters_t *self)
{
    rub_pull_set_forget(&self->sets[0].pulls);
    rub_pull_set_forget(&self->sets[1].pulls);
}

static int ask(rub_parameters_t *self, parameter_set_t *set, uint32_t ahead, rub_error_t *err)
{
    int rc = 0;
    rub_pull_set_begin(&set->pulls, ahead);
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        rc = rub_pull_set_range(&set->pulls, self->ids[t], 0, self->tables[t].elements,
                                set->values[t], err);
    }
    return rc;
}

int rub_parameters_pull(rub_parameters_t *self, rub_error_t *err)
{
    parameter_set_t *next = &self->sets[1 - self->current];
    if (rub_pull_set_asked(&next->pulls)) {
        self->current = 1 - self->current;
        return rub_pull_set_await(&next->pulls, err);
    }
    rub_parameters_forget(self);
    parameter_set_t *set = &self->sets[self->current];
    const int rc = ask(self, set, 0, err);
    return rc ? rc : rub_pull_set_await(&set->pulls, err);
}

int rub_parameters_prefetch(rub_parameters_t *self, rub_error_t *err)
{
    parameter_set_t *next = &self->sets[1 - self->current];
    return next->pulls.asked ? 0 : ask(self, next, 1, err);
}

const float *const *rub_parameters_current(const rub_parameters_t *self)
{
    return (const float *const *)self->sets[self->current].values;
}

float *const *rub_parameters_gradients(rub_parameters_t *self)
{
    return self->gradients;
}

int rub_parameters_scale(rub_parameters_t *self, rub_loss_scale_t *scale, bool *fits_p,
                         rub_error_t *err)
{
    return rub_loss_scale_round(scale, self->gradients, self->sizes, self->n_tables, fits_p, err);
}

void rub_parameters_clip(rub_parameters_t *self, const rub_clip_t *clip)
{
    (void)rub_clip_gradients(clip, self->gradients, self->sizes, self->n_tables);
}

int rub_parameters_push(rub_parameters_t *self, rub_error_t *err)
{
    int rc = 0;
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        rc = rub_push_range(self->session, self->ids[t], 0, self->tables[t].elements,
                            self->gradients[t], NULL, err);
    }
    return rc;
}
