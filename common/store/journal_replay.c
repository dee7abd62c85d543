/* Where does a journal end, and did it end well? Reading stops at the first frame that does not
 * check out. That is the torn tail of an interrupted write, unless something proves that the
 * journal went on behind it:
 *
 *  - the next segment's header tells where this one ended, and was written in another boot, that
 * is, after this end had been read back from the platter;
 *  - a valid record lies behind, in this boot: a killed process leaves no holes, since pages are
 * written in order;
 *  - a valid SYNC lies behind, vouching for an lsn that is missing: that much was on the platter.
 *
 * Then it is corruption, and we refuse rather than lose acknowledged pushes in silence. After a
 * power loss, valid records behind a hole prove nothing: the platter takes pages in any order. The
 * hole may even lie before the store's redo point, since a checkpoint that needs none of those
 * records does not wait for them; the next segment then goes on behind the redo point. */
#include "common/store/journal_replay.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/mutant.h"

#define WINDOW_BYTES (UINT64_C(1) << 20)

/* A part of a segment in memory: read piece by piece, a journal passes through the same memory and
 * the cache, instead of filling fresh pages. */
typedef struct window {
    uint8_t *data;
    uint64_t capacity, begin, end; /* offsets in the segment */
} window_t;

typedef struct replay {
    window_t window;
    rub_segment_t *const *segments;
    size_t n, first; /* first: needed */
    uint64_t boot, from_lsn;
    rub_journal_visit_t visit;
    void *context;
    rub_replay_end_t *end;
} replay_t;

static bool follows(const rub_segment_t *next, const rub_segment_t *segment)
{
    return next->whole && next->previous == segment->number;
}

/* Up to which offset segment i may hold records, and whether that is known to be its very end. */
static uint64_t limit_of(const replay_t *self, size_t i, bool *known_p)
{
    const rub_segment_t *segment = self->segments[i];
    *known_p = i + 1 < self->n && follows(self->segments[i + 1], segment) &&
               self->segments[i + 1]->previous_end <= segment->bytes;
    return *known_p ? self->segments[i + 1]->previous_end : segment->bytes;
}

static int damaged(const rub_segment_t *segment, uint64_t offset, const char *proof,
                   rub_error_t *err)
{
    return rub_fail(err, RUB_ECORRUPT, "journal segment %s is damaged at offset %llu: %s",
                    segment->path, (unsigned long long)offset, proof);
}

/* Memory for `want` bytes; what it holds is lost. */
static int widen(window_t *self, uint64_t want, const rub_segment_t *segment, rub_error_t *err)
{
    if (want <= self->capacity) {
        return 0;
    }
    rub_free(self->data);
    *self = (window_t){.data = rub_alloc_aligned(64, want)};
    self->capacity = self->data ? want : 0;
    return self->data ? 0
                      : rub_fail(err, RUB_ENOMEM, "no memory to read %s (%zu bytes)", segment->path,
                                 (size_t)want);
}

/* Has bytes at..at + want (below limit) in memory; 8-byte aligned when `at` is. */
static int see(window_t *self, const rub_segment_t *segment, uint64_t at, uint64_t want,
               uint64_t limit, const uint8_t **data_p, rub_error_t *err)
{
    if (at < self->begin || at + want > self->end) {
        const uint64_t left = limit - at;
        const uint64_t bytes = want > WINDOW_BYTES   ? want
                               : left < WINDOW_BYTES ? left
                                                     : WINDOW_BYTES;
        self->begin = self->end = at;
        int rc = widen(self, bytes < WINDOW_BYTES ? WINDOW_BYTES : bytes, segment, err);
        rc = rc ? rc : rub_segment_read_at(segment, at, self->data, bytes, err);
        if (rc) {
            return rc;
        }
        self->begin = at;
        self->end = at + bytes;
    }
    *data_p = self->data + (at - self->begin);
    return 0;
}

/* The good frame at the offset, whole in memory, or *found_p false. */
static int next_frame(replay_t *self, const rub_segment_t *segment, uint64_t at, uint64_t limit,
                      uint64_t last_lsn, rub_framed_t *record, bool *found_p, rub_error_t *err)
{
    const uint8_t *data = NULL;
    *found_p = false;
    if (limit - at < RUB_FRAME_HEADER_BYTES) {
        return 0;
    }
    int rc = see(&self->window, segment, at, RUB_FRAME_HEADER_BYTES, limit, &data, err);
    if (rc || !rub_frame_plausible(data, limit - at, last_lsn, record)) {
        return rc;
    }
    rc = see(&self->window, segment, at, record->frame_bytes, limit, &data, err);
    *found_p = !rc && rub_frame_valid(data, limit - at, segment->number, last_lsn, record);
    return rc;
}

/* Walks one segment's good frames from its beginning. Leaves end and last_lsn where they stop. */
static int walk(replay_t *self, rub_segment_t *segment, uint64_t limit, rub_error_t *err)
{
    uint64_t at = RUB_SEGMENT_HEADER_BYTES;
    uint64_t last = segment->base_lsn;
    rub_framed_t record;
    int rc = 0;
    bool found = false;
    self->window.begin = self->window.end = 0; /* of another segment */
    while (!rc && at < limit) {
        rc = next_frame(self, segment, at, limit, last, &record, &found, err);
        if (rc || !found) {
            break;
        }
        if (record.lsn >= self->from_lsn && self->visit) {
            rc = self->visit(self->context, record.lsn, record.type, record.payload,
                             record.payload_bytes, err);
        }
        self->end->n_records += record.lsn >= self->from_lsn;
        self->end->n_bytes += record.lsn >= self->from_lsn ? record.frame_bytes : 0;
        last = record.lsn;
        at += record.frame_bytes;
    }
    segment->end = at;
    segment->last_lsn = last;
    return rc;
}

const char *rub_replay_proof(const rub_framed_t *record, uint64_t segment_boot, uint64_t boot,
                             uint64_t last_lsn)
{
    if (segment_boot != 0 && (segment_boot == boot || RUB_MUTANT(HOLE_IS_DAMAGE))) {
        return "good records follow";
    }
    return record->type == RUB_JOURNAL_SYNC_TYPE && record->payload_bytes >= 8 &&
                   rub_get_u64(record->payload) > last_lsn
               ? "it had been synced"
               : NULL;
}

bool rub_replay_reaches(uint64_t last_lsn, uint64_t from_lsn, uint64_t redo_boot, uint64_t boot)
{
    const bool lost_power = redo_boot != 0 && redo_boot != boot && !RUB_MUTANT(REACH_BLIND);
    return last_lsn + 1 >= from_lsn || lost_power;
}

/* Looks for a valid record behind the bad spot (in data from offset at) that proves it to be
 * damage. Adds what will be cut to torn_bytes. */
static int search_proof(replay_t *self, const rub_segment_t *bad, uint64_t bad_at,
                        const rub_segment_t *segment, const uint8_t *data, uint64_t at,
                        uint64_t limit, rub_error_t *err)
{
    const uint64_t last = self->end->last_lsn;
    rub_framed_t record;
    while (at + RUB_FRAME_HEADER_BYTES <= limit) {
        if (!rub_frame_valid(data + at, limit - at, segment->number, last, &record)) {
            at += 8;
            continue;
        }
        const char *proof = rub_replay_proof(&record, segment->boot, self->boot, last);
        if (proof) {
            return damaged(bad, bad_at, proof, err);
        }
        self->end->torn_bytes += record.frame_bytes;
        at += record.frame_bytes;
    }
    return 0;
}

/* About how much of an unfinished write lies at the offset. In a recycled segment only what looks
 * like a frame of now can be told from what was there before. */
static uint64_t torn_here(const rub_segment_t *segment, const uint8_t *data, uint64_t at,
                          uint64_t limit, uint64_t last)
{
    rub_framed_t record;
    if (rub_frame_plausible(data + at, limit - at, last, &record)) {
        return record.frame_bytes;
    }
    uint64_t bytes = 0;
    for (uint64_t i = at; segment->fresh && i < limit && i < at + RUB_FRAME_HEADER_BYTES; i++) {
        bytes = data[i] ? i - at + 1 : bytes;
    }
    return bytes;
}

/* The journal's reading ended in segment i at the offset: judge. */
static int judge(replay_t *self, size_t i, uint64_t bad_at, rub_error_t *err)
{
    const rub_segment_t *bad = self->segments[i];
    int rc = 0;
    for (size_t j = i; j < self->n && !rc; j++) {
        const rub_segment_t *segment = self->segments[j];
        bool known = false;
        const uint64_t limit = limit_of(self, j, &known);
        const uint64_t at = j == i ? bad_at : RUB_SEGMENT_HEADER_BYTES;
        if (known && j == i && self->segments[j + 1]->boot != segment->boot) {
            return damaged(bad, bad_at, "it had been read whole before", err);
        }
        uint8_t *data = NULL;
        rc = rub_segment_read(segment, &data, err);
        if (!rc && j == i && at < limit) {
            self->end->torn_bytes += torn_here(segment, data, at, limit, self->end->last_lsn);
        }
        rc = rc ? rc : search_proof(self, bad, bad_at, segment, data, at, limit, err);
        rub_free(data);
    }
    return rc;
}

/* Refuses a journal that lacks its beginning or a segment in the middle. */
static int check_chain(const replay_t *self, size_t i, rub_error_t *err)
{
    const rub_segment_t *segment = self->segments[i];
    if (i > self->first && segment->previous != self->segments[i - 1]->number) {
        return rub_fail(err, RUB_ECORRUPT, "journal segment %016llx is missing before %s",
                        (unsigned long long)segment->previous, segment->path);
    }
    if (i > self->first && segment->previous_end > self->segments[i - 1]->bytes) {
        return rub_fail(err, RUB_ECORRUPT,
                        "journal segment %s says that the one before it ended at %llu, it has %llu "
                        "bytes",
                        segment->path, (unsigned long long)segment->previous_end,
                        (unsigned long long)self->segments[i - 1]->bytes);
    }
    if (i == self->first && segment->base_lsn > 0 && segment->base_lsn >= self->from_lsn) {
        return rub_fail(
            err, RUB_ECORRUPT,
            "the journal begins after lsn %llu with %s, records from lsn %llu are needed",
            (unsigned long long)segment->base_lsn, segment->path,
            (unsigned long long)self->from_lsn);
    }
    return 0;
}

/* Reads segment i. *whole_p: the reading may go on with the next one. */
static int replay_one(replay_t *self, size_t i, bool *whole_p, rub_error_t *err)
{
    rub_segment_t *segment = self->segments[i];
    *whole_p = false;
    if (!segment->whole) {
        return judge(self, i, 0, err);
    }
    int rc = check_chain(self, i, err);
    if (!rc && i > self->first && segment->base_lsn != self->end->last_lsn) {
        rc = rub_fail(err, RUB_ECORRUPT,
                      "journal segment %s follows lsn %llu, the one before it ends with lsn %llu",
                      segment->path, (unsigned long long)segment->base_lsn,
                      (unsigned long long)self->end->last_lsn);
    }
    bool known = false;
    const uint64_t limit = limit_of(self, i, &known);
    if (!rc && i + 1 < self->n && self->segments[i + 1]->whole) {
        rc = check_chain(self, i + 1, err);
    }
    rc = rc ? rc : walk(self, segment, limit, err);
    if (rc) {
        return rc;
    }
    self->end->n_kept = i + 1;
    self->end->last_lsn = segment->last_lsn;
    *whole_p = known && segment->end == limit;
    return *whole_p ? 0 : judge(self, i, segment->end, err);
}

/* The newest segment that begins before all that is needed. Those before it are not read: they may
 * even have lost their headers with the power, which were not synced once nothing in them was
 * needed. */
static void find_first(replay_t *self)
{
    size_t first = 0;
    for (size_t i = 1; i < self->n; i++) {
        first =
            self->segments[i]->whole && self->segments[i]->base_lsn < self->from_lsn ? i : first;
    }
    for (size_t i = 0; i < first; i++) {
        bool known = false;
        self->segments[i]->end = limit_of(self, i, &known);
        self->segments[i]->last_lsn = self->segments[first]->base_lsn;
    }
    self->first = first;
    self->end->n_kept = first;
    self->end->last_lsn = first > 0 ? self->segments[first]->base_lsn : 0;
}

int rub_replay_segments(rub_segment_t *const *segments, size_t n_segments, uint64_t boot,
                        uint64_t from_lsn, rub_journal_visit_t visit, void *context,
                        rub_replay_end_t *end, rub_error_t *err)
{
    replay_t self = {.segments = segments,
                     .n = n_segments,
                     .boot = boot,
                     .from_lsn = from_lsn,
                     .visit = visit,
                     .context = context,
                     .end = end};
    *end = (rub_replay_end_t){0};
    bool whole = true;
    int rc = 0;
    find_first(&self);
    for (size_t i = self.first; i < n_segments && whole && !rc; i++) {
        rc = replay_one(&self, i, &whole, err);
    }
    rub_free(self.window.data);
    return rc;
}
