/* Vectors as word2vec writes them, byte by byte, and what happens where nothing can be written. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/vectors_file.h"

static const float values[2][3] = {{1, -0.5f, 0.1f}, {0, -8192, 1e10f}};

static void write_two(const char *path, bool binary)
{
    rub_error_t err = {0};
    rub_vectors_file_t *file = NULL;
    assert_int_equal(rub_vectors_file_create(path, binary, 2, 3, &file, &err), 0);
    rub_vectors_file_add(file, "the", values[0]);
    rub_vectors_file_add(file, "\xc3\xa9t\xc3\xa9", values[1]);
    assert_int_equal(rub_vectors_file_finish(&file, &err), 0);
    assert_null(file);
}

static void a_folder_that_is_not_there_is_refused_with_its_name(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_vectors_file_t *file = (rub_vectors_file_t *)&err;
    assert_int_equal(rub_vectors_file_create("/nonexistent/v.txt", false, 1, 1, &file, &err),
                     RUB_ESTORE);
    assert_null(file);
    assert_non_null(strstr(err.message, "/nonexistent/v.txt"));
}

static void a_full_disk_is_an_error_and_leaves_the_old_file(void **state)
{
    (void)state;
    static const float zeros[4096];
    idx_files_t files;
    rub_error_t err = {0};
    rub_vectors_file_t *file = NULL;
    char part[128];
    char *data = NULL;
    size_t bytes = 0;
    idx_files_init(&files);
    write_bytes(files.features, false, "old", 3);
    snprintf(part, sizeof part, "%s.part", files.features);
    assert_int_equal(symlink("/dev/full", part), 0);
    assert_int_equal(rub_vectors_file_create(files.features, true, 1, 4096, &file, &err), 0);
    rub_vectors_file_add(file, "word", zeros);
    assert_int_equal(rub_vectors_file_finish(&file, &err), RUB_ENOSPC);
    assert_null(file);
    assert_int_equal(rub_fs_read(files.features, 100, &data, &bytes, &err), 0);
    assert_string_equal(data, "old");
    assert_false(rub_fs_exists(part));
    rub_free(data);
    idx_files_fini(&files);
}

static void what_is_given_up_leaves_nothing(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_vectors_file_t *file = NULL;
    idx_files_init(&files);
    assert_int_equal(rub_vectors_file_create(files.features, false, 2, 3, &file, &err), 0);
    rub_vectors_file_abandon(&file);
    assert_null(file);
    rub_vectors_file_abandon(&file);
    idx_files_fini(&files); /* removes the folder only when it is empty */
    assert_false(rub_fs_exists(files.folder));
}

static void text_and_binary_are_word2vecs(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    char *data = NULL;
    size_t bytes = 0;
    char expected[64] = "2 3\nthe ";
    idx_files_init(&files);
    write_two(files.features, false);
    assert_int_equal(rub_fs_read(files.features, 1000, &data, &bytes, &err), 0);
    assert_string_equal(data, "2 3\nthe 1 -0.5 0.100000001\n\xc3\xa9t\xc3\xa9 0 -8192 1e+10\n");
    rub_free(data);
    write_two(files.labels, true);
    memcpy(expected + 8, values[0], 12);
    memcpy(expected + 20, "\n\xc3\xa9t\xc3\xa9 ", 7);
    memcpy(expected + 27, values[1], 12);
    expected[39] = '\n';
    assert_int_equal(rub_fs_read(files.labels, 1000, &data, &bytes, &err), 0);
    assert_int_equal(bytes, 40);
    assert_memory_equal(data, expected, 40);
    rub_free(data);
    idx_files_fini(&files);
}

static void names_that_end_in_bin_are_binary(void **state)
{
    (void)state;
    assert_true(rub_vectors_file_is_binary("a/b.bin"));
    assert_true(rub_vectors_file_is_binary(".bin"));
    assert_true(rub_vectors_file_is_binary("v.bin.gz"));
    assert_false(rub_vectors_file_is_binary("a.bin.txt"));
    assert_false(rub_vectors_file_is_binary("bin"));
    assert_false(rub_vectors_file_is_binary(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_is_not_there_is_refused_with_its_name),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_the_old_file),
        cmocka_unit_test(what_is_given_up_leaves_nothing),
        cmocka_unit_test(text_and_binary_are_word2vecs),
        cmocka_unit_test(names_that_end_in_bin_are_binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
