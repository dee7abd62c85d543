/* `rubato data convert` of texts: lines `label TAB text` as LIBSVM, each text a bag of words
 * (worker/data/bag_of_words.h). The files are read twice when the vocabulary is theirs; it is left
 * beside the result, for test data must have the same indices and the same idf. */
#include "cli/data.h"
#include "common/base/alloc.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/base/whole_file.h"
#include "worker/data/bag_of_words.h"
#include "worker/data/data_files.h"
#include "worker/data/line_reader.h"
#include "worker/data/text_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct texts {
    rub_bag_t *bag;
    FILE *out; /* NULL: words are counted */
    uint64_t n;
} texts_t;

static int write_text(texts_t *self, int32_t label, const char *text, size_t bytes,
                      rub_error_t *err)
{
    const rub_bag_feature_t *features = NULL;
    size_t n = 0;
    const int rc = rub_bag_features(self->bag, text, bytes, &features, &n, err);
    if (rc) {
        return rc;
    }
    fprintf(self->out, "%" PRId32, label);
    for (size_t i = 0; i < n; i++) {
        fprintf(self->out, " %" PRIu64 ":%.9g", features[i].index, (double)features[i].value);
    }
    fputc('\n', self->out);
    return 0;
}

static int take_line(texts_t *self, const rub_line_reader_t *lines, const char *line, size_t length,
                     rub_error_t *err)
{
    double label = 0;
    const char *tab = memchr(line, '\t', length);
    const char *end = tab ? rub_decimal_scan(line, &label) : NULL;
    if (tab == NULL || end != tab || label != floor(label) || fabs(label) > INT32_MAX) {
        return rub_line_reader_refuse(lines, line, err,
                                      "expected a label (a whole number), a tab and a text");
    }
    const char *text = tab + 1;
    const size_t bytes = (size_t)(line + length - text);
    const uint8_t *bad = rub_text_bad_byte(text, bytes);
    if (bad != NULL) {
        return rub_line_reader_refuse(lines, (const char *)bad, err, "expected UTF-8");
    }
    self->n++;
    return self->out ? write_text(self, (int32_t)label, text, bytes, err)
                     : rub_bag_count(self->bag, text, bytes, err);
}

static int take_file(texts_t *self, const char *path, rub_error_t *err)
{
    rub_line_reader_t *lines = NULL;
    int rc = rub_line_reader_open(path, &lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(lines, &line, &length, err);
        if (rc || line == NULL) {
            break;
        }
        rc = length > 0 ? take_line(self, lines, line, length, err) : 0;
    }
    rub_line_reader_close(&lines);
    return rc;
}

static int take_all(texts_t *self, const rub_data_files_t *files, rub_error_t *err)
{
    int rc = 0;
    self->n = 0;
    for (size_t i = 0; i < files->n && rc == 0; i++) {
        rc = take_file(self, files->paths[i], err);
    }
    return rc || self->n > 0
               ? rc
               : rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1",
                          files->paths[0]);
}

/* The vocabulary of the files, into OUT.words. */
static int count(texts_t *self, const char *words, const rub_data_files_t *files, const char *out,
                 rub_error_t *err)
{
    if (strcmp(out, "-") == 0 || strcmp(files->paths[0], "-") == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "texts are read twice, and their vocabulary is a file beside the result: "
                        "for '-', --vocabulary must name one, or --bag-hash");
    }
    char *path = rub_sprintf("%s.words", out);
    int rc = path ? rub_data_files_spare(words, path, err)
                  : rub_fail(err, RUB_ENOMEM, "no memory for a path");
    rc = rc ? rc : take_all(self, files, err);
    rc = rc ? rc : rub_bag_settle(self->bag, err);
    rc = rc ? rc : rub_bag_save(self->bag, path, err);
    rub_free(path);
    return rc;
}

/* A vocabulary that exists is taken as it is, and hashes have none. */
static int check_options(const rub_config_t *config, rub_error_t *err)
{
    const bool named = config->vocabulary[0] != '\0';
    if (config->bag_hash && named) {
        return rub_fail(err, RUB_ECONFIG, "vocabulary: with bag_hash there is none");
    }
    if (config->bag_hash && config->hash_bits > 31) {
        return rub_fail(err, RUB_ECONFIG, "hash_bits: 32, expected less: an index is a key + 1");
    }
    if ((config->bag_hash || named) && (config->min_documents > 1 || config->max_features > 0)) {
        return rub_fail(err, RUB_ECONFIG, "%s: chooses words when a vocabulary is made, %s",
                        config->min_documents > 1 ? "min_documents" : "max_features",
                        named ? "and this one is as its file has it"
                              : "with bag_hash there is none");
    }
    return 0;
}

int rub_data_convert_texts(const rub_config_t *config, rub_error_t *err)
{
    const char *out = config->words[2];
    const rub_bag_spec_t spec = {.weight = (rub_bag_weight_t)config->bag,
                                 .spaces = config->bag_words != 0,
                                 .hash_bits = config->bag_hash ? (uint32_t)config->hash_bits : 0,
                                 .min_documents = config->min_documents,
                                 .max_features = config->max_features};
    const bool named = config->vocabulary[0] != '\0';
    texts_t self = {0};
    rub_data_files_t *files = NULL;
    rub_whole_file_t *file = NULL;
    int rc = check_options(config, err);
    rc = rc ? rc : rub_data_files_spare(config->words[1], out, err);
    rc = rc || !named ? rc : rub_data_files_spare(config->vocabulary, out, err);
    rc = rc ? rc : rub_data_files_open(config->words[1], &files, err);
    rc = rc      ? rc
         : named ? rub_bag_open(&spec, config->vocabulary, &self.bag, err)
                 : rub_bag_new(&spec, &self.bag, err);
    rc = rc || named || config->bag_hash ? rc : count(&self, config->words[1], files, out, err);
    rc = rc ? rc : rub_whole_file_open(out, &file, err);
    if (rc == 0) {
        self.out = rub_whole_file_stream(file);
        rc = take_all(&self, files, err);
    }
    rc = rc ? rc : rub_whole_file_finish(&file, err);
    if (rc == 0) {
        fprintf(stderr, "%" PRIu64 " texts", self.n);
        fprintf(stderr, spec.hash_bits > 0 ? ", words hashed\n" : ", %zu words\n",
                rub_bag_size(self.bag));
    }
    rub_whole_file_abandon(&file);
    rub_bag_destroy(&self.bag);
    rub_data_files_close(&files);
    return rc;
}
