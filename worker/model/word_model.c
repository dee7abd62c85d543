/* Training on blocks of a text, whatever the model: rows are gathered, the kind makes steps of
 * them, and the steps go where the rows came from.
 *
 * Words [f, l) of the text are a block's own, words [f - window, l + window) its inputs: what may
 * be a neighbour of one of them. Why blocks: the products run at the speed of the processor's
 * arithmetic, word by word they would run at the speed of its memory; neighbours of one word are
 * neighbours of the next, so a row is fetched once for all its windows. Invariant: a block sees all
 * that the blocks before it did, and nothing of itself. */
#include "worker/model/word_model.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "worker/model/word_block.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    CACHE_LINE = 64,
    BLOCK = RUB_WORD_BLOCK,
    SHARED = RUB_WORD_SHARED,
    LOOKED_AT = 64 /* one block of so many adds to the loss in training */
};

static const rub_word_kind_t *const kinds[] = {&rub_word_skipgram, &rub_word_cbow};

const rub_word_kind_t *rub_word_kind_find(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

static int check_between(const rub_word_spec_t *spec, const char *what, uint32_t value,
                         uint32_t most, rub_error_t *err)
{
    if (value < 1 || value > most) {
        return rub_fail(err, RUB_EINVAL, "%s with %s of %" PRIu32 ", expected 1 to %" PRIu32,
                        spec->kind->name, what, value, most);
    }
    return 0;
}

static float *new_matrix(size_t n_rows, size_t width)
{
    return rub_alloc_aligned(CACHE_LINE, n_rows * width * sizeof(float));
}

int rub_word_model_new(const rub_word_spec_t *spec, rub_word_model_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    int rc = check_between(spec, "a width", spec->width, RUB_WORD_WIDTH_LIMIT, err);
    rc = rc ? rc : check_between(spec, "a window", spec->window, RUB_WORD_WINDOW_LIMIT, err);
    rc = rc ? rc : check_between(spec, "negatives", spec->negatives, RUB_WORD_NEGATIVES_LIMIT, err);
    if (rc) {
        return rc;
    }
    rub_word_model_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "%s: no memory", spec->kind->name);
    }
    self->spec = *spec;
    self->inputs_limit = BLOCK + 2u * spec->window;
    self->inputs = new_matrix(self->inputs_limit, spec->width);
    self->outputs = new_matrix(BLOCK + SHARED, spec->width);
    self->input_steps = new_matrix(self->inputs_limit, spec->width);
    self->output_steps = new_matrix(BLOCK + SHARED, spec->width);
    self->scores = new_matrix(self->inputs_limit, BLOCK + SHARED);
    self->means = new_matrix(BLOCK, spec->width);
    self->own = new_matrix(BLOCK, 1);
    self->pairs = rub_calloc(self->inputs_limit, sizeof *self->pairs);
    if (!self->inputs || !self->outputs || !self->input_steps || !self->output_steps ||
        !self->scores || !self->means || !self->own || !self->pairs) {
        rub_word_model_destroy(&self);
        return rub_fail(err, RUB_ENOMEM, "%s: no memory for vectors of %" PRIu32, spec->kind->name,
                        spec->width);
    }
    *self_p = self;
    return 0;
}

void rub_word_model_destroy(rub_word_model_t **self_p)
{
    rub_word_model_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->inputs);
    rub_free(self->outputs);
    rub_free(self->input_steps);
    rub_free(self->output_steps);
    rub_free(self->scores);
    rub_free(self->means);
    rub_free(self->own);
    rub_free(self->pairs);
    rub_free(self);
    *self_p = NULL;
}

static rub_word_block_t block_of(const rub_word_model_t *self, const rub_word_text_t *text,
                                 size_t number)
{
    const size_t first = number * BLOCK;
    const size_t left = text->n_words - first;
    const size_t n_words = left < BLOCK ? left : BLOCK;
    const size_t window = self->spec.window;
    const size_t first_input = first < window ? 0 : first - window;
    const size_t behind = left - n_words < window ? left - n_words : window;
    return (rub_word_block_t){.first = first,
                              .n_words = n_words,
                              .first_input = first_input,
                              .n_inputs = first + n_words + behind - first_input,
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

void rub_word_compose(const float *row, const float *grams, const uint32_t *gram_rows, size_t n,
                      size_t width, float *out)
{
    const size_t parts = n + (row != NULL);
    if (row != NULL) {
        memcpy(out, row, width * sizeof *out);
    } else {
        memset(out, 0, width * sizeof *out);
    }
    for (size_t i = 0; i < n; i++) {
        rub_add_into(out, grams + gram_rows[i] * width, width);
    }
    if (parts > 1) {
        rub_scale(out, width, 1.0f / (float)parts);
    }
}

/* Vectors of words with n-grams. */
static void compose_inputs(rub_word_model_t *self, const rub_word_block_t *block,
                           const rub_word_arrays_t *arrays)
{
    const size_t width = self->spec.width;
    const rub_word_text_t *text = block->text;
    for (size_t i = 0; i < block->n_inputs; i++) {
        const uint32_t row = text->in_rows[block->first_input + i];
        const size_t first = text->first_gram[row];
        rub_word_compose(arrays->in + row * width, arrays->grams, text->grams + first,
                         text->first_gram[row + 1] - first, width, self->inputs + i * width);
    }
}

/* A step goes to all that the word's vector is made of. */
static void scatter_to_grams(const rub_word_model_t *self, const rub_word_block_t *block,
                             float *grams)
{
    const size_t width = self->spec.width;
    const rub_word_text_t *text = block->text;
    for (size_t i = 0; i < block->n_inputs; i++) {
        const uint32_t row = text->in_rows[block->first_input + i];
        for (size_t g = text->first_gram[row]; g < text->first_gram[row + 1]; g++) {
            rub_add_into(grams + text->grams[g] * width, self->input_steps + i * width, width);
        }
    }
}

static void score(rub_word_model_t *self, const rub_word_block_t *block,
                  const rub_word_arrays_t *arrays)
{
    const size_t width = self->spec.width;
    const rub_word_text_t *text = block->text;
    if (text->first_gram != NULL) {
        compose_inputs(self, block, arrays);
    } else {
        gather(arrays->in, width, text->in_rows + block->first_input, block->n_inputs,
               self->inputs);
    }
    gather(arrays->out, width, text->out_rows + block->first, block->n_words, self->outputs);
    gather(arrays->out, width, block->negatives, SHARED, self->outputs + block->n_words * width);
    self->spec.kind->score(self, block);
}

static void step(rub_word_model_t *self, const rub_word_block_t *block, float lr,
                 const rub_word_arrays_t *arrays)
{
    const size_t width = self->spec.width;
    const rub_word_text_t *text = block->text;
    self->spec.kind->step(self, block, lr);
    scatter(arrays->in, width, text->in_rows + block->first_input, block->n_inputs,
            self->input_steps);
    if (text->first_gram != NULL) {
        scatter_to_grams(self, block, arrays->grams);
    }
    scatter(arrays->out, width, text->out_rows + block->first, block->n_words, self->output_steps);
    scatter(arrays->out, width, block->negatives, SHARED,
            self->output_steps + block->n_words * width);
}

void rub_word_model_train(rub_word_model_t *self, const rub_word_text_t *text, float lr,
                          const rub_word_arrays_t *arrays, rub_word_loss_t *loss)
{
    const size_t n_blocks = rub_word_blocks(text->n_words);
    for (size_t b = 0; b < n_blocks; b++) {
        const rub_word_block_t block = block_of(self, text, b);
        score(self, &block, arrays);
        if (b % LOOKED_AT == 0) {
            self->spec.kind->add_loss(self, &block, loss);
        }
        step(self, &block, lr, arrays);
    }
}

void rub_word_model_evaluate(rub_word_model_t *self, const rub_word_text_t *text,
                             const rub_word_arrays_t *arrays, rub_word_loss_t *loss)
{
    const size_t n_blocks = rub_word_blocks(text->n_words);
    for (size_t b = 0; b < n_blocks; b++) {
        const rub_word_block_t block = block_of(self, text, b);
        score(self, &block, arrays);
        self->spec.kind->add_loss(self, &block, loss);
    }
}

double rub_word_term(double x)
{
    return (x < 0 ? -x : 0) + log1p(exp(-fabs(x)));
}
