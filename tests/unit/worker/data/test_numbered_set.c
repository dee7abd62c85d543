/* Numbered keys: another name for each, and nothing else. */
#include "tests/unit/worker/data/sparse_files.h"

#include "worker/data/numbered_set.h"
#include "worker/data/sparse_batch.h"

static void open_set(sparse_file_t *file, const char *format, const char *text)
{
    if (sparse_file_open(file, format, text, strlen(text), "wbT") != 0) {
        fail_msg("%s", file->err.message);
    }
}

/* Every key's name is the key that stood there, and names ascend within their part. */
static void assert_names(const rub_numbered_set_t *numbered, const rub_sparse_set_t *set)
{
    for (uint64_t e = 0; e < set->offsets[set->n_examples]; e++) {
        const uint32_t column = set->n_own > 0 ? numbered->set.keys[e] >> set->hash_bits : 0;
        const uint32_t number = numbered->set.keys[e] - (column << set->hash_bits);
        assert_true(numbered->parts[column] + number < numbered->parts[column + 1]);
        const uint32_t name = numbered->names[numbered->parts[column] + number];
        assert_int_equal((column << set->hash_bits) + name, set->keys[e]);
        assert_true(numbered->set.keys[e] <= numbered->set.greatest_key);
    }
    for (uint32_t c = 0; c <= set->n_own; c++) {
        for (size_t i = numbered->parts[c] + 1; i < numbered->parts[c + 1]; i++) {
            assert_true(numbered->names[i - 1] < numbered->names[i]);
        }
    }
}

static void keys_that_are_there_are_counted_in_their_order(void **state)
{
    RUB_UNUSED(state);
    static const uint32_t names[] = {0, 63, 64, 7000, 4194303};
    static const uint32_t numbers[] = {1, 4, 0, 1, 2, 3};
    sparse_file_t file;
    rub_numbered_set_t numbered;
    open_set(&file, "libsvm", "1 63:2 4194303:0.5\n0\n1 0:1 63:1 64:1 7000:1\n");
    assert_int_equal(rub_numbered_set_open(file.set, &numbered, NULL), 0);
    assert_int_equal(numbered.parts[0], 0);
    assert_int_equal(numbered.parts[1], 5);
    assert_memory_equal(numbered.names, names, sizeof names);
    assert_memory_equal(numbered.set.keys, numbers, sizeof numbers);
    assert_int_equal(numbered.set.greatest_key, 4);
    assert_ptr_equal(numbered.set.values, file.set->values);
    assert_int_equal(file.set->keys[1], 4194303); /* the first set is what it was */
    assert_names(&numbered, file.set);
    rub_numbered_set_close(&numbered);
    assert_null(numbered.names);
    sparse_file_fini(&file);
}

static void columns_of_their_own_are_numbered_apart(void **state)
{
    RUB_UNUSED(state);
    static const char *const own[] = {"city", "day"};
    sparse_file_t file;
    rub_numbered_set_t numbered;
    rub_sparse_set_t *set = NULL;
    open_set(&file, "csv", "label,city,size,day\n1,10,20,30\n0,11,21,30\n1,12,20,31\n");
    file.options.csv_words = "all";
    file.options.own = own;
    file.options.n_own = 2;
    if (rub_sparse_set_open(&file.options, &set, &file.err) != 0) {
        fail_msg("%s", file.err.message);
    }
    assert_int_equal(rub_numbered_set_open(set, &numbered, NULL), 0);
    assert_int_equal(numbered.parts[1], 3); /* 10, 11, 12 */
    assert_int_equal(numbered.parts[2], 5); /* 30, 31 */
    assert_int_equal(numbered.parts[3], 7); /* 20, 21 */
    assert_names(&numbered, set);
    rub_numbered_set_close(&numbered);
    rub_sparse_set_close(&set);
    sparse_file_fini(&file);
}

/* So that models see the same places. */
static void a_batch_of_numbers_lists_the_same_features_at_the_same_places(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    rub_numbered_set_t numbered;
    open_set(&file, "libsvm", "1 5:1 900000:1\n0 17:1\n1 5:1 17:1 20:1\n0 900000:1\n");
    assert_int_equal(rub_numbered_set_open(file.set, &numbered, NULL), 0);
    rub_sparse_batch_t *one = rub_sparse_batch_new(3);
    rub_sparse_batch_t *other = rub_sparse_batch_new(3);
    assert_int_equal(rub_sparse_batch_fill(one, file.set, NULL, 1, 3, NULL), 0);
    assert_int_equal(rub_sparse_batch_fill(other, &numbered.set, NULL, 1, 3, NULL), 0);
    assert_int_equal(one->n_keys, 5);
    assert_int_equal(other->n_keys, 5);
    assert_memory_equal(one->places, other->places, one->starts[3] * sizeof *one->places);
    for (size_t k = 0; k + 1 < one->n_keys; k++) {
        assert_int_equal(numbered.names[other->keys[k]], one->keys[k]);
    }
    assert_true(other->keys[4] == RUB_SPARSE_BIAS);
    rub_sparse_batch_destroy(&one);
    rub_sparse_batch_destroy(&other);
    rub_numbered_set_close(&numbered);
    sparse_file_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_are_there_are_counted_in_their_order),
        cmocka_unit_test(columns_of_their_own_are_numbered_apart),
        cmocka_unit_test(a_batch_of_numbers_lists_the_same_features_at_the_same_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
