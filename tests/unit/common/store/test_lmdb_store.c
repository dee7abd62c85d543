/* The store gives back what was committed, whole, or says that it is damaged. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/fs.h"
#include "common/store/lmdb_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    char *folder = strdup("/tmp/rub-lmdb-XXXXXX");
    assert_non_null(mkdtemp(folder));
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    unlink(path);
    snprintf(path, sizeof(path), "%s/data.mdb-lock", (char *)*state);
    unlink(path);
    rmdir(*state);
    free(*state);
    return 0;
}

static rub_store_t *reopen(const char *folder)
{
    rub_store_t *store = NULL;
    rub_error_t err = {0};
    const int rc = rub_store_open(folder, &store, &err);
    if (rc) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    return store;
}

typedef struct seen {
    uint64_t n, sum_table, sum_chunk, bytes;
    uint32_t last_table, last_chunk;
} seen_t;

static int see(void *context, uint32_t table, uint32_t chunk, const void *bytes, size_t n_bytes,
               rub_error_t *err)
{
    seen_t *seen = context;
    RUB_UNUSED(bytes);
    RUB_UNUSED(err);
    if (seen->n > 0) {
        assert_true(table > seen->last_table ||
                    (table == seen->last_table && chunk > seen->last_chunk));
    }
    seen->n++;
    seen->sum_table += table;
    seen->sum_chunk += chunk;
    seen->bytes += n_bytes;
    seen->last_table = table;
    seen->last_chunk = chunk;
    return 0;
}

static void state_and_chunks_survive_reopening(void **state)
{
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 2, 300, "cc", 2);
    rub_store_put_chunk(store, 1, 70000, "b", 1);
    rub_store_put_chunk(store, 1, 2, "", 0);
    rub_store_put_state(store, "core", "state", 5);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    rub_store_close(&store);
    store = reopen(*state);
    void *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_store_get_state(store, "core", &data, &bytes, NULL), 0);
    assert_int_equal(bytes, 5);
    assert_memory_equal(data, "state", 5);
    rub_free(data);
    assert_int_equal(rub_store_get_state(store, "other", &data, &bytes, NULL), 0);
    assert_null(data);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.bytes, 3);
    rub_store_close(&store);
}

static void state_larger_than_a_transaction_is_stored_whole(void **state)
{
    const size_t n_bytes = (size_t)130 << 20;
    uint8_t *large = rub_calloc(1, n_bytes);
    assert_non_null(large);
    rub_store_t *store = reopen(*state);
    for (uint8_t round = 1; round <= 2; round++) {
        large[n_bytes - 1] = round;
        assert_int_equal(rub_store_begin(store, NULL), 0);
        rub_store_put_chunk(store, 1, round, "c", 1);
        rub_store_put_state(store, "core", large, n_bytes);
        rub_store_put_state(store, "beside", &round, 1);
        assert_int_equal(rub_store_commit(store, NULL), 0);
    }
    rub_store_close(&store);
    store = reopen(*state);
    void *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_store_get_state(store, "core", &data, &bytes, NULL), 0);
    assert_int_equal(bytes, n_bytes);
    assert_memory_equal(data, large, n_bytes);
    rub_free(data);
    assert_int_equal(rub_store_get_state(store, "beside", &data, &bytes, NULL), 0);
    assert_int_equal(bytes, 1);
    assert_int_equal(*(uint8_t *)data, 2);
    rub_free(data);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 2);
    rub_store_close(&store);
    rub_free(large);
}

static void deleted_chunk_is_gone_and_deleting_nothing_is_fine(void **state)
{
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 1, 1, "a", 1);
    rub_store_put_chunk(store, 1, 2, "b", 1);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_delete_chunk(store, 1, 1);
    rub_store_delete_chunk(store, 9, 9);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.sum_chunk, 2);
    rub_store_close(&store);
}

static void transaction_that_is_not_committed_leaves_nothing(void **state)
{
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 1, 1, "a", 1);
    rub_store_put_state(store, "core", "x", 1);
    rub_store_close(&store);
    store = reopen(*state);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 0);
    rub_store_close(&store);
}

static void more_than_one_transaction_holds_goes_in_whole(void **state)
{
    rub_store_t *store = reopen(*state);
    const size_t n_bytes = 1024 * 1024 - 24;
    uint8_t *bytes = malloc(n_bytes);
    memset(bytes, 7, n_bytes);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_state(store, "core", "behind", 6);
    for (uint32_t i = 0; i < 200; i++) {
        rub_store_put_chunk(store, 1, i, bytes, n_bytes);
    }
    void *data = NULL;
    size_t size = 0;
    assert_int_equal(rub_store_commit(store, NULL), 0);
    assert_int_equal(rub_store_get_state(store, "core", &data, &size, NULL), 0);
    assert_int_equal(size, 6);
    rub_free(data);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 200);
    assert_int_equal(seen.bytes, 200 * n_bytes);
    free(bytes);
    rub_store_close(&store);
}

/* Flips a bit of the first occurrence of text in the file. */
static void flip_in_file(const char *path, const char *text)
{
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(path, 1 << 30, &data, &bytes, NULL), 0);
    char *at = memmem(data, bytes, text, strlen(text));
    assert_non_null(at);
    const char flipped = (char)(*at ^ 1);
    const int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, &flipped, 1, at - data), 1);
    close(fd);
    rub_free(data);
}

static void flipped_bit_is_corruption_and_named(void **state)
{
    enum { LARGE = 5000 }; /* on pages of its own: looked at when it is read */
    char chunk[LARGE] = "the weights of a chunk", core[LARGE] = "the state of a core";
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 3, 17, chunk, LARGE);
    rub_store_put_state(store, "core", core, LARGE);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    rub_store_close(&store);
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    flip_in_file(path, "the weights of a chunk");
    flip_in_file(path, "the state of a core");
    store = reopen(*state);
    seen_t seen = {0};
    rub_error_t err = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "chunk 17 of table 3"));
    void *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_store_get_state(store, "core", &data, &bytes, &err), RUB_ECORRUPT);
    assert_null(data);
    rub_store_close(&store);
}

static void flipped_bit_of_a_small_value_is_found_at_opening(void **state)
{
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_state(store, "incarnation", "eleventh", 8);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    rub_store_close(&store);
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    flip_in_file(path, "eleventh");
    rub_error_t err = {0};
    assert_int_equal(rub_store_open(*state, &store, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "record 'sincarnation' is damaged"));
}

/* A store that a later program wrote: its values are read by nobody who does not know them. */
static void newer_format_is_refused_and_named(void **state)
{
    rub_store_t *store = reopen(*state);
    rub_store_close(&store);
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(path, 1 << 30, &data, &bytes, NULL), 0);
    uint8_t ours[12], theirs[12]; /* {crc, 0, format} */
    rub_put_u32(ours + 4, 0);
    rub_put_u32(ours + 8, 1);
    rub_put_u32(ours, rub_crc32c(rub_crc32c(0, "f", 1), ours + 8, 4));
    rub_put_u32(theirs + 4, 0);
    rub_put_u32(theirs + 8, 2);
    rub_put_u32(theirs, rub_crc32c(rub_crc32c(0, "f", 1), theirs + 8, 4));
    const char *at = memmem(data, bytes, ours, sizeof(ours));
    assert_non_null(at);
    const int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, theirs, sizeof(theirs), at - data), sizeof(theirs));
    close(fd);
    rub_free(data);
    rub_error_t err = {0};
    assert_int_equal(rub_store_open(*state, &store, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "has format 2, this program reads 1"));
}

static void store_that_was_half_made_is_made_again(void **state)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb.new", (char *)*state);
    assert_int_equal(rub_fs_write(path, "pages that never became a store", 31, NULL), 0);
    rub_store_t *store = reopen(*state);
    rub_store_close(&store);
    assert_false(rub_fs_exists(path));
}

static void foreign_file_is_refused_untouched(void **state)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    assert_int_equal(rub_fs_write(path, "something that somebody else keeps here", 39, NULL), 0);
    rub_store_t *store = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_store_open(*state, &store, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "data.mdb"));
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(path, 1000, &data, &bytes, NULL), 0);
    assert_int_equal(bytes, 39);
    rub_free(data);
}

static void lack_of_space_is_told_and_the_store_stays_as_it_was(void **state)
{
    rub_store_t *store = reopen(*state);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 1, 1, "a", 1);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    struct stat status; /* a write that begins behind the limit fails whole, as on a full disk */
    char path[100];
    snprintf(path, sizeof(path), "%s/data.mdb", (char *)*state);
    assert_int_equal(stat(path, &status), 0);
    const struct rlimit tight = {.rlim_cur = (rlim_t)status.st_size, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    uint8_t *bytes = calloc(1, 1 << 20);
    assert_int_equal(rub_store_begin(store, NULL), 0);
    rub_store_put_chunk(store, 1, 2, bytes, 1 << 20);
    rub_error_t err = {0};
    const int rc = rub_store_commit(store, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, RUB_ENOSPC);
    assert_true(err.message[0] != '\0');
    assert_int_equal(rub_store_begin(store, NULL), 0); /* and it can be tried again */
    rub_store_put_chunk(store, 1, 3, bytes, 1 << 20);
    assert_int_equal(rub_store_commit(store, NULL), 0);
    seen_t seen = {0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.sum_chunk, 4);
    free(bytes);
    rub_store_close(&store);
}

static void put_version(rub_store_t *store, uint8_t version, uint32_t n_chunks)
{
    const uint8_t bytes[100] = {version};
    assert_int_equal(rub_store_begin(store, NULL), 0);
    for (uint32_t i = 0; i < n_chunks; i++) {
        rub_store_put_chunk(store, 1, i, bytes, sizeof(bytes));
    }
    rub_store_put_state(store, "core", &version, 1);
    assert_int_equal(rub_store_commit(store, NULL), 0);
}

static void a_pin_shows_what_was_committed_when_it_was_made(void **state)
{
    rub_store_t *store = reopen(*state);
    rub_store_pin_t *pin = NULL;
    put_version(store, 1, 2);
    assert_int_equal(rub_store_pin(store, &pin, NULL), 0);
    for (uint8_t version = 2; version < 50; version++) {
        put_version(store, version, 5); /* pages of the pinned version are not used again */
    }
    uint8_t *version = NULL;
    size_t bytes = 0;
    seen_t seen = {0};
    assert_int_equal(rub_store_pin_get_state(pin, "core", (void **)&version, &bytes, NULL), 0);
    assert_int_equal(bytes, 1);
    assert_int_equal(version[0], 1);
    rub_free(version);
    assert_int_equal(rub_store_pin_each_chunk(pin, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 2);
    rub_store_unpin(&pin);
    assert_null(pin);
    seen = (seen_t){0};
    assert_int_equal(rub_store_each_chunk(store, see, &seen, NULL), 0);
    assert_int_equal(seen.n, 5);
    rub_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(state_and_chunks_survive_reopening),
        TEST(state_larger_than_a_transaction_is_stored_whole),
        TEST(deleted_chunk_is_gone_and_deleting_nothing_is_fine),
        TEST(transaction_that_is_not_committed_leaves_nothing),
        TEST(more_than_one_transaction_holds_goes_in_whole),
        TEST(flipped_bit_is_corruption_and_named),
        TEST(flipped_bit_of_a_small_value_is_found_at_opening),
        TEST(newer_format_is_refused_and_named),
        TEST(store_that_was_half_made_is_made_again),
        TEST(foreign_file_is_refused_untouched),
        TEST(a_pin_shows_what_was_committed_when_it_was_made),
        TEST(lack_of_space_is_told_and_the_store_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
