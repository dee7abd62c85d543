/* The real files, where Debian's dataset-fashion-mnist is installed; skipped elsewhere. */
#include "common/base/check.h"
#include "common/base/timing.h"
#include "worker/data/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER "/usr/share/datasets/fashion-mnist/"

static rub_dataset_t *open_or_skip(const char *features_path, const char *labels_path)
{
    if (access(features_path, R_OK) != 0) {
        skip();
    }
    const rub_dataset_options_t options = {
        .features_path = features_path, .labels_path = labels_path, .n_classes = 10};
    rub_error_t err = {0};
    rub_dataset_t *dataset = NULL;
    if (rub_dataset_open(&options, &dataset, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return dataset;
}

static void check_balanced(const rub_dataset_t *dataset, size_t per_class)
{
    size_t counts[10] = {0};
    for (size_t i = 0; i < dataset->n_examples; i++) {
        counts[dataset->labels[i]]++;
    }
    for (size_t k = 0; k < 10; k++) {
        assert_int_equal(counts[k], per_class);
    }
}

static void fashion_mnist_has_its_known_shape_and_mean(void **state)
{
    RUB_UNUSED(state);
    rub_dataset_t *dataset =
        open_or_skip(FOLDER "train-images-idx3-ubyte.gz", FOLDER "train-labels-idx1-ubyte.gz");
    assert_int_equal(dataset->n_examples, 60000);
    assert_int_equal(dataset->width, 784);
    check_balanced(dataset, 6000);
    assert_int_equal(dataset->labels[0], 9);
    rub_batch_t *batch = rub_batch_new(128, 784);
    rub_order_t *order = rub_order_new(60000);
    double sum = 0;
    rub_order_shuffle(order, 7, 0);
    uint64_t fill_ns = 0;
    for (uint64_t first = 0; first + 120 <= 60000; first += 120) {
        const uint64_t start_ns = rub_now_ns();
        assert_int_equal(rub_batch_fill(batch, dataset, order, first, 120, NULL), 0);
        fill_ns += rub_now_ns() - start_ns;
        for (size_t i = 0; i < 120 * 784; i++) {
            sum += (double)batch->x[i];
        }
    }
    print_message("shuffled batches of 784 bytes: %.0f examples/s\n", 60000e9 / (double)fill_ns);
    /* The mean pixel that everybody normalises with is 0.2860. */
    assert_true(sum / (60000.0 * 784) > 0.28595 && sum / (60000.0 * 784) < 0.28605);
    rub_order_destroy(&order);
    rub_batch_destroy(&batch);
    rub_dataset_close(&dataset);
}

static void fashion_mnist_test_set_is_balanced(void **state)
{
    RUB_UNUSED(state);
    rub_dataset_t *dataset =
        open_or_skip(FOLDER "t10k-images-idx3-ubyte.gz", FOLDER "t10k-labels-idx1-ubyte.gz");
    assert_int_equal(dataset->n_examples, 10000);
    check_balanced(dataset, 1000);
    rub_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fashion_mnist_has_its_known_shape_and_mean),
        cmocka_unit_test(fashion_mnist_test_set_is_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
