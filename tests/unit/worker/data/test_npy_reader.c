/* NumPy's arrays: every kind of item, archives, and every refusal with the file and the byte. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/dataset.h"
#include "worker/data/npy_array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/common/tensor/zip_files.h"

static char folder[] = "/tmp/rubato-npy-XXXXXX";
static char x_path[64], y_path[64], z_path[64];

static int set_up(void **state)
{
    RUB_UNUSED(state);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(x_path, sizeof x_path, "%s/x.npy", folder);
    (void)snprintf(y_path, sizeof y_path, "%s/y.npy", folder);
    (void)snprintf(z_path, sizeof z_path, "%s/z.npz", folder);
    return 0;
}

static int tear_down(void **state)
{
    RUB_UNUSED(state);
    return rub_fs_remove_tree(folder, NULL);
}

/* A .npy of this version with this header, and the items. Returns its length. */
static size_t make_npy(uint8_t *out, uint8_t version, const char *header, const void *items,
                       size_t bytes)
{
    const size_t n = strlen(header);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = version;
    out[7] = 0;
    const size_t at = version == 1 ? 10 : 12;
    out[8] = (uint8_t)n;
    out[9] = (uint8_t)(n >> 8);
    out[10] = out[11] = 0;
    memcpy(out + at, header, n);
    memcpy(out + at + n, items, bytes);
    return at + n + bytes;
}

static void write_npy(const char *path, uint8_t version, const char *header, const void *items,
                      size_t bytes)
{
    uint8_t file[1024];
    const size_t n = make_npy(file, version, header, items, bytes);
    assert_int_equal(rub_fs_write(path, file, n, NULL), 0);
}

#define HEADER(descr, shape)                                                                       \
    "{'descr': '" descr "', 'fortran_order': False, 'shape': (" shape "), }          \n"

static int open_both(const char *x, const char *y, rub_dataset_t **dataset_p, rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = "npy";
    options.features_path = x;
    options.labels_path = y;
    return rub_dataset_open(&options, dataset_p, err);
}

static rub_dataset_t *must_open(const char *x, const char *y)
{
    rub_dataset_t *dataset = NULL;
    rub_error_t err = {0};
    if (open_both(x, y, &dataset, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return dataset;
}

static const int64_t labels[] = {0, 2, 1};

static void numbers_of_every_kind_become_features(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *header;
        uint8_t items[24];
        size_t bytes;
        float expected[3];
    } rows[] = {
        {HEADER("<f4", "3, 1"), {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0}, 12, {1.5f, -2, 0}},
        {HEADER(">f4", "3,"), {0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0}, 12, {1.5f, -2, 0}},
        {HEADER("<f8", "3"), {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, 24, {1.5f, 0, 0}},
        {HEADER("|i1", "3, 1, 1"), {0xff, 2, 0x80}, 3, {-1, 2, -128}},
        {HEADER("<i2", "3"), {0xfe, 0xff, 1, 0, 0, 1}, 6, {-2, 1, 256}},
        {HEADER(">u2", "3"), {0xff, 0xff, 0, 1, 1, 0}, 6, {65535, 1, 256}},
        {HEADER("<i8", "3"), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 5}, 24, {-1, 5, 0}},
        {HEADER("|b1", "3"), {1, 0, 1}, 3, {1, 0, 1}},
        {HEADER("?", "3"), {0, 1, 0}, 3, {0, 1, 0}},
        {HEADER("|u1", "3, 1"), {255, 0, 51}, 3, {1, 0, 0.2f}}, /* as images: byte / 255 */
    };
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        write_npy(x_path, (uint8_t)(1 + i % 3), rows[i].header, rows[i].items, rows[i].bytes);
        write_npy(y_path, 1, HEADER("<i8", "3,"), labels, sizeof labels);
        rub_dataset_t *dataset = must_open(x_path, y_path);
        assert_int_equal(dataset->n_examples, 3);
        assert_int_equal(dataset->width, 1);
        assert_int_equal(dataset->n_classes, 3);
        for (size_t e = 0; e < 3; e++) {
            float x = 0;
            rub_dataset_features(dataset, e, &x);
            assert_true(x == rows[i].expected[e]);
            assert_int_equal(dataset->labels[e], labels[e]);
        }
        rub_dataset_close(&dataset);
    }
}

static void images_have_height_width_and_channels(void **state)
{
    RUB_UNUSED(state);
    static const uint8_t pixels[36] = {1};
    write_npy(x_path, 1, HEADER("|u1", "3, 2, 2, 3"), pixels, sizeof pixels);
    write_npy(y_path, 1, HEADER("<i8", "3,"), labels, sizeof labels);
    rub_dataset_t *dataset = must_open(x_path, y_path);
    assert_memory_equal(dataset->image, ((uint32_t[]){2, 2, 3}), sizeof dataset->image);
    rub_dataset_close(&dataset);
    write_npy(x_path, 1, HEADER("|u1", "3, 4, 3"), pixels, sizeof pixels);
    dataset = must_open(x_path, y_path);
    assert_memory_equal(dataset->image, ((uint32_t[]){4, 3, 1}), sizeof dataset->image);
    rub_dataset_close(&dataset);
}

typedef struct bad_file {
    const char *header;
    const char *words;
} bad_file_t;

static void assert_refused(const char *words)
{
    rub_dataset_t *dataset = NULL;
    rub_error_t err = {0};
    const int rc = open_both(x_path, y_path, &dataset, &err);
    if (rc != RUB_EDATA || strstr(err.message, words) == NULL ||
        strstr(err.message, folder) == NULL) {
        fail_msg("%s '%s', expected '%s'", rub_error_name(rc), err.message, words);
    }
    assert_null(dataset);
    assert_int_equal(rub_error_exit_code(rc), 4);
}

static void malformed_headers_are_refused_with_their_byte(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"", "byte 10: found '', expected '{'"},
        {"[]", "byte 10: found '[]', expected '{'"},
        {"{'descr': '<f2', ", "byte 20: found ''<f2', ', expected a type"},
        {"{'descr': '<c8', ", "byte 20"},
        {"{'descr': '<f16', ", "byte 20"},
        {"{'descr': [('a', '<f4')], ", "byte 20: found '[('a', '<f4')], ', expected a type"},
        {"{'descr': '<i3', ", "'i' or 'u' of 1 to 8 bytes"},
        {"{'descr': '<f4\", ", "expected a type"},
        {"{'descr': '", "expected a type"},
        {"{'fortran_order': True, ", "byte 28: found 'True, ', expected False: arrays in Fortran"},
        {"{'shape': [3], ", "byte 20: found '[3], ', expected a tuple"},
        {"{'shape': (3 4), ", "byte 23: found '4), ', expected ',' or ')'"},
        {"{'shape': (-1,), ", "byte 21: found '-1,), ', expected at most 8 dimensions"},
        {"{'shape': (1,1,1,1,1,1,1,1,1), ", "at most 8 dimensions"},
        {"{'shape': (2000000000000,), ", "up to 2^40 each"},
        {"{'shape': (1048576, 1048577), ", "product is at most 2^40"},
        {"{'shape': (3,) 'descr': '<f4'}", "expected ',' or '}'"},
        {"{'shape': (3,), 'color': 1}", "found ''color': 1}', expected 'descr', "},
        {"{'shape': (3,), 'descr': '<f4'}", "expected descr, fortran_order and shape before it"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)", "expected ',' or '}'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} #", "nothing behind '}'"},
    };
    write_npy(y_path, 1, HEADER("<i8", "3,"), labels, sizeof labels);
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        write_npy(x_path, 1, files[i].header, "", 0);
        assert_refused(files[i].words);
    }
}

static void arrays_that_are_no_data_set_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const float nan_at_1[] = {0, 0.0f / 0.0f, 0};
    static const float good[] = {1, 2, 3};
    static const int64_t negative[] = {0, 1, -5};
    write_npy(y_path, 1, HEADER("<i8", "3,"), labels, sizeof labels);
    assert_int_equal(rub_fs_write(x_path, "\x93NUMPX\1\0", 8, NULL), 0);
    assert_refused("byte 0: found 93 4e 55 4d, expected NumPy's magic");
    assert_int_equal(rub_fs_write(x_path, "\x93NUMPY\4\0\1\0", 10, NULL), 0);
    assert_refused("byte 6: version 4.0, expected 1.0, 2.0 or 3.0");
    assert_int_equal(rub_fs_write(x_path, "\x93NUMPY\2\0\0\0\0\1", 12, NULL), 0);
    assert_refused("byte 8: a header of 16777216 bytes, expected at most 65536");
    assert_int_equal(rub_fs_write(x_path, "\x93NU", 3, NULL), 0);
    assert_refused("ends at byte 3, expected 8 bytes");
    write_npy(x_path, 1, HEADER("<f4", "3,"), good, 11);
    assert_refused("ends at byte ");
    write_npy(x_path, 1, HEADER("<f4", "2,"), good, 12);
    assert_refused("goes on after byte ");
    write_npy(x_path, 1, HEADER("<f4", ""), good, 4);
    assert_refused("holds 0 examples");
    write_npy(x_path, 1, HEADER("<f4", "3, 0"), good, 0);
    assert_refused("has 0 features per example");
    write_npy(x_path, 1, HEADER("<f4", "3, 1048577"), good, 0);
    assert_refused("has 1048577 features per example, expected 1 to 1048576");
    write_npy(x_path, 1, HEADER("<f4", "3"), nan_at_1, 12);
    assert_refused("feature 0 of example 1 is not a finite number");
    write_npy(x_path, 1, HEADER("<f4", "3"), good, 12);
    write_npy(y_path, 1, HEADER("<i8", "3"), negative, 24);
    assert_refused("label -5 of example 2, expected 0 to");
    write_npy(y_path, 1, HEADER("<i8", "2"), labels, 16);
    assert_refused("holds 2 labels, expected 3, one per example");
    write_npy(y_path, 1, HEADER("<f4", "3"), good, 12);
    assert_refused("has floats, expected whole numbers as labels");
    write_npy(y_path, 1, HEADER("<i8", "1, 3"), labels, 24);
    assert_refused("has 2 dimensions, expected 1 of labels");
}

/* ---- archives ---- */

static size_t make_x(uint8_t *out)
{
    static const float x[] = {1.5f, -2, 0};
    return make_npy(out, 1, HEADER("<f4", "3,"), x, sizeof x);
}

static void make_archive(rub_zip_file_t *self)
{
    uint8_t file[512];
    *self = (rub_zip_file_t){.n = 0};
    size_t n = make_x(file);
    rub_zip_add(self, "x.npy", file, n, true, false);
    n = make_npy(file, 1, HEADER("<i8", "3,"), labels, sizeof labels);
    rub_zip_add(self, "labels.npy", file, n, false, true);
}

static void arrays_of_an_archive_are_found_by_name(void **state)
{
    RUB_UNUSED(state);
    rub_zip_file_t archive;
    char x[96], y[96];
    make_archive(&archive);
    rub_zip_write(&archive, z_path);
    (void)snprintf(x, sizeof x, "%s:x", z_path);
    (void)snprintf(y, sizeof y, "%s:labels.npy", z_path);
    rub_dataset_t *dataset = must_open(x, y);
    assert_true(dataset->floats[1] == -2);
    assert_int_equal(dataset->labels[1], 2);
    rub_dataset_close(&dataset);
    uint8_t file[512];
    archive = (rub_zip_file_t){.n = 0};
    rub_zip_add(&archive, "anything.npy", file, make_x(file), true, true);
    rub_zip_write(&archive, z_path);
    write_npy(y_path, 1, HEADER("<i8", "3,"), labels, sizeof labels);
    dataset = must_open(z_path, y_path); /* the only one */
    assert_int_equal(dataset->image[2], 1);
    assert_true(dataset->floats[0] == 1.5f);
    rub_dataset_close(&dataset);
}

static void an_array_that_an_archive_has_not_is_refused_by_name(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *name, *words;
    } rows[] = {
        {":y", "has no array 'y' among its 2 members"},
        {"", "has 2 members, expected the name of one behind a colon, as ':x'"},
    };
    rub_zip_file_t archive;
    char wanted[96];
    make_archive(&archive);
    rub_zip_write(&archive, z_path);
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        rub_npy_array_t array;
        rub_error_t err = {0};
        (void)snprintf(wanted, sizeof wanted, "%s%s", z_path, rows[i].name);
        assert_int_equal(rub_npy_array_open(&array, wanted, &err), RUB_EDATA);
        rub_npy_array_close(&array);
        if (strstr(err.message, rows[i].words) == NULL) {
            fail_msg("'%s', expected '%s'", err.message, rows[i].words);
        }
    }
}

/* The member ends behind the third item, and the archive's sentence names the file. */
static void an_array_of_an_archive_must_end_where_its_shape_does(void **state)
{
    RUB_UNUSED(state);
    rub_zip_file_t archive;
    rub_npy_array_t array;
    rub_error_t err = {0};
    char wanted[96];
    int64_t read[4];
    make_archive(&archive);
    rub_zip_write(&archive, z_path);
    (void)snprintf(wanted, sizeof wanted, "%s:labels", z_path);
    assert_int_equal(rub_npy_array_open(&array, wanted, &err), 0);
    assert_int_equal(rub_npy_array_read(&array, read, 2, &err), 0);
    assert_int_equal(rub_npy_array_expect_end(&array, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "z.npz:labels': member 'labels.npy' goes on after byte "));
    assert_int_equal(rub_npy_array_read(&array, read, 2, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "z.npz:labels': member 'labels.npy' ends at byte "));
    rub_npy_array_close(&array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_kind_become_features),
        cmocka_unit_test(images_have_height_width_and_channels),
        cmocka_unit_test(malformed_headers_are_refused_with_their_byte),
        cmocka_unit_test(arrays_that_are_no_data_set_are_refused),
        cmocka_unit_test(arrays_of_an_archive_are_found_by_name),
        cmocka_unit_test(an_array_that_an_archive_has_not_is_refused_by_name),
        cmocka_unit_test(an_array_of_an_archive_must_end_where_its_shape_does),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
