/* `rubato data convert FILES OUT`: examples of any format as LIBSVM, which is what every program
 * for sparse data reads. Keys of hashed formats come in no order and may collide; LIBSVM has each
 * index once, ascending, from 1 on for most who read it: so entries are sorted, those of one key
 * added up, and indices are keys + 1, unless they were indices before. Numbers are written so that
 * they read back to the same float32. */
#include "cli/data.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/whole_file.h"
#include "common/conf/option.h"
#include "worker/data/data_files.h"
#include "worker/data/dataset.h"
#include "worker/data/sparse_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    uint32_t key;
    float value;
} entry_t;

typedef struct conversion {
    FILE *out;
    bool hashed;
    entry_t *entries;
    size_t room;
    uint64_t n_examples;
} conversion_t;

static int by_key(const void *a, const void *b)
{
    const uint32_t x = ((const entry_t *)a)->key;
    const uint32_t y = ((const entry_t *)b)->key;
    return x < y ? -1 : x > y;
}

/* Sorted, each key once; how many. */
static size_t settle(entry_t *entries, size_t n)
{
    size_t kept = 0;
    qsort(entries, n, sizeof(*entries), by_key);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && entries[kept - 1].key == entries[i].key) {
            entries[kept - 1].value += entries[i].value;
        } else {
            entries[kept++] = entries[i];
        }
    }
    return kept;
}

static void write_feature(FILE *out, uint64_t index, float value)
{
    if (value == 1) {
        fprintf(out, " %" PRIu64 ":1", index);
    } else {
        fprintf(out, " %" PRIu64 ":%.9g", index, (double)value);
    }
}

static int convert_example(void *context, const rub_sparse_set_t *example, const char *text,
                           size_t text_bytes, rub_error_t *err)
{
    conversion_t *const self = context;
    RUB_UNUSED(text);
    RUB_UNUSED(text_bytes);
    size_t n = (size_t)example->offsets[1];
    if (rub_grow(&self->entries, &self->room, n + 1, sizeof(*self->entries)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu features", n);
    }
    for (size_t i = 0; i < n; i++) {
        self->entries[i] =
            (entry_t){example->keys[i], example->values != NULL ? example->values[i] : 1};
    }
    n = self->hashed ? settle(self->entries, n) : n;
    fprintf(self->out, "%.9g", (double)example->labels[0]);
    for (size_t i = 0; i < n; i++) {
        write_feature(self->out, (uint64_t)self->entries[i].key + self->hashed,
                      self->entries[i].value);
    }
    self->n_examples++;
    return fputc('\n', self->out) == EOF
               ? rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, errno,
                                "what was converted cannot be written")
               : 0;
}

/* idx and npy: labels as they are, which programs for several classes read. */
static int convert_dense(const rub_config_t *config, const char *format, conversion_t *self,
                         rub_error_t *err)
{
    rub_dataset_t *dataset = NULL;
    const int rc = rub_data_open_arrays(config, format, &dataset, err);
    float *const x = rc == 0 ? rub_calloc(dataset->width, sizeof(*x)) : NULL;
    for (size_t i = 0; x != NULL && i < dataset->n_examples; i++) {
        rub_dataset_features(dataset, i, x);
        fprintf(self->out, "%" PRId32, dataset->labels[i]);
        for (size_t k = 0; k < dataset->width; k++) {
            if (x[k] != 0) {
                write_feature(self->out, k + 1, x[k]);
            }
        }
        fputc('\n', self->out);
        self->n_examples++;
    }
    const bool short_of_memory = rc == 0 && x == NULL;
    rub_free(x);
    rub_dataset_close(&dataset);
    return short_of_memory ? rub_fail(err, RUB_ENOMEM, "no memory for an example") : rc;
}

/* Flags that say how texts become bags of words say nothing of other formats. A run file may have
 * them beside. */
static int check_flags(const rub_config_t *config, const char *format, rub_error_t *err)
{
    static const rub_option_id_t of_texts[] = {RUB_OPT_bag,          RUB_OPT_bag_words,
                                               RUB_OPT_bag_hash,     RUB_OPT_min_documents,
                                               RUB_OPT_max_features, RUB_OPT_vocabulary};
    for (size_t i = 0; i < RUB_COUNT_OF(of_texts); i++) {
        if (config->origins[of_texts[i]].source == RUB_FROM_FLAG) {
            return rub_fail(err, RUB_ECONFIG,
                            "%s: is for texts, and %s has none, expected data_format text",
                            rub_option_table[of_texts[i]].name, format);
        }
    }
    return 0;
}

int rub_data_convert(const rub_config_t *config, rub_error_t *err)
{
    rub_sparse_options_t options;
    rub_whole_file_t *file = NULL;
    conversion_t conversion = {0};
    int rc = rub_data_options(config, config->words[1], &options, err);
    if (rc == 0 && strcmp(options.format, "text") == 0) {
        rc = rub_data_convert_texts(config, err);
        return rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    }
    const bool examples = rc == 0 && strcmp(options.format, "text") != 0 &&
                          strcmp(options.format, "triples") != 0 &&
                          strcmp(options.format, "ratings") != 0;
    if (rc == 0 && !examples) {
        rc = rub_fail(err, RUB_ECONFIG, "data_format: %s has no examples to convert",
                      options.format);
        rc = rub_data_taken_for(config, options.format, rc, err);
    }
    if (rc == 0) {
        rc = check_flags(config, options.format, err);
        rc = rub_data_taken_for(config, options.format, rc, err);
    }
    conversion.hashed = rc == 0 && strcmp(options.format, "libsvm") != 0;
    if (conversion.hashed && options.hash_bits == RUB_SPARSE_HASH_BITS_MOST) {
        rc = rub_fail(err, RUB_ECONFIG, "hash_bits: %u, expected less: an index is a key + 1",
                      RUB_SPARSE_HASH_BITS_MOST);
    }
    rc = rc ? rc : rub_data_files_spare(config->words[1], config->words[2], err);
    rc = rc ? rc : rub_whole_file_open(config->words[2], &file, err);
    if (rc == 0) {
        conversion.out = rub_whole_file_stream(file);
        rc = rub_sparse_format_known(options.format)
                 ? rub_sparse_scan(&options, convert_example, &conversion, err)
                 : convert_dense(config, options.format, &conversion, err);
        rc = rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    }
    rc = rc ? rc : rub_whole_file_finish(&file, err);
    rub_whole_file_abandon(&file);
    rub_free(conversion.entries);
    if (rc == 0) {
        fprintf(stderr, "%" PRIu64 " examples of %s\n", conversion.n_examples, options.format);
    }
    return rc;
}
