/* The journal's space: segments made ahead of need, synced, and used again. All that blocks for
 * long is here, and runs in the storage thread; only when nothing is ready does the appending
 * thread make a segment itself.
 *
 * Invariants: segments leave the list of those in use only here, so a descriptor taken under the
 * mutex stays open; they leave oldest first, so an interruption leaves no gap; a file is written
 * over only when its renaming is on the platter. */
#include "common/store/journal_internal.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/mutant.h"
#include "common/store/journal_read.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define GROWN_BYTES (UINT64_C(128) << 20) /* of ready segments */
enum {
    WANTED_MAX = 4 /* ready segments; a job that was left without any wants more than at first */
};

int rub_segment_list_push(rub_segment_list_t *list, rub_segment_t *segment, rub_error_t *err)
{
    if (rub_grow(&list->items, &list->capacity, list->n + 1, sizeof(*list->items)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the journal's list of segments");
    }
    list->items[list->n++] = segment;
    return 0;
}

rub_segment_t *rub_segment_list_take(rub_segment_list_t *list, size_t i)
{
    rub_segment_t *segment = list->items[i];
    memmove(list->items + i, list->items + i + 1, (list->n - i - 1) * sizeof(*list->items));
    list->n--;
    return segment;
}

void rub_segment_list_fini(rub_segment_list_t *list)
{
    for (size_t i = 0; i < list->n; i++) {
        rub_segment_close(&list->items[i]);
    }
    rub_free(list->items);
    *list = (rub_segment_list_t){0};
}

char *rub_journal_path(const rub_journal_t *self, uint64_t number, const char *ending)
{
    return rub_sprintf("%s/%016llx.%s", self->folder, (unsigned long long)number, ending);
}

char *rub_journal_free_path(rub_journal_t *self, const char *ending)
{
    return rub_journal_path(self, atomic_fetch_add(&self->next_file, 1), ending);
}

/* Under the mutex. A switch of segments may leave up to a record's length unused in the old one. */
void rub_journal_count_ready(rub_journal_t *self)
{
    uint64_t room = 0;
    for (size_t i = 0; i < self->ready.n; i++) {
        room += self->ready.items[i]->bytes - RUB_SEGMENT_HEADER_BYTES - self->record_limit;
    }
    atomic_store(&self->ready_room, room);
    atomic_store(&self->n_ready, self->ready.n);
}

int rub_journal_push_ready(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err)
{
    pthread_mutex_lock(&self->mutex);
    const int rc = rub_segment_list_push(&self->ready, segment, err);
    rub_journal_count_ready(self);
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

void rub_journal_syncs_often(rub_journal_t *self)
{
    self->syncs_often = true;
}

static void map(const rub_journal_t *self, rub_segment_t *segment)
{
    if (!self->syncs_often) {
        rub_segment_map(segment);
    }
}

/* Pre-writes a segment under a name that says it is not done, then renames it. */
int rub_journal_make_segment(rub_journal_t *self, rub_segment_t **segment_p, rub_error_t *err)
{
    const uint64_t bytes = atomic_load(&self->next_bytes);
    char *making = rub_journal_free_path(self, "new");
    char *done = rub_journal_free_path(self, "free");
    int rc = making && done ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    rc = rc ? rc : rub_segment_make(making, bytes, segment_p, err);
    rc = rc ? rc : rub_segment_rename(*segment_p, done, err);
    if (rc) {
        rub_segment_close(segment_p);
    } else {
        map(self, *segment_p);
    }
    rub_free(making);
    rub_free(done);
    return rc;
}

bool rub_journal_wants_segment(const rub_journal_t *self)
{
    return atomic_load(&self->n_ready) < atomic_load(&self->n_wanted);
}

/* New segments came too slowly for what is written: the next ones are larger, and then more of them
 * are held ready. A job that writes little stays small. */
void rub_journal_ran_dry(rub_journal_t *self)
{
    const uint64_t bytes = atomic_load(&self->next_bytes);
    if (bytes < self->segment_bytes) {
        atomic_store(&self->next_bytes,
                     bytes * 2 < self->segment_bytes ? bytes * 2 : self->segment_bytes);
    } else if (atomic_load(&self->n_wanted) < WANTED_MAX) {
        atomic_fetch_add(&self->n_wanted, 1);
    }
}

void rub_journal_worth(rub_journal_t *self, uint64_t bytes)
{
    atomic_store(&self->worth_bytes, bytes);
}

static uint64_t list_bytes(const rub_segment_list_t *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->n; i++) {
        bytes += list->items[i]->bytes;
    }
    return bytes;
}

/* A longer journal means fewer checkpoints, but its segments have to be made first, which is dear:
 * so it grows by what has been written. */
void rub_journal_grow(rub_journal_t *self)
{
    if (atomic_load(&self->n_wanted) * atomic_load(&self->next_bytes) < GROWN_BYTES &&
        list_bytes(&self->live) + list_bytes(&self->ready) < atomic_load(&self->worth_bytes)) {
        atomic_fetch_add(&self->n_wanted, 1);
    }
}

void rub_journal_leave_free(rub_journal_t *self, uint64_t bytes)
{
    atomic_store(&self->left_free, bytes);
}

static int check_space(const rub_journal_t *self, rub_error_t *err)
{
    const uint64_t wanted = atomic_load(&self->next_bytes), left = atomic_load(&self->left_free);
    uint64_t free_bytes = 0;
    if (left == 0 || rub_fs_free_bytes(self->folder, &free_bytes, NULL) != 0 ||
        free_bytes >= wanted + left) {
        return 0;
    }
    return rub_fail(err, RUB_ENOSPC,
                    "no space for a journal segment of %.1f MB in %s: %.1f MB are free, %.1f MB of "
                    "them are left to the store",
                    (double)wanted / 1e6, self->folder, (double)free_bytes / 1e6,
                    (double)left / 1e6);
}

int rub_journal_prepare(rub_journal_t *self, rub_error_t *err)
{
    if (!rub_journal_wants_segment(self)) {
        return 0;
    }
    rub_segment_t *segment = NULL;
    int rc = check_space(self, err);
    rc = rc ? rc : rub_journal_make_segment(self, &segment, err);
    rc = rc ? rc : rub_journal_push_ready(self, segment, err);
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
            atomic_store(&self->live.items[i]->header_dirty, false);
            atomic_store(&self->live.items[i]->synced, true);
            (*fds_p)[(*n_p)++] = self->live.items[i]->fd;
        }
    }
    *folder_p = self->folder_dirty;
    self->folder_dirty = false;
    pthread_mutex_unlock(&self->mutex);
    return 0;
}

/* The oldest segment with an unsynced header that may hold records from from_lsn on; NULL: there is
 * none, and *folder_p says whether names have changed. */
static rub_segment_t *take_unsynced(rub_journal_t *self, uint64_t from_lsn, bool *folder_p)
{
    rub_segment_t *found = NULL;
    pthread_mutex_lock(&self->mutex);
    for (size_t i = 0; i < self->live.n && !found; i++) {
        rub_segment_t *segment = self->live.items[i];
        const bool needed = i + 1 == self->live.n || segment->last_lsn >= from_lsn;
        found = needed && atomic_exchange(&segment->header_dirty, false) ? segment : NULL;
    }
    *folder_p = !found && self->folder_dirty;
    self->folder_dirty = self->folder_dirty && !*folder_p;
    pthread_mutex_unlock(&self->mutex);
    return found;
}

int rub_journal_sync_chain(rub_journal_t *self, uint64_t from_lsn, uint64_t *lsn_p,
                           rub_error_t *err)
{
    int rc = 0;
    bool folder = false;
    *lsn_p = atomic_load(&self->written_lsn);
    rub_segment_t *segment = take_unsynced(self, from_lsn, &folder);
    while (segment && !rc) {
        rc = RUB_MUTANT(CHAIN_HEADERS) ? 0 : rub_segment_sync_header(segment, err);
        segment = rc ? NULL : take_unsynced(self, from_lsn, &folder);
    }
    if (!rc && folder && !RUB_MUTANT(CHAIN_NAMES)) {
        rc = rub_fs_sync_folder(self->folder, err) ? rub_wrap(err, RUB_ESTORE, "journal") : 0;
    }
    return rc;
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
        rub_tail_note(&self->tail, self->folder, lsn);
    }
    return rc;
}

/* Takes the oldest segment out of use if all its records are below lsn and another one follows. */
static rub_segment_t *take_released(rub_journal_t *self, uint64_t lsn)
{
    rub_segment_t *segment = NULL;
    pthread_mutex_lock(&self->mutex);
    if (self->live.n > 1 && (self->live.items[0]->last_lsn < lsn || RUB_MUTANT(RELEASE_EARLY))) {
        segment = rub_segment_list_take(&self->live, 0);
    }
    pthread_mutex_unlock(&self->mutex);
    return segment;
}

/* A stretch between two redo points that was long will come again, and what a segment's memory
 * costs is paid when it is made: so as many segments are kept, in use and spare, as were in use at
 * once, and one fewer with each release that did not need them. That is more than KEPT_MAX spares
 * where tables are large; then the store's own space comes first, as when a segment is made. */
static size_t spares_for(rub_journal_t *self, uint64_t lsn)
{
    const uint64_t left = atomic_load(&self->left_free);
    uint64_t free_bytes = 0;
    size_t n_released = 0;
    pthread_mutex_lock(&self->mutex);
    const size_t n_live = self->live.n;
    while (n_released + 1 < n_live && self->live.items[n_released]->last_lsn < lsn) {
        n_released++;
    }
    pthread_mutex_unlock(&self->mutex);
    self->most_used -= self->most_used > 0 && n_released > 0;
    const size_t used = n_live + (size_t)atomic_load(&self->n_wanted);
    self->most_used = used > self->most_used ? used : self->most_used;
    const size_t n = self->most_used - (n_live - n_released);
    const bool has_space = n <= RUB_JOURNAL_KEPT_MAX ||
                           rub_fs_free_bytes(self->folder, &free_bytes, NULL) != 0 ||
                           free_bytes >= left;
    return n > RUB_JOURNAL_KEPT_MAX && has_space ? n : RUB_JOURNAL_KEPT_MAX;
}

/* Gives a segment that is out of use a free name, or its space back. */
static int retire(rub_journal_t *self, rub_segment_t *segment, rub_segment_list_t *recycled,
                  rub_error_t *err)
{
    /* What a busy time needed, the next one will need again: making it anew costs more than its
     * space. */
    if (atomic_load(&self->n_ready) + recycled->n >= self->kept_most ||
        segment->bytes < self->first_bytes) {
        const int rc = rub_segment_unlink(segment, err);
        rub_segment_close(&segment);
        return rc;
    }
    char *path = rub_journal_free_path(self, "free");
    const bool renamed = path && rub_segment_rename(segment, path, NULL) == 0;
    segment->fresh = false;
    map(self, segment);
    /* A full disk may refuse even a name. The old one must go all the same: left behind, it would
     * be taken for the beginning of a chain with a gap. */
    int rc =
        renamed ? rub_segment_list_push(recycled, segment, err) : rub_segment_unlink(segment, err);
    rub_free(path);
    if (rc || !renamed) {
        rub_segment_close(&segment);
    }
    return rc;
}

int rub_journal_keep_all(rub_journal_t *self, rub_error_t *err)
{
    char *folder = rub_sprintf("%s/" RUB_JOURNAL_KEPT_FOLDER, self->folder);
    if (!folder) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", self->folder);
    }
    if (rub_fs_mkdirs(folder, err) != 0 || rub_fs_sync_folder(self->folder, err) != 0) {
        rub_free(folder);
        return rub_wrap(err, RUB_ESTORE, "journal");
    }
    rub_free(self->keep_folder);
    self->keep_folder = folder;
    return 0;
}

bool rub_journal_keeps_all(const rub_journal_t *self)
{
    return self->keep_folder != NULL;
}

/* Gives back the unwritten end of the file and moves it to those that are kept. */
static int move_away(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err)
{
    char *path =
        rub_sprintf("%s/%016llx.seg", self->keep_folder, (unsigned long long)segment->number);
    int rc = path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    if (!rc && segment->end < segment->bytes && ftruncate(segment->fd, (off_t)segment->end) != 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot shorten %s", segment->path);
    }
    rc = rc ? rc : rub_segment_rename(segment, path, err);
    rub_free(path);
    return rc;
}

/* Makes it the oldest of those in use again. */
static int take_back(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err)
{
    pthread_mutex_lock(&self->mutex);
    const int rc = rub_segment_list_push(&self->live, segment, err);
    if (!rc) {
        memmove(self->live.items + 1, self->live.items,
                (self->live.n - 1) * sizeof(*self->live.items));
        self->live.items[0] = segment;
    }
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

/* Oldest first. What can not be moved on a full disk stays in use: the next release tries again. */
static int keep_released(rub_journal_t *self, uint64_t lsn, rub_error_t *err)
{
    int rc = 0;
    bool moved = false;
    for (rub_segment_t *s = take_released(self, lsn); s; s = rc ? NULL : take_released(self, lsn)) {
        rc = move_away(self, s, err);
        if (rc == RUB_ENOSPC && take_back(self, s, err) == 0) {
            break;
        }
        rub_segment_close(&s);
        moved = moved || !rc;
    }
    if (moved && (rub_fs_sync_folder(self->keep_folder, err) != 0 ||
                  rub_fs_sync_folder(self->folder, err) != 0)) {
        return rub_wrap(err, RUB_ESTORE, "journal");
    }
    return rc == RUB_ENOSPC ? 0 : rc;
}

/* The recycled may be written over only once no recovery can find them under their old names. */
static int offer(rub_journal_t *self, rub_segment_list_t *recycled, rub_error_t *err)
{
    if (recycled->n > 0 && rub_fs_sync_folder(self->folder, err) != 0) {
        return rub_wrap(err, RUB_ESTORE, "journal");
    }
    int rc = 0;
    while (!rc && recycled->n > 0) {
        rc = rub_journal_push_ready(self, recycled->items[recycled->n - 1], err);
        recycled->n -= rc == 0;
    }
    return rc;
}

static bool is_held(const rub_journal_t *self, const rub_segment_t *segment)
{
    return self->holding && segment->last_lsn >= self->hold_from &&
           segment->base_lsn < self->hold_to;
}

/* 0: put aside; 1: a full disk refuses the name, so the file goes, and its reader fails. */
static int put_aside(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err)
{
    char *path = rub_journal_path(self, segment->number, "held");
    int rc = path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    if (rc == 0 && rub_segment_rename(segment, path, NULL) != 0) {
        rc = 1;
    }
    rub_free(path);
    return rc ? rc : rub_segment_list_push(&self->held, segment, err);
}

int rub_journal_release(rub_journal_t *self, uint64_t lsn, rub_error_t *err)
{
    if (self->keep_folder) {
        return keep_released(self, lsn, err);
    }
    rub_segment_list_t recycled = {0};
    int rc = 0;
    self->kept_most = spares_for(self, lsn);
    /* Oldest first: an interruption must not leave a gap in the chain. */
    for (rub_segment_t *s = take_released(self, lsn); s; s = rc ? NULL : take_released(self, lsn)) {
        const int aside = is_held(self, s) ? put_aside(self, s, err) : 1;
        rc = aside == 1 ? retire(self, s, &recycled, err) : aside;
        if (aside < 0) {
            rub_segment_close(&s);
        }
    }
    rc = rc ? rc : offer(self, &recycled, err);
    rub_segment_list_fini(&recycled);
    return rc;
}

void rub_journal_hold(rub_journal_t *self, uint64_t from_lsn, uint64_t to_lsn)
{
    self->holding = true;
    self->hold_from = from_lsn;
    self->hold_to = to_lsn;
}

int rub_journal_let_go(rub_journal_t *self, rub_error_t *err)
{
    rub_segment_list_t recycled = {0};
    int rc = 0;
    self->holding = false;
    while (!rc && self->held.n > 0) {
        rc = retire(self, rub_segment_list_take(&self->held, 0), &recycled, err);
    }
    rc = rc ? rc : offer(self, &recycled, err);
    rub_segment_list_fini(&recycled);
    return rc;
}

/* A segment of a header alone, which says where the journal ended: all before it may go. */
static int close_off(rub_journal_t *self, uint64_t lsn, rub_segment_t **segment_p, rub_error_t *err)
{
    const rub_segment_t *last = self->live.items[self->live.n - 1];
    char *making = rub_journal_free_path(self, "new");
    char *path = rub_journal_path(self, self->next_number, "seg");
    int rc = making && path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a segment's path");
    rc = rc ? rc : rub_segment_make(making, RUB_SEGMENT_HEADER_BYTES, segment_p, err);
    if (rc == 0) {
        rub_segment_t *segment = *segment_p;
        segment->number = self->next_number++;
        segment->previous = last->number;
        segment->previous_end = last == self->active ? self->end : last->end;
        segment->base_lsn = lsn;
        segment->boot = self->boot;
        rc = rub_segment_take(segment, path, err);
        if (rc == 0 && fdatasync(segment->fd) != 0) {
            rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot sync %s", path);
        }
        rc = rc ? rc : rub_fs_sync_folder(self->folder, err);
    }
    rub_free(making);
    rub_free(path);
    return rc;
}

static int shorten(rub_journal_t *self, rub_error_t *err)
{
    rub_segment_t *last = self->active;
    if (last && ftruncate(last->fd, (off_t)self->end) != 0) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "cannot shorten %s", last->path);
    }
    if (last) {
        last->bytes = self->end;
    }
    return 0;
}

int rub_journal_trim(rub_journal_t *self, uint64_t lsn, rub_error_t *err)
{
    if (self->live.n == 0) {
        return 0; /* its spares are all that says that there is a journal */
    }
    int rc = rub_journal_let_go(self, err);
    while (self->ready.n > 0 && !rc) {
        rub_segment_t *spare = rub_segment_list_take(&self->ready, self->ready.n - 1);
        rc = rub_segment_unlink(spare, err);
        rub_segment_close(&spare);
    }
    rub_journal_count_ready(self);
    if (rc || self->keep_folder) { /* all records are wanted: only the unwritten end goes */
        return rc ? rc : shorten(self, err);
    }
    rub_segment_t *last = NULL;
    rc = rub_tail_remove(&self->tail, self->folder, err);
    rc = rc ? rc : close_off(self, lsn, &last, err);
    self->active = NULL;
    while (self->live.n > 0 && !rc) {
        rub_segment_t *old = rub_segment_list_take(&self->live, 0);
        rc = rub_segment_unlink(old, err);
        rub_segment_close(&old);
    }
    if (rc || rub_segment_list_push(&self->live, last, err) != 0) {
        rub_segment_close(&last);
        self->failed = true;
        return rc ? rc : RUB_ENOMEM;
    }
    self->last_lsn = lsn;
    return 0;
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
