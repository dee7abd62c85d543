/* The table of sparse readers: what a format must offer to worker/data/sparse_set.c and
 * sparse_stream.c, and how it adds examples. */
#ifndef RUB_SPARSE_READER_H
#define RUB_SPARSE_READER_H

#include "worker/data/column_names.h"
#include "worker/data/line_reader.h"
#include "worker/data/sparse_set.h"

#define RUB_CRITEO_FEATURES 39u

/* One reading of files that belong together; a reader keeps here what it knows of them. */
typedef struct rub_sparse_parse {
    const rub_sparse_options_t *options;
    rub_line_reader_t *lines;            /* of the present file */
    uint64_t number;                     /* of the next example, over all files, of any part */
    int convention;                      /* libsvm: how labels say "no"; 0: not seen yet */
    struct rub_csv_columns *columns;     /* csv and tsv; whoever parses frees it (rub_free) */
    uint32_t bases[RUB_CRITEO_FEATURES]; /* criteo: what the keys of each column begin at */
} rub_sparse_parse_t;

typedef struct rub_sparse_reader {
    const char *name;
    bool values;
    const char *summary;
    /* parse->lines stands at the beginning of a file: reads what stands before its examples. */
    int (*begin)(rub_sparse_parse_t *parse, rub_error_t *err);
    /* Is there an example on this line, good or bad? Cheap. */
    bool (*holds)(const char *line);
    /* Adds the example of a line that holds one. Values are finite. Who reads calls
     * rub_sparse_parse_example. */
    int (*parse)(rub_sparse_parse_t *parse, const char *line, size_t length, rub_sparse_set_t *set,
                 rub_error_t *err);
    /* No n_examples on text_bytes of whole lines ask rub_sparse_set_reserve for more entries. */
    uint64_t (*entries)(uint64_t text_bytes, uint64_t n_examples);
    /* Behind begin, in a file that has an example: adds the names of the file's columns, the
     * label's among them. NULL: the format has no columns. */
    int (*name_columns)(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err);
} rub_sparse_reader_t;

#define RUB_SPARSE_READER(name, values, name_columns, summary)                                     \
    int rub_##name##_begin(rub_sparse_parse_t *parse, rub_error_t *err);                           \
    bool rub_##name##_holds(const char *line);                                                     \
    int rub_##name##_parse(rub_sparse_parse_t *parse, const char *line, size_t length,             \
                           rub_sparse_set_t *set, rub_error_t *err);                               \
    uint64_t rub_##name##_entries(uint64_t text_bytes, uint64_t n_examples);
#include "worker/data/sparse_readers.def"
#undef RUB_SPARSE_READER
int rub_criteo_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err);
int rub_csv_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err);
int rub_tsv_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err);

/* The reader of that name, or NULL. */
const rub_sparse_reader_t *rub_sparse_reader_named(const char *name);
/* The options as a whole: RUB_EINVAL names what is wrong. reader: of their format, or NULL. */
int rub_sparse_options_check(const rub_sparse_options_t *options, const rub_sparse_reader_t *reader,
                             rub_error_t *err);

/* Where the keys of a column of that name (bytes of it, not terminated) begin, as the options have
 * it. */
uint32_t rub_sparse_key_base(const rub_sparse_options_t *options, const char *name, size_t bytes);

/* Adds the example of a line that holds one, which has the features that the options want. */
int rub_sparse_parse_example(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse,
                             const char *line, size_t length, rub_sparse_set_t *set,
                             rub_error_t *err);

/* Is the next example of the part that the options want? Counts it. */
bool rub_sparse_parse_wants(rub_sparse_parse_t *parse);
/* All files were read: RUB_EDATA when the part has no examples. */
int rub_sparse_parse_check_part(const rub_sparse_parse_t *parse, uint64_t n_examples,
                                rub_error_t *err);

/* What stood at `at` as a label, where the options take classes or numbers. RUB_EDATA. */
int rub_sparse_parse_label(const rub_sparse_parse_t *parse, const char *at, double number,
                           float *label_p, rub_error_t *err);

/* Makes room for one more example of up to n_entries entries, with values or without (each call as
 * the first one). Entries may then be written from keys[offsets[n_examples]] on. RUB_EDATA: the
 * limits of examples or bytes; RUB_ENOMEM. */
int rub_sparse_set_reserve(rub_sparse_set_t *set, const rub_sparse_options_t *options,
                           size_t n_entries, bool with_values, rub_error_t *err);
/* The n entries written last are an example with this label. */
void rub_sparse_set_add(rub_sparse_set_t *set, size_t n_entries, float label);

/* An empty set with fixed room, for windows: reserve fails (as for the limit of bytes) where more
 * is asked for. NULL when memory is short; the caller's (rub_sparse_set_close). Room that is never
 * written costs no memory. */
rub_sparse_set_t *rub_sparse_set_new(size_t n_examples, size_t n_entries, bool with_values);
/* Empties a set; its room stays. */
void rub_sparse_set_clear(rub_sparse_set_t *set);
/* Are all its values 1? */
bool rub_sparse_set_all_ones(const rub_sparse_set_t *set);

#endif
