/* Reading a data set window by window.
 *
 * Why: click logs are larger than memory, and a batch needs examples from anywhere in its window,
 * none from elsewhere. Idea: one window in memory, in arrays whose room is fixed when the first is
 * read; the next one takes its place. The kernel is told at once which blocks a window will read,
 * so that the disk works ahead of the parser. Invariants: examples stand in the window as the order
 * of blocks has them, so that what place means which example depends on nothing but the order; and
 * a block that does not hold what was counted in it ends the reading. A range across a border (a
 * piece that was cut for another size of windows) goes through a small set of its own. */
#include "worker/data/sparse_stream.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/sparse_reader.h"
#include "worker/data/sparse_windows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define NO_WINDOW UINT64_MAX
#define BLOCKS_PER_WINDOW 32u
#define LEAST_BLOCK_BYTES (64u << 10)
#define MOST_BLOCK_BYTES (4u << 20)

struct rub_sparse_stream {
    rub_sparse_options_t options;
    const rub_sparse_reader_t *reader;
    rub_sparse_parse_t parse;
    rub_sparse_index_t *index;
    rub_sparse_windows_t *windows;
    uint32_t open_file; /* of parse.lines, where there are any */
    uint64_t window;    /* the one that is held */
    rub_sparse_set_t *set;
    float *values;      /* of the set, which has none while all are 1 */
    uint32_t *examples; /* their order in the window */
};

static uint32_t block_bytes_for(uint64_t memory_bytes)
{
    const uint64_t wanted = memory_bytes / (4 * BLOCKS_PER_WINDOW);
    if (wanted < LEAST_BLOCK_BYTES) {
        return LEAST_BLOCK_BYTES;
    }
    return wanted < MOST_BLOCK_BYTES ? (uint32_t)wanted : MOST_BLOCK_BYTES;
}

int rub_sparse_stream_open(const rub_sparse_options_t *options, uint64_t memory_bytes,
                           size_t batch_examples, rub_sparse_stream_t **self_p, rub_error_t *err)
{
    RUB_ASSERT(batch_examples > 0);
    *self_p = NULL;
    rub_sparse_stream_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data: no memory");
    }
    self->options = *options;
    self->parse.options = &self->options;
    self->reader = rub_sparse_reader_named(options->format);
    self->window = NO_WINDOW;
    int rc = rub_sparse_options_check(options, self->reader, err);
    rc = rc ? rc
            : rub_sparse_index_open(self->reader, &self->parse, block_bytes_for(memory_bytes),
                                    &self->index, err);
    rc = rc ? rc
            : rub_sparse_windows_new(self->index, self->reader, memory_bytes, batch_examples,
                                     &self->windows, err);
    if (rc != 0) {
        rub_sparse_stream_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_sparse_stream_close(rub_sparse_stream_t **self_p)
{
    rub_sparse_stream_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_sparse_stream_release(self);
    rub_sparse_windows_destroy(&self->windows);
    rub_sparse_index_close(&self->index);
    rub_free(self->parse.columns);
    rub_free(self);
    *self_p = NULL;
}

void rub_sparse_stream_release(rub_sparse_stream_t *self)
{
    self->window = NO_WINDOW;
    rub_line_reader_close(&self->parse.lines);
    if (self->set != NULL) {
        self->set->values = self->values;
    }
    rub_sparse_set_close(&self->set);
    rub_free(self->examples);
    self->values = NULL;
    self->examples = NULL;
}

uint64_t rub_sparse_stream_count(const rub_sparse_stream_t *self)
{
    return self->index->n_examples;
}

uint64_t rub_sparse_stream_window(const rub_sparse_stream_t *self)
{
    return self->windows->examples;
}

/* With one window the examples that are held stay, in another order. */
void rub_sparse_stream_arrange(rub_sparse_stream_t *self, rub_sampling_t how, uint64_t seed,
                               uint64_t data_epoch)
{
    rub_sparse_windows_arrange(self->windows, how, seed, data_epoch);
    if (self->window != NO_WINDOW && self->windows->n_windows == 1) {
        rub_sparse_windows_order(self->windows, 0, self->examples, self->set->n_examples);
    } else {
        self->window = NO_WINDOW;
    }
}

/* ---- reading a window ---- */

static int make_room(rub_sparse_stream_t *self, rub_error_t *err)
{
    if (self->set != NULL) {
        self->set->values = self->values;
        return 0;
    }
    const uint64_t all = self->index->n_examples;
    const uint64_t n = self->windows->examples < all ? self->windows->examples : all;
    self->set = rub_sparse_set_new((size_t)n, (size_t)self->windows->entries, self->reader->values);
    self->examples = rub_calloc((size_t)n, sizeof *self->examples);
    if (self->set == NULL || self->examples == NULL) {
        rub_sparse_stream_release(self);
        return rub_fail(err, RUB_ENOMEM, "data: no memory for a window of %" PRIu64 " examples", n);
    }
    self->values = self->set->values;
    return 0;
}

/* The disk may begin with the window's blocks. That it does not is no failure. */
static void announce(const rub_sparse_stream_t *self, size_t from, uint64_t last)
{
    int fd = -1;
    uint32_t file = 0;
    for (size_t at = from; at < self->index->n_blocks && self->windows->starts[at] < last; at++) {
        const rub_sparse_block_t *block = &self->index->blocks[self->windows->blocks[at]];
        if (self->index->stamps[block->file].packed) {
            continue;
        }
        if (fd < 0 || file != block->file) {
            if (fd >= 0) {
                close(fd);
            }
            file = block->file;
            fd = open(self->index->files->paths[file], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        }
        if (fd >= 0) {
            (void)posix_fadvise(fd, (off_t)block->offset, block->bytes, POSIX_FADV_WILLNEED);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The reader stands before the block's first line. */
static int open_block(rub_sparse_stream_t *self, const rub_sparse_block_t *block, rub_error_t *err)
{
    int rc = 0;
    if (self->parse.lines == NULL || self->open_file != block->file) {
        rub_line_reader_close(&self->parse.lines);
        rc = rub_sparse_index_unchanged(self->index, block->file, err);
        rc = rc ? rc
                : rub_line_reader_open(self->index->files->paths[block->file], &self->parse.lines,
                                       err);
        rc = rc ? rc : self->reader->begin(&self->parse, err);
        self->open_file = block->file;
    }
    return rc ? rc
              : rub_line_reader_seek(self->parse.lines, block->offset, block->bytes,
                                     block->lines_before, err);
}

/* Adds examples [skip, skip + count) of the block. */
static int read_block(rub_sparse_stream_t *self, const rub_sparse_block_t *block, uint64_t skip,
                      uint64_t count, rub_error_t *err)
{
    uint64_t seen = 0;
    int rc = open_block(self, block, err);
    self->parse.number = block->first_number;
    while (rc == 0 && seen < skip + count) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(self->parse.lines, &line, &length, err);
        if (rc == 0 && line == NULL) {
            rc = rub_fail(
                err, RUB_EDATA,
                "data file '%s': %" PRIu64 " examples at byte %" PRIu64 ", %u were counted there",
                self->index->files->paths[block->file], seen, block->offset, block->n_examples);
        }
        if (rc != 0 || !self->reader->holds(line) || !rub_sparse_parse_wants(&self->parse)) {
            continue;
        }
        if (seen++ >= skip) {
            rc = rub_sparse_parse_example(self->reader, &self->parse, line, length, self->set, err);
        }
    }
    return rc;
}

static int read_blocks(rub_sparse_stream_t *self, uint64_t first, uint64_t last, rub_error_t *err)
{
    const rub_sparse_windows_t *const windows = self->windows;
    size_t at = rub_sparse_windows_find(windows, first);
    const bool goes_on = self->parse.lines != NULL; /* in a file that the window before had open */
    int rc = goes_on ? rub_sparse_index_unchanged(self->index, self->open_file, err) : 0;
    announce(self, at, last);
    for (; rc == 0 && first < last; at++) {
        const uint64_t end = windows->starts[at + 1] < last ? windows->starts[at + 1] : last;
        rc = read_block(self, &self->index->blocks[windows->blocks[at]],
                        first - windows->starts[at], end - first, err);
        first = end;
    }
    return rc;
}

static int hold(rub_sparse_stream_t *self, uint64_t window, rub_error_t *err)
{
    if (self->window == window) {
        return 0;
    }
    self->window = NO_WINDOW;
    int rc = make_room(self, err);
    if (rc != 0) {
        return rc;
    }
    const uint64_t all = self->index->n_examples;
    const uint64_t first = window * self->windows->examples;
    const uint64_t last =
        all - first < self->windows->examples ? all : first + self->windows->examples;
    rub_sparse_set_clear(self->set);
    rc = read_blocks(self, first, last, err);
    if (rc != 0) {
        return rc;
    }
    RUB_ASSERT(self->set->n_examples == last - first);
    if (rub_sparse_set_all_ones(self->set)) {
        self->set->values = NULL;
    }
    rub_sparse_windows_order(self->windows, window, self->examples, self->set->n_examples);
    self->window = window;
    return 0;
}

/* ---- batches ---- */

/* Adds places [first, first + count) of one window to a set. */
static int copy_out(rub_sparse_stream_t *self, uint64_t first, size_t count, rub_sparse_set_t *to,
                    rub_error_t *err)
{
    int rc = hold(self, first / self->windows->examples, err);
    const uint64_t place = first % self->windows->examples;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const rub_sparse_set_t *const from = self->set;
        const size_t example = self->examples[place + i];
        const uint64_t begin = from->offsets[example];
        const size_t n = (size_t)(from->offsets[example + 1] - begin);
        rc = rub_sparse_set_reserve(to, &self->options, n, true, err);
        if (rc != 0) {
            break;
        }
        const uint64_t at = to->offsets[to->n_examples];
        for (size_t e = 0; e < n; e++) {
            to->keys[at + e] = from->keys[begin + e];
            to->values[at + e] = from->values != NULL ? from->values[begin + e] : 1;
        }
        rub_sparse_set_add(to, n, from->labels[example]);
    }
    return rc;
}

static int fill_across(rub_sparse_stream_t *self, rub_sparse_batch_t *batch, uint64_t first,
                       size_t count, rub_error_t *err)
{
    const uint64_t last = first + count;
    rub_sparse_set_t *both = rub_calloc(1, sizeof *both);
    int rc = both ? 0 : rub_fail(err, RUB_ENOMEM, "batch of %zu examples: no memory", count);
    while (rc == 0 && first < last) {
        const uint64_t border = (first / self->windows->examples + 1) * self->windows->examples;
        const uint64_t end = border < last ? border : last;
        rc = copy_out(self, first, (size_t)(end - first), both, err);
        first = end;
    }
    rc = rc ? rc : rub_sparse_batch_fill(batch, both, NULL, 0, count, err);
    rub_sparse_set_close(&both);
    return rc;
}

int rub_sparse_stream_fill(rub_sparse_stream_t *self, rub_sparse_batch_t *batch, uint64_t first,
                           size_t count, rub_error_t *err)
{
    const uint64_t all = self->index->n_examples;
    batch->count = 0;
    if (count == 0 || first > all || count > all - first) {
        return rub_fail(err, RUB_EINVAL,
                        "batch of %zu examples from %" PRIu64 ", the data has %" PRIu64, count,
                        first, all);
    }
    const uint64_t window = first / self->windows->examples;
    if ((first + count - 1) / self->windows->examples != window) {
        return fill_across(self, batch, first, count, err);
    }
    const int rc = hold(self, window, err);
    return rc ? rc
              : rub_sparse_batch_take(batch, self->set,
                                      self->examples + first % self->windows->examples, count, err);
}

int rub_sparse_stream_at_once(rub_sparse_stream_t *self, uint64_t first, uint64_t n_entries,
                              uint64_t *count_p, rub_error_t *err)
{
    RUB_ASSERT(first < self->index->n_examples);
    const int rc = hold(self, first / self->windows->examples, err);
    if (rc != 0) {
        return rc;
    }
    const uint64_t place = first % self->windows->examples;
    const uint64_t left = self->set->n_examples - place;
    const uint64_t most = *count_p < left ? *count_p : left;
    uint64_t entries = 0;
    uint64_t n = 0;
    while (n < most) {
        const uint32_t example = self->examples[place + n];
        entries += self->set->offsets[example + 1] - self->set->offsets[example];
        if (entries > n_entries && n > 0) {
            break;
        }
        n++;
    }
    *count_p = n;
    return 0;
}
