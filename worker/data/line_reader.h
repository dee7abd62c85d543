/* Text files line by line, plain or gzip, for readers that look at every byte once. One thread;
 * blocks on the file. */
#ifndef RUB_LINE_READER_H
#define RUB_LINE_READER_H

#include "include/rubato.h"

#include <string.h>

#define RUB_LINE_LIMIT ((size_t)16 << 20) /* bytes of a line */

typedef struct rub_line_reader rub_line_reader_t;

/* The bytes of the mark (U+FEFF in UTF-8) that a file's content begins with, 3 or 0. Spreadsheets
 * and editors of Windows write it; it is no part of what the file says. */
static inline size_t rub_text_mark_bytes(const char *content, size_t bytes)
{
    return bytes >= 3 && memcmp(content, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* What becomes of a line that a reader found good: its bytes, without the end, borrowed until it
 * returns. heading: the names of columns, which come at most once, before all other lines. What it
 * returns, if not 0, ends the reading. */
typedef int rub_line_fn(void *context, const char *text, size_t text_bytes, bool heading,
                        rub_error_t *err);

/* Opens a regular file, whose mark (above) is passed over. Keeps path until close. RUB_EDATA,
 * RUB_ENOMEM. */
int rub_line_reader_open(const char *path, rub_line_reader_t **self_p, rub_error_t *err);
void rub_line_reader_close(rub_line_reader_t **self_p); /* NULL is fine */

/* The next line, without its end (LF or CR LF; the last one may have none); NULL in *line_p at the
 * end of the file. Behind it stands '\n': a scanner that stops there needs no length. Borrowed
 * until the next call. RUB_EDATA: a line is longer than the limit, the file is damaged or
 * truncated. RUB_ENOMEM. */
int rub_line_reader_next(rub_line_reader_t *self, const char **line_p, size_t *length_p,
                         rub_error_t *err);

/* The line that was given last, as next gave it; NULL before the first one. */
void rub_line_reader_present(const rub_line_reader_t *self, const char **line_p, size_t *length_p);

/* From now on a line goes on where it ends within double quotes: lines are the records of CSV. */
void rub_line_reader_join_quoted(rub_line_reader_t *self);
const char *rub_line_reader_path(const rub_line_reader_t *self);

/* Where the next line begins: a byte of the (decompressed) content; and how many lines stand before
 * it. */
uint64_t rub_line_reader_offset(const rub_line_reader_t *self);
uint64_t rub_line_reader_count(const rub_line_reader_t *self);
/* Is the file compressed? Then seeking is slow. */
bool rub_line_reader_packed(const rub_line_reader_t *self);

/* The next lines are those in bytes [offset, offset + bytes) of the content, which begin and end
 * with whole lines; lines_before stand before them. Errors of rub_packed_file_seek. */
int rub_line_reader_seek(rub_line_reader_t *self, uint64_t offset, uint64_t bytes,
                         uint64_t lines_before, rub_error_t *err);

/* Fails with RUB_EDATA: "data file 'x', line 3, column 14: found 'abc', " and the sentence that
 * format makes. at: a byte of the present line, or its end. Columns are bytes, from 1. */
int rub_line_reader_refuse(const rub_line_reader_t *self, const char *at, rub_error_t *err,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
