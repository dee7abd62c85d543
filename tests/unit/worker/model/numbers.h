/* Deterministic numbers for tests of models, the same that tests/golden/make_models.py uses, and
 * storage for the parameters and gradients of one model. */
#ifndef TEST_NUMBERS_H
#define TEST_NUMBERS_H

#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "worker/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* In [-1, 1), a multiple of 2^-23. */
static inline double number(uint64_t stream, uint64_t i)
{
    return (double)(rub_mix64(((stream + 1) << 32) + i) >> 40) / 8388608.0 - 1.0;
}

static inline int32_t label(uint64_t stream, uint64_t i, uint32_t n_classes)
{
    return (int32_t)(rub_mix64(((stream + 1) << 32) + i) % n_classes);
}

enum { TEST_TABLES = 16 };

/* A model, its parameters and gradients, and one batch. */
typedef struct fixture {
    rub_model_t *model;
    const rub_model_table_t *tables;
    size_t n_tables;
    float *params[TEST_TABLES];
    float *gradients[TEST_TABLES];
    float *x;
    int32_t *labels;
    size_t n;
} fixture_t;

static inline fixture_t fixture_new(const rub_model_spec_t *spec, size_t n, double scale)
{
    fixture_t f = {.n = n};
    rub_error_t err = {0};
    assert_int_equal(rub_model_new(spec, &f.model, &err), 0);
    f.tables = rub_model_tables(f.model, &f.n_tables);
    assert_true(f.n_tables <= TEST_TABLES);
    for (size_t t = 0; t < f.n_tables; t++) {
        const size_t elements = (size_t)f.tables[t].elements;
        f.params[t] = rub_calloc(elements, sizeof(float));
        f.gradients[t] = rub_calloc(elements, sizeof(float));
        for (size_t i = 0; i < elements; i++) {
            f.params[t][i] = (float)(number(t, i) * (t % 2 == 0 ? scale : 0.25));
        }
    }
    f.x = rub_calloc(n * spec->n_inputs, sizeof(float));
    for (size_t i = 0; i < n * spec->n_inputs; i++) {
        f.x[i] = (float)number(1000, i);
    }
    f.labels = rub_calloc(n, sizeof(int32_t));
    for (size_t i = 0; i < n; i++) {
        f.labels[i] = label(1001, i, spec->n_classes);
    }
    return f;
}

static inline int fixture_gradient(fixture_t *f, double *loss_sum, size_t *correct,
                                   rub_error_t *err)
{
    return rub_model_gradient(f->model, (const float *const *)f->params, f->x, f->labels, f->n,
                              f->gradients, loss_sum, correct, err);
}

static inline int fixture_evaluate(fixture_t *f, double *loss_sum, size_t *correct,
                                   rub_error_t *err)
{
    return rub_model_evaluate(f->model, (const float *const *)f->params, f->x, f->labels, f->n,
                              loss_sum, correct, err);
}

static inline void fixture_fini(fixture_t *f)
{
    for (size_t t = 0; t < f->n_tables; t++) {
        rub_free(f->params[t]);
        rub_free(f->gradients[t]);
    }
    rub_free(f->x);
    rub_free(f->labels);
    rub_model_destroy(&f->model);
}

#endif
