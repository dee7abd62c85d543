/* The journal: a queue of frames, a list of segments in use, a list of segments ready.
 *
 * The appending thread owns the queue and the newest segment; it takes ready segments and never
 * waits for a disk's space. The storage thread makes segments, syncs, and recycles. Between them
 * stand a mutex around the two lists, held for a few instructions, and atomics: what was written
 * (lsn), which segments are dirty, how much room is ready.
 *
 * Invariants: written_lsn is set after its bytes are in the page cache and their segment is marked
 * dirty, so a sync that reads it first covers it; the newest segment is never recycled, so numbers
 * and base_lsn always rise; a file is recycled only when its renaming is on the platter. */
#include "common/store/journal_file.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/store/journal_replay.h"
#include "common/store/journal_segment.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    WANTED_READY = 2, /* one to go on with, one in the making */
    KEPT_MIN = 4,     /* spare segments; a job that frees more at a time keeps more */
    KEPT_MAX = 16,
    COPY_LIMIT =
        1024, /* shorter parts are copied beside their frame: fewer pieces for the kernel */
    IOV_LIMIT = 512
};

/* A stretch of the queue: borrowed, or (data NULL) at an offset of the staging buffer. */
typedef struct piece {
    const void *data;
    size_t offset;
    size_t bytes;
} piece_t;

typedef struct segment_list {
    rub_segment_t **items;
    size_t n, capacity;
} segment_list_t;

struct rub_journal {
    char *folder;
    uint64_t boot;
    uint64_t record_limit;
    uint64_t segment_bytes, first_bytes;
    bool replayed; /* the end is known: appending may begin */
    bool failed;
    size_t kept; /* the storage thread's: how many spare segments are worth their space */

    /* ---- the appending thread's ---- */
    rub_segment_t *active; /* NULL until the first append after opening */
    uint64_t end;          /* of active, the queue included */
    uint64_t queued_at;    /* where in active the queue begins */
    uint64_t last_lsn;
    uint64_t next_number;
    rub_buf_t staging;
    piece_t *pieces;
    size_t n_pieces, capacity_pieces;

    /* ---- shared ---- */
    pthread_mutex_t mutex;
    segment_list_t live, ready; /* under the mutex; live: oldest first */
    bool folder_dirty; /* under the mutex: names changed since the last sync of the folder */
    atomic_uint_least64_t next_bytes; /* size of the next new segment */
    atomic_uint_least64_t next_file;  /* for names of free files */
    atomic_uint_least64_t written_lsn;
    atomic_uint_least64_t ready_room;
    atomic_uint_least64_t n_ready;
    atomic_uint_least64_t active_end; /* written, for rub_journal_bytes_since */
};

/* ---- lists and names ---- */

static int list_push(segment_list_t *list, rub_segment_t *segment, rub_error_t *err)
{
    if (rub_grow(&list->items, &list->capacity, list->n + 1, sizeof(*list->items)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the journal's list of segments");
    }
    list->items[list->n++] = segment;
    return 0;
}

static rub_segment_t *list_take(segment_list_t *list, size_t i)
{
    rub_segment_t *segment = list->items[i];
    memmove(list->items + i, list->items + i + 1, (list->n - i - 1) * sizeof(*list->items));
    list->n--;
    return segment;
}

static void list_fini(segment_list_t *list)
{
    for (size_t i = 0; i < list->n; i++) {
        rub_segment_close(&list->items[i]);
    }
    rub_free(list->items);
    *list = (segment_list_t){0};
}

static char *path_of(const rub_journal_t *self, uint64_t number, const char *ending)
{
    return rub_sprintf("%s/%016llx.%s", self->folder, (unsigned long long)number, ending);
}

static char *free_path(rub_journal_t *self, const char *ending)
{
    return path_of(self, atomic_fetch_add(&self->next_file, 1), ending);
}

/* Under the mutex. A switch of segments may leave up to a record's length unused in the old one. */
static void count_ready(rub_journal_t *self)
{
    uint64_t room = 0;
    for (size_t i = 0; i < self->ready.n; i++) {
        room += self->ready.items[i]->bytes - RUB_SEGMENT_HEADER_BYTES - self->record_limit;
    }
    atomic_store(&self->ready_room, room);
    atomic_store(&self->n_ready, self->ready.n);
}

/* ---- opening ---- */

/* The host's boot, hashed; 0 when the system does not tell. */
static uint64_t boot_number(void)
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
        rc = rc ? rc : list_push(&self->live, segment, err);
        self->next_number = number >= self->next_number ? number + 1 : self->next_number;
    } else if (strcmp(ending, "free") == 0) {
        rc = rub_segment_open(path, 0, &segment, err);
        rc = rc ? rc : list_push(&self->ready, segment, err);
        if (number >= atomic_load(&self->next_file)) {
            atomic_store(&self->next_file, number + 1);
        }
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

/* Free files of another size are of no use; without a segment in use their old numbers could come
 * again. */
static void drop_useless(rub_journal_t *self)
{
    for (size_t i = self->ready.n; i > 0; i--) {
        if (self->live.n == 0 || self->ready.items[i - 1]->bytes < self->first_bytes ||
            self->ready.n > KEPT_MAX) {
            rub_segment_t *segment = list_take(&self->ready, i - 1);
            (void)rub_segment_unlink(segment, NULL);
            rub_segment_close(&segment);
        }
    }
    count_ready(self);
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
    self->boot = boot_number();
    self->segment_bytes = segment_bytes / 4096 * 4096;
    self->first_bytes = self->segment_bytes < RUB_JOURNAL_FIRST_SEGMENT ? self->segment_bytes
                                                                        : RUB_JOURNAL_FIRST_SEGMENT;
    const uint64_t half = (self->first_bytes - RUB_SEGMENT_HEADER_BYTES) / 2;
    self->record_limit = half < RUB_JOURNAL_RECORD_LIMIT ? half : RUB_JOURNAL_RECORD_LIMIT;
    atomic_store(&self->next_bytes, self->first_bytes);
    self->next_number = 1;
    self->folder = rub_strdup(folder);
    int rc = self->folder ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path %s", folder);
    if (!rc && rub_fs_mkdirs(folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "journal");
    }
    rc = rc ? rc : scan_folder(self, err);
    if (rc) {
        rub_journal_close(&self);
        return rc;
    }
    drop_useless(self);
    self->replayed = self->live.n == 0;
    *self_p = self;
    return 0;
}

void rub_journal_close(rub_journal_t **self_p)
{
    rub_journal_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    list_fini(&self->live);
    list_fini(&self->ready);
    rub_buf_fini(&self->staging);
    rub_free(self->pieces);
    rub_free(self->folder);
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
        rub_segment_t *segment = list_take(&self->live, self->live.n - 1);
        const int rc = rub_segment_unlink(segment, err);
        rub_segment_close(&segment);
        if (rc) {
            return rc;
        }
    }
    const int rc = rub_fs_sync_folder(self->folder, err);
    return rc ? rub_wrap(err, RUB_ESTORE, "journal") : 0;
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
    rc = rc ? rc : cut_behind(self, end.n_kept, err);
    if (rc) {
        return rc;
    }
    /* What we build on must be on the platter: until now it may have stood in the page cache of a
     * dead process. */
    for (size_t i = 0; i < self->live.n; i++) {
        atomic_store(&self->live.items[i]->dirty, true);
    }
    self->folder_dirty = true;
    self->last_lsn = end.last_lsn;
    atomic_store(&self->written_lsn, end.last_lsn);
    self->replayed = true;
    if (torn_bytes_p) {
        *torn_bytes_p = end.torn_bytes;
    }
    return 0;
}

/* ---- appending ---- */

/* A ready segment, or NULL. */
static rub_segment_t *pop_ready(rub_journal_t *self)
{
    rub_segment_t *segment = NULL;
    pthread_mutex_lock(&self->mutex);
    if (self->ready.n > 0) {
        segment = list_take(&self->ready, 0);
        count_ready(self);
    }
    pthread_mutex_unlock(&self->mutex);
    return segment;
}

static int push_ready(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err)
{
    pthread_mutex_lock(&self->mutex);
    const int rc = list_push(&self->ready, segment, err);
    count_ready(self);
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

/* Pre-writes a segment under a name that says it is not done, then renames it. */
static int make_segment(rub_journal_t *self, rub_segment_t **segment_p, rub_error_t *err)
{
    const uint64_t bytes = atomic_load(&self->next_bytes);
    char *making = free_path(self, "new");
    char *done = free_path(self, "free");
    int rc = making && done ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    rc = rc ? rc : rub_segment_make(making, bytes, segment_p, err);
    rc = rc ? rc : rub_segment_rename(*segment_p, done, err);
    if (rc) {
        rub_segment_close(segment_p);
    } else {
        atomic_store(&self->next_bytes,
                     bytes * 2 < self->segment_bytes ? bytes * 2 : self->segment_bytes);
    }
    rub_free(making);
    rub_free(done);
    return rc;
}

/* Takes the next segment into use. Makes one here and now only when none is ready: callers that
 * watch rub_journal_room never come to that. */
static int activate(rub_journal_t *self, rub_error_t *err)
{
    rub_segment_t *segment = pop_ready(self);
    int rc = segment ? 0 : make_segment(self, &segment, err);
    if (rc) {
        return rc;
    }
    char *path = path_of(self, self->next_number, "seg");
    pthread_mutex_lock(&self->mutex);
    const rub_segment_t *previous = self->live.n ? self->live.items[self->live.n - 1] : NULL;
    if (self->active) {
        self->active->end = self->end;
        self->active->last_lsn = self->last_lsn;
    }
    segment->number = self->next_number++;
    segment->previous = previous ? previous->number : 0;
    segment->previous_end = previous ? previous->end : 0;
    segment->base_lsn = self->last_lsn;
    segment->boot = self->boot;
    rc = path ? rub_segment_take(segment, path, err)
              : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    rc = rc ? rc : list_push(&self->live, segment, err);
    self->folder_dirty = true;
    pthread_mutex_unlock(&self->mutex);
    rub_free(path);
    if (rc) {
        rub_segment_close(&segment);
        return rc;
    }
    self->active = segment;
    self->end = self->queued_at = RUB_SEGMENT_HEADER_BYTES;
    atomic_store(&self->active_end, self->end);
    return 0;
}

static int push_piece(rub_journal_t *self, const void *data, size_t offset, size_t bytes)
{
    piece_t *last = self->n_pieces ? &self->pieces[self->n_pieces - 1] : NULL;
    if (last && !data && !last->data && last->offset + last->bytes == offset) {
        last->bytes += bytes;
        return 0;
    }
    if (rub_grow(&self->pieces, &self->capacity_pieces, self->n_pieces + 1, sizeof(piece_t)) != 0) {
        return RUB_ENOMEM;
    }
    self->pieces[self->n_pieces++] = (piece_t){data, offset, bytes};
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
    } else if (self->n_pieces + n_parts + 2 > IOV_LIMIT) {
        rc = rub_journal_write(self, err);
    }
    if (!rc) {
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

int rub_journal_write(rub_journal_t *self, rub_error_t *err)
{
    if (self->failed) {
        return rub_fail(err, RUB_ESTORE, "the journal in %s failed before", self->folder);
    }
    if (self->n_pieces == 0) {
        return 0;
    }
    struct iovec vector[IOV_LIMIT];
    RUB_ASSERT(self->n_pieces <= IOV_LIMIT);
    for (size_t i = 0; i < self->n_pieces; i++) {
        const piece_t *piece = &self->pieces[i];
        /* pwritev reads only; its type does not say so */
        vector[i].iov_base = piece->data ? (void *)(uintptr_t)piece->data
                                         : (void *)(self->staging.data + piece->offset);
        vector[i].iov_len = piece->bytes;
    }
    const int rc = write_vector(self, vector, (int)self->n_pieces, err);
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

/* ---- the storage thread's part ---- */

bool rub_journal_wants_segment(const rub_journal_t *self)
{
    return atomic_load(&self->n_ready) < WANTED_READY;
}

int rub_journal_prepare(rub_journal_t *self, rub_error_t *err)
{
    if (!rub_journal_wants_segment(self)) {
        return 0;
    }
    rub_segment_t *segment = NULL;
    int rc = make_segment(self, &segment, err);
    rc = rc ? rc : push_ready(self, segment, err);
    if (rc) {
        rub_segment_close(&segment);
    }
    return rc;
}

/* Collects the descriptors of dirty segments. Segments leave the list only in this thread, so they
 * stay open. */
static int take_dirty(rub_journal_t *self, int **fds_p, size_t *n_p, bool *folder_p,
                      rub_error_t *err)
{
    *n_p = 0;
    *folder_p = false;
    pthread_mutex_lock(&self->mutex);
    *fds_p = rub_calloc(self->live.n + 1, sizeof(int));
    if (!*fds_p) {
        pthread_mutex_unlock(&self->mutex);
        return rub_fail(err, RUB_ENOMEM, "no memory to sync the journal");
    }
    for (size_t i = 0; i < self->live.n; i++) {
        if (atomic_exchange(&self->live.items[i]->dirty, false)) {
            (*fds_p)[(*n_p)++] = self->live.items[i]->fd;
        }
    }
    *folder_p = self->folder_dirty;
    self->folder_dirty = false;
    pthread_mutex_unlock(&self->mutex);
    return 0;
}

int rub_journal_sync(rub_journal_t *self, uint64_t *lsn_p, rub_error_t *err)
{
    const uint64_t lsn = atomic_load(&self->written_lsn);
    int *fds = NULL;
    size_t n = 0;
    bool folder = false;
    int rc = take_dirty(self, &fds, &n, &folder, err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (fdatasync(fds[i]) != 0) {
            rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot sync the journal in %s",
                                self->folder);
        }
    }
    if (!rc && folder) {
        rc = rub_fs_sync_folder(self->folder, err) ? rub_wrap(err, RUB_ESTORE, "journal") : 0;
    }
    rub_free(fds);
    if (!rc) {
        *lsn_p = lsn;
    }
    return rc;
}

/* Takes the oldest segment out of use if all its records are below lsn and another one follows. */
static rub_segment_t *take_released(rub_journal_t *self, uint64_t lsn)
{
    rub_segment_t *segment = NULL;
    pthread_mutex_lock(&self->mutex);
    if (self->live.n > 1 && self->live.items[0]->last_lsn < lsn) {
        segment = list_take(&self->live, 0);
    }
    pthread_mutex_unlock(&self->mutex);
    return segment;
}

/* Gives a segment that is out of use a free name, or its space back. */
static int retire(rub_journal_t *self, rub_segment_t *segment, segment_list_t *recycled,
                  rub_error_t *err)
{
    if (atomic_load(&self->n_ready) + recycled->n >= self->kept ||
        segment->bytes < self->first_bytes) {
        const int rc = rub_segment_unlink(segment, err);
        rub_segment_close(&segment);
        return rc;
    }
    char *path = free_path(self, "free");
    int rc = path ? rub_segment_rename(segment, path, err)
                  : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    segment->fresh = false;
    rc = rc ? rc : list_push(recycled, segment, err);
    rub_free(path);
    if (rc) {
        rub_segment_close(&segment);
    }
    return rc;
}

int rub_journal_release(rub_journal_t *self, uint64_t lsn, rub_error_t *err)
{
    segment_list_t released = {0}, recycled = {0};
    int rc = 0;
    for (rub_segment_t *s = take_released(self, lsn); s && !rc;
         s = rc ? NULL : take_released(self, lsn)) {
        rc = list_push(&released, s, err);
        if (rc) {
            rub_segment_close(&s);
        }
    }
    /* As many as one checkpoint freed, the next one will have used up: making them anew would cost
     * more than keeping them. */
    const size_t wanted = released.n + WANTED_READY;
    self->kept = wanted > self->kept ? wanted : self->kept;
    self->kept = self->kept < KEPT_MIN ? KEPT_MIN : self->kept > KEPT_MAX ? KEPT_MAX : self->kept;
    while (!rc && released.n > 0) {
        /* Oldest first: an interruption must not leave a gap in the chain. */
        rc = retire(self, list_take(&released, 0), &recycled, err);
    }
    list_fini(&released);
    /* A file may be written over only once no recovery can find it under its old name. */
    if (!rc && recycled.n > 0 && rub_fs_sync_folder(self->folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "journal");
    }
    while (!rc && recycled.n > 0) {
        rc = push_ready(self, recycled.items[recycled.n - 1], err);
        recycled.n -= rc == 0;
    }
    list_fini(&recycled);
    return rc;
}

uint64_t rub_journal_bytes_since(const rub_journal_t *self, uint64_t lsn)
{
    rub_journal_t *shared =
        (rub_journal_t *)(uintptr_t)self; /* the mutex is not part of the value */
    uint64_t bytes = 0;
    pthread_mutex_lock(&shared->mutex);
    for (size_t i = 0; i < self->live.n; i++) {
        const bool newest = i + 1 == self->live.n;
        if (newest || self->live.items[i]->last_lsn >= lsn) {
            const uint64_t end =
                newest && self->active ? atomic_load(&self->active_end) : self->live.items[i]->end;
            bytes += end - RUB_SEGMENT_HEADER_BYTES;
        }
    }
    pthread_mutex_unlock(&shared->mutex);
    return bytes;
}
