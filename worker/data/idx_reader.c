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
#include "worker/data/packed_file.h"
#include "worker/data/reader.h"

#include <inttypes.h>
#include <string.h>

enum { IDX_UBYTE = 0x08, IDX_INT32 = 0x0c, IDX_FLOAT32 = 0x0d };
enum { IDX_DIMENSIONS_LIMIT = 4, IDX_MAGIC_BYTES = 4 };

typedef struct idx_header {
    uint8_t type;
    uint8_t n_dimensions;
    uint64_t n_examples;
    uint64_t width;    /* product of the other dimensions, 1 if there is none */
    uint32_t image[3]; /* these, of two or three of them: height, width, channels; else zeros */
} idx_header_t;

static uint32_t get_u32_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

bool rub_idx_sniff(const uint8_t *head, size_t n_head)
{
    return n_head >= IDX_MAGIC_BYTES && head[0] == 0 && head[1] == 0 && head[2] >= 0x08 &&
           head[2] <= 0x0e && head[3] >= 1 && head[3] <= IDX_DIMENSIONS_LIMIT;
}

static int read_header(rub_packed_file_t *file, const char *path, idx_header_t *header,
                       rub_error_t *err)
{
    uint8_t magic[IDX_MAGIC_BYTES];
    uint8_t sizes[4 * IDX_DIMENSIONS_LIMIT];
    int rc = rub_packed_file_read(file, magic, sizeof magic, err);
    if (rc != 0) {
        return rc;
    }
    if (!rub_idx_sniff(magic, sizeof magic)) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' is not IDX: it begins with bytes %02x %02x %02x %02x, "
                        "expected 00 00, a type 08 to 0e, 1 to %d dimensions",
                        path, magic[0], magic[1], magic[2], magic[3], IDX_DIMENSIONS_LIMIT);
    }
    *header = (idx_header_t){.type = magic[2], .n_dimensions = magic[3], .width = 1};
    rc = rub_packed_file_read(file, sizes, 4u * header->n_dimensions, err);
    if (rc != 0) {
        return rc;
    }
    header->n_examples = get_u32_big(sizes);
    if (header->n_examples == 0) {
        return rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1",
                        path);
    }
    for (size_t i = 1; i < header->n_dimensions; i++) {
        /* No overflow: the product so far is at most 2^20, the factor below 2^32. */
        header->width *= get_u32_big(sizes + 4 * i);
        if (header->width == 0 || header->width > RUB_DATASET_WIDTH_LIMIT) {
            return rub_fail(err, RUB_EDATA,
                            "data file '%s': dimensions 1 to %zu give %" PRIu64
                            " features per example, expected 1 to %u",
                            path, i, header->width, RUB_DATASET_WIDTH_LIMIT);
        }
    }
    if (header->n_dimensions >= 3) {
        header->image[0] = get_u32_big(sizes + 4);
        header->image[1] = get_u32_big(sizes + 8);
        header->image[2] = header->n_dimensions == 4 ? get_u32_big(sizes + 12) : 1;
    }
    return 0;
}

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
        const uint32_t word = get_u32_big(at);
        memcpy(at, &word, sizeof word);
    }
}

static int read_features(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                         rub_error_t *err)
{
    const char *path = options->features_path;
    rub_packed_file_t *file = NULL;
    void *data = NULL;
    idx_header_t header;
    int rc = rub_packed_file_open(path, &file, err);
    if (rc != 0) {
        goto out;
    }
    rc = read_header(file, path, &header, err);
    if (rc != 0) {
        goto out;
    }
    if (header.type != IDX_UBYTE && header.type != IDX_FLOAT32) {
        rc = rub_fail(err, RUB_EDATA,
                      "features file '%s' has IDX type 0x%02x, expected 0x08 (ubyte) or 0x0d "
                      "(float32)",
                      path, header.type);
        goto out;
    }
    const size_t item_bytes = header.type == IDX_UBYTE ? 1 : sizeof(float);
    rc = read_payload(file, path, header.n_examples * header.width, item_bytes,
                      options->limit_bytes, &data, err);
    /* Owned by the data set at once, so that a failure further on frees it. */
    if (header.type == IDX_UBYTE) {
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
    if (header.type == IDX_FLOAT32) {
        words_to_host(data, dataset->n_examples * dataset->width);
    }
out:
    rub_packed_file_close(&file);
    return rc;
}

static int check_labels_header(const char *path, const idx_header_t *header, size_t n_examples,
                               rub_error_t *err)
{
    if (header->type != IDX_UBYTE && header->type != IDX_INT32) {
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
    idx_header_t header;
    int rc = rub_packed_file_open(path, &file, err);
    if (rc != 0) {
        goto out;
    }
    rc = read_header(file, path, &header, err);
    if (rc != 0) {
        goto out;
    }
    rc = check_labels_header(path, &header, n, err);
    if (rc != 0) {
        goto out;
    }
    const size_t item_bytes = header.type == IDX_UBYTE ? 1 : sizeof(int32_t);
    rc = read_payload(file, path, n, item_bytes, RUB_DATASET_BYTES_LIMIT, &data, err);
    if (rc != 0) {
        goto out;
    }
    if (header.type == IDX_INT32) {
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
