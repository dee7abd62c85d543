/* `rubato snapshot save`: asks a running job's scheduler for a snapshot and waits until it is whole
 * or given up. */
#ifndef RUB_SNAPSHOT_SAVE_H
#define RUB_SNAPSHOT_SAVE_H

#include "common/conf/config.h"

/* Of the job of the run directory that is the second word, or else of the one at config->scheduler.
 * Says what there is on standard output (--json: one line). Blocks. RUB_EPEER: no scheduler
 * answers, or the run has ended; RUB_EINTR: the snapshot goes on without this; RUB_ECONFIG: not a
 * run directory; RUB_EBUSY: for a minute somebody was always coming or going; else why the
 * scheduler refused it or gave it up. */
int rub_snapshot_save(const rub_config_t *config, rub_error_t *err);

#endif
