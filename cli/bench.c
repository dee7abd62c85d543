/* `rubato bench WHAT`: finds the measurement and runs it.
 *
 * A measurement is a row of the table below. */
#include "cli/bench.h"
#include "cli/bench_setup.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/proc/signals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct measurement {
    const char *name;
    int (*run)(rub_config_t *config, rub_error_t *err);
} measurement_t;

static const measurement_t measurements[] = {
    {"train", rub_bench_train},       {"durability", rub_bench_durability},
    {"recover", rub_bench_recover},   {"staleness", rub_bench_staleness},
    {"pushpull", rub_bench_pushpull}, {"ideal", rub_bench_ideal},
    {"codecs", rub_bench_codecs},     {"store", rub_bench_store},
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

double rub_bench_median(double *values, size_t n)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double rub_bench_quantile(double *values, size_t n, double fraction)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), ascending);
    const size_t rank = (size_t)ceil(fraction * (double)n);
    return values[rank > 0 ? rank - 1 : 0];
}

/* ---- the command ---- */

static int refuse(const rub_config_t *config, rub_error_t *err)
{
    char known[200] = "";
    for (size_t i = 0; i < RUB_COUNT_OF(measurements); i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
                 measurements[i].name);
    }
    return config->n_words > 0
               ? rub_fail(err, RUB_ECONFIG, "no measurement '%s'; known: %s", config->words[0],
                          known)
               : rub_fail(err, RUB_ECONFIG, "no measurement is named; known: %s", known);
}

int rub_bench_main(const rub_config_t *given)
{
    rub_error_t err = {0};
    rub_config_t config =
        *given; /* its strings stay given's; sets allocate in the copy's own arena */
    rub_arena_init(&config.arena);
    rub_signals_install(false);
    rub_alloc_tune_process();
    const measurement_t *found = NULL;
    for (size_t i = 0; i < RUB_COUNT_OF(measurements) && config.n_words > 0; i++) {
        found = strcmp(config.words[0], measurements[i].name) == 0 ? &measurements[i] : found;
    }
    int rc = found ? found->run(&config, &err) : refuse(&config, &err);
    if (rc > 0) { /* bars were missed: that is a figure, and a failure only for who asks for it */
        rc = config.check ? rub_fail(&err, RUB_ELIMIT, "%d of the bars %s missed", rc,
                                     rc == 1 ? "was" : "were")
                          : 0;
    }
    if (rc) {
        fprintf(stderr, "rubato bench: %s\n",
                rub_signals_exit_code() ? "interrupted" : err.message);
    }
    rub_arena_fini(&config.arena);
    return rub_signals_exit_code() ? rub_signals_exit_code() : rub_error_exit_code(rc);
}
