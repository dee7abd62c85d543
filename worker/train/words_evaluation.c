/* Held-out text is sampled as a validation samples it (data epoch 0, the run's seed, stretches of
 * the run's batch), and words are rows of arrays, so that nothing is looked up. */
#include "worker/train/words_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/word_sampler.h"
#include "worker/model/word_model.h"
#include "worker/train/word_tables.h"
#include "worker/train/words_task.h"

typedef struct resting {
    rub_word_model_t *model;
    rub_corpus_t *text;
    rub_subwords_t *subwords; /* NULL: none */
    rub_word_sampler_t *sampler;
    rub_word_slice_t *slice;
    uint32_t *negatives;
    float *tables[RUB_WORD_TABLES];
} resting_t;

static void resting_close(resting_t *self)
{
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        rub_free(self->tables[t]);
    }
    rub_free(self->negatives);
    rub_word_slice_destroy(&self->slice);
    rub_word_sampler_destroy(&self->sampler);
    rub_corpus_close(&self->text);
    rub_subwords_destroy(&self->subwords);
    rub_word_model_destroy(&self->model);
}

/* The rows of n keys, or (NULL) of 0 to n - 1. */
static int lay_out(const rub_evaluation_t *of, const char *name, uint32_t width,
                   const uint64_t *keys, size_t n, float **rows_p, rub_error_t *err)
{
    const rub_weight_table_t *table = NULL;
    int rc = rub_weights_expect(of->weights, name, 0, width, &table, err);
    *rows_p = rc ? NULL : rub_alloc_aligned(64, n * width * sizeof(**rows_p));
    if (rc == 0 && !*rows_p) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for %zu rows of '%s'", n, name);
    }
    if (rc == 0 && keys) {
        rub_weight_table_rows(table, keys, n, *rows_p);
    }
    for (uint64_t i = 0; rc == 0 && !keys && i < n; i++) {
        rub_weight_table_rows(table, &i, 1, *rows_p + i * width);
    }
    return rc;
}

static int lay_out_all(const rub_evaluation_t *of, uint32_t width, resting_t *self,
                       rub_error_t *err)
{
    const size_t n = rub_vocabulary_size(of->words);
    int rc = lay_out(of, RUB_WORDS_IN_NAME, width, NULL, n, &self->tables[RUB_WORDS_IN], err);
    rc = rc ? rc
            : lay_out(of, RUB_WORDS_OUT_NAME, width, NULL, n, &self->tables[RUB_WORDS_OUT], err);
    if (rc == 0 && self->subwords) {
        rc = lay_out(of, RUB_WORDS_NGRAMS_NAME, width, self->subwords->buckets,
                     self->subwords->n_buckets, &self->tables[RUB_WORDS_NGRAMS], err);
    }
    return rc;
}

static int open_subwords(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    const rub_subword_spec_t spec = rub_words_ngrams(of->config);
    return rub_subwords_new(&spec, of->words, &self->subwords, err);
}

static int resting_open(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    const rub_config_t *config = of->config;
    const rub_word_spec_t spec = rub_words_spec(config);
    const size_t stretch = (size_t)config->batch;
    if (!of->words) {
        return rub_fail(err, RUB_ECONFIG,
                        "the run's " RUB_VOCABULARY_FILE " was not found: --vocabulary names it");
    }
    int rc = rub_word_model_new(&spec, &self->model, err);
    rc = rc ? rc : rub_corpus_open_with(of->data, of->words, &self->text, err);
    rc = rc ? rc
            : rub_word_sampler_new(of->words, spec.window, config->sample, config->seed,
                                   &self->sampler, err);
    self->slice = rc ? NULL : rub_word_slice_new(stretch);
    self->negatives =
        rc ? NULL
           : rub_calloc(rub_word_blocks(stretch) * RUB_WORD_SHARED, sizeof(*self->negatives));
    if (rc == 0 && (!self->slice || !self->negatives)) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for stretches of %zu tokens", stretch);
    }
    rc = rc || of->config->maxn == 0 ? rc : open_subwords(of, self, err);
    rc = rc ? rc : lay_out_all(of, spec.width, self, err);
    return rc;
}

int rub_words_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t resting = {0};
    rub_word_loss_t loss = {0};
    const size_t stretch = (size_t)self->config->batch;
    const int rc = resting_open(self, &resting, err);
    const size_t n = rc ? 0 : resting.text->n_tokens;
    for (size_t first = 0; first < n; first += stretch) {
        const rub_word_slice_t *slice = resting.slice;
        const size_t count = n - first < stretch ? n - first : stretch;
        rub_word_sampler_slice(resting.sampler, resting.text, RUB_IN_ORDER, 0, first, count,
                               resting.slice);
        rub_word_sampler_negatives(resting.sampler, 0, first,
                                   rub_word_blocks(slice->n_words) * RUB_WORD_SHARED,
                                   resting.negatives);
        const rub_word_text_t text =
            rub_word_slice_text(slice, resting.negatives, resting.subwords);
        const rub_word_arrays_t arrays = {.in = resting.tables[RUB_WORDS_IN],
                                          .out = resting.tables[RUB_WORDS_OUT],
                                          .grams = resting.tables[RUB_WORDS_NGRAMS]};
        rub_word_model_evaluate(resting.model, &text, &arrays, &loss);
    }
    if (rc == 0) {
        measures[0] =
            (rub_measure_t){"loss", loss.n_terms > 0 ? loss.sum / (double)loss.n_terms : 0};
        *n_measures_p = 1;
        *n_examples_p = n;
    }
    resting_close(&resting);
    return rc;
}
