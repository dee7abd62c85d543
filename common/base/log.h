/* Log lines for people: "time level who: sentence". A log is a value that is passed in; there is no
 * global one. */
#ifndef RUB_LOG_H
#define RUB_LOG_H

#include <stdio.h>

typedef enum { RUB_LOG_ERROR, RUB_LOG_WARN, RUB_LOG_INFO, RUB_LOG_DEBUG } rub_log_level_t;

typedef struct rub_log {
    FILE *out;             /* borrowed; NULL: discard */
    rub_log_level_t level; /* what is more detailed is dropped */
    char who[48];          /* "ps 0", "worker 1", "scheduler" */
} rub_log_t;

void rub_log_init(rub_log_t *self, FILE *out, rub_log_level_t level, const char *who);
/* One line, written whole; callable from any thread. self may be NULL (discards). */
void rub_log(const rub_log_t *self, rub_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
