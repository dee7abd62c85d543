/* Sparse batches against the data set they are cut from. */
#include "tests/unit/worker/data/sparse_files.h"

#include "common/base/rng.h"
#include "worker/data/sparse_batch.h"

/* n rows of up to 40 features below `keys`, some with none, some with values. */
static void random_set(sparse_file_t *file, size_t n, uint64_t keys, bool with_values)
{
    rub_rng_t rng;
    rub_rng_init(&rng, 3, keys);
    char *text = malloc(n * 40 * 24 + 1);
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        length += (size_t)sprintf(text + length, "%d", i % 3 == 0);
        const uint64_t wanted = rub_rng_below(&rng, 40);
        uint64_t key = rub_rng_below(&rng, keys / 50 + 1);
        for (uint64_t k = 0; k < wanted && key < keys; k++) {
            length += (size_t)sprintf(text + length, " %llu:%d", (unsigned long long)key,
                                      with_values ? (int)rub_rng_below(&rng, 9) : 1);
            key += 1 + rub_rng_below(&rng, keys / 30 + 1);
        }
        text[length++] = '\n';
    }
    if (sparse_file_open(file, "libsvm", text, length, "wbT") != 0) {
        fail_msg("%s", file->err.message);
    }
    assert_true((file->set->values != NULL) == with_values);
    free(text);
}

static void assert_is_slice(const rub_sparse_batch_t *batch, const rub_sparse_set_t *set,
                            const rub_order_t *order, size_t first, size_t count)
{
    assert_int_equal(batch->count, count);
    assert_true(batch->n_keys >= 1);
    assert_true(batch->keys[batch->n_keys - 1] == RUB_SPARSE_BIAS);
    bool *used = calloc(batch->n_keys, sizeof *used);
    for (size_t k = 1; k < batch->n_keys; k++) {
        assert_true(batch->keys[k - 1] < batch->keys[k]);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t example = order ? rub_order_examples(order)[first + i] : first + i;
        const uint64_t from = set->offsets[example];
        assert_int_equal(batch->labels[i], set->labels[example]);
        assert_int_equal(batch->starts[i + 1] - batch->starts[i], set->offsets[example + 1] - from);
        for (uint32_t k = 0; k < batch->starts[i + 1] - batch->starts[i]; k++) {
            const uint32_t entry = batch->starts[i] + k;
            assert_true(batch->places[entry] < batch->n_keys - 1);
            assert_true(batch->keys[batch->places[entry]] == set->keys[from + k]);
            used[batch->places[entry]] = true;
            assert_true((batch->values != NULL) == (set->values != NULL));
            if (set->values != NULL) {
                assert_true(batch->values[entry] == set->values[from + k]);
            }
        }
    }
    for (size_t k = 0; k + 1 < batch->n_keys; k++) {
        assert_true(used[k]);
    }
    free(used);
}

static void check_slices(uint64_t keys, bool with_values)
{
    enum { N = 500 };
    sparse_file_t file;
    random_set(&file, N, keys, with_values);
    rub_order_t *order = rub_order_new(N);
    rub_sparse_batch_t *batch = rub_sparse_batch_new(N);
    rub_order_shuffle(order, 7, 1);
    const size_t counts[] = {1, 2, 9, 64, 333, N, 5};
    for (size_t c = 0; c < RUB_COUNT_OF(counts); c++) {
        const size_t first = (N - counts[c]) / 2;
        assert_int_equal(rub_sparse_batch_fill(batch, file.set, order, first, counts[c], NULL), 0);
        assert_is_slice(batch, file.set, order, first, counts[c]);
        assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, first, counts[c], NULL), 0);
        assert_is_slice(batch, file.set, NULL, first, counts[c]);
    }
    rub_order_destroy(&order);
    rub_sparse_batch_destroy(&batch);
    sparse_file_fini(&file);
}

static void a_batch_has_its_examples_and_each_key_once(void **state)
{
    RUB_UNUSED(state);
    check_slices(2, false);
    check_slices(100, true);
    check_slices(1 << 20, false);
    check_slices(UINT32_MAX, true);
}

static void rows_without_features_have_the_bias_alone(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    sparse_file_init(&file, "libsvm", "1\n0\n");
    rub_sparse_batch_t *batch = rub_sparse_batch_new(2);
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, 0, 2, NULL), 0);
    assert_is_slice(batch, file.set, NULL, 0, 2);
    assert_int_equal(batch->n_keys, 1);
    rub_sparse_batch_destroy(&batch);
    sparse_file_fini(&file);
}

static void ranges_outside_the_set_are_refused(void **state)
{
    RUB_UNUSED(state);
    rub_error_t err = {0};
    sparse_file_t file;
    sparse_file_init(&file, "libsvm", "1 1:1\n0 2:1\n1 3:1\n");
    rub_order_t *order = rub_order_new(4);
    rub_sparse_batch_t *batch = rub_sparse_batch_new(2);
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, 0, 0, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, 0, 3, &err), RUB_EINVAL);
    assert_string_equal(err.message, "batch of 3 examples, expected 1 to 2");
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, 2, 2, &err), RUB_EINVAL);
    assert_string_equal(err.message, "batch of examples 2 to 3, the data set has 3");
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, UINT64_MAX, 1, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_batch_fill(batch, file.set, order, 0, 1, &err), RUB_EINVAL);
    assert_string_equal(err.message, "order of 4 examples, the data set has 3");
    assert_int_equal(batch->count, 0);
    assert_int_equal(batch->n_keys, 0);
    rub_order_destroy(&order);
    rub_sparse_batch_destroy(&batch);
    sparse_file_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_has_its_examples_and_each_key_once),
        cmocka_unit_test(rows_without_features_have_the_bias_alone),
        cmocka_unit_test(ranges_outside_the_set_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
