/* Training on chunks.
 *
 * A chunk is worked on in blocks of triples, so that queries, values and factors of a block stay in
 * the processor's cache while three passes go over them; all read the tables as they were before
 * the chunk, and what a row takes is summed up under its slot (worker/model/row_sums.h). */
#include "worker/model/graph_model.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "common/num/optimizer.h"
#include "worker/model/graph_loss.h"
#include "worker/model/row_sums.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CACHE_LINE = 64, BLOCK = 256, LOOKED_AT = 64, ROWS_AHEAD = 6 };

struct rub_graph_model {
    rub_graph_spec_t spec;
    const rub_graph_kind_t *kind;
    float sign, offset;                 /* similarity = offset + sign x value */
    rub_row_sums_t entities, relations; /* of the rows that a chunk touches */
    float *ready;                       /* relations as queries take them, by slot */
    rub_graph_points_t points;
    float *negatives, *negative_gradients; /* rows */
    float *queries, *query_gradients;      /* of a block */
    float *values, *factors;               /* BLOCK x negatives */
    float *weights;                        /* of one triple's negatives */
    bool *same;
    const rub_optimizer_t *optimizer;
};

static int check_spec(const rub_graph_spec_t *spec, const rub_graph_kind_t *kind, rub_error_t *err)
{
    if (kind == NULL) {
        return rub_fail(err, RUB_EINVAL, "graph model '%s' is not known", spec->kind);
    }
    if (spec->width < 1 || (rub_graph_kind_is_complex(kind) && spec->width % 2 != 0)) {
        return rub_fail(err, RUB_EINVAL, "%s with a width of %" PRIu32 ", expected %s", spec->kind,
                        spec->width,
                        rub_graph_kind_is_complex(kind) ? "an even number" : "1 or more");
    }
    if (spec->negatives < 1 || spec->negatives > RUB_GRAPH_NEGATIVES_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "%s with %zu negatives, expected 1 to %u", spec->kind,
                        spec->negatives, RUB_GRAPH_NEGATIVES_LIMIT);
    }
    const double numbers[] = {spec->gamma, spec->temperature, spec->regularization};
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

static bool make_room(rub_graph_model_t *self)
{
    const rub_graph_spec_t *spec = &self->spec;
    const size_t width = spec->width;
    const size_t m = spec->negatives;
    const size_t relations = spec->relation_rows < spec->chunk ? spec->relation_rows : spec->chunk;
    self->negatives = new_matrix(m, width);
    self->negative_gradients = new_matrix(m, width);
    self->queries = new_matrix(BLOCK, width);
    self->query_gradients = new_matrix(BLOCK, width);
    self->values = new_matrix(BLOCK, m);
    self->factors = new_matrix(BLOCK, m);
    self->weights = new_matrix(1, m);
    self->same = rub_calloc(m, sizeof *self->same);
    self->ready = new_matrix(relations, width);
    return self->negatives && self->negative_gradients && self->queries && self->query_gradients &&
           self->values && self->factors && self->weights && self->same && self->ready &&
           rub_graph_points_init(&self->points, m, spec->width) &&
           rub_row_sums_init(&self->entities, spec->entity_rows, 2 * spec->chunk + m, width) &&
           rub_row_sums_init(&self->relations, spec->relation_rows, relations,
                             rub_graph_relation_width(self->kind, spec->width));
}

int rub_graph_model_new(const rub_graph_spec_t *spec, rub_graph_model_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    const rub_graph_kind_t *kind = rub_graph_kind_named(spec->kind);
    const int rc = check_spec(spec, kind, err);
    if (rc) {
        return rc;
    }
    rub_graph_model_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->spec = *spec;
        self->kind = kind;
        self->sign = rub_graph_kind_is_distance(kind) ? -1.0f : 1.0f;
        self->offset = rub_graph_kind_is_distance(kind) ? (float)spec->gamma : 0.0f;
        self->optimizer = rub_optimizer_find(RUB_ROWWISE_ADAGRAD);
    }
    if (self == NULL || !make_room(self)) {
        rub_graph_model_destroy(&self);
        return rub_fail(err, RUB_ENOMEM, "%s: no memory for chunks of %zu", spec->kind,
                        spec->chunk);
    }
    *self_p = self;
    return 0;
}

void rub_graph_model_destroy(rub_graph_model_t **self_p)
{
    rub_graph_model_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_row_sums_fini(&self->entities);
    rub_row_sums_fini(&self->relations);
    rub_graph_points_fini(&self->points);
    rub_free(self->ready);
    rub_free(self->negatives);
    rub_free(self->negative_gradients);
    rub_free(self->queries);
    rub_free(self->query_gradients);
    rub_free(self->values);
    rub_free(self->factors);
    rub_free(self->weights);
    rub_free(self->same);
    rub_free(self);
    *self_p = NULL;
}

const rub_graph_kind_t *rub_graph_model_kind(const rub_graph_model_t *self)
{
    return self->kind;
}

double rub_graph_model_init_scale(const rub_graph_spec_t *spec, bool relations)
{
    const rub_graph_kind_t *kind = rub_graph_kind_named(spec->kind);
    RUB_ASSERT(kind != NULL);
    if (relations && rub_graph_kind_has_phases(kind)) {
        return 3.14159265358979323846;
    }
    return (spec->gamma + 2) / (spec->width / (rub_graph_kind_is_complex(kind) ? 2 : 1));
}

static void begin(rub_graph_model_t *self, const rub_graph_chunk_t *chunk, const float *entities,
                  const float *relations)
{
    const uint32_t width = self->spec.width;
    RUB_ASSERT(chunk->n <= self->spec.chunk);
    RUB_ASSERT(chunk->n_negatives <= self->spec.negatives);
    rub_row_sums_begin(&self->entities);
    rub_row_sums_begin(&self->relations);
    for (size_t i = 0; i < chunk->n; i++) {
        (void)rub_row_sums_of(&self->entities, chunk->heads[i]);
        (void)rub_row_sums_of(&self->entities, chunk->tails[i]);
        (void)rub_row_sums_of(&self->relations, chunk->relations[i]);
    }
    for (size_t s = 0; s < self->relations.n; s++) {
        rub_graph_relation_ready(self->kind,
                                 relations + self->relations.rows[s] * self->relations.width, width,
                                 self->ready + s * width);
    }
    for (size_t j = 0; j < chunk->n_negatives; j++) {
        (void)rub_row_sums_of(&self->entities, chunk->negatives[j]);
        memcpy(self->negatives + j * width, entities + (size_t)chunk->negatives[j] * width,
               width * sizeof *entities);
    }
    memset(self->negative_gradients, 0,
           chunk->n_negatives * width * sizeof *self->negative_gradients);
    rub_graph_points_set(&self->points, self->kind, self->negatives, chunk->n_negatives);
}

/* ---- a block ---- */

typedef struct block {
    const rub_graph_chunk_t *chunk;
    const uint32_t *known, *asked; /* rows of entities, by triple of the chunk */
    const float *entities, *relations;
    size_t first, n;
} block_t;

/* Rows lie anywhere in a table that no cache holds: those of a triple are asked for some triples
 * ahead. A row that is only compared comes behind the products, and is near by then. */
static void expect(const float *table, size_t row, size_t width)
{
    const char *bytes = (const char *)(table + row * width);
    for (size_t at = 0; at < width * sizeof(*table); at += CACHE_LINE) {
        __builtin_prefetch(bytes + at);
    }
}

static void expect_triple(const rub_graph_model_t *self, const block_t *block, size_t i)
{
    if (i < block->n) {
        expect(block->entities, block->known[block->first + i], self->spec.width);
        expect(block->entities, block->asked[block->first + i], self->spec.width);
    }
}

static void ask(rub_graph_model_t *self, const block_t *block)
{
    const uint32_t width = self->spec.width;
    for (size_t i = 0; i < ROWS_AHEAD; i++) {
        expect_triple(self, block, i);
    }
    for (size_t i = 0; i < block->n; i++) {
        const size_t t = block->first + i;
        expect_triple(self, block, i + ROWS_AHEAD);
        const uint32_t slot = self->relations.slot_of[block->chunk->relations[t]];
        rub_graph_query(self->kind, block->entities + (size_t)block->known[t] * width,
                        self->ready + slot * width, width, block->chunk->corrupts_heads,
                        self->queries + i * width);
    }
    rub_graph_values(self->kind, self->queries, block->n, &self->points, self->values);
}

/* Values of triple i of the block become factors, its own pair's is returned. */
static float factors_of(rub_graph_model_t *self, const block_t *block, size_t i, float value,
                        bool looked_at, rub_graph_loss_sum_t *loss)
{
    const size_t m = self->points.n;
    const uint32_t asked = block->asked[block->first + i];
    const float *values = self->values + i * m;
    float *factors = self->factors + i * m;
    const float temperature = (float)self->spec.temperature;
    const float sign = self->sign, offset = self->offset;
    const uint32_t *negatives = block->chunk->negatives;
    bool *same = self->same;
    for (size_t j = 0; j < m; j++) {
        factors[j] = offset + sign * values[j];
    }
    for (size_t j = 0; j < m; j++) {
        same[j] = negatives[j] == asked;
    }
    const float pair = offset + sign * value;
    if (looked_at) {
        loss->sum += rub_graph_loss(pair, factors, same, m, temperature);
        loss->triples++;
    }
    return rub_graph_loss_factors(pair, factors, same, m, temperature,
                                  sign / (float)block->chunk->n, self->weights);
}

static void regularize(const rub_graph_model_t *self, const float *row, size_t width,
                       size_t n_triples, float *gradient)
{
    const float factor = (float)(3 * self->spec.regularization) / (float)n_triples;
    for (size_t k = 0; k < width; k++) {
        gradient[k] += factor * row[k] * fabsf(row[k]);
    }
}

static void work(rub_graph_model_t *self, const block_t *block, bool all,
                 rub_graph_loss_sum_t *loss)
{
    const uint32_t width = self->spec.width;
    const rub_graph_chunk_t *chunk = block->chunk;
    float pair_values[BLOCK], pair_factors[BLOCK];
    ask(self, block);
    for (size_t i = 0; i < block->n; i++) {
        const size_t t = block->first + i;
        pair_values[i] = rub_graph_value(self->kind, self->queries + i * width,
                                         block->entities + (size_t)block->asked[t] * width, width);
        pair_factors[i] =
            factors_of(self, block, i, pair_values[i], all || i % LOOKED_AT == 0, loss);
    }
    rub_graph_values_gradient(self->kind, self->queries, block->n, &self->points, self->values,
                              self->factors, self->query_gradients, self->negative_gradients);
    for (size_t i = 0; i < block->n; i++) {
        const size_t t = block->first + i;
        const float *query = self->queries + i * width;
        float *query_gradient = self->query_gradients + i * width;
        const float *known = block->entities + (size_t)block->known[t] * width;
        const float *asked = block->entities + (size_t)block->asked[t] * width;
        const float *relation =
            block->relations + (size_t)chunk->relations[t] * self->relations.width;
        float *relation_gradient = rub_row_sums_of(&self->relations, chunk->relations[t]);
        rub_graph_value_gradient(self->kind, query, asked, width, pair_values[i], pair_factors[i],
                                 query_gradient, rub_row_sums_of(&self->entities, block->asked[t]));
        rub_graph_query_gradient(
            self->kind, known, self->ready + self->relations.slot_of[chunk->relations[t]] * width,
            query, query_gradient, width, chunk->corrupts_heads,
            rub_row_sums_of(&self->entities, block->known[t]), relation_gradient);
        if (self->spec.regularization > 0) {
            regularize(self, known, width, chunk->n,
                       rub_row_sums_of(&self->entities, block->known[t]));
            regularize(self, asked, width, chunk->n,
                       rub_row_sums_of(&self->entities, block->asked[t]));
            if (!rub_graph_kind_has_phases(self->kind)) {
                regularize(self, relation, width, chunk->n, relation_gradient);
            }
        }
    }
}

static void sum_up(rub_graph_model_t *self, const rub_graph_chunk_t *chunk, const float *entities,
                   const float *relations, bool all, rub_graph_loss_sum_t *loss)
{
    const size_t width = self->spec.width;
    begin(self, chunk, entities, relations);
    for (size_t first = 0; first < chunk->n; first += BLOCK) {
        const size_t left = chunk->n - first;
        const block_t block = {.chunk = chunk,
                               .known = chunk->corrupts_heads ? chunk->tails : chunk->heads,
                               .asked = chunk->corrupts_heads ? chunk->heads : chunk->tails,
                               .entities = entities,
                               .relations = relations,
                               .first = first,
                               .n = left < BLOCK ? left : BLOCK};
        work(self, &block, all, loss);
    }
    for (size_t j = 0; j < chunk->n_negatives; j++) {
        rub_add_into(rub_row_sums_of(&self->entities, chunk->negatives[j]),
                     self->negative_gradients + j * width, width);
    }
}

void rub_graph_model_gradient(rub_graph_model_t *self, const rub_graph_chunk_t *chunk,
                              const float *entities, const float *relations,
                              rub_graph_gradient_t *gradient, rub_graph_loss_sum_t *loss)
{
    sum_up(self, chunk, entities, relations, true, loss);
    *gradient = (rub_graph_gradient_t){.n_entities = self->entities.n,
                                       .n_relations = self->relations.n,
                                       .entity_rows = self->entities.rows,
                                       .relation_rows = self->relations.rows,
                                       .entities = self->entities.sums,
                                       .relations = self->relations.sums};
}

static void step(const rub_graph_model_t *self, const rub_row_sums_t *slots,
                 const rub_hyper_t *hyper, float *rows, float *sums)
{
    for (size_t s = 0; s < slots->n; s++) {
        const size_t row = slots->rows[s];
        if (s + ROWS_AHEAD < slots->n) {
            expect(rows, slots->rows[s + ROWS_AHEAD], slots->width);
            expect(slots->sums, s + ROWS_AHEAD, slots->width);
            __builtin_prefetch(sums + slots->rows[s + ROWS_AHEAD]);
        }
        rub_optimizer_apply(self->optimizer, rows + row * slots->width, sums + row, slots->width, 0,
                            hyper, slots->sums + s * slots->width);
    }
}

void rub_graph_model_train(rub_graph_model_t *self, const rub_graph_chunk_t *chunk, float lr,
                           float epsilon, const rub_graph_tables_t *tables,
                           rub_graph_loss_sum_t *loss)
{
    const rub_hyper_t hyper = {.lr = (double)lr, .epsilon = (double)epsilon};
    sum_up(self, chunk, tables->entities, tables->relations, false, loss);
    step(self, &self->entities, &hyper, tables->entities, tables->entity_sums);
    step(self, &self->relations, &hyper, tables->relations, tables->relation_sums);
}
