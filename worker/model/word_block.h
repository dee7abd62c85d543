/* What the models of words are to worker/model/word_model.c: three functions over one block of the
 * text, whose rows are gathered before them and whose steps are added to the tables behind them.
 * For worker/model alone. */
#ifndef RUB_WORD_BLOCK_H
#define RUB_WORD_BLOCK_H

#include "worker/model/word_model.h"

/* Where a block lies in its text. */
typedef struct rub_word_block {
    size_t first, n_words;        /* its words */
    size_t first_input, n_inputs; /* and theirs neighbours */
    const uint32_t *negatives;    /* RUB_WORD_SHARED */
    const rub_word_text_t *text;
} rub_word_block_t;

/* Matrices have a row of `width` for each input (a word of the text that may be a neighbour of the
 * block's), and for each output (the block's words, then its negatives). */
struct rub_word_model {
    rub_word_spec_t spec;
    size_t inputs_limit;
    float *inputs, *outputs;           /* rows of the tables */
    float *input_steps, *output_steps; /* what is added to them at the block's end */
    float *scores;   /* inputs_limit x (RUB_WORD_BLOCK + RUB_WORD_SHARED): the kind's */
    float *means;    /* RUB_WORD_BLOCK x width: of cbow */
    float *own;      /* RUB_WORD_BLOCK: of cbow */
    uint32_t *pairs; /* of each input: of skipgram */
};

struct rub_word_kind {
    const char *name;
    /* Scores of the block, from inputs and outputs. */
    void (*score)(rub_word_model_t *self, const rub_word_block_t *block);
    /* Adds the loss at these scores. */
    void (*add_loss)(const rub_word_model_t *self, const rub_word_block_t *block,
                     rub_word_loss_t *loss);
    /* Scores become steps: all of input_steps and output_steps. */
    void (*step)(rub_word_model_t *self, const rub_word_block_t *block, float lr);
};

extern const rub_word_kind_t rub_word_skipgram, rub_word_cbow;

/* -log s(x), and 0.69 at 0; NaN stays NaN. */
double rub_word_term(double x);

#endif
