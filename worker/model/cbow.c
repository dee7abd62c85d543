/* CBOW by blocks: a word from the mean of its neighbours.
 *
 * h of each word of the block times the negatives is one matrix product, h times the word's own row
 * a number for each word; both gradients are two more products. A word without neighbours has an h
 * of 0 and takes no part.
 *
 * A neighbour's step is the one of h, not its share of it (1 / neighbours): h then moves by about
 * lr against its gradient, as an input of skip-gram does, however many neighbours there are. So do
 * word2vec, fastText and gensim; Irsoy et al. (2021) divide, and need larger rates for it. */
#include "common/num/kernels.h"
#include "common/num/logistic_loops.h"
#include "worker/model/word_block.h"

#include <cblas.h>
#include <string.h>

enum { SHARED = RUB_WORD_SHARED };

static size_t neighbours_of(const rub_word_block_t *block, size_t j)
{
    const rub_word_text_t *text = block->text;
    return (size_t)text->before[block->first + j] + text->behind[block->first + j];
}

/* The inputs that are neighbours of word j of the block: [*first_p, *behind_p), but *self_p. */
static void window_of(const rub_word_block_t *block, size_t j, size_t *first_p, size_t *self_p,
                      size_t *behind_p)
{
    const size_t word = block->first + j;
    *self_p = word - block->first_input;
    *first_p = *self_p - block->text->before[word];
    *behind_p = *self_p + block->text->behind[word] + 1;
}

static void average(rub_word_model_t *self, const rub_word_block_t *block)
{
    const size_t width = self->spec.width;
    memset(self->means, 0, block->n_words * width * sizeof *self->means);
    for (size_t j = 0; j < block->n_words; j++) {
        float *mean = self->means + j * width;
        size_t first = 0, own = 0, behind = 0;
        window_of(block, j, &first, &own, &behind);
        for (size_t i = first; i < behind; i++) {
            if (i != own) {
                rub_add_into(mean, self->inputs + i * width, width);
            }
        }
        const size_t n = neighbours_of(block, j);
        rub_scale(mean, width, n > 0 ? 1.0f / (float)n : 0.0f);
    }
}

/* h against the negatives (scores: words x SHARED), and against the word's own row (own). */
static void score(rub_word_model_t *self, const rub_word_block_t *block)
{
    const size_t width = self->spec.width;
    const float *negatives = self->outputs + block->n_words * width;
    average(self, block);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)block->n_words, SHARED, (int)width,
                1.0f, self->means, (int)width, negatives, (int)width, 0.0f, self->scores, SHARED);
    for (size_t j = 0; j < block->n_words; j++) {
        self->own[j] =
            cblas_sdot((int)width, self->means + j * width, 1, self->outputs + j * width, 1);
    }
}

static void add_loss(const rub_word_model_t *self, const rub_word_block_t *block,
                     rub_word_loss_t *loss)
{
    const double share = (double)self->spec.negatives / SHARED;
    for (size_t j = 0; j < block->n_words; j++) {
        const float *scores = self->scores + j * SHARED;
        if (neighbours_of(block, j) == 0) {
            continue;
        }
        loss->sum += rub_word_term((double)self->own[j]);
        loss->n_terms++;
        for (size_t k = 0; k < SHARED; k++) {
            if (block->negatives[k] != block->text->out_rows[block->first + j]) {
                loss->sum += share * rub_word_term(-(double)scores[k]);
            }
        }
    }
}

/* Scores become lr times what the loss falls with them. */
static void scores_to_steps(rub_word_model_t *self, const rub_word_block_t *block, float lr)
{
    const rub_logistic_loops_t *loops = rub_logistic_loops();
    const float share = lr * (float)self->spec.negatives / (float)SHARED;
    loops->residual(self->scores, block->n_words * SHARED, 0.0f, share);
    loops->residual(self->own, block->n_words, 1.0f, lr);
    for (size_t j = 0; j < block->n_words; j++) {
        const uint32_t word = block->text->out_rows[block->first + j];
        float *steps = self->scores + j * SHARED;
        if (neighbours_of(block, j) == 0) {
            memset(steps, 0, SHARED * sizeof *steps);
            self->own[j] = 0;
        }
        for (size_t k = 0; k < SHARED; k++) {
            steps[k] = block->negatives[k] == word ? 0.0f : steps[k];
        }
    }
}

/* Each neighbour's step: those of the h that it has a part in. */
static void spread(rub_word_model_t *self, const rub_word_block_t *block, const float *mean_steps)
{
    const size_t width = self->spec.width;
    memset(self->input_steps, 0, block->n_inputs * width * sizeof *self->input_steps);
    for (size_t j = 0; j < block->n_words; j++) {
        size_t first = 0, own = 0, behind = 0;
        window_of(block, j, &first, &own, &behind);
        for (size_t i = first; i < behind; i++) {
            if (i != own) {
                rub_add_into(self->input_steps + i * width, mean_steps + j * width, width);
            }
        }
    }
}

static void step(rub_word_model_t *self, const rub_word_block_t *block, float lr)
{
    const size_t width = self->spec.width;
    const int n_words = (int)block->n_words;
    const int columns = (int)width;
    float *own_steps = self->output_steps;
    float *negative_steps = self->output_steps + block->n_words * width;
    float *negatives = self->outputs + block->n_words * width;
    scores_to_steps(self, block, lr);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, SHARED, columns, n_words, 1.0f,
                self->scores, SHARED, self->means, columns, 0.0f, negative_steps, columns);
    memcpy(own_steps, self->means, block->n_words * width * sizeof *own_steps);
    float *mean_steps = self->means; /* all that asks for the means is done */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n_words, columns, SHARED, 1.0f,
                self->scores, SHARED, negatives, columns, 0.0f, mean_steps, columns);
    for (size_t j = 0; j < block->n_words; j++) {
        rub_scale(own_steps + j * width, width, self->own[j]);
        cblas_saxpy(columns, self->own[j], self->outputs + j * width, 1, mean_steps + j * width, 1);
    }
    spread(self, block, mean_steps);
}

const rub_word_kind_t rub_word_cbow = {
    .name = "cbow", .score = score, .add_loss = add_loss, .step = step};
