/* Each format that export writes is read back here. What a file does not say, the model does: an
 * array of NumPy has no name, a table as lines has no name and calls its rows as export does
 * (words, users and items by name, all others by number), a graph of ONNX has its parameters in
 * another order, which the layers tell.
 *
 * A file of one table is of the table that --table names; unless it is said, of the only one that
 * the model has, or of the one that vectors are of. */
#include "cli/warm_file.h"

#include "cli/network_onnx.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/tensor/tensor_file.h"
#include "worker/data/line_reader.h"
#include "worker/data/names_file.h"
#include "worker/data/rating_reader.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_vectors.h"
#include "worker/train/dense_task.h"
#include "worker/train/graph_task.h"
#include "worker/train/ratings_task.h"
#include "worker/train/word_tables.h"
#include "worker/train/words_task.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory to begin from weights");
}

/* ---- which table a file is of ---- */

static const char *vectors_table(const rub_task_t *task)
{
    return rub_graph_task_of(task)     ? RUB_GRAPH_ENTITIES_NAME
           : rub_ratings_task_of(task) ? RUB_RATING_ITEMS_NAME
           : rub_words_task_of(task)   ? RUB_WORDS_IN_NAME
                                       : "";
}

static int choose(const rub_warm_model_t *model, const rub_table_view_t **table_p, rub_error_t *err)
{
    const char *const told = model->config->table;
    const char *const name = told[0]                ? told
                             : model->n_tables == 1 ? model->tables[0].name
                                                    : vectors_table(model->task);
    char names[400] = "";
    for (uint32_t t = 0; t < model->n_tables; t++) {
        const size_t used = strlen(names);
        if (strcmp(model->tables[t].name, name) == 0) {
            *table_p = &model->tables[t];
            return 0;
        }
        snprintf(names + used, sizeof names - used, "%s'%s'", t ? ", " : "", model->tables[t].name);
    }
    return told[0]
               ? rub_fail(err, RUB_ECONFIG, "table: the model has no '%s', it has %s", told, names)
               : rub_fail(err, RUB_ECONFIG, "which table it is of must be said with --table: %s",
                          names);
}

/* ---- word vectors ---- */

/* The file's words, entities or items are numbered as they stand there. */
static int read_vectors(const rub_warm_model_t *model, rub_weights_t *weights,
                        rub_vocabulary_t **names_p, rub_error_t *err)
{
    const char *const path = model->config->init, *const name = vectors_table(model->task);
    rub_word_vectors_t *vectors = NULL;
    rub_weight_table_t *table = NULL;
    if (!name[0]) {
        return rub_fail(err, RUB_ECONFIG,
                        "its name ends in no format that model_kind %s begins from, expected "
                        ".safetensors, .npz, .npy, .tsv, or of networks .onnx",
                        rub_config_word(model->config, RUB_OPT_model_kind));
    }
    int rc = rub_word_vectors_open(path, rub_vectors_file_is_binary(path), &vectors, err);
    rc = rc ? rc : rub_weights_add(weights, name, &table, err);
    if (rc == 0) {
        table->width = vectors->width;
        table->n_rows = vectors->n_words;
        table->values = vectors->values;
        vectors->values = NULL;
        *names_p = vectors->words;
        vectors->words = NULL;
        table->keys = rub_calloc((size_t)table->n_rows, sizeof(*table->keys));
        rc = table->keys ? 0 : no_memory(err);
        for (uint64_t i = 0; rc == 0 && i < table->n_rows; i++) {
            table->keys[i] = i;
        }
    }
    rub_word_vectors_close(&vectors);
    return rc;
}

/* ---- one array ---- */

/* Weights beside a bias are inputs x units: the other way round is as many numbers. */
static int check_columns(const rub_warm_model_t *model, const rub_weight_table_t *array,
                         const char *name, rub_error_t *err)
{
    static const char weights[] = "/weights";
    const size_t n = strlen(name), tail = strlen(weights);
    for (uint32_t t = 0; n > tail && t < model->n_tables; t++) {
        const rub_table_view_t *bias = &model->tables[t];
        if (array->width > 1 && strcmp(name + n - tail, weights) == 0 &&
            strncmp(bias->name, name, n - tail) == 0 &&
            strcmp(bias->name + n - tail, "/bias") == 0 && bias->elements != array->width) {
            return rub_fail(err, RUB_EDATA,
                            "it is %" PRIu64 " x %u for '%s' beside a bias of %" PRIu64
                            " numbers, expected inputs x units (transpose what has units x inputs)",
                            array->n_rows, array->width, name, bias->elements);
        }
    }
    return 0;
}

static int read_array(const rub_warm_model_t *model, rub_weights_t *weights, rub_error_t *err)
{
    const rub_table_view_t *view = NULL;
    int rc = choose(model, &view, err);
    if (rc == 0 && view->kind != RUB_DENSE) {
        return rub_fail(err, RUB_ECONFIG,
                        "an array has no keys, and the rows of '%s' have: npz, safetensors and tsv "
                        "hold both",
                        view->name);
    }
    rc = rc ? rc : rub_npy_weights_read(model->config->init, weights, err);
    rc = rc ? rc : check_columns(model, &weights->tables[0], view->name, err);
    rc = rc ? rc : rub_tensors_end(weights, err);
    if (rc == 0) {
        snprintf(weights->tables[0].name, sizeof weights->tables[0].name, "%s", view->name);
    }
    return rc;
}

/* ---- a table as lines ---- */

typedef struct lines {
    rub_line_reader_t *reader;
    rub_weight_table_t *table;
    rub_vocabulary_t *names; /* NULL: rows are called by numbers */
    size_t keys_room, values_room;
} lines_t;

/* What the row is called, up to a tab. */
static int take_name(lines_t *self, const char *line, const char **at_p, rub_error_t *err)
{
    rub_weight_table_t *table = self->table;
    uint64_t *key = &table->keys[table->n_rows];
    const char *at = line;
    if (!self->names) {
        at = rub_decimal_scan_u64(line, UINT64_MAX - 1, key);
        *at_p = at;
        return at && *at == '\t' ? 0
                                 : rub_line_reader_refuse(self->reader, line, err,
                                                          "expected the row's number and a tab");
    }
    while (*at != '\t' && *at != '\n') {
        at++;
    }
    char name[RUB_RATING_NAME_LIMIT + 1], room[RUB_RATING_NAME_LIMIT + 1];
    const size_t n = (size_t)(at - line);
    uint32_t number = 0;
    if (n == 0 || n > RUB_RATING_NAME_LIMIT || *at != '\t') {
        return rub_line_reader_refuse(self->reader, line, err,
                                      "expected the row's name, of at most %u bytes, and a tab",
                                      RUB_RATING_NAME_LIMIT);
    }
    memcpy(name, line, n);
    name[n] = '\0';
    const char *const word = rub_name_as_word(name, room);
    const int rc = rub_vocabulary_add(self->names, word, strlen(word), &number, err);
    *key = number;
    *at_p = at;
    return rc || number == table->n_rows
               ? rc
               : rub_line_reader_refuse(self->reader, line, err, "expected each name once");
}

/* Numbers with tabs before each; the first line says how many there are in a row. */
static int take_row(lines_t *self, const char *line, rub_error_t *err)
{
    rub_weight_table_t *table = self->table;
    const char *at = line;
    uint32_t n = 0;
    if (rub_grow(&table->keys, &self->keys_room, table->n_rows + 1, sizeof(*table->keys)) != 0) {
        return no_memory(err);
    }
    int rc = take_name(self, line, &at, err);
    while (rc == 0 && *at == '\t') {
        double value = 0;
        const char *const behind = rub_decimal_scan(at + 1, &value);
        if (!behind || (*behind != '\t' && *behind != '\n') || !isfinite((float)value)) {
            return rub_line_reader_refuse(self->reader, at + 1, err,
                                          "expected a number within float32 and a tab");
        }
        if (n == RUB_VECTORS_WIDTH_LIMIT) {
            return rub_line_reader_refuse(self->reader, at + 1, err, "expected at most %u numbers",
                                          RUB_VECTORS_WIDTH_LIMIT);
        }
        if (rub_grow(&table->values, &self->values_room, table->n_rows * table->width + n + 1,
                     sizeof(*table->values)) != 0) {
            return no_memory(err);
        }
        table->values[table->n_rows * table->width + n++] = (float)value;
        at = behind;
    }
    if (rc == 0 && table->n_rows == 0) {
        table->width = n;
    }
    if (rc == 0 && (n != table->width || n == 0)) {
        return rub_line_reader_refuse(self->reader, at, err,
                                      "expected %u numbers, as in the first line", table->width);
    }
    table->n_rows += rc == 0;
    return rc;
}

/* Rows of a dense table are its elements in order. */
static int make_dense(rub_weight_table_t *table, rub_error_t *err)
{
    for (uint64_t i = 0; i < table->n_rows; i++) {
        if (table->keys[i] != i) {
            return rub_fail(err, RUB_EDATA,
                            "line %" PRIu64 " is row %" PRIu64
                            ", expected all rows of '%s' in order, from 0",
                            i + 1, table->keys[i], table->name);
        }
    }
    rub_free(table->keys);
    table->keys = NULL;
    table->dense = true;
    table->n_rows *= table->width;
    table->width = 1;
    return 0;
}

static bool has_names(const char *table)
{
    return strcmp(table, RUB_WORDS_IN_NAME) == 0 || strcmp(table, RUB_WORDS_OUT_NAME) == 0 ||
           strncmp(table, "mf/users", 8) == 0 || strncmp(table, "mf/items", 8) == 0;
}

static int read_lines(const rub_warm_model_t *model, rub_weights_t *weights,
                      rub_vocabulary_t **names_p, rub_error_t *err)
{
    const rub_table_view_t *view = NULL;
    lines_t self = {0};
    int rc = choose(model, &view, err);
    rc = rc ? rc : rub_line_reader_open(model->config->init, &self.reader, err);
    rc = rc ? rc : rub_weights_add(weights, view->name, &self.table, err);
    if (rc == 0 && has_names(view->name)) {
        self.names = rub_vocabulary_new();
        rc = self.names ? 0 : no_memory(err);
    }
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(self.reader, &line, &length, err);
        if (rc || !line) {
            break;
        }
        rc = take_row(&self, line, err);
    }
    if (rc == 0 && self.table->n_rows == 0) {
        rc = rub_fail(err, RUB_EDATA, "it holds no rows");
    }
    rc = rc ? rc : view->kind == RUB_DENSE ? make_dense(self.table, err) : 0;
    if (rc == 0 && !self.table->dense) {
        rc = rub_weight_table_sort(self.table, err);
        rc = rc == RUB_ECORRUPT ? rub_wrap(err, RUB_EDATA, "rows") : rc;
    }
    rub_line_reader_close(&self.reader);
    *names_p = self.names;
    return rc;
}

/* ---- a network ---- */

static int read_network(const rub_warm_model_t *model, rub_weights_t *weights, rub_error_t *err)
{
    const rub_dense_task_t *task = rub_dense_task_of(model->task);
    size_t n = 0;
    if (!task) {
        return rub_fail(err, RUB_ECONFIG, "onnx holds networks, not model_kind %s of %s",
                        rub_config_word(model->config, RUB_OPT_model_kind),
                        rub_config_word(model->config, RUB_OPT_data_format));
    }
    const rub_model_table_t *tables = rub_model_tables(task->model, &n);
    float **params = rub_calloc(n + 1, sizeof(*params));
    int rc = params ? 0 : no_memory(err);
    for (size_t t = 0; rc == 0 && t < n; t++) {
        rub_weight_table_t *table = NULL;
        rc = rub_weights_add(weights, tables[t].name, &table, err);
        if (rc == 0) {
            table->dense = true;
            table->width = 1;
            table->n_rows = tables[t].elements;
            table->values = rub_calloc((size_t)tables[t].elements, sizeof(*table->values));
            params[t] = table->values;
            rc = params[t] ? 0 : no_memory(err);
        }
    }
    rc = rc ? rc : rub_network_read_onnx(task->model, params, model->config->init, err);
    rub_free(params);
    return rc;
}

/* ---- any ---- */

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

int rub_warm_file_read(const rub_warm_model_t *model, rub_weights_t *weights,
                       rub_vocabulary_t **names_p, rub_error_t *err)
{
    const char *const path = model->config->init;
    const rub_tensor_format_t *tensors = rub_tensor_format_of(path);
    const bool lines = ends_with(path, ".tsv") || ends_with(path, ".tsv.gz");
    *names_p = NULL;
    if (model->config->table[0] && !lines && !(tensors && tensors->single)) {
        return rub_fail(err, RUB_ECONFIG,
                        "table: '%s', but only files of one table (.npy, .tsv) do not say which",
                        model->config->table);
    }
    return lines                        ? read_lines(model, weights, names_p, err)
           : ends_with(path, ".onnx")   ? read_network(model, weights, err)
           : tensors && tensors->single ? read_array(model, weights, err)
           : tensors                    ? rub_tensor_file_read(tensors, path, weights, err)
                                        : read_vectors(model, weights, names_p, err);
}
