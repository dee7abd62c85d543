/* Progress lines.
 *
 * On a terminal the line is written in one call (carriage return, text, erase to the end), so it
 * never flickers and never leaves rests of a longer one; sentences erase it first and stand on
 * lines of their own. A log file or a pipe gets whole lines, rarely. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RUB_PLAIN_EVERY_S 3.0
#define RUB_PLAIN_SAME_S 30.0 /* while nothing is trained: a validation, say */

void rub_rate_add(rub_rate_t *self, double at_s, uint64_t examples)
{
    const unsigned newest = (self->next + RUB_RATE_SAMPLES - 1) % RUB_RATE_SAMPLES;
    if (self->n_samples > 0 && at_s - self->at_s[newest] < 0.25) {
        return;
    }
    self->at_s[self->next] = at_s;
    self->examples[self->next] = examples;
    self->next = (self->next + 1) % RUB_RATE_SAMPLES;
    self->n_samples += self->n_samples < RUB_RATE_SAMPLES;
}

double rub_rate_per_s(const rub_rate_t *self)
{
    if (self->n_samples < 2) {
        return 0;
    }
    const unsigned newest = (self->next + RUB_RATE_SAMPLES - 1) % RUB_RATE_SAMPLES;
    const unsigned oldest = (self->next + RUB_RATE_SAMPLES - self->n_samples) % RUB_RATE_SAMPLES;
    const double seconds = self->at_s[newest] - self->at_s[oldest];
    return seconds > 0 ? (double)(self->examples[newest] - self->examples[oldest]) / seconds : 0;
}

const char *rub_thousands(uint64_t number, char *out, size_t out_bytes)
{
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t used = 0;
    for (int i = 0; i < n && used + 2 < out_bytes; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            out[used++] = ',';
        }
        out[used++] = digits[i];
    }
    out[used] = 0;
    return out;
}

static void append(char *out, size_t out_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *out, size_t out_bytes, const char *format, ...)
{
    const size_t used = strlen(out);
    va_list list;
    va_start(list, format);
    vsnprintf(out + used, out_bytes - used, format, list);
    va_end(list);
}

static void append_left(char *out, size_t out_bytes, const rub_tally_t *tally, double per_s)
{
    if (per_s <= 0 || tally->total_examples == 0) {
        return;
    }
    const uint64_t to_do =
        tally->total_examples > tally->examples ? tally->total_examples - tally->examples : 0;
    const double left_s = (double)to_do / per_s;
    if (left_s >= 360000) {
        return;
    }
    const unsigned s = (unsigned)(left_s + 0.5);
    if (s >= 3600) {
        append(out, out_bytes, "  left %u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    } else {
        append(out, out_bytes, "  left %u:%02u", s / 60, s % 60);
    }
}

const char *rub_progress_line(const rub_tally_t *tally, uint64_t epochs, double examples_per_s,
                              char *out, size_t out_bytes)
{
    const uint64_t epoch = tally->data_epoch + 1 < epochs ? tally->data_epoch + 1 : epochs;
    char number[28];
    out[0] = 0;
    append(out, out_bytes,
           tally->loss < 1e4 ? "epoch %" PRIu64 "/%" PRIu64 "  loss %.4f"
                             : "epoch %" PRIu64 "/%" PRIu64 "  loss %.3e",
           epoch, epochs, tally->loss);
    if (examples_per_s > 0) {
        append(out, out_bytes, "  %s examples/s",
               rub_thousands((uint64_t)examples_per_s, number, sizeof number));
    }
    append(out, out_bytes, "  gap %" PRIu64 " (max %" PRIu64 ")", tally->gap_p50, tally->gap_max);
    append_left(out, out_bytes, tally, examples_per_s);
    /* Last, because a narrow terminal cuts it. */
    const rub_metric_value_t *accuracy = rub_tally_metric(tally, "accuracy");
    if (accuracy) {
        append(out, out_bytes, "  accuracy %.4f", accuracy->value);
    }
    return out;
}

void rub_progress_show_init(rub_progress_show_t *self, FILE *out)
{
    *self = (rub_progress_show_t){.out = out, .last_plain_s = -1e9};
    self->is_terminal = isatty(fileno(out)) == 1;
}

/* A line as wide as the terminal would wrap, and the next redrawing start below it. */
static unsigned terminal_columns(FILE *out)
{
    struct winsize size = {0};
    const bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col - 1u : 79u;
}

void rub_progress_show_update(rub_progress_show_t *self, const rub_tally_t *tally, uint64_t epochs,
                              double now_s, bool show)
{
    if (tally->examples == 0) {
        return;
    }
    rub_rate_add(&self->rate, now_s, tally->examples);
    if (!show) {
        return;
    }
    /* Of a short run there would be its beginning alone. */
    const bool is_last = tally->state == RUB_JOB_DONE && tally->examples != self->plain_examples;
    char line[256];
    rub_progress_line(tally, epochs, rub_rate_per_s(&self->rate), line, sizeof line);
    if (self->is_terminal) {
        const unsigned columns = terminal_columns(self->out);
        line[columns < sizeof line ? columns : sizeof line - 1] = 0;
        fprintf(self->out, "\r%s\033[K", line);
        self->line_shown = true;
    } else if (is_last || now_s - self->last_plain_s >= (tally->examples == self->plain_examples
                                                             ? RUB_PLAIN_SAME_S
                                                             : RUB_PLAIN_EVERY_S)) {
        fprintf(self->out, "%s\n", line);
        self->last_plain_s = now_s;
        self->plain_examples = tally->examples;
    }
    fflush(self->out);
}

void rub_progress_show_say(rub_progress_show_t *self, const char *format, ...)
{
    if (self->line_shown) {
        fputs("\r\033[K", self->out);
        self->line_shown = false;
    }
    va_list list;
    va_start(list, format);
    vfprintf(self->out, format, list);
    va_end(list);
    fputc('\n', self->out);
    fflush(self->out);
}
