/* The table of sparse readers: what a format must offer to worker/data/sparse_set.c, and how it
 * adds examples. */
#ifndef RUB_SPARSE_READER_H
#define RUB_SPARSE_READER_H

#include "worker/data/line_reader.h"
#include "worker/data/sparse_set.h"

typedef struct rub_sparse_reader {
    const char *name;
    const char *summary;
    /* Adds the example of each line to an empty set. Entries of a set with values are checked by
     * the reader: they are finite. */
    int (*read)(const rub_sparse_options_t *options, rub_line_reader_t *lines,
                rub_sparse_set_t *set, rub_error_t *err);
} rub_sparse_reader_t;

#define RUB_SPARSE_READER(name, summary)                                                           \
    int rub_##name##_read(const rub_sparse_options_t *options, rub_line_reader_t *lines,           \
                          rub_sparse_set_t *set, rub_error_t *err);
#include "worker/data/sparse_readers.def"
#undef RUB_SPARSE_READER

/* Makes room for one more example of up to n_entries entries, with values or without (each call as
 * the first one). Entries may then be written from keys[offsets[n_examples]] on. RUB_EDATA: the
 * limits of examples or bytes; RUB_ENOMEM. */
int rub_sparse_set_reserve(rub_sparse_set_t *set, const rub_sparse_options_t *options,
                           size_t n_entries, bool with_values, rub_error_t *err);
/* The n entries written last are an example with this label. */
void rub_sparse_set_add(rub_sparse_set_t *set, size_t n_entries, uint8_t label);

#endif
