/* What a list of layers may say, and every refusal with the item's number, the fact and the bound.
 */
#include "tests/unit/worker/model/numbers.h"

#include "common/base/check.h"
#include "worker/model/layer_list.h"

#include <stdio.h>
#include <string.h>

static void expect_unread(const char *text, const char *words)
{
    rub_layer_list_t list;
    rub_error_t err = {0};
    if (rub_layer_list_read(text, &list, &err) != RUB_EINVAL || !strstr(err.message, words)) {
        fail_msg("'%s': '%s', expected '%s'", text, err.message, words);
    }
}

static void what_can_not_be_read_is_refused_by_its_item(void **state)
{
    RUB_UNUSED(state);
    expect_unread("", "item 1: '' stands where the name of a layer is expected");
    expect_unread("dense: 3,", "item 2: '' stands where the name of a layer is expected");
    expect_unread("dense: 3, gelu",
                  "item 2: layer 'gelu' is not known, expected one of dense, conv");
    expect_unread("Dense: 3", "item 1: 'Dense: 3' stands where the name");
    expect_unread("dense", "item 1 (dense): units is missing, expected dense: and a number");
    expect_unread("dense: x", "item 1: 'x' stands where a number is expected");
    expect_unread("dense: 1e", "item 1: '1e' stands where a whole number is expected");
    expect_unread("dense: 2.5", "'2.5' stands where a whole number is expected");
    expect_unread("dense: 0", "item 1 (dense): units 0, expected 1 to 1048576");
    expect_unread("dense: 2097152", "units 2097152, expected 1 to 1048576");
    expect_unread("relu, dropout: 1.5", "item 2 (dropout): rate 1.5, expected 0 to 0.99");
    expect_unread("dropout: -0.1", "rate -0.1, expected 0 to 0.99");
    expect_unread("layer_norm: 0", "epsilon 0, expected 1e-12 to 1");
    expect_unread("relu: 3", "item 1 (relu): takes no argument");
    expect_unread("relu: {a: 1}", "argument 'a' is not known, expected none");
    expect_unread("conv: {filters: 8, size: 3}",
                  "item 1 (conv): argument 'size' is not known, expected filters, kernel, stride, "
                  "padding");
    expect_unread("conv: {filters: 8, filters: 9}", "argument 'filters' is there twice");
    expect_unread("conv: {kernel: 3}", "item 1 (conv): filters is missing");
    expect_unread("conv: {filters 8}", "item 1: '8}' stands where ':' is expected");
    expect_unread("conv: {filters: 8", "item 1: '' stands where ',' or '}' is expected");
    expect_unread("conv: {}", "'}' stands where the name of an argument is expected");
    expect_unread("dense: 3 relu", "item 1: 'relu' stands where ',' or the end is expected");
    expect_unread("max_pool: 0", "item 1 (max_pool): size 0, expected 1 to 1024");
}

static void lists_beyond_the_limit_are_refused(void **state)
{
    RUB_UNUSED(state);
    static char text[8 * RUB_LAYER_LIST_LIMIT + 8];
    rub_layer_list_t list;
    for (size_t i = 0; i < RUB_LAYER_LIST_LIMIT; i++) {
        strcat(text, i > 0 ? ",relu" : "relu");
    }
    assert_int_equal(rub_layer_list_read(text, &list, NULL), 0);
    assert_int_equal(list.n_items, RUB_LAYER_LIST_LIMIT);
    strcat(text, ",relu");
    expect_unread(text, "item 130: more than 129 items");
}

static void arguments_stand_alone_or_by_name_and_have_defaults(void **state)
{
    RUB_UNUSED(state);
    rub_layer_list_t list;
    assert_int_equal(
        rub_layer_list_read(" conv: {padding: 2,filters: 16, kernel: 5} ,relu,\tmax_pool:2, "
                            "conv: 8, layer_norm, dropout: .5, dense: 10",
                            &list, NULL),
        0);
    assert_int_equal(list.n_items, 7);
    const double conv[] = {16, 5, 1, 2}, second[] = {8, 3, 1, 0};
    assert_ptr_equal(list.items[0].kind, &rub_conv_layer);
    assert_memory_equal(list.items[0].arguments, conv, sizeof conv);
    assert_memory_equal(list.items[3].arguments, second, sizeof second);
    assert_true(list.items[2].arguments[0] == 2 && list.items[2].arguments[1] == 0);
    assert_true(list.items[4].arguments[0] == 1e-5);
    assert_true(list.items[5].arguments[0] == 0.5);
    assert_ptr_equal(list.items[6].kind, &rub_dense_layer);
}

/* ---- lists that can be read and not be built ---- */

static int build(const char *layers, rub_shape_t image, rub_error_t *err)
{
    const rub_model_spec_t spec = {.kind = "sequential",
                                   .n_inputs = (uint32_t)rub_shape_size(image),
                                   .image = image,
                                   .n_classes = 10,
                                   .layers = layers,
                                   .max_batch = 2};
    rub_model_t *model = NULL;
    const int rc = rub_model_new(&spec, &model, err);
    rub_model_destroy(&model);
    return rc;
}

static void expect_unbuilt(const char *layers, const char *words)
{
    rub_error_t err = {0};
    if (build(layers, (rub_shape_t){28, 28, 1}, &err) != RUB_EINVAL ||
        !strstr(err.message, words)) {
        fail_msg("'%s': '%s', expected '%s'", layers, err.message, words);
    }
}

static void shapes_that_do_not_suit_are_refused_by_their_item(void **state)
{
    RUB_UNUSED(state);
    expect_unbuilt("max_pool: 7, conv: {filters: 8, kernel: 5}, dense: 10",
                   "item 2 (conv): kernel 5 does not fit into 4 x 4 x 1 (height, width, channels) "
                   "with padding 0");
    expect_unbuilt("conv: {filters: 8, padding: 3}, dense: 10",
                   "item 1 (conv): padding 3, expected less than the kernel, 3");
    expect_unbuilt("flatten, max_pool: 2, dense: 10",
                   "item 2 (max_pool): size 2 does not fit into 1 x 1 x 784");
    expect_unbuilt("conv: {filters: 65536}, dense: 10",
                   "item 1 (conv): its output would be 26 x 26 x 65536, at most 1048576 numbers");
    expect_unbuilt("dense: 1048576, dense: 2000, dense: 10",
                   "table 'layer1/weights' of the model would have 2097152000 numbers");
    expect_unbuilt("dense: 10, relu",
                   "item 2 (relu): the last layer, expected dense with 10 units");
    expect_unbuilt("conv: 10", "item 1 (conv): the last layer, expected dense");
    expect_unbuilt("relu, dense: 9", "item 2 (dense): 9 units, the data has 10 classes");
    expect_unbuilt(NULL, "item 1: '' stands where the name of a layer");
    rub_error_t err = {0};
    assert_int_equal(build("dense: 12", (rub_shape_t){28, 28, 1}, &err), 0); /* more is no fault */
}

static void tables_are_numbered_by_layers_with_parameters(void **state)
{
    RUB_UNUSED(state);
    const rub_model_spec_t spec = {.kind = "sequential",
                                   .n_inputs = 50,
                                   .image = {5, 5, 2},
                                   .n_classes = 3,
                                   .layers = "dropout: 0.1, conv: {filters: 4, kernel: 2}, relu, "
                                             "max_pool: 2, layer_norm, flatten, dense: 3",
                                   .max_batch = 2};
    static const struct {
        const char *name;
        uint64_t elements;
    } want[] = {{"layer0/weights", 32}, {"layer0/bias", 4},     {"layer1/gain", 16},
                {"layer1/bias", 16},    {"layer2/weights", 48}, {"layer2/bias", 3}};
    fixture_t f = fixture_new(&spec, 2, 1);
    assert_int_equal(f.n_tables, RUB_COUNT_OF(want));
    for (size_t t = 0; t < f.n_tables; t++) {
        assert_string_equal(f.tables[t].name, want[t].name);
        assert_int_equal(f.tables[t].elements, want[t].elements);
    }
    assert_int_equal(f.tables[2].init, RUB_INIT_CONSTANT);
    assert_true(f.tables[2].init_scale == 1);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_not_be_read_is_refused_by_its_item),
        cmocka_unit_test(lists_beyond_the_limit_are_refused),
        cmocka_unit_test(arguments_stand_alone_or_by_name_and_have_defaults),
        cmocka_unit_test(shapes_that_do_not_suit_are_refused_by_their_item),
        cmocka_unit_test(tables_are_numbered_by_layers_with_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
