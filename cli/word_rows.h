/* Vectors of a trained model's words, as people want them: a word's row, or, where words have
 * n-grams, the mean of it and theirs (worker/model/word_model.h), which words that no text had have
 * as well. One thread. */
#ifndef RUB_WORD_ROWS_H
#define RUB_WORD_ROWS_H

#include "cli/trained_model.h"
#include "worker/data/subwords.h"

typedef struct rub_word_rows {
    const rub_vocabulary_t *words;
    const rub_weight_table_t *in, *ngrams; /* ngrams NULL: words have none */
    rub_subword_spec_t spec;
    uint32_t width;
    uint32_t *ids, *order; /* scratch for the n-grams of a word */
    float *word, *rows;
    size_t rows_room;
} rub_word_rows_t;

/* Borrows the model until close. RUB_ECONFIG: it has no word vectors, or its vocabulary was not
 * found; RUB_ENOMEM. */
int rub_word_rows_open(const rub_trained_model_t *model, rub_word_rows_t *self, rub_error_t *err);
void rub_word_rows_close(rub_word_rows_t *self); /* also a zeroed one */

/* The vector of word `number` of the vocabulary into out (width). RUB_ENOMEM. */
int rub_word_rows_known(rub_word_rows_t *self, uint32_t number, float *out, rub_error_t *err);
/* The same of any word (not terminated) by its n-grams alone. RUB_EINVAL: words have none, or this
 * one has none or is too long; RUB_ENOMEM. */
int rub_word_rows_unknown(rub_word_rows_t *self, const char *word, size_t bytes, float *out,
                          rub_error_t *err);

/* All words of the vocabulary, n x width, with room for `more` vectors behind them: the caller's
 * (rub_free), NULL with the reason in err. */
float *rub_word_rows_all(rub_word_rows_t *self, size_t more, rub_error_t *err);

#endif
