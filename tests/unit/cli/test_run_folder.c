/* A run directory belongs to one run, for ever. */
#include "cli/run_folder.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    char folder[64], path[128];
    rub_config_t config;
    rub_run_folder_t run;
    rub_error_t err;
} fixture_t;

static int make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/rub-run-XXXXXX");
    if (!mkdtemp(f->folder)) {
        return -1;
    }
    rub_config_init(&f->config);
    rub_run_folder_init(&f->run);
    snprintf(f->path, sizeof f->path, "%s/run", f->folder);
    const char *arguments[] = {"--run-dir", f->path};
    *state = f;
    return rub_config_load(&f->config, RUB_FOR_TRAIN, 2, (char *const *)arguments, NULL, &f->err);
}

static int drop(void **state)
{
    fixture_t *f = *state;
    char path[PATH_MAX];
    snprintf(f->run.path, sizeof f->run.path, "%s", f->path);
    unlink(rub_run_folder_file(&f->run, "lock", path));
    unlink(rub_run_folder_file(&f->run, "config.yaml", path));
    rub_run_folder_fini(&f->run);
    rub_config_fini(&f->config);
    unlink(f->path);
    rmdir(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void a_folder_of_a_live_run_is_refused(void **state)
{
    fixture_t *f = *state;
    rub_run_folder_t second;
    rub_run_folder_init(&second);
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    assert_int_equal(rub_run_folder_make(&second, &f->config, &f->err), RUB_EHELD);
    assert_non_null(strstr(f->err.message, "is in use"));
    rub_run_folder_fini(&second);
}

static void a_folder_of_an_earlier_run_is_refused(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    assert_int_equal(rub_run_folder_save_config(&f->run, &f->config, &f->err), 0);
    rub_run_folder_fini(&f->run);
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), RUB_EREFUSED);
    assert_non_null(strstr(f->err.message, "holds an earlier run"));
}

static void a_folder_that_cannot_be_made_is_a_storage_error(void **state)
{
    fixture_t *f = *state;
    FILE *out = fopen(f->path, "w");
    assert_non_null(out);
    fclose(out);
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), RUB_ESTORE);
}

static void a_folder_of_a_run_that_never_was_is_removed(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    rub_run_folder_drop(&f->run);
    assert_int_not_equal(access(f->path, F_OK), 0);
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
}

static void a_folder_that_was_there_before_stays(void **state)
{
    fixture_t *f = *state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(f->path, 0777), 0);
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    assert_int_equal(access(rub_run_folder_file(&f->run, "lock", path), F_OK), 0);
    rub_run_folder_drop(&f->run);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(access(f->path, F_OK), 0);
}

static void a_run_that_has_ended_has_no_address(void **state)
{
    fixture_t *f = *state;
    char address[128] = "";
    assert_int_equal(rub_run_folder_address(f->folder, address, sizeof address, &f->err),
                     RUB_ECONFIG);
    assert_non_null(strstr(f->err.message, "is not a run directory"));
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    assert_int_equal(rub_run_folder_save_config(&f->run, &f->config, &f->err), 0);
    rub_run_folder_fini(&f->run);
    assert_int_equal(rub_run_folder_address(f->path, address, sizeof address, &f->err), RUB_EPEER);
    assert_non_null(strstr(f->err.message, "has ended"));
}

static void snapshots_are_where_the_run_was_told_to_keep_them(void **state)
{
    fixture_t *f = *state;
    char place[PATH_MAX], expected[PATH_MAX];
    snprintf(expected, sizeof expected, "%s/snapshots", f->path);
    assert_string_equal(rub_run_folder_snapshots(f->path, place), expected); /* by hand */
    assert_int_equal(rub_run_folder_make(&f->run, &f->config, &f->err), 0);
    assert_int_equal(rub_run_folder_save_config(&f->run, &f->config, &f->err), 0);
    assert_string_equal(rub_run_folder_snapshots(f->path, place), expected);
    char elsewhere[100];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", f->folder);
    f->config.snapshots_dir = elsewhere;
    assert_int_equal(rub_run_folder_save_config(&f->run, &f->config, &f->err), 0);
    assert_string_equal(rub_run_folder_snapshots(f->path, place), elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_of_a_live_run_is_refused, make, drop),
        cmocka_unit_test_setup_teardown(a_folder_of_an_earlier_run_is_refused, make, drop),
        cmocka_unit_test_setup_teardown(a_folder_of_a_run_that_never_was_is_removed, make, drop),
        cmocka_unit_test_setup_teardown(a_folder_that_was_there_before_stays, make, drop),
        cmocka_unit_test_setup_teardown(snapshots_are_where_the_run_was_told_to_keep_them, make,
                                        drop),
        cmocka_unit_test_setup_teardown(a_run_that_has_ended_has_no_address, make, drop),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made_is_a_storage_error, make,
                                        drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
