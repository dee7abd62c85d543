/* Skip-gram by blocks.
 *
 * Columns of the score matrix are the block's words, then its negatives; rows are its M inputs. Of
 * the columns of words only a band is used: input i and word j are a pair when j's window reaches
 * i. An input that stands in m windows takes part in m pairs; each asks for `negatives` negatives,
 * so every shared one counts m x negatives / SHARED times, less those of its pairs whose word it is
 * itself.
 *
 * Invariant: scores become steps in place, and everything outside the band and the negatives is 0
 * before the two products that give the gradients. */
#include "common/num/logistic_loops.h"
#include "worker/model/word_block.h"

#include <cblas.h>
#include <string.h>

enum { SHARED = RUB_WORD_SHARED };

static size_t columns_of(const rub_word_block_t *block)
{
    return block->n_words + SHARED;
}

/* How many windows each input stands in. */
static void count_pairs(rub_word_model_t *self, const rub_word_block_t *block)
{
    memset(self->pairs, 0, block->n_inputs * sizeof *self->pairs);
    for (size_t j = block->first; j < block->first + block->n_words; j++) {
        uint32_t *at = self->pairs + (j - block->first_input);
        for (size_t d = 1; d <= block->text->before[j]; d++) {
            at[-(ptrdiff_t)d]++;
        }
        for (size_t d = 1; d <= block->text->behind[j]; d++) {
            at[d]++;
        }
    }
}

/* All scores of the block: inputs x (words, negatives). */
static void score(rub_word_model_t *self, const rub_word_block_t *block)
{
    const int width = (int)self->spec.width;
    const int n_columns = (int)columns_of(block);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)block->n_inputs, n_columns, width,
                1.0f, self->inputs, width, self->outputs, width, 0.0f, self->scores, n_columns);
    count_pairs(self, block);
}

/* Are the text's words at `input` and `word` a pair? */
static inline bool is_pair(const rub_word_text_t *text, size_t input, size_t word)
{
    return input < word ? word - input <= text->before[word]
                        : input > word && input - word <= text->behind[word];
}

/* Words [*first_p, *last_p) of the block are all whose windows may reach the input. */
static inline void band_of(const rub_word_model_t *self, const rub_word_block_t *block,
                           size_t input, size_t *first_p, size_t *last_p)
{
    const size_t window = self->spec.window;
    const size_t end = block->first + block->n_words;
    const size_t first = input < window ? 0 : input - window;
    *first_p = first < block->first ? block->first : first;
    *last_p = input + window + 1 < end ? input + window + 1 : end;
}

/* How many of the input's pairs have this negative as their word. */
static uint32_t own_pairs(const rub_word_model_t *self, const rub_word_block_t *block, size_t input,
                          uint32_t negative)
{
    uint32_t n = 0;
    size_t first = 0;
    size_t last = 0;
    band_of(self, block, input, &first, &last);
    for (size_t j = first; j < last; j++) {
        n += block->text->out_rows[j] == negative && is_pair(block->text, input, j);
    }
    return n;
}

static bool is_word_of(const rub_word_block_t *block, uint32_t row)
{
    const uint32_t *rows = block->text->out_rows + block->first;
    uint32_t found = 0;
    for (size_t j = 0; j < block->n_words; j++) {
        found |= rows[j] == row;
    }
    return found != 0;
}

static void add_loss(const rub_word_model_t *self, const rub_word_block_t *block,
                     rub_word_loss_t *loss)
{
    const size_t n_columns = columns_of(block);
    const double share = (double)self->spec.negatives / SHARED;
    for (size_t i = 0; i < block->n_inputs; i++) {
        const float *scores = self->scores + i * n_columns;
        const size_t input = block->first_input + i;
        size_t first = 0;
        size_t last = 0;
        band_of(self, block, input, &first, &last);
        for (size_t j = first; j < last; j++) {
            if (is_pair(block->text, input, j)) {
                loss->sum += rub_word_term((double)scores[j - block->first]);
                loss->n_terms++;
            }
        }
        for (size_t k = 0; k < SHARED && self->pairs[i] > 0; k++) {
            const uint32_t own = own_pairs(self, block, input, block->negatives[k]);
            loss->sum +=
                share * (self->pairs[i] - own) * rub_word_term(-(double)scores[block->n_words + k]);
        }
    }
}

/* Scores become lr times what the loss falls with them. */
static void scores_to_steps(rub_word_model_t *self, const rub_word_block_t *block, float lr)
{
    const rub_logistic_loops_t *loops = rub_logistic_loops();
    const size_t n_columns = columns_of(block);
    const float share = lr * (float)self->spec.negatives / (float)SHARED;
    for (size_t i = 0; i < block->n_inputs; i++) {
        float *steps = self->scores + i * n_columns;
        const size_t input = block->first_input + i;
        size_t first = 0;
        size_t last = 0;
        band_of(self, block, input, &first, &last);
        loops->residual(steps + (first - block->first), last - first, 1.0f, lr);
        memset(steps, 0, (first - block->first) * sizeof *steps);
        memset(steps + (last - block->first), 0,
               (block->first + block->n_words - last) * sizeof *steps);
        for (size_t j = first; j < last; j++) {
            steps[j - block->first] =
                is_pair(block->text, input, j) ? steps[j - block->first] : 0.0f;
        }
        loops->residual(steps + block->n_words, SHARED, 0.0f, share * (float)self->pairs[i]);
    }
    for (size_t k = 0; k < SHARED; k++) {
        if (!is_word_of(block, block->negatives[k])) {
            continue;
        }
        for (size_t i = 0; i < block->n_inputs; i++) {
            const uint32_t own =
                own_pairs(self, block, block->first_input + i, block->negatives[k]);
            if (own > 0) {
                self->scores[i * n_columns + block->n_words + k] *=
                    (float)(self->pairs[i] - own) / (float)self->pairs[i];
            }
        }
    }
}

static void step(rub_word_model_t *self, const rub_word_block_t *block, float lr)
{
    const int width = (int)self->spec.width;
    const int n_inputs = (int)block->n_inputs;
    const int n_columns = (int)columns_of(block);
    scores_to_steps(self, block, lr);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n_inputs, width, n_columns, 1.0f,
                self->scores, n_columns, self->outputs, width, 0.0f, self->input_steps, width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n_columns, width, n_inputs, 1.0f,
                self->scores, n_columns, self->inputs, width, 0.0f, self->output_steps, width);
}

const rub_word_kind_t rub_word_skipgram = {
    .name = "skipgram", .score = score, .add_loss = add_loss, .step = step};
