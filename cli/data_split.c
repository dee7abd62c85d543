/* `rubato data split FILES FOLDER`: deals lines to train, valid and test: sparse examples, ratings,
 * triples, and sentences of text.
 *
 * Each line is dealt by a draw of its own, a function of the seed and its number, so that a
 * split repeats, needs no memory, and does not change for the lines before when lines are added
 * behind. The parts are so large on the average, not to the line. Lines are written as they were
 * read; each part of a table has its header, which came with the first line. No part has its name
 * before the last line was good. */
#include "cli/data.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/whole_file.h"
#include "worker/data/data_files.h"
#include "worker/data/line_scan.h"
#include "worker/data/sparse_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 3 };
#define SPLIT_STREAM (UINT64_C(0x73706c6974) << 16) /* "split" in ASCII */

static const char *const names[PARTS] = {"train", "valid", "test"};

/* What the lines of a format are called, and how files of them end. */
static const struct form {
    const char *format, *lines, *suffix;
} forms[] = {{"libsvm", "examples", "svm"},     {"criteo", "examples", "tsv"},
             {"csv", "examples", "csv"},        {"tsv", "examples", "tsv"},
             {"ratings", "ratings", "ratings"}, {"triples", "triples", "tsv"},
             {"text", "sentences", "txt"}};

typedef struct split {
    const struct form *form;
    rub_whole_file_t *files[PARTS]; /* NULL: of no lines */
    char *paths[PARTS];
    double ends[PARTS]; /* of each part in [0, 1] */
    uint64_t counts[PARTS], n_lines, seed;
} split_t;

/* "0.8,0.1,0.1"; parts that are left off are empty. */
static int read_parts(const char *words, double ends[PARTS], rub_error_t *err)
{
    const char *at = words;
    double sum = 0;
    size_t n = 0;
    while (n < PARTS) {
        char *behind = NULL;
        const double part = strtod(at, &behind);
        if (behind == at || !(part >= 0 && part <= 1)) {
            break;
        }
        sum += part;
        ends[n++] = sum;
        at = behind;
        if (*at != ',') {
            break;
        }
        at++;
    }
    if (*at != '\0' || n == 0 || sum < 1 - 1e-9 || sum > 1 + 1e-9) {
        return rub_fail(err, RUB_ECONFIG,
                        "parts: '%s', expected up to %d numbers with commas between, whose sum is "
                        "1",
                        words, PARTS);
    }
    for (size_t i = n - 1; i < PARTS; i++) {
        ends[i] = 1;
    }
    return 0;
}

static int find_form(const char *format, const struct form **form_p, rub_error_t *err)
{
    for (size_t i = 0; i < RUB_COUNT_OF(forms); i++) {
        if (strcmp(forms[i].format, format) == 0) {
            *form_p = &forms[i];
            return 0;
        }
    }
    return rub_fail(err, RUB_ECONFIG,
                    "data_format: %s, expected lines to deal: libsvm, criteo, csv, tsv, ratings, "
                    "triples or text",
                    format);
}

static int open_parts(split_t *self, const char *words, const char *folder, rub_error_t *err)
{
    rub_error_t cause = {0};
    int rc = rub_fs_mkdirs(folder, &cause) == 0
                 ? 0
                 : rub_fail(err, RUB_ESTORE, "the parts' folder: %s", cause.message);
    for (size_t i = 0; rc == 0 && i < PARTS; i++) {
        if (self->ends[i] <= (i > 0 ? self->ends[i - 1] : 0)) {
            continue; /* of no lines */
        }
        self->paths[i] = rub_sprintf("%s/%s.%s", folder, names[i], self->form->suffix);
        rc = self->paths[i] ? rub_data_files_spare(words, self->paths[i], err)
                            : rub_fail(err, RUB_ENOMEM, "no memory for names");
        rc = rc ? rc : rub_whole_file_open(self->paths[i], &self->files[i], err);
    }
    return rc;
}

static int write_line(const split_t *self, size_t part, const char *text, size_t text_bytes,
                      rub_error_t *err)
{
    FILE *const out = rub_whole_file_stream(self->files[part]);
    const bool written = fwrite(text, 1, text_bytes, out) == text_bytes && fputc('\n', out) != EOF;
    return written ? 0
                   : rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, errno,
                                    "'%s' cannot be written", self->paths[part]);
}

static int write_heading(const split_t *self, const char *text, size_t text_bytes, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < PARTS; i++) {
        rc = self->files[i] != NULL ? write_line(self, i, text, text_bytes, err) : 0;
    }
    return rc;
}

static int deal(void *context, const char *text, size_t text_bytes, bool heading, rub_error_t *err)
{
    split_t *const self = context;
    uint32_t words[4];
    if (heading) {
        return write_heading(self, text, text_bytes, err);
    }
    rub_philox(self->seed, SPLIT_STREAM, self->n_lines++, words);
    const double drawn = (double)words[0] * 0x1p-32;
    size_t part = 0;
    while (part + 1 < PARTS && drawn >= self->ends[part]) {
        part++;
    }
    self->counts[part]++;
    return write_line(self, part, text, text_bytes, err);
}

static int scan(const rub_config_t *config, const rub_sparse_options_t *options, split_t *split,
                rub_error_t *err)
{
    const rub_line_scan_options_t lines = {.format = options->format,
                                           .path = options->path,
                                           .triple_order =
                                               rub_config_word(config, RUB_OPT_triple_order),
                                           .triple_ids = config->triple_ids};
    return rub_line_scan_format_known(options->format)
               ? rub_line_scan(&lines, deal, split, err)
               : rub_sparse_scan_lines(options, deal, split, err);
}

int rub_data_split(const rub_config_t *config, rub_error_t *err)
{
    rub_sparse_options_t options;
    split_t split = {.seed = config->seed};
    int rc = rub_data_options(config, config->words[1], &options, err);
    if (rc == 0) {
        rc = find_form(options.format, &split.form, err);
        rc = rub_data_taken_for(config, options.format, rc, err);
    }
    rc = rc ? rc : read_parts(config->parts, split.ends, err);
    rc = rc ? rc : open_parts(&split, config->words[1], config->words[2], err);
    rc = rc ? rc : scan(config, &options, &split, err);
    rc = rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    for (size_t i = 0; i < PARTS; i++) {
        rc = rc || !split.files[i] ? rc : rub_whole_file_finish(&split.files[i], err);
        rub_whole_file_abandon(&split.files[i]);
    }
    for (size_t i = 0; i < PARTS; i++) {
        if (rc == 0 && split.paths[i] != NULL) {
            printf("%-6s %12" PRIu64 " %s  %s\n", names[i], split.counts[i], split.form->lines,
                   split.paths[i]);
        }
        rub_free(split.paths[i]);
    }
    return rc;
}
