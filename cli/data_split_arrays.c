/* `rubato data split IMAGES FOLDER --train-labels LABELS`: deals the examples of idx and npy, each
 * with its label.
 *
 * Arrays say at their beginning how many they are, and are trained on in memory; so they are read
 * as a worker reads them, refused as it would refuse them, and written part by part. What is
 * written trains to the same weights: bytes stay bytes, every other number is the float32 that it
 * becomes in training, and an image keeps its shape. No file has its name before all of them are
 * whole. */
#include "cli/data.h"
#include "cli/data_parts.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/whole_file.h"
#include "common/tensor/npy_header.h"
#include "worker/data/data_files.h"
#include "worker/data/dataset.h"
#include "worker/data/idx_header.h"

#include <inttypes.h>
#include <string.h>

enum { BYTE_LABELS = 256 }; /* so many classes have labels of a byte in idx, as MNIST has them */

typedef struct part {
    uint64_t n;
    char *paths[2]; /* of images, of labels */
    rub_whole_file_t *files[2];
} part_t;

typedef struct arrays {
    rub_data_parts_t parts;
    const rub_dataset_t *data;
    bool idx; /* or npy */
    part_t items[RUB_DATA_PARTS];
} arrays_t;

/* ---- idx and npy ---- */

/* How many, and what each of them is; an image's dimensions where it is one. */
static unsigned shape_of(const arrays_t *self, const part_t *part, uint64_t shape[4])
{
    const uint32_t *const image = self->data->image;
    const bool flat = image[0] == 1 && image[1] == 1;
    shape[0] = part->n;
    for (size_t i = 0; i < 3; i++) {
        shape[i + 1] = flat ? self->data->width : image[i];
    }
    return flat ? 2 : image[2] == 1 ? 3 : 4;
}

static void put_big(FILE *out, uint32_t number)
{
    const uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                              (uint8_t)(number >> 8), (uint8_t)number};
    fwrite(bytes, 1, sizeof bytes, out);
}

/* kind: of npy. */
static void write_header(const arrays_t *self, FILE *out, uint8_t idx_type, char kind,
                         size_t item_bytes, unsigned n_dimensions, const uint64_t *shape)
{
    if (self->idx) {
        const uint8_t magic[4] = {0, 0, idx_type, (uint8_t)n_dimensions};
        fwrite(magic, 1, sizeof magic, out);
        for (unsigned i = 0; i < n_dimensions; i++) {
            put_big(out, (uint32_t)shape[i]);
        }
        return;
    }
    char text[RUB_NPY_WRITTEN_LIMIT];
    rub_npy_header_t header = {
        .kind = kind, .item_bytes = item_bytes, .n_dimensions = n_dimensions};
    memcpy(header.shape, shape, n_dimensions * sizeof *shape);
    fwrite(text, 1, rub_npy_header_write(&header, text), out);
}

static void write_words(const arrays_t *self, FILE *out, const void *words, size_t n)
{
    if (!self->idx) {
        fwrite(words, sizeof(uint32_t), n, out); /* npy's '<' is this host's order */
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t word = 0;
        memcpy(&word, (const uint8_t *)words + i * sizeof word, sizeof word);
        put_big(out, word);
    }
}

/* ---- parts ---- */

static void write_images(const arrays_t *self, size_t p)
{
    const rub_dataset_t *const data = self->data;
    FILE *const out = rub_whole_file_stream(self->items[p].files[0]);
    const bool bytes = data->bytes != NULL;
    uint64_t shape[4];
    const unsigned n_dimensions = shape_of(self, &self->items[p], shape);
    write_header(self, out, bytes ? RUB_IDX_UBYTE : RUB_IDX_FLOAT32, bytes ? 'u' : 'f',
                 bytes ? 1 : sizeof(float), n_dimensions, shape);
    for (size_t i = 0; i < data->n_examples; i++) {
        if (rub_data_parts_deal(&self->parts, i) != p) {
            continue;
        }
        if (bytes) {
            fwrite(data->bytes + i * data->width, 1, data->width, out);
        } else {
            write_words(self, out, data->floats + i * data->width, data->width);
        }
    }
}

static void write_labels(const arrays_t *self, size_t p)
{
    FILE *const out = rub_whole_file_stream(self->items[p].files[1]);
    const bool bytes = self->idx && self->data->n_classes <= BYTE_LABELS;
    write_header(self, out, bytes ? RUB_IDX_UBYTE : RUB_IDX_INT32, 'i', sizeof(int32_t), 1,
                 &self->items[p].n);
    for (size_t i = 0; i < self->data->n_examples; i++) {
        if (rub_data_parts_deal(&self->parts, i) != p) {
            continue;
        }
        if (bytes) {
            fputc(self->data->labels[i], out);
        } else {
            write_words(self, out, &self->data->labels[i], 1);
        }
    }
}

static int open_part(const rub_config_t *config, const char *format, size_t p, part_t *part,
                     rub_error_t *err)
{
    static const char *const what[2] = {"images", "labels"};
    const char *const words[2] = {config->words[1], config->train_labels};
    int rc = 0;
    for (size_t f = 0; rc == 0 && f < 2; f++) {
        part->paths[f] =
            rub_sprintf("%s/%s-%s.%s", config->words[2], rub_data_part_name(p), what[f], format);
        rc = part->paths[f] ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for names");
        for (size_t w = 0; rc == 0 && w < 2; w++) {
            rc = rub_data_files_spare(words[w], part->paths[f], err);
        }
        rc = rc ? rc : rub_whole_file_open(part->paths[f], &part->files[f], err);
    }
    return rc;
}

static int split(const rub_config_t *config, const char *format, arrays_t *self, rub_error_t *err)
{
    for (size_t i = 0; i < self->data->n_examples; i++) {
        self->items[rub_data_parts_deal(&self->parts, i)].n++;
    }
    for (size_t p = 0; p < RUB_DATA_PARTS; p++) {
        if (rub_data_parts_wants(&self->parts, p) && self->items[p].n == 0) {
            return rub_fail(err, RUB_ECONFIG,
                            "parts: none of the %zu examples of '%s' is drawn for %s, and arrays "
                            "of none cannot be read",
                            self->data->n_examples, config->words[1], rub_data_part_name(p));
        }
    }
    int rc = rub_data_make_folder(config->words[2], err);
    for (size_t p = 0; rc == 0 && p < RUB_DATA_PARTS; p++) {
        if (!rub_data_parts_wants(&self->parts, p)) {
            continue;
        }
        rc = open_part(config, format, p, &self->items[p], err);
        if (rc == 0) {
            write_images(self, p);
            write_labels(self, p);
        }
    }
    for (size_t i = 0; rc == 0 && i < 2 * RUB_DATA_PARTS; i++) {
        rub_whole_file_t **const file = &self->items[i / 2].files[i % 2];
        rc = *file != NULL ? rub_whole_file_finish(file, err) : 0;
    }
    return rc;
}

int rub_data_split_arrays(const rub_config_t *config, const char *format,
                          const rub_data_parts_t *parts, rub_error_t *err)
{
    rub_dataset_t *data = NULL;
    arrays_t self = {.parts = *parts, .idx = strcmp(format, "idx") == 0};
    int rc = rub_data_open_arrays(config, format, &data, err);
    self.data = data;
    rc = rc ? rc : split(config, format, &self, err);
    for (size_t p = 0; p < RUB_DATA_PARTS; p++) {
        part_t *const part = &self.items[p];
        if (rc == 0 && part->paths[0] != NULL) {
            printf("%-6s %12" PRIu64 " examples  %s %s\n", rub_data_part_name(p), part->n,
                   part->paths[0], part->paths[1]);
        }
        for (size_t f = 0; f < 2; f++) {
            rub_whole_file_abandon(&part->files[f]);
            rub_free(part->paths[f]);
        }
    }
    rub_dataset_close(&data);
    return rc;
}
