/* `rubato data split FILES FOLDER`: deals lines to train, valid and test: sparse examples, ratings,
 * triples, and sentences of text. (Arrays: cli/data_split_arrays.c.)
 *
 * Lines are written as they were read; each part of a table has its header, which came with the
 * first line. No part has its name before the last line was good. */
#include "cli/data.h"
#include "cli/data_parts.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/whole_file.h"
#include "worker/data/data_files.h"
#include "worker/data/line_scan.h"
#include "worker/data/sparse_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* What the lines of a format are called, and how files of them end. */
static const struct form {
    const char *format, *lines, *suffix;
} forms[] = {{"libsvm", "examples", "svm"},     {"criteo", "examples", "tsv"},
             {"csv", "examples", "csv"},        {"tsv", "examples", "tsv"},
             {"ratings", "ratings", "ratings"}, {"triples", "triples", "tsv"},
             {"text", "sentences", "txt"}};

typedef struct split {
    const struct form *form;
    rub_data_parts_t parts;
    rub_whole_file_t *files[RUB_DATA_PARTS]; /* NULL: of no lines */
    char *paths[RUB_DATA_PARTS];
    uint64_t counts[RUB_DATA_PARTS], n_lines;
} split_t;

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

int rub_data_make_folder(const char *folder, rub_error_t *err)
{
    rub_error_t cause = {0};
    return rub_fs_mkdirs(folder, &cause) == 0
               ? 0
               : rub_fail(err, RUB_ESTORE, "the parts' folder: %s", cause.message);
}

static int open_parts(split_t *self, const char *words, const char *folder, rub_error_t *err)
{
    int rc = rub_data_make_folder(folder, err);
    for (size_t i = 0; rc == 0 && i < RUB_DATA_PARTS; i++) {
        if (!rub_data_parts_wants(&self->parts, i)) {
            continue;
        }
        self->paths[i] = rub_sprintf("%s/%s.%s", folder, rub_data_part_name(i), self->form->suffix);
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
    for (size_t i = 0; rc == 0 && i < RUB_DATA_PARTS; i++) {
        rc = self->files[i] != NULL ? write_line(self, i, text, text_bytes, err) : 0;
    }
    return rc;
}

static int deal(void *context, const char *text, size_t text_bytes, bool heading, rub_error_t *err)
{
    split_t *const self = context;
    if (heading) {
        return write_heading(self, text, text_bytes, err);
    }
    const size_t part = rub_data_parts_deal(&self->parts, self->n_lines++);
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

static int split_lines(const rub_config_t *config, const rub_sparse_options_t *options,
                       split_t *self, rub_error_t *err)
{
    int rc = open_parts(self, config->words[1], config->words[2], err);
    rc = rc ? rc : scan(config, options, self, err);
    for (size_t i = 0; i < RUB_DATA_PARTS; i++) {
        rc = rc || !self->files[i] ? rc : rub_whole_file_finish(&self->files[i], err);
        rub_whole_file_abandon(&self->files[i]);
    }
    for (size_t i = 0; i < RUB_DATA_PARTS; i++) {
        if (rc == 0 && self->paths[i] != NULL) {
            printf("%-6s %12" PRIu64 " %s  %s\n", rub_data_part_name(i), self->counts[i],
                   self->form->lines, self->paths[i]);
        }
        rub_free(self->paths[i]);
    }
    return rc;
}

int rub_data_split(const rub_config_t *config, rub_error_t *err)
{
    rub_sparse_options_t options;
    split_t split = {.form = NULL};
    int rc = rub_data_options(config, config->words[1], &options, err);
    const bool arrays = rc == 0 && rub_data_are_arrays(options.format);
    if (rc == 0 && !arrays) {
        rc = find_form(options.format, &split.form, err);
        rc = rub_data_taken_for(config, options.format, rc, err);
    }
    rc = rc ? rc : rub_data_parts_read(config, &split.parts, err);
    if (rc == 0) {
        rc = arrays ? rub_data_split_arrays(config, options.format, &split.parts, err)
                    : split_lines(config, &options, &split, err);
        rc = rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    }
    return rc;
}
