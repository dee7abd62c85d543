/* Gradients of every kind of layer against central differences of a plain float64 network, which
 * convolves by its definition and drops what the same draws say; and what dropout promises. */
#include "tests/unit/worker/model/numbers.h"

#include "common/base/check.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "worker/model/layer_list.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEED = 11, BATCH = 5, NUMBERS = 1024 };

/* ---- the plain network: one example, y from x ---- */

static double at(const double *x, rub_shape_t shape, long row, long column, long channel)
{
    const bool within =
        row >= 0 && column >= 0 && row < (long)shape.height && column < (long)shape.width;
    return within
               ? x[((size_t)row * shape.width + (size_t)column) * shape.channels + (size_t)channel]
               : 0;
}

static rub_shape_t window_shape(rub_shape_t in, double size, double stride, double padding,
                                double channels)
{
    return (rub_shape_t){(uint32_t)((in.height + 2 * padding - size) / stride) + 1,
                         (uint32_t)((in.width + 2 * padding - size) / stride) + 1,
                         (uint32_t)channels};
}

static rub_shape_t plain_conv(const double *arguments, const double *weights, const double *bias,
                              const double *x, rub_shape_t in, double *y)
{
    const long kernel = (long)arguments[1], stride = (long)arguments[2],
               padding = (long)arguments[3];
    const rub_shape_t out =
        window_shape(in, arguments[1], arguments[2], arguments[3], arguments[0]);
    for (size_t i = 0; i < rub_shape_size(out); i++) {
        const long filter = (long)(i % out.channels);
        const long row = (long)(i / out.channels / out.width),
                   column = (long)(i / out.channels % out.width);
        y[i] = bias[filter];
        for (long k = 0; k < kernel * kernel * (long)in.channels; k++) {
            const long channel = k % (long)in.channels, place = k / (long)in.channels;
            y[i] += weights[k * (long)out.channels + filter] *
                    at(x, in, row * stride + place / kernel - padding,
                       column * stride + place % kernel - padding, channel);
        }
    }
    return out;
}

static rub_shape_t plain_pool(bool greatest, const double *arguments, const double *x,
                              rub_shape_t in, double *y)
{
    const long size = (long)arguments[0], stride = arguments[1] > 0 ? (long)arguments[1] : size;
    const rub_shape_t out = window_shape(in, (double)size, (double)stride, 0, in.channels);
    for (size_t i = 0; i < rub_shape_size(out); i++) {
        double most = -INFINITY, sum = 0;
        for (long k = 0; k < size * size; k++) {
            const double value = at(x, in, (long)(i / out.channels / out.width) * stride + k / size,
                                    (long)(i / out.channels % out.width) * stride + k % size,
                                    (long)(i % out.channels));
            most = fmax(most, value);
            sum += value;
        }
        y[i] = greatest ? most : sum / (double)(size * size);
    }
    return out;
}

static void plain_norm(double epsilon, const double *gain, const double *bias, const double *x,
                       size_t n, double *y)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) {
        mean += x[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        variance += (x[i] - mean) * (x[i] - mean) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = gain[i] * (x[i] - mean) / sqrt(variance + epsilon) + bias[i];
    }
}

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

/* place: of the layer in the network, where activations behind parameters do not count. */
static void plain_dropout(double rate, unsigned place, size_t example, const double *x, size_t n,
                          double *y)
{
    const uint64_t stream = rub_mix64(rub_mix64(UINT64_C(0x64726f706f7574) + place) + BATCH);
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        const uint64_t number = example * n + i;
        rub_philox(SEED, stream, number / 4, words);
        y[i] = words[number % 4] < (uint32_t)(rate * 0x1p32) ? 0 : x[i] / (1 - rate);
    }
}

/* Logits of one example. */
static size_t plain_network(const rub_layer_list_t *list, rub_shape_t shape, double *const *params,
                            size_t example, double x[NUMBERS])
{
    size_t t = 0;
    unsigned place = 0;
    bool had_parameters = false;
    for (size_t l = 0; l < list->n_items; l++) {
        const rub_layer_kind_t *kind = list->items[l].kind;
        const double *arguments = list->items[l].arguments;
        const size_t n = (size_t)rub_shape_size(shape);
        double y[NUMBERS];
        memcpy(y, x, sizeof y);
        if (kind == &rub_dense_layer) {
            const size_t units = (size_t)arguments[0];
            for (size_t j = 0; j < units; j++) {
                y[j] = params[t + 1][j];
                for (size_t i = 0; i < n; i++) {
                    y[j] += x[i] * params[t][i * units + j];
                }
            }
            shape = (rub_shape_t){1, 1, (uint32_t)units};
        } else if (kind == &rub_conv_layer) {
            shape = plain_conv(arguments, params[t], params[t + 1], x, shape, y);
        } else if (kind == &rub_max_pool_layer || kind == &rub_avg_pool_layer) {
            shape = plain_pool(kind == &rub_max_pool_layer, arguments, x, shape, y);
        } else if (kind == &rub_norm_layer) {
            plain_norm(arguments[0], params[t], params[t + 1], x, n, y);
        } else if (kind == &rub_dropout_layer) {
            plain_dropout(arguments[0], place, example, x, n, y);
        } else if (kind->is_activation) {
            for (size_t i = 0; i < n; i++) {
                y[i] = activate(kind->name, x[i]);
            }
        }
        t += kind->weights_name != NULL ? 2 : 0;
        place += !kind->is_shape_only && !(kind->is_activation && had_parameters);
        had_parameters = kind->weights_name != NULL;
        memcpy(x, y, sizeof y);
    }
    return (size_t)rub_shape_size(shape);
}

static double mean_loss(const rub_model_spec_t *spec, double *const *params, const fixture_t *f)
{
    rub_layer_list_t list;
    double total = 0;
    assert_int_equal(rub_layer_list_read(spec->layers, &list, NULL), 0);
    for (size_t e = 0; e < f->n; e++) {
        double x[NUMBERS] = {0};
        for (size_t i = 0; i < spec->n_inputs; i++) {
            x[i] = (double)f->x[e * spec->n_inputs + i];
        }
        const size_t units = plain_network(&list, spec->image, params, e, x);
        double sum = 0;
        for (size_t k = 0; k < units; k++) {
            sum += exp(x[k]);
        }
        total += log(sum) - x[f->labels[e]];
    }
    return total / (double)f->n;
}

/* ---- against it ---- */

static rub_model_spec_t spec_of(const char *layers, rub_shape_t image)
{
    return (rub_model_spec_t){.kind = "sequential",
                              .n_inputs = (uint32_t)rub_shape_size(image),
                              .image = image,
                              .n_classes = 3,
                              .layers = layers,
                              .max_batch = 8};
}

static void check_against_differences(const char *layers, rub_shape_t image)
{
    const rub_model_spec_t spec = spec_of(layers, image);
    fixture_t f = fixture_new(&spec, 4, 0.75);
    double *params[TEST_TABLES], loss = 0;
    for (size_t t = 0; t < f.n_tables; t++) {
        params[t] = rub_calloc((size_t)f.tables[t].elements, sizeof(double));
        for (size_t i = 0; i < f.tables[t].elements; i++) {
            params[t][i] = (double)f.params[t][i];
        }
    }
    rub_model_draw(f.model, SEED, BATCH);
    assert_int_equal(fixture_gradient(&f, &loss, NULL, NULL), 0);
    assert_true(fabs(loss / 4 - mean_loss(&spec, params, &f)) < 1e-6);
    const double h = 1e-5;
    for (size_t t = 0; t < f.n_tables; t++) {
        for (size_t i = 0; i < f.tables[t].elements; i++) {
            const double value = params[t][i];
            params[t][i] = value + h;
            const double above = mean_loss(&spec, params, &f);
            params[t][i] = value - h;
            const double below = mean_loss(&spec, params, &f);
            params[t][i] = value;
            const double want = (above - below) / (2 * h), got = (double)f.gradients[t][i];
            if (!(fabs(got - want) < 2e-6 + 2e-5 * fabs(want))) {
                fail_msg("%s: %s[%zu]: %.9g, expected %.9g", layers, f.tables[t].name, i, got,
                         want);
            }
        }
    }
    for (size_t t = 0; t < f.n_tables; t++) {
        rub_free(params[t]);
    }
    fixture_fini(&f);
}

static void gradients_of_every_kind_equal_central_differences(void **state)
{
    RUB_UNUSED(state);
    const rub_shape_t flat = {1, 1, 6}, image = {6, 5, 2};
    check_against_differences("conv: {filters: 3, kernel: 3}, relu, dense: 3", image);
    check_against_differences("conv: {filters: 2, kernel: 3, stride: 2, padding: 1}, tanh, "
                              "conv: {filters: 3, kernel: 2}, dense: 3",
                              image);
    check_against_differences("conv: {filters: 2, kernel: 2}, max_pool: 2, relu, dense: 3", image);
    check_against_differences(
        "conv: {filters: 2, kernel: 2}, max_pool: {size: 2, stride: 1}, flatten, dense: 3", image);
    check_against_differences("conv: {filters: 2, kernel: 2}, sigmoid, avg_pool: {size: 3, stride: "
                              "1}, elu, dense: 3",
                              image);
    check_against_differences("dense: 5, layer_norm, relu, dense: 3", flat);
    check_against_differences("conv: {filters: 2, kernel: 3}, layer_norm: 0.01, dense: 4", image);
    check_against_differences("dense: 5, tanh, dropout: 0.4, dense: 4, dropout: 0.25, dense: 3",
                              flat);
    check_against_differences("dropout: 0.3, conv: {filters: 2, kernel: 3}, dropout: 0.5, dense: 3",
                              image);
}

static const char droppy[] = "dense: 64, relu, dropout: 0.25, dense: 3";

static void dropout_draws_by_seed_and_batch_and_not_in_evaluation(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = spec_of(droppy, (rub_shape_t){1, 1, 6});
    static const uint64_t draws[][2] = {{1, 1}, {1, 2}, {2, 1}, {1, 1}};
    double losses[4], evaluated[2];
    fixture_t f = fixture_new(&spec, 8, 0.75);
    for (size_t i = 0; i < 4; i++) {
        rub_model_draw(f.model, draws[i][0], draws[i][1]);
        assert_int_equal(fixture_gradient(&f, &losses[i], NULL, NULL), 0);
        assert_int_equal(fixture_evaluate(&f, &evaluated[i % 2], NULL, NULL), 0);
    }
    assert_memory_equal(&losses[0], &losses[3], sizeof losses[0]);
    assert_true(losses[0] != losses[1] && losses[0] != losses[2] && losses[1] != losses[2]);
    assert_memory_equal(&evaluated[0], &evaluated[1], sizeof evaluated[0]);
    fixture_fini(&f);
}

static void dropout_keeps_the_mean(void **state)
{
    RUB_UNUSED(state);
    enum { N = 40000 };
    static float x[N], y[N], factors[N];
    rub_layer_t layer = {.kind = &rub_dropout_layer,
                         .arguments = {0.25},
                         .in = {1, 1, N},
                         .output = y,
                         .scratch = factors};
    const rub_layer_draw_t draw = {3, 4};
    size_t zeros = 0;
    for (size_t i = 0; i < N; i++) {
        x[i] = 1;
    }
    layer.kind->forward(&layer, (rub_layer_params_t){NULL, NULL}, x, 1, &draw);
    for (size_t i = 0; i < N; i++) {
        zeros += y[i] == 0;
        assert_true(y[i] == 0 || fabsf(y[i] - 4.0f / 3) < 1e-6f);
    }
    assert_true(fabs((double)zeros / N - 0.25) < 0.01); /* a deviation is 0.0022 */
}

static void convolutions_give_equal_bits_whatever_was_computed_before(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec =
        spec_of("conv: {filters: 4, kernel: 3, padding: 1}, relu, max_pool: 2, layer_norm, conv: "
                "{filters: 4, kernel: 2}, dropout: 0.5, dense: 3",
                (rub_shape_t){12, 10, 2});
    fixture_t a = fixture_new(&spec, 8, 0.5), b = fixture_new(&spec, 8, 0.5);
    assert_int_equal(fixture_gradient(&a, NULL, NULL, NULL), 0);
    b.n = 3; /* leaves rubbish in the workspace and in the gradients */
    assert_int_equal(fixture_gradient(&b, NULL, NULL, NULL), 0);
    b.n = 8;
    assert_int_equal(fixture_gradient(&b, NULL, NULL, NULL), 0);
    for (size_t t = 0; t < a.n_tables; t++) {
        assert_memory_equal(a.gradients[t], b.gradients[t], a.tables[t].elements * sizeof(float));
    }
    fixture_fini(&a);
    fixture_fini(&b);
}

static void what_is_not_finite_passes_through_pools_and_norms(void **state)
{
    RUB_UNUSED(state);
    static const char *const lists[] = {"max_pool: 2, dense: 3", "avg_pool: 2, dense: 3",
                                        "layer_norm, dense: 3", "conv: 2, relu, dense: 3"};
    for (size_t i = 0; i < RUB_COUNT_OF(lists); i++) {
        const rub_model_spec_t spec = spec_of(lists[i], (rub_shape_t){4, 4, 1});
        for (size_t place = 0; place < 6; place += 5) { /* first and last of a window */
            fixture_t f = fixture_new(&spec, 2, 0.5);
            double loss = 0;
            f.x[place] = NAN;
            assert_int_equal(fixture_evaluate(&f, &loss, NULL, NULL), 0);
            assert_true(isnan(loss));
            fixture_fini(&f);
        }
    }
}

static void one_gradient_is_timed(void **state)
{
    RUB_UNUSED(state);
    rub_model_spec_t spec =
        spec_of("conv: {filters: 16, kernel: 5, padding: 2}, relu, max_pool: 2, conv: {filters: "
                "32, kernel: 5}, relu, max_pool: 2, dense: 128, relu, dropout: 0.25, dense: 10",
                (rub_shape_t){28, 28, 1});
    uint64_t best_ns = UINT64_MAX;
    spec.max_batch = 64;
    rub_model_threads(1);
    fixture_t f = fixture_new(&spec, 64, 0.0625);
    for (int i = 0; i < 8; i++) {
        const uint64_t start_ns = rub_now_ns();
        assert_int_equal(fixture_gradient(&f, NULL, NULL, NULL), 0);
        const uint64_t ns = rub_now_ns() - start_ns;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    const double per_s = 64e9 / (double)best_ns;
    print_message("gradient of a convolutional network, batch 64: %.0f examples/s, %.1f Gflop/s\n",
                  per_s, per_s * rub_model_gradient_flops(f.model) / 1e9);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_every_kind_equal_central_differences),
        cmocka_unit_test(dropout_draws_by_seed_and_batch_and_not_in_evaluation),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(convolutions_give_equal_bits_whatever_was_computed_before),
        cmocka_unit_test(what_is_not_finite_passes_through_pools_and_norms),
        cmocka_unit_test(one_gradient_is_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
