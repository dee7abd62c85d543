/* The progress of a run for people: one line that is redrawn on a terminal, plain lines every few
 * seconds elsewhere. */
#ifndef RUB_PROGRESS_H
#define RUB_PROGRESS_H

#include "cli/tally.h"

#include <stdio.h>

#define RUB_RATE_SAMPLES 16u

/* Examples per second over the last few seconds. Pure. */
typedef struct rub_rate {
    double at_s[RUB_RATE_SAMPLES];
    uint64_t examples[RUB_RATE_SAMPLES];
    unsigned n_samples, next;
} rub_rate_t;

void rub_rate_add(rub_rate_t *self, double at_s, uint64_t examples);
double rub_rate_per_s(const rub_rate_t *self); /* 0 until it is known */

typedef struct rub_progress_show {
    FILE *out; /* borrowed */
    bool is_terminal;
    bool line_shown; /* a line without its end stands on the terminal */
    double last_plain_s;
    uint64_t plain_examples; /* of the last plain line */
    rub_rate_t rate;
} rub_progress_show_t;

void rub_progress_show_init(rub_progress_show_t *self, FILE *out);

/* "epoch 3/10  loss 0.4312  48,210 examples/s  gap 2 (max 4)  left 0:42" into out; what is not
 * known yet is left out. epochs: of the whole run. Pure; returns out. */
const char *rub_progress_line(const rub_tally_t *tally, uint64_t epochs, double examples_per_s,
                              char *out, size_t out_bytes);

/* Takes a new tally; draws the line on a terminal, prints one every 3 s elsewhere (every 30 s
 * while no example is trained) and one when the job is done, nothing before the first example.
 * show: false keeps the rate alone. */
void rub_progress_show_update(rub_progress_show_t *self, const rub_tally_t *tally, uint64_t epochs,
                              double now_s, bool show);

/* Prints a sentence on a line of its own; the progress line is drawn again with the next update. */
void rub_progress_show_say(rub_progress_show_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 48210 as "48,210" into out (at least 28 bytes); returns out. */
const char *rub_thousands(uint64_t number, char *out, size_t out_bytes);

#endif
