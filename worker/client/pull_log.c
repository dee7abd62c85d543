/* Why a log of the worker and not of the shard: a shard that breaks the bound would write down what
 * it believes. What the worker has received, held against the journals, is evidence.
 *
 * A log that cannot be written is told once and ends there; a training does not end for it. */
#include "worker/client/pull_log.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

struct rub_pull_log {
    FILE *out; /* NULL: it has failed */
    char path[PATH_MAX];
};

static void name_file(rub_pull_log_t *self, const char *folder, const rub_info_t *info)
{
    if (info->rank != UINT32_MAX) {
        snprintf(self->path, sizeof self->path, "%s/rank-%" PRIu32 ".epoch-%" PRIu32 ".pulls",
                 folder, info->rank, info->epoch);
        return;
    }
    char host[64] = "localhost";
    gethostname(host, sizeof host - 1);
    snprintf(self->path, sizeof self->path, "%s/reader-%s:%ld-%" PRIu64 ".pulls", folder, host,
             (long)getpid(), rub_now_ns());
}

int rub_pull_log_open(const char *folder, const rub_info_t *info, rub_pull_log_t **self_p,
                      rub_error_t *err)
{
    *self_p = NULL;
    int rc = rub_fs_mkdirs(folder, err);
    if (rc) {
        return rc;
    }
    rub_pull_log_t *self = rub_calloc(1, sizeof *self);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the log of pulls");
    }
    name_file(self, folder, info);
    self->out = fopen(self->path, "we");
    if (!self->out) {
        rc = rub_fail_errno(err, RUB_EIO, errno, "cannot write the log of pulls '%s'", self->path);
        rub_free(self);
        return rc;
    }
    char bound[24] = "async";
    if (info->staleness != RUB_ASYNC) {
        snprintf(bound, sizeof bound, "%" PRIu64, info->staleness);
    }
    fprintf(self->out, "rubato-pulls 1 job %016" PRIx64, info->job);
    if (info->rank == UINT32_MAX) {
        fprintf(self->out, " role reader rank 0 epoch 0");
    } else {
        fprintf(self->out, " role trainer rank %" PRIu32 " epoch %" PRIu32, info->rank,
                info->epoch);
    }
    fprintf(self->out, " shards %" PRIu32 " staleness %s\n", info->n_shards, bound);
    *self_p = self;
    return 0;
}

void rub_pull_log_close(rub_pull_log_t **self_p)
{
    rub_pull_log_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        if (self->out) {
            fclose(self->out);
        }
        rub_free(self);
    }
}

void rub_pull_log_note(rub_pull_log_t *self, const rub_answer_t *answer)
{
    if (self->out) {
        fprintf(self->out, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                answer->shard, answer->stamp, answer->minimum, answer->lsn, answer->own_seq);
    }
}

int rub_pull_log_flush(rub_pull_log_t *self, rub_error_t *err)
{
    if (!self->out || (fflush(self->out) == 0 && !ferror(self->out))) {
        return 0;
    }
    const int rc =
        rub_fail_errno(err, RUB_EIO, errno, "the log of pulls '%s' ends here", self->path);
    fclose(self->out);
    self->out = NULL;
    return rc;
}
