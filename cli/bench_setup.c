/* What measurements have in common before they begin.
 *
 * A measurement's folder holds the stores and logs of its fleets, hundreds of megabytes of them. It
 * goes when the measurement is over, and when a signal ended it; it stays when a fleet failed,
 * because only its logs say why. */
#include "cli/bench_setup.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY_MS = 10 }; /* whether a signal has come */

#define DATASET "/usr/share/datasets/fashion-mnist/"

int rub_bench_defaults(rub_config_t *config, const rub_bench_default_t *rows, size_t n,
                       rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!rub_bench_set(config, rows[i].option)) {
            rc = rub_config_set(config, rows[i].option, rows[i].value, RUB_FROM_PROGRAM, "bench",
                                err);
        }
    }
    return rc;
}

static int train_on_fashion_mnist(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t rows[] = {
        {RUB_OPT_train_images, DATASET "train-images-idx3-ubyte.gz"},
        {RUB_OPT_train_labels, DATASET "train-labels-idx1-ubyte.gz"},
    };
    return rub_bench_defaults(config, rows, RUB_COUNT_OF(rows), err);
}

int rub_bench_default_data(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t tests[] = {
        {RUB_OPT_test_images, DATASET "t10k-images-idx3-ubyte.gz"},
        {RUB_OPT_test_labels, DATASET "t10k-labels-idx1-ubyte.gz"},
    };
    if (config->train_images[0] == '\0') {
        const int rc = train_on_fashion_mnist(config, err);
        return rc ? rc : rub_bench_defaults(config, tests, RUB_COUNT_OF(tests), err);
    }
    return config->test_images[0]
               ? 0
               : rub_fail(err, RUB_ECONFIG,
                          "test_images: empty, but bench %s is about what test examples say",
                          config->words[0]);
}

/* Batches of 512, so that a step of compute (5 ms on the kind of machine in the README) is larger
 * than a step of communication (2 MB). */
int rub_bench_default_workload(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t rows[] = {
        {RUB_OPT_model_kind, "mlp"}, {RUB_OPT_hidden, "[256, 128]"}, {RUB_OPT_optimizer, "adam"},
        {RUB_OPT_lr, "5e-4"},        {RUB_OPT_batch, "512"},         {RUB_OPT_epochs, "8"},
    };
    int rc = 0;
    if (config->train_images[0] == '\0' && config->train_file[0] == '\0') {
        rc = rub_bench_defaults(config, rows, RUB_COUNT_OF(rows), err);
        rc = rc ? rc : train_on_fashion_mnist(config, err);
    }
    static const rub_option_id_t held_out[] = {RUB_OPT_test_images, RUB_OPT_test_labels,
                                               RUB_OPT_test_file, RUB_OPT_valid_file};
    for (size_t i = 0; i < RUB_COUNT_OF(held_out) && rc == 0; i++) {
        rc = rub_config_set(config, held_out[i], "", RUB_FROM_PROGRAM, "bench", err);
    }
    return rc ? rc : rub_config_check_reduce(config, err);
}

/* ---- words ---- */

static bool is_known(rub_bench_name_fn *name, const char *word)
{
    for (size_t i = 0; name(i); i++) {
        if (strcmp(name(i), word) == 0) {
            return true;
        }
    }
    return false;
}

int rub_bench_check_words(const rub_config_t *config, rub_bench_name_fn *name, rub_error_t *err)
{
    char known[400] = "";
    for (size_t i = 0; name(i); i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", name(i));
    }
    for (uint32_t i = 1; i < config->n_words; i++) {
        if (!is_known(name, config->words[i])) {
            return rub_fail(err, RUB_ECONFIG, "bench %s has no case '%s'; known: %s",
                            config->words[0], config->words[i], known);
        }
    }
    return 0;
}

bool rub_bench_wants(const rub_config_t *config, const char *name)
{
    bool named = false;
    for (uint32_t i = 1; i < config->n_words; i++) {
        named = named || strcmp(config->words[i], name) == 0;
    }
    return named || config->n_words == 1;
}

/* ---- ends ---- */

int rub_bench_code_of(int exit_code)
{
    return exit_code == rub_error_exit_code(RUB_ESTORE) ? RUB_ESTORE : RUB_EINTERNAL;
}

int rub_bench_go_on(rub_error_t *err)
{
    return *rub_signals_count() > 0 ? rub_fail(err, RUB_EINTR, "interrupted") : 0;
}

int rub_bench_sleep(uint64_t ms, rub_error_t *err)
{
    const uint64_t until_ms = rub_now_ms() + ms;
    int rc = rub_bench_go_on(err);
    for (uint64_t now_ms = rub_now_ms(); !rc && now_ms < until_ms; now_ms = rub_now_ms()) {
        rub_sleep_ms(until_ms - now_ms < LOOK_EVERY_MS ? until_ms - now_ms : LOOK_EVERY_MS);
        rc = rub_bench_go_on(err);
    }
    return rc;
}

/* ---- the folder ---- */

int rub_bench_folder_make(char folder[RUB_BENCH_FOLDER_BYTES], rub_error_t *err)
{
    snprintf(folder, RUB_BENCH_FOLDER_BYTES, "/tmp/rubato-bench-XXXXXX");
    if (mkdtemp(folder)) {
        return 0;
    }
    const int why = errno;
    folder[0] = '\0';
    return rub_fail_errno(err, why == ENOSPC ? RUB_ENOSPC : RUB_EIO, why,
                          "no folder for the measurement can be made in /tmp");
}

void rub_bench_folder_leave(const char *folder, int rc)
{
    rub_error_t err = {0};
    if (folder[0] == '\0') {
        return;
    }
    if (rc < 0 && *rub_signals_count() == 0) {
        fprintf(stderr, "rubato bench: logs and stores are kept in %s\n", folder);
    } else if (rub_fs_remove_tree(folder, &err)) {
        fprintf(stderr, "rubato bench: %s\n", err.message);
    }
}
