/* The storage thread commits checkpoints behind the journal, groups syncs, and keeps segments
 * ready. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/timing.h"
#include "ps/open_store.h"
#include "ps/storage_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 }; /* with a machine that has much else to do */

typedef struct place {
    char folder[64];
    rub_shard_store_t store;
    rub_storage_t *storage;
} place_t;

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-storage-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    rub_error_t err = {0};
    assert_int_equal(rub_shard_store_open(place->folder, 3, 64 * 1024, "me:1", &place->store, &err),
                     0);
    assert_int_equal(rub_storage_start(place->store.journal, place->store.lmdb, false, NULL,
                                       &place->storage, &err),
                     0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    char command[100];
    rub_storage_stop(&place->storage);
    rub_shard_store_close(&place->store);
    snprintf(command, sizeof(command), "rm -rf %s", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void append(place_t *place, uint64_t lsn)
{
    static const uint8_t bytes[1000];
    const rub_span_t part = {bytes, sizeof(bytes)};
    assert_int_equal(rub_journal_append(place->store.journal, lsn, 1, &part, 1, NULL), 0);
    assert_int_equal(rub_journal_write(place->store.journal, NULL), 0);
}

static void *copy_of(const char *text)
{
    char *copy = rub_strdup(text);
    assert_non_null(copy);
    return copy;
}

/* Collects until want says yes, as long as patience lasts. */
static rub_storage_news_t wait_news(place_t *place, bool redo)
{
    rub_storage_news_t all = {0};
    for (int i = 0; i < PATIENCE_MS / 10 && (redo ? !all.redo_lsn : !all.synced_lsn); i++) {
        struct pollfd fd = {.fd = rub_storage_event_fd(place->storage), .events = POLLIN};
        (void)poll(&fd, 1, 10);
        rub_storage_news_t news;
        rub_storage_collect(place->storage, &news);
        all.synced_lsn = news.synced_lsn ? news.synced_lsn : all.synced_lsn;
        all.redo_lsn = news.redo_lsn ? news.redo_lsn : all.redo_lsn;
        all.failure = news.failure;
        if (all.failure.code) {
            return all;
        }
    }
    return all;
}

static int count(void *context, uint32_t table, uint32_t chunk, const void *bytes, size_t n,
                 rub_error_t *err)
{
    RUB_UNUSED(table);
    RUB_UNUSED(chunk);
    RUB_UNUSED(bytes);
    RUB_UNUSED(n);
    RUB_UNUSED(err);
    ++*(int *)context;
    return 0;
}

static int count_chunks(place_t *place)
{
    int n = 0;
    rub_storage_stop(&place->storage);
    assert_int_equal(rub_store_each_chunk(place->store.lmdb, count, &n, NULL), 0);
    return n;
}

static void checkpoint_is_committed_and_told(void **state)
{
    place_t *place = *state;
    append(place, 1);
    append(place, 2);
    assert_int_equal(rub_storage_chunk(place->storage, 1, 1, 2, copy_of("aaa"), 3), 0);
    assert_int_equal(rub_storage_chunk(place->storage, 1, 2, 2, copy_of("bbb"), 3), 0);
    assert_int_equal(rub_storage_state(place->storage, 1, 2, copy_of("core"), 4), 0);
    const rub_storage_news_t news = wait_news(place, true);
    assert_int_equal(news.failure.code, 0);
    assert_int_equal(news.redo_lsn, 1);
    assert_int_equal(news.synced_lsn, 2); /* the journal went first */
    assert_int_equal(rub_storage_backlog(place->storage), 0);
    assert_int_equal(count_chunks(place), 2);
    void *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_store_get_state(place->store.lmdb, RUB_STATE_CORE, &data, &bytes, NULL),
                     0);
    assert_int_equal(bytes, 4);
    rub_free(data);
}

static void exact_checkpoint_does_not_wait_for_the_journal(void **state)
{
    place_t *place = *state;
    append(place, 1);
    append(place, 2);
    assert_int_equal(rub_storage_chunk(place->storage, 1, 1, 2, copy_of("aaa"), 3), 0);
    assert_int_equal(rub_storage_state(place->storage, 2, 2, copy_of("core"), 4), 0);
    const rub_storage_news_t news = wait_news(place, true);
    assert_int_equal(news.failure.code, 0);
    assert_int_equal(news.redo_lsn, 2);
    assert_int_equal(news.synced_lsn, 0);
    assert_int_equal(count_chunks(place), 1);
}

/* As large as the shard makes them. The thread has time to look before all is there. */
static void exact_checkpoint_of_many_chunks_is_still_one_step(void **state)
{
    enum { CHUNKS = 17, CHUNK_BYTES = 1 << 20 };
    place_t *place = *state;
    const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
    append(place, 1);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        void *bytes = rub_calloc(1, CHUNK_BYTES);
        assert_non_null(bytes);
        assert_int_equal(rub_storage_chunk(place->storage, 1, i, 1, bytes, CHUNK_BYTES), 0);
        (void)nanosleep(&nap, NULL);
    }
    assert_int_equal(rub_storage_state(place->storage, 1, 1, copy_of("core"), 4), 0);
    const rub_storage_news_t news = wait_news(place, true);
    assert_int_equal(news.failure.code, 0);
    assert_int_equal(news.redo_lsn, 1);
    assert_int_equal(news.synced_lsn, 0);
    assert_int_equal(count_chunks(place), CHUNKS);
}

static void journal_that_is_kept_is_synced_for_every_checkpoint(void **state)
{
    place_t *place = *state;
    rub_storage_stop(&place->storage);
    assert_int_equal(rub_journal_keep_all(place->store.journal, NULL), 0);
    assert_int_equal(rub_storage_start(place->store.journal, place->store.lmdb, false, NULL,
                                       &place->storage, NULL),
                     0);
    append(place, 1);
    assert_int_equal(rub_storage_state(place->storage, 1, 1, copy_of("core"), 4), 0);
    assert_int_equal(wait_news(place, true).synced_lsn, 1);
}

static void chunk_without_bytes_is_deleted(void **state)
{
    place_t *place = *state;
    append(place, 1);
    rub_storage_chunk(place->storage, 1, 1, 1, copy_of("aaa"), 3);
    rub_storage_state(place->storage, 1, 1, copy_of("core"), 4);
    assert_int_equal(wait_news(place, true).redo_lsn, 1);
    append(place, 2);
    rub_storage_chunk(place->storage, 1, 1, 2, NULL, 0);
    rub_storage_state(place->storage, 2, 2, copy_of("core"), 4);
    assert_int_equal(wait_news(place, true).redo_lsn, 2);
    assert_int_equal(count_chunks(place), 0);
}

static void chunks_without_their_state_are_not_told_as_a_checkpoint(void **state)
{
    place_t *place = *state;
    append(place, 1);
    rub_storage_chunk(place->storage, 1, 1, 1, copy_of("aaa"), 3);
    rub_storage_sync(place->storage, 1);
    const rub_storage_news_t news = wait_news(place, false);
    assert_int_equal(news.synced_lsn, 1);
    assert_int_equal(news.redo_lsn, 0);
    assert_int_equal(rub_storage_backlog(place->storage), 3);
    assert_int_equal(count_chunks(place), 0);
}

static void checkpoint_ahead_of_the_journal_is_our_bug_and_final(void **state)
{
    place_t *place = *state;
    append(place, 1);
    rub_storage_state(place->storage, 5, 5, copy_of("core"), 4);
    assert_int_equal(wait_news(place, true).failure.code, RUB_EINTERNAL);
}

static void sync_is_answered_even_when_nothing_is_new(void **state)
{
    place_t *place = *state;
    append(place, 7);
    rub_storage_sync(place->storage, 7);
    assert_int_equal(wait_news(place, false).synced_lsn, 7);
    rub_storage_sync(place->storage, 7);
    assert_int_equal(wait_news(place, false).synced_lsn, 7);
}

static void segments_are_made_ready_and_recycled(void **state)
{
    place_t *place = *state;
    uint64_t lsn = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < PATIENCE_MS / 2 && rub_journal_wants_segment(place->store.journal);
             i++) {
            rub_storage_prepare(place->storage);
            rub_sleep_ms(2);
        }
        assert_false(rub_journal_wants_segment(place->store.journal));
        for (int i = 0; i < 60; i++) {
            append(place, ++lsn);
        }
        rub_storage_state(place->storage, lsn, lsn, copy_of("core"), 4);
        assert_int_equal(wait_news(place, true).redo_lsn, lsn);
    }
    assert_true(rub_journal_bytes_since(place->store.journal, lsn) < 3u * 64u * 1024u);
}

static void second_opener_is_told_who_holds_the_folder(void **state)
{
    place_t *place = *state;
    rub_shard_store_t other;
    rub_error_t err = {0};
    assert_int_equal(rub_shard_store_open(place->folder, 3, 64 * 1024, "you:2", &other, &err),
                     RUB_EHELD);
    assert_non_null(strstr(err.message, "me:1"));
    assert_int_equal(rub_shard_store_open(place->folder, 4, 64 * 1024, "you:2", &other, &err), 0);
    rub_shard_store_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(checkpoint_is_committed_and_told),
        TEST(exact_checkpoint_does_not_wait_for_the_journal),
        TEST(exact_checkpoint_of_many_chunks_is_still_one_step),
        TEST(journal_that_is_kept_is_synced_for_every_checkpoint),
        TEST(chunk_without_bytes_is_deleted),
        TEST(chunks_without_their_state_are_not_told_as_a_checkpoint),
        TEST(checkpoint_ahead_of_the_journal_is_our_bug_and_final),
        TEST(sync_is_answered_even_when_nothing_is_new),
        TEST(segments_are_made_ready_and_recycled),
        TEST(second_opener_is_told_who_holds_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
