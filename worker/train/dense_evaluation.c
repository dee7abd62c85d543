/* The configuration says which layers there are and the weights how wide they are: the number of
 * classes is that of the last bias, the number of inputs that of the data, and every table must
 * have the elements that the model asks for. */
#include "worker/train/dense_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/classes.h"
#include "common/base/error.h"
#include "worker/data/batch.h"
#include "worker/data/example_stream.h"
#include "worker/data/format_guess.h"
#include "worker/train/dense_task.h"

#include <string.h>

#define AT_ONCE 1024u /* examples */

void rub_resting_network_close(rub_resting_network_t *self)
{
    rub_model_destroy(&self->model);
    rub_free(self->params);
}

/* Those of the last bias; 0: there is none. */
static uint32_t count_classes(const rub_weights_t *weights)
{
    const rub_weight_table_t *last =
        weights->n_tables > 0 ? &weights->tables[weights->n_tables - 1] : NULL;
    return last && last->dense && last->n_rows >= 2 && last->n_rows <= RUB_CLASSES_LIMIT
               ? (uint32_t)last->n_rows
               : 0;
}

static int open_model(const rub_evaluation_t *of, size_t width, const uint32_t image[3],
                      rub_resting_network_t *self, rub_error_t *err)
{
    const rub_weights_t *weights = of->weights;
    size_t n_tables = 0;
    *self = (rub_resting_network_t){.n_classes = count_classes(weights)};
    if (self->n_classes == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "the weights are not of a model of kind %s: its last table is a dense bias",
                        rub_config_word(of->config, RUB_OPT_model_kind));
    }
    int rc = rub_dense_model_open(of->config, width, image, self->n_classes, &self->model, err);
    const rub_model_table_t *tables = rc ? NULL : rub_model_tables(self->model, &n_tables);
    self->params = rub_calloc(n_tables + 1, sizeof(*self->params));
    if (rc == 0 && !self->params) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for a model of %zu tables", n_tables);
    }
    for (size_t t = 0; t < n_tables && rc == 0; t++) {
        const rub_weight_table_t *table = NULL;
        rc = rub_weights_expect(weights, tables[t].name, tables[t].elements, 0, &table, err);
        self->params[t] = table ? table->values : NULL;
    }
    return rc ? rub_wrap(err, rc, "'%s' has %zu numbers per example", of->data, width) : 0;
}

/* ---- data ---- */

/* What the run says of its tables. */
static rub_csv_options_t table_of(const rub_config_t *config)
{
    return (rub_csv_options_t){.format = rub_config_word(config, RUB_OPT_data_format),
                               .label = config->csv_label,
                               .header = config->csv_header};
}

/* idx and npy say themselves which of the two they are; a run of tables reads tables. *table_p
 * NULL: it is none. */
static int find_format(const rub_evaluation_t *self, const rub_csv_options_t *table,
                       const char **format_p, const rub_csv_options_t **table_p, rub_error_t *err)
{
    *format_p = table->format;
    *table_p = rub_dataset_is_table(table->format) ? table : NULL;
    return *table_p || strcmp(self->data, "-") == 0 ? 0
                                                    : rub_format_guess(self->data, format_p, err);
}

/* ---- measuring ---- */

static int open_data(const rub_evaluation_t *self, rub_dataset_t **data_p, rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.features_path = self->data;
    options.labels_path = self->labels;
    options.held_out = self->held_out ? self->config->held_out : 0;
    options.take_held_out = self->held_out;
    options.held_out_seed = self->config->seed;
    const rub_csv_options_t wanted = table_of(self->config), *table = NULL;
    options.csv_label = wanted.label;
    options.csv_header = wanted.header;
    options.n_classes = count_classes(self->weights); /* others are refused with their place */
    const int rc = find_format(self, &wanted, &options.format, &table, err);
    if (rc) {
        return rc;
    }
    return self->labels[0] || table
               ? rub_dataset_open(&options, data_p, err)
               : rub_fail(err, RUB_ECONFIG, "no labels for '%s': --labels names them", self->data);
}

static int measure_all(const rub_resting_network_t *self, const rub_dataset_t *data,
                       rub_batch_t *batch, double *loss_p, size_t *correct_p, rub_error_t *err)
{
    int rc = 0;
    for (uint64_t first = 0; first < data->n_examples && rc == 0; first += AT_ONCE) {
        const uint64_t left = data->n_examples - first;
        const size_t count = left < AT_ONCE ? (size_t)left : AT_ONCE;
        double loss = 0;
        size_t correct = 0;
        rc = rub_batch_fill(batch, data, NULL, first, count, err);
        rc = rc ? rc
                : rub_model_evaluate(self->model, self->params, batch->x, batch->labels, count,
                                     &loss, &correct, err);
        *loss_p += loss;
        *correct_p += correct;
    }
    return rc;
}

int rub_dense_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err)
{
    rub_dataset_t *data = NULL;
    rub_batch_t *batch = NULL;
    rub_resting_network_t resting = {0};
    double loss = 0;
    size_t correct = 0;
    int rc = open_data(self, &data, err);
    rc = rc ? rc : open_model(self, data->width, data->image, &resting, err);
    batch = rc ? NULL : rub_batch_new(AT_ONCE, data->width);
    if (rc == 0 && !batch) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for %u examples", AT_ONCE);
    }
    rc = rc ? rc : measure_all(&resting, data, batch, &loss, &correct, err);
    if (rc == 0) {
        const double n = (double)data->n_examples;
        measures[0] = (rub_measure_t){"loss", loss / n};
        measures[1] = (rub_measure_t){"accuracy", (double)correct / n};
        *n_measures_p = 2;
        *n_examples_p = data->n_examples;
    }
    rub_batch_destroy(&batch);
    rub_resting_network_close(&resting);
    rub_dataset_close(&data);
    return rc;
}

/* ---- predicting ---- */

static void write_row(FILE *out, const float *row, uint32_t n_classes, bool all)
{
    uint32_t best = 0;
    for (uint32_t k = 0; k < n_classes; k++) {
        best = row[k] > row[best] ? k : best;
        if (all) {
            fprintf(out, "%s%.9g", k ? "\t" : "", (double)row[k]);
        }
    }
    if (!all) {
        fprintf(out, "%u", best);
    }
    fputc('\n', out);
}

static int predict_all(const rub_resting_network_t *self, rub_example_stream_t *stream, bool all,
                       FILE *out, uint64_t *n_examples_p, rub_error_t *err)
{
    const size_t width = rub_example_stream_width(stream);
    float *x = rub_calloc(AT_ONCE, width * sizeof(*x));
    float *rows = rub_calloc(AT_ONCE, self->n_classes * sizeof(*rows));
    int rc = x && rows ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %u examples", AT_ONCE);
    for (size_t n = 1; rc == 0 && n > 0 && !ferror(out);) {
        rc = rub_example_stream_next(stream, AT_ONCE, x, &n, err);
        if (rc == 0 && n > 0) {
            rub_model_predict(self->model, self->params, x, n, rows);
        }
        for (size_t i = 0; rc == 0 && i < n; i++) {
            write_row(out, rows + i * self->n_classes, self->n_classes, all);
        }
        *n_examples_p += rc == 0 ? n : 0;
    }
    rub_free(x);
    rub_free(rows);
    return rc;
}

int rub_dense_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                      rub_error_t *err)
{
    rub_example_stream_t *stream = NULL;
    rub_resting_network_t resting = {0};
    const bool all = strcmp(rub_config_word(self->config, RUB_OPT_predictions), "probability") == 0;
    const rub_csv_options_t wanted = table_of(self->config), *table = NULL;
    const char *format = NULL;
    *n_examples_p = 0;
    int rc = find_format(self, &wanted, &format, &table, err);
    rc = rc ? rc : rub_example_stream_open(format, self->data, table, &stream, err);
    uint32_t image[3] = {0};
    if (rc == 0) {
        rub_example_stream_image(stream, image);
        rc = open_model(self, rub_example_stream_width(stream), image, &resting, err);
    }
    rc = rc ? rc : predict_all(&resting, stream, all, out, n_examples_p, err);
    rub_resting_network_close(&resting);
    rub_example_stream_close(&stream);
    return rc;
}

/* ---- without data ---- */

/* What shape the examples have: the head of the file says. */
static int read_shape(const rub_evaluation_t *self, size_t *width_p, uint32_t image[3],
                      rub_error_t *err)
{
    rub_example_stream_t *stream = NULL;
    const rub_csv_options_t wanted = table_of(self->config), *table = NULL;
    const char *format = NULL;
    int rc = find_format(self, &wanted, &format, &table, err);
    rc = rc ? rc : rub_example_stream_open(format, self->data, table, &stream, err);
    if (rc == 0) {
        *width_p = rub_example_stream_width(stream);
        rub_example_stream_image(stream, image);
    }
    rub_example_stream_close(&stream);
    return rc ? rub_wrap(err, rc, "the shape of an example") : 0;
}

/* Of softmax and mlp the first layer's tables say how many inputs there are. */
static int count_inputs(const rub_evaluation_t *self, size_t *width_p, rub_error_t *err)
{
    const rub_weight_table_t *tables = self->weights->tables;
    const bool fits = self->weights->n_tables >= 2 && tables[0].dense && tables[1].dense &&
                      tables[1].n_rows > 0 && tables[0].n_rows >= tables[1].n_rows;
    *width_p = fits ? (size_t)(tables[0].n_rows / tables[1].n_rows) : 0;
    return fits ? 0
                : rub_fail(err, RUB_ECONFIG,
                           "the weights are not of a model of kind %s: it begins with a layer's "
                           "weights and bias",
                           rub_config_word(self->config, RUB_OPT_model_kind));
}

int rub_resting_network_open(const rub_evaluation_t *of, rub_resting_network_t *self,
                             rub_error_t *err)
{
    const char *kind = rub_config_word(of->config, RUB_OPT_model_kind);
    size_t width = 0;
    uint32_t image[3] = {0};
    *self = (rub_resting_network_t){0};
    const int rc = strcmp(kind, "sequential") == 0 ? read_shape(of, &width, image, err)
                                                   : count_inputs(of, &width, err);
    return rc ? rc : open_model(of, width, image, self, err);
}
