/* No size of a header is believed before it was held against the limits. */
#include "worker/data/idx_header.h"

#include "common/base/error.h"
#include "worker/data/reader.h"

#include <inttypes.h>

enum { IDX_DIMENSIONS_LIMIT = 4, IDX_MAGIC_BYTES = 4 };

bool rub_idx_sniff(const uint8_t *head, size_t n_head)
{
    return n_head >= IDX_MAGIC_BYTES && head[0] == 0 && head[1] == 0 && head[2] >= 0x08 &&
           head[2] <= 0x0e && head[3] >= 1 && head[3] <= IDX_DIMENSIONS_LIMIT;
}

int rub_idx_header_read(rub_packed_file_t *file, const char *path, rub_idx_header_t *header,
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
    *header = (rub_idx_header_t){.type = magic[2], .n_dimensions = magic[3], .width = 1};
    rc = rub_packed_file_read(file, sizes, 4u * header->n_dimensions, err);
    if (rc != 0) {
        return rc;
    }
    header->n_examples = rub_idx_u32(sizes);
    if (header->n_examples == 0) {
        return rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1",
                        path);
    }
    for (size_t i = 1; i < header->n_dimensions; i++) {
        /* No overflow: the product so far is at most 2^20, the factor below 2^32. */
        header->width *= rub_idx_u32(sizes + 4 * i);
        if (header->width == 0 || header->width > RUB_DATASET_WIDTH_LIMIT) {
            return rub_fail(err, RUB_EDATA,
                            "data file '%s': dimensions 1 to %zu give %" PRIu64
                            " features per example, expected 1 to %u",
                            path, i, header->width, RUB_DATASET_WIDTH_LIMIT);
        }
    }
    if (header->n_dimensions >= 3) {
        header->image[0] = rub_idx_u32(sizes + 4);
        header->image[1] = rub_idx_u32(sizes + 8);
        header->image[2] = header->n_dimensions == 4 ? rub_idx_u32(sizes + 12) : 1;
    }
    return 0;
}
