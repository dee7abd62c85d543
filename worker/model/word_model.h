/* Word vectors with negative sampling (Mikolov et al. 2013), as matrix products (Ji et al. 2016).
 *
 * A word c of the text, its neighbours w, and negatives n drawn from the unigrams:
 *
 *     skipgram   loss = sum over w of ( -log s(in_w . out_c) - sum over n of log s(-in_w . out_n) )
 *     cbow       loss = -log s(h . out_c) - sum over n of log s(-h . out_n),   h = mean of in_w
 *
 * with s(x) = 1 / (1 + exp(-x)); in_w is a row, or the mean of a row and those of the word's
 * n-grams (Bojanowski et al., TACL 2017). A block is RUB_WORD_BLOCK words of the text in a row and
 * one set of negatives for all of them: rows of `in` times rows of `out` are all scores in one
 * product; two more give both gradients. The shared set is larger than what is asked for and counts
 * less for it: `negatives` of RUB_WORD_SHARED, so that gradients are the same on the average, with
 * a smaller variance. A negative that is the word itself does not count. All steps of a block are
 * taken at its end (SGD), block by block.
 *
 * Numbers: float32, row-major; no libm on the way to a weight. After rub_word_model_new nothing
 * allocates. One thread at a time for one object. Blind to client and data. */
#ifndef RUB_WORD_MODEL_H
#define RUB_WORD_MODEL_H

#include "include/rubato.h"

#define RUB_WORD_BLOCK 32u  /* words */
#define RUB_WORD_SHARED 64u /* negatives of a block */
#define RUB_WORD_WIDTH_LIMIT 4096u
#define RUB_WORD_WINDOW_LIMIT 64u
#define RUB_WORD_NEGATIVES_LIMIT 64u

typedef struct rub_word_model rub_word_model_t;
typedef struct rub_word_kind rub_word_kind_t;

/* "skipgram" or "cbow"; NULL: no model of words is called that. */
const rub_word_kind_t *rub_word_kind_find(const char *name);

typedef struct rub_word_spec {
    const rub_word_kind_t *kind;
    uint32_t width;     /* float32 in a vector */
    uint32_t window;    /* the farthest neighbour */
    uint32_t negatives; /* for each pair of skipgram, each word of cbow */
} rub_word_spec_t;

/* *self_p is the caller's, NULL on failure. RUB_EINVAL: a number is 0 or above its limit.
 * RUB_ENOMEM. */
int rub_word_model_new(const rub_word_spec_t *spec, rub_word_model_t **self_p, rub_error_t *err);
void rub_word_model_destroy(rub_word_model_t **self_p); /* NULL is fine */

/* A stretch of text. Row numbers are the caller's: of the arrays that hold the vectors. */
typedef struct rub_word_text {
    size_t n_words;
    const uint32_t *in_rows;  /* of each word, in `in` */
    const uint32_t *out_rows; /* and in `out` */
    const uint8_t *before;    /* how many words in front and behind are neighbours of the word; */
    const uint8_t *behind;    /* <= window, and within the text */
    /* Rows of `out`: RUB_WORD_SHARED for each block, blocks in order. */
    const uint32_t *negatives;
    /* NULL: words are their rows alone. Else n-grams of the word with row r of `in` have the rows
     * grams[first_gram[r]] .. grams[first_gram[r + 1] - 1] of `grams`. */
    const size_t *first_gram;
    const uint32_t *grams;
} rub_word_text_t;

/* The vectors: rows of width. grams: NULL when the text has none. */
typedef struct rub_word_arrays {
    float *in, *out, *grams;
} rub_word_arrays_t;

/* A word's vector: the mean of its row (NULL: it has none, as a word that nobody trained) and those
 * of its n n-grams. out: width; zeros when there is nothing. */
void rub_word_compose(const float *row, const float *grams, const uint32_t *gram_rows, size_t n,
                      size_t width, float *out);

/* Blocks, the last may be shorter, of so many words. */
static inline size_t rub_word_blocks(size_t n_words)
{
    return (n_words + RUB_WORD_BLOCK - 1) / RUB_WORD_BLOCK;
}

typedef struct rub_word_loss {
    double sum;       /* over what was looked at: in training a block of every 64 */
    uint64_t n_terms; /* that many pairs of skipgram, or words of cbow that have neighbours */
} rub_word_loss_t;

/* Trains on the text: all vectors move by lr against the gradient, block by block; what is a part
 * of a mean (of cbow's h, of a word with n-grams) by lr against the gradient of the mean,
 * undivided, as in word2vec, fastText and gensim. Adds to *loss. Values that are not finite come
 * out as a loss that is not finite. */
void rub_word_model_train(rub_word_model_t *self, const rub_word_text_t *text, float lr,
                          const rub_word_arrays_t *arrays, rub_word_loss_t *loss);

/* The loss of all terms alone; changes nothing. */
void rub_word_model_evaluate(rub_word_model_t *self, const rub_word_text_t *text,
                             const rub_word_arrays_t *arrays, rub_word_loss_t *loss);

#endif
