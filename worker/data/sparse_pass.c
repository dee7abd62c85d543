/* Files are read line by line by the formats' own readers; what was read for one batch is let go of
 * for the next. Nothing is counted ahead, so that standard input will do. */
#include "worker/data/sparse_pass.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/sparse_reader.h"

#define ENTRIES ((size_t)1 << 20) /* enough for a batch, even if it has fewer examples then */

struct rub_sparse_pass {
    const rub_sparse_options_t *options;
    const rub_sparse_reader_t *reader;
    rub_data_files_t *files;
    size_t next_file;
    rub_sparse_parse_t parse;
    rub_sparse_set_t *set;
};

int rub_sparse_pass_open(const rub_sparse_options_t *options, rub_sparse_pass_t **self_p,
                         rub_error_t *err)
{
    const rub_sparse_reader_t *reader = rub_sparse_reader_named(options->format);
    *self_p = NULL;
    int rc = rub_sparse_options_check(options, reader, err);
    if (rc) {
        return rc;
    }
    rub_sparse_pass_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->set = rub_calloc(1, sizeof *self->set);
    }
    if (self == NULL || self->set == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data '%s': no memory", options->path);
        goto out;
    }
    self->options = options;
    self->reader = reader;
    self->parse = (rub_sparse_parse_t){.options = options};
    rc = rub_data_files_open(options->path, &self->files, err);
    if (rc == 0) {
        *self_p = self;
        self = NULL;
    }
out:
    rub_sparse_pass_close(&self);
    return rc;
}

void rub_sparse_pass_close(rub_sparse_pass_t **self_p)
{
    rub_sparse_pass_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_line_reader_close(&self->parse.lines);
    rub_sparse_set_close(&self->set);
    rub_data_files_close(&self->files);
    rub_free(self->parse.columns);
    rub_free(self);
    *self_p = NULL;
}

/* The next line that holds an example of the part; NULL: there is none. */
static int next_line(rub_sparse_pass_t *self, const char **line_p, size_t *length_p,
                     rub_error_t *err)
{
    int rc = 0;
    *line_p = NULL;
    while (rc == 0) {
        if (self->parse.lines == NULL) {
            if (self->next_file == self->files->n) {
                break;
            }
            rc = rub_line_reader_open(self->files->paths[self->next_file++], &self->parse.lines,
                                      err);
            rc = rc ? rc : self->reader->begin(&self->parse, err);
            continue;
        }
        rc = rub_line_reader_next(self->parse.lines, line_p, length_p, err);
        if (rc == 0 && *line_p == NULL) {
            rub_line_reader_close(&self->parse.lines);
        } else if (rc || (self->reader->holds(*line_p) && rub_sparse_parse_wants(&self->parse))) {
            break;
        }
    }
    return rc;
}

int rub_sparse_pass_next(rub_sparse_pass_t *self, rub_sparse_batch_t *batch, rub_error_t *err)
{
    rub_sparse_set_t *set = self->set;
    int rc = 0;
    batch->count = 0;
    if (set->n_examples > 0) {
        rub_sparse_set_clear(set);
    }
    while (rc == 0 && set->n_examples < batch->capacity &&
           (set->n_examples == 0 || set->offsets[set->n_examples] < ENTRIES)) {
        const char *line = NULL;
        size_t length = 0;
        rc = next_line(self, &line, &length, err);
        if (rc || line == NULL) {
            break;
        }
        rc = rub_sparse_parse_example(self->reader, &self->parse, line, length, set, err);
    }
    return rc || set->n_examples == 0
               ? rc
               : rub_sparse_batch_fill(batch, set, NULL, 0, set->n_examples, err);
}
