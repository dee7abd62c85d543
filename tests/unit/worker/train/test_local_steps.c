/* A worker's own steps: the same as a shard's, from what was pulled, with the rate of the clock. */
#include "worker/train/local_steps.h"

#include "common/base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { N = 1000, M = 3, STEPS = 5 };

typedef struct tables {
    float first[N], second[M];
} tables_t;

static const size_t sizes[] = {N, M};

static void fill(tables_t *tables, float scale, unsigned salt)
{
    for (unsigned i = 0; i < N + M; i++) {
        const float value = scale * ((float)((i + salt) * 7919 % 211) / 105.0F - 1.0F);
        *(i < N ? &tables->first[i] : &tables->second[i - N]) = value;
    }
}

/* Steps from w with gradients of their own; changes: by how much, times share. */
static void train(rub_local_steps_t *local, const tables_t *w, uint64_t clock, float share,
                  tables_t *changes)
{
    const float *pulled[] = {w->first, w->second};
    rub_local_steps_begin(local, pulled, clock);
    for (unsigned s = 0; s < STEPS; s++) {
        tables_t g;
        fill(&g, 0.5F, 17 * s);
        float *gradients[] = {g.first, g.second};
        rub_local_steps_take(local, gradients);
    }
    float *out[] = {changes->first, changes->second};
    rub_local_steps_end(local, pulled, share, out);
}

static void steps_are_those_of_a_shard(void **state)
{
    RUB_UNUSED(state);
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    const rub_optimizer_t *adam = rub_optimizer_find(RUB_ADAM);
    rub_local_steps_t *local = rub_local_steps_new(adam, &hyper, sizes, 2);
    assert_non_null(local);
    tables_t w, changes, want;
    float first[2 * N] = {0}, second[2 * M] = {0};
    fill(&w, 1, 3);
    want = w;
    train(local, &w, 0, 0.25F, &changes);
    for (unsigned s = 0; s < STEPS; s++) {
        tables_t g;
        fill(&g, 0.5F, 17 * s);
        rub_optimizer_apply(adam, want.first, first, N, s + 1, &hyper, g.first);
        rub_optimizer_apply(adam, want.second, second, M, s + 1, &hyper, g.second);
    }
    assert_memory_equal(rub_local_steps_weights(local)[0], want.first, sizeof(want.first));
    assert_memory_equal(rub_local_steps_weights(local)[1], want.second, sizeof(want.second));
    for (size_t i = 0; i < N; i++) {
        assert_true(changes.first[i] == (want.first[i] - w.first[i]) * 0.25F);
    }
    rub_local_steps_destroy(&local);
    assert_null(local);
}

static void a_period_begins_from_what_was_pulled_with_the_moments_that_were(void **state)
{
    RUB_UNUSED(state);
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    tables_t w, once, again, fresh;
    fill(&w, 1, 3);
    rub_local_steps_t *sgd = rub_local_steps_new(rub_optimizer_find(RUB_SGD), &hyper, sizes, 2);
    train(sgd, &w, 0, 1, &once);
    train(sgd, &w, 1, 1, &again);
    assert_memory_equal(&once, &again, sizeof(once)); /* sgd remembers nothing */
    rub_local_steps_destroy(&sgd);
    const rub_optimizer_t *momentum = rub_optimizer_find(RUB_MOMENTUM);
    rub_local_steps_t *local = rub_local_steps_new(momentum, &hyper, sizes, 2);
    train(local, &w, 0, 1, &once);
    train(local, &w, 1, 1, &again);
    assert_memory_not_equal(&once, &again, sizeof(once));
    rub_local_steps_destroy(&local);
    local = rub_local_steps_new(momentum, &hyper, sizes, 2);
    train(local, &w, 1, 1, &fresh);
    assert_memory_equal(&once, &fresh, sizeof(once));
    rub_local_steps_destroy(&local);
}

static void the_rate_is_that_of_the_clock(void **state)
{
    RUB_UNUSED(state);
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.schedule = RUB_SCHEDULE_STEP;
    hyper.schedule_clocks = 10;
    hyper.step_factor = 0.5;
    rub_local_steps_t *local = rub_local_steps_new(rub_optimizer_find(RUB_SGD), &hyper, sizes, 2);
    tables_t w = {{0}, {0}}, at_once, later;
    train(local, &w, 9, 1, &at_once);
    train(local, &w, 10, 1, &later);
    for (size_t i = 0; i < M; i++) {
        assert_true(fabsf(later.second[i] - 0.5F * at_once.second[i]) < 1e-6F);
    }
    rub_local_steps_destroy(&local);
}

/* LAMB over all of a table, one that a shard holds in pieces: against the paper in float64. */
static void lamb_takes_the_norms_of_whole_tables(void **state)
{
    RUB_UNUSED(state);
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.epsilon = 1e-6;
    hyper.weight_decay = 0.125;
    rub_local_steps_t *local = rub_local_steps_new(rub_optimizer_find(RUB_LAMB), &hyper, sizes, 2);
    tables_t start, changes;
    fill(&start, 1, 3);
    train(local, &start, 0, 1, &changes);
    double w[N], m[N] = {0}, v[N] = {0}, u[N];
    for (size_t i = 0; i < N; i++) {
        w[i] = start.first[i];
    }
    for (unsigned s = 0; s < STEPS; s++) {
        tables_t g;
        double w_squares = 0, u_squares = 0;
        fill(&g, 0.5F, 17 * s);
        for (size_t i = 0; i < N; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g.first[i];
            v[i] = 0.999 * v[i] + 0.001 * g.first[i] * g.first[i];
            u[i] = m[i] / (1 - pow(0.9, s + 1)) / (sqrt(v[i] / (1 - pow(0.999, s + 1))) + 1e-6) +
                   0.125 * w[i];
            w_squares += w[i] * w[i];
            u_squares += u[i] * u[i];
        }
        for (size_t i = 0; i < N; i++) {
            w[i] -= 0.01 * sqrt(w_squares / u_squares) * u[i];
        }
    }
    for (size_t i = 0; i < N; i++) {
        assert_true(fabs(start.first[i] + changes.first[i] - w[i]) < 1e-6);
    }
    rub_local_steps_destroy(&local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_a_shard),
        cmocka_unit_test(a_period_begins_from_what_was_pulled_with_the_moments_that_were),
        cmocka_unit_test(the_rate_is_that_of_the_clock),
        cmocka_unit_test(lamb_takes_the_norms_of_whole_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
