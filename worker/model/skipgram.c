/* Skip-gram by blocks.
 *
 * Words [f, l) of the text are a block's centres, words [f - window, l + window) its inputs: M of
 * them. Columns of the score matrix are the block's words, then its negatives. Of the columns of
 * words only a band is used: input i and word j are a pair when j's window reaches i. An input that
 * stands in m windows takes part in m pairs; each asks for `negatives` negatives, so every shared
 * one counts m x negatives / SHARED times, less those of its pairs whose word it is itself.
 *
 * Why blocks: the products run at the speed of the processor's arithmetic, word by word they would
 * run at the speed of its memory; neighbours of one word are neighbours of the next, so a row is
 * fetched once for all its windows. Invariant: scores become steps in place, and everything outside
 * the band and the negatives is 0 before the two products that give the gradients. */
#include "worker/model/skipgram.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "common/num/logistic_loops.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    CACHE_LINE = 64,
    BLOCK = RUB_SKIPGRAM_BLOCK,
    SHARED = RUB_SKIPGRAM_SHARED,
    COLUMNS = BLOCK + SHARED,
    LOOKED_AT = 64 /* one block of so many adds to the loss in training */
};

struct rub_skipgram {
    rub_skipgram_spec_t spec;
    size_t inputs_limit;
    float *inputs;      /* inputs_limit x width: gathered rows of `in` */
    float *outputs;     /* COLUMNS x width: gathered rows of `out` */
    float *scores;      /* inputs_limit x COLUMNS, then steps */
    float *input_steps; /* as inputs */
    float *output_steps;
    uint32_t *pairs; /* of each input */
};

/* Where a block lies in its text. */
typedef struct block {
    size_t first, n_words;        /* its words */
    size_t first_input, n_inputs; /* and theirs neighbours */
    size_t n_columns;             /* n_words + SHARED */
    const uint32_t *negatives;    /* SHARED */
    const rub_skipgram_text_t *text;
} block_t;

void rub_skipgram_spec_defaults(rub_skipgram_spec_t *spec)
{
    *spec = (rub_skipgram_spec_t){.width = 100, .window = 5, .negatives = 5};
}

static int check_between(const char *what, uint32_t value, uint32_t most, rub_error_t *err)
{
    if (value < 1 || value > most) {
        return rub_fail(err, RUB_EINVAL, "skip-gram with %s of %" PRIu32 ", expected 1 to %" PRIu32,
                        what, value, most);
    }
    return 0;
}

static float *new_matrix(size_t n_rows, size_t width)
{
    return rub_alloc_aligned(CACHE_LINE, n_rows * width * sizeof(float));
}

int rub_skipgram_new(const rub_skipgram_spec_t *spec, rub_skipgram_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    int rc = check_between("a width", spec->width, RUB_SKIPGRAM_WIDTH_LIMIT, err);
    rc = rc ? rc : check_between("a window", spec->window, RUB_SKIPGRAM_WINDOW_LIMIT, err);
    rc = rc ? rc : check_between("negatives", spec->negatives, RUB_SKIPGRAM_NEGATIVES_LIMIT, err);
    if (rc) {
        return rc;
    }
    rub_skipgram_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "skip-gram: no memory");
    }
    self->spec = *spec;
    self->inputs_limit = BLOCK + 2u * spec->window;
    self->inputs = new_matrix(self->inputs_limit, spec->width);
    self->outputs = new_matrix(COLUMNS, spec->width);
    self->scores = new_matrix(self->inputs_limit, COLUMNS);
    self->input_steps = new_matrix(self->inputs_limit, spec->width);
    self->output_steps = new_matrix(COLUMNS, spec->width);
    self->pairs = rub_calloc(self->inputs_limit, sizeof *self->pairs);
    if (!self->inputs || !self->outputs || !self->scores || !self->input_steps ||
        !self->output_steps || !self->pairs) {
        rub_skipgram_destroy(&self);
        return rub_fail(err, RUB_ENOMEM, "skip-gram: no memory for vectors of %" PRIu32,
                        spec->width);
    }
    *self_p = self;
    return 0;
}

void rub_skipgram_destroy(rub_skipgram_t **self_p)
{
    rub_skipgram_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->inputs);
    rub_free(self->outputs);
    rub_free(self->scores);
    rub_free(self->input_steps);
    rub_free(self->output_steps);
    rub_free(self->pairs);
    rub_free(self);
    *self_p = NULL;
}

static block_t block_of(const rub_skipgram_t *self, const rub_skipgram_text_t *text, size_t number)
{
    const size_t first = number * BLOCK;
    const size_t left = text->n_words - first;
    const size_t n_words = left < BLOCK ? left : BLOCK;
    const size_t window = self->spec.window;
    const size_t first_input = first < window ? 0 : first - window;
    const size_t behind = left - n_words < window ? left - n_words : window;
    return (block_t){.first = first,
                     .n_words = n_words,
                     .first_input = first_input,
                     .n_inputs = first + n_words + behind - first_input,
                     .n_columns = n_words + SHARED,
                     .negatives = text->negatives + number * SHARED,
                     .text = text};
}

static void gather(const float *table, size_t width, const uint32_t *rows, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(out + i * width, table + rows[i] * width, width * sizeof *out);
    }
}

/* A row that comes twice takes both its steps. */
static void scatter(float *table, size_t width, const uint32_t *rows, size_t n, const float *steps)
{
    for (size_t i = 0; i < n; i++) {
        rub_add_into(table + rows[i] * width, steps + i * width, width);
    }
}

/* All scores of the block: inputs x (words, negatives). */
static void score(rub_skipgram_t *self, const block_t *block, const float *in, const float *out)
{
    const size_t width = self->spec.width;
    gather(in, width, block->text->in_rows + block->first_input, block->n_inputs, self->inputs);
    gather(out, width, block->text->out_rows + block->first, block->n_words, self->outputs);
    gather(out, width, block->negatives, SHARED, self->outputs + block->n_words * width);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)block->n_inputs,
                (int)block->n_columns, (int)width, 1.0f, self->inputs, (int)width, self->outputs,
                (int)width, 0.0f, self->scores, (int)block->n_columns);
}

/* Are the text's words at `input` and `word` a pair? */
static inline bool is_pair(const rub_skipgram_text_t *text, size_t input, size_t word)
{
    return input < word ? word - input <= text->before[word]
                        : input > word && input - word <= text->behind[word];
}

/* Words [*first_p, *last_p) of the block are all whose windows may reach the input. */
static inline void band_of(const rub_skipgram_t *self, const block_t *block, size_t input,
                           size_t *first_p, size_t *last_p)
{
    const size_t window = self->spec.window;
    const size_t end = block->first + block->n_words;
    const size_t first = input < window ? 0 : input - window;
    *first_p = first < block->first ? block->first : first;
    *last_p = input + window + 1 < end ? input + window + 1 : end;
}

static void count_pairs(rub_skipgram_t *self, const block_t *block)
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

/* How many of the input's pairs have this negative as their word. */
static uint32_t own_pairs(const rub_skipgram_t *self, const block_t *block, size_t input,
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

static bool is_word_of(const block_t *block, uint32_t row)
{
    const uint32_t *rows = block->text->out_rows + block->first;
    uint32_t found = 0;
    for (size_t j = 0; j < block->n_words; j++) {
        found |= rows[j] == row;
    }
    return found != 0;
}

/* -log s(x), and 0.69 at 0; NaN stays NaN. */
static double loss_of(double x)
{
    return (x < 0 ? -x : 0) + log1p(exp(-fabs(x)));
}

static void add_loss(const rub_skipgram_t *self, const block_t *block, rub_skipgram_loss_t *loss)
{
    const double share = (double)self->spec.negatives / SHARED;
    for (size_t i = 0; i < block->n_inputs; i++) {
        const float *scores = self->scores + i * block->n_columns;
        const size_t input = block->first_input + i;
        size_t first = 0;
        size_t last = 0;
        band_of(self, block, input, &first, &last);
        for (size_t j = first; j < last; j++) {
            if (is_pair(block->text, input, j)) {
                loss->sum += loss_of((double)scores[j - block->first]);
                loss->pairs++;
            }
        }
        for (size_t k = 0; k < SHARED && self->pairs[i] > 0; k++) {
            const uint32_t own = own_pairs(self, block, input, block->negatives[k]);
            loss->sum +=
                share * (self->pairs[i] - own) * loss_of(-(double)scores[block->n_words + k]);
        }
    }
}

/* Scores become lr times what the loss falls with them. */
static void scores_to_steps(rub_skipgram_t *self, const block_t *block, float lr)
{
    const rub_logistic_loops_t *loops = rub_logistic_loops();
    const float share = lr * (float)self->spec.negatives / (float)SHARED;
    for (size_t i = 0; i < block->n_inputs; i++) {
        float *steps = self->scores + i * block->n_columns;
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
                self->scores[i * block->n_columns + block->n_words + k] *=
                    (float)(self->pairs[i] - own) / (float)self->pairs[i];
            }
        }
    }
}

static void step(rub_skipgram_t *self, const block_t *block, float *in, float *out)
{
    const int width = (int)self->spec.width;
    const int n_inputs = (int)block->n_inputs;
    const int n_columns = (int)block->n_columns;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n_inputs, width, n_columns, 1.0f,
                self->scores, n_columns, self->outputs, width, 0.0f, self->input_steps, width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n_columns, width, n_inputs, 1.0f,
                self->scores, n_columns, self->inputs, width, 0.0f, self->output_steps, width);
    scatter(in, (size_t)width, block->text->in_rows + block->first_input, block->n_inputs,
            self->input_steps);
    scatter(out, (size_t)width, block->text->out_rows + block->first, block->n_words,
            self->output_steps);
    scatter(out, (size_t)width, block->negatives, SHARED,
            self->output_steps + block->n_words * (size_t)width);
}

void rub_skipgram_train(rub_skipgram_t *self, const rub_skipgram_text_t *text, float lr, float *in,
                        float *out, rub_skipgram_loss_t *loss)
{
    const size_t n_blocks = rub_skipgram_blocks(text->n_words);
    for (size_t b = 0; b < n_blocks; b++) {
        const block_t block = block_of(self, text, b);
        score(self, &block, in, out);
        count_pairs(self, &block);
        if (b % LOOKED_AT == 0) {
            add_loss(self, &block, loss);
        }
        scores_to_steps(self, &block, lr);
        step(self, &block, in, out);
    }
}

void rub_skipgram_evaluate(rub_skipgram_t *self, const rub_skipgram_text_t *text, const float *in,
                           const float *out, rub_skipgram_loss_t *loss)
{
    const size_t n_blocks = rub_skipgram_blocks(text->n_words);
    for (size_t b = 0; b < n_blocks; b++) {
        const block_t block = block_of(self, text, b);
        score(self, &block, in, out);
        count_pairs(self, &block);
        add_loss(self, &block, loss);
    }
}
