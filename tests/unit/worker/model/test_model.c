/* What model.c refuses, what models declare, and evaluation in slices. */
#include "tests/unit/worker/model/numbers.h"

#include "common/base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const uint32_t two_hidden[] = {7, 5};

static rub_model_spec_t small_mlp(void)
{
    return (rub_model_spec_t){.kind = "mlp",
                              .n_inputs = 4,
                              .n_classes = 3,
                              .hidden = two_hidden,
                              .n_hidden = 2,
                              .activation = "relu",
                              .max_batch = 8};
}

static void assert_refused(const rub_model_spec_t *spec, const char *words)
{
    rub_error_t err = {0};
    rub_model_t *model = (rub_model_t *)&err; /* must be set to NULL */
    assert_int_equal(rub_model_new(spec, &model, &err), RUB_EINVAL);
    assert_null(model);
    assert_non_null(strstr(err.message, words));
}

static void unknown_names_are_refused_by_name(void **state)
{
    RUB_UNUSED(state);
    rub_model_spec_t spec = small_mlp();
    spec.kind = "transformer";
    assert_refused(&spec, "'transformer'");
    spec.kind = NULL;
    assert_refused(&spec, "''");
    spec = small_mlp();
    spec.activation = "swish";
    assert_refused(&spec, "'swish'");
    spec.activation = NULL;
    assert_refused(&spec, "''");
}

static void softmax_refuses_hidden_layers(void **state)
{
    RUB_UNUSED(state);
    rub_model_spec_t spec = small_mlp();
    spec.kind = "softmax";
    assert_refused(&spec, "2 hidden layers");
}

static void shapes_outside_their_limits_are_refused(void **state)
{
    RUB_UNUSED(state);
    static uint32_t deep[RUB_MODEL_HIDDEN_LIMIT + 1];
    const uint32_t empty_layer[] = {7, 0};
    const uint32_t wide[] = {RUB_MODEL_WIDTH_LIMIT, RUB_MODEL_WIDTH_LIMIT};
    rub_model_spec_t spec = small_mlp();
    spec.n_inputs = 0;
    assert_refused(&spec, "0 inputs");
    spec = small_mlp();
    spec.n_inputs = RUB_MODEL_WIDTH_LIMIT + 1;
    assert_refused(&spec, "1048577 inputs");
    spec = small_mlp();
    spec.n_classes = 1;
    assert_refused(&spec, "1 classes");
    spec = small_mlp();
    spec.max_batch = 0;
    assert_refused(&spec, "0 examples per batch");
    spec = small_mlp();
    spec.hidden = empty_layer;
    assert_refused(&spec, "0 units");
    spec = small_mlp();
    spec.hidden = deep;
    spec.n_hidden = RUB_MODEL_HIDDEN_LIMIT + 1;
    assert_refused(&spec, "65 hidden layers");
    spec = small_mlp();
    spec.hidden = wide;
    assert_refused(&spec, "'layer1/weights'");
}

static void tables_are_named_sized_and_initialised_by_layer(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = small_mlp();
    fixture_t f = fixture_new(&spec, 1, 1);
    assert_int_equal(f.n_tables, 6);
    const struct {
        const char *name;
        uint64_t elements;
        double init_scale;
    } want[] = {{"layer0/weights", 28, sqrt(6.0 / 4)}, {"layer0/bias", 7, 0},
                {"layer1/weights", 35, sqrt(6.0 / 7)}, {"layer1/bias", 5, 0},
                {"layer2/weights", 15, sqrt(6.0 / 8)}, {"layer2/bias", 3, 0}};
    for (size_t t = 0; t < 6; t++) {
        assert_string_equal(f.tables[t].name, want[t].name);
        assert_int_equal(f.tables[t].elements, want[t].elements);
        assert_int_equal(f.tables[t].init, t % 2 == 0 ? RUB_INIT_UNIFORM : RUB_INIT_ZEROS);
        assert_true(fabs(f.tables[t].init_scale - want[t].init_scale) < 1e-12);
    }
    assert_true(rub_model_gradient_flops(f.model) == 4 * 28 + 6 * 35 + 6 * 15);
    fixture_fini(&f);
}

static void batches_of_none_or_too_many_are_refused(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = small_mlp();
    fixture_t f = fixture_new(&spec, 9, 1);
    rub_error_t err = {0};
    assert_int_equal(fixture_gradient(&f, NULL, NULL, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "9 examples, expected 1 to 8"));
    f.n = 0;
    assert_int_equal(fixture_gradient(&f, NULL, NULL, &err), RUB_EINVAL);
    fixture_fini(&f);
}

static void labels_that_are_no_class_are_refused_before_anything_is_written(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = small_mlp();
    fixture_t f = fixture_new(&spec, 8, 1);
    rub_error_t err = {0};
    double loss = -1;
    f.gradients[0][0] = 42;
    f.labels[5] = 3;
    assert_int_equal(fixture_gradient(&f, &loss, NULL, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "example 5 of the batch is 3, expected 0 to 2"));
    f.labels[5] = -1;
    assert_int_equal(fixture_gradient(&f, &loss, NULL, &err), RUB_EINVAL);
    assert_int_equal(fixture_evaluate(&f, &loss, NULL, &err), RUB_EINVAL);
    assert_true(loss == -1);
    assert_true(f.gradients[0][0] == 42);
    fixture_fini(&f);
}

static void evaluation_takes_any_number_of_examples(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = small_mlp();
    fixture_t f = fixture_new(&spec, 29, 1);
    double loss = -1, sum = 0;
    size_t correct = 99, hits = 0;
    f.n = 0;
    assert_int_equal(fixture_evaluate(&f, &loss, &correct, NULL), 0);
    assert_true(loss == 0);
    assert_int_equal(correct, 0);
    f.n = 29; /* max_batch is 8 */
    assert_int_equal(fixture_evaluate(&f, &loss, &correct, NULL), 0);
    for (size_t i = 0; i < 29; i++) {
        double one_loss;
        size_t one_hit;
        assert_int_equal(rub_model_gradient(f.model, (const float *const *)f.params, f.x + i * 4,
                                            f.labels + i, 1, f.gradients, &one_loss, &one_hit,
                                            NULL),
                         0);
        sum += one_loss;
        hits += one_hit;
    }
    assert_true(fabs(loss - sum) < 1e-5);
    assert_int_equal(correct, hits);
    fixture_fini(&f);
}

static void parameters_that_are_not_finite_show_in_the_loss(void **state)
{
    RUB_UNUSED(state);
    static const char *const names[] = {"relu", "sigmoid", "tanh", "elu"};
    for (size_t a = 0; a < RUB_COUNT_OF(names); a++) {
        rub_model_spec_t spec = small_mlp();
        spec.activation = names[a];
        fixture_t f = fixture_new(&spec, 8, 1);
        double loss = 0;
        f.params[0][3] = NAN;
        assert_int_equal(fixture_gradient(&f, &loss, NULL, NULL), 0);
        assert_false(isfinite(loss));
        fixture_fini(&f);
    }
}

static void every_kind_of_the_table_opens(void **state)
{
    RUB_UNUSED(state);
    size_t n_kinds;
    const rub_model_kind_t *kinds = rub_model_kinds(&n_kinds);
    assert_int_equal(n_kinds, 3);
    for (size_t i = 0; i < n_kinds; i++) {
        rub_model_spec_t spec;
        rub_model_spec_defaults(&spec);
        spec.kind = kinds[i].name;
        spec.layers = "dense: 2"; /* of sequential */
        spec.n_inputs = 3;
        spec.n_classes = 2;
        fixture_t f = fixture_new(&spec, 2, 1);
        assert_int_equal(f.n_tables, 2);
        fixture_fini(&f);
    }
}

static void blas_names_its_core_and_threads(void **state)
{
    RUB_UNUSED(state);
    char text[256], cut[12];
    rub_model_threads(1);
    rub_model_blas(text, sizeof text);
    assert_non_null(strstr(text, "core "));
    assert_non_null(strstr(text, "1 thread"));
    rub_model_blas(cut, sizeof cut);
    assert_int_equal(strlen(cut), sizeof cut - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names_are_refused_by_name),
        cmocka_unit_test(softmax_refuses_hidden_layers),
        cmocka_unit_test(shapes_outside_their_limits_are_refused),
        cmocka_unit_test(tables_are_named_sized_and_initialised_by_layer),
        cmocka_unit_test(batches_of_none_or_too_many_are_refused),
        cmocka_unit_test(labels_that_are_no_class_are_refused_before_anything_is_written),
        cmocka_unit_test(evaluation_takes_any_number_of_examples),
        cmocka_unit_test(parameters_that_are_not_finite_show_in_the_loss),
        cmocka_unit_test(every_kind_of_the_table_opens),
        cmocka_unit_test(blas_names_its_core_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
