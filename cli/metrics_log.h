/* metrics.jsonl: a line of JSON per report. */
#ifndef RUB_METRICS_LOG_H
#define RUB_METRICS_LOG_H

#include "cli/run_folder.h"
#include "cli/tally.h"

#include <stdio.h>

typedef struct rub_metrics_log {
    FILE *out;
    double last_s;
    bool ended; /* the last line is written */
} rub_metrics_log_t;

/* Makes metrics.jsonl in the folder. RUB_ESTORE. */
int rub_metrics_log_open(rub_metrics_log_t *self, const rub_run_folder_t *folder, rub_error_t *err);
void rub_metrics_log_close(rub_metrics_log_t *self);

/* Adds a line, at most one a second; last: the final one, written at once and only once. */
void rub_metrics_log_add(rub_metrics_log_t *self, const rub_tally_t *tally, double examples_per_s,
                         double now_s, bool last);

#endif
