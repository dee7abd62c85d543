/* How models of knowledge graphs score triples, and the gradients of that.
 *
 * A triple (h, r, t) whose tail is asked for becomes a query, made of h and r, that is compared
 * with entities; one whose head is asked for a query made of t and r. So all models are a way to
 * make a query and a way to compare it with points (rows of entities), and the comparison of many
 * queries with many points is a few matrix products, or a loop over distances:
 *
 *     model       query for tails   for heads       similarity           paper
 *     transe_l1   h + r             t - r           gamma - |q - e|_1    Bordes et al., NIPS 2013
 *     transe_l2   h + r             t - r           gamma - |q - e|_2    the same
 *     distmult    h r               t r             <q, e>               Yang et al., ICLR 2015
 *     complex     h r               t conj(r)       Re <q, conj(e)>      Trouillon et al., ICML
 * 2016 rotate      h exp(i r)        t exp(-i r)     gamma - |q - e|      Sun et al., ICLR 2019
 *
 * Products are element by element. Vectors of complex numbers hold their real parts in the first
 * half and the imaginary ones in the second; rotate's relations are phases, one for each complex
 * number, and its distance is the sum of the numbers' moduli. Pure; float32, row-major; no libm. */
#ifndef RUB_GRAPH_SCORES_H
#define RUB_GRAPH_SCORES_H

#include "include/rubato.h"

typedef struct rub_graph_kind rub_graph_kind_t;

/* By its name; NULL when there is none. Static. */
const rub_graph_kind_t *rub_graph_kind_named(const char *name);

bool rub_graph_kind_is_complex(const rub_graph_kind_t *kind);  /* then widths are even */
bool rub_graph_kind_is_distance(const rub_graph_kind_t *kind); /* then values are distances */
bool rub_graph_kind_has_phases(const rub_graph_kind_t *kind);
/* Numbers of a relation when entities have `width`. */
uint32_t rub_graph_relation_width(const rub_graph_kind_t *kind, uint32_t width);

/* A relation as queries take it, width numbers: phases become cosines and sines, others are copied.
 * Phases beyond +-1e6 come out as NaN. */
void rub_graph_relation_ready(const rub_graph_kind_t *kind, const float *relation, uint32_t width,
                              float *ready);
/* entity: the known one. for_heads: the head is asked for. query: width. */
void rub_graph_query(const rub_graph_kind_t *kind, const float *entity, const float *ready,
                     uint32_t width, bool for_heads, float *query);
/* Adds to the gradients of entity (width) and relation (relation width) what that of the query
 * means for them. */
void rub_graph_query_gradient(const rub_graph_kind_t *kind, const float *entity, const float *ready,
                              const float *query, const float *query_gradient, uint32_t width,
                              bool for_heads, float *entity_gradient, float *relation_gradient);

/* Points that queries are compared with; room for a number of them. */
typedef struct rub_graph_points {
    size_t n, room;
    uint32_t width;
    const float *rows; /* n x width, the caller's */
    float *columns;    /* width x n: of distances that are no matrix products */
    float *squares;    /* of their lengths: transe_l2 */
} rub_graph_points_t;

/* RUB_ENOMEM: false, and nothing is held. */
bool rub_graph_points_init(rub_graph_points_t *self, size_t room, uint32_t width);
void rub_graph_points_fini(rub_graph_points_t *self);
/* Makes n <= room rows the points. Keeps rows until they are set anew. */
void rub_graph_points_set(rub_graph_points_t *self, const rub_graph_kind_t *kind, const float *rows,
                          size_t n);

/* values: n x points->n: what each query and each point make, distance or product. */
void rub_graph_values(const rub_graph_kind_t *kind, const float *queries, size_t n,
                      const rub_graph_points_t *points, float *values);
/* factors: n x points->n, what the loss grows by with each value; spoilt. query_gradients (n x
 * width) are set, row_gradients (points->n x width) added to. */
void rub_graph_values_gradient(const rub_graph_kind_t *kind, const float *queries, size_t n,
                               const rub_graph_points_t *points, const float *values,
                               float *factors, float *query_gradients, float *row_gradients);

/* The same for one query and one point; adds to both gradients. */
float rub_graph_value(const rub_graph_kind_t *kind, const float *query, const float *point,
                      uint32_t width);
void rub_graph_value_gradient(const rub_graph_kind_t *kind, const float *query, const float *point,
                              uint32_t width, float value, float factor, float *query_gradient,
                              float *point_gradient);

#endif
