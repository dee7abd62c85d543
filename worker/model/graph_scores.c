/* Queries and comparisons.
 *
 * Why distances of length 2 are matrix products, too: |q - e|^2 = |q|^2 + |e|^2 - 2 <q, e>, and the
 * gradient of a weighted sum of distances is linear in queries and points once the weights are
 * divided by the distances. What float32 loses where q and e nearly agree does not matter for
 * negatives, which are far; a triple's own pair is computed as it is written. The other two
 * distances are loops of common/num. Angles have a polynomial of ours, in float64, because libm's
 * differ from host to host. */
#include "worker/model/graph_scores.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/num/distance_loops.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define LEAST_DISTANCE 1e-6f
#define ANGLE_LIMIT 1e6f
enum { CACHE_LINE = 64, LANES = 16 };

typedef enum { DOT, L1, L2, MODULUS } comparison_t;

typedef void query_fn(const float *e, const float *r, size_t width, bool for_heads, float *q);
/* de, dr: added to. */
typedef void query_gradient_fn(const float *e, const float *r, const float *q, const float *dq,
                               size_t width, bool for_heads, float *restrict de,
                               float *restrict dr);

struct rub_graph_kind {
    const char *name;
    comparison_t comparison;
    bool is_complex, has_phases;
    query_fn *query;
    query_gradient_fn *query_gradient;
};

/* ---- queries ---- */

static void translate(const float *e, const float *r, size_t width, bool for_heads, float *q)
{
    for (size_t k = 0; k < width; k++) {
        q[k] = for_heads ? e[k] - r[k] : e[k] + r[k];
    }
}

static void translate_gradient(const float *e, const float *r, const float *q, const float *dq,
                               size_t width, bool for_heads, float *restrict de, float *restrict dr)
{
    RUB_UNUSED(e);
    RUB_UNUSED(r);
    RUB_UNUSED(q);
    for (size_t k = 0; k < width; k++) {
        de[k] += dq[k];
        dr[k] += for_heads ? -dq[k] : dq[k];
    }
}

static void multiply(const float *e, const float *r, size_t width, bool for_heads, float *q)
{
    RUB_UNUSED(for_heads);
    for (size_t k = 0; k < width; k++) {
        q[k] = e[k] * r[k];
    }
}

static void multiply_gradient(const float *e, const float *r, const float *q, const float *dq,
                              size_t width, bool for_heads, float *restrict de, float *restrict dr)
{
    RUB_UNUSED(q);
    RUB_UNUSED(for_heads);
    for (size_t k = 0; k < width; k++) {
        de[k] += dq[k] * r[k];
        dr[k] += dq[k] * e[k];
    }
}

/* q = e r, or e conj(r). */
static void multiply_complex(const float *e, const float *r, size_t width, bool for_heads, float *q)
{
    const size_t half = width / 2;
    const float sign = for_heads ? -1.0f : 1.0f;
    for (size_t k = 0; k < half; k++) {
        const float a = e[k], b = e[half + k], c = r[k], d = sign * r[half + k];
        q[k] = a * c - b * d;
        q[half + k] = a * d + b * c;
    }
}

/* With g the gradient of q = e s, s = r or conj(r): e's is g conj(s), that of s is g conj(e). */
static void multiply_complex_gradient(const float *e, const float *r, const float *q,
                                      const float *dq, size_t width, bool for_heads,
                                      float *restrict de, float *restrict dr)
{
    RUB_UNUSED(q);
    const size_t half = width / 2;
    const float sign = for_heads ? -1.0f : 1.0f;
    for (size_t k = 0; k < half; k++) {
        const float a = e[k], b = e[half + k], c = r[k], d = sign * r[half + k];
        const float x = dq[k], y = dq[half + k];
        de[k] += x * c + y * d;
        de[half + k] += y * c - x * d;
        dr[k] += x * a + y * b;
        dr[half + k] += sign * (y * a - x * b);
    }
}

/* q = e exp(+-i phase): that of the phase is +-Re(conj(g) i q). */
static void rotate_gradient(const float *e, const float *r, const float *q, const float *dq,
                            size_t width, bool for_heads, float *restrict de, float *restrict dr)
{
    RUB_UNUSED(e);
    const size_t half = width / 2;
    const float sign = for_heads ? -1.0f : 1.0f;
    for (size_t k = 0; k < half; k++) {
        const float c = r[k], d = sign * r[half + k];
        const float x = dq[k], y = dq[half + k];
        de[k] += x * c + y * d;
        de[half + k] += y * c - x * d;
        dr[k] += sign * (y * q[k] - x * q[half + k]);
    }
}

/* Cosine and sine by the nearest quarter turn and two polynomials on +-pi/4 (Taylor, cut where the
 * rest is below 1e-9). */
static void turn(float phase, float *cosine, float *sine)
{
    if (!(fabsf(phase) < ANGLE_LIMIT)) {
        *cosine = *sine = NAN;
        return;
    }
    const double x = (double)phase;
    const double quarters = x * 0.63661977236758134308;
    const int n = (int)(quarters < 0 ? quarters - 0.5 : quarters + 0.5);
    const double y = x - n * 1.57079632679489661923;
    const double z = y * y;
    const double s = y * (1 - z / 6 * (1 - z / 20 * (1 - z / 42 * (1 - z / 72 * (1 - z / 110)))));
    const double c = 1 - z / 2 * (1 - z / 12 * (1 - z / 30 * (1 - z / 56 * (1 - z / 90))));
    const unsigned quarter = (unsigned)n & 3;
    const double a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
    *cosine = (float)(quarter == 1 || quarter == 2 ? -a : a);
    *sine = (float)(quarter >= 2 ? -b : b);
}

/* ---- kinds ---- */

static const rub_graph_kind_t kinds[] = {
    {"transe_l1", L1, false, false, translate, translate_gradient},
    {"transe_l2", L2, false, false, translate, translate_gradient},
    {"distmult", DOT, false, false, multiply, multiply_gradient},
    {"complex", DOT, true, false, multiply_complex, multiply_complex_gradient},
    {"rotate", MODULUS, true, true, multiply_complex, rotate_gradient},
};

const rub_graph_kind_t *rub_graph_kind_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool rub_graph_kind_is_complex(const rub_graph_kind_t *kind)
{
    return kind->is_complex;
}

bool rub_graph_kind_is_distance(const rub_graph_kind_t *kind)
{
    return kind->comparison != DOT;
}

bool rub_graph_kind_has_phases(const rub_graph_kind_t *kind)
{
    return kind->has_phases;
}

uint32_t rub_graph_relation_width(const rub_graph_kind_t *kind, uint32_t width)
{
    return kind->has_phases ? width / 2 : width;
}

void rub_graph_relation_ready(const rub_graph_kind_t *kind, const float *relation, uint32_t width,
                              float *ready)
{
    if (!kind->has_phases) {
        memcpy(ready, relation, width * sizeof *ready);
        return;
    }
    for (uint32_t k = 0; k < width / 2; k++) {
        turn(relation[k], &ready[k], &ready[width / 2 + k]);
    }
}

void rub_graph_query(const rub_graph_kind_t *kind, const float *entity, const float *ready,
                     uint32_t width, bool for_heads, float *query)
{
    kind->query(entity, ready, width, for_heads, query);
}

void rub_graph_query_gradient(const rub_graph_kind_t *kind, const float *entity, const float *ready,
                              const float *query, const float *query_gradient, uint32_t width,
                              bool for_heads, float *entity_gradient, float *relation_gradient)
{
    kind->query_gradient(entity, ready, query, query_gradient, width, for_heads, entity_gradient,
                         relation_gradient);
}

/* ---- points ---- */

/* Sums of products and of squares are in lanes that come together at the end, by halves: in one
 * chain each term would wait for the one before it. */
static float sum_of_lanes(float lanes[LANES])
{
    for (size_t i = 0; i < 8; i++) {
        lanes[i] += lanes[8 + i];
    }
    for (size_t i = 0; i < 4; i++) {
        lanes[i] += lanes[4 + i];
    }
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

static float dot(const float *a, const float *b, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        for (size_t i = 0; i < LANES; i++) {
            lanes[i] += a[k + i] * b[k + i];
        }
    }
    for (; k < n; k++) {
        sum += a[k] * b[k];
    }
    return sum + sum_of_lanes(lanes);
}

static float squared_length(const float *a, const float *b, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        for (size_t i = 0; i < LANES; i++) {
            const float x = a[k + i] - b[k + i];
            lanes[i] += x * x;
        }
    }
    for (; k < n; k++) {
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    }
    return sum + sum_of_lanes(lanes);
}

/* into += factor x */
static void add_scaled(float factor, const float *x, size_t n, float *restrict into)
{
    for (size_t k = 0; k < n; k++) {
        into[k] += factor * x[k];
    }
}

bool rub_graph_points_init(rub_graph_points_t *self, size_t room, uint32_t width)
{
    *self = (rub_graph_points_t){.room = room, .width = width};
    self->columns = rub_alloc_aligned(CACHE_LINE, (room * width + 1) * sizeof *self->columns);
    self->squares = rub_alloc_aligned(CACHE_LINE, (room + 1) * sizeof *self->squares);
    if (!self->columns || !self->squares) {
        rub_graph_points_fini(self);
        return false;
    }
    return true;
}

void rub_graph_points_fini(rub_graph_points_t *self)
{
    rub_free(self->columns);
    rub_free(self->squares);
    *self = (rub_graph_points_t){0};
}

void rub_graph_points_set(rub_graph_points_t *self, const rub_graph_kind_t *kind, const float *rows,
                          size_t n)
{
    const size_t width = self->width;
    RUB_ASSERT(n <= self->room);
    self->n = n;
    self->rows = rows;
    if (kind->comparison == L2) {
        for (size_t j = 0; j < n; j++) {
            self->squares[j] = dot(rows + j * width, rows + j * width, width);
        }
    } else if (kind->comparison != DOT) {
        for (size_t j = 0; j < n; j++) {
            for (size_t k = 0; k < width; k++) {
                self->columns[k * n + j] = rows[j * width + k];
            }
        }
    }
}

/* ---- many with many ---- */

/* values = queries x points, transposed */
static void products(const float *queries, size_t n, const rub_graph_points_t *points,
                     float *values)
{
    const int width = (int)points->width;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)points->n, width, 1.0f,
                queries, width, points->rows, width, 0.0f, values, (int)points->n);
}

static void lengths(const float *queries, size_t n, const rub_graph_points_t *points, float *values)
{
    const size_t width = points->width;
    products(queries, n, points, values);
    for (size_t i = 0; i < n; i++) {
        const float *q = queries + i * width;
        const float square = dot(q, q, width);
        float *restrict row = values + i * points->n;
        for (size_t j = 0; j < points->n; j++) {
            const float left = square + points->squares[j] - 2 * row[j];
            row[j] = sqrtf(left < 0 ? 0 : left); /* NaN stays */
        }
    }
}

void rub_graph_values(const rub_graph_kind_t *kind, const float *queries, size_t n,
                      const rub_graph_points_t *points, float *values)
{
    if (kind->comparison == DOT) {
        products(queries, n, points, values);
        return;
    }
    if (kind->comparison == L2) {
        lengths(queries, n, points, values);
        return;
    }
    const rub_distance_loops_t *loops = rub_distance_loops();
    rub_distance_fn *distances = kind->comparison == L1 ? loops->l1 : loops->modulus;
    for (size_t i = 0; i < n; i++) {
        distances(queries + i * points->width, points->columns, points->n, points->width,
                  values + i * points->n);
    }
}

/* Both gradients of sum f <q, e>, times sign. */
static void products_gradient(const float *queries, size_t n, const rub_graph_points_t *points,
                              const float *factors, float sign, float *query_gradients,
                              float *row_gradients)
{
    const int width = (int)points->width;
    const int m = (int)points->n;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, width, m, sign, factors, m,
                points->rows, width, 0.0f, query_gradients, width);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, width, (int)n, sign, factors, m,
                queries, width, 1.0f, row_gradients, width);
}

/* With f = factor / distance: a query's is sum f (q - e) = q sum f - sum f e, a point's likewise.
 */
static void lengths_gradient(const float *queries, size_t n, const rub_graph_points_t *points,
                             const float *values, float *factors, float *query_gradients,
                             float *row_gradients)
{
    const size_t width = points->width, m = points->n;
    for (size_t i = 0; i < n * m; i++) {
        const float value = values[i];
        factors[i] /= value < LEAST_DISTANCE ? LEAST_DISTANCE : value;
    }
    products_gradient(queries, n, points, factors, -1.0f, query_gradients, row_gradients);
    float *restrict sums = points->columns; /* not needed by this kind: m <= room x width */
    memset(sums, 0, m * sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        const float *row = factors + i * m;
        float lanes[LANES] = {0}, sum = 0;
        size_t j = 0;
        for (; j + LANES <= m; j += LANES) {
            for (size_t k = 0; k < LANES; k++) {
                lanes[k] += row[j + k];
                sums[j + k] += row[j + k];
            }
        }
        for (; j < m; j++) {
            sum += row[j];
            sums[j] += row[j];
        }
        sum += sum_of_lanes(lanes);
        add_scaled(sum, queries + i * width, width, query_gradients + i * width);
    }
    for (size_t j = 0; j < m; j++) {
        add_scaled(sums[j], points->rows + j * width, width, row_gradients + j * width);
    }
}

void rub_graph_values_gradient(const rub_graph_kind_t *kind, const float *queries, size_t n,
                               const rub_graph_points_t *points, const float *values,
                               float *factors, float *query_gradients, float *row_gradients)
{
    const size_t width = points->width;
    if (kind->comparison == DOT) {
        products_gradient(queries, n, points, factors, 1.0f, query_gradients, row_gradients);
        return;
    }
    if (kind->comparison == L2) {
        lengths_gradient(queries, n, points, values, factors, query_gradients, row_gradients);
        return;
    }
    const rub_distance_loops_t *loops = rub_distance_loops();
    rub_distance_gradient_fn *gradient =
        kind->comparison == L1 ? loops->l1_gradient : loops->modulus_gradient;
    memset(query_gradients, 0, n * width * sizeof *query_gradients);
    for (size_t i = 0; i < n; i++) {
        gradient(queries + i * width, points->rows, factors + i * points->n, points->n, width,
                 query_gradients + i * width, row_gradients);
    }
}

/* ---- one with one ---- */

float rub_graph_value(const rub_graph_kind_t *kind, const float *query, const float *point,
                      uint32_t width)
{
    float value = 0;
    if (kind->comparison == DOT) {
        return dot(query, point, width);
    }
    if (kind->comparison == L2) {
        return sqrtf(squared_length(query, point, width));
    }
    const rub_distance_loops_t *loops = rub_distance_loops();
    (kind->comparison == L1 ? loops->l1 : loops->modulus)(query, point, 1, width, &value);
    return value;
}

void rub_graph_value_gradient(const rub_graph_kind_t *kind, const float *query, const float *point,
                              uint32_t width, float value, float factor, float *query_gradient,
                              float *point_gradient)
{
    if (kind->comparison == DOT) {
        add_scaled(factor, point, width, query_gradient);
        add_scaled(factor, query, width, point_gradient);
        return;
    }
    if (kind->comparison == L2) {
        const float scale = factor / (value < LEAST_DISTANCE ? LEAST_DISTANCE : value);
        for (uint32_t k = 0; k < width; k++) {
            const float step = scale * (query[k] - point[k]);
            query_gradient[k] += step;
            point_gradient[k] -= step;
        }
        return;
    }
    const rub_distance_loops_t *loops = rub_distance_loops();
    (kind->comparison == L1 ? loops->l1_gradient : loops->modulus_gradient)(
        query, point, &factor, 1, width, query_gradient, point_gradient);
}
