/* A restored run has the file from the run of its snapshot (cli/restore.c), before any worker is
 * there; a job that was started again in place has its own, written by the first rank before it
 * trained anything. */
#include "worker/train/kept_names.h"

#include "common/base/error.h"

#include <inttypes.h>
#include <string.h>

bool rub_kept_names_count(const rub_info_t *info)
{
    return info->resumed_clock > 0 || (info->rank == 0 && info->clock > 0);
}

int rub_kept_names_compare(const rub_vocabulary_t *kept, const rub_vocabulary_t *names,
                           const char *what, const char *data, const char *path, rub_error_t *err)
{
    const size_t n_kept = rub_vocabulary_size(kept), n_names = rub_vocabulary_size(names);
    const uint32_t n = (uint32_t)(n_kept < n_names ? n_kept : n_names);
    for (uint32_t i = 0; i < n; i++) {
        const char *was = rub_vocabulary_word(kept, i), *is = rub_vocabulary_word(names, i);
        if (strcmp(was, is) != 0) {
            return rub_fail(err, RUB_EDATA,
                            "train_file '%s': its %s number %" PRIu32
                            " is '%.64s', expected '%.64s', which the job's rows are of ('%s')",
                            data, what, i, is, was, path);
        }
    }
    return 0;
}
