/* The IDX format of the MNIST family.
 *
 * Layout (Y. LeCun, "The MNIST database", file formats; all numbers big-endian): two zero bytes, a
 * type byte, the number of dimensions, one u32 per dimension, then the elements, last dimension
 * fastest. The first dimension counts examples; the others together are an example's features, two
 * of them an image's height and width, three its height, width and channels. Invariant: no size of
 * a header is believed before it was held against the limits, and memory follows the bytes that
 * really arrive (worker/data/packed_file.h). Features: ubyte, kept as bytes, or float32. Labels:
 * ubyte or int32, one dimension. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/idx_header.h"
#include "worker/data/packed_file.h"
#include "worker/data/reader.h"

#include <inttypes.h>
#include <string.h>

/* Reads n elements of item_bytes each, up to the end of the file. */
static int read_payload(rub_packed_file_t *file, const char *path, uint64_t n, size_t item_bytes,
                        uint64_t limit_bytes, void **data_p, rub_error_t *err)
{
    if (n > limit_bytes / item_bytes) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s': its header asks for %" PRIu64 " elements of %zu bytes, "
                        "the limit is %" PRIu64 " bytes",
                        path, n, item_bytes, limit_bytes);
    }
    int rc = rub_packed_file_read_new(file, (size_t)n * item_bytes, data_p, err);
    if (rc != 0) {
        return rc;
    }
    return rub_packed_file_expect_end(file, err);
}

/* In place: big-endian words to the host's. Floats and integers alike: only bytes move. */
static void words_to_host(void *data, size_t n)
{
    uint8_t *at = data;
    for (size_t i = 0; i < n; i++, at += 4) {
        const uint32_t word = rub_idx_u32(at);
        memcpy(at, &word, sizeof word);
    }
}

static int read_features(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                         rub_error_t *err)
{
    const char *path = options->features_path;
    rub_packed_file_t *file = NULL;
    void *data = NULL;
    rub_idx_header_t header;
    int rc = rub_packed_file_open(path, &file, err);
    if (rc != 0) {
        goto out;
    }
    rc = rub_idx_header_read(file, path, &header, err);
    if (rc != 0) {
        goto out;
    }
    if (header.type != RUB_IDX_UBYTE && header.type != RUB_IDX_FLOAT32) {
        rc = rub_fail(err, RUB_EDATA,
                      "features file '%s' has IDX type 0x%02x, expected 0x08 (ubyte) or 0x0d "
                      "(float32)",
                      path, header.type);
        goto out;
    }
    const size_t item_bytes = header.type == RUB_IDX_UBYTE ? 1 : sizeof(float);
    rc = read_payload(file, path, header.n_examples * header.width, item_bytes,
                      options->limit_bytes, &data, err);
    /* Owned by the data set at once, so that a failure further on frees it. */
    if (header.type == RUB_IDX_UBYTE) {
        dataset->bytes = data;
    } else {
        dataset->floats = data;
    }
    if (rc != 0) {
        goto out;
    }
    dataset->n_examples = (size_t)header.n_examples;
    dataset->width = (size_t)header.width;
    memcpy(dataset->image, header.image, sizeof dataset->image);
    if (header.type == RUB_IDX_FLOAT32) {
        words_to_host(data, dataset->n_examples * dataset->width);
    }
out:
    rub_packed_file_close(&file);
    return rc;
}

static int check_labels_header(const char *path, const rub_idx_header_t *header, size_t n_examples,
                               rub_error_t *err)
{
    if (header->type != RUB_IDX_UBYTE && header->type != RUB_IDX_INT32) {
        return rub_fail(err, RUB_EDATA,
                        "labels file '%s' has IDX type 0x%02x, expected 0x08 (ubyte) or 0x0c "
                        "(int32)",
                        path, header->type);
    }
    if (header->n_dimensions != 1) {
        return rub_fail(err, RUB_EDATA, "labels file '%s' has %u dimensions, expected 1", path,
                        header->n_dimensions);
    }
    if (header->n_examples != n_examples) {
        return rub_fail(err, RUB_EDATA,
                        "labels file '%s' holds %" PRIu64 " labels, expected %zu, one per example",
                        path, header->n_examples, n_examples);
    }
    return 0;
}

static int read_labels(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                       rub_error_t *err)
{
    const char *path = options->labels_path;
    const size_t n = dataset->n_examples;
    rub_packed_file_t *file = NULL;
    void *data = NULL;
    rub_idx_header_t header;
    int rc = rub_packed_file_open(path, &file, err);
    if (rc != 0) {
        goto out;
    }
    rc = rub_idx_header_read(file, path, &header, err);
    if (rc != 0) {
        goto out;
    }
    rc = check_labels_header(path, &header, n, err);
    if (rc != 0) {
        goto out;
    }
    const size_t item_bytes = header.type == RUB_IDX_UBYTE ? 1 : sizeof(int32_t);
    rc = read_payload(file, path, n, item_bytes, RUB_DATASET_BYTES_LIMIT, &data, err);
    if (rc != 0) {
        goto out;
    }
    if (header.type == RUB_IDX_INT32) {
        words_to_host(data, n);
        dataset->labels = data;
        data = NULL;
        goto out;
    }
    dataset->labels = rub_calloc(n, sizeof *dataset->labels);
    if (dataset->labels == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "labels file '%s': no memory for %zu labels", path, n);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        dataset->labels[i] = ((const uint8_t *)data)[i];
    }
out:
    rub_free(data);
    rub_packed_file_close(&file);
    return rc;
}

int rub_idx_read(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err)
{
    const int rc = read_features(options, dataset, err);
    if (rc != 0) {
        return rc;
    }
    return read_labels(options, dataset, err);
}
