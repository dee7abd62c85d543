/* Weights as other programs know them: named arrays of one or two dimensions, row by row.
 *
 * A dense table is one tensor of its name. "X/weights" beside a dense "X/bias" of m numbers is a
 * matrix of m columns, so that y = x W + b; any other dense table is a vector. A hashed table is
 * two: its rows under its name, and their keys, ascending, as "NAME.keys". */
#ifndef RUB_TENSOR_H
#define RUB_TENSOR_H

#include "common/num/weights.h"

#define RUB_TENSOR_KEYS ".keys" /* behind the name of a hashed table */
#define RUB_TENSOR_NAME_LIMIT (RUB_WEIGHTS_NAME_LIMIT + 5u)
#define RUB_TENSOR_TABLES_LIMIT 4096u /* of a file that is read */

typedef enum { RUB_TENSOR_F32, RUB_TENSOR_U64 } rub_tensor_type_t;

typedef struct rub_tensor {
    char name[RUB_TENSOR_NAME_LIMIT + 1];
    rub_tensor_type_t type;
    uint32_t n_dims; /* 1 or 2 */
    uint64_t shape[2];
    const void *data;
} rub_tensor_t;

static inline size_t rub_tensor_item_bytes(rub_tensor_type_t type)
{
    return type == RUB_TENSOR_U64 ? 8 : 4;
}

static inline uint64_t rub_tensor_items(const rub_tensor_t *self)
{
    return self->shape[0] * (self->n_dims > 1 ? self->shape[1] : 1);
}

static inline uint64_t rub_tensor_bytes(const rub_tensor_t *self)
{
    return rub_tensor_items(self) * rub_tensor_item_bytes(self->type);
}

/* All tensors of the weights, whose arrays they borrow; keys first, so that whoever writes them one
 * behind the other keeps each aligned. *tensors_p is the caller's (rub_free). RUB_ENOMEM. */
int rub_tensors_of(const rub_weights_t *weights, rub_tensor_t **tensors_p, size_t *n_p,
                   rub_error_t *err);

/* The way back: makes room among the weights for the tensor, whose data is not looked at: *room_p,
 * all 0, is the caller's to fill until the weights are touched again. Keys and rows of a table may
 * come in either order; rub_tensors_end makes sure that they belong together. RUB_EDATA: also of
 * more than RUB_TENSOR_TABLES_LIMIT tables. RUB_ENOMEM. */
int rub_tensors_add(rub_weights_t *weights, const rub_tensor_t *tensor, void **room_p,
                    rub_error_t *err);
/* All have been added and filled: sorts rows by their keys. RUB_EDATA: keys without rows, or of
 * another number of them, or twice; a value that is not finite; weights of a layer whose columns
 * are not as many as its bias has numbers. */
int rub_tensors_end(rub_weights_t *weights, rub_error_t *err);

#endif
