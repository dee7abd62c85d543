/* The local loop of word vectors: words are rows, so that nothing is looked up, copied or moved but
 * what the model itself does. What a fleet adds to that is what `rubato bench train` shows. */
#include "worker/train/words_local.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/train/local_table.h"
#include "worker/train/word_tables.h"

#include <math.h>

typedef struct local {
    const rub_words_task_t *task;
    size_t batch_tokens;
    rub_word_sampler_t *sampler;
    rub_word_slice_t *slice;
    uint32_t *negatives;
    float *tables[RUB_WORD_TABLES];
} local_t;

static int make_tables(local_t *self, uint64_t seed, rub_error_t *err)
{
    const size_t n_words = rub_vocabulary_size(self->task->train->vocabulary);
    const rub_subwords_t *subwords = self->task->subwords;
    rub_delta_table_t tables[RUB_WORD_TABLES];
    const size_t n = rub_word_tables(self->task->spec.width, n_words, self->task->ngrams.buckets,
                                     &self->task->update, tables);
    for (size_t t = 0; t < n; t++) {
        self->tables[t] = t == RUB_WORDS_NGRAMS ? rub_local_rows_new(&tables[t], subwords->buckets,
                                                                     subwords->n_buckets, seed, err)
                                                : rub_local_table_new(&tables[t], seed, err);
        if (!self->tables[t]) {
            return RUB_ENOMEM;
        }
    }
    return 0;
}

static int prepare(local_t *self, uint64_t seed, rub_error_t *err)
{
    const rub_words_task_t *task = self->task;
    const size_t blocks = rub_word_blocks(self->batch_tokens);
    const int rc = rub_word_sampler_new(task->train->vocabulary, task->spec.window, task->sample,
                                        seed, &self->sampler, err);
    if (rc) {
        return rc;
    }
    self->slice = rub_word_slice_new(self->batch_tokens);
    self->negatives = rub_calloc(blocks * RUB_WORD_SHARED, sizeof(*self->negatives));
    if (!self->slice || !self->negatives) {
        return rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu tokens",
                        self->batch_tokens);
    }
    return make_tables(self, seed, err);
}

static void train(local_t *self, uint64_t epoch, size_t first, size_t count, rub_word_loss_t *loss)
{
    const rub_words_task_t *task = self->task;
    const rub_word_slice_t *slice = self->slice;
    rub_word_sampler_slice(self->sampler, task->train, task->sampling, epoch, first, count,
                           self->slice);
    rub_word_sampler_negatives(self->sampler, epoch, first,
                               rub_word_blocks(slice->n_words) * RUB_WORD_SHARED, self->negatives);
    const rub_word_text_t text = rub_word_slice_text(slice, self->negatives, task->subwords);
    const rub_word_arrays_t arrays = {.in = self->tables[RUB_WORDS_IN],
                                      .out = self->tables[RUB_WORDS_OUT],
                                      .grams = self->tables[RUB_WORDS_NGRAMS]};
    rub_word_model_train(task->model, &text, rub_words_task_rate(task, epoch, first), &arrays,
                         loss);
}

int rub_words_local_run(const rub_words_task_t *task, uint64_t batch_tokens, uint64_t seed,
                        double *tokens_per_s_p, double *loss_p, rub_error_t *err)
{
    local_t self = {.task = task, .batch_tokens = (size_t)batch_tokens};
    const size_t n = task->train->n_tokens;
    rub_word_loss_t loss = {0};
    int rc = prepare(&self, seed, err);
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < task->epochs && rc == 0; epoch++) {
        loss = (rub_word_loss_t){0};
        for (size_t first = 0; first < n; first += self.batch_tokens) {
            const size_t left = n - first;
            train(&self, epoch, first, left < self.batch_tokens ? left : self.batch_tokens, &loss);
        }
        if (!isfinite(loss.sum)) {
            rc = rub_fail(err, RUB_EDIVERGED,
                          "the loss of epoch %llu is not finite; try a smaller lr",
                          (unsigned long long)epoch);
        }
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    *tokens_per_s_p = (double)(task->epochs * n) / (seconds > 0 ? seconds : 1);
    *loss_p = loss.n_terms > 0 ? loss.sum / (double)loss.n_terms : 0;
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        rub_free(self.tables[t]);
    }
    rub_free(self.negatives);
    rub_word_slice_destroy(&self.slice);
    rub_word_sampler_destroy(&self.sampler);
    return rc;
}
