/* Data sets in NumPy's arrays: features of n examples, and a label for each.
 *
 * The first dimension counts examples; the others together are an example's features, two of them
 * an image's height and width, three its height, width and channels. Bytes without sign stay bytes,
 * as images have them (worker/data/dataset.h: byte / 255); every other kind of number becomes
 * float32. Labels are whole numbers, of shape (n) or (n, 1). Invariant: memory grows with what
 * really arrives, chunk by chunk, whatever a shape claims. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/npy_array.h"
#include "worker/data/reader.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNK_ITEMS = 8192, CHUNK_BYTES = CHUNK_ITEMS * 8 };

bool rub_npy_sniff(const uint8_t *head, size_t n_head)
{
    return n_head >= 6 && (memcmp(head, "\x93NUMPY", 6) == 0 || memcmp(head, "PK\3\4", 4) == 0);
}

/* Puts n items of a chunk behind those before. */
typedef int put_t(void *context, const rub_npy_array_t *array, const void *items, size_t n,
                  rub_error_t *err);

static int read_items(rub_npy_array_t *array, put_t *put, void *context, rub_error_t *err)
{
    uint8_t *const chunk = rub_alloc(CHUNK_BYTES);
    int rc = chunk ? 0 : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", array->path);
    for (uint64_t done = 0; rc == 0 && done < array->header.n_items;) {
        const uint64_t left = array->header.n_items - done;
        const size_t n = left < CHUNK_ITEMS ? (size_t)left : CHUNK_ITEMS;
        rc = rub_npy_array_read(array, chunk, n, err);
        rc = rc ? rc : put(context, array, chunk, n, err);
        done += n;
    }
    rub_free(chunk);
    return rc ? rc : rub_npy_array_expect_end(array, err);
}

/* Room for n more of item_bytes each behind *n_p. */
static int grow(void *items_p, size_t *room_p, size_t n, size_t item_bytes, const char *path,
                rub_error_t *err)
{
    return rub_grow(items_p, room_p, n, item_bytes) == 0
               ? 0
               : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu items", path, n);
}

/* ---- features ---- */

typedef struct features {
    rub_dataset_t *dataset;
    size_t n, room;
} features_t;

static int put_features(void *context, const rub_npy_array_t *array, const void *items, size_t n,
                        rub_error_t *err)
{
    features_t *const self = context;
    rub_dataset_t *const dataset = self->dataset;
    if (array->header.kind == 'u' && array->header.item_bytes == 1) {
        const int rc = grow(&dataset->bytes, &self->room, self->n + n, 1, array->path, err);
        if (rc == 0) {
            memcpy(dataset->bytes + self->n, items, n);
            self->n += n;
        }
        return rc;
    }
    const int rc =
        grow(&dataset->floats, &self->room, self->n + n, sizeof(float), array->path, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        dataset->floats[self->n++] = (float)rub_npy_array_number(array, items, i);
    }
    return rc;
}

static int check_features(const rub_npy_array_t *array, uint64_t limit_bytes,
                          rub_dataset_t *dataset, rub_error_t *err)
{
    const size_t item_bytes =
        array->header.kind == 'u' && array->header.item_bytes == 1 ? 1 : sizeof(float);
    rub_npy_examples_t examples;
    const int rc = rub_npy_array_examples(array, &examples, err);
    if (rc) {
        return rc;
    }
    if (array->header.n_items > limit_bytes / item_bytes) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' has %" PRIu64 " items, the limit is %" PRIu64
                        " bytes of %zu for each",
                        array->path, array->header.n_items, limit_bytes, item_bytes);
    }
    dataset->n_examples = examples.n;
    dataset->width = examples.width;
    memcpy(dataset->image, examples.image, sizeof dataset->image);
    return 0;
}

static int read_features(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                         rub_error_t *err)
{
    rub_npy_array_t array;
    features_t features = {.dataset = dataset};
    int rc = rub_npy_array_open(&array, options->features_path, err);
    rc = rc ? rc : check_features(&array, options->limit_bytes, dataset, err);
    rc = rc ? rc : read_items(&array, put_features, &features, err);
    rub_npy_array_close(&array);
    return rc;
}

/* ---- labels ---- */

typedef struct labels {
    rub_dataset_t *dataset;
    size_t n, room;
} labels_t;

static int put_labels(void *context, const rub_npy_array_t *array, const void *items, size_t n,
                      rub_error_t *err)
{
    labels_t *const self = context;
    const int rc =
        grow(&self->dataset->labels, &self->room, self->n + n, sizeof(int32_t), array->path, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const int64_t label = rub_npy_array_integer(array, items, i);
        if (label < 0 || label > INT32_MAX) {
            return rub_fail(err, RUB_EDATA,
                            "data file '%s', byte %" PRIu64 ": label %" PRId64
                            " of example %zu, expected 0 to %d",
                            array->path, array->offset - (n - i) * array->header.item_bytes, label,
                            self->n, INT32_MAX);
        }
        self->dataset->labels[self->n++] = (int32_t)label;
    }
    return rc;
}

static int read_labels(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                       rub_error_t *err)
{
    rub_npy_array_t array;
    labels_t labels = {.dataset = dataset};
    int rc = rub_npy_array_open(&array, options->labels_path, err);
    if (rc == 0 && array.header.kind == 'f') {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' has floats, expected whole numbers as labels",
                      array.path);
    }
    if (rc == 0 &&
        (array.header.n_dimensions == 0 || array.header.shape[0] != array.header.n_items)) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' has %u dimensions, expected 1 of labels",
                      array.path, array.header.n_dimensions);
    }
    if (rc == 0 && array.header.n_items != dataset->n_examples) {
        rc = rub_fail(err, RUB_EDATA,
                      "data file '%s' holds %" PRIu64 " labels, expected %zu, one per example",
                      array.path, array.header.n_items, dataset->n_examples);
    }
    rc = rc ? rc : read_items(&array, put_labels, &labels, err);
    rub_npy_array_close(&array);
    return rc;
}

int rub_npy_read(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err)
{
    const int rc = read_features(options, dataset, err);
    return rc ? rc : read_labels(options, dataset, err);
}
