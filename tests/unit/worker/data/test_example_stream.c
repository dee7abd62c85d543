/* NumPy's features some at a time are those of the array, whatever its items are, and what is wrong
 * with them is found when it is come to. (IDX: test_idx_stream.) */
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/example_stream.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 5, WIDTH = 3 };

static char folder[] = "/tmp/rubato-stream-XXXXXX";
static char path[64];

static int set_up(void **state)
{
    RUB_UNUSED(state);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/x.npy", folder);
    return 0;
}

static int tear_down(void **state)
{
    RUB_UNUSED(state);
    return rub_fs_remove_tree(folder, NULL);
}

static void write_array(const char *descr, const char *shape, const void *items, size_t bytes)
{
    uint8_t file[512] = "\x93NUMPY\x01";
    const int n =
        snprintf((char *)file + 10, sizeof file - 10,
                 "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr, shape);
    file[8] = (uint8_t)n;
    memcpy(file + 10 + n, items, bytes);
    assert_int_equal(rub_fs_write(path, file, 10 + (size_t)n + bytes, NULL), 0);
}

static int read_all(size_t most, float x[N * WIDTH], rub_error_t *err)
{
    rub_example_stream_t *stream = NULL;
    size_t n = 1, at = 0;
    int rc = rub_example_stream_open("npy", path, NULL, &stream, err);
    assert_true(rc != 0 || rub_example_stream_width(stream) == WIDTH);
    while (rc == 0 && n > 0) {
        float rows[N * WIDTH];
        rc = rub_example_stream_next(stream, most, rows, &n, err);
        for (size_t i = 0; rc == 0 && i < n * WIDTH; i++) {
            x[at++] = rows[i];
        }
    }
    assert_true(rc != 0 || at == N * WIDTH);
    rub_example_stream_close(&stream);
    assert_null(stream);
    return rc;
}

static void bytes_are_parts_of_255_and_all_else_is_as_it_is(void **state)
{
    RUB_UNUSED(state);
    uint8_t bytes[N * WIDTH];
    double doubles[N * WIDTH];
    float x[N * WIDTH];
    for (size_t i = 0; i < N * WIDTH; i++) {
        bytes[i] = (uint8_t)(17 * i);
        doubles[i] = (double)i - 2.5;
    }
    for (size_t most = 1; most <= N + 1; most++) {
        write_array("|u1", "5, 3", bytes, sizeof bytes);
        assert_int_equal(read_all(most, x, NULL), 0);
        for (size_t i = 0; i < N * WIDTH; i++) {
            assert_true(x[i] == (float)bytes[i] / 255.0f);
        }
        write_array("<f8", "5, 3", doubles, sizeof doubles);
        assert_int_equal(read_all(most, x, NULL), 0);
        for (size_t i = 0; i < N * WIDTH; i++) {
            assert_true((double)x[i] == doubles[i]);
        }
    }
}

static void shapes_are_images_or_flat(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *shape;
        uint32_t image[3];
    } cases[] = {{"2, 6", {1, 1, 6}}, {"2, 3, 2", {3, 2, 1}}, {"1, 2, 2, 3", {2, 2, 3}}};
    const uint8_t bytes[12] = {0};
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_example_stream_t *stream = NULL;
        uint32_t image[3];
        write_array("|u1", cases[i].shape, bytes, sizeof bytes);
        assert_int_equal(rub_example_stream_open("npy", path, NULL, &stream, NULL), 0);
        rub_example_stream_image(stream, image);
        assert_memory_equal(image, cases[i].image, sizeof image);
        rub_example_stream_close(&stream);
    }
}

static void what_is_wrong_is_refused_when_it_is_come_to(void **state)
{
    RUB_UNUSED(state);
    rub_error_t err = {0};
    rub_example_stream_t *stream = NULL;
    float items[N * WIDTH + 1] = {0}, x[N * WIDTH];
    items[7] = NAN;
    write_array("<f4", "5, 3", items, N * WIDTH * sizeof(float));
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "x.npy': feature 1 of example 2 is not finite"));
    items[7] = 0;
    write_array("<f4", "5, 3", items, N * WIDTH * sizeof(float) - 1);
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
    write_array("<f4", "5, 3", items, sizeof items);
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
    write_array("<f4", "0, 3", items, 0);
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "holds 0 examples, expected 1 to"));
    assert_int_equal(rub_example_stream_open("csv", path, NULL, &stream, &err), RUB_EDATA);
    assert_non_null(
        strstr(err.message, "x.npy' are csv, examples of a fixed width are idx or npy"));
    assert_null(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_parts_of_255_and_all_else_is_as_it_is),
        cmocka_unit_test(shapes_are_images_or_flat),
        cmocka_unit_test(what_is_wrong_is_refused_when_it_is_come_to),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
