/* `rubato data inspect FILES [LABELS]`: what is in data files, in one pass. Sparse examples are
 * looked at one by one, and so are images without their labels, so these may be larger than memory;
 * all else is read as a worker would read it. */
#include "cli/data.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/corpus.h"
#include "worker/data/data_files.h"
#include "worker/data/dataset.h"
#include "worker/data/example_stream.h"
#include "worker/data/knowledge_graph.h"
#include "worker/data/rating_set.h"
#include "worker/data/sparse_scan.h"
#include "worker/data/text_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN = 3, SHOWN_BYTES = 100 };

typedef struct sparse_facts {
    uint64_t n_examples, clicks, no_clicks, entries, greatest_row, empty;
    double least_label, most_label, label_sum;
    uint64_t least_key, greatest_key;
    double least, most, sum; /* of values */
    char shown[SHOWN][SHOWN_BYTES + 4];
} sparse_facts_t;

/* The beginning of a line, for people and for JSON, which is UTF-8 whatever the line is. */
static void show(char out[SHOWN_BYTES + 4], const char *text, size_t bytes)
{
    size_t n = bytes < SHOWN_BYTES ? bytes : SHOWN_BYTES;
    for (size_t i = 0; i < n; i++) {
        out[i] = text[i];
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) {
            out[i] = ' '; /* tabs, and the line ends of quoted fields */
        }
    }
    while (n > 0 && n < bytes && ((uint8_t)text[n] & 0xc0) == 0x80) {
        n--; /* not within a character */
    }
    const uint8_t *bad = rub_text_bad_byte(out, n);
    for (; bad != NULL; bad = rub_text_bad_byte(out, n)) {
        out[(const char *)bad - out] = '?';
    }
    memcpy(out + n, n < bytes ? "..." : "", n < bytes ? 4 : 1);
}

static int look(void *context, const rub_sparse_set_t *example, const char *text, size_t text_bytes,
                rub_error_t *err)
{
    sparse_facts_t *const self = context;
    const uint64_t n = example->offsets[1];
    RUB_UNUSED(err);
    if (self->n_examples < SHOWN) {
        show(self->shown[self->n_examples], text, text_bytes);
    }
    const double label = (double)example->labels[0];
    self->least_label =
        self->n_examples == 0 || label < self->least_label ? label : self->least_label;
    self->most_label = self->n_examples == 0 || label > self->most_label ? label : self->most_label;
    self->label_sum += label;
    self->n_examples++;
    self->clicks += label == 1;
    self->no_clicks += label == 0 || label == -1;
    self->empty += n == 0;
    self->greatest_row = n > self->greatest_row ? n : self->greatest_row;
    for (uint64_t i = 0; i < n; i++) {
        const double value = example->values != NULL ? (double)example->values[i] : 1;
        const uint32_t key = example->keys[i];
        const bool first = self->entries++ == 0;
        self->least = first || value < self->least ? value : self->least;
        self->most = first || value > self->most ? value : self->most;
        self->least_key = first || key < self->least_key ? key : self->least_key;
        self->greatest_key = first || key > self->greatest_key ? key : self->greatest_key;
        self->sum += value;
    }
    return 0;
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static int inspect_sparse(const rub_sparse_options_t *options, json_t *out, rub_error_t *err)
{
    sparse_facts_t facts = {.n_examples = 0};
    const int rc = rub_sparse_scan(options, look, &facts, err);
    if (rc != 0) {
        return rc;
    }
    json_object_set_new(out, "examples", count(facts.n_examples));
    if (facts.clicks + facts.no_clicks == facts.n_examples) {
        json_object_set_new(out, "labels_1", count(facts.clicks));
        json_object_set_new(out, "labels_0", count(facts.no_clicks));
    } else {
        json_object_set_new(out, "least_label", json_real(facts.least_label));
        json_object_set_new(out, "greatest_label", json_real(facts.most_label));
        json_object_set_new(out, "mean_label",
                            json_real(facts.label_sum / (double)facts.n_examples));
    }
    json_object_set_new(out, "features", count(facts.entries));
    json_object_set_new(out, "features_per_example",
                        json_real((double)facts.entries / (double)facts.n_examples));
    json_object_set_new(out, "most_features", count(facts.greatest_row));
    json_object_set_new(out, "without_features", count(facts.empty));
    if (facts.entries > 0) {
        json_object_set_new(out, "least_key", count(facts.least_key));
        json_object_set_new(out, "greatest_key", count(facts.greatest_key));
        json_object_set_new(out, "least_value", json_real(facts.least));
        json_object_set_new(out, "greatest_value", json_real(facts.most));
        json_object_set_new(out, "mean_value", json_real(facts.sum / (double)facts.entries));
    }
    json_t *const rows = json_array();
    for (size_t i = 0; i < SHOWN && i < facts.n_examples; i++) {
        json_array_append_new(rows, json_stringn_nocheck(facts.shown[i], strlen(facts.shown[i])));
    }
    json_object_set_new(out, "first_rows", rows);
    return 0;
}

static int inspect_dense(const char *format, const char *features, const char *labels, json_t *out,
                         rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_t *dataset = NULL;
    rub_dataset_options_defaults(&options);
    options.format = format;
    options.features_path = features;
    options.labels_path = labels;
    const int rc = rub_dataset_open(&options, &dataset, err);
    if (rc != 0) {
        return rc;
    }
    const size_t n = dataset->n_examples * dataset->width;
    double least = 0, most = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = dataset->bytes ? dataset->bytes[i] : (double)dataset->floats[i];
        least = i == 0 || x < least ? x : least;
        most = i == 0 || x > most ? x : most;
        sum += x;
    }
    json_object_set_new(out, "examples", count(dataset->n_examples));
    json_object_set_new(out, "features_per_example", count(dataset->width));
    json_object_set_new(out, "values", json_string(dataset->bytes ? "bytes" : "float32"));
    json_object_set_new(out, "least_value", json_real(least));
    json_object_set_new(out, "greatest_value", json_real(most));
    json_object_set_new(out, "mean_value", json_real(sum / (double)n));
    json_object_set_new(out, "classes", count(dataset->n_classes));
    rub_dataset_close(&dataset);
    return 0;
}

/* Features alone, which are looked at one by one, as they are when a model gets them. */
static int inspect_features(const char *format, const char *path, json_t *out, rub_error_t *err)
{
    rub_example_stream_t *stream = NULL;
    uint32_t image[3];
    uint64_t n_examples = 0;
    size_t n = 0;
    double least = 0, most = 0, sum = 0;
    int rc = rub_example_stream_open(format, path, NULL, &stream, err);
    const size_t width = rc == 0 ? rub_example_stream_width(stream) : 0;
    float *const x = rc == 0 ? rub_calloc(width, sizeof(*x)) : NULL;
    rc = rc || x ? rc : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    while (rc == 0 && (rc = rub_example_stream_next(stream, 1, x, &n, err)) == 0 && n > 0) {
        for (size_t i = 0; i < width; i++) {
            const double value = (double)x[i];
            const bool first = n_examples == 0 && i == 0;
            least = first || value < least ? value : least;
            most = first || value > most ? value : most;
            sum += value;
        }
        n_examples++;
    }
    if (rc == 0) {
        char shape[64];
        rub_example_stream_image(stream, image);
        snprintf(shape, sizeof shape, "%u x %u x %u", image[0], image[1], image[2]);
        json_object_set_new(out, "examples", count(n_examples));
        json_object_set_new(out, "features_per_example", count(width));
        json_object_set_new(out, "shape", json_string(shape));
        json_object_set_new(out, "values", json_string("as trained: bytes / 255"));
        json_object_set_new(out, "least_value", json_real(least));
        json_object_set_new(out, "greatest_value", json_real(most));
        json_object_set_new(out, "mean_value", json_real(sum / (double)n_examples / (double)width));
    }
    rub_free(x);
    rub_example_stream_close(&stream);
    return rc;
}

static int inspect_text(const char *path, json_t *out, rub_error_t *err)
{
    rub_corpus_t *corpus = NULL;
    const int rc = rub_corpus_open(path, 1, &corpus, err);
    if (rc == 0) {
        json_object_set_new(out, "words", count(corpus->words_read));
        json_object_set_new(out, "sentences", count(corpus->n_tokens - corpus->n_words));
        json_object_set_new(out, "different_words", count(rub_vocabulary_size(corpus->vocabulary)));
    }
    rub_corpus_close(&corpus);
    return rc;
}

static int inspect_triples(const rub_config_t *config, const char *path, json_t *out,
                           rub_error_t *err)
{
    const rub_graph_options_t options = {.files = {path},
                                         .order = rub_config_word(config, RUB_OPT_triple_order),
                                         .ids = config->triple_ids};
    rub_knowledge_graph_t *graph = NULL;
    const int rc = rub_knowledge_graph_open(&options, &graph, err);
    if (rc == 0) {
        json_object_set_new(out, "triples", count(graph->parts[RUB_GRAPH_TRAIN].n));
        json_object_set_new(out, "entities", count(graph->n_entities));
        json_object_set_new(out, "relations", count(graph->n_relations));
    }
    rub_knowledge_graph_close(&graph);
    return rc;
}

static int inspect_ratings(const char *path, json_t *out, rub_error_t *err)
{
    const rub_rating_set_options_t options = {.train = path, .interactions = true};
    rub_rating_set_t *set = NULL;
    const int rc = rub_rating_set_open(&options, &set, err);
    if (rc != 0) {
        return rc;
    }
    double least = (double)set->train.items[0].value, most = least;
    for (size_t i = 0; i < set->train.n; i++) {
        const double value = (double)set->train.items[i].value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    json_object_set_new(out, "ratings", count(set->train.n));
    json_object_set_new(out, "users", count(rub_vocabulary_size(set->users)));
    json_object_set_new(out, "items", count(rub_vocabulary_size(set->items)));
    json_object_set_new(out, "least_rating", json_real(least));
    json_object_set_new(out, "greatest_rating", json_real(most));
    json_object_set_new(out, "mean_rating", json_real(set->mean));
    rub_rating_set_close(&set);
    return 0;
}

/* How many files there are, and their bytes on disk. */
static void count_files(const char *words, json_t *out)
{
    rub_data_files_t *files = NULL;
    uint64_t bytes = 0;
    size_t n = 0;
    if (rub_data_files_open(words, &files, NULL) != 0) {
        return;
    }
    for (size_t i = 0; i < files->n; i++) {
        struct stat status;
        if (stat(files->paths[i], &status) == 0) {
            bytes += (uint64_t)status.st_size;
            n++;
        }
    }
    if (n > 0) {
        json_object_set_new(out, "files", count(n));
        json_object_set_new(out, "bytes", count(bytes));
    }
    rub_data_files_close(&files);
}

static void print(json_t *facts)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(facts, key, value)
    {
        if (json_is_array(value)) {
            size_t i = 0;
            json_t *row = NULL;
            json_array_foreach(value, i, row)
            {
                printf("%-21s %s\n", i == 0 ? key : "", json_string_value(row));
            }
        } else if (json_is_string(value)) {
            printf("%-21s %s\n", key, json_string_value(value));
        } else if (json_is_real(value)) {
            printf("%-21s %.6g\n", key, json_real_value(value));
        } else {
            printf("%-21s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
        }
    }
}

static int inspect_as(const rub_config_t *config, const rub_sparse_options_t *options,
                      json_t *facts, rub_error_t *err)
{
    const char *const words = config->words[1];
    json_object_set_new(facts, "format", json_string(options->format));
    count_files(words, facts);
    if (rub_sparse_format_known(options->format)) {
        return inspect_sparse(options, facts, err);
    }
    if (strcmp(options->format, "text") == 0) {
        return inspect_text(words, facts, err);
    }
    if (strcmp(options->format, "triples") == 0) {
        return inspect_triples(config, words, facts, err);
    }
    if (strcmp(options->format, "ratings") == 0) {
        return inspect_ratings(words, facts, err);
    }
    if (config->n_words < 3) {
        return inspect_features(options->format, words, facts, err);
    }
    return inspect_dense(options->format, words, config->words[2], facts, err);
}

static int inspect(const rub_config_t *config, json_t *facts, rub_error_t *err)
{
    rub_sparse_options_t options;
    int rc = rub_data_options(config, config->words[1], &options, err);
    if (rc == 0) {
        rc = inspect_as(config, &options, facts, err);
        rc = rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    }
    return rc;
}

int rub_data_inspect(const rub_config_t *config, rub_error_t *err)
{
    json_t *const facts = json_object();
    const int rc = inspect(config, facts, err);
    if (rc == 0 && config->json) {
        json_dumpf(facts, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (rc == 0) {
        print(facts);
    }
    json_decref(facts);
    return rc;
}
