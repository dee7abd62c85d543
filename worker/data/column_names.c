/* Who wants to know a table's columns before anything is read of it looks at one line. */
#include "worker/data/column_names.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/sparse_reader.h"

#include <string.h>

int rub_column_names_add(rub_column_names_t *self, const char *name, size_t bytes, rub_error_t *err)
{
    char *const copy = rub_arena_alloc(&self->texts, bytes + 1);
    if (copy == NULL || rub_grow(&self->names, &self->room, self->n + 1u, sizeof *self->names)) {
        return rub_fail(err, RUB_ENOMEM, "data: no memory for the names of columns");
    }
    memcpy(copy, name, bytes);
    copy[bytes] = '\0';
    self->names[self->n++] = copy;
    return 0;
}

void rub_column_names_fini(rub_column_names_t *self)
{
    rub_free(self->names);
    rub_arena_fini(&self->texts);
    *self = (rub_column_names_t){0};
}

static int read_names(const rub_sparse_reader_t *reader, const rub_sparse_options_t *options,
                      const char *path, rub_column_names_t *self, rub_error_t *err)
{
    rub_sparse_parse_t parse = {.options = options};
    int rc = rub_line_reader_open(path, &parse.lines, err);
    rc = rc ? rc : reader->begin(&parse, err);
    rc = rc ? rc : reader->name_columns(&parse, self, err);
    if (rc == 0 && self->n == 0) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1", path);
    }
    rub_line_reader_close(&parse.lines);
    rub_free(parse.columns);
    return rc;
}

int rub_column_names_read(const rub_sparse_options_t *options, rub_column_names_t *self,
                          rub_error_t *err)
{
    const rub_sparse_reader_t *const reader = rub_sparse_reader_named(options->format);
    rub_data_files_t *files = NULL;
    *self = (rub_column_names_t){.label = UINT32_MAX};
    rub_arena_init(&self->texts);
    int rc = rub_sparse_options_check(options, reader, err);
    if (rc == 0 && reader->name_columns == NULL) {
        rc = rub_fail(err, RUB_EINVAL, "data format '%s' has no columns", options->format);
    }
    if (rc == 0 && strcmp(options->path, "-") == 0) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "standard input is read once, and its columns are not known before: expected "
                      "files");
    }
    rc = rc ? rc : rub_data_files_open(options->path, &files, err);
    rc = rc ? rc : read_names(reader, options, files->paths[0], self, err);
    rub_data_files_close(&files);
    return rc;
}
