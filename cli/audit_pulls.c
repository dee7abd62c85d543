/* Logs are text, read line by line. A last line without its end is what a killed worker leaves, and
 * is passed over; anything else that is not five numbers is refused: an audit that skips what it
 * does not understand proves nothing. */
#include "cli/audit_pulls.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rub_audit_pulls_init(rub_audit_pulls_t *self)
{
    *self = (rub_audit_pulls_t){0};
}

void rub_audit_pulls_fini(rub_audit_pulls_t *self)
{
    rub_free(self->sessions);
    rub_free(self->items);
    rub_audit_pulls_init(self);
}

static bool read_head(const char *line, rub_audit_session_t *session)
{
    char role[12], bound[24], *end = NULL;
    uint32_t n_shards = 0;
    if (sscanf(line,
               "rubato-pulls 1 job %16" SCNx64 " role %11s rank %" SCNu32 " epoch %" SCNu32
               " shards %" SCNu32 " staleness %23s",
               &session->job, role, &session->rank, &session->epoch, &n_shards, bound) != 6) {
        return false;
    }
    session->trainer = strcmp(role, "trainer") == 0;
    session->staleness = strcmp(bound, "async") == 0 ? RUB_ASYNC : strtoull(bound, &end, 10);
    return session->staleness == RUB_ASYNC || (end && *end == 0);
}

static int add_pull(rub_audit_pulls_t *self, const rub_audit_pull_t *pull, rub_error_t *err)
{
    if (rub_grow(&self->items, &self->capacity, self->n_items + 1, sizeof *self->items) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu pulls", self->n_items);
    }
    self->items[self->n_items++] = *pull;
    return 0;
}

static int read_lines(rub_audit_pulls_t *self, FILE *file, const char *path, rub_error_t *err)
{
    char line[256];
    rub_audit_pull_t pull = {.session = (uint32_t)self->n_sessions - 1, .line = 1};
    while (fgets(line, sizeof line, file)) {
        pull.line++;
        if (!strchr(line, '\n') && feof(file)) {
            self->cut_off++;
            return 0;
        }
        int used = 0;
        if (sscanf(line, "%" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
                   &pull.shard, &pull.stamp, &pull.minimum, &pull.lsn, &pull.own_seq, &used) != 5 ||
            line[used] != '\n') {
            return rub_fail(err, RUB_EDATA, "'%s' line %" PRIu64 " is not five numbers", path,
                            pull.line);
        }
        const int rc = add_pull(self, &pull, err);
        if (rc != 0) {
            return rc;
        }
    }
    return ferror(file) ? rub_fail_errno(err, RUB_EIO, errno, "cannot read '%s'", path) : 0;
}

static int read_file(rub_audit_pulls_t *self, const char *folder, const char *name,
                     rub_error_t *err)
{
    char path[PATH_MAX], line[256];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        return rub_fail(err, RUB_EDATA, "the path '%s' is too long", folder);
    }
    FILE *file = fopen(path, "re");
    if (!file) {
        return rub_fail_errno(err, RUB_EIO, errno, "cannot read '%s'", path);
    }
    rub_audit_session_t session = {0};
    int rc = 0;
    if (!fgets(line, sizeof line, file)) {
        self->cut_off++; /* killed before its head was written */
        goto out;
    }
    if (!read_head(line, &session)) {
        rc = rub_fail(err, RUB_EDATA, "'%s' is no log of pulls: its first line is not its head",
                      path);
        goto out;
    }
    snprintf(session.file, sizeof session.file, "%s", name);
    if (rub_grow(&self->sessions, &self->sessions_capacity, self->n_sessions + 1,
                 sizeof *self->sessions) != 0) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for %zu sessions", self->n_sessions);
        goto out;
    }
    self->sessions[self->n_sessions++] = session;
    rc = read_lines(self, file, path, err);
out:
    fclose(file);
    return rc;
}

static int by_shard_and_lsn(const void *a, const void *b)
{
    const rub_audit_pull_t *x = a, *y = b;
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return (x->lsn > y->lsn) - (x->lsn < y->lsn);
}

static int is_log(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".pulls") == 0;
}

int rub_audit_pulls_read(rub_audit_pulls_t *self, const char *folder, rub_error_t *err)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, is_log, alphasort);
    if (n < 0 && errno != ENOENT) {
        return rub_fail_errno(err, RUB_EDATA, errno, "logs of pulls in '%s' can not be read",
                              folder);
    }
    int rc = n > 0 ? 0
                   : rub_fail(err, RUB_EDATA,
                              "no logs of pulls in '%s'; train with pull_log and journal_keep: all",
                              folder);
    for (int i = 0; i < n; i++) {
        rc = rc ? rc : read_file(self, folder, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    if (rc == 0 && self->n_items > 0) {
        qsort(self->items, self->n_items, sizeof *self->items, by_shard_and_lsn);
    }
    return rc;
}
