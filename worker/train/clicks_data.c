/* Opening what click models learn from: up to three sources of sparse examples. A network's inputs
 * have their places, so for deep models every example has a feature for each field: the reader
 * refuses another one by its line, in memory before anything starts, streamed when it is come to.
 */
#include "worker/train/clicks_data.h"

#include "common/base/error.h"
#include "worker/data/csv_fields.h"
#include "worker/model/sparse_model.h"

#include <inttypes.h>
#include <string.h>

#define CRITEO_FIELDS 39u

uint32_t rub_clicks_fields(const rub_config_t *config)
{
    const bool criteo = strcmp(rub_config_word(config, RUB_OPT_data_format), "criteo") == 0;
    return config->fields == 0 && criteo ? CRITEO_FIELDS : (uint32_t)config->fields;
}

void rub_clicks_options(const rub_config_t *config, const char *path, rub_sparse_options_t *options)
{
    const rub_sparse_kind_t *kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    rub_sparse_options_defaults(options);
    options->format = rub_config_word(config, RUB_OPT_data_format);
    options->path = path;
    options->hash_bits = (uint32_t)config->hash_bits;
    options->csv_label = config->csv_label;
    options->csv_words = config->csv_words;
    options->csv_header = config->csv_header;
    options->labels = kind->loss == RUB_LOSS_SQUARED   ? RUB_LABELS_NUMBERS
                      : kind->loss == RUB_LOSS_SOFTMAX ? RUB_LABELS_CLASSES
                                                       : RUB_LABELS_TWO;
    options->n_classes = (uint32_t)config->classes;
    options->n_fields = kind->is_deep ? rub_clicks_fields(config) : 0;
}

static int open_source(const rub_config_t *config, rub_clicks_data_t *self, const char *path,
                       bool held_out, rub_sparse_source_t *source, rub_error_t *err)
{
    rub_clicks_options(config, path, &self->options);
    self->options.own = self->columns.own;
    self->options.n_own = self->columns.n_own;
    if (path == config->train_file) {
        self->options.held_out = config->held_out;
        self->options.take_held_out = held_out;
        self->options.held_out_seed = config->seed;
    } else if (config->csv_header) {
        const int rc =
            rub_csv_same_columns(self->options.format, path, config->train_file, NULL, err);
        if (rc) {
            return rc;
        }
    }
    return rub_sparse_source_open(source, &self->options, config->data_memory_bytes,
                                  (size_t)config->batch, err);
}

int rub_clicks_data_open(const rub_config_t *config, const rub_update_t *update,
                         rub_clicks_data_t *self, rub_error_t *err)
{
    *self = (rub_clicks_data_t){0};
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *const format = rub_config_word(config, RUB_OPT_data_format);
    if (!rub_sparse_format_known(format)) {
        return rub_fail(err, RUB_ECONFIG,
                        "model_kind %s learns from sparse examples: data_format is %s, expected "
                        "libsvm, criteo, csv or tsv",
                        kind, format);
    }
    if (rub_sparse_kind_named(kind)->loss == RUB_LOSS_SOFTMAX && config->classes < 2) {
        return rub_fail(err, RUB_ECONFIG,
                        "classes: %" PRIu64 ", softmax over sparse examples wants to know how many "
                        "there are, at least 2, labelled from 0 on",
                        config->classes);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: there is nothing to train on");
    }
    if (config->held_out > 0 && config->valid_file[0] != '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "held_out and valid_file: both say what is validated on, expected one of "
                        "them");
    }
    const char *const valid = config->held_out > 0 ? config->train_file : config->valid_file;
    rub_clicks_options(config, config->train_file, &self->options);
    int rc = rub_column_tables_read(config, &self->options, update, &self->columns, err);
    rc = rc ? rc : open_source(config, self, config->train_file, false, &self->train, err);
    rc = rc || !valid[0] ? rc : open_source(config, self, valid, true, &self->valid, err);
    return rc || !config->test_file[0]
               ? rc
               : open_source(config, self, config->test_file, true, &self->test, err);
}

void rub_clicks_data_close(rub_clicks_data_t *self)
{
    rub_sparse_source_close(&self->train);
    rub_sparse_source_close(&self->valid);
    rub_sparse_source_close(&self->test);
    rub_column_tables_close(&self->columns);
}

rub_sparse_source_t *rub_clicks_data_validated(rub_clicks_data_t *self)
{
    return self->valid.n_examples > 0 ? &self->valid : &self->test;
}
