/* Between tables and tensors. Why keys travel beside the rows: files of tensors know places, not
 * keys, and a model of hashed features is nothing without them. Reading checks what writing
 * guarantees, because files come from anywhere. */
#include "common/tensor/tensor.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WEIGHTS "/weights"
#define BIAS "/bias"

/* Of a table that is the weights of a layer; NULL: it is not, or that has none. */
static const rub_weight_table_t *bias_of(const rub_weights_t *weights,
                                         const rub_weight_table_t *table)
{
    const size_t bytes = strlen(table->name), tail = strlen(WEIGHTS);
    char bias[RUB_WEIGHTS_NAME_LIMIT + 1];
    if (bytes < tail || strcmp(table->name + bytes - tail, WEIGHTS) != 0) {
        return NULL;
    }
    snprintf(bias, sizeof bias, "%.*s" BIAS, (int)(bytes - tail), table->name);
    return rub_weights_find(weights, bias);
}

/* Columns of a dense table: of its bias, if it is the weights of a layer. 1: it is a vector. */
static uint64_t columns_of(const rub_weights_t *weights, const rub_weight_table_t *table)
{
    const rub_weight_table_t *found = bias_of(weights, table);
    return found && found->dense && table->n_rows % found->n_rows == 0 ? found->n_rows : 1;
}

static rub_tensor_t rows_tensor(const rub_weights_t *weights, const rub_weight_table_t *table)
{
    const uint64_t columns = table->dense ? columns_of(weights, table) : table->width;
    const bool flat = table->dense && columns == 1;
    rub_tensor_t tensor = {
        .type = RUB_TENSOR_F32,
        .n_dims = flat ? 1 : 2,
        .shape = {table->dense ? table->n_rows / columns : table->n_rows, flat ? 0 : columns},
        .data = table->values};
    snprintf(tensor.name, sizeof tensor.name, "%s", table->name);
    return tensor;
}

/* Rows that there are none of make an array of no numbers, which few programs read. */
static bool is_empty(const rub_weight_table_t *table)
{
    return !table->dense && table->n_rows == 0;
}

int rub_tensors_of(const rub_weights_t *weights, rub_tensor_t **tensors_p, size_t *n_p,
                   rub_error_t *err)
{
    size_t n = 0;
    rub_tensor_t *tensors = rub_calloc(2 * weights->n_tables + 1, sizeof(*tensors));
    *tensors_p = tensors;
    *n_p = 0;
    if (!tensors) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu tables", weights->n_tables);
    }
    for (size_t i = 0; i < weights->n_tables; i++) {
        const rub_weight_table_t *table = &weights->tables[i];
        if (!table->dense && !is_empty(table)) {
            tensors[n] = (rub_tensor_t){
                .type = RUB_TENSOR_U64, .n_dims = 1, .shape = {table->n_rows}, .data = table->keys};
            snprintf(tensors[n++].name, sizeof tensors->name, "%s" RUB_TENSOR_KEYS, table->name);
        }
    }
    for (size_t i = 0; i < weights->n_tables; i++) {
        if (!is_empty(&weights->tables[i])) {
            tensors[n++] = rows_tensor(weights, &weights->tables[i]);
        }
    }
    *n_p = n;
    return 0;
}

/* ---- the way back ---- */

static rub_weight_table_t *find_or_add(rub_weights_t *weights, const char *name, rub_error_t *err)
{
    for (size_t i = 0; i < weights->n_tables; i++) {
        if (strcmp(weights->tables[i].name, name) == 0) {
            return &weights->tables[i];
        }
    }
    rub_weight_table_t *table = NULL;
    if (weights->n_tables == RUB_TENSOR_TABLES_LIMIT) {
        (void)rub_fail(err, RUB_EDATA, "tensor '%s': more than %u tables", name,
                       RUB_TENSOR_TABLES_LIMIT);
        return NULL;
    }
    const int rc = rub_weights_add(weights, name, &table, err);
    if (rc == RUB_ECORRUPT) {
        (void)rub_wrap(err, RUB_EDATA, "tensor '%s'", name);
    }
    return table;
}

static int make_room(const rub_tensor_t *tensor, void **to_p, rub_error_t *err)
{
    const uint64_t bytes = rub_tensor_bytes(tensor);
    if (*to_p) {
        return rub_fail(err, RUB_EDATA, "tensor '%s' comes twice", tensor->name);
    }
    *to_p = rub_calloc((size_t)bytes + 1, 1);
    if (!*to_p) {
        return rub_fail(err, RUB_ENOMEM, "no memory for tensor '%s' of %" PRIu64 " bytes",
                        tensor->name, bytes);
    }
    return 0;
}

/* n_rows is that of the keys until the end, where rows are held against it; of rows that have come
 * without keys so far the table is dense. */
int rub_tensors_add(rub_weights_t *weights, const rub_tensor_t *tensor, void **room_p,
                    rub_error_t *err)
{
    *room_p = NULL;
    char name[RUB_TENSOR_NAME_LIMIT + 1];
    snprintf(name, sizeof name, "%s", tensor->name);
    const size_t bytes = strlen(name), tail = strlen(RUB_TENSOR_KEYS);
    const bool keys = bytes > tail && strcmp(name + bytes - tail, RUB_TENSOR_KEYS) == 0;
    if (keys != (tensor->type == RUB_TENSOR_U64) || (keys && tensor->n_dims != 1) ||
        tensor->n_dims == 0 || (tensor->n_dims > 1 && tensor->shape[1] > UINT32_MAX)) {
        return rub_fail(err, RUB_EDATA,
                        "tensor '%s': expected float32 of one or two dimensions, or a vector of "
                        "64-bit keys as NAME" RUB_TENSOR_KEYS,
                        name);
    }
    name[keys ? bytes - tail : bytes] = '\0';
    rub_weight_table_t *table = find_or_add(weights, name, err);
    if (!table) {
        return err && err->code ? err->code : RUB_ENOMEM;
    }
    if (keys) {
        void *room = table->keys;
        const int rc = make_room(tensor, &room, err);
        table->keys = room;
        *room_p = room;
        const uint64_t n_values = table->values ? table->n_rows * table->width : 0;
        if (rc == 0 && table->values && table->n_rows != tensor->shape[0]) {
            return rub_fail(err, RUB_EDATA, "table '%s': %" PRIu64 " keys for %" PRIu64 " numbers",
                            name, tensor->shape[0], n_values);
        }
        table->n_rows = tensor->shape[0];
        table->dense = false;
        return rc;
    }
    void *room = table->values;
    const int rc = make_room(tensor, &room, err);
    table->values = room;
    *room_p = room;
    if (rc == 0 && table->keys && table->n_rows != tensor->shape[0]) {
        return rub_fail(err, RUB_EDATA, "table '%s': %" PRIu64 " rows for %" PRIu64 " keys", name,
                        tensor->shape[0], table->n_rows);
    }
    table->n_rows = tensor->shape[0];
    table->width = tensor->n_dims > 1 ? (uint32_t)tensor->shape[1] : 1;
    return rc;
}

/* A matrix the other way round has as many numbers; widths are known until the tables are ended. */
static int check_columns(const rub_weights_t *weights, const rub_weight_table_t *table,
                         rub_error_t *err)
{
    const rub_weight_table_t *bias = bias_of(weights, table);
    if (table->keys || table->width <= 1 || !bias || bias->keys ||
        bias->n_rows * bias->width == table->width) {
        return 0;
    }
    return rub_fail(err, RUB_EDATA,
                    "table '%s' is %" PRIu64 " x %u beside a bias of %" PRIu64
                    " numbers, expected inputs x units (transpose what has units x inputs)",
                    table->name, table->n_rows, table->width, bias->n_rows * bias->width);
}

static int end_table(rub_weight_table_t *table, rub_error_t *err)
{
    if (!table->values) {
        return rub_fail(err, RUB_EDATA, "table '%s' has keys and no rows", table->name);
    }
    const uint64_t n = table->n_rows * table->width;
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(table->values[i])) {
            return rub_fail(err, RUB_EDATA, "table '%s': number %" PRIu64 " is not finite",
                            table->name, i);
        }
    }
    table->dense = !table->keys;
    if (table->dense) {
        table->n_rows = n;
        table->width = 1;
        return 0;
    }
    const int rc = rub_weight_table_sort(table, err);
    return rc == RUB_ECORRUPT ? rub_wrap(err, RUB_EDATA, "keys") : rc;
}

int rub_tensors_end(rub_weights_t *weights, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < weights->n_tables && rc == 0; i++) {
        rc = check_columns(weights, &weights->tables[i], err);
    }
    for (size_t i = 0; i < weights->n_tables && rc == 0; i++) {
        rc = end_table(&weights->tables[i], err);
    }
    return rc;
}
