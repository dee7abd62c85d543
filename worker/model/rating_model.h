/* Matrix factorization: users and items get vectors whose products say what a user thinks of an
 * item. Kinds are rows of a table (rub_rating_kind_named):
 *
 * mf: r_ui = mean + b_u + b_i + <p_u, q_i>, of explicit ratings (Koren, Bell & Volinsky, Computer
 * 2009; Funk 2006); loss 1/2 (rating - r_ui)^2.
 *
 * mf_bpr: s_ui = b_i + <p_u, q_i>, of what users chose: a chosen item i before others j (Rendle et
 * al., UAI 2009); loss: c times the mean over j of -log s(s_ui - s_uj).
 *
 * mf_logistic: s_ui = b_u + b_i + <p_u, q_i>, log-odds (Johnson 2014, with drawn negatives);
 * loss -c log s(s_ui) - mean over j of log s(-s_uj).
 *
 * s(x) = 1 / (1 + exp(-x)); c = 1 + confidence x the rating (Hu, Koren & Volinsky, ICDM 2008). To
 * each loss l2 / 2 of the squares of all numbers that it is made of is added, of each negative the
 * part that it counts for.
 *
 * Ratings of mf are steps one by one. Others come in chunks that share their negatives: scores and
 * gradients are matrix products, and a chunk is one step on the sum of its losses. Steps are
 * AdaGrad's with two accumulators for a row, of its vector and of its bias.
 *
 * Numbers: float32, row-major. After rub_rating_model_new nothing allocates. One thread at a time
 * for one object. Blind to client and data. */
#ifndef RUB_RATING_MODEL_H
#define RUB_RATING_MODEL_H

#include "include/rubato.h"

#define RUB_RATING_NEGATIVES_LIMIT 4096u /* of a chunk */
#define RUB_RATING_WIDTH_LIMIT 4096u
#define RUB_RATING_SUMS 2u        /* accumulators of a row */
#define RUB_RATING_INIT_SCALE 0.1 /* vectors begin normal, with this deviation; biases at 0 */

typedef struct rub_rating_kind {
    const char *name;
    bool draws;     /* learns from what was chosen, against negatives; otherwise from ratings */
    bool user_bias; /* users have one; items always do */
} rub_rating_kind_t;

/* By name; NULL when there is none. Static. */
const rub_rating_kind_t *rub_rating_kind_named(const char *name);

typedef struct rub_rating_model rub_rating_model_t;

typedef struct rub_rating_spec {
    const char *kind;
    uint32_t width;    /* of a vector */
    double l2;         /* 0: none */
    double confidence; /* of kinds that draw; 0: every choice counts 1 */
    double mean;       /* of mf */
    size_t chunk;      /* ratings, at most */
    size_t negatives;  /* of a chunk, at most; at least 1 for kinds that draw */
    size_t user_rows;  /* of the tables that chunks number, at most */
    size_t item_rows;
} rub_rating_spec_t;

/* *self_p is the caller's, NULL on failure. RUB_EINVAL: an unknown kind, a number that is 0 or
 * above its limit, not finite or negative. RUB_ENOMEM. */
int rub_rating_model_new(const rub_rating_spec_t *spec, rub_rating_model_t **self_p,
                         rub_error_t *err);
void rub_rating_model_destroy(rub_rating_model_t **self_p); /* NULL is fine */

/* Some ratings; rows are those of the tables that are passed with it. */
typedef struct rub_rating_chunk {
    size_t n; /* <= spec.chunk */
    const uint32_t *users, *items;
    const float *values;
    /* Of kinds that draw: */
    const uint32_t *negatives; /* rows of items */
    size_t n_negatives;
    const size_t *skip_starts; /* n + 1: skips[skip_starts[i] .. skip_starts[i + 1]) */
    const uint32_t *skips;     /* are which of the negatives do not count for rating i, each once */
} rub_rating_chunk_t;

/* Rows of each table; biases of users NULL where the kind has none. */
typedef struct rub_rating_tables {
    float *users, *items;         /* rows x width */
    float *user_bias, *item_bias; /* rows */
    float *user_sums, *item_sums; /* rows x RUB_RATING_SUMS; of a gradient NULL */
} rub_rating_tables_t;

typedef struct rub_rating_loss_sum {
    double sum;       /* of mf the squares of the differences; else losses, without l2; over the */
    uint64_t ratings; /* ratings that were looked at: all of mf and of a gradient, else one of 16 */
} rub_rating_loss_sum_t;

/* What the sum of a chunk's losses grows by: rows that it touches, each once, and their gradients:
 * width numbers of the vector, then the bias. Valid until the model's next call. */
typedef struct rub_rating_gradient {
    size_t n_users, n_items;
    const uint32_t *user_rows, *item_rows;
    const float *users, *items; /* n x (width + 1) */
} rub_rating_gradient_t;

void rub_rating_model_gradient(rub_rating_model_t *self, const rub_rating_chunk_t *chunk,
                               const rub_rating_tables_t *tables, rub_rating_gradient_t *gradient,
                               rub_rating_loss_sum_t *loss);

/* Steps on the chunk: G += mean of g^2, x -= lr g / (sqrt(G) + epsilon), by row. Adds to *loss.
 * Values that are not finite come out as a loss that is not finite, at the latest a step later. */
void rub_rating_model_train(rub_rating_model_t *self, const rub_rating_chunk_t *chunk, float lr,
                            float epsilon, const rub_rating_tables_t *tables,
                            rub_rating_loss_sum_t *loss);

/* <a, b>, in an order that is the same on every host. Any n. */
float rub_rating_product(const float *a, const float *b, size_t n);

#endif
