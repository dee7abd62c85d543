/* Indexing large files of examples.
 *
 * Why: the scheduler deals examples by number, and a batch has a fixed number of them; so somebody
 * must know how many there are and where the millionth begins. Counting lines costs a fraction of
 * parsing them, and what is kept is some tens of bytes for a block of a megabyte. Invariant: blocks
 * follow each other without a gap within a file, from the first line behind its header to its end;
 * lines at the end that hold no example belong to no block. Whoever reads a block later must find
 * what was counted: files are recognised by device, inode, length and time of change. */
#include "worker/data/sparse_index.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int stamp_of(const char *path, rub_sparse_stamp_t *stamp, rub_error_t *err)
{
    struct stat status;
    if (strcmp(path, "-") == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "standard input is read once and cannot be streamed in windows: expected "
                        "files, or data_memory 0");
    }
    if (stat(path, &status) != 0) {
        return rub_fail_errno(err, RUB_EDATA, errno, "data file '%s': it cannot be opened", path);
    }
    *stamp = (rub_sparse_stamp_t){.device = (uint64_t)status.st_dev,
                                  .number = (uint64_t)status.st_ino,
                                  .bytes = (uint64_t)status.st_size,
                                  .changed_ns = (uint64_t)status.st_mtim.tv_sec * 1000000000u +
                                                (uint64_t)status.st_mtim.tv_nsec};
    return 0;
}

int rub_sparse_index_unchanged(const rub_sparse_index_t *self, size_t file, rub_error_t *err)
{
    rub_sparse_stamp_t now = {0};
    const rub_sparse_stamp_t *const then = &self->stamps[file];
    const int rc = stamp_of(self->files->paths[file], &now, err);
    if (rc != 0) {
        return rc;
    }
    if (now.device != then->device || now.number != then->number || now.bytes != then->bytes ||
        now.changed_ns != then->changed_ns) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' was changed since its examples were counted",
                        self->files->paths[file]);
    }
    return 0;
}

/* The block ends before the reader's next line. */
static int end_block(rub_sparse_index_t *self, rub_sparse_block_t *block,
                     const rub_sparse_parse_t *parse, rub_error_t *err)
{
    const rub_line_reader_t *const lines = parse->lines;
    const uint64_t end = rub_line_reader_offset(lines);
    if (block->n_examples > 0) {
        if (rub_grow(&self->blocks, &self->room, self->n_blocks + 1, sizeof *self->blocks) != 0) {
            return rub_fail(err, RUB_ENOMEM, "data: no memory for an index of %zu blocks",
                            self->n_blocks + 1);
        }
        block->bytes = (uint32_t)(end - block->offset);
        self->n_examples += block->n_examples;
        self->blocks[self->n_blocks++] = *block;
    }
    block->offset = end;
    block->lines_before = rub_line_reader_count(lines);
    block->first_number = parse->number;
    block->n_examples = 0;
    return 0;
}

/* A block without any example so far gives way to one that begins here: what holds none, a header
 * or a long comment, belongs to no block. */
static int index_lines(rub_sparse_index_t *self, const rub_sparse_reader_t *reader,
                       rub_sparse_parse_t *parse, uint32_t file, uint32_t block_bytes,
                       rub_error_t *err)
{
    rub_sparse_block_t block = {.file = file};
    int rc = end_block(self, &block, parse, err);
    while (rc == 0) {
        const uint64_t begins = rub_line_reader_offset(parse->lines);
        if (block.n_examples == 0 || begins - block.offset >= block_bytes) {
            rc = end_block(self, &block, parse, err);
        }
        const char *line = NULL;
        size_t length = 0;
        rc = rc ? rc : rub_line_reader_next(parse->lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        block.n_examples += reader->holds(line) && rub_sparse_parse_wants(parse);
    }
    return rc ? rc : end_block(self, &block, parse, err);
}

static int index_file(rub_sparse_index_t *self, const rub_sparse_reader_t *reader,
                      rub_sparse_parse_t *parse, uint32_t file, uint32_t block_bytes,
                      rub_error_t *err)
{
    const char *const path = self->files->paths[file];
    const uint64_t before = parse->number;
    int rc = stamp_of(path, &self->stamps[file], err);
    rc = rc ? rc : rub_line_reader_open(path, &parse->lines, err);
    rc = rc ? rc : reader->begin(parse, err);
    rc = rc ? rc : index_lines(self, reader, parse, file, block_bytes, err);
    if (rc == 0) {
        self->stamps[file].packed = rub_line_reader_packed(parse->lines);
    }
    if (rc == 0 && parse->number == before) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1", path);
    }
    rub_line_reader_close(&parse->lines);
    return rc;
}

int rub_sparse_index_open(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse,
                          uint32_t block_bytes, rub_sparse_index_t **self_p, rub_error_t *err)
{
    const char *const words = parse->options->path;
    *self_p = NULL;
    rub_sparse_index_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data '%s': no memory", words);
    }
    int rc = rub_data_files_open(words, &self->files, err);
    if (rc == 0) {
        self->stamps = rub_calloc(self->files->n, sizeof *self->stamps);
        rc = self->stamps ? 0 : rub_fail(err, RUB_ENOMEM, "data '%s': no memory", words);
    }
    for (size_t i = 0; rc == 0 && i < self->files->n; i++) {
        rc = index_file(self, reader, parse, (uint32_t)i, block_bytes, err);
    }
    rc = rc ? rc : rub_sparse_parse_check_part(parse, self->n_examples, err);
    if (rc != 0) {
        rub_sparse_index_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_sparse_index_close(rub_sparse_index_t **self_p)
{
    rub_sparse_index_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_data_files_close(&self->files);
    rub_free(self->stamps);
    rub_free(self->blocks);
    rub_free(self);
    *self_p = NULL;
}
