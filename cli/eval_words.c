/* Similarity: the cosines of pairs of words, ranked, against their ranks in men's judgement.
 * Analogy: 3CosAdd over all words that there are, per section and over all, as gensim and word2vec
 * count it. What the vocabulary lacks is made of n-grams where the
 * model has them, else left out, and how much that was is said. */
#include "cli/eval_words.h"

#include "cli/result.h"
#include "cli/trained_model.h"
#include "cli/word_rows.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_tests.h"
#include "worker/data/word_vectors.h"
#include "worker/model/model.h"
#include "worker/model/word_score.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Unit vectors by number of word, wherever they are from. */
typedef struct vectors {
    rub_word_vectors_t *file;
    rub_trained_model_t model;
    rub_word_rows_t composed;
    rub_vocabulary_t
        *unknown; /* words of a test that the model makes of n-grams; NULL: it can not */
    bool has_model;
    const rub_vocabulary_t *words;
    float *rows; /* of the file, or own */
    float *own;
    size_t n, width;
} vectors_t;

static int take_file(const char *path, vectors_t *self, rub_error_t *err)
{
    const int rc = rub_word_vectors_open(path, rub_vectors_file_is_binary(path), &self->file, err);
    if (rc == 0) {
        self->words = self->file->words;
        self->rows = self->file->values;
        self->n = self->file->n_words;
        self->width = self->file->width;
    }
    return rc;
}

static int take_model(const rub_config_t *config, vectors_t *self, rub_error_t *err)
{
    int rc = rub_trained_model_open(config->words[0], config, &self->model, err);
    if (rc) {
        return rc;
    }
    self->has_model = true;
    rc = rub_word_rows_open(&self->model, &self->composed, err);
    if (rc) {
        return rc;
    }
    self->words = self->model.words;
    self->n = rub_vocabulary_size(self->words);
    self->width = self->composed.width;
    self->own = rub_word_rows_all(&self->composed, 0, err);
    self->rows = self->own;
    return self->own ? 0 : RUB_ENOMEM;
}

static void let_go(vectors_t *self)
{
    rub_vocabulary_destroy(&self->unknown);
    rub_word_vectors_close(&self->file);
    rub_word_rows_close(&self->composed);
    if (self->has_model) {
        rub_trained_model_close(&self->model);
    }
    rub_free(self->own);
}

/* Before a test is read: its unknown words are its own. */
static int expect_unknown(vectors_t *self, rub_error_t *err)
{
    rub_vocabulary_destroy(&self->unknown);
    if (!self->composed.ngrams) {
        return 0;
    }
    self->unknown = rub_vocabulary_new();
    return self->unknown ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for words");
}

/* Vectors of the unknown words, behind those of the known. One without n-grams is nobody's. */
static int add_unknown(vectors_t *self, rub_error_t *err)
{
    const size_t more = self->unknown ? rub_vocabulary_size(self->unknown) : 0;
    const size_t floats = self->n * self->width;
    if (more == 0) {
        return 0;
    }
    float *rows = rub_calloc(self->n + more, self->width * sizeof(*rows));
    if (!rows) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu vectors", self->n + more);
    }
    memcpy(rows, self->own, floats * sizeof(*rows));
    rub_free(self->own);
    self->own = self->rows = rows;
    int rc = 0;
    for (uint32_t i = 0; i < more && rc == 0; i++) {
        const char *word = rub_vocabulary_word(self->unknown, i);
        rc = rub_word_rows_unknown(&self->composed, word, strlen(word),
                                   rows + floats + i * self->width, err);
        rc = rc == RUB_EINVAL ? 0 : rc;
    }
    rub_rows_normalize(rows + floats, more, self->width);
    return rc;
}

/* ---- similarity ---- */

static int measure_pairs(vectors_t *vectors, const char *path, json_t *said, rub_error_t *err)
{
    rub_word_pairs_t pairs;
    double rho = 0;
    int rc = expect_unknown(vectors, err);
    rc = rc ? rc : rub_word_pairs_open(path, vectors->words, vectors->unknown, &pairs, err);
    if (rc) {
        return rc;
    }
    double *cosines = rub_calloc(pairs.n, sizeof(*cosines));
    rc = add_unknown(vectors, err);
    rc = rc ? rc : cosines ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %zu pairs", pairs.n);
    for (size_t i = 0; rc == 0 && i < pairs.n; i++) {
        const float *a = vectors->rows + pairs.words[i][0] * vectors->width;
        const float *b = vectors->rows + pairs.words[i][1] * vectors->width;
        for (size_t k = 0; k < vectors->width; k++) {
            cosines[i] += (double)a[k] * (double)b[k];
        }
    }
    rc = rc ? rc : rub_spearman(cosines, pairs.scores, pairs.n, &rho, err);
    if (rc == 0) {
        json_object_set_new(said, "similarity",
                            json_pack("{s:f, s:I, s:I}", "spearman", rho, "pairs",
                                      (json_int_t)pairs.n, "left_out",
                                      (json_int_t)pairs.n_left_out));
    }
    rub_free(cosines);
    rub_word_pairs_close(&pairs);
    return rc;
}

/* ---- analogy ---- */

static json_t *section_json(const char *name, size_t right, size_t n)
{
    return json_pack("{s:s, s:I, s:I, s:f}", "section", name, "right", (json_int_t)right,
                     "questions", (json_int_t)n, "accuracy",
                     n > 0 ? (double)right / (double)n : 0.0);
}

static json_t *count_right(const rub_analogies_t *analogies, const uint32_t *answers)
{
    size_t all = 0;
    json_t *sections = json_array();
    for (size_t s = 0; s < analogies->n_sections; s++) {
        size_t right = 0, n = 0;
        for (size_t i = 0; i < analogies->n; i++) {
            if (analogies->sections[i] == s) {
                right += answers[i] == analogies->words[i][3];
                n++;
            }
        }
        all += right;
        if (n > 0) {
            json_array_append_new(sections, section_json(analogies->names[s], right, n));
        }
    }
    json_t *whole = section_json("all", all, analogies->n);
    json_object_del(whole, "section");
    json_object_set_new(whole, "left_out", json_integer((json_int_t)analogies->n_left_out));
    json_object_set_new(whole, "sections", sections);
    return whole;
}

static int measure_analogies(vectors_t *vectors, const char *path, json_t *said, rub_error_t *err)
{
    rub_analogies_t analogies;
    int rc = expect_unknown(vectors, err);
    rc = rc ? rc : rub_analogies_open(path, vectors->words, vectors->unknown, &analogies, err);
    if (rc) {
        return rc;
    }
    uint32_t *answers = rub_calloc(analogies.n, sizeof(*answers));
    rc = add_unknown(vectors, err);
    rc = rc        ? rc
         : answers ? rub_analogies_answer(vectors->rows, vectors->n, vectors->width,
                                          analogies.words[0], 4, analogies.n, answers, err)
                   : rub_fail(err, RUB_ENOMEM, "no memory for %zu analogies", analogies.n);
    if (rc == 0) {
        json_object_set_new(said, "analogy", count_right(&analogies, answers));
    }
    rub_free(answers);
    rub_analogies_close(&analogies);
    return rc;
}

/* ---- saying it ---- */

static double real_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static long long count_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void tell(const json_t *said)
{
    const json_t *similarity = json_object_get(said, "similarity");
    const json_t *analogy = json_object_get(said, "analogy");
    const json_t *section;
    size_t i;
    if (similarity) {
        printf("similarity     %.4f (Spearman) over %lld pairs, %lld left out\n",
               real_of(similarity, "spearman"), count_of(similarity, "pairs"),
               count_of(similarity, "left_out"));
    }
    if (analogy) {
        printf("analogy        %.4f: %lld of %lld questions, %lld left out\n",
               real_of(analogy, "accuracy"), count_of(analogy, "right"),
               count_of(analogy, "questions"), count_of(analogy, "left_out"));
        json_array_foreach(json_object_get(analogy, "sections"), i, section)
        {
            printf("  %-28s %.4f (%lld of %lld)\n",
                   json_string_value(json_object_get(section, "section")),
                   real_of(section, "accuracy"), count_of(section, "right"),
                   count_of(section, "questions"));
        }
    }
}

int rub_eval_words(const rub_config_t *config, rub_error_t *err)
{
    vectors_t vectors = {0};
    struct stat info;
    const char *path = config->words[0];
    json_t *said = json_object();
    rub_model_threads((unsigned)config->blas_threads);
    int rc = stat(path, &info) == 0 && S_ISREG(info.st_mode) ? take_file(path, &vectors, err)
                                                             : take_model(config, &vectors, err);
    if (rc == 0) {
        rub_rows_normalize(vectors.rows, vectors.n, vectors.width);
    }
    if (rc == 0 && config->pairs[0]) {
        rc = measure_pairs(&vectors, config->pairs, said, err);
    }
    if (rc == 0 && config->analogies[0]) {
        rc = measure_analogies(&vectors, config->analogies, said, err);
    }
    if (rc == 0 && config->json) {
        json_dumpf(said, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
        fputc('\n', stdout);
    } else if (rc == 0) {
        tell(said);
    }
    let_go(&vectors);
    json_decref(said);
    return rc;
}
