/* Opening a data set: picks the reader, lets it read, and checks what no reader may be trusted
 * with.
 *
 * Why: training code indexes arrays by label and multiplies every feature, so a wrong label is a
 * wild write and a NaN ruins every worker's weights a second later. Both are refused here, once,
 * with the number of the example. Invariant: a data set that was handed out satisfies every line of
 * its struct. Idea: formats are rows of a table; the format is found by looking at the first bytes
 * (as file(1) does), never at the file's name, since names lie and gzip hides the extension. */
#include "worker/data/dataset.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/classes.h"
#include "common/base/error.h"
#include "worker/data/held_out.h"
#include "worker/data/packed_file.h"
#include "worker/data/reader.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define RUB_READER(reader, looks, text)                                                            \
    {.name = #reader, .summary = text, .sniff = looks, .read = rub_##reader##_read},
static const rub_data_reader_t readers[] = {
#include "worker/data/readers.def"
};
#undef RUB_READER

const rub_data_reader_t *rub_data_readers(size_t *n_readers_p)
{
    *n_readers_p = RUB_COUNT_OF(readers);
    return readers;
}

void rub_dataset_options_defaults(rub_dataset_options_t *options)
{
    *options = (rub_dataset_options_t){
        .limit_bytes = RUB_DATASET_BYTES_LIMIT, .csv_label = "1", .csv_header = true};
}

static int reader_by_name(const char *name, const rub_data_reader_t **reader_p, rub_error_t *err)
{
    for (size_t i = 0; i < RUB_COUNT_OF(readers); i++) {
        if (strcmp(readers[i].name, name) == 0) {
            *reader_p = &readers[i];
            return 0;
        }
    }
    return rub_fail(err, RUB_EINVAL,
                    "data format '%s' is not known; known are '%s', '%s', '%s' and '%s'", name,
                    readers[0].name, readers[1].name, readers[2].name, readers[3].name);
}

static int reader_by_content(const char *path, const rub_data_reader_t **reader_p, rub_error_t *err)
{
    rub_packed_file_t *file = NULL;
    uint8_t head[RUB_READER_HEAD] = {0};
    size_t n_head = 0;
    int rc = rub_packed_file_open(path, &file, err);
    if (rc != 0) {
        goto out;
    }
    rc = rub_packed_file_read_some(file, head, sizeof head, &n_head, err);
    if (rc != 0) {
        goto out;
    }
    for (size_t i = 0; i < RUB_COUNT_OF(readers); i++) {
        if (readers[i].sniff != NULL && readers[i].sniff(head, n_head)) {
            *reader_p = &readers[i];
            goto out;
        }
    }
    if (n_head < 4) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' ends at byte %zu, expected at least 4", path,
                      n_head);
    } else {
        rc = rub_fail(
            err, RUB_EDATA,
            "data file '%s' has an unknown format: it begins with bytes "
            "%02x %02x %02x %02x, expected IDX (00 00, a type, 1 to 4 dimensions) or NumPy's",
            path, head[0], head[1], head[2], head[3]);
    }
out:
    rub_packed_file_close(&file);
    return rc;
}

static int check_labels(const rub_dataset_options_t *options, rub_dataset_t *dataset,
                        rub_error_t *err)
{
    const uint32_t limit = options->n_classes > 0 ? options->n_classes : RUB_CLASSES_LIMIT;
    uint32_t n_classes = options->n_classes;
    for (size_t i = 0; i < dataset->n_examples; i++) {
        const int32_t label = dataset->labels[i];
        if (label < 0 || (uint32_t)label >= limit) {
            return rub_fail(err, RUB_EDATA,
                            "labels file '%s': label of example %zu is %" PRId32
                            ", expected 0 to %" PRIu32,
                            options->labels_path, i, label, limit - 1);
        }
        if ((uint32_t)label >= n_classes) {
            n_classes = (uint32_t)label + 1;
        }
    }
    dataset->n_classes = n_classes;
    return 0;
}

static int check_features(const rub_dataset_options_t *options, const rub_dataset_t *dataset,
                          rub_error_t *err)
{
    if (dataset->floats == NULL) {
        return 0;
    }
    const size_t n = dataset->n_examples * dataset->width;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(dataset->floats[i])) {
            return rub_fail(err, RUB_EDATA,
                            "features file '%s': feature %zu of example %zu is not a finite number",
                            options->features_path, i % dataset->width, i / dataset->width);
        }
    }
    return 0;
}

/* Closes up the examples of the part that is wanted. */
static int take_part(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err)
{
    const size_t width = dataset->width;
    size_t kept = 0;
    for (size_t i = 0; i < dataset->n_examples; i++) {
        if (rub_held_out(options->held_out, options->held_out_seed, i) != options->take_held_out) {
            continue;
        }
        if (dataset->bytes != NULL) {
            memmove(dataset->bytes + kept * width, dataset->bytes + i * width, width);
        } else {
            memmove(dataset->floats + kept * width, dataset->floats + i * width,
                    width * sizeof(float));
        }
        dataset->labels[kept++] = dataset->labels[i];
    }
    if (kept == 0) {
        return rub_fail(err, RUB_EDATA, "data '%s': none of its %zu examples is %s",
                        options->features_path, dataset->n_examples,
                        options->take_held_out ? "held out" : "left to train on");
    }
    dataset->n_examples = kept;
    return 0;
}

bool rub_dataset_is_table(const char *format)
{
    const rub_data_reader_t *reader = NULL;
    return reader_by_name(format, &reader, NULL) == 0 && reader->sniff == NULL;
}

static int check_options(const rub_dataset_options_t *options, rub_error_t *err)
{
    const bool table = options->format != NULL && rub_dataset_is_table(options->format);
    if (options->features_path == NULL || options->features_path[0] == '\0') {
        return rub_fail(err, RUB_EINVAL, "data set has no features file: its path is empty");
    }
    if (!table && (options->labels_path == NULL || options->labels_path[0] == '\0')) {
        return rub_fail(err, RUB_EINVAL, "data set has no labels file: its path is empty");
    }
    if (options->n_classes > RUB_CLASSES_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "data set with %" PRIu32 " classes, at most %u",
                        options->n_classes, RUB_CLASSES_LIMIT);
    }
    return 0;
}

int rub_dataset_open(const rub_dataset_options_t *options, rub_dataset_t **dataset_p,
                     rub_error_t *err)
{
    rub_dataset_options_t wanted = *options;
    const rub_data_reader_t *reader = NULL;
    rub_dataset_t *dataset = NULL;
    *dataset_p = NULL;
    if (wanted.limit_bytes == 0) {
        wanted.limit_bytes = RUB_DATASET_BYTES_LIMIT;
    }
    int rc = check_options(&wanted, err);
    if (rc != 0) {
        goto out;
    }
    rc = wanted.format != NULL ? reader_by_name(wanted.format, &reader, err)
                               : reader_by_content(wanted.features_path, &reader, err);
    if (rc != 0) {
        goto out;
    }
    dataset = rub_calloc(1, sizeof *dataset);
    if (dataset == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data set '%s': no memory", wanted.features_path);
        goto out;
    }
    rc = reader->read(&wanted, dataset, err);
    if (rc != 0) {
        goto out;
    }
    RUB_ASSERT(dataset->n_examples > 0);
    RUB_ASSERT((dataset->bytes == NULL) != (dataset->floats == NULL));
    if (dataset->image[0] == 0) {
        dataset->image[0] = dataset->image[1] = 1;
        dataset->image[2] = (uint32_t)dataset->width;
    }
    rc = check_labels(&wanted, dataset, err);
    if (rc != 0) {
        goto out;
    }
    rc = check_features(&wanted, dataset, err);
    if (rc != 0) {
        goto out;
    }
    if (wanted.held_out > 0) {
        rc = take_part(&wanted, dataset, err);
        if (rc != 0) {
            goto out;
        }
    }
    *dataset_p = dataset;
    dataset = NULL;
out:
    rub_dataset_close(&dataset);
    return rc;
}

void rub_dataset_close(rub_dataset_t **dataset_p)
{
    rub_dataset_t *dataset = *dataset_p;
    if (dataset == NULL) {
        return;
    }
    rub_free(dataset->bytes);
    rub_free(dataset->floats);
    rub_free(dataset->labels);
    rub_free(dataset);
    *dataset_p = NULL;
}

/* byte / 255 without a division: 1/255 = high + low, where high has 16 bits, so that byte * high is
 * exact and the sum is rounded once. Equal to the division for all 256 bytes (a test holds it to
 * that), at a third of its time. */
static void bytes_to_unit(const uint8_t *bytes, size_t n, float *x)
{
    const float high = 0x1.01p-8f;
    const float low = 0x1.010102p-24f;
    for (size_t i = 0; i < n; i++) {
        const float byte = (float)bytes[i];
        x[i] = byte * high + byte * low;
    }
}

void rub_dataset_features(const rub_dataset_t *dataset, size_t example, float *x)
{
    RUB_ASSERT(example < dataset->n_examples);
    const size_t at = example * dataset->width;
    if (dataset->bytes != NULL) {
        bytes_to_unit(dataset->bytes + at, dataset->width, x);
    } else {
        memcpy(x, dataset->floats + at, dataset->width * sizeof *x);
    }
}
