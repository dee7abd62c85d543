/* The features of a file of arrays, IDX or NumPy's, or of a table, CSV or TSV, some examples at a
 * time: for who needs each once, and no labels. One thread; blocks on the file. */
#ifndef RUB_EXAMPLE_STREAM_H
#define RUB_EXAMPLE_STREAM_H

#include "worker/data/csv_table.h"

typedef struct rub_example_stream rub_example_stream_t;

/* path: as the readers of that format take it ("idx", plain or gzip; "npy": .npy, .npz, .npz:name),
 * "-" for standard input. table: what is to be known of a csv or tsv file, whose column of labels
 * may be missing; else NULL. Keeps both. RUB_EDATA as of worker/data/dataset.h, or another format;
 * RUB_ENOMEM. *self_p is the caller's, NULL on failure. */
int rub_example_stream_open(const char *format, const char *path, const rub_csv_options_t *table,
                            rub_example_stream_t **self_p, rub_error_t *err);
void rub_example_stream_close(rub_example_stream_t **self_p); /* NULL is fine */

size_t rub_example_stream_width(const rub_example_stream_t *self); /* features of an example */
/* Their shape: height, width, channels, as rub_dataset_t has it. */
void rub_example_stream_image(const rub_example_stream_t *self, uint32_t image[3]);

/* The next examples, at most `most` > 0, as float32: bytes become byte / 255. *n_p 0: there are no
 * more, and the file has been read to its end. RUB_EDATA: it is damaged, or shorter or longer than
 * its header says, or a feature is not finite. */
int rub_example_stream_next(rub_example_stream_t *self, size_t most, float *x, size_t *n_p,
                            rub_error_t *err);

#endif
