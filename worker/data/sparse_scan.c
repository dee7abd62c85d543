/* The loop over lines that tools share: inspecting, converting and splitting look at each example
 * once and must not hold more than that, since what they are given may be larger than memory. */
#include "worker/data/sparse_scan.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/sparse_reader.h"

typedef struct scan {
    const rub_sparse_reader_t *reader;
    rub_sparse_parse_t parse;
    rub_sparse_set_t *example;
    rub_sparse_visit_t *visit; /* or fn */
    rub_line_fn *fn;
    void *context;
    bool begun; /* the first file was */
} scan_t;

static int scan_line(scan_t *self, const char *line, size_t length, rub_error_t *err)
{
    if (self->example->offsets != NULL) {
        rub_sparse_set_clear(self->example);
    }
    const int rc =
        rub_sparse_parse_example(self->reader, &self->parse, line, length, self->example, err);
    if (rc != 0) {
        return rc;
    }
    return self->fn != NULL ? self->fn(self->context, line, length, false, err)
                            : self->visit(self->context, self->example, line, length, err);
}

/* What was read to begin a file is its header. */
static int begin_file(scan_t *self, rub_error_t *err)
{
    const char *header = NULL;
    size_t length = 0;
    const int rc = self->reader->begin(&self->parse, err);
    if (rc || self->fn == NULL || self->begun) {
        return rc;
    }
    self->begun = true;
    rub_line_reader_present(self->parse.lines, &header, &length);
    return header != NULL ? self->fn(self->context, header, length, true, err) : 0;
}

static int scan_file(scan_t *self, const char *path, rub_error_t *err)
{
    bool any = false;
    int rc = rub_line_reader_open(path, &self->parse.lines, err);
    rc = rc ? rc : begin_file(self, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(self->parse.lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        if (self->reader->holds(line)) {
            any = true;
            rc = scan_line(self, line, length, err);
        }
    }
    if (rc == 0 && !any) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1", path);
    }
    rub_line_reader_close(&self->parse.lines);
    return rc;
}

static int scan_files(const rub_sparse_options_t *options, scan_t *self, rub_error_t *err)
{
    rub_data_files_t *files = NULL;
    self->reader = rub_sparse_reader_named(options->format);
    self->parse = (rub_sparse_parse_t){.options = options};
    int rc = rub_sparse_options_check(options, self->reader, err);
    rc = rc ? rc : rub_data_files_open(options->path, &files, err);
    if (rc != 0) {
        return rc;
    }
    self->example = rub_calloc(1, sizeof *self->example);
    rc = self->example ? 0 : rub_fail(err, RUB_ENOMEM, "data '%s': no memory", options->path);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rc = scan_file(self, files->paths[i], err);
    }
    rub_sparse_set_close(&self->example);
    rub_data_files_close(&files);
    rub_free(self->parse.columns);
    return rc;
}

int rub_sparse_scan(const rub_sparse_options_t *options, rub_sparse_visit_t *visit, void *context,
                    rub_error_t *err)
{
    scan_t self = {.visit = visit, .context = context};
    return scan_files(options, &self, err);
}

int rub_sparse_scan_lines(const rub_sparse_options_t *options, rub_line_fn *fn, void *context,
                          rub_error_t *err)
{
    scan_t self = {.fn = fn, .context = context};
    return scan_files(options, &self, err);
}
