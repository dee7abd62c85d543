/* From findings to sentences and numbers.
 *
 * A shard's folder has a journal beside its LMDB file, a scheduler's has none. Lsns are written as
 * people count them: incarnation:number. */
#include "cli/fsck_store.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/proc/place.h"
#include "ps/check_shard_store.h"
#include "scheduler/check_scheduler_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct report {
    json_t *object, *lines, *faults;
} report_t;

static void line(report_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(report_t *self, const char *format, ...)
{
    char text[700];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    json_array_append_new(self->lines, json_string(text));
}

static void take_fault(void *context, const rub_error_t *fault)
{
    report_t *self = context;
    enum { MOST = 100 };
    if (json_array_size(self->faults) < MOST) {
        json_array_append_new(self->faults, json_string(fault->message));
    } else if (json_array_size(self->faults) == MOST) {
        json_array_append_new(self->faults, json_string("and more"));
    }
}

static void set_number(report_t *self, const char *key, uint64_t value)
{
    json_object_set_new(self->object, key, json_integer((json_int_t)value));
}

static const char *lsn_text(uint64_t lsn, char out[48])
{
    snprintf(out, 48, "%" PRIu64 ":%" PRIu64, lsn >> 40, lsn & ((UINT64_C(1) << 40) - 1));
    return out;
}

static void set_lsn(report_t *self, const char *key, uint64_t lsn)
{
    char text[48];
    json_object_set_new(self->object, key, json_string(lsn_text(lsn, text)));
}

static void title(report_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void title(report_t *self, const char *format, ...)
{
    char text[300];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    json_object_set_new(self->object, "title", json_string(text));
}

static void tell_store(report_t *self, const rub_store_findings_t *store)
{
    if (store->n_pages == 0) {
        line(self, "store: nothing is in it");
        return;
    }
    line(self,
         "store: %" PRIu64 " pages of %" PRIu64 " bytes, %" PRIu64 " in use and %" PRIu64
         " free; %" PRIu64 " values (%.1f MB), %" PRIu64 " faults",
         store->n_pages, store->page_bytes, store->n_used, store->n_free, store->n_values,
         (double)store->value_bytes / 1e6, store->n_faults);
    set_number(self, "values", store->n_values);
}

static void tell_journal(report_t *self, const rub_shard_findings_t *found)
{
    const rub_journal_findings_t *journal = &found->journal;
    char from[48], to[48], redo[48];
    line(self,
         "journal: %" PRIu64 " segments and %" PRIu64 " spare ones (%.1f MB); %" PRIu64
         " records (%.1f MB) behind %s up to %s, %" PRIu64 " of them behind the redo point %s",
         journal->n_segments, journal->n_spare, (double)journal->file_bytes / 1e6,
         journal->n_records, (double)journal->record_bytes / 1e6, lsn_text(journal->base_lsn, from),
         lsn_text(journal->last_lsn, to), found->n_redo, lsn_text(found->owner.redo_lsn, redo));
    if (journal->torn_bytes > 0) {
        const bool normal = json_array_size(self->faults) == 0;
        line(self, "journal: about %" PRIu64 " bytes %s behind %s at offset %" PRIu64 "%s",
             journal->torn_bytes, normal ? "of an unfinished write" : "that are no whole record",
             journal->end_path, journal->end_offset,
             normal ? ": normal after a kill or a power loss, the next start cuts them off" : "");
    }
    if (journal->rebooted) {
        line(self, "journal: this host was started again since: if the power failed, the last "
                   "interval of 'durability: journal' may be missing, which sessions that live on "
                   "will notice");
    }
    set_number(self, "records", journal->n_records);
    set_number(self, "redo_records", found->n_redo);
    set_number(self, "torn_bytes", journal->torn_bytes);
    set_lsn(self, "redo_lsn", found->owner.redo_lsn);
    set_lsn(self, "last_lsn", journal->last_lsn);
}

static int look_at_shard(report_t *self, const char *folder, rub_error_t *err)
{
    rub_shard_findings_t found;
    const int rc = rub_shard_store_check(folder, take_fault, self, &found, err);
    if (rc != 0) {
        return rc;
    }
    const uint64_t job = found.replayed ? found.job : found.owner.job;
    title(self, "shard %u of %u, job %016" PRIx64 ", incarnation %" PRIu64, found.owner.shard,
          found.owner.n_shards, job, found.owner.incarnation);
    tell_store(self, &found.store);
    if (!found.has_state) {
        line(self, "store: no checkpoint was ever committed");
    }
    tell_journal(self, &found);
    if (found.has_state && found.owner.incarnation == 0) {
        line(self, "restored from a snapshot, and not opened since");
    }
    if (found.replayed) {
        line(self,
             "recovery: %" PRIu64 " chunks (%.1f MB) and %" PRIu64 " records make %" PRIu64
             " rows and blocks, digest %016" PRIx64,
             found.n_chunks, (double)found.chunk_bytes / 1e6, found.n_redo, found.rows,
             found.digest);
        char digest[24];
        snprintf(digest, sizeof digest, "%016" PRIx64, found.digest);
        json_object_set_new(self->object, "digest", json_string(digest));
        set_number(self, "rows", found.rows);
        set_number(self, "lost_records", found.lost);
        if (found.lost > 0) {
            line(self, "recovery: %" PRIu64 " acknowledged records were lost with the power before",
                 found.lost);
        }
    } else {
        line(self, "recovery: not tried, or it did not come to its end");
    }
    set_number(self, "shard", found.owner.shard);
    set_number(self, "n_shards", found.owner.n_shards);
    set_number(self, "incarnation", found.owner.incarnation);
    return 0;
}

static int look_at_scheduler(report_t *self, const char *folder, rub_error_t *err)
{
    rub_scheduler_findings_t found;
    const int rc = rub_scheduler_store_check(folder, take_fault, self, &found, err);
    if (rc != 0) {
        return rc;
    }
    if (found.has_state) {
        title(self, "scheduler of job %016" PRIx64 ", %u workers, %u shards", found.config.job,
              found.config.n_workers, found.config.n_shards);
    } else {
        title(self, "scheduler without a job");
    }
    tell_store(self, &found.store);
    return 0;
}

/* What may not be read is no damage: it is not looked at at all. */
static int check_readable(const char *folder, rub_error_t *err)
{
    static const char *const parts[] = {"", "/journal"};
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(parts) && rc == 0; i++) {
        char place[PATH_MAX], path[PATH_MAX];
        (void)snprintf(place, sizeof place, "%s%s", folder, parts[i]);
        DIR *entries = opendir(place);
        if (!entries && errno == EACCES) {
            return rub_fail_errno(err, RUB_EIO, errno, "cannot read %s", place);
        }
        for (struct dirent *entry = entries ? readdir(entries) : NULL; entry && rc == 0;
             entry = readdir(entries)) {
            if (snprintf(path, sizeof path, "%s/%s", place, entry->d_name) < (int)sizeof path &&
                faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 && errno == EACCES) {
                rc = rub_fail_errno(err, RUB_EIO, errno, "cannot read %s", path);
            }
        }
        if (entries) {
            (void)closedir(entries);
        }
    }
    return rc;
}

/* Nobody may open the store meanwhile; who holds it is named. */
static int look_while_locked(report_t *self, const char *folder, rub_error_t *err)
{
    char path[PATH_MAX];
    int lock = -1;
    if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path) {
        return rub_fail(err, RUB_ECONFIG, "the path of %s is too long", folder);
    }
    int rc = check_readable(folder, err);
    rc = rc ? rc : rub_fs_lock_shared(path, &lock, err);
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(path, sizeof path, "%s/journal", folder);
    const char *slash = strrchr(folder, '/');
    const bool shard = rub_fs_exists(path) || strncmp(slash ? slash + 1 : folder, "shard-", 6) == 0;
    json_object_set_new(self->object, "kind", json_string(shard ? "shard" : "scheduler"));
    rc = shard ? look_at_shard(self, folder, err) : look_at_scheduler(self, folder, err);
    rub_fs_unlock(lock);
    return rc;
}

json_t *rub_fsck_store(const char *folder)
{
    rub_error_t err = {0};
    report_t self = {json_object(), json_array(), json_array()};
    json_object_set_new(self.object, "store", json_string(folder));
    json_object_set_new(self.object, "kind", json_string("?"));
    title(&self, "a store");
    int rc = look_while_locked(&self, folder, &err);
    if (rc == RUB_EHELD) { /* no fault of the store */
        line(&self, "%s", err.message);
    } else if (rc != 0) {
        json_array_append_new(self.faults, json_string(err.message));
    }
    const char *verdict = rc == RUB_EHELD                    ? "in use: ask again when it is not"
                          : rc != 0                          ? "cannot be looked at"
                          : json_array_size(self.faults) > 0 ? "damaged"
                                                             : "clean";
    rc = rc == 0 && json_array_size(self.faults) > 0 ? RUB_ECORRUPT : rc;
    json_object_set_new(self.object, "lines", self.lines);
    json_object_set_new(self.object, "faults", self.faults);
    json_object_set_new(self.object, "verdict", json_string(verdict));
    json_object_set_new(self.object, "exit_code", json_integer(rub_error_exit_code(rc)));
    return self.object;
}
