/* The loop over lines that tools share: inspecting, converting and splitting look at each example
 * once and must not hold more than that, since what they are given may be larger than memory. */
#include "worker/data/sparse_scan.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/sparse_reader.h"

#include <string.h>

static int scan_line(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse,
                     rub_sparse_set_t *example, const char *line, size_t length,
                     rub_sparse_visit_t *visit, void *context, rub_error_t *err)
{
    if (example->offsets != NULL) {
        rub_sparse_set_clear(example);
    }
    const int rc = reader->parse(parse, line, length, example, err);
    return rc ? rc : visit(context, example, line, length, err);
}

static int scan_file(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse, const char *path,
                     rub_sparse_set_t *example, rub_sparse_visit_t *visit, void *context,
                     rub_error_t *err)
{
    bool any = false;
    int rc = rub_line_reader_open(path, &parse->lines, err);
    rc = rc ? rc : reader->begin(parse, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(parse->lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        if (reader->holds(line)) {
            any = true;
            rc = scan_line(reader, parse, example, line, length, visit, context, err);
        }
    }
    if (rc == 0 && !any) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1", path);
    }
    rub_line_reader_close(&parse->lines);
    return rc;
}

int rub_sparse_scan(const rub_sparse_options_t *options, rub_sparse_visit_t *visit, void *context,
                    rub_error_t *err)
{
    const rub_sparse_reader_t *const reader = rub_sparse_reader_named(options->format);
    rub_sparse_parse_t parse = {.options = options};
    rub_data_files_t *files = NULL;
    rub_sparse_set_t *example = NULL;
    int rc = rub_sparse_options_check(options, reader, err);
    rc = rc ? rc : rub_data_files_open(options->path, &files, err);
    if (rc != 0) {
        return rc;
    }
    example = rub_calloc(1, sizeof *example);
    rc = example ? 0 : rub_fail(err, RUB_ENOMEM, "data '%s': no memory", options->path);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rc = scan_file(reader, &parse, files->paths[i], example, visit, context, err);
    }
    rub_sparse_set_close(&example);
    rub_data_files_close(&files);
    rub_free(parse.columns);
    return rc;
}

int rub_sparse_scan_header(const rub_sparse_options_t *options, char **text_p, rub_error_t *err)
{
    const bool csv = strcmp(options->format, "csv") == 0;
    rub_data_files_t *files = NULL;
    rub_line_reader_t *lines = NULL;
    *text_p = NULL;
    if (!options->csv_header || !(csv || strcmp(options->format, "tsv") == 0)) {
        return 0;
    }
    const char *line = NULL;
    size_t length = 0;
    int rc = rub_data_files_open(options->path, &files, err);
    rc = rc ? rc : rub_line_reader_open(files->paths[0], &lines, err);
    if (rc == 0 && csv) {
        rub_line_reader_join_quoted(lines);
    }
    rc = rc ? rc : rub_line_reader_next(lines, &line, &length, err);
    if (rc == 0 && line != NULL) {
        *text_p = rub_sprintf("%.*s", (int)length, line);
        rc = *text_p ? 0 : rub_fail(err, RUB_ENOMEM, "data '%s': no memory", options->path);
    }
    rub_line_reader_close(&lines);
    rub_data_files_close(&files);
    return rc;
}
