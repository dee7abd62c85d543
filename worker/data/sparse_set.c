/* Opening a sparse data set: picks the reader, and keeps what it reads in three growing arrays.
 *
 * Why: a click log has some tens of features per example out of millions, and is read once, in one
 * go, without knowing how long it is; so arrays double, and what is left over is given back at the
 * end. Invariant: offsets ascend, and memory stays below the limit of the options at every step of
 * growing. Values that are all 1 (every hashed feature, and most bags of words) are not kept: the
 * set is half as large then, and so is what a batch must fetch. */
#include "worker/data/sparse_set.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/csv_fields.h"
#include "worker/data/data_files.h"
#include "worker/data/held_out.h"
#include "worker/data/sparse_reader.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LIMIT_BYTES (UINT64_C(64) << 30)
#define FIRST_EXAMPLES ((size_t)1 << 12)
#define FIRST_ENTRIES ((size_t)1 << 16)

#define RUB_SPARSE_READER(reader, has_values, columns, text)                                       \
    {.name = #reader,                                                                              \
     .values = has_values,                                                                         \
     .summary = text,                                                                              \
     .begin = rub_##reader##_begin,                                                                \
     .holds = rub_##reader##_holds,                                                                \
     .parse = rub_##reader##_parse,                                                                \
     .entries = rub_##reader##_entries,                                                            \
     .name_columns = columns},
static const rub_sparse_reader_t readers[] = {
#include "worker/data/sparse_readers.def"
};
#undef RUB_SPARSE_READER

void rub_sparse_options_defaults(rub_sparse_options_t *options)
{
    *options = (rub_sparse_options_t){.hash_bits = 20,
                                      .limit_bytes = LIMIT_BYTES,
                                      .csv_label = "1",
                                      .csv_words = "",
                                      .csv_header = true};
}

const rub_sparse_reader_t *rub_sparse_reader_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(readers); i++) {
        if (name != NULL && strcmp(readers[i].name, name) == 0) {
            return &readers[i];
        }
    }
    return NULL;
}

bool rub_sparse_format_known(const char *format)
{
    return rub_sparse_reader_named(format) != NULL;
}

static size_t doubled(size_t room, size_t first, size_t want)
{
    room = room > 0 ? room : first;
    while (room < want) {
        room *= 2;
    }
    return room;
}

static int reserve_examples(rub_sparse_set_t *set, rub_error_t *err)
{
    const size_t room = doubled(set->examples_room, FIRST_EXAMPLES, set->n_examples + 1);
    uint64_t *offsets = rub_realloc_array(set->offsets, room + 1, sizeof *offsets);
    set->offsets = offsets != NULL ? offsets : set->offsets;
    float *labels = rub_realloc_array(set->labels, room, sizeof *labels);
    set->labels = labels != NULL ? labels : set->labels;
    if (offsets == NULL || labels == NULL) {
        return rub_fail(err, RUB_ENOMEM, "sparse data set: no memory for %zu examples", room);
    }
    if (set->n_examples == 0) {
        set->offsets[0] = 0;
    }
    set->examples_room = room;
    return 0;
}

/* want <= most. */
static int reserve_entries(rub_sparse_set_t *set, size_t want, size_t most, bool with_values,
                           rub_error_t *err)
{
    const size_t wished = doubled(set->entries_room, FIRST_ENTRIES, want);
    const size_t room = wished < most ? wished : most;
    uint32_t *keys = rub_realloc_array(set->keys, room, sizeof *keys);
    set->keys = keys != NULL ? keys : set->keys;
    float *values = with_values ? rub_realloc_array(set->values, room, sizeof *values) : NULL;
    set->values = values != NULL ? values : set->values;
    if (keys == NULL || (with_values && values == NULL)) {
        return rub_fail(err, RUB_ENOMEM, "sparse data set: no memory for %zu features", room);
    }
    set->entries_room = room;
    return 0;
}

int rub_sparse_set_reserve(rub_sparse_set_t *set, const rub_sparse_options_t *options,
                           size_t n_entries, bool with_values, rub_error_t *err)
{
    RUB_ASSERT(with_values || set->values == NULL);
    set->n_own = options->n_own;
    set->hash_bits = options->hash_bits;
    if (set->n_examples >= RUB_SPARSE_EXAMPLES_LIMIT) {
        return rub_fail(err, RUB_EDATA, "data file '%s' has more than %u examples", options->path,
                        RUB_SPARSE_EXAMPLES_LIMIT);
    }
    if (set->n_examples == set->examples_room && !set->fixed) {
        const int rc = reserve_examples(set, err);
        if (rc != 0) {
            return rc;
        }
    }
    const uint64_t want = set->offsets[set->n_examples] + n_entries;
    if (want <= set->entries_room && set->n_examples < set->examples_room) {
        return 0;
    }
    if (set->fixed) {
        return rub_fail(err, RUB_EDATA,
                        "data '%s': a window of %zu examples and %zu features is exceeded; were "
                        "its files changed while they were read?",
                        options->path, set->examples_room, set->entries_room);
    }
    const size_t entry_bytes = sizeof *set->keys + (with_values ? sizeof *set->values : 0);
    const uint64_t limit = options->limit_bytes > 0 ? options->limit_bytes : LIMIT_BYTES;
    const uint64_t most = limit / entry_bytes;
    if (want > most) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s': its first %zu examples have %" PRIu64
                        " features, the limit is %" PRIu64 " bytes of %zu for each",
                        options->path, set->n_examples + 1, want, limit, entry_bytes);
    }
    return reserve_entries(set, (size_t)want, (size_t)most, with_values, err);
}

void rub_sparse_set_add(rub_sparse_set_t *set, size_t n_entries, float label)
{
    RUB_ASSERT(set->n_examples < set->examples_room);
    const uint64_t first = set->offsets[set->n_examples];
    RUB_ASSERT(first + n_entries <= set->entries_room);
    for (size_t i = 0; i < n_entries; i++) {
        if (set->keys[first + i] > set->greatest_key) {
            set->greatest_key = set->keys[first + i];
        }
    }
    set->labels[set->n_examples++] = label;
    set->offsets[set->n_examples] = first + n_entries;
    set->greatest_row = n_entries > set->greatest_row ? n_entries : set->greatest_row;
}

bool rub_sparse_set_all_ones(const rub_sparse_set_t *set)
{
    const uint64_t n = set->offsets[set->n_examples];
    for (uint64_t i = 0; set->values != NULL && i < n; i++) {
        if (set->values[i] != 1.0f) {
            return false;
        }
    }
    return true;
}

/* The array in a region of its own size instead of *array_p. Short memory is no failure: then it
 * stays where it is. */
static void move_to_region(void **array_p, size_t bytes, size_t *region_bytes_p)
{
    void *region = bytes > 0 ? rub_region_alloc(bytes) : NULL;
    if (region != NULL) {
        memcpy(region, *array_p, bytes);
        rub_free(*array_p);
        *array_p = region;
        *region_bytes_p = bytes;
    }
}

static void free_array(void *array, size_t region_bytes)
{
    if (array != NULL && region_bytes > 0) {
        rub_region_free(array, region_bytes);
    } else {
        rub_free(array);
    }
}

/* Values that say nothing go. What stays moves to huge pages: batches fetch examples in random
 * order, and looking for each page took half as long as all the rest (277 us a batch against 182).
 */
static void settle(rub_sparse_set_t *set)
{
    const size_t n = (size_t)set->offsets[set->n_examples];
    if (rub_sparse_set_all_ones(set)) {
        rub_free(set->values);
        set->values = NULL;
    }
    void *keys = set->keys;
    move_to_region(&keys, n * sizeof *set->keys, &set->keys_region_bytes);
    set->keys = keys;
    if (set->values != NULL) {
        void *values = set->values;
        move_to_region(&values, n * sizeof *set->values, &set->values_region_bytes);
        set->values = values;
    }
    set->entries_room = n;
}

/* Keys have 32 bits for the hash and for the column that it is of. */
static int check_own(const rub_sparse_options_t *options, const rub_sparse_reader_t *reader,
                     rub_error_t *err)
{
    if (reader->name_columns == NULL) {
        return rub_fail(err, RUB_EINVAL,
                        "data format '%s' has no columns, %" PRIu32 " shall have keys of their own",
                        reader->name, options->n_own);
    }
    const uint32_t most =
        options->n_own <= RUB_SPARSE_OWN_MOST ? (uint32_t)__builtin_clz(options->n_own) : 0;
    if (options->hash_bits > most) {
        return rub_fail(err, RUB_EINVAL,
                        "hash_bits is %" PRIu32 ", expected at most %" PRIu32 " beside %" PRIu32
                        " columns with keys of their own",
                        options->hash_bits, most, options->n_own);
    }
    return 0;
}

int rub_sparse_options_check(const rub_sparse_options_t *options, const rub_sparse_reader_t *reader,
                             rub_error_t *err)
{
    if (options->path == NULL || options->path[0] == '\0') {
        return rub_fail(err, RUB_EINVAL, "data set has no file: its path is empty");
    }
    if (reader == NULL) {
        return rub_fail(err, RUB_EINVAL, "data format '%s' is not known among sparse formats",
                        options->format != NULL ? options->format : "");
    }
    if (options->hash_bits < RUB_SPARSE_HASH_BITS_LEAST ||
        options->hash_bits > RUB_SPARSE_HASH_BITS_MOST) {
        return rub_fail(err, RUB_EINVAL, "hash_bits is %" PRIu32 ", expected %u to %u",
                        options->hash_bits, RUB_SPARSE_HASH_BITS_LEAST, RUB_SPARSE_HASH_BITS_MOST);
    }
    return options->n_own > 0 ? check_own(options, reader, err) : 0;
}

uint32_t rub_sparse_key_base(const rub_sparse_options_t *options, const char *name, size_t bytes)
{
    uint32_t own = 0;
    while (own < options->n_own &&
           (strlen(options->own[own]) != bytes || memcmp(options->own[own], name, bytes) != 0)) {
        own++;
    }
    return options->n_own > 0 ? own << options->hash_bits : 0;
}

int rub_sparse_parse_label(const rub_sparse_parse_t *parse, const char *at, double number,
                           float *label_p, rub_error_t *err)
{
    const rub_sparse_options_t *const options = parse->options;
    *label_p = (float)number;
    if (options->labels == RUB_LABELS_CLASSES) {
        const bool known = number >= 0 && number < options->n_classes && number == floor(number);
        return known
                   ? 0
                   : rub_line_reader_refuse(parse->lines, at, err, "expected a class from 0 to %u",
                                            options->n_classes - 1);
    }
    return isfinite(*label_p)
               ? 0
               : rub_line_reader_refuse(parse->lines, at, err, "expected a label within float32");
}

int rub_sparse_parse_example(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse,
                             const char *line, size_t length, rub_sparse_set_t *set,
                             rub_error_t *err)
{
    const uint32_t n_fields = parse->options->n_fields;
    const int rc = reader->parse(parse, line, length, set, err);
    if (rc != 0 || n_fields == 0) {
        return rc;
    }
    const size_t last = set->n_examples - 1;
    const uint64_t n = set->offsets[last + 1] - set->offsets[last];
    return n == n_fields
               ? 0
               : rub_line_reader_refuse(
                     parse->lines, line + length, err,
                     "expected %" PRIu32 " features, as every example has (fields), there are "
                     "%" PRIu64 "%s",
                     n_fields, n,
                     rub_csv_separator(reader->name) ? "; a 0 or an empty field is none" : "");
}

bool rub_sparse_parse_wants(rub_sparse_parse_t *parse)
{
    const rub_sparse_options_t *const options = parse->options;
    const uint64_t number = parse->number++;
    if (options->held_out <= 0) {
        return true;
    }
    return rub_held_out(options->held_out, options->held_out_seed, number) ==
           options->take_held_out;
}

int rub_sparse_parse_check_part(const rub_sparse_parse_t *parse, uint64_t n_examples,
                                rub_error_t *err)
{
    return n_examples > 0
               ? 0
               : rub_fail(err, RUB_EDATA, "data '%s': none of its %" PRIu64 " examples is %s",
                          parse->options->path, parse->number,
                          parse->options->take_held_out ? "held out" : "left to train on");
}

static int read_file(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse, const char *path,
                     rub_sparse_set_t *set, rub_error_t *err)
{
    int rc = rub_line_reader_open(path, &parse->lines, err);
    rc = rc ? rc : reader->begin(parse, err);
    const uint64_t before = parse->number;
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(parse->lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        if (reader->holds(line) && rub_sparse_parse_wants(parse)) {
            rc = rub_sparse_parse_example(reader, parse, line, length, set, err);
        }
    }
    if (rc == 0 && parse->number == before) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1", path);
    }
    rub_line_reader_close(&parse->lines);
    return rc;
}

int rub_sparse_set_open(const rub_sparse_options_t *options, rub_sparse_set_t **set_p,
                        rub_error_t *err)
{
    const rub_sparse_reader_t *reader = rub_sparse_reader_named(options->format);
    rub_sparse_parse_t parse = {.options = options};
    rub_data_files_t *files = NULL;
    rub_sparse_set_t *set = NULL;
    *set_p = NULL;
    int rc = rub_sparse_options_check(options, reader, err);
    rc = rc ? rc : rub_data_files_open(options->path, &files, err);
    if (rc != 0) {
        goto out;
    }
    set = rub_calloc(1, sizeof *set);
    if (set == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data set '%s': no memory", options->path);
        goto out;
    }
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rc = read_file(reader, &parse, files->paths[i], set, err);
    }
    rc = rc ? rc : rub_sparse_parse_check_part(&parse, set->n_examples, err);
    if (rc != 0) {
        goto out;
    }
    settle(set);
    *set_p = set;
    set = NULL;
out:
    rub_sparse_set_close(&set);
    rub_data_files_close(&files);
    rub_free(parse.columns);
    return rc;
}

rub_sparse_set_t *rub_sparse_set_new(size_t n_examples, size_t n_entries, bool with_values)
{
    rub_sparse_set_t *set = rub_calloc(1, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    set->offsets = rub_calloc(n_examples + 1, sizeof *set->offsets);
    set->labels = rub_calloc(n_examples + 1, sizeof *set->labels);
    set->keys_region_bytes = (n_entries + 1) * sizeof *set->keys;
    set->keys = rub_region_alloc(set->keys_region_bytes);
    if (with_values) {
        set->values_region_bytes = (n_entries + 1) * sizeof *set->values;
        set->values = rub_region_alloc(set->values_region_bytes);
    }
    set->examples_room = n_examples;
    set->entries_room = n_entries;
    set->fixed = true;
    if (set->offsets == NULL || set->labels == NULL || set->keys == NULL ||
        (with_values && set->values == NULL)) {
        rub_sparse_set_close(&set);
    }
    return set;
}

void rub_sparse_set_clear(rub_sparse_set_t *set)
{
    set->n_examples = 0;
    set->greatest_row = 0;
    set->greatest_key = 0;
    set->offsets[0] = 0;
}

void rub_sparse_set_close(rub_sparse_set_t **set_p)
{
    rub_sparse_set_t *set = *set_p;
    if (set == NULL) {
        return;
    }
    rub_free(set->offsets);
    free_array(set->keys, set->keys_region_bytes);
    free_array(set->values, set->values_region_bytes);
    rub_free(set->labels);
    rub_free(set);
    *set_p = NULL;
}
