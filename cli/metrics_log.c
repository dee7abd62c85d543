/* One JSON object per line, flushed as it is written, so that `tail -f` and a crash both see whole
 * lines. Named results (accuracy, loss of the validation) stand in "metrics" from their first
 * report on. */
#include "cli/metrics_log.h"

#include "cli/result.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <jansson.h>

#define RUB_METRICS_EVERY_S 1.0

int rub_metrics_log_open(rub_metrics_log_t *self, const rub_run_folder_t *folder, rub_error_t *err)
{
    char path[PATH_MAX];
    *self = (rub_metrics_log_t){.last_s = -RUB_METRICS_EVERY_S};
    self->out = fopen(rub_run_folder_file(folder, "metrics.jsonl", path), "ae");
    return self->out ? 0 : rub_fail_errno(err, RUB_ESTORE, errno, "cannot make '%s'", path);
}

void rub_metrics_log_close(rub_metrics_log_t *self)
{
    if (self->out) {
        fclose(self->out);
        self->out = NULL;
    }
}

void rub_metrics_log_add(rub_metrics_log_t *self, const rub_tally_t *tally, double examples_per_s,
                         double now_s, bool last)
{
    const bool due = now_s - self->last_s >= RUB_METRICS_EVERY_S && tally->examples > 0;
    if (self->ended || !(due || last)) {
        return;
    }
    self->last_s = now_s;
    self->ended = last;
    char time_text[32];
    rub_wall_text(time_text, sizeof time_text);
    json_t *line = json_object();
    json_object_set_new(line, "time", json_string(time_text));
    json_object_set_new(line, "elapsed_s", rub_json_number(now_s));
    json_object_set_new(line, "epoch", json_integer((json_int_t)tally->data_epoch));
    json_object_set_new(line, "step", json_integer((json_int_t)tally->step));
    json_object_set_new(line, "examples", json_integer((json_int_t)tally->examples));
    json_object_set_new(line, "loss", rub_json_number(tally->loss));
    json_object_set_new(line, "examples_per_s", rub_json_number(examples_per_s));
    json_object_set_new(line, "gap",
                        json_pack("{s:I, s:I, s:I}", "p50", (json_int_t)tally->gap_p50, "p99",
                                  (json_int_t)tally->gap_p99, "max", (json_int_t)tally->gap_max));
    json_object_set_new(line, "wait_s", rub_json_waits(tally));
    json_object_set_new(line, "metrics", rub_json_metrics(tally));
    json_dumpf(line, self->out, JSON_COMPACT | JSON_REAL_PRECISION(8));
    fputc('\n', self->out);
    fflush(self->out);
    json_decref(line);
}
