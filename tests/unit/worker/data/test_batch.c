/* Orders, batches and the bsp deal. */
#include "common/base/check.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/batch.h"
#include "worker/data/deal.h"

static rub_dataset_t *small_dataset(uint32_t n)
{
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, false, n);
    const rub_dataset_options_t options = {.features_path = files.features,
                                           .labels_path = files.labels};
    rub_dataset_t *dataset = NULL;
    assert_int_equal(rub_dataset_open(&options, &dataset, NULL), 0);
    idx_files_fini(&files);
    return dataset;
}

static void a_new_order_is_the_identity(void **state)
{
    RUB_UNUSED(state);
    rub_order_t *order = rub_order_new(100);
    assert_int_equal(rub_order_count(order), 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(rub_order_examples(order)[i], i);
    }
    rub_order_destroy(&order);
    assert_null(order);
    rub_order_destroy(&order);
}

static void an_order_is_arranged_as_told(void **state)
{
    (void)state;
    enum { N = 1000 };
    rub_order_t *order = rub_order_new(N);
    rub_order_t *shuffled = rub_order_new(N);
    uint32_t drawn[N];
    unsigned again = 0;
    rub_order_shuffle(shuffled, 7, 2);
    rub_order_arrange(order, RUB_SHUFFLED, 7, 2);
    assert_memory_equal(rub_order_examples(order), rub_order_examples(shuffled), sizeof drawn);
    rub_order_arrange(order, RUB_REPLACED, 7, 2);
    memcpy(drawn, rub_order_examples(order), sizeof drawn);
    for (size_t i = 0; i < N; i++) {
        assert_true(drawn[i] < N);
        for (size_t k = 0; k < i; k++) {
            if (drawn[k] == drawn[i]) {
                again++;
                break;
            }
        }
    }
    assert_true(again > 300 && again < 440); /* 1 / e of them came before */
    rub_order_arrange(order, RUB_IN_ORDER, 7, 2);
    assert_int_equal(rub_order_examples(order)[N - 1], N - 1);
    rub_order_arrange(order, RUB_REPLACED, 7, 2);
    assert_memory_equal(rub_order_examples(order), drawn, sizeof drawn);
    rub_order_arrange(order, RUB_REPLACED, 7, 3);
    assert_memory_not_equal(rub_order_examples(order), drawn, sizeof drawn);
    rub_order_destroy(&order);
    rub_order_destroy(&shuffled);
}

static void a_shuffled_order_holds_every_example_once(void **state)
{
    RUB_UNUSED(state);
    uint8_t seen[1000] = {0};
    size_t fixed = 0;
    rub_order_t *order = rub_order_new(1000);
    rub_order_shuffle(order, 7, 0);
    for (size_t i = 0; i < 1000; i++) {
        const uint32_t example = rub_order_examples(order)[i];
        assert_true(example < 1000);
        assert_int_equal(seen[example]++, 0);
        fixed += example == i;
    }
    assert_true(fixed < 10);
    rub_order_destroy(&order);
}

static void an_order_depends_on_seed_and_epoch_and_not_on_its_past(void **state)
{
    RUB_UNUSED(state);
    const size_t bytes = 500 * sizeof(uint32_t);
    rub_order_t *a = rub_order_new(500);
    rub_order_t *b = rub_order_new(500);
    rub_order_shuffle(a, 7, 3);
    rub_order_shuffle(b, 7, 0);
    assert_memory_not_equal(rub_order_examples(a), rub_order_examples(b), bytes);
    rub_order_shuffle(b, 8, 3);
    assert_memory_not_equal(rub_order_examples(a), rub_order_examples(b), bytes);
    rub_order_shuffle(b, 7, 3);
    assert_memory_equal(rub_order_examples(a), rub_order_examples(b), bytes);
    rub_order_shuffle(b, 7, 3);
    assert_memory_equal(rub_order_examples(a), rub_order_examples(b), bytes);
    rub_order_reset(b);
    assert_int_equal(rub_order_examples(b)[499], 499);
    rub_order_shuffle(b, 7, 3);
    assert_memory_equal(rub_order_examples(a), rub_order_examples(b), bytes);
    rub_order_destroy(&a);
    rub_order_destroy(&b);
}

static void a_batch_holds_the_examples_of_its_order(void **state)
{
    RUB_UNUSED(state);
    rub_dataset_t *dataset = small_dataset(20);
    rub_order_t *order = rub_order_new(20);
    rub_batch_t *batch = rub_batch_new(8, 6);
    assert_int_equal(batch->count, 0);
    assert_int_equal((uintptr_t)batch->x % 64, 0);
    rub_order_shuffle(order, 1, 1);
    assert_int_equal(rub_batch_fill(batch, dataset, order, 13, 7, NULL), 0);
    assert_int_equal(batch->count, 7);
    for (size_t i = 0; i < 7; i++) {
        const uint32_t example = rub_order_examples(order)[13 + i];
        assert_int_equal(batch->labels[i], example % 3);
        assert_true(batch->x[6 * i + 5] == (float)(uint8_t)(10 * example + 5) / 255.0f);
    }
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, 2, 3, NULL), 0);
    assert_int_equal(batch->count, 3);
    assert_true(batch->x[0] == 20.0f / 255.0f);
    rub_batch_destroy(&batch);
    rub_batch_destroy(&batch);
    rub_order_destroy(&order);
    rub_dataset_close(&dataset);
}

static void batches_that_do_not_fit_are_refused_and_left_empty(void **state)
{
    RUB_UNUSED(state);
    rub_dataset_t *dataset = small_dataset(20);
    rub_order_t *other_order = rub_order_new(19);
    rub_batch_t *batch = rub_batch_new(8, 6);
    rub_batch_t *narrow = rub_batch_new(8, 5);
    rub_error_t err = {0};
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, 0, 8, &err), 0);
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, 0, 9, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "9 examples, expected 1 to 8"));
    assert_int_equal(batch->count, 0);
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, 0, 0, &err), RUB_EINVAL);
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, 13, 8, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "examples 13 to 20, the data set has 20"));
    assert_int_equal(rub_batch_fill(batch, dataset, NULL, UINT64_MAX, 2, &err), RUB_EINVAL);
    assert_int_equal(rub_batch_fill(narrow, dataset, NULL, 0, 2, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "width 5"));
    assert_int_equal(rub_batch_fill(batch, dataset, other_order, 0, 2, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "order of 19"));
    rub_batch_destroy(&batch);
    rub_batch_destroy(&narrow);
    rub_order_destroy(&other_order);
    rub_dataset_close(&dataset);
}

static void a_batch_too_large_for_memory_is_null(void **state)
{
    RUB_UNUSED(state);
    assert_null(rub_batch_new(SIZE_MAX / 2, 1u << 20));
}

static void the_deal_gives_every_example_to_one_rank_once(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t n = 1; n < 70; n += 3) {
        for (uint32_t n_workers = 1; n_workers <= 5; n_workers++) {
            const uint64_t n_batches = rub_deal_batches(n, 8);
            uint8_t seen[70] = {0};
            uint64_t batches = 0, examples = 0;
            for (uint32_t rank = 0; rank < n_workers; rank++) {
                const uint64_t share = rub_deal_share(n_batches, rank, n_workers);
                assert_true(share <= rub_deal_share(n_batches, 0, n_workers));
                assert_true(share + 1 >= rub_deal_share(n_batches, 0, n_workers));
                for (uint64_t i = 0; i < share; i++, batches++) {
                    uint64_t first;
                    const uint64_t batch = rub_deal_batch(i, rank, n_workers);
                    const uint64_t count = rub_deal_range(batch, n, 8, &first);
                    assert_int_equal(rub_deal_owner(batch, n_workers), rank);
                    assert_true(count >= 1 && count <= 8);
                    examples += count;
                    for (uint64_t e = first; e < first + count; e++) {
                        assert_int_equal(seen[e]++, 0);
                    }
                }
            }
            assert_int_equal(batches, n_batches);
            assert_int_equal(examples, n);
        }
    }
}

static void past_the_last_batch_the_range_is_empty(void **state)
{
    RUB_UNUSED(state);
    uint64_t first;
    assert_int_equal(rub_deal_range(2, 17, 8, &first), 1);
    assert_int_equal(first, 16);
    assert_int_equal(rub_deal_range(3, 17, 8, &first), 0);
    assert_int_equal(rub_deal_range(UINT64_MAX, 17, 8, &first), 0);
    assert_int_equal(first, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_order_is_the_identity),
        cmocka_unit_test(an_order_is_arranged_as_told),
        cmocka_unit_test(a_shuffled_order_holds_every_example_once),
        cmocka_unit_test(an_order_depends_on_seed_and_epoch_and_not_on_its_past),
        cmocka_unit_test(a_batch_holds_the_examples_of_its_order),
        cmocka_unit_test(batches_that_do_not_fit_are_refused_and_left_empty),
        cmocka_unit_test(a_batch_too_large_for_memory_is_null),
        cmocka_unit_test(the_deal_gives_every_example_to_one_rank_once),
        cmocka_unit_test(past_the_last_batch_the_range_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
