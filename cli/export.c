/* `rubato export RUN|SNAPSHOT`: a trained model as a file that other programs read.
 *
 * Formats of tensors (common/tensor) take all tables or the one that --table names; those of words
 * and lines take one. What is written has its name only when it is whole. */
#include "cli/commands.h"
#include "cli/network_onnx.h"
#include "cli/trained_model.h"
#include "cli/word_rows.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/tensor/tensor_file.h"
#include "worker/data/names_file.h"
#include "worker/data/triple_reader.h"
#include "worker/data/vectors_file.h"
#include "worker/train/clicks_task.h"
#include "worker/train/dense_evaluation.h"
#include "worker/train/ratings_task.h"
#include "worker/train/word_tables.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct exporting {
    const rub_trained_model_t *model;
    const char *format, *table, *path;
    uint64_t n_numbers; /* that were written */
} exporting_t;

/* ---- tensors ---- */

/* Leaves the tensors that the table's name means, or those of a single-tensor format. */
static int choose(const exporting_t *self, const rub_tensor_format_t *format, rub_tensor_t *tensors,
                  size_t *n_p, rub_error_t *err)
{
    char keys[RUB_TENSOR_NAME_LIMIT + 1];
    size_t kept = 0;
    snprintf(keys, sizeof keys, "%.63s" RUB_TENSOR_KEYS, self->table);
    for (size_t i = 0; i < *n_p; i++) {
        const bool rows = strcmp(tensors[i].name, self->table) == 0;
        const bool wanted =
            !self->table[0] || rows || (!format->single && strcmp(tensors[i].name, keys) == 0);
        if (wanted) {
            tensors[kept++] = tensors[i];
        }
    }
    if (kept == 0 || (format->single && kept != 1)) {
        char names[300] = "";
        for (size_t i = 0; i < *n_p; i++) {
            const size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s'%s'", i ? ", " : "", tensors[i].name);
        }
        return self->table[0]
                   ? rub_fail(err, RUB_ECONFIG, "no table '%s'; there are: %s", self->table, names)
                   : rub_fail(err, RUB_ECONFIG, "%s holds one array: choose with --table from %s",
                              format->name, names);
    }
    *n_p = kept;
    return 0;
}

static int write_tensors(exporting_t *self, const rub_tensor_format_t *format, rub_error_t *err)
{
    rub_tensor_t *tensors = NULL;
    rub_whole_file_t *file = NULL;
    size_t n = 0;
    const rub_tensor_note_t notes[] = {
        {"format", "rubato"},
        {"rubato_version", rub_version()},
        {"model_kind", rub_config_word(&self->model->config, RUB_OPT_model_kind)},
    };
    int rc = rub_tensors_of(&self->model->weights, &tensors, &n, err);
    size_t n_kept = n;
    rc = rc ? rc : choose(self, format, tensors, &n_kept, err);
    rc = rc ? rc : rub_whole_file_open(self->path, &file, err);
    rc = rc ? rc
            : format->write(rub_whole_file_stream(file), tensors, n_kept, notes,
                            RUB_COUNT_OF(notes), err);
    if (rc == 0) {
        rc = rub_whole_file_finish(&file, err);
    }
    for (size_t i = 0; rc == 0 && i < n_kept; i++) {
        self->n_numbers += tensors[i].type == RUB_TENSOR_F32 ? rub_tensor_items(&tensors[i]) : 0;
    }
    rub_whole_file_abandon(&file);
    rub_free(tensors);
    return rc;
}

/* ---- networks ---- */

static bool is_network(const char *kind)
{
    size_t n = 0;
    const rub_model_kind_t *kinds = rub_model_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(kinds[i].name, kind) == 0) {
            return true;
        }
    }
    return false;
}

static int write_network(exporting_t *self, const rub_resting_network_t *network, rub_error_t *err)
{
    rub_whole_file_t *file = NULL;
    size_t n_tables = 0;
    const rub_model_table_t *tables = rub_model_tables(network->model, &n_tables);
    int rc = rub_whole_file_open(self->path, &file, err);
    rc = rc ? rc
            : rub_network_write_onnx(network->model, network->params, rub_whole_file_stream(file),
                                     err);
    if (rc == 0) {
        rc = rub_whole_file_finish(&file, err);
    }
    for (size_t t = 0; rc == 0 && t < n_tables; t++) {
        self->n_numbers += tables[t].elements;
    }
    rub_whole_file_abandon(&file);
    return rc;
}

/* What shape an image has, the data that the network was trained on say, or others like them. */
static int write_onnx(exporting_t *self, rub_error_t *err)
{
    const rub_config_t *config = &self->model->config;
    const char *kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *trained = config->train_images[0] ? config->train_images : config->train_file;
    const rub_evaluation_t of = {.config = config,
                                 .weights = &self->model->weights,
                                 .data = config->data[0] ? config->data : trained,
                                 .labels = config->data[0] ? config->labels : config->train_labels};
    rub_resting_network_t network = {0};
    if (!is_network(kind) || rub_clicks_task_wanted(config)) {
        return rub_fail(err, RUB_ECONFIG,
                        "onnx holds networks (softmax, mlp, sequential), not model_kind %s of %s",
                        kind, rub_config_word(config, RUB_OPT_data_format));
    }
    int rc = rub_resting_network_open(&of, &network, err);
    rc = rc ? rc : write_network(self, &network, err);
    rub_resting_network_close(&network);
    return rc;
}

/* ---- rows with their words ---- */

/* The rows of one hashed table, in order: of all words, or of all keys that are stored. */
typedef struct walk {
    const rub_weight_table_t *table;
    const rub_vocabulary_t *words; /* NULL: rows are called by their keys */
    rub_vocabulary_t *names;       /* of users or items: words is the same; else NULL */
    uint64_t n;
    float *row;
    bool is_composed; /* words, with their n-grams */
    rub_word_rows_t composed;
} walk_t;

/* A factorization's run left the names of users and items. */
static int read_names(const exporting_t *self, const char *table, walk_t *walk, rub_error_t *err)
{
    const char *const file = strncmp(table, "mf/users", 8) == 0   ? RUB_RATING_USERS_FILE
                             : strncmp(table, "mf/items", 8) == 0 ? RUB_RATING_ITEMS_FILE
                                                                  : NULL;
    char *const path = file ? rub_sprintf("%s/%s", self->model->run_dir, file) : NULL;
    size_t n = 0;
    int rc = 0;
    if (path && self->model->run_dir[0] && rub_fs_exists(path)) {
        walk->names = rub_vocabulary_new();
        rc = walk->names ? rub_triple_reader_dictionary(path, walk->names, &n, err)
                         : rub_fail(err, RUB_ENOMEM, "no memory for names");
        walk->words = walk->names;
    }
    rub_free(path);
    return rc;
}

static int begin_walk(const exporting_t *self, walk_t *walk, rub_error_t *err)
{
    const rub_weights_t *weights = &self->model->weights;
    const char *name = self->table;
    if (!name[0]) {
        name = rub_weights_find(weights, RUB_WORDS_IN_NAME) ? RUB_WORDS_IN_NAME
               : weights->n_tables == 1                     ? weights->tables[0].name
                                                            : "";
    }
    const rub_weight_table_t *table = rub_weights_find(weights, name);
    *walk = (walk_t){.table = table};
    if (!table) {
        return name[0] ? rub_weights_expect(weights, name, 0, 1, &walk->table, err)
                       : rub_fail(err, RUB_ECONFIG, "%s takes one table: choose with --table",
                                  self->format);
    }
    const bool of_words =
        strcmp(name, RUB_WORDS_IN_NAME) == 0 || strcmp(name, RUB_WORDS_OUT_NAME) == 0;
    walk->words = of_words ? self->model->words : NULL;
    const int rc = read_names(self, name, walk, err);
    if (rc) {
        return rc;
    }
    walk->n = walk->words ? rub_vocabulary_size(walk->words) : table->n_rows;
    walk->is_composed =
        !self->table[0] && walk->words && rub_weights_find(weights, RUB_WORDS_NGRAMS_NAME) != NULL;
    walk->row = rub_calloc(table->width + 1, sizeof(*walk->row));
    if (!walk->row) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a row of '%s'", name);
    }
    return walk->is_composed ? rub_word_rows_open(self->model, &walk->composed, err) : 0;
}

static void end_walk(walk_t *walk)
{
    rub_word_rows_close(&walk->composed);
    rub_vocabulary_destroy(&walk->names);
    rub_free(walk->row);
}

/* Row i and its name. A word that was never trained has the vector that it began with. */
static int walk_row(walk_t *walk, uint64_t i, char digits[24], const char **name_p,
                    const float **row_p, rub_error_t *err)
{
    const rub_weight_table_t *table = walk->table;
    *row_p = walk->row;
    if (walk->is_composed) {
        *name_p = rub_vocabulary_word(walk->words, (uint32_t)i);
        return rub_word_rows_known(&walk->composed, (uint32_t)i, walk->row, err);
    }
    if (walk->words) {
        *name_p = rub_vocabulary_word(walk->words, (uint32_t)i);
        rub_weight_table_rows(table, &i, 1, walk->row);
        return 0;
    }
    snprintf(digits, 24, "%" PRIu64, table->dense ? i : table->keys[i]);
    *name_p = digits;
    *row_p = table->values + i * table->width;
    return 0;
}

static int write_word2vec(exporting_t *self, rub_error_t *err)
{
    walk_t walk = {0};
    rub_vectors_file_t *file = NULL;
    char room[RUB_TRIPLE_NAME_LIMIT + 1];
    const bool binary = strcmp(self->format, "word2vec-bin") == 0;
    int rc = begin_walk(self, &walk, err);
    if (rc == 0 && walk.table->dense) {
        rc = rub_fail(err, RUB_ECONFIG, "%s holds rows with names; table '%s' is dense",
                      self->format, walk.table->name);
    }
    rc = rc ? rc
            : rub_vectors_file_create(self->path, binary, walk.n, walk.table->width, &file, err);
    for (uint64_t i = 0; rc == 0 && i < walk.n; i++) {
        char digits[24];
        const char *name = NULL;
        const float *row = NULL;
        rc = walk_row(&walk, i, digits, &name, &row, err);
        if (rc == 0) {
            rub_vectors_file_add(file, rub_name_as_word(name, room), row);
        }
    }
    if (rc == 0) {
        self->n_numbers = walk.n * walk.table->width;
        rc = rub_vectors_file_finish(&file, err);
    }
    rub_vectors_file_abandon(&file);
    end_walk(&walk);
    return rc;
}

/* A line per row: its key or word, and its numbers, with tabs between; nine digits say a float32.
 */
static int write_tsv(exporting_t *self, rub_error_t *err)
{
    walk_t walk = {0};
    rub_whole_file_t *file = NULL;
    int rc = begin_walk(self, &walk, err);
    rc = rc ? rc : rub_whole_file_open(self->path, &file, err);
    for (uint64_t i = 0; rc == 0 && i < walk.n; i++) {
        char digits[24];
        const char *name = NULL;
        const float *row = NULL;
        FILE *out = rub_whole_file_stream(file);
        rc = walk_row(&walk, i, digits, &name, &row, err);
        fputs(rc == 0 ? name : "", out);
        for (uint32_t k = 0; rc == 0 && k < walk.table->width; k++) {
            fprintf(out, "\t%.9g", (double)row[k]);
        }
        fputc('\n', out);
    }
    if (rc == 0) {
        self->n_numbers = walk.n * walk.table->width;
        rc = rub_whole_file_finish(&file, err);
    }
    rub_whole_file_abandon(&file);
    end_walk(&walk);
    return rc;
}

/* ---- all of it ---- */

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

/* What is not a file of tensors, as rows. */
static const struct {
    const char *name, *suffix;
    int (*write)(exporting_t *self, rub_error_t *err);
} others[] = {
    {"word2vec", ".txt", write_word2vec},
    {"word2vec-bin", ".bin", write_word2vec},
    {"tsv", ".tsv", write_tsv},
    {"onnx", ".onnx", write_onnx},
};

/* A name that ends in something else is a wish that we do not know. */
static int refuse_name(const char *path, const char *ending, rub_error_t *err)
{
    char names[200] = "";
    size_t n_tensors = 0;
    const rub_tensor_format_t *tensors = rub_tensor_formats(&n_tensors);
    for (size_t i = 0; i < n_tensors; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s, ", tensors[i].suffix);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(others); i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", others[i].suffix);
    }
    return rub_fail(err, RUB_ECONFIG,
                    "output '%s': no format ends in '%s'; expected %s, or --format", path, ending,
                    names);
}

/* By the file's name, unless told; safetensors for one without an ending. */
static int format_of(const rub_config_t *config, const char **format_p, rub_error_t *err)
{
    const char *told = rub_config_word(config, RUB_OPT_format);
    const rub_tensor_format_t *tensors = rub_tensor_format_of(config->output);
    const char *slash = strrchr(config->output, '/');
    const char *ending = strrchr(slash ? slash + 1 : config->output, '.');
    *format_p = tensors ? tensors->name : NULL;
    if (strcmp(told, "auto") != 0) {
        *format_p = told;
    }
    for (size_t i = 0; i < RUB_COUNT_OF(others) && !*format_p; i++) {
        *format_p = ends_with(config->output, others[i].suffix) ? others[i].name : NULL;
    }
    if (!*format_p && ending) {
        return refuse_name(config->output, ending, err);
    }
    *format_p = *format_p ? *format_p : "safetensors";
    return 0;
}

static void tell(const exporting_t *self, bool json)
{
    FILE *out = strcmp(self->path, "-") == 0 ? stderr : stdout;
    if (json) {
        json_t *said =
            json_pack("{s:s, s:s, s:s, s:I}", "from", self->model->from, "file", self->path,
                      "format", self->format, "numbers", (json_int_t)self->n_numbers);
        json_dumpf(said, out, JSON_COMPACT);
        fputc('\n', out);
        json_decref(said);
    } else {
        fprintf(out, "%s: %" PRIu64 " numbers from %s, as %s\n", self->path, self->n_numbers,
                self->model->from, self->format);
    }
}

static int write_model(const rub_trained_model_t *model, rub_error_t *err)
{
    const rub_config_t *config = &model->config;
    exporting_t self = {.model = model, .table = config->table, .path = config->output};
    char unnamed[64];
    int rc = format_of(config, &self.format, err);
    if (rc) {
        return rc;
    }
    const rub_tensor_format_t *tensors = rub_tensor_format_named(self.format);
    size_t other = 0;
    while (!tensors && strcmp(others[other].name, self.format) != 0) {
        other++; /* it is one of the option's words, so it is there */
    }
    if (!self.path[0]) {
        snprintf(unnamed, sizeof unnamed, "model%s",
                 tensors ? tensors->suffix : others[other].suffix);
        self.path = unnamed;
    }
    rc = tensors ? write_tensors(&self, tensors, err) : others[other].write(&self, err);
    if (rc == 0) {
        tell(&self, config->json);
    }
    return rc;
}

int rub_export_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    rub_trained_model_t model = {0};
    int rc = config->n_words == 1
                 ? rub_trained_model_open(config->words[0], config, &model, &err)
                 : rub_fail(&err, RUB_ECONFIG, "one run directory or snapshot is expected, not %u",
                            config->n_words);
    if (rc == 0) {
        rc = write_model(&model, &err);
        rub_trained_model_close(&model);
    }
    if (rc != 0) {
        fprintf(stderr, "rubato export: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
