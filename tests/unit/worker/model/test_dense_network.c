/* Networks of dense layers: gradients against central differences of a second, plain implementation
 * in float64; equalities that must hold to the bit; and the speed of one gradient, printed. */
#include "tests/unit/worker/model/numbers.h"

#include "common/base/check.h"
#include "common/base/timing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double activate(const char *name, double z)
{
    switch (name[0]) {
    case 'r':
        return z > 0 ? z : 0;
    case 's':
        return 1 / (1 + exp(-z));
    case 't':
        return tanh(z);
    default:
        return z > 0 ? z : expm1(z);
    }
}

/* y = f(x W + b) for one example, f = NULL: linear. */
static void layer(const double *in, size_t n_in, const double *weights, const double *bias,
                  size_t n_out, const char *activation, double *out)
{
    for (size_t j = 0; j < n_out; j++) {
        double sum = bias[j];
        for (size_t i = 0; i < n_in; i++) {
            sum += in[i] * weights[i * n_out + j];
        }
        out[j] = activation != NULL ? activate(activation, sum) : sum;
    }
}

enum { WIDEST = 32 };

static double mean_loss(const rub_model_spec_t *spec, double *const *params, const fixture_t *f)
{
    double total = 0;
    for (size_t e = 0; e < f->n; e++) {
        double in[WIDEST], out[WIDEST];
        size_t width = spec->n_inputs;
        for (size_t i = 0; i < width; i++) {
            in[i] = (double)f->x[e * width + i];
        }
        for (size_t l = 0; l <= spec->n_hidden; l++) {
            const bool last = l == spec->n_hidden;
            const size_t next = last ? spec->n_classes : spec->hidden[l];
            layer(in, width, params[2 * l], params[2 * l + 1], next, last ? NULL : spec->activation,
                  out);
            memcpy(in, out, sizeof in);
            width = next;
        }
        double sum = 0;
        for (size_t k = 0; k < width; k++) {
            sum += exp(out[k]);
        }
        total += log(sum) - out[f->labels[e]];
    }
    return total / (double)f->n;
}

static void check_against_differences(const rub_model_spec_t *spec)
{
    fixture_t f = fixture_new(spec, 7, 0.75);
    rub_error_t err = {0};
    double loss = 0;
    double *params[TEST_TABLES];
    for (size_t t = 0; t < f.n_tables; t++) {
        params[t] = rub_calloc((size_t)f.tables[t].elements, sizeof(double));
        for (size_t i = 0; i < f.tables[t].elements; i++) {
            params[t][i] = (double)f.params[t][i];
        }
    }
    assert_int_equal(fixture_gradient(&f, &loss, NULL, &err), 0);
    assert_true(fabs(loss / 7 - mean_loss(spec, params, &f)) < 1e-6);
    const double h = 1e-5;
    for (size_t t = 0; t < f.n_tables; t++) {
        for (size_t i = 0; i < f.tables[t].elements; i++) {
            const double at = params[t][i];
            params[t][i] = at + h;
            const double above = mean_loss(spec, params, &f);
            params[t][i] = at - h;
            const double below = mean_loss(spec, params, &f);
            params[t][i] = at;
            const double want = (above - below) / (2 * h);
            const double got = (double)f.gradients[t][i];
            if (!(fabs(got - want) < 1e-6 + 1e-5 * fabs(want))) {
                fail_msg("%s, %u hidden layers, %s[%zu]: %.9g, expected %.9g", spec->activation,
                         spec->n_hidden, f.tables[t].name, i, got, want);
            }
        }
    }
    for (size_t t = 0; t < f.n_tables; t++) {
        rub_free(params[t]);
    }
    fixture_fini(&f);
}

static void gradients_equal_central_differences_for_all_activations_and_depths(void **state)
{
    RUB_UNUSED(state);
    static const char *const names[] = {"relu", "sigmoid", "tanh", "elu"};
    static const uint32_t hidden[] = {5, 9, 4};
    for (size_t a = 0; a < RUB_COUNT_OF(names); a++) {
        for (uint32_t depth = 0; depth <= 3; depth++) {
            const rub_model_spec_t spec = {.kind = "mlp",
                                           .n_inputs = 6,
                                           .n_classes = 3,
                                           .hidden = hidden,
                                           .n_hidden = depth,
                                           .activation = names[a],
                                           .max_batch = 8};
            check_against_differences(&spec);
        }
    }
}

static void softmax_is_the_mlp_without_a_hidden_layer_to_the_bit(void **state)
{
    RUB_UNUSED(state);
    rub_model_spec_t spec;
    rub_model_spec_defaults(&spec);
    spec.n_inputs = 21;
    spec.n_classes = 5;
    fixture_t softmax = fixture_new(&spec, 33, 0.5);
    spec.kind = "mlp";
    fixture_t mlp = fixture_new(&spec, 33, 0.5);
    double losses[2];
    assert_int_equal(fixture_gradient(&softmax, &losses[0], NULL, NULL), 0);
    assert_int_equal(fixture_gradient(&mlp, &losses[1], NULL, NULL), 0);
    assert_memory_equal(&losses[0], &losses[1], sizeof losses[0]);
    for (size_t t = 0; t < 2; t++) {
        assert_memory_equal(softmax.gradients[t], mlp.gradients[t],
                            softmax.tables[t].elements * sizeof(float));
    }
    fixture_fini(&softmax);
    fixture_fini(&mlp);
}

static const uint32_t fashion_hidden[] = {256, 128};
static const rub_model_spec_t fashion = {.kind = "mlp",
                                         .n_inputs = 784,
                                         .n_classes = 10,
                                         .hidden = fashion_hidden,
                                         .n_hidden = 2,
                                         .activation = "relu",
                                         .max_batch = 128};

static void equal_inputs_give_equal_bits_whatever_was_computed_before(void **state)
{
    RUB_UNUSED(state);
    rub_model_threads(1);
    fixture_t a = fixture_new(&fashion, 128, 0.0625);
    fixture_t b = fixture_new(&fashion, 128, 0.0625);
    assert_int_equal(fixture_gradient(&a, NULL, NULL, NULL), 0);
    b.n = 37; /* leaves rubbish in the workspace and in the gradients */
    assert_int_equal(fixture_gradient(&b, NULL, NULL, NULL), 0);
    b.n = 128;
    assert_int_equal(fixture_gradient(&b, NULL, NULL, NULL), 0);
    for (size_t t = 0; t < a.n_tables; t++) {
        assert_memory_equal(a.gradients[t], b.gradients[t], a.tables[t].elements * sizeof(float));
    }
    fixture_fini(&a);
    fixture_fini(&b);
}

/* Pulled values land wherever a worker's buffers are: bsp must not depend on it. */
static void bits_do_not_depend_on_the_alignment_of_buffers(void **state)
{
    RUB_UNUSED(state);
    rub_model_threads(1);
    fixture_t f = fixture_new(&fashion, 128, 0.0625);
    float *memory[2 * TEST_TABLES];
    float *params[TEST_TABLES], *gradients[TEST_TABLES];
    for (size_t t = 0; t < f.n_tables; t++) {
        const size_t elements = (size_t)f.tables[t].elements;
        memory[2 * t] = rub_alloc_aligned(64, (elements + 16) * sizeof(float));
        memory[2 * t + 1] = rub_alloc_aligned(64, (elements + 16) * sizeof(float));
        params[t] = memory[2 * t] + 1 + t;
        gradients[t] = memory[2 * t + 1] + 3 + t;
        memcpy(params[t], f.params[t], elements * sizeof(float));
    }
    float *x = rub_alloc_aligned(64, (128 * 784 + 1) * sizeof(float));
    memcpy(x + 1, f.x, 128 * 784 * sizeof(float));
    assert_int_equal(fixture_gradient(&f, NULL, NULL, NULL), 0);
    assert_int_equal(rub_model_gradient(f.model, (const float *const *)params, x + 1, f.labels, 128,
                                        gradients, NULL, NULL, NULL),
                     0);
    for (size_t t = 0; t < f.n_tables; t++) {
        assert_memory_equal(gradients[t], f.gradients[t], f.tables[t].elements * sizeof(float));
        rub_free(memory[2 * t]);
        rub_free(memory[2 * t + 1]);
    }
    rub_free(x);
    fixture_fini(&f);
}

static void gradients_reduce_the_loss_when_followed(void **state)
{
    RUB_UNUSED(state);
    fixture_t f = fixture_new(&fashion, 128, 0.0625);
    double first = 0, last = 0;
    size_t correct = 0;
    assert_int_equal(fixture_evaluate(&f, &first, NULL, NULL), 0);
    for (int step = 0; step < 150; step++) {
        assert_int_equal(fixture_gradient(&f, &last, &correct, NULL), 0);
        for (size_t t = 0; t < f.n_tables; t++) {
            for (size_t i = 0; i < f.tables[t].elements; i++) {
                f.params[t][i] -= 0.5f * f.gradients[t][i];
            }
        }
    }
    assert_true(last < first / 4);
    assert_true(correct > 120); /* 128 random labels learned by heart */
    fixture_fini(&f);
}

static void probabilities_are_those_whose_logarithm_is_the_loss(void **state)
{
    RUB_UNUSED(state);
    const uint32_t hidden[] = {9, 5};
    rub_model_spec_t spec = {.kind = "mlp",
                             .n_inputs = 6,
                             .n_classes = 4,
                             .hidden = hidden,
                             .n_hidden = 2,
                             .activation = "tanh",
                             .max_batch = 8};
    fixture_t f = fixture_new(&spec, 21, 0.75); /* more than two batches */
    float probabilities[21 * 4];
    double loss = 0, expected = 0;
    assert_int_equal(fixture_evaluate(&f, &loss, NULL, NULL), 0);
    rub_model_predict(f.model, (const float *const *)f.params, f.x, f.n, probabilities);
    for (size_t i = 0; i < f.n; i++) {
        const float *row = probabilities + 4 * i;
        assert_true(fabs((double)row[0] + row[1] + row[2] + row[3] - 1) < 1e-6);
        expected -= log((double)row[f.labels[i]]);
    }
    assert_true(fabs(loss - expected) < 1e-5 * loss);
    fixture_fini(&f);
}

static void one_gradient_is_timed(void **state)
{
    RUB_UNUSED(state);
    rub_model_threads(1);
    fixture_t f = fixture_new(&fashion, 128, 0.0625);
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < 60; i++) {
        const uint64_t start_ns = rub_now_ns();
        assert_int_equal(fixture_gradient(&f, NULL, NULL, NULL), 0);
        const uint64_t ns = rub_now_ns() - start_ns;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    char blas[256];
    rub_model_blas(blas, sizeof blas);
    const double per_s = 128e9 / (double)best_ns;
    print_message("gradient 784-256-128-10, batch 128: %.0f examples/s, %.1f Gflop/s (%s)\n", per_s,
                  per_s * rub_model_gradient_flops(f.model) / 1e9, blas);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_central_differences_for_all_activations_and_depths),
        cmocka_unit_test(softmax_is_the_mlp_without_a_hidden_layer_to_the_bit),
        cmocka_unit_test(equal_inputs_give_equal_bits_whatever_was_computed_before),
        cmocka_unit_test(bits_do_not_depend_on_the_alignment_of_buffers),
        cmocka_unit_test(gradients_reduce_the_loss_when_followed),
        cmocka_unit_test(probabilities_are_those_whose_logarithm_is_the_loss),
        cmocka_unit_test(one_gradient_is_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
