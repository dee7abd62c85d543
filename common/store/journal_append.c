/* Appending to the journal: records of a turn are stored into the newest segment's mapping, or
 * queued and written with a call, and count as written when the turn ends. The first 64 KiB of a
 * segment are not mapped (common/store/journal_segment.c): a record that goes on behind them does
 * so in the mapping. */
#include "common/store/journal_internal.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/copy_through.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "common/base/timing.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

enum {
    COPY_LIMIT =
        1024, /* shorter parts are copied beside their frame: fewer pieces for the kernel */
    IOV_LIMIT = 512,
    QUEUE_BYTES = 256 * 1024 /* more is written before the turn's end, while the cache holds it */
};

/* Making a segment may cost seconds per GB where its memory was not used before. Who fills hundreds
 * of megabytes in a second gains that back soon, others late. */
static bool is_time_to_grow(rub_journal_t *self)
{
    if (self->next_number % RUB_JOURNAL_GROWS_EVERY_BUSY != 0) {
        return false;
    }
    const uint64_t now_ms = rub_now_ms();
    const uint64_t filled = RUB_JOURNAL_GROWS_EVERY_BUSY * atomic_load(&self->next_bytes);
    const bool busy = filled * 1000 >= RUB_JOURNAL_BUSY_BYTES * (now_ms - self->eighth_ms);
    self->eighth_ms = now_ms;
    return busy || self->next_number % RUB_JOURNAL_GROWS_EVERY == 0;
}

/* A ready segment, or NULL. */
static rub_segment_t *pop_ready(rub_journal_t *self)
{
    rub_segment_t *segment = NULL;
    pthread_mutex_lock(&self->mutex);
    if (self->ready.n > 0) {
        segment = rub_segment_list_take(&self->ready, 0);
        rub_journal_count_ready(self);
    }
    if (is_time_to_grow(self)) {
        rub_journal_grow(self);
    }
    if (self->ready.n == 0 && self->active) { /* at first there is only one */
        rub_journal_ran_dry(self);
    }
    pthread_mutex_unlock(&self->mutex);
    return segment;
}

/* Takes the next segment into use. Makes one here and now only when none is ready: callers that
 * watch rub_journal_room never come to that. */
static int activate(rub_journal_t *self, rub_error_t *err)
{
    rub_segment_t *segment = pop_ready(self);
    int rc = segment ? 0 : rub_journal_make_segment(self, &segment, err);
    if (rc) {
        return rc;
    }
    char *path = rub_journal_path(self, self->next_number, "seg");
    pthread_mutex_lock(&self->mutex);
    const rub_segment_t *previous = self->live.n ? self->live.items[self->live.n - 1] : NULL;
    if (self->active) {
        self->active->end = self->end;
        self->active->last_lsn = self->last_lsn;
    }
    segment->number = self->next_number++;
    segment->previous = previous ? previous->number : 0;
    segment->previous_end = !previous                 ? 0
                            : RUB_MUTANT(APPEND_TORN) ? previous->bytes
                                                      : previous->end;
    segment->base_lsn = self->last_lsn;
    segment->boot = self->boot;
    rc = path ? rub_segment_take(segment, path, err)
              : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    rc = rc ? rc : rub_segment_list_push(&self->live, segment, err);
    self->folder_dirty = true;
    pthread_mutex_unlock(&self->mutex);
    rub_free(path);
    if (rc) {
        rub_segment_close(&segment);
        return rc;
    }
    if (rub_segment_map_is_stale(segment)) { /* a spare of a quiet time: not its mapping */
        atomic_store(&segment->synced, true);
    }
    self->active = segment;
    self->end = self->queued_at = RUB_SEGMENT_HEADER_BYTES;
    atomic_store(&self->active_end, self->end);
    return 0;
}

static int push_piece(rub_journal_t *self, const void *data, size_t offset, size_t bytes)
{
    rub_stretch_t *last = self->n_pieces ? &self->pieces[self->n_pieces - 1] : NULL;
    if (last && !data && !last->data && last->offset + last->bytes == offset) {
        last->bytes += bytes;
        return 0;
    }
    if (rub_grow(&self->pieces, &self->capacity_pieces, self->n_pieces + 1,
                 sizeof(rub_stretch_t)) != 0) {
        return RUB_ENOMEM;
    }
    self->pieces[self->n_pieces++] = (rub_stretch_t){data, offset, bytes};
    return 0;
}

/* Queues bytes: copied into the staging buffer, or borrowed. */
static int queue_bytes(rub_journal_t *self, const void *data, size_t bytes, bool copy)
{
    if (bytes == 0) {
        return 0;
    }
    if (!copy) {
        return push_piece(self, data, 0, bytes);
    }
    const size_t offset = self->staging.bytes;
    rub_buf_append(&self->staging, data, bytes);
    return self->staging.failed ? RUB_ENOMEM : push_piece(self, NULL, offset, bytes);
}

/* The frame's CRC runs over parts and padding, so it is known before anything is queued. */
static int queue_frame(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                       size_t n_parts, size_t payload_bytes)
{
    static const uint8_t zeros[8] = {0};
    const size_t padding = (8 - payload_bytes % 8) % 8;
    uint8_t frame[RUB_FRAME_HEADER_BYTES];
    uint32_t crc = rub_frame_begin(frame, self->active->number, lsn, type, (uint32_t)payload_bytes);
    for (size_t i = 0; i < n_parts; i++) {
        crc = rub_crc32c(crc, parts[i].data, parts[i].bytes);
    }
    rub_frame_set_crc(frame, rub_crc32c(crc, zeros, padding));
    int rc = queue_bytes(self, frame, sizeof(frame), true);
    for (size_t i = 0; i < n_parts && !rc; i++) {
        rc = queue_bytes(self, parts[i].data, parts[i].bytes, parts[i].bytes < COPY_LIMIT);
    }
    return rc ? rc : queue_bytes(self, zeros, padding, true);
}

/* Whether the next record may be stored into the mapping of the newest segment, or all of it that
 * lies behind the mapping's beginning. A sync since the mapping has taken the permission to write
 * from pages ahead, too; but what goes on behind records that were stored since the last write is
 * in pages that have it. */
static bool may_store(const rub_journal_t *self, uint64_t bytes)
{
    const rub_segment_t *active = self->active;
    const bool goes_on = self->n_pieces == 0 && self->end != self->queued_at;
    const bool frame_fits = self->end >= RUB_SEGMENT_MAPPED_FROM ||
                            self->end + RUB_FRAME_HEADER_BYTES <= RUB_SEGMENT_MAPPED_FROM;
    return active->map && frame_fits && self->end + bytes > RUB_SEGMENT_MAPPED_FROM &&
           (goes_on || active->faults_are_cheap || !atomic_load(&active->synced));
}

/* Copies what stands at an offset of the newest segment: into the queue as far as it lies before
 * the mapping, else into the mapping. */
static int place(rub_journal_t *self, uint64_t *at, const void *data, size_t bytes, uint32_t *crc)
{
    const uint64_t before = *at < RUB_SEGMENT_MAPPED_FROM ? RUB_SEGMENT_MAPPED_FROM - *at : 0;
    const size_t queued = bytes < before ? bytes : (size_t)before;
    *crc = rub_crc32c(*crc, data, queued);
    if (bytes > queued) {
        uint8_t *out = self->active->map + (*at + queued - RUB_SEGMENT_MAPPED_FROM);
        *crc = rub_crc32c_copy(*crc, out, (const uint8_t *)data + queued, bytes - queued);
    }
    *at += bytes;
    return queue_bytes(self, data, queued, true);
}

/* The payload first and the frame last: a process that is killed in between leaves no frame, or
 * one that does not check out. */
static int store_frame(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                       size_t n_parts, size_t payload_bytes)
{
    static const uint8_t zeros[8] = {0};
    uint8_t frame[RUB_FRAME_HEADER_BYTES];
    const size_t staged_at = self->staging.bytes;
    const bool queued = self->end < RUB_SEGMENT_MAPPED_FROM;
    uint32_t crc = rub_frame_begin(frame, self->active->number, lsn, type, (uint32_t)payload_bytes);
    uint64_t at = self->end + sizeof(frame);
    int rc = queued ? queue_bytes(self, frame, sizeof(frame), true) : 0;
    for (size_t i = 0; i < n_parts && !rc; i++) {
        rc = place(self, &at, parts[i].data, parts[i].bytes, &crc);
    }
    rc = rc ? rc : place(self, &at, zeros, (8 - payload_bytes % 8) % 8, &crc);
    if (rc) {
        return rc;
    }
    rub_frame_set_crc(frame, crc);
    memcpy(queued ? self->staging.data + staged_at
                  : self->active->map + (self->end - RUB_SEGMENT_MAPPED_FROM),
           frame, sizeof(frame));
    return 0;
}

int rub_journal_append(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                       size_t n_parts, rub_error_t *err)
{
    RUB_ASSERT(self->replayed);
    RUB_ASSERT(type != 0);
    RUB_ASSERT(lsn > self->last_lsn);
    if (self->failed) {
        return rub_fail(err, RUB_ESTORE, "the journal in %s failed before", self->folder);
    }
    size_t payload_bytes = 0;
    for (size_t i = 0; i < n_parts; i++) {
        payload_bytes += parts[i].bytes;
    }
    const uint64_t bytes = rub_frame_bytes(payload_bytes);
    if (bytes > self->record_limit) {
        return rub_fail(err, RUB_ELIMIT, "a journal record of %zu bytes, at most %zu",
                        payload_bytes, (size_t)self->record_limit);
    }
    int rc = 0;
    if (!self->active || self->end + bytes > self->active->bytes) {
        rc = rub_journal_write(self, err);
        rc = rc ? rc : activate(self, err);
    } else if (self->n_pieces + n_parts + 2 > IOV_LIMIT ||
               self->end - self->queued_at >= QUEUE_BYTES) {
        rc = rub_journal_write(self, err);
    }
    const bool stores = !rc && may_store(self, bytes);
    if (stores && self->n_pieces > 0 && self->end >= RUB_SEGMENT_MAPPED_FROM) {
        rc = rub_journal_write(self, err); /* what is queued has other ways */
    }
    if (!rc) {
        rc = stores ? store_frame(self, lsn, type, parts, n_parts, payload_bytes)
                    : queue_frame(self, lsn, type, parts, n_parts, payload_bytes);
        if (rc) {
            (void)rub_fail(err, rc, "no memory for the journal's queue");
        }
    }
    if (rc) {
        self->failed = true;
        return rc;
    }
    self->end += bytes;
    self->last_lsn = lsn;
    /* The queue ends where the mapping begins: nothing may be queued behind it. */
    return stores && self->n_pieces > 0 ? rub_journal_write(self, err) : 0;
}

/* Writes all of the vector, however many calls it takes. */
static int write_vector(rub_journal_t *self, struct iovec *vector, int n, rub_error_t *err)
{
    uint64_t at = self->queued_at;
    while (n > 0) {
        const ssize_t written = pwritev(self->active->fd, vector, n, (off_t)at);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            const int why = written < 0 ? errno : ENOSPC;
            return rub_fail_errno(err, why == ENOSPC || why == EDQUOT ? RUB_ENOSPC : RUB_ESTORE,
                                  why, "cannot write journal segment %s at %zu", self->active->path,
                                  (size_t)at);
        }
        at += (uint64_t)written;
        size_t left = (size_t)written;
        while (n > 0 && left >= vector->iov_len) {
            left -= vector->iov_len;
            vector++;
            n--;
        }
        if (n > 0) {
            vector->iov_base = (uint8_t *)vector->iov_base + left;
            vector->iov_len -= left;
        }
    }
    return 0;
}

static int write_with_call(rub_journal_t *self, rub_error_t *err)
{
    struct iovec vector[IOV_LIMIT];
    RUB_ASSERT(self->n_pieces <= IOV_LIMIT);
    for (size_t i = 0; i < self->n_pieces; i++) {
        const rub_stretch_t *piece = &self->pieces[i];
        /* pwritev reads only; its type does not say so */
        vector[i].iov_base = piece->data ? (void *)(uintptr_t)piece->data
                                         : (void *)(self->staging.data + piece->offset);
        vector[i].iov_len = piece->bytes;
    }
    return write_vector(self, vector, (int)self->n_pieces, err);
}

int rub_journal_write(rub_journal_t *self, rub_error_t *err)
{
    if (self->failed) {
        return rub_fail(err, RUB_ESTORE, "the journal in %s failed before", self->folder);
    }
    if (self->end == self->queued_at) {
        return 0;
    }
    rub_copy_through_end(); /* what stands in the mapping comes before a frame in the queue */
    const int rc = self->n_pieces > 0 ? write_with_call(self, err) : 0;
    self->n_pieces = 0;
    rub_buf_reset(&self->staging);
    if (rc) {
        self->failed = true;
        return rc;
    }
    self->queued_at = self->end;
    atomic_store(&self->active->dirty, true);
    atomic_store(&self->active_end, self->end);
    atomic_store(&self->written_lsn, self->last_lsn);
    return 0;
}
