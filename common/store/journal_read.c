/* The fold reads what the shard writes: the same segments, at the same time, through files of its
 * own. That is safe up to a record that was written before the reading began: pages of a file are
 * seen by all in the order in which they were written, segments in use keep their names, and the
 * reading stops at that record, so that it never judges an end that is still moving.
 *
 * Of a journal in peace (a run that has ended) it reads all, by the same rules as a recovery, but
 * cuts nothing off. */
#include "common/store/journal_read.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/store/journal_internal.h"
#include "common/store/journal_replay.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { STOPPED = 1 };

static int by_number(const void *a, const void *b)
{
    const rub_segment_t *x = *(rub_segment_t *const *)a;
    const rub_segment_t *y = *(rub_segment_t *const *)b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_segment(const char *name, const char *ending)
{
    return strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ending) == 0;
}

static int open_one(const char *folder, const char *name, rub_segment_list_t *list,
                    rub_error_t *err)
{
    char *path = rub_sprintf("%s/%s", folder, name);
    if (!path) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", name);
    }
    rub_segment_t *segment = NULL;
    int rc = rub_segment_open_to_read(path, strtoull(name, NULL, 16), &segment, err);
    rc = rc ? rc : rub_segment_list_push(list, segment, err);
    if (rc) {
        rub_segment_close(&segment);
        /* Since we saw its name it was recycled, which none of ours is, or moved to those that are
         * held or kept, which are looked at next. */
        rc = rub_fs_exists(path) ? rc : 0;
    }
    rub_free(path);
    return rc;
}

static int open_all(const char *folder, const char *ending, rub_segment_list_t *list,
                    rub_error_t *err)
{
    DIR *entries = opendir(folder);
    if (!entries) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "cannot read folder %s", folder);
    }
    int rc = 0;
    for (struct dirent *entry = readdir(entries); entry && !rc; entry = readdir(entries)) {
        rc = is_segment(entry->d_name, ending) ? open_one(folder, entry->d_name, list, err) : 0;
    }
    (void)closedir(entries);
    return rc;
}

typedef struct passage {
    rub_journal_visit_t visit;
    void *context;
    uint64_t to_lsn, last_lsn;
} passage_t;

static int pass_on(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                   rub_error_t *err)
{
    passage_t *self = context;
    if (lsn > self->to_lsn) {
        return STOPPED; /* to_lsn itself was never given */
    }
    const int rc = self->visit(self->context, lsn, type, payload, bytes, err);
    self->last_lsn = lsn;
    return rc == 0 && lsn == self->to_lsn ? STOPPED : rc;
}

/* Several segments of one number: the move into the kept folder was seen from both sides. */
static void drop_doubles(rub_segment_list_t *list)
{
    for (size_t i = list->n; i > 1; i--) {
        if (list->items[i - 1]->number == list->items[i - 2]->number) {
            rub_segment_t *segment = rub_segment_list_take(list, i - 1);
            rub_segment_close(&segment);
        }
    }
}

/* Segments that begin behind to_lsn: between it and them some may be gone already. */
static void drop_behind(rub_segment_list_t *list, uint64_t to_lsn)
{
    while (list->n > 1 && list->items[list->n - 1]->whole &&
           list->items[list->n - 1]->base_lsn >= to_lsn) {
        rub_segment_t *segment = rub_segment_list_take(list, list->n - 1);
        rub_segment_close(&segment);
    }
}

/* A journal may end in a torn record, but not in a segment behind which another was taken into use:
 * that one's header says that this one was read, or written, further. */
static int check_end(const rub_segment_list_t *list, const rub_replay_end_t *end, rub_error_t *err)
{
    if (end->n_kept >= list->n || !list->items[end->n_kept]->whole) {
        return 0;
    }
    const rub_segment_t *last = list->items[end->n_kept > 0 ? end->n_kept - 1 : 0];
    return rub_fail(err, RUB_ECORRUPT,
                    "journal segment %s is damaged at offset %llu: segment %016llx goes on behind "
                    "it",
                    last->path, (unsigned long long)last->end,
                    (unsigned long long)list->items[end->n_kept]->number);
}

int rub_journal_read(const char *folder, uint64_t from_lsn, uint64_t to_lsn,
                     rub_journal_visit_t visit, void *context, uint64_t *last_lsn_p,
                     rub_error_t *err)
{
    rub_segment_list_t list = {0};
    rub_replay_end_t end;
    passage_t passage = {.visit = visit, .context = context, .to_lsn = to_lsn};
    char *kept = rub_sprintf("%s/" RUB_JOURNAL_KEPT_FOLDER, folder);
    int rc = kept ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", folder);
    rc = rc || from_lsn > to_lsn ? rc : open_all(folder, ".seg", &list, err);
    if (rc == 0 && from_lsn <= to_lsn && to_lsn != UINT64_MAX) {
        rc = open_all(folder, ".held", &list, err);
    }
    if (rc == 0 && from_lsn <= to_lsn && rub_fs_exists(kept)) {
        rc = open_all(kept, ".seg", &list, err);
    }
    if (rc == 0 && list.n > 0) {
        qsort(list.items, list.n, sizeof(*list.items), by_number);
        drop_doubles(&list);
        drop_behind(&list, to_lsn);
        rc = rub_replay_segments(list.items, list.n, 0, from_lsn, pass_on, &passage, &end, err);
        rc = rc ? rc : check_end(&list, &end, err);
    }
    if (rc == STOPPED) {
        rc = 0;
    } else if (rc == 0 && to_lsn != UINT64_MAX && from_lsn <= to_lsn) {
        rc = rub_fail(err, RUB_ECORRUPT, "the journal in %s ends at lsn %llu, lsn %llu is needed",
                      folder, (unsigned long long)passage.last_lsn, (unsigned long long)to_lsn);
    }
    if (last_lsn_p) {
        *last_lsn_p = passage.last_lsn;
    }
    rub_segment_list_fini(&list);
    rub_free(kept);
    return rc;
}

/* ---- a look at all of it ---- */

typedef struct inspection {
    rub_journal_visit_t visit;
    void *context;
    rub_journal_findings_t *findings;
} inspection_t;

static int inspect_record(void *context, uint64_t lsn, uint8_t type, const void *payload,
                          size_t bytes, rub_error_t *err)
{
    inspection_t *self = context;
    rub_journal_findings_t *findings = self->findings;
    findings->last_lsn = lsn;
    findings->n_records++;
    findings->record_bytes += RUB_JOURNAL_FRAME(bytes);
    return self->visit ? self->visit(self->context, lsn, type, payload, bytes, err) : 0;
}

static uint64_t count_spare(const char *folder, uint64_t *bytes)
{
    uint64_t n = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry;
         entry = readdir(entries)) {
        const size_t length = strlen(entry->d_name);
        struct stat status;
        if (fstatat(dirfd(entries), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode)) {
            *bytes += (uint64_t)status.st_size;
            n += length == 21 && (strcmp(entry->d_name + 16, ".free") == 0 ||
                                  strcmp(entry->d_name + 16, ".held") == 0);
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
    return n;
}

static int inspect_segments(rub_segment_list_t *list, uint64_t redo_lsn, inspection_t *self,
                            rub_error_t *err)
{
    rub_journal_findings_t *findings = self->findings;
    const uint64_t boot = rub_journal_boot();
    rub_replay_end_t end;
    qsort(list->items, list->n, sizeof(*list->items), by_number);
    drop_doubles(list);
    const rub_segment_t *last = list->items[list->n - 1];
    for (size_t i = list->n; i > 0 && !last->whole; i--) {
        last = list->items[i - 1];
    }
    findings->n_segments = list->n;
    findings->base_lsn = findings->last_lsn = list->items[0]->base_lsn;
    findings->rebooted = boot != 0 && last->boot != 0 && last->boot != boot;
    bool all_here = boot != 0;
    for (size_t i = 0; i < list->n; i++) {
        all_here = all_here && list->items[i]->whole && list->items[i]->boot == boot;
    }
    const uint64_t from_lsn =
        !all_here && redo_lsn > findings->base_lsn ? redo_lsn + 1 : findings->base_lsn + 1;
    const int rc =
        rub_replay_segments(list->items, list->n, boot, from_lsn, inspect_record, self, &end, err);
    findings->torn_bytes = end.torn_bytes;
    findings->last_lsn = end.last_lsn > findings->last_lsn ? end.last_lsn : findings->last_lsn;
    if (end.n_kept > 0) {
        const rub_segment_t *segment = list->items[end.n_kept - 1];
        const size_t bytes = strnlen(segment->path, sizeof(findings->end_path) - 1);
        memcpy(findings->end_path, segment->path, bytes);
        findings->end_path[bytes] = '\0';
        findings->end_offset = segment->end;
    }
    return rc;
}

int rub_journal_inspect(const char *folder, uint64_t redo_lsn, rub_journal_visit_t visit,
                        void *context, rub_journal_findings_t *findings, rub_error_t *err)
{
    rub_segment_list_t list = {0};
    inspection_t self = {visit, context, findings};
    *findings = (rub_journal_findings_t){0};
    if (!rub_fs_exists(folder)) {
        return 0;
    }
    char *kept = rub_sprintf("%s/" RUB_JOURNAL_KEPT_FOLDER, folder);
    int rc = kept ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", folder);
    rc = rc ? rc : open_all(folder, ".seg", &list, err);
    rc = rc || !rub_fs_exists(kept) ? rc : open_all(kept, ".seg", &list, err);
    findings->n_spare = count_spare(folder, &findings->file_bytes);
    if (kept) {
        (void)count_spare(kept, &findings->file_bytes);
    }
    if (rc == 0 && list.n > 0) {
        rc = inspect_segments(&list, redo_lsn, &self, err);
    }
    const uint64_t reach = findings->last_lsn > redo_lsn ? findings->last_lsn : redo_lsn;
    rc = rc ? rc : rub_tail_check(folder, reach, err);
    rub_segment_list_fini(&list);
    rub_free(kept);
    return rc;
}
