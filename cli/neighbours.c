/* `rubato neighbours VECTORS|RUN|SNAPSHOT WORD...`: the words whose vectors point most nearly the
 * same way, by cosine, as fastText's nn and gensim's most_similar say them. One pass over all
 * vectors for each word; ties go to the word that stands first. A word that the text did not have
 * is asked for by its n-grams, where the model has them. Of a graph the words are its entities, of
 * ratings the items: by name, or by number where they have none. */
#include "cli/commands.h"
#include "cli/word_rows.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/knowledge_graph.h"
#include "worker/data/triple_reader.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_vectors.h"
#include "worker/train/graph_names.h"
#include "worker/train/graph_tables.h"
#include "worker/train/graph_task.h"
#include "worker/train/rating_tables.h"
#include "worker/train/ratings_task.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Vectors by number of word, of a file or of a model. */
typedef struct vectors {
    rub_word_vectors_t *file;
    rub_trained_model_t model;
    bool has_model;
    rub_word_rows_t composed;
    rub_knowledge_graph_t *graph; /* of a graph; else NULL */
    rub_vocabulary_t *names;      /* of items, or of entities without names; else NULL */
    const char *what;             /* they are called */
    const rub_vocabulary_t *words;
    const float *values;
    float *own;
    size_t n_words, width;
} vectors_t;

typedef struct neighbour {
    uint32_t word;
    double cosine;
} neighbour_t;

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/* Fills `nearest`, best first; returns how many there are. A vector of zeros is near to nobody. */
static size_t find_nearest(const vectors_t *vectors, const float *wanted, size_t most,
                           neighbour_t *nearest)
{
    const size_t width = vectors->width;
    const double length = sqrt(dot(wanted, wanted, width));
    size_t n = 0;
    for (uint32_t i = 0; i < vectors->n_words; i++) {
        const float *row = vectors->values + i * width;
        const double product = length * sqrt(dot(row, row, width));
        if (row == wanted || product == 0) {
            continue;
        }
        const neighbour_t found = {i, dot(wanted, row, width) / product};
        size_t at = n < most ? n++ : most;
        for (; at > 0 && nearest[at - 1].cosine < found.cosine; at--) {
            if (at < most) {
                nearest[at] = nearest[at - 1];
            }
        }
        if (at < most) {
            nearest[at] = found;
        }
    }
    return n;
}

static void print(const vectors_t *vectors, const char *word, const neighbour_t *nearest, size_t n,
                  bool json)
{
    json_t *row = json ? json_pack("{s:s, s:[]}", "word", word, "neighbours") : NULL;
    if (!json) {
        printf("%s\n", word);
    }
    for (size_t i = 0; i < n; i++) {
        const char *other = rub_vocabulary_word(vectors->words, nearest[i].word);
        if (json) {
            json_array_append_new(
                json_object_get(row, "neighbours"),
                json_pack("{s:s, s:f}", "word", other, "cosine", nearest[i].cosine));
        } else {
            printf("  %-24s %.4f\n", other, nearest[i].cosine);
        }
    }
    if (json) {
        json_dumpf(row, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(row);
    }
}

static int name_by_number(vectors_t *self, size_t n, rub_error_t *err)
{
    self->names = rub_vocabulary_new();
    self->words = self->names;
    int rc = self->names ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for names");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char digits[24];
        uint32_t number = 0;
        const int bytes = snprintf(digits, sizeof digits, "%zu", i);
        rc = rub_vocabulary_add(self->names, digits, (size_t)bytes, &number, err);
    }
    return rc;
}

/* Rows of a table by number; what nobody has pushed has no direction yet, so it stays 0. */
static int take_rows(vectors_t *self, const char *table_name, size_t n, rub_error_t *err)
{
    const rub_weight_table_t *table = rub_weights_find(&self->model.weights, table_name);
    if (!table || table->dense) {
        return rub_fail(err, RUB_ECONFIG, "%s has no table '%s'", self->model.from, table_name);
    }
    self->n_words = n;
    self->width = table->width;
    self->own = rub_calloc(n + 1, table->width * sizeof(*self->own));
    self->values = self->own;
    for (uint64_t i = 0; self->own && i < table->n_rows; i++) {
        if (table->keys[i] < n) {
            memcpy(self->own + table->keys[i] * table->width, table->values + i * table->width,
                   table->width * sizeof(*self->own));
        }
    }
    return self->own ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %zu vectors", n);
}

/* Names stand in the files that the run was trained on, which are read again. */
static int take_graph(vectors_t *self, rub_error_t *err)
{
    int rc = rub_graph_task_read(&self->model.config, &self->graph, err);
    rc = rc ? rc : rub_graph_names_check(&self->model.config, self->graph, err);
    self->what = "entities";
    if (rc == 0 && rub_vocabulary_size(self->graph->entities) == 0) {
        rc = name_by_number(self, self->graph->n_entities, err);
    } else if (rc == 0) {
        self->words = self->graph->entities;
    }
    return rc ? rc : take_rows(self, RUB_GRAPH_ENTITIES_NAME, self->graph->n_entities, err);
}

static int take_items(vectors_t *self, rub_error_t *err)
{
    char path[PATH_MAX + 32];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/" RUB_RATING_ITEMS_FILE, self->model.run_dir);
    self->names = rub_vocabulary_new();
    self->words = self->names;
    self->what = "items";
    int rc = !self->names ? rub_fail(err, RUB_ENOMEM, "no memory for names")
             : !self->model.run_dir[0] || !rub_fs_exists(path)
                 ? rub_fail(err, RUB_ECONFIG,
                            "which items the rows of %s are is not known: " RUB_RATING_ITEMS_FILE
                            " of its run is not there",
                            self->model.from)
                 : rub_triple_reader_dictionary(path, self->names, &n, err);
    return rc ? rc : take_rows(self, RUB_RATING_ITEMS_NAME, n, err);
}

static int take_model(const rub_config_t *config, vectors_t *self, rub_error_t *err)
{
    int rc = rub_trained_model_open(config->words[0], config, &self->model, err);
    self->has_model = rc == 0;
    if (rc == 0 && rub_graph_task_wanted(&self->model.config)) {
        return take_graph(self, err);
    }
    if (rc == 0 && rub_ratings_task_wanted(&self->model.config)) {
        return take_items(self, err);
    }
    rc = rc ? rc : rub_word_rows_open(&self->model, &self->composed, err);
    if (rc) {
        return rc;
    }
    self->words = self->model.words;
    self->n_words = rub_vocabulary_size(self->words);
    self->width = self->composed.width;
    self->own = rub_word_rows_all(&self->composed, 1, err);
    self->values = self->own;
    return self->own ? 0 : RUB_ENOMEM;
}

static int take(const rub_config_t *config, vectors_t *self, rub_error_t *err)
{
    const char *path = config->words[0];
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return take_model(config, self, err);
    }
    if (config->best) {
        return rub_fail(err, RUB_ECONFIG, "best: '%s' is no run, which alone has a best epoch",
                        path);
    }
    if (config->vocabulary[0]) {
        return rub_fail(err, RUB_ECONFIG, "vocabulary: '%s', but '%s' has its words itself",
                        config->vocabulary, path);
    }
    const int rc = rub_word_vectors_open(path, rub_vectors_file_is_binary(path), &self->file, err);
    if (rc == 0) {
        self->words = self->file->words;
        self->values = self->file->values;
        self->n_words = self->file->n_words;
        self->width = self->file->width;
    }
    return rc;
}

static void let_go(vectors_t *self)
{
    rub_word_vectors_close(&self->file);
    rub_word_rows_close(&self->composed);
    rub_knowledge_graph_close(&self->graph);
    rub_vocabulary_destroy(&self->names);
    if (self->has_model) {
        rub_trained_model_close(&self->model);
    }
    rub_free(self->own);
}

/* The vector of a word, known or not. */
static int find(vectors_t *self, const char *path, const char *word, const float **wanted_p,
                rub_error_t *err)
{
    const uint32_t number = rub_vocabulary_find(self->words, word, strlen(word));
    if (number != RUB_NO_WORD) {
        *wanted_p = self->values + number * self->width;
        return 0;
    }
    if (!self->composed.ngrams) {
        return rub_fail(err, RUB_EINVAL, "'%s' is none of the %zu %s of %s", word, self->n_words,
                        self->what, path);
    }
    float *behind = self->own + self->n_words * self->width;
    *wanted_p = behind;
    return rub_word_rows_unknown(&self->composed, word, strlen(word), behind, err);
}

static int answer(const rub_config_t *config, vectors_t *vectors, neighbour_t *nearest,
                  rub_error_t *err)
{
    int rc = 0;
    for (uint32_t i = 1; i < config->n_words && rc == 0; i++) {
        const float *wanted = NULL;
        rc = find(vectors, config->words[0], config->words[i], &wanted, err);
        if (rc == 0) {
            const size_t n = find_nearest(vectors, wanted, (size_t)config->nearest, nearest);
            print(vectors, config->words[i], nearest, n, config->json);
        }
    }
    return rc;
}

int rub_neighbours_main(rub_config_t *config)
{
    rub_error_t err = {0};
    vectors_t vectors = {.what = "words"};
    neighbour_t *nearest = rub_calloc((size_t)config->nearest, sizeof(*nearest));
    int rc = nearest ? 0 : rub_fail(&err, RUB_ENOMEM, "no memory for neighbours");
    if (rc == 0 && config->n_words < 2) {
        rc =
            rub_fail(&err, RUB_EINVAL,
                     "a file of vectors or a run, and at least one word, entity or item of it, are "
                     "expected");
    }
    rc = rc ? rc : take(config, &vectors, &err);
    rc = rc ? rc : answer(config, &vectors, nearest, &err);
    let_go(&vectors);
    rub_free(nearest);
    if (rc) {
        fprintf(stderr, "rubato neighbours: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
