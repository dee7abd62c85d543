/* The log of a session's pulls, for `rubato audit`: a text file, one line for each answer of a
 * shard that the session has used. First line: "rubato-pulls 1 job JOB role trainer rank R epoch E
 * shards N staleness S" (JOB in hex, S a number or async); then "SHARD STAMP MINIMUM LSN OWN": the
 * clock at which the values were to be used, the minimum that the shard claimed, its last record
 * when it answered, and the session's own last seq there that it had to have seen. */
#ifndef RUB_PULL_LOG_H
#define RUB_PULL_LOG_H

#include "worker/client/client.h"

typedef struct rub_pull_log rub_pull_log_t;

/* Makes FOLDER (if missing) and in it rank-R.epoch-E.pulls; a reader's is
 * reader-HOST:PID-NUMBER.pulls. Blocks on the disk. RUB_EIO, RUB_ENOMEM. */
int rub_pull_log_open(const char *folder, const rub_info_t *info, rub_pull_log_t **self_p,
                      rub_error_t *err);
/* What is buffered is written. NULL is fine. */
void rub_pull_log_close(rub_pull_log_t **self_p);

/* Notes one answer; written by the next flush. */
void rub_pull_log_note(rub_pull_log_t *self, const rub_answer_t *answer);
/* Hands to the system what was noted. RUB_EIO once, when something could not be written; the log
 * then ends there. */
int rub_pull_log_flush(rub_pull_log_t *self, rub_error_t *err);

#endif
