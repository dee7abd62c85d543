/* A process that appends is killed at any moment: what it had told its parent is there, and right.
 *
 * The child appends through mapped segments (8 MiB each, recycled as it goes) while a second thread
 * makes segments, syncs and releases, as in a shard. After each write it says in a pipe how far it
 * has come. The parent ends it with SIGKILL, replays, and demands every record that was told, none
 * that was never given, and no word of damage: a killed process leaves no holes. Then the next
 * child goes on in the same folder. */
#include "tests/unit/common/store/journal_fixture.h"

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/base/timing.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum {
    MAPPED_SEGMENT = 8 << 20,
    ROUNDS = 24,
    RECORD_MOST = 40000,
    KEPT_LSNS = 400, /* about a segment's worth */
    AHEAD_LSNS = 8   /* appended at most, and not told yet */
};

/* What the child says: all up to lsn is written; nobody needs what lies before `needed`. */
typedef struct word {
    uint64_t lsn, needed;
    uint64_t n_writes, n_calls; /* asked for; calls of pwritev */
} word_t;

static atomic_uint_least64_t n_calls;

RUB_API ssize_t pwritev(int fd, const struct iovec *vector, int n, off_t offset);
ssize_t pwritev(int fd, const struct iovec *vector, int n, off_t offset)
{
    atomic_fetch_add(&n_calls, 1);
    return syscall(SYS_pwritev, fd, vector, n, offset, 0);
}

static size_t bytes_of(uint64_t lsn)
{
    return rub_mix64(lsn) % RECORD_MOST;
}

static void fill(uint64_t lsn, uint8_t *out)
{
    rub_rng_t rng;
    rub_rng_init(&rng, lsn, 3);
    for (size_t i = 0; i < bytes_of(lsn); i += 8) {
        rub_put_u64(out + i, rub_rng_u64(&rng)); /* out has room for a few bytes more */
    }
}

/* ---- the child ---- */

typedef struct life {
    rub_journal_t *journal;
    atomic_uint_least64_t needed;
    rub_rng_t rng;
} life_t;

static void must(int rc, const rub_error_t *err)
{
    if (rc) {
        print_error("child: %s\n", err->message);
        _exit(1);
    }
}

static void *store_beside(void *context)
{
    life_t *self = context;
    for (;;) {
        rub_error_t err = {0};
        uint64_t lsn = 0;
        const uint64_t dice = rub_rng_below(&self->rng, 64);
        const uint64_t needed = atomic_load(&self->needed);
        must(rub_journal_prepare(self->journal, &err), &err);
        must(rub_journal_release(self->journal, needed, &err), &err);
        if (dice == 0) { /* from here on the segments in use are written with calls */
            must(rub_journal_sync(self->journal, &lsn, &err), &err);
        } else if (dice < 32) {
            must(rub_journal_sync_chain(self->journal, needed + 1, &lsn, &err), &err);
        }
        rub_sleep_ms(1);
    }
    return NULL;
}

/* Appends until it is killed. */
static void live(const place_t *place, uint64_t needed, uint64_t seed, int pipe_fd)
{
    static uint8_t bytes[RECORD_MOST + 8];
    life_t self = {.needed = needed};
    rub_error_t err = {0};
    rub_rng_t rng;
    pthread_t thread;
    rub_rng_init(&rng, seed, 0);
    rub_rng_init(&self.rng, seed, 1);
    must(rub_journal_open(place->journal, MAPPED_SEGMENT, &self.journal, &err), &err);
    must(rub_journal_replay(self.journal, needed, NULL, NULL, NULL, &err), &err);
    must(rub_journal_prepare(self.journal, &err), &err);
    must(pthread_create(&thread, NULL, store_beside, &self), &err);
    word_t word = {.lsn = rub_journal_last_lsn(self.journal), .needed = needed};
    for (;;) {
        uint64_t lsn = word.lsn;
        for (uint64_t n = 1 + rub_rng_below(&rng, AHEAD_LSNS); n > 0; n--) {
            fill(++lsn, bytes);
            const size_t cut = bytes_of(lsn) / 3;
            const rub_span_t parts[2] = {{bytes, cut}, {bytes + cut, bytes_of(lsn) - cut}};
            must(rub_journal_append(self.journal, lsn, 1, parts, 2, &err), &err);
            if (rub_rng_below(&rng, 2)) { /* parts are borrowed until a write */
                break;
            }
            must(rub_journal_write(self.journal, &err), &err);
            word.n_writes++;
        }
        must(rub_journal_write(self.journal, &err), &err);
        word.lsn = lsn;
        word.needed = lsn > KEPT_LSNS ? lsn - KEPT_LSNS : 1;
        word.n_writes++;
        word.n_calls = atomic_load(&n_calls);
        if (write(pipe_fd, &word, sizeof(word)) != (ssize_t)sizeof(word)) {
            _exit(1);
        }
        atomic_store(&self.needed, word.needed); /* after it was told */
    }
}

/* ---- the parent ---- */

/* Takes the child's words until the moment has come (0: until there are no more). */
static void listen_to(int pipe_fd, uint64_t until_ms, word_t *word)
{
    struct pollfd ready = {.fd = pipe_fd, .events = POLLIN};
    word_t heard;
    for (;;) {
        const uint64_t now_ms = rub_now_ms();
        if (until_ms && now_ms >= until_ms) {
            return;
        }
        if (poll(&ready, 1, until_ms ? (int)(until_ms - now_ms) : -1) > 0) {
            const ssize_t n = read(pipe_fd, &heard, sizeof(heard)); /* a write of a word is whole */
            if (n <= 0) {
                return;
            }
            assert_int_equal(n, sizeof(heard));
            *word = heard;
        }
    }
}

typedef struct found {
    uint64_t n, last;
} found_t;

static int check(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                 rub_error_t *err)
{
    static uint8_t expected[RECORD_MOST + 8];
    found_t *found = context;
    RUB_UNUSED(err);
    assert_int_equal(type, 1);
    assert_int_equal(bytes, bytes_of(lsn));
    fill(lsn, expected);
    assert_memory_equal(payload, expected, bytes);
    assert_true(found->n == 0 || lsn == found->last + 1);
    found->last = lsn;
    found->n++;
    return 0;
}

/* One child's life and death. word: what was told, going in and coming out. */
static void kill_one(const place_t *place, uint64_t seed, uint64_t after_ms, word_t *word)
{
    int ends[2];
    const uint64_t before = word->lsn;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        live(place, word->needed, seed, ends[1]);
    }
    close(ends[1]);
    listen_to(ends[0], rub_now_ms() + after_ms, word);
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    listen_to(ends[0], 0, word);
    close(ends[0]);
    assert_true(word->lsn >= before);

    rub_journal_t *journal = NULL;
    rub_error_t err = {0};
    found_t found = {0};
    int rc = rub_journal_open(place->journal, MAPPED_SEGMENT, &journal, &err);
    rc = rc ? rc : rub_journal_replay(journal, word->needed, check, &found, NULL, &err);
    if (rc) {
        print_error("seed %llu: %s\n", (unsigned long long)seed, err.message);
    }
    assert_int_equal(rc, 0);
    if (word->lsn > 0) {
        assert_true(found.n >= word->lsn - word->needed + 1);
        assert_true(found.last >= word->lsn);
        assert_true(found.last <= word->lsn + AHEAD_LSNS);
        word->lsn = found.last; /* there now: it may not go any more */
    }
    rub_journal_close(&journal);
}

static void kill_many(const char *below, bool must_map)
{
    place_t place;
    word_t word = {.needed = 1};
    uint64_t n_writes = 0, calls = 0;
    rub_rng_t rng;
    rub_rng_init(&rng, 17, 0);
    snprintf(place.folder, sizeof(place.folder), "%s/rub-kill-XXXXXX", below);
    assert_non_null(mkdtemp(place.folder));
    snprintf(place.journal, sizeof(place.journal), "%s/journal", place.folder);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        word.n_writes = word.n_calls = 0;
        kill_one(&place, round, 1 + rub_rng_below(&rng, round % 4 ? 100 : 12), &word);
        n_writes += word.n_writes;
        calls += word.n_calls;
    }
    print_message("%s: %d kills, %llu records, %llu writes, %llu of them calls\n", below, ROUNDS,
                  (unsigned long long)word.lsn, (unsigned long long)n_writes,
                  (unsigned long long)calls);
    assert_true(word.lsn > 0);
    if (must_map) {
        assert_true(calls < n_writes); /* or no mapping was put to the test */
    }
    assert_int_equal(rub_fs_remove_tree(place.folder, NULL), 0);
}

static void what_a_killed_process_had_told_is_replayed(void **state)
{
    RUB_UNUSED(state);
    kill_many("/tmp", false);
}

static void what_a_killed_process_had_told_is_replayed_from_memory(void **state)
{
    RUB_UNUSED(state);
    if (access("/dev/shm", W_OK) != 0) {
        skip();
    }
    kill_many("/dev/shm", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_killed_process_had_told_is_replayed),
        cmocka_unit_test(what_a_killed_process_had_told_is_replayed_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
