/* Files that are there whole or not at all: what stays when writing fails or is given up, and what
 * is never replaced. Devices are met through links, so that a failure costs the link and no more.
 */
#include "common/base/whole_file.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct place {
    char folder[40], path[64], part[80];
    rub_whole_file_t *file;
    rub_error_t err;
} place_t;

static void place_init(place_t *self)
{
    *self = (place_t){.folder = "/tmp/rubato-whole-XXXXXX"};
    assert_non_null(mkdtemp(self->folder));
    (void)snprintf(self->path, sizeof self->path, "%s/rows", self->folder);
    (void)snprintf(self->part, sizeof self->part, "%s.part", self->path);
}

static void place_fini(place_t *self)
{
    assert_null(self->file);
    assert_false(rub_fs_exists(self->part));
    assert_int_equal(rub_fs_remove_tree(self->folder, NULL), 0);
}

static void begin(place_t *self, const char *text)
{
    assert_int_equal(rub_whole_file_open(self->path, &self->file, &self->err), 0);
    fputs(text, rub_whole_file_stream(self->file));
}

static void assert_holds(const place_t *self, const char *text)
{
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(self->path, 1000, &data, &bytes, NULL), 0);
    assert_string_equal(data, text);
    free(data);
}

static bool is_link(const place_t *self)
{
    struct stat status;
    return lstat(self->path, &status) == 0 && S_ISLNK(status.st_mode);
}

static void a_folder_that_is_not_there_is_refused(void **state)
{
    RUB_UNUSED(state);
    place_t p;
    place_init(&p);
    strcat(p.path, "/none");
    assert_int_equal(rub_whole_file_open(p.path, &p.file, &p.err), RUB_ESTORE);
    assert_non_null(strstr(p.err.message, p.path));
    place_fini(&p);
}

static void a_full_device_is_no_space_and_stays(void **state)
{
    RUB_UNUSED(state);
    place_t p;
    place_init(&p);
    assert_int_equal(symlink("/dev/full", p.path), 0);
    begin(&p, "lost\n");
    assert_int_equal(rub_whole_file_finish(&p.file, &p.err), RUB_ENOSPC);
    assert_non_null(strstr(p.err.message, p.path));
    assert_true(is_link(&p));
    place_fini(&p);
}

static void what_is_no_regular_file_is_written_and_not_replaced(void **state)
{
    RUB_UNUSED(state);
    place_t p;
    place_init(&p);
    assert_int_equal(symlink("/dev/null", p.path), 0);
    begin(&p, "gone\n");
    assert_int_equal(rub_whole_file_finish(&p.file, &p.err), 0);
    assert_true(is_link(&p));
    place_fini(&p);
}

static void the_old_file_stays_until_the_new_one_is_whole(void **state)
{
    RUB_UNUSED(state);
    place_t p;
    place_init(&p);
    begin(&p, "old\n");
    assert_false(rub_fs_exists(p.path));
    assert_int_equal(rub_whole_file_finish(&p.file, &p.err), 0);
    begin(&p, "new");
    assert_holds(&p, "old\n");
    rub_whole_file_abandon(&p.file);
    assert_holds(&p, "old\n");
    begin(&p, "newer\n");
    assert_int_equal(rub_whole_file_finish(&p.file, &p.err), 0);
    assert_holds(&p, "newer\n");
    rub_whole_file_abandon(&p.file); /* of nothing */
    place_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_is_not_there_is_refused),
        cmocka_unit_test(a_full_device_is_no_space_and_stays),
        cmocka_unit_test(what_is_no_regular_file_is_written_and_not_replaced),
        cmocka_unit_test(the_old_file_stays_until_the_new_one_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
