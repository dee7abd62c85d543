/* Training on ratings.
 *
 * Of explicit ratings a step is a dozen operations on two short vectors that lie in the cache, and
 * the next rating should see what this one has changed (Funk's way, which converges in fewer passes
 * than batches do); no matrix product stands in it. What is drawn is shared by a chunk, and then
 * nearly all the work is the chunk's users against its negatives: three matrix products, in blocks
 * that stay in the cache; all of a chunk reads the tables as they were before it. Invariant: one
 * function makes the factors of a kind, for training and for the gradient that tests see. */
#include "worker/model/rating_model.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "common/num/logistic_loops.h"
#include "common/num/optimizer.h"
#include "worker/model/row_sums.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CACHE_LINE = 64, BLOCK = 256, LOOKED_AT = 16, LANES = 16 };

struct rub_rating_model {
    rub_rating_spec_t spec;
    const rub_rating_kind_t *kind;
    bool pairwise;
    float l2, mean;
    const rub_optimizer_t *optimizer;
    rub_row_sums_t users, items;          /* width + 1 */
    float *one_user, *one_item;           /* the gradients of one rating */
    float *negatives, *negative_biases;   /* rows */
    float *negative_sums;                 /* their gradients, */
    float *negative_bias_sums, *weights;  /* of biases; and for how much of a rating each counts */
    float *queries, *query_sums, *scores; /* of a block; scores become factors */
};

static const rub_rating_kind_t kinds[] = {
    {"mf", false, true}, {"mf_bpr", true, false}, {"mf_logistic", true, true}};

const rub_rating_kind_t *rub_rating_kind_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static int check_spec(const rub_rating_spec_t *spec, const rub_rating_kind_t *kind,
                      rub_error_t *err)
{
    if (kind == NULL) {
        return rub_fail(err, RUB_EINVAL, "model of ratings '%s' is not known", spec->kind);
    }
    if (spec->width < 1 || spec->width > RUB_RATING_WIDTH_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "%s with a width of %" PRIu32 ", expected 1 to %u",
                        spec->kind, spec->width, RUB_RATING_WIDTH_LIMIT);
    }
    if (kind->draws && (spec->negatives < 1 || spec->negatives > RUB_RATING_NEGATIVES_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "%s with %zu negatives, expected 1 to %u", spec->kind,
                        spec->negatives, RUB_RATING_NEGATIVES_LIMIT);
    }
    const double numbers[] = {spec->l2, spec->confidence};
    for (size_t i = 0; i < RUB_COUNT_OF(numbers); i++) {
        if (!(numbers[i] >= 0 && numbers[i] <= 1e6)) {
            return rub_fail(err, RUB_EINVAL, "%s with %g, expected 0 to 1e6", spec->kind,
                            numbers[i]);
        }
    }
    return 0;
}

static float *new_matrix(size_t n_rows, size_t width)
{
    return rub_alloc_aligned(CACHE_LINE, (n_rows * width + 1) * sizeof(float));
}

static bool make_room(rub_rating_model_t *self)
{
    const rub_rating_spec_t *spec = &self->spec;
    const size_t width = spec->width;
    const size_t m = self->kind->draws ? spec->negatives : 0;
    const size_t block = self->kind->draws ? BLOCK : 0;
    const bool sums = rub_row_sums_init(&self->users, spec->user_rows, spec->chunk, width + 1) &&
                      rub_row_sums_init(&self->items, spec->item_rows, spec->chunk + m, width + 1);
    self->one_user = new_matrix(1, width);
    self->one_item = new_matrix(1, width);
    self->negatives = new_matrix(m, width);
    self->negative_biases = new_matrix(1, m);
    self->negative_sums = new_matrix(m, width);
    self->negative_bias_sums = new_matrix(1, m);
    self->weights = new_matrix(1, m);
    self->queries = new_matrix(block, width);
    self->query_sums = new_matrix(block, width);
    self->scores = new_matrix(block, m);
    return sums && self->one_user && self->one_item && self->negatives && self->negative_biases &&
           self->negative_sums && self->negative_bias_sums && self->weights && self->queries &&
           self->query_sums && self->scores;
}

int rub_rating_model_new(const rub_rating_spec_t *spec, rub_rating_model_t **self_p,
                         rub_error_t *err)
{
    *self_p = NULL;
    const rub_rating_kind_t *kind = rub_rating_kind_named(spec->kind);
    const int rc = check_spec(spec, kind, err);
    if (rc) {
        return rc;
    }
    rub_rating_model_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->spec = *spec;
        self->kind = kind;
        self->pairwise = kind->draws && !kind->user_bias;
        self->l2 = (float)spec->l2;
        self->mean = (float)spec->mean;
        self->optimizer = rub_optimizer_find(RUB_ROWWISE_ADAGRAD);
    }
    if (self == NULL || !make_room(self)) {
        rub_rating_model_destroy(&self);
        return rub_fail(err, RUB_ENOMEM, "%s: no memory for chunks of %zu", spec->kind,
                        spec->chunk);
    }
    *self_p = self;
    return 0;
}

void rub_rating_model_destroy(rub_rating_model_t **self_p)
{
    rub_rating_model_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_row_sums_fini(&self->users);
    rub_row_sums_fini(&self->items);
    rub_free(self->one_user);
    rub_free(self->one_item);
    rub_free(self->negatives);
    rub_free(self->negative_biases);
    rub_free(self->negative_sums);
    rub_free(self->negative_bias_sums);
    rub_free(self->weights);
    rub_free(self->queries);
    rub_free(self->query_sums);
    rub_free(self->scores);
    rub_free(self);
    *self_p = NULL;
}

float rub_rating_product(const float *a, const float *b, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            lanes[l] += a[k + l] * b[k + l];
        }
    }
    for (; k < n; k++) {
        sum += a[k] * b[k];
    }
    for (size_t l = 0; l < LANES; l++) {
        sum += lanes[l];
    }
    return sum;
}

/* One step of a row's vector, and of its bias (NULL: it has none). */
static void step_row(const rub_rating_model_t *self, const rub_hyper_t *hyper, float *row,
                     const float *gradient, float *bias, float bias_gradient, float *sums)
{
    rub_optimizer_apply(self->optimizer, row, &sums[0], self->spec.width, 0, hyper, gradient);
    if (bias != NULL) {
        rub_optimizer_apply(self->optimizer, bias, &sums[1], 1, 0, hyper, &bias_gradient);
    }
}

/* ---- one rating ---- */

typedef struct one {
    const float *user, *item;
    float user_bias, item_bias;
} one_t;

static one_t one_of(const rub_rating_tables_t *tables, size_t user, size_t item, size_t width)
{
    return (one_t){tables->users + user * width, tables->items + item * width,
                   tables->user_bias ? tables->user_bias[user] : 0, tables->item_bias[item]};
}

/* The vectors' gradients go to one_user and one_item; returns by how much the rating is above what
 * is said of it. */
static float differ(rub_rating_model_t *self, const one_t *one, float rating)
{
    const size_t width = self->spec.width;
    const float l2 = self->l2;
    const float *p = one->user, *q = one->item;
    float *to_user = self->one_user, *to_item = self->one_item;
    const float difference =
        rating - (self->mean + one->user_bias + one->item_bias + rub_rating_product(p, q, width));
    for (size_t k = 0; k < width; k++) {
        to_user[k] = l2 * p[k] - difference * q[k];
        to_item[k] = l2 * q[k] - difference * p[k];
    }
    return difference;
}

static void step_ratings(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                         const rub_hyper_t *hyper, const rub_rating_tables_t *tables,
                         rub_rating_loss_sum_t *loss)
{
    const size_t width = self->spec.width;
    for (size_t i = 0; i < chunk->n; i++) {
        const size_t user = chunk->users[i], item = chunk->items[i];
        const one_t one = one_of(tables, user, item, width);
        const float difference = differ(self, &one, chunk->values[i]);
        loss->sum += (double)difference * (double)difference;
        step_row(self, hyper, tables->users + user * width, self->one_user,
                 tables->user_bias + user, self->l2 * one.user_bias - difference,
                 tables->user_sums + user * RUB_RATING_SUMS);
        step_row(self, hyper, tables->items + item * width, self->one_item,
                 tables->item_bias + item, self->l2 * one.item_bias - difference,
                 tables->item_sums + item * RUB_RATING_SUMS);
    }
    loss->ratings += chunk->n;
}

static void sum_ratings(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                        const rub_rating_tables_t *tables, rub_rating_loss_sum_t *loss)
{
    const size_t width = self->spec.width;
    for (size_t i = 0; i < chunk->n; i++) {
        const one_t one = one_of(tables, chunk->users[i], chunk->items[i], width);
        const float difference = differ(self, &one, chunk->values[i]);
        float *to_user = rub_row_sums_of(&self->users, chunk->users[i]);
        float *to_item = rub_row_sums_of(&self->items, chunk->items[i]);
        loss->sum += (double)difference * (double)difference;
        rub_add_into(to_user, self->one_user, width);
        rub_add_into(to_item, self->one_item, width);
        to_user[width] += self->l2 * one.user_bias - difference;
        to_item[width] += self->l2 * one.item_bias - difference;
    }
    loss->ratings += chunk->n;
}

/* ---- chunks with negatives ---- */

/* -log s(x); NaN stays NaN. */
static double loss_of(double x)
{
    return (x < 0 ? -x : 0) + log1p(exp(-fabs(x)));
}

/* What is known of a rating before its factors are. */
typedef struct asked {
    float score, weight, share; /* of its pair; c; of each negative, 0 when none counts */
    const uint32_t *skips;
    size_t n_skips;
} asked_t;

/* scores: of the negatives, before they become factors. */
static double loss_of_pair(const rub_rating_model_t *self, const asked_t *asked,
                           const float *scores, size_t m)
{
    double sum = 0;
    const double score = (double)asked->score, weight = (double)asked->weight;
    for (size_t j = 0; j < m; j++) {
        sum += loss_of(self->pairwise ? score - (double)scores[j] : -(double)scores[j]);
    }
    for (size_t s = 0; s < asked->n_skips; s++) {
        const double skipped = (double)scores[asked->skips[s]];
        sum -= loss_of(self->pairwise ? score - skipped : -skipped);
    }
    sum *= (double)asked->share;
    return self->pairwise ? weight * sum : weight * loss_of(score) + sum;
}

/* scores become the derivatives of the loss by them; returns that by the pair's own score, and in
 * *sum_p the sum over the negatives. */
static float factors_of(const rub_rating_model_t *self, const asked_t *asked, float *scores,
                        size_t m, float *sum_p)
{
    const rub_logistic_loops_t *loops = rub_logistic_loops();
    float pair = asked->score, sum = 0;
    if (self->pairwise) {
        for (size_t j = 0; j < m; j++) {
            scores[j] -= pair;
        }
    }
    loops->residual(scores, m, 0.0f,
                    self->pairwise ? -asked->weight * asked->share : -asked->share);
    for (size_t s = 0; s < asked->n_skips; s++) {
        scores[asked->skips[s]] = 0;
    }
    for (size_t j = 0; j < m; j++) {
        sum += scores[j];
    }
    *sum_p = sum;
    if (self->pairwise) {
        return -sum;
    }
    loops->residual(&pair, 1, 1.0f, -asked->weight);
    return pair;
}

static void lay_out_negatives(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                              const rub_rating_tables_t *tables)
{
    const size_t width = self->spec.width;
    for (size_t j = 0; j < chunk->n_negatives; j++) {
        const size_t item = chunk->negatives[j];
        memcpy(self->negatives + j * width, tables->items + item * width,
               width * sizeof *self->negatives);
        self->negative_biases[j] = tables->item_bias[item];
    }
    memset(self->negative_sums, 0, chunk->n_negatives * width * sizeof(float));
    memset(self->negative_bias_sums, 0, chunk->n_negatives * sizeof(float));
    memset(self->weights, 0, chunk->n_negatives * sizeof(float));
}

/* Users of ratings [first, first + n) and their products with the negatives. */
static void ask(rub_rating_model_t *self, const rub_rating_chunk_t *chunk, size_t first, size_t n,
                const rub_rating_tables_t *tables)
{
    const size_t width = self->spec.width;
    const int m = (int)chunk->n_negatives;
    for (size_t i = 0; i < n; i++) {
        memcpy(self->queries + i * width, tables->users + chunk->users[first + i] * width,
               width * sizeof *self->queries);
        memcpy(self->scores + i * chunk->n_negatives, self->negative_biases,
               chunk->n_negatives * sizeof *self->scores);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, m, (int)width, 1.0f, self->queries,
                (int)width, self->negatives, (int)width, 1.0f, self->scores, m);
}

/* The pair of one rating: its loss, its factors, and what its own rows take of it. */
static void work_on(rub_rating_model_t *self, const rub_rating_chunk_t *chunk, size_t rating,
                    float *scores, const rub_rating_tables_t *tables, bool looked_at,
                    rub_rating_loss_sum_t *loss)
{
    const size_t width = self->spec.width, m = chunk->n_negatives;
    const size_t user = chunk->users[rating], item = chunk->items[rating];
    const one_t one = one_of(tables, user, item, width);
    const size_t begin = chunk->skip_starts[rating];
    asked_t asked = {.score = one.user_bias + one.item_bias +
                              rub_rating_product(one.user, one.item, width),
                     .weight = 1 + (float)self->spec.confidence * chunk->values[rating],
                     .skips = chunk->skips + begin,
                     .n_skips = chunk->skip_starts[rating + 1] - begin};
    asked.share = asked.n_skips < m ? 1.0f / (float)(m - asked.n_skips) : 0;
    for (size_t j = 0; j < m && one.user_bias != 0; j++) {
        scores[j] += one.user_bias;
    }
    if (looked_at) {
        loss->sum += loss_of_pair(self, &asked, scores, m);
        loss->ratings++;
    }
    for (size_t s = 0; s < asked.n_skips; s++) {
        self->weights[asked.skips[s]] -= asked.share;
    }
    self->weights[m] += asked.share;
    float sum = 0;
    const float pair = factors_of(self, &asked, scores, m, &sum);
    float *to_user = rub_row_sums_of(&self->users, (uint32_t)user);
    float *to_item = rub_row_sums_of(&self->items, (uint32_t)item);
    for (size_t k = 0; k < width; k++) {
        to_user[k] += pair * one.item[k] + self->l2 * one.user[k];
        to_item[k] += pair * one.user[k] + self->l2 * one.item[k];
    }
    to_user[width] += self->kind->user_bias ? pair + sum + self->l2 * one.user_bias : 0;
    to_item[width] += pair + self->l2 * one.item_bias;
}

static void work_on_block(rub_rating_model_t *self, const rub_rating_chunk_t *chunk, size_t first,
                          size_t n, const rub_rating_tables_t *tables, bool all,
                          rub_rating_loss_sum_t *loss)
{
    const size_t width = self->spec.width, m = chunk->n_negatives;
    ask(self, chunk, first, n, tables);
    for (size_t i = 0; i < n; i++) {
        float *scores = self->scores + i * m;
        work_on(self, chunk, first + i, scores, tables, all || i % LOOKED_AT == 0, loss);
        rub_add_into(self->negative_bias_sums, scores, m);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)width, (int)m, 1.0f,
                self->scores, (int)m, self->negatives, (int)width, 0.0f, self->query_sums,
                (int)width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)width, (int)n, 1.0f,
                self->scores, (int)m, self->queries, (int)width, 1.0f, self->negative_sums,
                (int)width);
    for (size_t i = 0; i < n; i++) {
        rub_add_into(rub_row_sums_of(&self->users, chunk->users[first + i]),
                     self->query_sums + i * width, width);
    }
}

static void sum_chunk(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                      const rub_rating_tables_t *tables, bool all, rub_rating_loss_sum_t *loss)
{
    const size_t width = self->spec.width, m = chunk->n_negatives;
    RUB_ASSERT(m >= 1);
    RUB_ASSERT(m <= self->spec.negatives);
    lay_out_negatives(self, chunk, tables);
    self->weights[m] = 0; /* what each negative counts for, before those that skip it */
    for (size_t first = 0; first < chunk->n; first += BLOCK) {
        const size_t left = chunk->n - first;
        work_on_block(self, chunk, first, left < BLOCK ? left : BLOCK, tables, all, loss);
    }
    for (size_t j = 0; j < m; j++) {
        float *to_item = rub_row_sums_of(&self->items, chunk->negatives[j]);
        const float *row = self->negatives + j * width;
        const float *sums = self->negative_sums + j * width;
        const float decay = self->l2 * (self->weights[m] + self->weights[j]);
        for (size_t k = 0; k < width; k++) {
            to_item[k] += sums[k] + decay * row[k];
        }
        to_item[width] += self->negative_bias_sums[j] + decay * self->negative_biases[j];
    }
}

/* ---- both ---- */

static void begin(rub_rating_model_t *self, const rub_rating_chunk_t *chunk)
{
    RUB_ASSERT(chunk->n <= self->spec.chunk);
    rub_row_sums_begin(&self->users);
    rub_row_sums_begin(&self->items);
}

void rub_rating_model_gradient(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                               const rub_rating_tables_t *tables, rub_rating_gradient_t *gradient,
                               rub_rating_loss_sum_t *loss)
{
    begin(self, chunk);
    if (self->kind->draws) {
        sum_chunk(self, chunk, tables, true, loss);
    } else {
        sum_ratings(self, chunk, tables, loss);
    }
    *gradient = (rub_rating_gradient_t){.n_users = self->users.n,
                                        .n_items = self->items.n,
                                        .user_rows = self->users.rows,
                                        .item_rows = self->items.rows,
                                        .users = self->users.sums,
                                        .items = self->items.sums};
}

static void step_sums(const rub_rating_model_t *self, const rub_row_sums_t *touched,
                      const rub_hyper_t *hyper, float *rows, float *biases, float *sums)
{
    const size_t width = self->spec.width;
    for (size_t s = 0; s < touched->n; s++) {
        const size_t row = touched->rows[s];
        const float *gradient = touched->sums + s * touched->width;
        step_row(self, hyper, rows + row * width, gradient, biases ? biases + row : NULL,
                 gradient[width], sums + row * RUB_RATING_SUMS);
    }
}

void rub_rating_model_train(rub_rating_model_t *self, const rub_rating_chunk_t *chunk, float lr,
                            float epsilon, const rub_rating_tables_t *tables,
                            rub_rating_loss_sum_t *loss)
{
    const rub_hyper_t hyper = {.lr = (double)lr, .epsilon = (double)epsilon};
    begin(self, chunk);
    if (!self->kind->draws) {
        step_ratings(self, chunk, &hyper, tables, loss);
        return;
    }
    sum_chunk(self, chunk, tables, false, loss);
    step_sums(self, &self->users, &hyper, tables->users, tables->user_bias, tables->user_sums);
    step_sums(self, &self->items, &hyper, tables->items, tables->item_bias, tables->item_sums);
}
