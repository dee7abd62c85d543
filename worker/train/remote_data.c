/* Fetching before training: one place for all tasks and formats, so that none of them knows of
 * addresses. The configuration that a task gets is the run's own, but for the words that were
 * addresses. */
#include "worker/train/remote_data.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "worker/data/http_fetch.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

struct rub_remote_data {
    rub_config_t config;
    char *words[11];
};

#define N_WORDS RUB_COUNT_OF(((rub_remote_data_t *)NULL)->words)

/* Where the options that name data files stand. */
static void find_words(rub_config_t *config, const char **words[N_WORDS])
{
    words[0] = &config->train_images;
    words[1] = &config->train_labels;
    words[2] = &config->test_images;
    words[3] = &config->test_labels;
    words[4] = &config->train_file;
    words[5] = &config->test_file;
    words[6] = &config->valid_file;
    words[7] = &config->entities_file;
    words[8] = &config->relations_file;
    words[9] = &config->valid_images;
    words[10] = &config->valid_labels;
}

static bool has_address(const char *words)
{
    while (!rub_http_address(words)) {
        words = strchr(words, ',');
        if (words == NULL) {
            return false;
        }
        words++;
    }
    return true;
}

bool rub_remote_data_wanted(const rub_config_t *config)
{
    rub_config_t copy = *config;
    const char **words[N_WORDS];
    bool any = false;
    find_words(&copy, words);
    for (size_t i = 0; i < N_WORDS; i++) {
        any = any || has_address(*words[i]);
    }
    return any;
}

int rub_remote_data_folder(const rub_config_t *config, char *out, size_t out_bytes,
                           rub_error_t *err)
{
    const char *const run = config->run_dir[0] != '\0' ? config->run_dir : ".";
    const int n = config->data_cache[0] != '\0' ? snprintf(out, out_bytes, "%s", config->data_cache)
                                                : snprintf(out, out_bytes, "%s/fetched", run);
    return n >= 0 && (size_t)n < out_bytes
               ? 0
               : rub_fail(err, RUB_ECONFIG, "data_cache: the path is too long");
}

static const volatile int *process_interrupted;

void rub_remote_data_ends_by(const volatile int *interrupted)
{
    process_interrupted = interrupted;
}

/* On standard error: a worker's log, or a person. */
static void say(void *context, const char *sentence)
{
    rub_log_t log;
    rub_log_init(&log, stderr, *(const rub_log_level_t *)context, "data");
    rub_log(&log, RUB_LOG_WARN, "%s", sentence);
}

int rub_remote_data_fetch(const rub_config_t *config, const char *words, char **words_p,
                          rub_error_t *err)
{
    char folder[PATH_MAX];
    rub_http_options_t options;
    rub_log_level_t level = (rub_log_level_t)config->log_level;
    *words_p = NULL;
    rub_http_options_defaults(&options);
    options.folder = folder;
    options.say = say;
    options.context = &level;
    options.interrupted = process_interrupted;
    const int rc = rub_remote_data_folder(config, folder, sizeof(folder), err);
    return rc ? rc : rub_http_fetch_all(words, &options, words_p, err);
}

int rub_remote_data_open(const rub_config_t *config, rub_remote_data_t **self_p, rub_error_t *err)
{
    const char **words[N_WORDS];
    int rc = 0;
    *self_p = NULL;
    rub_remote_data_t *self = rub_calloc(1, sizeof(*self));
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data: no memory");
    }
    self->config = *config;
    find_words(&self->config, words);
    for (size_t i = 0; rc == 0 && i < N_WORDS; i++) {
        if (has_address(*words[i])) {
            rc = rub_remote_data_fetch(config, *words[i], &self->words[i], err);
            *words[i] = rc == 0 ? self->words[i] : *words[i];
        }
    }
    if (rc != 0) {
        rub_remote_data_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_remote_data_close(rub_remote_data_t **self_p)
{
    rub_remote_data_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < N_WORDS; i++) {
        rub_free(self->words[i]);
    }
    rub_free(self); /* strings of the configuration are the run's own */
    *self_p = NULL;
}

const rub_config_t *rub_remote_data_config(const rub_remote_data_t *self)
{
    return &self->config;
}
