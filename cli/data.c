/* `rubato data`: looking at data files, and making others of them. None of it holds more than an
 * example of sparse data at a time, so files may be larger than memory. */
#include "cli/data.h"

#include "cli/commands.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/format_guess.h"
#include "worker/train/remote_data.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t least, most, inputs; /* words behind it; and how many of them are read */
    int (*run)(const rub_config_t *config, rub_error_t *err);
} actions[] = {
    {"inspect", 1, 2, 2, rub_data_inspect},
    {"convert", 2, 2, 1, rub_data_convert},
    {"split", 2, 2, 1, rub_data_split},
};

int rub_data_options(const rub_config_t *config, const char *words, rub_sparse_options_t *options_p,
                     rub_error_t *err)
{
    rub_sparse_options_defaults(options_p);
    options_p->path = words;
    options_p->hash_bits = (uint32_t)config->hash_bits;
    options_p->csv_label = config->csv_label;
    options_p->csv_words = config->csv_words;
    options_p->csv_header = config->csv_header;
    options_p->labels = RUB_LABELS_NUMBERS;
    options_p->format = rub_config_word(config, RUB_OPT_data_format);
    int rc = 0;
    if (config->origins[RUB_OPT_data_format].source == RUB_FROM_DEFAULT) {
        rc = rub_format_guess(words, &options_p->format, err);
    }
    if (rc == 0 && config->train_labels[0] != '\0' && !rub_data_are_arrays(options_p->format)) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "train_labels: data_format is %s, only idx and npy have labels in a file of "
                      "their own",
                      options_p->format);
        rc = rub_data_taken_for(config, options_p->format, rc, err);
    }
    return rc;
}

bool rub_data_are_arrays(const char *format)
{
    return strcmp(format, "idx") == 0 || strcmp(format, "npy") == 0;
}

int rub_data_open_arrays(const rub_config_t *config, const char *format, rub_dataset_t **dataset_p,
                         rub_error_t *err)
{
    rub_dataset_options_t options;
    char *labels = NULL; /* where they are, should they lie behind an address */
    *dataset_p = NULL;
    if (config->train_labels[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "train_labels is not set: %s has its labels in a file of their own",
                        format);
    }
    rub_dataset_options_defaults(&options);
    options.format = format;
    options.features_path = config->words[1];
    int rc = rub_remote_data_fetch(config, config->train_labels, &labels, err);
    options.labels_path = labels;
    rc = rc ? rc : rub_dataset_open(&options, dataset_p, err);
    rub_free(labels);
    return rc;
}

int rub_data_taken_for(const rub_config_t *config, const char *format, int rc, rub_error_t *err)
{
    return rc != 0 && format != NULL &&
                   config->origins[RUB_OPT_data_format].source == RUB_FROM_DEFAULT
               ? rub_wrap(err, rc, "taken for %s (data_format may be another)", format)
               : rc;
}

/* Of the first n words behind the action (at most 2), files behind addresses are fetched; the paths
 * of the others stay. The caller frees fetched. */
static int fetch(rub_config_t *config, uint32_t n, char *fetched[2], rub_error_t *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n && i + 1 < config->n_words; i++) {
        rc = rub_remote_data_fetch(config, config->words[i + 1], &fetched[i], err);
        config->words[i + 1] = rc == 0 ? fetched[i] : config->words[i + 1];
    }
    return rc;
}

int rub_data_main(rub_config_t *config)
{
    char *fetched[2] = {NULL, NULL};
    rub_error_t err = {0};
    int rc = rub_fail(&err, RUB_EINVAL,
                      "expected inspect FILES, convert FILES OUT, or split FILES "
                      "FOLDER");
    for (size_t i = 0; config->n_words > 0 && i < RUB_COUNT_OF(actions); i++) {
        if (strcmp(actions[i].name, config->words[0]) == 0 &&
            config->n_words >= 1 + actions[i].least && config->n_words <= 1 + actions[i].most) {
            err = (rub_error_t){0};
            rc = fetch(config, actions[i].inputs, fetched, &err);
            rc = rc ? rc : actions[i].run(config, &err);
            break;
        }
    }
    if (rc != 0) {
        fprintf(stderr, "rubato data: %s\n", err.message);
    }
    rub_free(fetched[0]);
    rub_free(fetched[1]);
    return rub_error_exit_code(rc);
}
