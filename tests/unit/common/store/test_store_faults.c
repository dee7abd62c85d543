/* A disk that fails: what the journal and the store say of it, and that nothing is acknowledged
 * behind it. The system's calls are this program's own here, so that each can be told to fail. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/store/journal_file.h"
#include "common/store/lmdb_store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEGMENT = 64 * 1024 };

/* What fails from now on; 0: nothing. Of this program alone. */
static int write_errno, sync_errno, map_errno;
static int through_errno;    /* of writes that are on the platter when they return */
static int header_errno;     /* of a write at the beginning of a file */
static int folder_errno;     /* of a folder's sync */
static size_t through_takes; /* so many bytes of the next such write are written; 0: all */
static uint64_t faults;      /* of which a mapping takes so many */
static unsigned n_through, n_interrupted, n_syncs, n_folder_syncs;

RUB_API void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (map_errno && fd >= 0 && (protection & PROT_WRITE)) {
        errno = map_errno;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

RUB_API ssize_t pwritev(int fd, const struct iovec *vector, int n, off_t offset);
ssize_t pwritev(int fd, const struct iovec *vector, int n, off_t offset)
{
    if (write_errno) {
        errno = write_errno;
        return -1;
    }
    return syscall(SYS_pwritev, fd, vector, n, offset, 0);
}

/* The header of a segment in use, once more. */
RUB_API ssize_t pwritev2(int fd, const struct iovec *vector, int n, off_t offset, int flags);
ssize_t pwritev2(int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
    n_through++;
    if (n_interrupted > 0) {
        n_interrupted--;
        errno = EINTR;
        return -1;
    }
    if (through_errno) {
        errno = through_errno;
        return -1;
    }
    if (through_takes > 0) {
        return syscall(SYS_pwrite64, fd, vector[0].iov_base, through_takes, offset);
    }
    return syscall(SYS_pwritev2, fd, vector, n, offset, 0, flags);
}

RUB_API ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset);
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    if (header_errno && offset == 0) {
        errno = header_errno;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, bytes, offset);
}

RUB_API int fsync(int fd);
int fsync(int fd)
{
    n_folder_syncs++;
    if (folder_errno) {
        errno = folder_errno;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

RUB_API int fdatasync(int fd);
int fdatasync(int fd)
{
    n_syncs++;
    if (sync_errno) {
        errno = sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* Faults of pages, ever: asked for before a mapping is made, and behind it. */
RUB_API int getrusage(__rusage_who_t who, struct rusage *usage);
int getrusage(__rusage_who_t who, struct rusage *usage)
{
    static uint64_t n_faults;
    assert_int_equal(who, RUSAGE_THREAD);
    *usage = (struct rusage){.ru_minflt = (long)n_faults};
    n_faults += faults;
    return 0;
}

typedef struct place {
    char folder[64], journal[80];
} place_t;

static void nothing_fails(void)
{
    write_errno = sync_errno = map_errno = through_errno = header_errno = folder_errno = 0;
    through_takes = 0;
    faults = 0;
    n_interrupted = 0;
}

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-faults-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->journal, sizeof(place->journal), "%s/journal", place->folder);
    nothing_fails();
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    nothing_fails();
    assert_int_equal(rub_fs_remove_tree(place->folder, NULL), 0);
    free(place);
    return 0;
}

static rub_journal_t *open_journal(const place_t *place)
{
    rub_journal_t *journal = NULL;
    assert_int_equal(rub_journal_open(place->journal, SEGMENT, &journal, NULL), 0);
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    return journal;
}

static int append(rub_journal_t *journal, uint64_t lsn, rub_error_t *err)
{
    const uint64_t value = lsn;
    const rub_span_t part = {&value, sizeof(value)};
    const int rc = rub_journal_append(journal, lsn, 1, &part, 1, err);
    return rc ? rc : rub_journal_write(journal, err);
}

static void write_that_fails_is_told_and_is_the_journals_last(void **state)
{
    const place_t *place = *state;
    map_errno = ENODEV; /* so that records are written with calls */
    const int errnos[] = {EIO, ENOSPC}, codes[] = {RUB_ESTORE, RUB_ENOSPC};
    uint64_t lsn = 1;
    for (size_t i = 0; i < RUB_COUNT_OF(errnos); i++) {
        rub_error_t err = {0};
        rub_journal_t *journal = open_journal(place);
        assert_int_equal(append(journal, lsn, &err), 0);
        write_errno = errnos[i];
        assert_int_equal(append(journal, lsn + 1, &err), codes[i]);
        assert_non_null(strstr(err.message, ".seg at "));
        assert_non_null(strstr(err.message, strerror(errnos[i])));
        write_errno = 0;
        assert_int_equal(append(journal, lsn + 2, &err), RUB_ESTORE); /* no record behind a hole */
        assert_non_null(strstr(err.message, "failed before"));
        rub_journal_close(&journal);
        lsn += 10;
    }
}

/* Records 1 to 5, the last two without a call into a segment that is mapped; then a sync. NULL: no
 * file system on which we map. */
static rub_journal_t *sync_mapped(const place_t *place, uint64_t faults_of_a_mapping)
{
    uint64_t lsn = 0;
    rub_journal_t *journal = NULL;
    uint8_t *filler = rub_calloc(1, 1 << 20);
    assert_non_null(filler);
    faults = faults_of_a_mapping;
    assert_int_equal(rub_journal_open(place->journal, 8 << 20, &journal, NULL), 0);
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_prepare(journal, NULL), 0);
    const rub_span_t part = {filler, 1 << 20};
    for (uint64_t i = 1; i <= 3; i++) { /* behind the header's neighbourhood */
        assert_int_equal(rub_journal_append(journal, i, 1, &part, 1, NULL), 0);
        assert_int_equal(rub_journal_write(journal, NULL), 0);
    }
    rub_free(filler);
    write_errno = EIO;
    if (append(journal, 4, NULL) != 0) {
        rub_journal_close(&journal);
        return NULL;
    }
    assert_int_equal(append(journal, 5, NULL), 0);
    assert_int_equal(rub_journal_sync(journal, &lsn, NULL), 0);
    assert_int_equal(lsn, 5);
    return journal;
}

static void assert_reopens_with(const place_t *place, uint64_t lsn)
{
    rub_journal_t *journal = NULL;
    write_errno = 0;
    assert_int_equal(rub_journal_open(place->journal, 8 << 20, &journal, NULL), 0);
    assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(rub_journal_last_lsn(journal), lsn);
    rub_journal_close(&journal);
}

/* A sync makes every further store into its pages a fault, which costs more than a call. */
static void mapped_segment_is_written_without_calls_until_it_is_synced(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = sync_mapped(place, (8 << 20) / 4096);
    if (!journal) {
        skip();
    }
    assert_int_equal(append(journal, 6, NULL), RUB_ESTORE);
    rub_journal_close(&journal);
    assert_reopens_with(place, 5);
}

/* Unless the pages are huge, so that their faults are few. */
static void mapped_segment_of_huge_pages_is_written_without_calls_when_it_was_synced(void **state)
{
    const place_t *place = *state;
    rub_journal_t *journal = sync_mapped(place, (8 << 20) / (2 << 20));
    if (!journal) {
        skip();
    }
    assert_int_equal(append(journal, 6, NULL), 0);
    rub_journal_close(&journal);
    assert_reopens_with(place, 6);
}

enum { MAPPED_FROM = 64 * 1024, LONG_BYTES = 100 * 1000 };

static void fill_long(uint8_t bytes[LONG_BYTES])
{
    for (size_t i = 0; i < LONG_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
}

static int compare_long(void *context, uint64_t lsn, uint8_t type, const void *payload,
                        size_t bytes, rub_error_t *err)
{
    static uint8_t want[LONG_BYTES];
    RUB_UNUSED(type);
    RUB_UNUSED(err);
    fill_long(want);
    if (lsn == 2) {
        assert_int_equal(bytes, LONG_BYTES);
        assert_memory_equal(payload, want, LONG_BYTES);
        ++*(unsigned *)context;
    }
    return 0;
}

/* A record that ends so far before the mapping, then a long one, of which calls write nothing if
 * they fail. */
static int append_across(rub_journal_t *journal, uint64_t before, int failure)
{
    static uint8_t bytes[LONG_BYTES];
    fill_long(bytes);
    const rub_span_t first = {bytes, MAPPED_FROM - before - 72 - 24}; /* two headers */
    const rub_span_t parts[] = {{bytes, 20}, {bytes + 20, 3000}, {bytes + 3020, LONG_BYTES - 3020}};
    assert_int_equal(rub_journal_append(journal, 1, 1, &first, 1, NULL), 0);
    assert_int_equal(rub_journal_write(journal, NULL), 0);
    write_errno = failure;
    const int rc = rub_journal_append(journal, 2, 1, parts, RUB_COUNT_OF(parts), NULL);
    return rc ? rc : rub_journal_write(journal, NULL);
}

static void record_that_goes_on_in_the_mapping_is_there_whole_or_not_at_all(void **state)
{
    const place_t *place = *state;
    const uint64_t befores[] = {8, 24, 32, 48, 3064, 50000};
    for (size_t i = 0; i < 2 * RUB_COUNT_OF(befores); i++) {
        const bool fails = i % 2 == 1;
        rub_journal_t *journal = NULL;
        unsigned n_long = 0;
        assert_int_equal(rub_journal_open(place->journal, 8 << 20, &journal, NULL), 0);
        assert_int_equal(rub_journal_replay(journal, 1, NULL, NULL, NULL, NULL), 0);
        assert_int_equal(rub_journal_prepare(journal, NULL), 0);
        assert_int_equal(append_across(journal, befores[i / 2], fails ? ENOSPC : 0),
                         fails ? RUB_ENOSPC : 0);
        rub_journal_close(&journal);
        write_errno = 0;
        assert_int_equal(rub_journal_open(place->journal, 8 << 20, &journal, NULL), 0);
        assert_int_equal(rub_journal_replay(journal, 1, compare_long, &n_long, NULL, NULL), 0);
        assert_int_equal(rub_journal_last_lsn(journal), fails ? 1 : 2);
        assert_int_equal(n_long, fails ? 0 : 1);
        rub_journal_close(&journal);
        assert_int_equal(rub_fs_remove_tree(place->journal, NULL), 0);
    }
}

static void sync_that_fails_vouches_for_nothing(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    uint64_t lsn = 77;
    rub_journal_t *journal = open_journal(place);
    assert_int_equal(append(journal, 1, &err), 0);
    sync_errno = EIO;
    assert_int_equal(rub_journal_sync(journal, &lsn, &err), RUB_ESTORE);
    assert_int_equal(lsn, 77);
    assert_non_null(strstr(err.message, "cannot sync the journal in"));
    rub_journal_close(&journal);
}

/* ---- the chain: names and headers of the segments in use, without their records ---- */

static int sync_chain(rub_journal_t *journal, rub_error_t *err)
{
    uint64_t lsn = 0;
    n_through = n_syncs = n_folder_syncs = 0;
    const int rc = rub_journal_sync_chain(journal, 1, &lsn, err);
    assert_int_equal(lsn, rub_journal_last_lsn(journal));
    return rc;
}

static void chain_is_synced_without_its_records_and_once(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    assert_int_equal(append(journal, 1, &err), 0);
    assert_int_equal(sync_chain(journal, &err), 0);
    assert_int_equal(n_through, 1);
    assert_int_equal(n_folder_syncs, 1);
    assert_int_equal(n_syncs, 0);
    assert_int_equal(append(journal, 2, &err), 0);
    assert_int_equal(sync_chain(journal, &err), 0); /* neither name nor header is new */
    assert_int_equal(n_through + n_folder_syncs + n_syncs, 0);
    rub_journal_close(&journal);
}

static void header_that_can_not_be_written_through_fails_the_chain_at_once(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    assert_int_equal(append(journal, 1, &err), 0);
    through_errno = EIO;
    assert_int_equal(sync_chain(journal, &err), RUB_ESTORE);
    assert_non_null(strstr(err.message, ".seg"));
    assert_non_null(strstr(err.message, strerror(EIO)));
    assert_int_equal(n_syncs,
                     0); /* the kernel tells an error once: a sync behind it might succeed */
    assert_int_equal(n_folder_syncs, 0);
    rub_journal_close(&journal);
}

/* A file system that knows no such write, an old kernel, a full disk; and a write that was cut. */
static void header_that_is_not_taken_so_is_synced_with_all_of_its_file(void **state)
{
    const place_t *place = *state;
    const int errnos[] = {EOPNOTSUPP, ENOSYS, EINVAL, ENOSPC, EDQUOT, 0};
    uint64_t lsn = 1;
    for (size_t i = 0; i < RUB_COUNT_OF(errnos); i++, lsn += 10) {
        rub_error_t err = {0};
        rub_journal_t *journal = open_journal(place);
        assert_int_equal(sync_chain(journal, &err), 0); /* what the last round left */
        assert_int_equal(append(journal, lsn, &err), 0);
        through_errno = errnos[i];
        through_takes = errnos[i] ? 0 : 40;
        assert_int_equal(sync_chain(journal, &err), 0);
        assert_int_equal(n_through, 1);
        assert_int_equal(n_syncs, 1);
        assert_int_equal(n_folder_syncs, 1);
        nothing_fails();
        rub_journal_close(&journal);
    }
}

static void header_that_is_taken_neither_way_fails_the_chain(void **state)
{
    const place_t *place = *state;
    const int errnos[] = {EOPNOTSUPP, ENOSPC, 0};
    uint64_t lsn = 1;
    for (size_t i = 0; i < RUB_COUNT_OF(errnos); i++, lsn += 10) {
        rub_error_t err = {0};
        rub_journal_t *journal = open_journal(place);
        assert_int_equal(append(journal, lsn, &err), 0);
        through_errno = errnos[i];
        through_takes = errnos[i] ? 0 : 40;
        sync_errno = EIO;
        assert_int_equal(sync_chain(journal, &err), RUB_ESTORE);
        assert_non_null(strstr(err.message, "cannot sync"));
        assert_non_null(strstr(err.message, strerror(EIO)));
        assert_int_equal(n_folder_syncs, 0);
        nothing_fails();
        rub_journal_close(&journal);
    }
}

static void interrupted_header_is_written_again(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    assert_int_equal(append(journal, 1, &err), 0);
    n_interrupted = 2;
    assert_int_equal(sync_chain(journal, &err), 0);
    assert_int_equal(n_through, 3);
    assert_int_equal(n_syncs, 0);
    rub_journal_close(&journal);
}

static void chain_whose_names_can_not_be_synced_fails(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    assert_int_equal(append(journal, 1, &err), 0);
    folder_errno = EIO;
    assert_int_equal(sync_chain(journal, &err), RUB_ESTORE);
    assert_non_null(strstr(err.message, "cannot sync folder"));
    rub_journal_close(&journal);
}

static void segment_whose_header_can_not_be_written_is_not_taken(void **state)
{
    const place_t *place = *state;
    const int errnos[] = {EIO, ENOSPC}, codes[] = {RUB_ESTORE, RUB_ENOSPC};
    for (size_t i = 0; i < RUB_COUNT_OF(errnos); i++) {
        rub_error_t err = {0};
        rub_journal_t *journal = open_journal(place);
        header_errno = errnos[i];
        assert_int_equal(append(journal, 1, &err), codes[i]);
        assert_non_null(strstr(err.message, strerror(errnos[i])));
        header_errno = 0;
        assert_int_equal(append(journal, 2, &err), RUB_ESTORE);
        assert_non_null(strstr(err.message, "failed before"));
        rub_journal_close(&journal);
        journal = open_journal(place); /* and nothing of it is found */
        assert_int_equal(rub_journal_last_lsn(journal), 0);
        rub_journal_close(&journal);
    }
}

static void segment_whose_sync_fails_is_not_taken(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    const size_t room = rub_journal_room(journal);
    sync_errno = EIO;
    assert_int_equal(rub_journal_prepare(journal, &err), RUB_ESTORE);
    assert_int_equal(rub_journal_room(journal), room);
    rub_journal_close(&journal);
}

static void commit_that_can_not_be_synced_fails_and_is_not_seen(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_store_t *store = NULL;
    assert_int_equal(rub_store_open(place->folder, &store, NULL), 0);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_state(store, "core", "before", 6);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_state(store, "core", "behind", 6);
    sync_errno = EIO;
    assert_int_equal(rub_store_commit(store, &err), RUB_ESTORE);
    assert_non_null(strstr(err.message, "data.mdb: cannot commit"));
    rub_store_close(&store);
    sync_errno = 0;
    void *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_store_open(place->folder, &store, NULL), 0);
    assert_int_equal(rub_store_get_state(store, "core", &data, &bytes, NULL), 0);
    assert_int_equal(bytes, 6);
    assert_memory_equal(data, "before", 6);
    rub_free(data);
    rub_store_close(&store);
}

static void journal_leaves_the_store_its_space(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    rub_journal_t *journal = open_journal(place);
    rub_journal_leave_free(journal, UINT64_C(1) << 60);
    assert_int_equal(rub_journal_prepare(journal, &err), RUB_ENOSPC);
    assert_non_null(strstr(err.message, "are left to the store"));
    rub_journal_leave_free(journal, 4096);
    assert_int_equal(rub_journal_prepare(journal, &err), 0);
    rub_journal_close(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(write_that_fails_is_told_and_is_the_journals_last),
        TEST(mapped_segment_is_written_without_calls_until_it_is_synced),
        TEST(mapped_segment_of_huge_pages_is_written_without_calls_when_it_was_synced),
        TEST(record_that_goes_on_in_the_mapping_is_there_whole_or_not_at_all),
        TEST(sync_that_fails_vouches_for_nothing),
        TEST(chain_is_synced_without_its_records_and_once),
        TEST(header_that_can_not_be_written_through_fails_the_chain_at_once),
        TEST(header_that_is_not_taken_so_is_synced_with_all_of_its_file),
        TEST(header_that_is_taken_neither_way_fails_the_chain),
        TEST(interrupted_header_is_written_again),
        TEST(chain_whose_names_can_not_be_synced_fails),
        TEST(segment_whose_header_can_not_be_written_is_not_taken),
        TEST(segment_whose_sync_fails_is_not_taken),
        TEST(commit_that_can_not_be_synced_fails_and_is_not_seen),
        TEST(journal_leaves_the_store_its_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
