/* A list of layers as text, as run files have it without its brackets: "dense: 256, relu, conv:
 * {filters: 16, kernel: 5}". Pure. */
#ifndef RUB_LAYER_LIST_H
#define RUB_LAYER_LIST_H

#include "worker/model/layer.h"

#define RUB_LAYER_LIST_LIMIT (2u * RUB_MODEL_HIDDEN_LIMIT + 1u)

typedef struct rub_layer_list {
    rub_layer_spec_t items[RUB_LAYER_LIST_LIMIT];
    size_t n_items;
} rub_layer_list_t;

/* Reads the list. RUB_EINVAL, with a sentence that begins with the item's number, from 1: no item
 * at all, a kind that is not known, an argument that the kind does not have, has twice or lacks,
 * what is no number, a number outside its bounds, more than RUB_LAYER_LIST_LIMIT items, text behind
 * an item. */
int rub_layer_list_read(const char *text, rub_layer_list_t *list, rub_error_t *err);

/* Appends a layer of this kind whose first argument, if it has any, is that; the list is not full.
 */
void rub_layer_list_add(rub_layer_list_t *list, const rub_layer_kind_t *kind, double argument);

#endif
