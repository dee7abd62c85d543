/* Networks that PyTorch and others exported (tests/golden/make_foreign_onnx.py) become ours: they
 * make of the same examples what they made there. What computes something else is refused by name.
 */
#include "cli/network_onnx.h"
#include "common/base/check.h"
#include "tests/unit/worker/model/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES_MOST = 8, EXAMPLES_MOST = 8 };

typedef struct network {
    fixture_t f;
    rub_error_t err;
    int rc;
} network_t;

static network_t take(const char *name, const char *layers, rub_shape_t image, unsigned n_classes,
                      size_t n)
{
    char path[128];
    rub_model_spec_t spec;
    rub_model_spec_defaults(&spec);
    spec.kind = "sequential";
    spec.layers = layers;
    spec.image = image;
    spec.n_inputs = image.height * image.width * image.channels;
    spec.n_classes = n_classes;
    spec.max_batch = EXAMPLES_MOST;
    network_t self = {.f = fixture_new(&spec, n, 1)};
    snprintf(path, sizeof path, "tests/golden/onnx/%s.onnx", name);
    self.rc = rub_network_read_onnx(self.f.model, self.f.params, path, &self.err);
    return self;
}

static void networks_of_other_programs_make_the_same_of_examples(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/onnx.txt", "r");
    char name[64], layers[256];
    rub_shape_t image;
    unsigned n_classes = 0;
    size_t n = 0, n_taken = 0;
    assert_non_null(file);
    while (fscanf(file, " case %63s %u %u %u %u %zu %255[^\n]", name, &image.height, &image.width,
                  &image.channels, &n_classes, &n, layers) == 7) {
        network_t net = take(name, layers, image, n_classes, n);
        float got[EXAMPLES_MOST * CLASSES_MOST];
        const bool has_branch = strcmp(name, "torch-sum") == 0;
        assert_int_equal(net.rc, has_branch ? RUB_EDATA : 0);
        rub_model_predict(net.f.model, (const float *const *)net.f.params, net.f.x, n, got);
        for (size_t i = 0; i < n * n_classes; i++) {
            double want = 0;
            assert_int_equal(fscanf(file, "%lf", &want), 1);
            assert_true(has_branch || fabs((double)got[i] - want) < 1e-5);
        }
        n_taken += !has_branch;
        fixture_fini(&net.f);
    }
    fclose(file);
    assert_int_equal(n_taken, 4);
}

typedef struct refusal {
    const char *name, *layers, *sentence;
    rub_shape_t image;
} refusal_t;

static void what_computes_something_else_is_refused_by_name(void **state)
{
    (void)state;
    static const rub_shape_t flat = {1, 1, 6}, small = {4, 3, 2}, image = {8, 7, 2};
    static const char cnn[] = "conv: {filters: 3, kernel: 3, stride: 2, padding: 1}, relu, "
                              "max_pool: 2, dense: 5, tanh, layer_norm";
    char longer[256], epsilon[256], shorter[256];
    snprintf(longer, sizeof longer, "%s, dense: 3, relu, dense: 3", cnn);
    snprintf(epsilon, sizeof epsilon, "%s: 0.1, dense: 3", cnn);
    snprintf(shorter, sizeof shorter, "%.*s, dense: 3", (int)(strstr(cnn, ", tanh") - cnn), cnn);
    const refusal_t refusals[] = {
        {"torch-sum", "dense: 6, relu, dense: 6",
         "its node '/Add' (Add) stands where the model has layer 2 (dense), expected Gemm", flat},
        {"torch-mlp", "dense: 6, tanh, dense: 3",
         "its node '/2/Relu' (Relu) stands where the model has layer 1 (dense), expected Tanh",
         small},
        {"torch-mlp", "dense: 7, relu, dense: 3",
         "'1.weight' is [6, 24], the model's 'layer0/weights' is [7, 24]", small},
        {"torch-mlp", "dense: 6, relu, dense: 3",
         "its input 'x' has images of 2 channels, expected batch x 1 channels",
         (rub_shape_t){4, 6, 1}},
        {"torch-cnn", longer, "its node '/LogSoftmax' (LogSoftmax) stands where the model has",
         image},
        {"torch-cnn", epsilon, "layer 4 (layer_norm), expected the same epsilon", image},
        {"torch-cnn", shorter, "its node '/Tanh' (Tanh) stands where the model has layer 4 (dense)",
         image},
        {"torch-cnn",
         "conv: {filters: 3, kernel: 3, padding: 1}, relu, max_pool: 2, dense: 5, tanh, "
         "layer_norm, dense: 3",
         "(Conv) stands where the model has layer 1 (conv), expected strides of 1", image},
        {"torch-cnn", "dense: 5, relu, dense: 3", "layer 1 (dense), expected Gemm, or MatMul",
         image},
        {"matmul", "dense: 4, tanh, dense: 3, relu, dense: 3",
         "its node '' (Softmax) stands where the model has layer 2 (dense), expected Relu", flat},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(refusals); i++) {
        const refusal_t *r = &refusals[i];
        const unsigned units = strcmp(r->name, "torch-sum") == 0 ? 6 : 3;
        network_t net = take(r->name, r->layers, r->image, units, 1);
        assert_int_equal(net.rc, RUB_EDATA);
        if (!strstr(net.err.message, r->sentence)) {
            fail_msg("%s: '%s' is not in '%s'", r->name, r->sentence, net.err.message);
        }
        fixture_fini(&net.f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_of_other_programs_make_the_same_of_examples),
        cmocka_unit_test(what_computes_something_else_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
