/* Embeddings of a knowledge graph, trained by chunks of triples that share their negatives
 * (graph_scores.h: the models; graph_loss.h: the loss). All of a chunk's scores against negatives
 * come from a few matrix products, or loops over distances; so do the gradients.
 *
 * A chunk's loss is the mean over its triples, plus, when asked for, the mean of
 * regularization x (sum of |x|^3 over head, relation and tail) (Lacroix et al., ICML 2018), of
 * which phases have no part. Steps are AdaGrad's with one accumulator for a row, as DGL-KE and
 * PyTorch-BigGraph have it: rows that come twice in a chunk are stepped once, with their sum.
 *
 * Numbers: float32, row-major. After rub_graph_model_new nothing allocates. One thread at a time
 * for one object. Blind to client and data. */
#ifndef RUB_GRAPH_MODEL_H
#define RUB_GRAPH_MODEL_H

#include "worker/model/graph_scores.h"

#define RUB_GRAPH_NEGATIVES_LIMIT 4096u /* of a chunk */

typedef struct rub_graph_model rub_graph_model_t;

typedef struct rub_graph_spec {
    const char *kind;      /* "transe_l2"; rub_graph_kind_named */
    uint32_t width;        /* float32 of an entity; of complex numbers two each */
    double gamma;          /* similarity = gamma - distance */
    double temperature;    /* of self-adversarial weights; 0: all negatives weigh the same */
    double regularization; /* 0: none */
    size_t chunk;          /* triples, at most */
    size_t negatives;      /* of a chunk, at most */
    size_t entity_rows;    /* of the tables that chunks number, at most */
    size_t relation_rows;
} rub_graph_spec_t;

/* *self_p is the caller's, NULL on failure. RUB_EINVAL: an unknown kind, an odd width of complex
 * numbers, a number that is 0 or above its limit, not finite or negative. RUB_ENOMEM. */
int rub_graph_model_new(const rub_graph_spec_t *spec, rub_graph_model_t **self_p, rub_error_t *err);
void rub_graph_model_destroy(rub_graph_model_t **self_p); /* NULL is fine */

const rub_graph_kind_t *rub_graph_model_kind(const rub_graph_model_t *self);

/* How a table's rows begin: entities, and relations that are no phases, uniform in +-(gamma + 2) /
 * (numbers of an entity, complex ones count once), phases in +-pi (Sun et al.; DGL-KE). */
double rub_graph_model_init_scale(const rub_graph_spec_t *spec, bool relations);

/* Some triples; rows are those of the tables that are passed with it. */
typedef struct rub_graph_chunk {
    size_t n;                                  /* <= spec.chunk */
    const uint32_t *heads, *relations, *tails; /* n rows each */
    const uint32_t *negatives;                 /* rows of entities */
    size_t n_negatives;
    bool corrupts_heads; /* negatives stand in for heads; otherwise for tails */
} rub_graph_chunk_t;

typedef struct rub_graph_loss_sum {
    double sum;       /* without regularization, over the triples that were looked at: */
    uint64_t triples; /* in training one of 64, of a gradient all */
} rub_graph_loss_sum_t;

/* What a chunk's loss grows by: rows that it touches, each once, and their gradients. Valid until
 * the model's next call. */
typedef struct rub_graph_gradient {
    size_t n_entities, n_relations;
    const uint32_t *entity_rows, *relation_rows;
    const float *entities, *relations; /* n x width, n x relation width */
} rub_graph_gradient_t;

void rub_graph_model_gradient(rub_graph_model_t *self, const rub_graph_chunk_t *chunk,
                              const float *entities, const float *relations,
                              rub_graph_gradient_t *gradient, rub_graph_loss_sum_t *loss);

/* Tables of rows and the accumulator of each row. */
typedef struct rub_graph_tables {
    float *entities, *entity_sums;
    float *relations, *relation_sums;
} rub_graph_tables_t;

/* One step on the chunk: G += mean of g^2, x -= lr g / (sqrt(G) + epsilon), by row. Adds to *loss.
 * Values that are not finite come out as a loss that is not finite, at the latest a step later. */
void rub_graph_model_train(rub_graph_model_t *self, const rub_graph_chunk_t *chunk, float lr,
                           float epsilon, const rub_graph_tables_t *tables,
                           rub_graph_loss_sum_t *loss);

#endif
