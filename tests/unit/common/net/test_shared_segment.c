/* Shared memory that can not be pulled away, nor mistaken for something else. */
#include "common/base/check.h"
#include "common/net/host_token.h"
#include "common/net/shared_segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 8 * 4096 };

static void expect_refusal(uint64_t pid, int fd, size_t bytes, const char *why)
{
    rub_error_t err = {0};
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(rub_shared_segment_attach(pid, (uint32_t)fd, bytes, &segment, &err),
                     RUB_EREFUSED);
    assert_null(segment);
    if (!strstr(err.message, why)) {
        fail_msg("'%s' does not say '%s'", err.message, why);
    }
}

static int memory_file(unsigned flags, off_t bytes, int seals)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | flags);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    assert_true(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    expect_refusal(UINT64_MAX, 3, BYTES, "/proc/18446744073709551615/fd/3");
    expect_refusal((uint64_t)getpid(), 999999, BYTES, "fd/999999");
}

/* In a child: what it does must not end it. Returns its exit code; -1: a signal ended it. */
static int in_child(int (*work)(void))
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(work());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int create_beyond_the_limit(void)
{
    const struct rlimit small = {BYTES - 1, BYTES - 1};
    rub_error_t err = {0};
    rub_shared_segment_t *segment = NULL;
    (void)signal(SIGXFSZ, SIG_DFL);
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) {
        return 2;
    }
    const int rc = rub_shared_segment_create(BYTES, &segment, &err);
    return rc == RUB_EIO && !segment && strstr(err.message, "files are limited to 32767") ? 0 : 1;
}

static void a_limit_of_files_is_an_error_and_no_signal(void **state)
{
    (void)state;
    assert_int_equal(in_child(create_beyond_the_limit), 0);
}

static void memory_that_may_shrink_is_refused(void **state)
{
    (void)state;
    const int seals[] = {0, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW};
    for (size_t i = 0; i < RUB_COUNT_OF(seals); i++) {
        const int fd = memory_file(MFD_ALLOW_SEALING, BYTES, seals[i]);
        expect_refusal((uint64_t)getpid(), fd, BYTES, "may change its size");
        close(fd);
    }
    const int fd = memory_file(0, BYTES, 0); /* has the seal against seals alone */
    expect_refusal((uint64_t)getpid(), fd, BYTES, "may change its size");
    close(fd);
}

static void memory_of_another_size_is_refused(void **state)
{
    (void)state;
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(rub_shared_segment_create(BYTES, &segment, NULL), 0);
    const int fd = (int)rub_shared_segment_descriptor(segment);
    expect_refusal((uint64_t)getpid(), fd, BYTES + 4096, "is no shared memory of 36864 bytes");
    expect_refusal((uint64_t)getpid(), fd, BYTES - 4096, "is no shared memory of 28672 bytes");
    rub_shared_segment_close(&segment);
    assert_null(segment);
}

/* A peer names any descriptor of any process: a pipe would block whoever opens it. */
static void pipes_devices_and_files_are_not_even_opened(void **state)
{
    (void)state;
    char path[] = "rubato-segment-XXXXXX";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    expect_refusal((uint64_t)getpid(), ends[0], BYTES, "no shared memory");
    expect_refusal((uint64_t)getpid(), ends[1], BYTES, "no shared memory");
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    expect_refusal((uint64_t)getpid(), null, BYTES, "no shared memory");
    const int file = mkstemp(path); /* in the working folder, which is on a disk */
    assert_true(file >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(file, BYTES), 0);
    rub_error_t err = {0};
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(
        rub_shared_segment_attach((uint64_t)getpid(), (uint32_t)file, BYTES, &segment, &err),
        RUB_EREFUSED);
    close(ends[0]);
    close(ends[1]);
    close(null);
    close(file);
}

/* Both ends, in this process. */
static void open_both(rub_shared_segment_t **made_p, rub_shared_segment_t **seen_p)
{
    assert_int_equal(rub_shared_segment_create(BYTES, made_p, NULL), 0);
    assert_int_equal(rub_shared_segment_attach((uint64_t)getpid(),
                                               rub_shared_segment_descriptor(*made_p), BYTES,
                                               seen_p, NULL),
                     0);
}

static void what_one_end_writes_the_other_reads(void **state)
{
    (void)state;
    rub_shared_segment_t *made = NULL, *seen = NULL;
    open_both(&made, &seen);
    assert_int_equal(rub_shared_segment_bytes(seen)[BYTES - 1], 0);
    rub_shared_segment_bytes(made)[BYTES - 1] = 7;
    assert_int_equal(rub_shared_segment_bytes(seen)[BYTES - 1], 7);
    rub_shared_segment_bytes(seen)[0] = 9;
    assert_int_equal(rub_shared_segment_bytes(made)[0], 9);
    rub_shared_segment_close(&seen);
    rub_shared_segment_close(&made);
}

static void its_size_is_what_it_is(void **state)
{
    (void)state;
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(rub_shared_segment_create(BYTES, &segment, NULL), 0);
    const int fd = (int)rub_shared_segment_descriptor(segment);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 2 * BYTES), -1);
    /* A hole is no end: it reads as zeros. */
    rub_shared_segment_bytes(segment)[4096] = 5;
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES), 0);
    assert_int_equal(rub_shared_segment_bytes(segment)[4096], 0);
    rub_shared_segment_close(&segment);
}

static unsigned files_in(const char *folder)
{
    unsigned n = 0;
    DIR *list = opendir(folder);
    while (list && readdir(list)) {
        n++;
    }
    if (list) {
        closedir(list);
    }
    return n;
}

static void killing_the_maker_orphans_it_and_leaves_nothing_behind(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const unsigned before = files_in("/dev/shm");
    const pid_t maker = fork();
    if (maker == 0) {
        rub_shared_segment_t *segment = NULL;
        uint32_t fd = UINT32_MAX;
        if (rub_shared_segment_create(BYTES, &segment, NULL) == 0) {
            rub_shared_segment_bytes(segment)[0] = 42;
            fd = rub_shared_segment_descriptor(segment);
        }
        (void)!write(ends[1], &fd, sizeof(fd));
        for (;;) {
            pause();
        }
    }
    uint32_t fd = UINT32_MAX;
    assert_int_equal(read(ends[0], &fd, sizeof(fd)), sizeof(fd));
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(rub_shared_segment_attach((uint64_t)maker, fd, BYTES, &segment, NULL), 0);
    assert_false(rub_shared_segment_is_orphaned(segment));
    assert_int_equal(kill(maker, SIGKILL), 0);
    assert_int_equal(waitpid(maker, NULL, 0), maker);
    assert_true(rub_shared_segment_is_orphaned(segment));
    assert_int_equal(rub_shared_segment_bytes(segment)[0], 42); /* no SIGBUS, and as it was left */
    assert_int_equal(rub_shared_segment_bytes(segment)[BYTES - 1], 0);
    rub_shared_segment_close(&segment);
    assert_int_equal(files_in("/dev/shm"), before);
    close(ends[0]);
    close(ends[1]);
}

static void letting_go_orphans_it_too(void **state)
{
    (void)state;
    rub_shared_segment_t *made = NULL, *seen = NULL;
    open_both(&made, &seen);
    assert_false(rub_shared_segment_is_orphaned(seen));
    rub_shared_segment_close(&made);
    assert_true(rub_shared_segment_is_orphaned(seen));
    rub_shared_segment_close(&seen);
}

static uint64_t pages_of(int fd)
{
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    return (uint64_t)info.st_blocks;
}

/* A child of the maker has its descriptors, and sleeps. */
static void a_child_of_the_maker_keeps_neither_its_lock_nor_its_memory(void **state)
{
    (void)state;
    int ends[2], stop[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(stop), 0);
    const pid_t maker = fork();
    if (maker == 0) {
        rub_shared_segment_t *segment = NULL;
        uint32_t fd = UINT32_MAX;
        if (rub_shared_segment_create(BYTES, &segment, NULL) == 0) {
            fd = rub_shared_segment_descriptor(segment);
            rub_shared_segment_bytes(segment)[0] = 42;
        }
        if (fork() == 0) {
            char byte;
            close(stop[1]);
            (void)!read(stop[0], &byte, 1); /* until the test ends */
            _exit(0);
        }
        (void)!write(ends[1], &fd, sizeof(fd));
        for (;;) {
            pause();
        }
    }
    uint32_t fd = UINT32_MAX;
    assert_int_equal(read(ends[0], &fd, sizeof(fd)), sizeof(fd));
    rub_shared_segment_t *segment = NULL;
    assert_int_equal(rub_shared_segment_attach((uint64_t)maker, fd, BYTES, &segment, NULL), 0);
    const int own = dup((int)rub_shared_segment_descriptor(segment));
    assert_false(rub_shared_segment_is_orphaned(segment));
    assert_int_equal(kill(maker, SIGKILL), 0);
    assert_int_equal(waitpid(maker, NULL, 0), maker);
    assert_true(rub_shared_segment_is_orphaned(segment));
    assert_true(pages_of(own) > 0);
    rub_shared_segment_close(&segment);
    assert_int_equal(pages_of(own), 0);
    close(own);
    close(stop[1]);
    close(stop[0]);
    close(ends[0]);
    close(ends[1]);
}

static void letting_go_orphans_it_for_children_of_the_maker_too(void **state)
{
    (void)state;
    int stop[2];
    assert_int_equal(pipe(stop), 0);
    rub_shared_segment_t *made = NULL, *seen = NULL;
    open_both(&made, &seen);
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        close(stop[1]);
        (void)!read(stop[0], &byte, 1);
        _exit(0);
    }
    rub_shared_segment_close(&made);
    assert_true(rub_shared_segment_is_orphaned(seen));
    rub_shared_segment_close(&seen);
    close(stop[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(stop[0]);
}

static void a_host_is_the_same_host_again(void **state)
{
    (void)state;
    uint8_t first[RUB_HOST_TOKEN_BYTES] = {0}, second[RUB_HOST_TOKEN_BYTES] = {0};
    const uint8_t zeros[RUB_HOST_TOKEN_BYTES] = {0};
    assert_int_equal(rub_host_token(first), 0);
    assert_int_equal(rub_host_token(second), 0);
    assert_memory_equal(first, second, sizeof(first));
    assert_memory_not_equal(first, zeros, sizeof(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(a_limit_of_files_is_an_error_and_no_signal),
        cmocka_unit_test(memory_that_may_shrink_is_refused),
        cmocka_unit_test(memory_of_another_size_is_refused),
        cmocka_unit_test(pipes_devices_and_files_are_not_even_opened),
        cmocka_unit_test(what_one_end_writes_the_other_reads),
        cmocka_unit_test(its_size_is_what_it_is),
        cmocka_unit_test(killing_the_maker_orphans_it_and_leaves_nothing_behind),
        cmocka_unit_test(letting_go_orphans_it_too),
        cmocka_unit_test(a_child_of_the_maker_keeps_neither_its_lock_nor_its_memory),
        cmocka_unit_test(letting_go_orphans_it_for_children_of_the_maker_too),
        cmocka_unit_test(a_host_is_the_same_host_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
