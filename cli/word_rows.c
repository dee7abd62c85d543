/* Vectors at rest are looked up one n-gram at a time: a model that is asked for some words is not
 * laid out as a whole, and n-grams that nobody trained are what a first touch makes them, as they
 * would be in a job. */
#include "cli/word_rows.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/model/word_model.h"
#include "worker/train/word_tables.h"
#include "worker/train/words_task.h"

#include <string.h>

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory for vectors of words");
}

int rub_word_rows_open(const rub_trained_model_t *model, rub_word_rows_t *self, rub_error_t *err)
{
    const rub_weight_table_t *in = rub_weights_find(&model->weights, RUB_WORDS_IN_NAME);
    *self = (rub_word_rows_t){.words = model->words, .in = in};
    if (!in || in->dense || !model->words) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s has no vectors of words, entities or items, or its vocabulary was not "
                        "found (--vocabulary names it)",
                        model->from);
    }
    self->width = in->width;
    if (rub_weights_find(&model->weights, RUB_WORDS_NGRAMS_NAME)) {
        self->spec = rub_words_ngrams(&model->config);
        int rc =
            self->spec.buckets == 0
                ? rub_fail(err, RUB_ECONFIG,
                           "%s has n-grams, whose lengths its configuration does not say (maxn)",
                           model->from)
                : rub_subword_spec_check(&self->spec, err);
        rc = rc ? rc
                : rub_weights_expect(&model->weights, RUB_WORDS_NGRAMS_NAME, 0, self->width,
                                     &self->ngrams, err);
        if (rc) {
            return rc;
        }
    }
    self->ids = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof(*self->ids));
    self->order = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof(*self->order));
    self->word = rub_calloc(self->width, sizeof(*self->word));
    if (!self->ids || !self->order || !self->word) {
        rub_word_rows_close(self);
        return no_memory(err);
    }
    for (uint32_t i = 0; i < RUB_SUBWORDS_OF_LIMIT; i++) {
        self->order[i] = i;
    }
    return 0;
}

void rub_word_rows_close(rub_word_rows_t *self)
{
    rub_free(self->ids);
    rub_free(self->order);
    rub_free(self->word);
    rub_free(self->rows);
    *self = (rub_word_rows_t){0};
}

/* row: NULL for a word that has none. */
static int compose(rub_word_rows_t *self, const float *row, const char *word, size_t bytes,
                   float *out, size_t *n_p, rub_error_t *err)
{
    const size_t n = rub_subwords_of(&self->spec, word, bytes, self->ids);
    if (rub_grow(&self->rows, &self->rows_room, n * self->width + 1, sizeof(*self->rows)) != 0) {
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        const uint64_t key = self->ids[i];
        rub_weight_table_rows(self->ngrams, &key, 1, self->rows + i * self->width);
    }
    rub_word_compose(row, self->rows, self->order, n, self->width, out);
    *n_p = n;
    return 0;
}

int rub_word_rows_known(rub_word_rows_t *self, uint32_t number, float *out, rub_error_t *err)
{
    const char *word = rub_vocabulary_word(self->words, number);
    const uint64_t key = number;
    size_t n = 0;
    rub_weight_table_rows(self->in, &key, 1, self->ngrams ? self->word : out);
    return self->ngrams ? compose(self, self->word, word, strlen(word), out, &n, err) : 0;
}

int rub_word_rows_unknown(rub_word_rows_t *self, const char *word, size_t bytes, float *out,
                          rub_error_t *err)
{
    size_t n = 0;
    const bool fits = self->ngrams && bytes <= RUB_TEXT_WORD_LIMIT;
    const int rc = fits ? compose(self, NULL, word, bytes, out, &n, err) : 0;
    return rc || n > 0
               ? rc
               : rub_fail(err, RUB_EINVAL, "'%.*s' is none of the %zu words%s",
                          (int)(bytes < 100 ? bytes : 100), word, rub_vocabulary_size(self->words),
                          self->ngrams ? ", and has no n-grams" : "");
}

float *rub_word_rows_all(rub_word_rows_t *self, size_t more, rub_error_t *err)
{
    const size_t n = rub_vocabulary_size(self->words), width = self->width;
    float *rows = rub_calloc(n + more, width * sizeof(*rows));
    int rc = rows ? 0 : no_memory(err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = rub_word_rows_known(self, (uint32_t)i, rows + i * width, err);
    }
    if (rc) {
        rub_free(rows);
        rows = NULL;
    }
    return rows;
}
