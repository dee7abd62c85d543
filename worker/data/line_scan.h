/* Going through lines of text one by one, in the order of the files and in the memory of a line,
 * each checked as the reader of its format checks it. (Sparse examples: sparse_scan.h.) */
#ifndef RUB_LINE_SCAN_H
#define RUB_LINE_SCAN_H

#include "worker/data/line_reader.h"

typedef struct rub_line_scan_options {
    const char *format;       /* ratings, triples, or text: sentences */
    const char *path;         /* files, as worker/data/data_files.h names them */
    const char *triple_order; /* of triples: a permutation of h, r and t */
    bool triple_ids;          /* of triples: fields are numbers, not names */
} rub_line_scan_options_t;

/* Is this a format of which lines are scanned here? */
bool rub_line_scan_format_known(const char *format);

/* Gives fn the lines of all files, as they stand; those that are empty, or of text hold no word, do
 * not count. RUB_EDATA names file, line and column: what rub_rating_reader_lines and
 * rub_triple_reader_lines refuse; of text a word of more than RUB_TEXT_WORD_LIMIT bytes, that is
 * not UTF-8, or that holds a byte 0; a line of more than RUB_LINE_LIMIT bytes; no line at all; a
 * damaged file. RUB_ENOMEM, and what fn returns. Blocks. */
int rub_line_scan(const rub_line_scan_options_t *options, rub_line_fn *fn, void *context,
                  rub_error_t *err);

#endif
