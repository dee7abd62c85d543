/* Skip-gram with negative sampling (Mikolov et al., NIPS 2013), as matrix products (Ji et al.
 * 2016).
 *
 * For a pair of a word c and a neighbour w, with negatives n drawn from the unigrams:
 *
 *     loss = -log s(in_w . out_c) - sum over n of log s(-in_w . out_n),    s(x) = 1 / (1 + exp(-x))
 *
 * A block is RUB_SKIPGRAM_BLOCK words of the text in a row and one set of negatives for all their
 * pairs. Its neighbours' rows of `in` times its words' and negatives' rows of `out` are all scores
 * in one product; two more give both gradients. The shared set is larger than what a pair asks for
 * and counts less for it: `negatives` of RUB_SKIPGRAM_SHARED, so that gradients are the same on the
 * average, with a smaller variance. A negative that is the pair's own word does not count. All
 * steps of a block are taken at its end (SGD), block by block.
 *
 * Numbers: float32, row-major; no libm on the way to a weight. After rub_skipgram_new nothing
 * allocates. One thread at a time for one object. Blind to client and data. */
#ifndef RUB_SKIPGRAM_H
#define RUB_SKIPGRAM_H

#include "include/rubato.h"

#define RUB_SKIPGRAM_BLOCK 32u  /* words */
#define RUB_SKIPGRAM_SHARED 64u /* negatives of a block */
#define RUB_SKIPGRAM_WIDTH_LIMIT 4096u
#define RUB_SKIPGRAM_WINDOW_LIMIT 64u
#define RUB_SKIPGRAM_NEGATIVES_LIMIT 64u

typedef struct rub_skipgram rub_skipgram_t;

typedef struct rub_skipgram_spec {
    uint32_t width;     /* float32 in a vector */
    uint32_t window;    /* the farthest neighbour */
    uint32_t negatives; /* for each pair */
} rub_skipgram_spec_t;

/* 100, 5 and 5, as fastText and gensim have it. */
void rub_skipgram_spec_defaults(rub_skipgram_spec_t *spec);

/* *self_p is the caller's, NULL on failure. RUB_EINVAL: a number is 0 or above its limit.
 * RUB_ENOMEM. */
int rub_skipgram_new(const rub_skipgram_spec_t *spec, rub_skipgram_t **self_p, rub_error_t *err);
void rub_skipgram_destroy(rub_skipgram_t **self_p); /* NULL is fine */

/* A stretch of text. Row numbers are the caller's: of the arrays that hold the vectors. */
typedef struct rub_skipgram_text {
    size_t n_words;
    const uint32_t *in_rows;  /* of each word, in `in` */
    const uint32_t *out_rows; /* and in `out` */
    const uint8_t *before; /* how many neighbours in front and behind make pairs with the word; */
    const uint8_t *behind; /* <= window, and within the text */
    /* Rows of `out`: RUB_SKIPGRAM_SHARED for each block, blocks in order. */
    const uint32_t *negatives;
} rub_skipgram_text_t;

/* Blocks, the last may be shorter, of so many words. */
static inline size_t rub_skipgram_blocks(size_t n_words)
{
    return (n_words + RUB_SKIPGRAM_BLOCK - 1) / RUB_SKIPGRAM_BLOCK;
}

typedef struct rub_skipgram_loss {
    double sum;     /* over the pairs that were looked at: a block of every 64 */
    uint64_t pairs; /* these */
} rub_skipgram_loss_t;

/* Trains on the text: in and out (rows of width) move by lr against the gradient, block by block.
 * Adds to *loss. Values that are not finite come out as a loss that is not finite. */
void rub_skipgram_train(rub_skipgram_t *self, const rub_skipgram_text_t *text, float lr, float *in,
                        float *out, rub_skipgram_loss_t *loss);

/* The loss of all pairs alone; changes nothing. */
void rub_skipgram_evaluate(rub_skipgram_t *self, const rub_skipgram_text_t *text, const float *in,
                           const float *out, rub_skipgram_loss_t *loss);

#endif
