/* Data sets that are read window by window: every example once, the same for the same seed, no more
 * memory than was asked for, and what is refused. */
#include "worker/data/sparse_stream.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/sparse_windows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

enum { FILES = 3, EXAMPLES = 9000, ALL = FILES * EXAMPLES, BATCH = 64, MEMORY = 1 << 20 };

typedef struct folder {
    char path[64], files[FILES][96];
    rub_sparse_options_t options;
    rub_sparse_stream_t *stream;
    rub_sparse_batch_t *batch;
    rub_error_t err;
} folder_t;

/* Example number n has the features n (of which the data has no other), and some that repeat. Every
 * eighth line is empty. The last file is compressed, the first one has a mark. */
static void write_file(const char *path, unsigned first, bool packed)
{
    gzFile file = gzopen(path, packed ? "wb" : "wbT");
    assert_non_null(file);
    gzprintf(file, "%s", first == 0 ? "\xef\xbb\xbf" : "");
    for (unsigned n = first; n < first + EXAMPLES; n++) {
        gzprintf(file, "%s%u %u:0.5 %u:2\n", n % 8 ? "" : "\n", n % 2, n, 100000 + n % 50);
    }
    assert_int_equal(gzclose(file), Z_OK);
}

static void folder_init(folder_t *self)
{
    *self = (folder_t){.path = "/tmp/rubato-stream-XXXXXX"};
    assert_non_null(mkdtemp(self->path));
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(self->files[i], sizeof self->files[i], "%s/part-%u", self->path, i);
        write_file(self->files[i], i * EXAMPLES, i == FILES - 1);
    }
    rub_sparse_options_defaults(&self->options);
    self->options.format = "libsvm";
    self->options.path = self->path;
    self->batch = rub_sparse_batch_new(BATCH);
}

static int open_stream(folder_t *self, uint64_t memory_bytes)
{
    return rub_sparse_stream_open(&self->options, memory_bytes, BATCH, &self->stream, &self->err);
}

static void folder_open(folder_t *self, uint64_t memory_bytes)
{
    folder_init(self);
    if (open_stream(self, memory_bytes) != 0) {
        fail_msg("%s", self->err.message);
    }
}

static void folder_fini(folder_t *self)
{
    rub_sparse_stream_close(&self->stream);
    rub_sparse_batch_destroy(&self->batch);
    for (unsigned i = 0; i < FILES; i++) {
        unlink(self->files[i]);
    }
    rmdir(self->path);
}

/* The numbers of the examples in these places, read in batches. */
static void read_places(folder_t *self, uint64_t first, uint64_t last, uint32_t *numbers)
{
    while (first < last) {
        const size_t count = last - first < BATCH ? (size_t)(last - first) : BATCH;
        if (rub_sparse_stream_fill(self->stream, self->batch, first, count, &self->err) != 0) {
            fail_msg("%s", self->err.message);
        }
        assert_int_equal(self->batch->count, count);
        for (size_t i = 0; i < count; i++) {
            const uint32_t at = self->batch->starts[i];
            assert_int_equal(self->batch->starts[i + 1] - at, 2);
            const uint32_t number = (uint32_t)self->batch->keys[self->batch->places[at]];
            assert_int_equal(self->batch->labels[i], number % 2);
            assert_true(self->batch->values[at] == 0.5f && self->batch->values[at + 1] == 2.0f);
            *numbers++ = number;
        }
        first += count;
    }
}

static void an_epoch_visits_every_example_once_and_as_its_seed_says(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    static uint32_t first_time[ALL], again[ALL], other[ALL];
    static uint8_t seen[ALL];
    folder_open(&f, MEMORY);
    assert_int_equal(rub_sparse_stream_count(f.stream), ALL);
    const uint64_t window = rub_sparse_stream_window(f.stream);
    assert_int_equal(window % BATCH, 0);
    assert_true(window < ALL / 2);

    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 7, 3);
    read_places(&f, 0, ALL, first_time);
    size_t in_place = 0;
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(seen[first_time[i]]++, 0);
        in_place += first_time[i] == i;
    }
    assert_true(in_place < 100);

    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 7, 4);
    read_places(&f, 0, ALL, other);
    assert_memory_not_equal(first_time, other, sizeof other);
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 8, 3);
    read_places(&f, 0, ALL, other);
    assert_memory_not_equal(first_time, other, sizeof other);

    /* Another worker, which takes its windows backwards. */
    rub_sparse_stream_close(&f.stream);
    assert_int_equal(open_stream(&f, MEMORY), 0);
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 7, 3);
    for (uint64_t w = (ALL - 1) / window + 1; w-- > 0;) {
        const uint64_t last = (w + 1) * window < ALL ? (w + 1) * window : ALL;
        read_places(&f, w * window, last, again + w * window);
    }
    assert_memory_equal(first_time, again, sizeof again);
    folder_fini(&f);
}

static void without_a_shuffle_examples_come_as_the_files_have_them(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    static uint32_t numbers[ALL];
    folder_open(&f, MEMORY);
    read_places(&f, 0, ALL, numbers);
    for (uint32_t i = 0; i < ALL; i++) {
        assert_int_equal(numbers[i], i);
    }
    folder_fini(&f);
}

static void draws_with_replacement_come_from_their_window(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    static uint32_t drawn[ALL], again[ALL];
    static uint8_t seen[ALL];
    folder_open(&f, MEMORY);
    rub_sparse_stream_arrange(f.stream, RUB_REPLACED, 7, 3);
    read_places(&f, 0, ALL, drawn);
    size_t missing = 0;
    for (size_t i = 0; i < ALL; i++) {
        seen[drawn[i]] = 1;
    }
    for (size_t i = 0; i < ALL; i++) {
        missing += !seen[i];
    }
    assert_true(missing > ALL * 0.34 && missing < ALL * 0.40); /* 1 / e of them */
    rub_sparse_stream_arrange(f.stream, RUB_IN_ORDER, 7, 3);
    read_places(&f, 0, ALL, again);
    assert_true(again[0] == 0 && again[ALL - 1] == ALL - 1);
    rub_sparse_stream_arrange(f.stream, RUB_REPLACED, 7, 3);
    read_places(&f, 0, ALL, again);
    assert_memory_equal(drawn, again, sizeof again);
    folder_fini(&f);
}

static void what_is_held_out_and_the_rest_make_up_the_whole(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    static uint8_t seen[ALL];
    static uint32_t numbers[ALL];
    uint64_t counts[2];
    folder_init(&f);
    f.options.held_out = 0.25;
    f.options.held_out_seed = 5;
    for (int part = 0; part < 2; part++) {
        f.options.take_held_out = part == 1;
        assert_int_equal(open_stream(&f, MEMORY), 0);
        counts[part] = rub_sparse_stream_count(f.stream);
        rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 1, 0);
        read_places(&f, 0, counts[part], numbers);
        for (uint64_t i = 0; i < counts[part]; i++) {
            assert_int_equal(seen[numbers[i]]++, 0);
        }
        rub_sparse_stream_close(&f.stream);
        rub_sparse_set_t *set = NULL; /* in memory they are the same */
        assert_int_equal(rub_sparse_set_open(&f.options, &set, &f.err), 0);
        assert_int_equal(set->n_examples, counts[part]);
        for (size_t i = 0; i < set->n_examples; i++) {
            assert_int_equal(seen[set->keys[set->offsets[i]]], 1);
        }
        rub_sparse_set_close(&set);
    }
    assert_int_equal(counts[0] + counts[1], ALL);
    assert_true(counts[1] > ALL * 0.23 && counts[1] < ALL * 0.27);
    f.options.held_out = 1e-9;
    assert_int_equal(open_stream(&f, MEMORY), RUB_EDATA);
    assert_non_null(strstr(f.err.message, "none of its 27000 examples is held out"));
    folder_fini(&f);
}

static void a_range_across_a_border_is_what_its_parts_are(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    uint32_t parts[BATCH], across[BATCH];
    folder_open(&f, MEMORY);
    const uint64_t border = rub_sparse_stream_window(f.stream);
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 1, 0);
    read_places(&f, border - 10, border, parts);
    read_places(&f, border, border + BATCH - 10, parts + 10);
    read_places(&f, border - 10, border + BATCH - 10, across);
    assert_memory_equal(parts, across, sizeof parts);
    uint64_t count = BATCH;
    assert_int_equal(rub_sparse_stream_at_once(f.stream, border - 10, 1000, &count, &f.err), 0);
    assert_int_equal(count, 10);
    count = BATCH;
    assert_int_equal(rub_sparse_stream_at_once(f.stream, border, 7, &count, &f.err), 0);
    assert_int_equal(count, 3); /* of two entries each */
    folder_fini(&f);
}

static void data_that_fits_is_one_window_and_is_read_once(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    static uint32_t before[ALL], after[ALL];
    folder_open(&f, 64 << 20);
    assert_true(rub_sparse_stream_window(f.stream) >= ALL);
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 1, 0);
    read_places(&f, 0, ALL, before);
    for (unsigned i = 0; i < FILES; i++) {
        unlink(f.files[i]); /* nothing opens them again */
    }
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 1, 1);
    read_places(&f, 0, ALL, after);
    assert_memory_not_equal(before, after, sizeof after);
    rub_sparse_stream_arrange(f.stream, RUB_SHUFFLED, 1, 0);
    read_places(&f, 0, ALL, after);
    assert_memory_equal(before, after, sizeof after);
    folder_fini(&f);
}

static void assert_fill_refused(folder_t *f, uint64_t first, size_t count, int code,
                                const char *words)
{
    const int rc = rub_sparse_stream_fill(f->stream, f->batch, first, count, &f->err);
    if (rc != code || strstr(f->err.message, words) == NULL) {
        fail_msg("%s: '%s', expected '%s'", rub_error_name(rc), f->err.message, words);
    }
    assert_int_equal(f->batch->count, 0);
}

static void what_is_wrong_in_a_later_window_is_named_by_its_line(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    folder_init(&f);
    FILE *file = fopen(f.files[1], "r+");
    assert_non_null(file);
    char line[64];
    for (unsigned n = 1; n < 5000; n++) {
        assert_non_null(fgets(line, sizeof line, file));
    }
    assert_int_equal(fseek(file, 0, SEEK_CUR), 0);
    (void)fputs("1 x", file);
    (void)fclose(file);
    assert_int_equal(open_stream(&f, MEMORY), 0);
    const uint64_t at = EXAMPLES + 4400;
    assert_fill_refused(&f, at, BATCH, RUB_EDATA, "part-1', line 5000, column 3: found 'x");
    assert_int_equal(rub_error_exit_code(RUB_EDATA), 4);
    assert_fill_refused(&f, at, BATCH, RUB_EDATA, "line 5000"); /* nothing half read is kept */
    folder_fini(&f);
}

static void a_file_that_was_changed_is_refused(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    folder_open(&f, MEMORY);
    write_file(f.files[0], 1, false);
    assert_fill_refused(&f, 0, BATCH, RUB_EDATA, "part-0' was changed since");
    unlink(f.files[1]);
    assert_fill_refused(&f, EXAMPLES + 4400, BATCH, RUB_EDATA, "part-1': it cannot be opened");
    folder_fini(&f);
}

static void a_file_that_is_changed_between_two_windows_of_it_is_refused(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    folder_init(&f);
    f.options.path = f.files[0];
    assert_int_equal(open_stream(&f, MEMORY / 2), 0);
    assert_true(rub_sparse_stream_window(f.stream) < EXAMPLES);
    assert_int_equal(rub_sparse_stream_fill(f.stream, f.batch, 0, BATCH, &f.err), 0);
    write_file(f.files[0], 0, false); /* of the same length, in its place */
    assert_fill_refused(&f, EXAMPLES - BATCH, BATCH, RUB_EDATA, "part-0' was changed since");
    folder_fini(&f);
}

static void ranges_outside_and_memory_for_no_batch_are_refused(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    folder_open(&f, MEMORY);
    assert_fill_refused(&f, ALL - 3, 4, RUB_EINVAL, "the data has 27000");
    assert_fill_refused(&f, 0, 0, RUB_EINVAL, "batch of 0 examples");
    assert_fill_refused(&f, UINT64_MAX, 2, RUB_EINVAL, "the data has 27000");
    rub_sparse_stream_close(&f.stream);
    assert_int_equal(open_stream(&f, 4096), RUB_ECONFIG);
    assert_non_null(strstr(f.err.message, "data_memory: 4096 bytes, a batch of 64"));
    assert_null(f.stream);
    f.options.hash_bits = 99;
    assert_int_equal(open_stream(&f, MEMORY), RUB_EINVAL);
    folder_fini(&f);
}

/* Blocks with long lines and with short ones: no order puts more into a window than there is room
 * for. */
static void no_order_needs_more_memory_than_was_asked_for(void **state)
{
    RUB_UNUSED(state);
    enum { BLOCKS = 200 };
    rub_sparse_block_t blocks[BLOCKS];
    rub_sparse_stamp_t stamp = {0};
    rub_sparse_index_t index = {.stamps = &stamp, .blocks = blocks, .n_blocks = BLOCKS};
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[i] = (rub_sparse_block_t){.bytes = 65536 + i * 100, .n_examples = 1 + i * i % 997};
        index.n_examples += blocks[i].n_examples;
    }
    const rub_sparse_reader_t *const reader = rub_sparse_reader_named("libsvm");
    rub_sparse_windows_t *windows = NULL;
    assert_int_equal(rub_sparse_windows_new(&index, reader, 4 << 20, 16, &windows, NULL), 0);
    assert_true(windows->entries * 8 + windows->examples * 13 <= 4 << 20);
    for (uint64_t epoch = 0; epoch < 50; epoch++) {
        rub_sparse_windows_arrange(windows, RUB_SHUFFLED, 1, epoch);
        for (uint64_t first = 0; first < index.n_examples; first += windows->examples) {
            const uint64_t left = index.n_examples - first;
            const uint64_t n = left < windows->examples ? left : windows->examples;
            uint64_t text = 0;
            for (size_t at = rub_sparse_windows_find(windows, first);
                 at < BLOCKS && windows->starts[at] < first + n; at++) {
                text += blocks[windows->blocks[at]].bytes;
            }
            assert_true(reader->entries(text, n) <= windows->entries);
        }
    }
    rub_sparse_windows_destroy(&windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_visits_every_example_once_and_as_its_seed_says),
        cmocka_unit_test(without_a_shuffle_examples_come_as_the_files_have_them),
        cmocka_unit_test(draws_with_replacement_come_from_their_window),
        cmocka_unit_test(what_is_held_out_and_the_rest_make_up_the_whole),
        cmocka_unit_test(a_range_across_a_border_is_what_its_parts_are),
        cmocka_unit_test(data_that_fits_is_one_window_and_is_read_once),
        cmocka_unit_test(what_is_wrong_in_a_later_window_is_named_by_its_line),
        cmocka_unit_test(a_file_that_was_changed_is_refused),
        cmocka_unit_test(a_file_that_is_changed_between_two_windows_of_it_is_refused),
        cmocka_unit_test(ranges_outside_and_memory_for_no_batch_are_refused),
        cmocka_unit_test(no_order_needs_more_memory_than_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
