/* The optimizer is the shards' own code, so that a local loop does all the arithmetic that a fleet
 * does, and nothing else. */
#include "worker/train/local_network.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/num/initializer.h"

#include <string.h>

typedef struct network_table {
    uint64_t elements;
    float *weights, *slots, *gradient;
} network_table_t;

struct rub_local_network {
    const rub_optimizer_t *optimizer;
    network_table_t *tables;
    size_t n_tables;
    const float **weights;
    float **gradients;
    uint64_t step;
};

/* The arrays of one table, or RUB_ENOMEM. */
static int make_table(const rub_local_network_t *self, const rub_model_table_t *table,
                      uint64_t seed, network_table_t *out)
{
    const size_t elements = (size_t)table->elements;
    const rub_initializer_t initializer = {.kind = table->init,
                                           .scale = table->init_scale,
                                           .seed = seed,
                                           .table =
                                               rub_hash_bytes(table->name, strlen(table->name))};
    out->elements = table->elements;
    out->weights = rub_alloc_aligned(64, elements * sizeof(float));
    out->gradient = rub_alloc_aligned(64, elements * sizeof(float));
    out->slots =
        rub_calloc(rub_optimizer_floats(self->optimizer, elements) - elements + 1, sizeof(float));
    if (!out->weights || !out->gradient || !out->slots) {
        return RUB_ENOMEM;
    }
    rub_initializer_fill_range(&initializer, 0, elements, out->weights);
    return 0;
}

int rub_local_network_new(const rub_model_t *model, const rub_optimizer_t *optimizer, uint64_t seed,
                          rub_local_network_t **self_p, rub_error_t *err)
{
    size_t n_tables = 0;
    const rub_model_table_t *tables = rub_model_tables(model, &n_tables);
    rub_local_network_t *self = rub_calloc(1, sizeof(*self));
    int rc = self ? 0 : RUB_ENOMEM;
    if (self) {
        self->optimizer = optimizer;
        self->tables = rub_calloc(n_tables, sizeof(*self->tables));
        self->weights = rub_calloc(n_tables, sizeof(*self->weights));
        self->gradients = rub_calloc(n_tables, sizeof(*self->gradients));
        self->n_tables = self->tables ? n_tables : 0;
        rc = self->tables && self->weights && self->gradients ? 0 : RUB_ENOMEM;
    }
    for (size_t t = 0; t < n_tables && rc == 0; t++) {
        rc = make_table(self, &tables[t], seed, &self->tables[t]);
        self->weights[t] = self->tables[t].weights;
        self->gradients[t] = self->tables[t].gradient;
    }
    if (rc) {
        rub_local_network_destroy(&self);
        rc = rub_fail(err, RUB_ENOMEM, "local loop: no memory for the model");
    }
    *self_p = self;
    return rc;
}

void rub_local_network_destroy(rub_local_network_t **self_p)
{
    rub_local_network_t *self = *self_p;
    if (!self) {
        return;
    }
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_free(self->tables[t].weights);
        rub_free(self->tables[t].slots);
        rub_free(self->tables[t].gradient);
    }
    rub_free(self->tables);
    rub_free(self->weights);
    rub_free(self->gradients);
    rub_free(self);
    *self_p = NULL;
}

const float *const *rub_local_network_weights(const rub_local_network_t *self)
{
    return self->weights;
}

float *const *rub_local_network_gradients(rub_local_network_t *self)
{
    return self->gradients;
}

void rub_local_network_step(rub_local_network_t *self, const rub_hyper_t *hyper)
{
    self->step++;
    for (size_t t = 0; t < self->n_tables; t++) {
        network_table_t *table = &self->tables[t];
        rub_optimizer_apply(self->optimizer, table->weights, table->slots, (size_t)table->elements,
                            self->step, hyper, table->gradient);
    }
}
