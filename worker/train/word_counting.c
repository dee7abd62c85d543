/* Counting words together.
 *
 * Why no leases and no barrier: what is told of a part is a function of the part alone, and writing
 * it twice leaves it as it is (byte_rows.h). So nobody has to know who lives and who does what.
 * Each worker counts the parts that are its own by rank and are not there yet, and takes what is
 * there; when it has nothing else to do it waits as long as its own share took, half of it, and
 * then begins to count what is still missing, until somebody has told it. A worker that is killed
 * costs that wait; a late one finds everything there. Who lies next behind the owner begins, others
 * wait longer, so that few do the same.
 *
 * Pushes belong to the first period, and no clock moves. In lock step others would see them only
 * behind it, which is why such jobs read whole texts. */
#include "worker/train/word_counting.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/timing.h"
#include "worker/train/byte_rows.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    PARTS_PER_WORKER = 2,
    WRITES_PER_WORKER = 2, /* of one part: once more when it was killed and started again */
    PARTS_LIMIT = 512,
    HELPERS = 8, /* that begin to count a part of somebody else's at once */
    LEAST_WAIT_US = 200 * 1000,
    NAP_US = 5 * 1000,
    NAP_PER_PART_US = 200 /* missing: a large fleet asks a shard less often, each for more */
};

typedef struct counting {
    rub_byte_rows_t *rows;
    const rub_text_parts_t *parts;
    uint64_t min_count;
    uint32_t rank, n_workers, n_parts;
    rub_word_merge_t *merge;
    rub_word_part_t **counted; /* by this worker, by part */
    uint64_t *names;           /* room for those that are asked for */
    uint8_t *there;            /* their answers */
    uint8_t *begun;            /* by part; as of the last answer */
    uint64_t watched;          /* the part that is being counted */
    uint64_t bytes;            /* read for counting */
    uint64_t own_us;           /* that the own share took */
    rub_buf_t told;
} counting_t;

static uint32_t owner_of(const counting_t *self, uint32_t part)
{
    return (uint32_t)((uint64_t)part * self->n_workers / self->n_parts);
}

/* How far this rank lies behind the part's owner; 0: it is his own. */
static uint32_t distance(const counting_t *self, uint32_t part)
{
    return (self->rank + self->n_workers - owner_of(self, part)) % self->n_workers;
}

/* Somebody else has told what is being counted. */
static int look(void *context, rub_error_t *err)
{
    counting_t *self = context;
    uint8_t there = 0;
    const int rc = rub_byte_rows_begun(self->rows, &self->watched, 1, &there, err);
    return rc ? rc : there;
}

/* Counts a part and tells it, unless somebody has done so meanwhile. */
static int count(counting_t *self, uint32_t part, rub_error_t *err)
{
    const rub_part_watch_t watch = {look, self};
    const bool broken_off = self->begun[part]; /* by who was killed, it seems */
    self->watched = part;
    int rc = rub_word_part_count(self->parts, part, broken_off ? NULL : &watch,
                                 &self->counted[part], err);
    if (rc == RUB_WORD_PART_LEFT) {
        return 0;
    }
    self->bytes += rc == 0 ? rub_text_parts_part_bytes(self->parts, part) : 0;
    rub_buf_reset(&self->told);
    if (rc == 0) {
        rub_word_part_write(self->counted[part], self->min_count, &self->told);
        rc = self->told.failed ? rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for a part") : 0;
    }
    rc = rc ? rc : rub_word_merge_add(self->merge, part, self->told.data, self->told.bytes, err);
    const int there = rc || broken_off ? 0 : look(self, err);
    rc = rc ? rc : there < 0 ? there : 0;
    return rc || there
               ? rc
               : rub_byte_rows_write(self->rows, part, self->told.data, self->told.bytes, err);
}

/* Which of the parts that are not here were begun to be told? */
static int ask(counting_t *self, rub_error_t *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < self->n_parts; i++) {
        if (!self->merge->parts[i].here) {
            self->names[n++] = i;
        }
    }
    const int rc = rub_byte_rows_begun(self->rows, self->names, n, self->there, err);
    for (size_t k = 0; rc == 0 && k < n; k++) {
        self->begun[self->names[k]] = self->there[k];
    }
    return rc;
}

/* Takes what others have told; *n_p of parts. */
static int take(counting_t *self, uint32_t *n_p, rub_error_t *err)
{
    int rc = ask(self, err);
    *n_p = 0;
    for (uint32_t i = 0; rc == 0 && i < self->n_parts; i++) {
        if (self->merge->parts[i].here || !self->begun[i]) {
            continue;
        }
        rub_buf_reset(&self->told);
        rc = rub_byte_rows_read(self->rows, i, &self->told, err);
        if (rc == RUB_BYTE_ROWS_MISSING) {
            rc = 0; /* its writer is at it, or was killed at it */
            continue;
        }
        rc = rc ? rc : rub_word_merge_add(self->merge, i, self->told.data, self->told.bytes, err);
        (*n_p)++;
    }
    return rc;
}

/* Own parts that nobody has begun to tell. */
static int count_own(counting_t *self, rub_error_t *err)
{
    const uint64_t began_us = rub_now_us();
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < self->n_parts; i++) {
        if (distance(self, i) == 0 && !self->begun[i] && !self->merge->parts[i].here) {
            rc = count(self, i, err);
        }
    }
    self->own_us = rub_now_us() - began_us;
    return rc;
}

/* The missing part that this worker is the next to care for, the last of those of one owner. */
static bool missing(const counting_t *self, uint32_t reach, uint32_t *part_p)
{
    uint32_t nearest = UINT32_MAX;
    for (uint32_t i = 0; i < self->n_parts; i++) {
        const uint32_t far = distance(self, i);
        if (!self->merge->parts[i].here && far <= reach && far <= nearest) {
            nearest = far;
            *part_p = i;
        }
    }
    return nearest != UINT32_MAX;
}

/* What others owe: taken when it comes, counted when it does not. */
static int gather(counting_t *self, rub_error_t *err)
{
    const uint64_t patience_us =
        self->own_us / 2 > LEAST_WAIT_US ? self->own_us / 2 : LEAST_WAIT_US;
    uint64_t waits_from_us = rub_now_us();
    int rc = 0;
    while (rc == 0 && self->merge->n_here < self->n_parts) {
        uint32_t n = 0, part = 0;
        rc = take(self, &n, err);
        const uint64_t waited_us = rub_now_us() - waits_from_us;
        const uint64_t reach = waited_us / patience_us * HELPERS;
        if (rc != 0 || self->merge->n_here == self->n_parts) {
            break;
        }
        if (n > 0) {
            waits_from_us = rub_now_us();
        } else if (reach > 0 &&
                   missing(self, (uint32_t)(reach < UINT32_MAX ? reach : UINT32_MAX), &part)) {
            rc = count(self, part, err);
        } else {
            const uint64_t n_missing = self->n_parts - self->merge->n_here;
            rub_sleep_us(NAP_US + NAP_PER_PART_US * n_missing);
        }
    }
    return rc;
}

void rub_word_counting_table(const rub_text_parts_t *parts, uint64_t min_count, char name[64])
{
    const uint64_t digest = rub_mix64(rub_text_parts_digest(parts) ^ min_count);
    snprintf(name, 64, RUB_WORD_COUNTS_PREFIX "%016" PRIx64, digest);
}

static void close_all(counting_t *self)
{
    for (uint32_t i = 0; self->counted && i < self->n_parts; i++) {
        rub_word_part_destroy(&self->counted[i]);
    }
    rub_free(self->counted);
    rub_free(self->names);
    rub_free(self->there);
    rub_free(self->begun);
    rub_buf_fini(&self->told);
    rub_word_merge_destroy(&self->merge);
    rub_byte_rows_close(&self->rows);
}

static int prepare(counting_t *self, rub_session_t *session, rub_error_t *err)
{
    char table[64];
    rub_word_counting_table(self->parts, self->min_count, table);
    self->merge = rub_word_merge_new(self->n_parts);
    self->counted = rub_calloc(self->n_parts, sizeof(*self->counted));
    self->names = rub_calloc(self->n_parts, sizeof(*self->names));
    self->there = rub_calloc(self->n_parts, sizeof(*self->there));
    self->begun = rub_calloc(self->n_parts, sizeof(*self->begun));
    if (!self->merge || !self->counted || !self->names || !self->there || !self->begun) {
        return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %u parts", self->n_parts);
    }
    return rub_byte_rows_open(session, table, WRITES_PER_WORKER * self->n_workers, &self->rows,
                              err);
}

int rub_word_counting_run(rub_session_t *session, rub_text_parts_t *parts, uint64_t min_count,
                          const rub_log_t *log, rub_corpus_t **corpus_p, rub_error_t *err)
{
    rub_info_t info;
    uint32_t n = 0;
    *corpus_p = NULL;
    rub_session_info(session, &info);
    const uint32_t wanted = PARTS_PER_WORKER * info.n_workers;
    counting_t self = {.parts = parts,
                       .min_count = min_count,
                       .rank = info.rank % info.n_workers,
                       .n_workers = info.n_workers,
                       .n_parts = wanted < PARTS_LIMIT ? wanted : PARTS_LIMIT};
    rub_buf_init(&self.told);
    rub_text_parts_cut(parts, self.n_parts);
    rub_log(log, RUB_LOG_INFO, "counts words with %u others: %u parts of %" PRIu64 " bytes of text",
            info.n_workers - 1, self.n_parts, rub_text_parts_bytes(parts));
    int rc = prepare(&self, session, err);
    rc = rc ? rc : take(&self, &n, err);
    rc = rc ? rc : count_own(&self, err);
    rc = rc ? rc : gather(&self, err);
    rc = rc ? rc : rub_word_merge_settle(self.merge, min_count, err);
    rc =
        rc ? rc : rub_corpus_open_merged(parts, self.merge, self.counted, min_count, corpus_p, err);
    if (rc == 0) {
        rub_log(log, RUB_LOG_INFO,
                "counted %" PRIu64 " of the text's %" PRIu64
                " bytes, with others: %zu words stay of %" PRIu64,
                self.bytes, rub_text_parts_bytes(parts),
                rub_vocabulary_size((*corpus_p)->vocabulary), (*corpus_p)->words_read);
    }
    close_all(&self);
    return rc;
}
