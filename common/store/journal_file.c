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
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/store/journal_replay.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    self->kept_most = RUB_JOURNAL_KEPT_MAX;
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

size_t rub_journal_room(const rub_journal_t *self)
{
    const uint64_t left = self->active ? self->active->bytes - self->end : 0;
    return (size_t)(left + atomic_load(&self->ready_room));
}

uint64_t rub_journal_last_lsn(const rub_journal_t *self)
{
    return self->last_lsn;
}
