/* Files: replaced whole, locked against everybody, and named when they fail. */
#include "common/base/alloc.h"
#include "common/base/fs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct place {
    char folder[64];
    char path[128];
} place_t;

static int make_place(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    strcpy(place->folder, "/tmp/rubato-fs-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof(place->path), "%s/file", place->folder);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    place_t *place = *state;
    char path[200];
    unlink(place->path);
    const char *const folders[] = {"a/b/c", "a/b", "a", ""};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", place->folder, folders[i]);
        rmdir(path);
    }
    const int gone = access(place->folder, F_OK) != 0;
    free(place);
    return gone ? 0 : -1; /* nothing may be left behind, not even a temporary file */
}

static void write_replaces_the_whole_file(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    char *data;
    size_t bytes;
    assert_false(rub_fs_exists(place->path));
    assert_int_equal(rub_fs_write(place->path, "a longer content", 16, &err), 0);
    assert_int_equal(rub_fs_write(place->path, "short", 5, &err), 0);
    assert_true(rub_fs_exists(place->path));
    assert_int_equal(rub_fs_read(place->path, 5, &data, &bytes, &err), 0);
    assert_int_equal(bytes, 5);
    assert_string_equal(data, "short");
    rub_free(data);
}

static void read_refuses_what_is_missing_or_too_long(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    char *data;
    size_t bytes;
    assert_int_equal(rub_fs_read(place->path, 100, &data, &bytes, &err), RUB_EIO);
    assert_non_null(strstr(err.message, place->path));
    assert_int_equal(rub_fs_write(place->path, "123456", 6, &err), 0);
    assert_int_equal(rub_fs_read(place->path, 5, &data, &bytes, &err), RUB_ELIMIT);
    assert_null(data);
    assert_int_equal(bytes, 0);
}

static void write_into_a_missing_folder_is_refused(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    char path[200];
    snprintf(path, sizeof(path), "%s/none/file", place->folder);
    assert_int_equal(rub_fs_write(path, "x", 1, &err), RUB_EIO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void mkdirs_makes_parents_and_names_the_part_that_fails(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    char path[200];
    snprintf(path, sizeof(path), "%s/a/b/c", place->folder);
    assert_int_equal(rub_fs_mkdirs(path, &err), 0);
    assert_int_equal(rub_fs_mkdirs(path, &err), 0);
    assert_int_equal(rub_fs_write(place->path, "x", 1, &err), 0);
    snprintf(path, sizeof(path), "%s/deeper", place->path);
    assert_int_equal(rub_fs_mkdirs(path, &err), RUB_EIO);
    assert_non_null(strstr(err.message, place->path));
    assert_int_equal(rub_fs_mkdirs("", &err), RUB_EIO);
}

static void lock_is_exclusive_and_names_its_holder(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    int first;
    int second;
    assert_int_equal(rub_fs_lock(place->path, "ps 0 of host:17", &first, &err), 0);
    assert_int_equal(rub_fs_lock(place->path, "another", &second, &err), RUB_EHELD);
    assert_int_equal(second, -1);
    assert_non_null(strstr(err.message, "ps 0 of host:17"));
    /* Closing another descriptor of the file does not drop it, as a POSIX record lock would be. */
    close(open(place->path, O_RDONLY | O_CLOEXEC));
    assert_int_equal(rub_fs_lock(place->path, "another", &second, &err), RUB_EHELD);
    assert_int_equal(rub_fs_lock_free(place->path, &err), RUB_EHELD);
    assert_non_null(strstr(err.message, "ps 0 of host:17"));
    rub_fs_unlock(first);
    assert_int_equal(rub_fs_lock_free(place->path, &err), 0);
    assert_int_equal(rub_fs_lock(place->path, "b", &second, &err), 0);
    rub_fs_unlock(second);
    rub_fs_unlock(-1);
}

static void shared_lock_keeps_owners_out_and_writes_nothing(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    int owner, first, second;
    assert_int_equal(rub_fs_lock_shared(place->path, &first, &err), 0);
    assert_int_equal(first, -1); /* nobody ever held it */
    assert_false(rub_fs_exists(place->path));
    assert_int_equal(rub_fs_lock(place->path, "ps 0 of host:17", &owner, &err), 0);
    assert_int_equal(rub_fs_lock_shared(place->path, &first, &err), RUB_EHELD);
    assert_non_null(strstr(err.message, "ps 0 of host:17"));
    rub_fs_unlock(owner);
    assert_int_equal(rub_fs_lock_shared(place->path, &first, &err), 0);
    assert_int_equal(rub_fs_lock_shared(place->path, &second, &err), 0);
    assert_int_equal(rub_fs_lock(place->path, "another", &owner, &err), RUB_EHELD);
    rub_fs_unlock(first);
    rub_fs_unlock(second);
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(place->path, 100, &text, &bytes, NULL), 0);
    assert_string_equal(text, "ps 0 of host:17");
    rub_free(text);
}

static void lock_goes_with_a_process_that_dies(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    int fd;
    const pid_t child = fork();
    if (child == 0) {
        _exit(rub_fs_lock(place->path, "child", &fd, NULL) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(rub_fs_lock(place->path, "parent", &fd, &err), 0);
    rub_fs_unlock(fd);
}

static void full_disk_is_no_space_and_not_an_io_error(void **state)
{
    (void)state;
    rub_error_t err = {0};
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        skip();
    }
    assert_int_equal(rub_fs_pwrite(fd, "x", 1, 0, &err), RUB_ENOSPC);
    close(fd);
}

static void regular_files_alone_are_opened_and_read_no_further_than_they_go(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    char read[4] = "";
    uint64_t bytes = 0;
    int fd = 0;
    assert_int_equal(rub_fs_open_regular(place->path, &fd, &bytes, &err), RUB_EIO);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.message, "cannot be opened: No such file"));
    assert_int_equal(mkfifo(place->path, 0600), 0);
    assert_int_equal(rub_fs_open_regular(place->path, &fd, &bytes, &err), RUB_EIO); /* at once */
    assert_string_equal(err.message, "it is not a regular file");
    assert_int_equal(rub_fs_write(place->path, "12345", 5, &err), 0);
    assert_int_equal(rub_fs_open_regular(place->path, &fd, &bytes, &err), 0);
    assert_int_equal(bytes, 5);
    assert_int_equal(rub_fs_pread(fd, read, 3, 2, &err), 0);
    assert_string_equal(read, "345");
    assert_int_equal(rub_fs_pread(fd, read, 3, 3, &err), RUB_EDATA);
    assert_string_equal(err.message, "cannot read 3 bytes at offset 3: the file ends before");
    close(fd);
    assert_int_equal(rub_fs_pread(fd, read, 1, 0, &err), RUB_EIO);
}

static void free_bytes_of_a_folder_are_told(void **state)
{
    place_t *place = *state;
    rub_error_t err = {0};
    uint64_t bytes;
    assert_int_equal(rub_fs_free_bytes(place->folder, &bytes, &err), 0);
    assert_true(bytes > 0);
    assert_int_equal(rub_fs_free_bytes("/no/such/place", &bytes, &err), RUB_EIO);
    assert_int_equal(rub_fs_sync_folder(place->folder, &err), 0);
    assert_int_equal(rub_fs_sync_folder("/no/such/place", &err), RUB_EIO);
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(write_replaces_the_whole_file),
        PLACED(read_refuses_what_is_missing_or_too_long),
        PLACED(write_into_a_missing_folder_is_refused),
        PLACED(mkdirs_makes_parents_and_names_the_part_that_fails),
        PLACED(lock_is_exclusive_and_names_its_holder),
        PLACED(lock_goes_with_a_process_that_dies),
        PLACED(shared_lock_keeps_owners_out_and_writes_nothing),
        PLACED(full_disk_is_no_space_and_not_an_io_error),
        PLACED(regular_files_alone_are_opened_and_read_no_further_than_they_go),
        PLACED(free_bytes_of_a_folder_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
