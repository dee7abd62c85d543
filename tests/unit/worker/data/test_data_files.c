/* What a word for data files names, in which order, and what is refused. */
#include "worker/data/data_files.h"

#include "common/base/check.h"
#include "common/base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/rubato-files-XXXXXX";

static int set_up(void **state)
{
    RUB_UNUSED(state);
    static const char *const files[] = {"b.svm", "a.svm", "B.svm", "c,d", "e*", ".hidden", "_done"};
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_int_equal(rub_fs_write(files[i], "x", 1, NULL), 0);
    }
    assert_int_equal(rub_fs_mkdirs("empty/", NULL), 0);
    return rub_fs_mkdirs("deep", NULL) || rub_fs_write("deep/z", "x", 1, NULL);
}

static int tear_down(void **state)
{
    RUB_UNUSED(state);
    return chdir("/") || rub_fs_remove_tree(folder, NULL);
}

/* names: with blanks between. */
static void assert_names(const char *words, const char *names)
{
    rub_data_files_t *files = NULL;
    rub_error_t err = {0};
    char found[512] = "";
    if (rub_data_files_open(words, &files, &err) != 0) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < files->n; i++) {
        const size_t used = strlen(found);
        (void)snprintf(found + used, sizeof found - used, "%s%s", i > 0 ? " " : "",
                       files->paths[i]);
    }
    rub_data_files_close(&files);
    assert_string_equal(found, names);
}

static void words_name_files_in_the_order_of_their_bytes(void **state)
{
    RUB_UNUSED(state);
    assert_names("b.svm", "b.svm");
    assert_names("*.svm", "B.svm a.svm b.svm");
    assert_names("b.svm,a.svm", "b.svm a.svm");
    assert_names("deep,?.svm", "deep/z B.svm a.svm b.svm");
    assert_names(".", "./B.svm ./a.svm ./b.svm ./c,d ./e*");
    assert_names("deep/", "deep/z");
    assert_names("[ab].svm", "a.svm b.svm");
}

static void a_file_that_is_there_is_taken_by_its_name(void **state)
{
    RUB_UNUSED(state);
    assert_names("c,d", "c,d");
    assert_names("e*", "e*");
    assert_names("missing", "missing"); /* who opens it says so */
}

static void assert_refused(const char *words, const char *sentence)
{
    rub_data_files_t *files = (rub_data_files_t *)&folder; /* must be set */
    rub_error_t err = {0};
    assert_int_equal(rub_data_files_open(words, &files, &err), RUB_EDATA);
    assert_null(files);
    if (strstr(err.message, sentence) == NULL) {
        fail_msg("'%s', expected '%s'", err.message, sentence);
    }
}

static void what_names_no_file_is_refused(void **state)
{
    RUB_UNUSED(state);
    assert_refused("empty", "data folder 'empty' holds 0 files");
    assert_refused("*.tsv", "data files '*.tsv': no file has such a name");
    assert_refused("a.svm,", "data files 'a.svm,': one has no name");
    assert_refused("a.svm,,b.svm", "one has no name");
    assert_refused("a.svm,x*", "'x*': no file");
}

static void what_is_read_is_not_written_over(void **state)
{
    RUB_UNUSED(state);
    rub_error_t err = {0};
    assert_int_equal(symlink("a.svm", "link"), 0);
    assert_int_equal(rub_data_files_spare("b.svm,./a.svm", "a.svm", &err), RUB_ECONFIG);
    assert_string_equal(err.message, "'a.svm' would be written over data that are read, './a.svm'");
    assert_int_equal(rub_data_files_spare("*.svm", "link", &err), RUB_ECONFIG);
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(rub_data_files_spare("b.svm", "a.svm", &err), 0);
    assert_int_equal(rub_data_files_spare("a.svm", "nobody.svm", &err), 0);
    assert_int_equal(rub_data_files_spare("/dev/null", "/dev/null", &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_name_files_in_the_order_of_their_bytes),
        cmocka_unit_test(a_file_that_is_there_is_taken_by_its_name),
        cmocka_unit_test(what_names_no_file_is_refused),
        cmocka_unit_test(what_is_read_is_not_written_over),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
