/* Files of tensors: what is refused, and that what comes back is what was written. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/fs.h"
#include "common/tensor/tensor_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/common/tensor/zip_files.h"

static char path[64];

/* The system's call is this program's own, so that the file can be cut before one of them. */
static bool cutting;
static unsigned reads_before_cut;

RUB_API ssize_t pread(int fd, void *data, size_t bytes, off_t offset);
ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
    static unsigned n_reads;
    n_reads = cutting ? n_reads + 1 : 0;
    if (cutting && n_reads > reads_before_cut && truncate(path, 4) != 0) {
        return -1;
    }
    return syscall(SYS_pread64, fd, data, bytes, offset);
}

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/rubato-tensor-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

/* A layer of 3 x 2 with its bias, a vector of 3, and two rows of 2 under keys. */
static void fill(rub_weights_t *weights)
{
    rub_weight_table_t *table = NULL;
    const struct {
        const char *name;
        uint64_t n;
    } dense[] = {{"a/weights", 6}, {"a/bias", 2}, {"b/bias", 3}};
    rub_weights_init(weights);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rub_weights_add(weights, dense[i].name, &table, NULL), 0);
        table->dense = true;
        table->n_rows = dense[i].n;
        table->values = rub_calloc((size_t)dense[i].n, sizeof(float));
        for (uint64_t k = 0; k < dense[i].n; k++) {
            table->values[k] = (float)(i + 1) * 0.25f - (float)k;
        }
    }
    assert_int_equal(rub_weights_add(weights, "rows", &table, NULL), 0);
    table->width = 2;
    table->n_rows = 2;
    table->keys = rub_calloc(2, sizeof(uint64_t));
    table->values = rub_calloc(4, sizeof(float));
    table->keys[0] = 7;
    table->keys[1] = UINT64_MAX;
    table->values[3] = 1e-30f;
}

static void write_file(const rub_tensor_format_t *format, const rub_weights_t *weights)
{
    rub_tensor_t *tensors = NULL;
    rub_whole_file_t *file = NULL;
    size_t n = 0;
    const rub_tensor_note_t note = {"who", "a test"};
    assert_int_equal(rub_tensors_of(weights, &tensors, &n, NULL), 0);
    assert_int_equal(n, 5);
    assert_string_equal(tensors[0].name, "rows.keys"); /* first: they need their alignment */
    assert_int_equal(tensors[1].shape[0], 3);
    assert_int_equal(tensors[1].shape[1], 2);
    assert_int_equal(rub_whole_file_open(path, &file, NULL), 0);
    assert_int_equal(format->write(rub_whole_file_stream(file), tensors, n, &note, 1, NULL), 0);
    assert_int_equal(rub_whole_file_finish(&file, NULL), 0);
    rub_free(tensors);
}

static void expect_equal(const rub_weights_t *a, const rub_weights_t *b)
{
    assert_int_equal(a->n_tables, b->n_tables);
    for (size_t i = 0; i < a->n_tables; i++) {
        const rub_weight_table_t *one = &a->tables[i];
        const rub_weight_table_t *other = rub_weights_find(b, one->name);
        assert_non_null(other);
        assert_int_equal(one->dense, other->dense);
        assert_int_equal(one->n_rows, other->n_rows);
        assert_int_equal(one->width, other->width);
        assert_memory_equal(one->values, other->values,
                            (size_t)one->n_rows * one->width * sizeof(float));
        if (!one->dense) {
            assert_memory_equal(one->keys, other->keys, (size_t)one->n_rows * 8);
        }
    }
}

static void each_format_gives_back_what_was_written(void **state)
{
    (void)state;
    static const char *const names[] = {"safetensors", "npz"};
    for (size_t i = 0; i < 2; i++) {
        const rub_tensor_format_t *format = rub_tensor_format_named(names[i]);
        rub_error_t err = {0};
        rub_weights_t weights, back;
        fill(&weights);
        rub_weights_init(&back);
        write_file(format, &weights);
        if (rub_tensor_file_read(format, path, &back, &err) != 0) {
            fail_msg("%s: %s", names[i], err.message);
        }
        expect_equal(&weights, &back);
        rub_weights_fini(&weights);
        rub_weights_fini(&back);
    }
}

static void a_file_that_is_cut_off_or_damaged_is_refused_and_never_read_beyond_its_end(void **state)
{
    (void)state;
    static const char *const names[] = {"safetensors", "npz"};
    for (size_t i = 0; i < 2; i++) {
        const rub_tensor_format_t *format = rub_tensor_format_named(names[i]);
        rub_weights_t weights;
        char *data = NULL;
        size_t bytes = 0;
        fill(&weights);
        write_file(format, &weights);
        assert_int_equal(rub_fs_read(path, 1 << 20, &data, &bytes, NULL), 0);
        for (size_t cut = 0; cut < bytes; cut += 13) {
            rub_error_t err = {0};
            rub_weights_t back;
            FILE *file = fopen(path, "w");
            fwrite(data, 1, cut, file);
            fclose(file);
            rub_weights_init(&back);
            assert_int_equal(rub_tensor_file_read(format, path, &back, &err), RUB_EDATA);
            assert_non_null(strstr(err.message, path));
            rub_weights_fini(&back);
        }
        rub_free(data);
        rub_weights_fini(&weights);
    }
}

static void a_file_that_is_cut_while_it_is_read_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        const rub_tensor_format_t *format =
            rub_tensor_format_named(i % 2 == 0 ? "safetensors" : "npz");
        reads_before_cut = i / 2;
        rub_error_t err = {0};
        rub_weights_t weights, back;
        fill(&weights);
        write_file(format, &weights);
        rub_weights_fini(&weights);
        rub_weights_init(&back);
        cutting = true;
        const int rc = rub_tensor_file_read(format, path, &back, &err);
        cutting = false;
        if (rc != RUB_EDATA || !strstr(err.message, "the file ends before") ||
            !strstr(err.message, path)) {
            fail_msg("%s cut before read %u: %d '%s'", format->name, reads_before_cut, rc,
                     err.message);
        }
        rub_weights_fini(&back);
    }
}

/* A safetensors file with that header and 16 bytes behind it. */
static int read_header(const char *header, rub_error_t *err)
{
    uint8_t length[8];
    rub_weights_t back;
    FILE *file = fopen(path, "w");
    rub_put_u64(length, strlen(header));
    fwrite(length, 1, 8, file);
    fputs(header, file);
    fwrite("0123456789abcdef", 1, 16, file);
    fclose(file);
    rub_weights_init(&back);
    *err = (rub_error_t){0};
    const int rc = rub_tensor_file_read(rub_tensor_format_named("safetensors"), path, &back, err);
    rub_weights_fini(&back);
    return rc;
}

static void what_a_header_claims_is_held_against_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *header, *sentence;
    } cases[] = {
        {"[]", "no JSON object"},
        {"{}", "it holds no tensors"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}", "of type F64"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}}", "0 to 20 of 16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-8,8]}}", "-8 to 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}", "expected 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[281474976710656,65536],\"data_offsets\":[0,16]}}",
         "a shape of one or two"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2,2],\"data_offsets\":[0,16]}}", "one or two"},
        {"{\"a.keys\":{\"dtype\":\"U64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
         "'a' has keys and no rows"},
        {"{\"a.keys\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
         "2 rows for 1 keys"},
        {"{\"a\":{\"dtype\":\"U64\",\"shape\":[2],\"data_offsets\":[0,16]}}", "expected float32"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "'b' lies where others do"},
        {"{\"a/weights\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
         "\"a/bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         "'a/weights' is 1 x 2 beside a bias of 1 numbers, expected inputs x units"},
        {"", "its header is no JSON object: "},
        {"{\"a\":{\"dtype\":\"F32\",", "its header is no JSON object: "},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
         "its header is no JSON object: duplicate object key"},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", "it holds no tensors"},
        {"{\"a\":4}", "tensor 'a' is of type ?, expected F32"},
        {"{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", "of type ?, expected F32"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[0,16]}}", "of type BF16"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", "expected a name of at most"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", "a shape of one or"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}", "none 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", "none 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"4\"],\"data_offsets\":[0,16]}}", "none 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "its bytes are 0 to 0 of 16, expected 16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", "are 16 to 0 of 16"},
    };
    rub_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_header(cases[i].header, &err), RUB_EDATA);
        if (!strstr(err.message, cases[i].sentence)) {
            fail_msg("'%s' for %s", err.message, cases[i].header);
        }
    }
    assert_int_equal(
        read_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", &err),
        0);
}

/* n dense tables, "0000" and so on, of n_rows numbers each. */
static void fill_many(rub_weights_t *weights, unsigned n, uint64_t n_rows)
{
    rub_weights_init(weights);
    for (unsigned i = 0; i < n; i++) {
        char name[8];
        rub_weight_table_t *table = NULL;
        snprintf(name, sizeof name, "%04u", i % 10000);
        assert_int_equal(rub_weights_add(weights, name, &table, NULL), 0);
        table->dense = true;
        table->n_rows = n_rows;
        table->values = rub_calloc((size_t)n_rows, sizeof(float));
    }
}

static int write_and_read(const rub_tensor_format_t *format, const rub_weights_t *weights,
                          rub_error_t *err)
{
    rub_tensor_t *tensors = NULL;
    rub_whole_file_t *file = NULL;
    rub_weights_t back;
    size_t n = 0;
    rub_weights_init(&back);
    assert_int_equal(rub_tensors_of(weights, &tensors, &n, NULL), 0);
    assert_int_equal(rub_whole_file_open(path, &file, NULL), 0);
    assert_int_equal(format->write(rub_whole_file_stream(file), tensors, n, NULL, 0, NULL), 0);
    assert_int_equal(rub_whole_file_finish(&file, NULL), 0);
    const int rc = rub_tensor_file_read(format, path, &back, err);
    rub_free(tensors);
    rub_weights_fini(&back);
    return rc;
}

static void more_tables_than_any_model_has_are_refused(void **state)
{
    (void)state;
    rub_weights_t weights;
    rub_error_t err = {0};
    const rub_tensor_format_t *format = rub_tensor_format_named("safetensors");
    fill_many(&weights, RUB_TENSOR_TABLES_LIMIT, 1);
    assert_int_equal(write_and_read(format, &weights, &err), 0);
    rub_weights_fini(&weights);
    fill_many(&weights, RUB_TENSOR_TABLES_LIMIT + 1, 1);
    assert_int_equal(write_and_read(format, &weights, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "more than 4096 tables"));
    rub_weights_fini(&weights);
}

/* An archive of one member whose directory has it under two names. */
static void one_member_under_many_names_is_refused(void **state)
{
    (void)state;
    enum { END_BYTES = 22, NAME_AT = 46 };
    const rub_tensor_format_t *format = rub_tensor_format_named("npz");
    rub_weights_t weights, back;
    rub_error_t err = {0};
    char *data = NULL;
    size_t bytes = 0;
    fill_many(&weights, 1, 1000);
    assert_int_equal(write_and_read(format, &weights, &err), 0);
    rub_weights_fini(&weights);
    assert_int_equal(rub_fs_read(path, 1 << 20, &data, &bytes, NULL), 0);
    uint8_t *end = (uint8_t *)data + bytes - END_BYTES;
    uint8_t *entry = (uint8_t *)data + rub_get_u32(end + 16);
    const size_t entry_bytes = (size_t)(end - entry);
    FILE *file = fopen(path, "w");
    fwrite(data, 1, bytes - END_BYTES, file);
    entry[NAME_AT] = 'b';
    fwrite(entry, 1, entry_bytes, file);
    rub_put_u16(end + 10, 2);
    rub_put_u32(end + 12, (uint32_t)(2 * entry_bytes));
    fwrite(end, 1, END_BYTES, file);
    fclose(file);
    rub_weights_init(&back);
    assert_int_equal(rub_tensor_file_read(format, path, &back, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "' lies where others do at byte 0"));
    rub_weights_fini(&back);
    rub_free(data);
}

/* An archive of one array "a" with this dictionary and 16 bytes of items. */
static int read_array(const char *header, rub_error_t *err)
{
    uint8_t array[256] = "\x93NUMPY\1\0";
    rub_zip_file_t archive = {.n = 0};
    rub_weights_t back;
    const size_t n = strlen(header);
    rub_put_u16(array + 8, (uint16_t)n);
    memcpy(array + 10, header, n);
    rub_zip_add(&archive, "a.npy", array, 10 + n + 16, true, true);
    rub_zip_write(&archive, path);
    rub_weights_init(&back);
    *err = (rub_error_t){0};
    const int rc = rub_tensor_file_read(rub_tensor_format_named("npz"), path, &back, err);
    rub_weights_fini(&back);
    return rc;
}

static void arrays_that_no_model_has_are_refused(void **state)
{
    (void)state;
#define ARRAY(type, shape) "{'descr': '" type "', 'fortran_order': False, 'shape': " shape ", }"
    static const struct {
        const char *header, *sentence;
    } cases[] = {
        {ARRAY("<f8", "(2,)"), "array 'a' has items of '<f8', expected float32"},
        {ARRAY(">f4", "(4,)"), "array 'a' has items of '>f4', expected float32"},
        {ARRAY("<f4", "(2, 2, 1)"), "array 'a' has 3 dimensions and 4 items, expected one or two"},
        {ARRAY("<f4", "()"), "array 'a' has 0 dimensions and 1 items, expected one or two"},
        {ARRAY("<f4", "(0,)"), "array 'a' has 1 dimensions and 0 items, expected one or two"},
        {ARRAY("<f4", "(3,)"), "array 'a' has 16 bytes of data, expected 12"},
        {ARRAY("<f4", "(5,)"), "array 'a' has 16 bytes of data, expected 20"},
        {ARRAY("<f4", "[4]"), "array 'a', byte 60: found '[4], }', expected a tuple"},
        {ARRAY("<f4", "(1048576, 1048577)"), "array 'a', byte 70: found '1048577)"},
        {ARRAY("<u8", "(2,)"), "expected float32 of one or two dimensions, or a vector of"},
    };
    rub_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_array(cases[i].header, &err), RUB_EDATA);
        if (!strstr(err.message, cases[i].sentence) || !strstr(err.message, path)) {
            fail_msg("'%s' for %s", err.message, cases[i].header);
        }
    }
    assert_int_equal(read_array(ARRAY("<f4", "(4, 1)"), &err), 0);
#undef ARRAY
}

static void a_single_array_names_its_shape_in_numpy_s_words(void **state)
{
    (void)state;
    const float values[4] = {1, 2, 3, 4};
    const rub_tensor_t tensor = {"x", RUB_TENSOR_F32, 2, {2, 2}, values};
    char *data = NULL;
    size_t bytes = 0;
    rub_whole_file_t *file = NULL;
    assert_int_equal(rub_whole_file_open(path, &file, NULL), 0);
    assert_int_equal(rub_npy_write(rub_whole_file_stream(file), &tensor, 1, NULL, 0, NULL), 0);
    assert_int_equal(rub_whole_file_finish(&file, NULL), 0);
    assert_int_equal(rub_fs_read(path, 1000, &data, &bytes, NULL), 0);
    assert_int_equal(bytes, 128 + 16);
    assert_memory_equal(data,
                        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, "
                        "'shape': (2, 2), }",
                        10 + 57);
    assert_int_equal(data[127], '\n');
    assert_memory_equal(data + 128, values, 16);
    rub_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_gives_back_what_was_written),
        cmocka_unit_test(
            a_file_that_is_cut_off_or_damaged_is_refused_and_never_read_beyond_its_end),
        cmocka_unit_test(a_file_that_is_cut_while_it_is_read_is_refused),
        cmocka_unit_test(what_a_header_claims_is_held_against_the_file),
        cmocka_unit_test(more_tables_than_any_model_has_are_refused),
        cmocka_unit_test(one_member_under_many_names_is_refused),
        cmocka_unit_test(arrays_that_no_model_has_are_refused),
        cmocka_unit_test(a_single_array_names_its_shape_in_numpy_s_words),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
