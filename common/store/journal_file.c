/* The journal: a queue of frames, a list of segments in use, a list of segments ready.
 *
 * The appending thread owns the queue and the newest segment; it takes ready segments and never
 * waits for a disk's space. The storage thread makes segments, syncs, and recycles. Between them
 * stand a mutex around the two lists, held for a few instructions, and atomics: what was written
 * (lsn), which segments are dirty, how much room is ready.
 *
 * Invariants: written_lsn is set after its bytes are in the page cache and their segment is marked
 * dirty, so a sync that reads it first covers it; the newest segment is never recycled, so numbers
 * and base_lsn always rise; a file is recycled only when its renaming is on the platter, and not
 * across a boot of the host: so no file holds records of a number that is still to come. */
#include "common/store/journal_internal.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/copy_through.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mutant.h"
#include "common/base/timing.h"
#include "common/store/journal_replay.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    COPY_LIMIT =
        1024, /* shorter parts are copied beside their frame: fewer pieces for the kernel */
    IOV_LIMIT = 512,
    QUEUE_BYTES = 256 * 1024 /* more is written before the turn's end, while the cache holds it */
};

/* ---- opening ---- */

uint64_t rub_journal_boot(void)
{
    char *text = NULL;
    size_t bytes = 0;
    if (rub_fs_read("/proc/sys/kernel/random/boot_id", 256, &text, &bytes, NULL) != 0) {
        return 0;
    }
    const uint64_t boot = rub_hash_bytes(text, bytes);
    rub_free(text);
    return boot;
}

/* Splits "0000000000000001.seg". Other names are not ours and stay untouched. */
static bool parse_name(const char *name, uint64_t *number_p, char ending[8])
{
    const size_t bytes = strlen(name);
    if (bytes < 20 || bytes > 21 || name[16] != '.' || strspn(name, "0123456789abcdef") != 16) {
        return false;
    }
    *number_p = strtoull(name, NULL, 16);
    (void)snprintf(ending, 8, "%.7s", name + 17);
    return true;
}

static int by_number(const void *a, const void *b)
{
    const rub_segment_t *x = *(rub_segment_t *const *)a;
    const rub_segment_t *y = *(rub_segment_t *const *)b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int adopt(rub_journal_t *self, const char *name, rub_error_t *err)
{
    uint64_t number = 0;
    char ending[8];
    if (!parse_name(name, &number, ending)) {
        return 0;
    }
    char *path = rub_sprintf("%s/%s", self->folder, name);
    if (!path) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", name);
    }
    rub_segment_t *segment = NULL;
    int rc = 0;
    if (strcmp(ending, "new") == 0) {
        (void)unlink(path); /* half-made */
    } else if (strcmp(ending, "seg") == 0 && number > 0) {
        rc = rub_segment_open(path, number, &segment, err);
        rc = rc ? rc : rub_segment_list_push(&self->live, segment, err);
        self->next_number = number >= self->next_number ? number + 1 : self->next_number;
    } else if (strcmp(ending, "free") == 0) {
        rc = rub_segment_open(path, 0, &segment, err);
        rc = rc ? rc : rub_segment_list_push(&self->ready, segment, err);
        if (number >= atomic_load(&self->next_file)) {
            atomic_store(&self->next_file, number + 1);
        }
    } else if (strcmp(ending, "held") == 0) { /* whoever read it is gone */
        rc = rub_segment_open(path, 0, &segment, err);
        rc = rc ? rc : rub_segment_list_push(&self->held, segment, err);
    }
    if (rc) {
        rub_segment_close(&segment);
    }
    rub_free(path);
    return rc;
}

static int scan_folder(rub_journal_t *self, rub_error_t *err)
{
    DIR *folder = opendir(self->folder);
    if (!folder) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "cannot read folder %s", self->folder);
    }
    int rc = 0;
    for (struct dirent *entry = readdir(folder); entry && !rc; entry = readdir(folder)) {
        rc = adopt(self, entry->d_name, err);
    }
    (void)closedir(folder);
    if (!rc && self->live.n > 0) {
        qsort(self->live.items, self->live.n, sizeof(rub_segment_t *), by_number);
    }
    return rc;
}

/* Nothing of the journal was begun since the host's boot, as far as anybody knows. */
static bool is_first_since_boot(const rub_journal_t *self)
{
    const rub_segment_t *last = self->live.n ? self->live.items[self->live.n - 1] : NULL;
    return !last || !last->whole || self->boot == 0 || last->boot != self->boot;
}

/* Free files of another size are of no use. Nor are those from before the host's boot: one may have
 * been in use already when the power failed, and only its new name was lost. The next segment then
 * bears the very number of that time, and what lies behind its beginning would check out as its
 * records. Without a segment in use the numbers begin anew, likewise; but then the free files are
 * all that says that there is a journal: a new one is on the platter before they go, or a loss of
 * power in between would look like a journal that somebody removed. */
static int drop_useless(rub_journal_t *self, rub_error_t *err)
{
    rub_segment_t *fresh = NULL;
    const bool none_is_safe = is_first_since_boot(self);
    if (self->live.n == 0 && self->ready.n > 0) {
        int rc = rub_journal_make_segment(self, &fresh, err);
        rc = rc ? rc : rub_fs_sync_folder(self->folder, err);
        if (rc) {
            rub_segment_close(&fresh);
            return rc;
        }
    }
    for (size_t i = self->ready.n; i > 0; i--) {
        if (none_is_safe || self->ready.items[i - 1]->bytes < self->first_bytes ||
            self->ready.n > RUB_JOURNAL_KEPT_MAX) {
            rub_segment_t *segment = rub_segment_list_take(&self->ready, i - 1);
            (void)rub_segment_unlink(segment, NULL);
            rub_segment_close(&segment);
        }
    }
    const int rc = fresh ? rub_segment_list_push(&self->ready, fresh, err) : 0;
    if (rc) {
        rub_segment_close(&fresh);
    }
    rub_journal_count_ready(self);
    return rc;
}

int rub_journal_open(const char *folder, size_t segment_bytes, rub_journal_t **self_p,
                     rub_error_t *err)
{
    *self_p = NULL;
    if (segment_bytes < RUB_JOURNAL_SEGMENT_MIN || segment_bytes > RUB_JOURNAL_SEGMENT_MAX) {
        return rub_fail(err, RUB_EINVAL, "journal segments of %zu bytes, allowed are %u to %u",
                        segment_bytes, RUB_JOURNAL_SEGMENT_MIN, RUB_JOURNAL_SEGMENT_MAX);
    }
    rub_journal_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the journal in %s", folder);
    }
    (void)pthread_mutex_init(&self->mutex, NULL);
    rub_buf_init(&self->staging);
    self->tail = RUB_TAIL_CLOSED;
    self->boot = rub_journal_boot();
    self->segment_bytes = segment_bytes / 4096 * 4096;
    self->first_bytes = self->segment_bytes < RUB_JOURNAL_FIRST_SEGMENT ? self->segment_bytes
                                                                        : RUB_JOURNAL_FIRST_SEGMENT;
    const uint64_t half = (self->first_bytes - RUB_SEGMENT_HEADER_BYTES) / 2;
    self->record_limit = half < RUB_JOURNAL_RECORD_LIMIT ? half : RUB_JOURNAL_RECORD_LIMIT;
    atomic_store(&self->next_bytes, self->first_bytes);
    atomic_store(&self->n_wanted, RUB_JOURNAL_WANTED_READY);
    atomic_store(&self->worth_bytes, RUB_JOURNAL_WORTH_AT_FIRST);
    self->next_number = 1;
    self->folder = rub_strdup(folder);
    int rc = self->folder ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path %s", folder);
    if (!rc && rub_fs_mkdirs(folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "journal");
    }
    rc = rc ? rc : scan_folder(self, err);
    rc = rc ? rc : rub_journal_let_go(self, err);
    self->is_new = self->live.n == 0 && self->ready.n == 0;
    rc = rc ? rc : drop_useless(self, err);
    if (rc) {
        rub_journal_close(&self);
        return rc;
    }
    self->replayed = self->live.n == 0;
    *self_p = self;
    return 0;
}

void rub_journal_redo_of_boot(rub_journal_t *self, uint64_t boot)
{
    self->redo_boot = boot;
}

bool rub_journal_is_new(const rub_journal_t *self)
{
    return self->is_new;
}

void rub_journal_close(rub_journal_t **self_p)
{
    rub_journal_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    rub_tail_close(&self->tail);
    rub_segment_list_fini(&self->live);
    rub_segment_list_fini(&self->ready);
    rub_segment_list_fini(&self->held);
    rub_buf_fini(&self->staging);
    rub_free(self->pieces);
    rub_free(self->folder);
    rub_free(self->keep_folder);
    (void)pthread_mutex_destroy(&self->mutex);
    rub_free(self);
}

/* Removes what lies behind the end, newest first, so that an interruption leaves no gap. */
static int cut_behind(rub_journal_t *self, size_t n_kept, rub_error_t *err)
{
    if (self->live.n == n_kept) {
        return 0;
    }
    while (self->live.n > n_kept) {
        rub_segment_t *segment = rub_segment_list_take(&self->live, self->live.n - 1);
        const int rc = rub_segment_unlink(segment, err);
        rub_segment_close(&segment);
        if (rc) {
            return rc;
        }
    }
    const int rc = rub_fs_sync_folder(self->folder, err);
    return rc ? rub_wrap(err, RUB_ESTORE, "journal") : 0;
}

static int check_reach(const rub_journal_t *self, uint64_t from_lsn, const rub_replay_end_t *end,
                       rub_error_t *err)
{
    const uint64_t redo_boot = end->n_kept > 0 ? self->redo_boot : 0;
    return rub_replay_reaches(end->last_lsn, from_lsn, redo_boot, self->boot)
               ? 0
               : rub_fail(err, RUB_ECORRUPT,
                          "the journal in %s ends at lsn %" PRIu64
                          ", its store needs it from lsn %" PRIu64 " on",
                          self->folder, end->last_lsn, from_lsn - 1);
}

int rub_journal_replay(rub_journal_t *self, uint64_t from_lsn, rub_journal_visit_t visit,
                       void *context, uint64_t *torn_bytes_p, rub_error_t *err)
{
    RUB_ASSERT(!self->active);
    rub_replay_end_t end;
    if (torn_bytes_p) {
        *torn_bytes_p = 0;
    }
    int rc = rub_replay_segments(self->live.items, self->live.n, self->boot, from_lsn, visit,
                                 context, &end, err);
    rc = rc ? rc : check_reach(self, from_lsn, &end, err);
    /* Whoever lost what came before from_lsn has it elsewhere: the next segment goes on behind it.
     */
    const uint64_t reached = end.last_lsn + 1 < from_lsn ? from_lsn - 1 : end.last_lsn;
    rc = rc ? rc : rub_tail_check(self->folder, reached, err);
    rc = rc ? rc : cut_behind(self, end.n_kept, err);
    if (rc) {
        return rc;
    }
    /* What we build on must be on the platter: until now it may have stood in the page cache of a
     * dead process. */
    for (size_t i = 0; i < self->live.n; i++) {
        atomic_store(&self->live.items[i]->dirty, true);
        atomic_store(&self->live.items[i]->header_dirty, true);
    }
    self->folder_dirty = true;
    self->last_lsn = reached;
    atomic_store(&self->written_lsn, reached);
    self->replayed = true;
    if (torn_bytes_p) {
        *torn_bytes_p = end.torn_bytes;
    }
    return 0;
}

/* ---- appending ---- */

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

/* Whether the next record may be stored into the mapping of the newest segment. A sync since the
 * mapping has taken the permission to write from pages ahead, too; but what goes on behind records
 * that were stored since the last write is in pages that have it. */
static bool may_store(const rub_journal_t *self)
{
    const rub_segment_t *active = self->active;
    const bool goes_on = self->n_pieces == 0 && self->end != self->queued_at;
    return active->map && self->end >= RUB_SEGMENT_MAPPED_FROM &&
           (goes_on || active->faults_are_cheap || !atomic_load(&active->synced));
}

/* The payload first and the frame last: a process that is killed in between leaves no frame, or
 * one that does not check out. */
static void store_frame(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                        size_t n_parts, size_t payload_bytes)
{
    static const uint8_t zeros[8] = {0};
    const size_t padding = (8 - payload_bytes % 8) % 8;
    uint8_t frame[RUB_FRAME_HEADER_BYTES];
    uint8_t *at = self->active->map + (self->end - RUB_SEGMENT_MAPPED_FROM);
    uint8_t *out = at + sizeof(frame);
    uint32_t crc = rub_frame_begin(frame, self->active->number, lsn, type, (uint32_t)payload_bytes);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].bytes > 0) {
            crc = rub_crc32c_copy(crc, out, parts[i].data, parts[i].bytes);
            out += parts[i].bytes;
        }
    }
    memcpy(out, zeros, padding);
    rub_frame_set_crc(frame, rub_crc32c(crc, zeros, padding));
    memcpy(at, frame, sizeof(frame));
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
               self->end - self->queued_at >= QUEUE_BYTES ||
               (self->n_pieces > 0 && may_store(self))) { /* what is queued has other ways */
        rc = rub_journal_write(self, err);
    }
    if (!rc && may_store(self)) {
        store_frame(self, lsn, type, parts, n_parts, payload_bytes);
    } else if (!rc) {
        rc = queue_frame(self, lsn, type, parts, n_parts, payload_bytes);
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
    return 0;
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
    int rc = 0;
    if (self->n_pieces == 0) {
        rub_copy_through_end(); /* the records stand in the mapping already */
    } else {
        rc = write_with_call(self, err);
    }
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

size_t rub_journal_room(const rub_journal_t *self)
{
    const uint64_t left = self->active ? self->active->bytes - self->end : 0;
    return (size_t)(left + atomic_load(&self->ready_room));
}

uint64_t rub_journal_last_lsn(const rub_journal_t *self)
{
    return self->last_lsn;
}
