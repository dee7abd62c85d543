/* IDX files there and back, and every refusal with the words a user needs. */
#include "common/base/check.h"
#include "common/base/classes.h"
#include "common/base/rng.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/dataset.h"
#include "worker/data/reader.h"

#include <math.h>
#include <sys/stat.h>

static rub_dataset_options_t options_of(const idx_files_t *files)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.features_path = files->features;
    options.labels_path = files->labels;
    return options;
}

static void assert_fails(const rub_dataset_options_t *options, int code, const char *const *words)
{
    rub_error_t err = {0};
    rub_dataset_t *dataset = (rub_dataset_t *)&err; /* must be set to NULL */
    const int rc = rub_dataset_open(options, &dataset, &err);
    if (rc != code) {
        fail_msg("%s: '%s', expected %s", rub_error_name(rc), err.message, rub_error_name(code));
    }
    assert_null(dataset);
    for (; *words != NULL; words++) {
        if (strstr(err.message, *words) == NULL) {
            fail_msg("'%s' does not say '%s'", err.message, *words);
        }
    }
}
#define ASSERT_BAD_DATA(options, ...)                                                              \
    assert_fails(options, RUB_EDATA, (const char *const[]){__VA_ARGS__, NULL})

static void check_small_images(bool gzip)
{
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, gzip, 5);
    const rub_dataset_options_t options = options_of(&files);
    rub_error_t err = {0};
    rub_dataset_t *dataset = NULL;
    assert_int_equal(rub_dataset_open(&options, &dataset, &err), 0);
    assert_int_equal(dataset->n_examples, 5);
    assert_int_equal(dataset->width, 6);
    assert_true(dataset->image[0] == 2 && dataset->image[1] == 3 && dataset->image[2] == 1);
    assert_int_equal(dataset->n_classes, 3);
    assert_non_null(dataset->bytes);
    assert_null(dataset->floats);
    for (size_t i = 0; i < 5; i++) {
        float x[6];
        rub_dataset_features(dataset, i, x);
        assert_int_equal(dataset->labels[i], i % 3);
        for (size_t j = 0; j < 6; j++) {
            assert_true(x[j] == (float)(10 * i + j) / 255.0f);
        }
    }
    rub_dataset_close(&dataset);
    assert_null(dataset);
    rub_dataset_close(&dataset);
    idx_files_fini(&files);
}

static void plain_idx_images_are_read(void **state)
{
    RUB_UNUSED(state);
    check_small_images(false);
}

static void gzip_idx_images_are_read(void **state)
{
    RUB_UNUSED(state);
    check_small_images(true);
}

static void every_byte_becomes_the_quotient_by_255_to_the_bit(void **state)
{
    RUB_UNUSED(state);
    uint8_t bytes[256];
    int32_t label = 0;
    float x[256];
    for (size_t i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    const rub_dataset_t dataset = {
        .n_examples = 1, .width = 256, .n_classes = 1, .bytes = bytes, .labels = &label};
    rub_dataset_features(&dataset, 0, x);
    for (size_t i = 0; i < 256; i++) {
        assert_true(x[i] == (float)i / 255.0f);
    }
}

static void write_floats(const idx_files_t *files, const float *values, uint32_t n, uint32_t width)
{
    uint8_t *data = malloc(4 * (size_t)n * width);
    uint8_t *labels = malloc(4 * (size_t)n);
    for (size_t i = 0; i < (size_t)n * width; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        put_u32_big(data + 4 * i, bits);
    }
    for (uint32_t i = 0; i < n; i++) {
        put_u32_big(labels + 4 * i, 1000 * i);
    }
    write_idx(files->features, true, 0x0d, 2, (const uint32_t[]){n, width}, data,
              4 * (size_t)n * width);
    write_idx(files->labels, true, 0x0c, 1, &n, labels, 4 * (size_t)n);
    free(data);
    free(labels);
}

static void float_features_and_int_labels_are_read(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const float values[6] = {-1.5f, 0, 3e38f, 1e-40f, 0.1f, -0.0f};
    write_floats(&files, values, 3, 2);
    const rub_dataset_options_t options = options_of(&files);
    rub_dataset_t *dataset = NULL;
    float x[2];
    assert_int_equal(rub_dataset_open(&options, &dataset, NULL), 0);
    assert_int_equal(dataset->n_classes, 2001);
    assert_true(dataset->image[0] == 1 && dataset->image[1] == 1 && dataset->image[2] == 2);
    assert_int_equal(dataset->labels[2], 2000);
    assert_memory_equal(dataset->floats, values, sizeof values);
    rub_dataset_features(dataset, 1, x);
    assert_memory_equal(x, values + 2, sizeof x);
    rub_dataset_close(&dataset);
    idx_files_fini(&files);
}

static void features_that_are_not_finite_are_refused(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const float values[6] = {0, 1, 2, NAN, 4, 5};
    write_floats(&files, values, 3, 2);
    const rub_dataset_options_t options = options_of(&files);
    ASSERT_BAD_DATA(&options, files.features, "feature 1 of example 1", "finite");
    idx_files_fini(&files);
}

static void a_missing_file_is_named(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const rub_dataset_options_t options = options_of(&files);
    ASSERT_BAD_DATA(&options, files.features, "No such file");
    write_small_images(&files, false, 4);
    unlink(files.labels);
    ASSERT_BAD_DATA(&options, files.labels, "No such file");
    idx_files_fini(&files);
}

static void folders_and_pipes_are_no_data_files(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    rub_dataset_options_t options = options_of(&files);
    assert_int_equal(mkfifo(files.features, 0600), 0);
    ASSERT_BAD_DATA(&options, files.features, "not a regular file");
    options.features_path = files.folder;
    ASSERT_BAD_DATA(&options, files.folder, "not a regular file");
    idx_files_fini(&files);
}

static void missing_paths_and_unknown_formats_are_invalid(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, false, 4);
    rub_dataset_options_t options = options_of(&files);
    options.format = "parquet";
    assert_fails(&options, RUB_EINVAL, (const char *const[]){"'parquet'", NULL});
    options = options_of(&files);
    options.features_path = NULL;
    assert_fails(&options, RUB_EINVAL, (const char *const[]){"features", NULL});
    options = options_of(&files);
    options.labels_path = "";
    assert_fails(&options, RUB_EINVAL, (const char *const[]){"labels", NULL});
    options = options_of(&files);
    options.n_classes = RUB_CLASSES_LIMIT + 1;
    assert_fails(&options, RUB_EINVAL, (const char *const[]){"65537 classes", NULL});
    idx_files_fini(&files);
}

static void a_named_format_skips_sniffing_but_not_checking(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, false, 4);
    rub_dataset_options_t options = options_of(&files);
    rub_dataset_t *dataset = NULL;
    options.format = "idx";
    assert_int_equal(rub_dataset_open(&options, &dataset, NULL), 0);
    rub_dataset_close(&dataset);
    write_bytes(files.features, false, "PK\3\4xxxxxxxx", 12);
    ASSERT_BAD_DATA(&options, files.features, "50 4b 03 04", "not IDX");
    idx_files_fini(&files);
}

static void a_wrong_magic_is_shown(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, false, 4);
    const rub_dataset_options_t options = options_of(&files);
    write_bytes(files.labels, false, "\x89PNGxxxxxxxx", 12);
    ASSERT_BAD_DATA(&options, files.labels, "89 50 4e 47");
    write_bytes(files.features, false, "label,pixel1\n", 13);
    ASSERT_BAD_DATA(&options, files.features, "6c 61 62 65", "unknown format");
    write_bytes(files.features, false, "\0\0\x08\x05xxxxxxxxxxxx", 16);
    ASSERT_BAD_DATA(&options, files.features, "00 00 08 05");
    write_bytes(files.features, false, "\0\0", 2);
    ASSERT_BAD_DATA(&options, files.features, "ends at byte 2", "expected at least 4");
    write_bytes(files.features, false, "", 0);
    ASSERT_BAD_DATA(&options, files.features, "ends at byte 0");
    idx_files_fini(&files);
}

static void types_that_do_not_fit_are_named(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint8_t zeros[64] = {0};
    write_small_images(&files, false, 4);
    const rub_dataset_options_t options = options_of(&files);
    write_idx(files.labels, false, 0x0d, 1, (const uint32_t[]){4}, zeros, 16);
    ASSERT_BAD_DATA(&options, files.labels, "type 0x0d", "ubyte", "int32");
    write_idx(files.labels, false, 0x08, 2, (const uint32_t[]){4, 1}, zeros, 4);
    ASSERT_BAD_DATA(&options, files.labels, "2 dimensions, expected 1");
    write_idx(files.features, false, 0x0e, 2, (const uint32_t[]){4, 2}, zeros, 64);
    ASSERT_BAD_DATA(&options, files.features, "type 0x0e", "float32");
    idx_files_fini(&files);
}

static void truncated_files_say_where_they_end(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint8_t zeros[64] = {0};
    for (int gzip = 0; gzip < 2; gzip++) {
        write_small_images(&files, gzip, 4);
        const rub_dataset_options_t options = options_of(&files);
        write_idx(files.labels, gzip, 0x08, 1, (const uint32_t[]){4}, zeros, 3);
        ASSERT_BAD_DATA(&options, files.labels, "ends at byte 11", "12 bytes");
        write_idx(files.features, gzip, 0x08, 3, (const uint32_t[]){4, 2, 3}, zeros, 23);
        ASSERT_BAD_DATA(&options, files.features, "ends at byte 39", "40 bytes");
        write_bytes(files.features, gzip, "\0\0\x08\x03\0\0", 6);
        ASSERT_BAD_DATA(&options, files.features, "ends at byte 6", "16 bytes");
    }
    idx_files_fini(&files);
}

static void a_gzip_stream_that_stops_or_is_damaged_is_refused(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, true, 20);
    const rub_dataset_options_t options = options_of(&files);
    struct stat status;
    assert_int_equal(stat(files.features, &status), 0);
    char whole[1024];
    FILE *file = fopen(files.features, "rb");
    const size_t bytes = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_int_equal(bytes, status.st_size);
    /* Every cut is noticed: in the header, in the stream, in the checksum. */
    for (size_t cut = 0; cut < bytes; cut++) {
        assert_int_equal(truncate(files.features, (off_t)cut), 0);
        ASSERT_BAD_DATA(&options, files.features);
        write_bytes(files.features, false, whole, bytes);
    }
    whole[bytes - 6] ^= 1; /* the checksum */
    write_bytes(files.features, false, whole, bytes);
    ASSERT_BAD_DATA(&options, files.features, "damaged");
    idx_files_fini(&files);
}

static void files_longer_than_their_header_says_are_refused(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint8_t zeros[64] = {0};
    write_small_images(&files, true, 4);
    const rub_dataset_options_t options = options_of(&files);
    write_idx(files.features, true, 0x08, 3, (const uint32_t[]){4, 2, 3}, zeros, 25);
    ASSERT_BAD_DATA(&options, files.features, "goes on after byte 40");
    idx_files_fini(&files);
}

static void dimensions_above_the_limits_are_refused_without_using_memory(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint8_t zeros[64] = {0};
    write_small_images(&files, false, 4);
    rub_dataset_options_t options = options_of(&files);
    write_idx(files.features, false, 0x08, 3, (const uint32_t[]){4, 2048, 513}, zeros, 64);
    ASSERT_BAD_DATA(&options, "1050624 features", "1048576");
    write_idx(files.features, false, 0x08, 4, (const uint32_t[]){4, 1u << 20, 1u << 31, 1u << 31},
              zeros, 64);
    ASSERT_BAD_DATA(&options, "features per example");
    write_idx(files.features, false, 0x08, 3, (const uint32_t[]){4, 0, 3}, zeros, 0);
    ASSERT_BAD_DATA(&options, "0 features");
    write_idx(files.features, false, 0x08, 1, (const uint32_t[]){0}, zeros, 0);
    ASSERT_BAD_DATA(&options, "0 examples");
    write_idx(files.features, false, 0x0d, 2, (const uint32_t[]){UINT32_MAX, 1u << 20}, zeros, 64);
    ASSERT_BAD_DATA(&options, files.features, "the limit is 68719476736 bytes");
    write_idx(files.features, false, 0x08, 2, (const uint32_t[]){UINT32_MAX, 16}, zeros, 64);
    ASSERT_BAD_DATA(&options, "ends at byte 76", "68719476732 bytes"); /* 64 GiB never existed */
    options.limit_bytes = 23;
    write_small_images(&files, false, 4);
    ASSERT_BAD_DATA(&options, "24 elements", "the limit is 23 bytes");
    idx_files_fini(&files);
}

static void counts_of_features_and_labels_must_agree(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint8_t zeros[8] = {0};
    write_small_images(&files, true, 4);
    const rub_dataset_options_t options = options_of(&files);
    write_idx(files.labels, true, 0x08, 1, (const uint32_t[]){5}, zeros, 5);
    ASSERT_BAD_DATA(&options, files.labels, "5 labels, expected 4");
    idx_files_fini(&files);
}

static void labels_outside_their_classes_are_refused(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, true, 4);
    rub_dataset_options_t options = options_of(&files);
    options.n_classes = 2;
    ASSERT_BAD_DATA(&options, files.labels, "example 2 is 2, expected 0 to 1");
    const uint8_t negative[16] = {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff};
    write_idx(files.labels, true, 0x0c, 1, (const uint32_t[]){4}, negative, 16);
    options.n_classes = 0;
    ASSERT_BAD_DATA(&options, files.labels, "example 1 is -1");
    idx_files_fini(&files);
}

static void classes_may_be_more_than_the_labels_show(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    write_small_images(&files, true, 4);
    rub_dataset_options_t options = options_of(&files);
    rub_dataset_t *dataset = NULL;
    options.n_classes = 10;
    assert_int_equal(rub_dataset_open(&options, &dataset, NULL), 0);
    assert_int_equal(dataset->n_classes, 10);
    rub_dataset_close(&dataset);
    idx_files_fini(&files);
}

static void large_payloads_survive_the_growth_of_their_buffer(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    const uint32_t n = 3000,
                   width = 1111; /* 3.2 MiB: the buffer grows twice, the last time not to double */
    uint8_t *data = malloc((size_t)n * width);
    uint8_t *labels = calloc(n, 1);
    for (size_t i = 0; i < (size_t)n * width; i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    write_idx(files.features, true, 0x08, 2, (const uint32_t[]){n, width}, data, (size_t)n * width);
    write_idx(files.labels, true, 0x08, 1, &n, labels, n);
    const rub_dataset_options_t options = options_of(&files);
    rub_dataset_t *dataset = NULL;
    assert_int_equal(rub_dataset_open(&options, &dataset, NULL), 0);
    assert_memory_equal(dataset->bytes, data, (size_t)n * width);
    rub_dataset_close(&dataset);
    free(data);
    free(labels);
    idx_files_fini(&files);
}

static void random_damage_ends_in_a_data_set_or_a_sentence(void **state)
{
    RUB_UNUSED(state);
    idx_files_t files;
    idx_files_init(&files);
    rub_rng_t rng;
    rub_rng_init(&rng, 42, 0);
    const rub_dataset_options_t options = options_of(&files);
    for (int round = 0; round < 1500; round++) {
        write_small_images(&files, round % 2, 4);
        const char *path = rub_rng_below(&rng, 3) == 0 ? files.labels : files.features;
        FILE *file = fopen(path, "r+b");
        for (uint64_t n = 1 + rub_rng_below(&rng, 3); n > 0; n--) {
            fseek(file, (long)rub_rng_below(&rng, 20), SEEK_SET);
            fputc((int)rub_rng_below(&rng, 256), file);
        }
        fclose(file);
        rub_error_t err = {0};
        rub_dataset_t *dataset = NULL;
        const int rc = rub_dataset_open(&options, &dataset, &err);
        if (rc == 0) {
            assert_true(dataset->n_examples >= 1 && dataset->width >= 1);
            rub_dataset_close(&dataset);
        } else {
            assert_int_equal(rc, RUB_EDATA);
            assert_true(strlen(err.message) > 20);
        }
    }
    idx_files_fini(&files);
}

static void what_is_held_out_and_the_rest_make_up_the_whole(void **state)
{
    RUB_UNUSED(state);
    enum { N = 200 };
    idx_files_t files;
    uint8_t pixels[N * 2], classes[N], seen[N] = {0};
    for (unsigned i = 0; i < N; i++) {
        pixels[2 * i] = (uint8_t)i;
        pixels[2 * i + 1] = 7;
        classes[i] = (uint8_t)(i % 3);
    }
    idx_files_init(&files);
    write_idx(files.features, false, 0x08, 2, (uint32_t[]){N, 2}, pixels, sizeof pixels);
    write_idx(files.labels, false, 0x08, 1, (uint32_t[]){N}, classes, sizeof classes);
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.features_path = files.features;
    options.labels_path = files.labels;
    options.held_out = 0.3;
    options.held_out_seed = 4;
    size_t total = 0;
    rub_error_t err = {0};
    rub_dataset_t *dataset = NULL;
    for (int part = 0; part < 2; part++) {
        options.take_held_out = part == 1;
        assert_int_equal(rub_dataset_open(&options, &dataset, &err), 0);
        assert_int_equal(dataset->n_classes, 3);
        for (size_t i = 0; i < dataset->n_examples; i++) {
            const uint8_t number = dataset->bytes[2 * i];
            assert_int_equal(seen[number]++, 0);
            assert_int_equal(dataset->bytes[2 * i + 1], 7);
            assert_int_equal(dataset->labels[i], number % 3);
        }
        total += dataset->n_examples;
        assert_true(part == 0 || (dataset->n_examples > 35 && dataset->n_examples < 85));
        rub_dataset_close(&dataset);
    }
    assert_int_equal(total, N);
    options.held_out = 1e-9;
    assert_int_equal(rub_dataset_open(&options, &dataset, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "none of its 200 examples is held out"));
    idx_files_fini(&files);
}

static void readers_are_a_table(void **state)
{
    RUB_UNUSED(state);
    size_t n;
    const rub_data_reader_t *readers = rub_data_readers(&n);
    assert_int_equal(n, 4);
    assert_string_equal(readers[0].name, "idx");
    assert_string_equal(readers[1].name, "npy");
    assert_true(rub_dataset_is_table("csv") && rub_dataset_is_table("tsv"));
    assert_false(rub_dataset_is_table("npy") || rub_dataset_is_table("libsvm"));
    assert_true(readers[0].sniff((const uint8_t *)"\0\0\x08\x03", 4));
    assert_false(readers[0].sniff((const uint8_t *)"\0\0\x08\x03", 3));
    assert_true(readers[1].sniff((const uint8_t *)"\x93NUMPY", 6));
    assert_false(readers[1].sniff((const uint8_t *)"\0\0\x08\x03\0\0", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_idx_images_are_read),
        cmocka_unit_test(gzip_idx_images_are_read),
        cmocka_unit_test(every_byte_becomes_the_quotient_by_255_to_the_bit),
        cmocka_unit_test(float_features_and_int_labels_are_read),
        cmocka_unit_test(features_that_are_not_finite_are_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(folders_and_pipes_are_no_data_files),
        cmocka_unit_test(missing_paths_and_unknown_formats_are_invalid),
        cmocka_unit_test(a_named_format_skips_sniffing_but_not_checking),
        cmocka_unit_test(a_wrong_magic_is_shown),
        cmocka_unit_test(types_that_do_not_fit_are_named),
        cmocka_unit_test(truncated_files_say_where_they_end),
        cmocka_unit_test(a_gzip_stream_that_stops_or_is_damaged_is_refused),
        cmocka_unit_test(files_longer_than_their_header_says_are_refused),
        cmocka_unit_test(dimensions_above_the_limits_are_refused_without_using_memory),
        cmocka_unit_test(counts_of_features_and_labels_must_agree),
        cmocka_unit_test(labels_outside_their_classes_are_refused),
        cmocka_unit_test(classes_may_be_more_than_the_labels_show),
        cmocka_unit_test(large_payloads_survive_the_growth_of_their_buffer),
        cmocka_unit_test(random_damage_ends_in_a_data_set_or_a_sentence),
        cmocka_unit_test(what_is_held_out_and_the_rest_make_up_the_whole),
        cmocka_unit_test(readers_are_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
