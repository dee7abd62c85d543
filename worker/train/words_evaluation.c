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
    rub_word_model_destroy(&self->model);
}

/* All words' rows, by number. */
static int lay_out(const rub_evaluation_t *of, rub_word_table_t which, uint32_t width,
                   float **rows_p, rub_error_t *err)
{
    static const char *const names[] = {RUB_WORDS_IN_NAME, RUB_WORDS_OUT_NAME};
    const size_t n = rub_vocabulary_size(of->words);
    const rub_weight_table_t *table = NULL;
    int rc = rub_weights_expect(of->weights, names[which], 0, width, &table, err);
    uint64_t *keys = rc ? NULL : rub_calloc(n, sizeof(*keys));
    *rows_p = rc ? NULL : rub_alloc_aligned(64, n * width * sizeof(**rows_p));
    if (rc == 0 && (!keys || !*rows_p)) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for the vectors of %zu words", n);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        keys[i] = i;
    }
    if (rc == 0) {
        rub_weight_table_rows(table, keys, n, *rows_p);
    }
    rub_free(keys);
    return rc;
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
    for (int t = 0; t < RUB_WORD_TABLES && rc == 0; t++) {
        rc = lay_out(of, (rub_word_table_t)t, spec.width, &self->tables[t], err);
    }
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
        rub_word_sampler_slice(resting.sampler, resting.text, 0, first, count, resting.slice);
        rub_word_sampler_negatives(resting.sampler, 0, first,
                                   rub_word_blocks(slice->n_words) * RUB_WORD_SHARED,
                                   resting.negatives);
        const rub_word_text_t text = {.n_words = slice->n_words,
                                      .in_rows = slice->words,
                                      .out_rows = slice->words,
                                      .before = slice->before,
                                      .behind = slice->behind,
                                      .negatives = resting.negatives};
        rub_word_model_evaluate(resting.model, &text, resting.tables[RUB_WORDS_IN],
                                resting.tables[RUB_WORDS_OUT], &loss);
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
