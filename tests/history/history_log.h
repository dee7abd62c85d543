/* What a real process did and saw, appended to a file of its own as it happens (the text of
 * tests/history/history.h). Each call is one write(2), so that kill -9 loses at most the event
 * under way: log a push and a question before the call, an answer, an acknowledgement and a clock
 * after it.
 *
 *     rub_history_log_t *log = rub_history_log_open(path, &config, &err);
 *     rub_history_log_opened(log, info.rank, info.epoch, info.clock);
 *     for (;;) {
 *         rub_history_log_ask(log, ++id, info.clock);   rub_pull_...;
 *         rub_history_log_read(log, id, gap, values);
 *         rub_history_log_push(log, ++number, info.clock);   rub_push_...;
 *         rub_clock(...);   rub_history_log_clock(log, info.clock);
 *         rub_flush(...);   rub_history_log_acked(log, number, info.clock);
 *     }
 *     rub_history_log_ended(log, RUB_HISTORY_LEFT);
 *
 * A prefetch is asked when rub_pull_*_async is called, with the clock of its use. `acked` with
 * clock: the end of every period below it is acknowledged too (after a flush it is the session's
 * clock; else 0). Who is told that his epoch is over says ended(FENCED); who is killed says
 * nothing, and the file tells.
 *
 * Not thread-safe: one log per session and thread. Failing writes: the calls return RUB_EIO and the
 * log says nothing more, so the checker sees a killed process. */
#ifndef RUB_HISTORY_LOG_H
#define RUB_HISTORY_LOG_H

#include "tests/history/history.h"

typedef struct rub_history_log rub_history_log_t;

/* Creates the file (it must not exist) and writes the header. RUB_EIO, RUB_EINVAL, RUB_ENOMEM. */
int rub_history_log_open(const char *path, const rub_history_config_t *config,
                         rub_history_log_t **self_p, rub_error_t *err);
void rub_history_log_close(rub_history_log_t **self_p);

/* writer: the rank, or a number from n_writers on for who only reads. */
int rub_history_log_opened(rub_history_log_t *self, uint32_t writer, uint32_t epoch,
                           uint64_t clock);
int rub_history_log_push(rub_history_log_t *self, uint64_t number, uint64_t clock);
int rub_history_log_acked(rub_history_log_t *self, uint64_t number, uint64_t clock);
int rub_history_log_clock(rub_history_log_t *self, uint64_t clock);
int rub_history_log_ask(rub_history_log_t *self, uint64_t id, uint64_t stamp);
int rub_history_log_read(rub_history_log_t *self, uint64_t id, uint64_t gap, const float *values);
int rub_history_log_ended(rub_history_log_t *self, rub_history_fate_t fate);
int rub_history_log_final(rub_history_log_t *self, const float *values);

#endif
