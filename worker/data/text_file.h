/* Plain text, word by word, gzip or not, without the mark that it may begin with
 * (rub_text_mark_bytes): words stand between white space as fastText and word2vec take it (space,
 * tab, line feed, vertical tab, form feed, carriage return), and a line is a sentence. Blocks on
 * the file; one thread. */
#ifndef RUB_TEXT_FILE_H
#define RUB_TEXT_FILE_H

#include "include/rubato.h"

#define RUB_TEXT_WORD_LIMIT 1024u /* bytes of a word */

typedef enum { RUB_TEXT_WORD, RUB_TEXT_LINE_END, RUB_TEXT_END } rub_text_kind_t;

typedef struct rub_text_file rub_text_file_t;

typedef struct rub_text_place {
    uint64_t line, column; /* from 1; columns are bytes of the content */
} rub_text_place_t;

/* Opens a regular file. Keeps path until close. RUB_EDATA, RUB_ENOMEM. */
int rub_text_file_open(const char *path, rub_text_file_t **file_p, rub_error_t *err);
/* The same for a stretch of a plain file: the words whose first byte is at [from, to), whole, and
 * the line feeds that stand there. So stretches that lie side by side give each word and each line
 * feed of the file once. What ends a last line without a line feed comes where `to` is
 * UINT64_MAX, the file's end. A compressed file has one stretch, all of it. RUB_EDATA: the file
 * ends before `from`. */
int rub_text_file_open_stretch(const char *path, uint64_t from, uint64_t to,
                               rub_text_file_t **file_p, rub_error_t *err);
void rub_text_file_close(rub_text_file_t **file_p); /* NULL is fine */

/* What comes next. A word: *word_p (*bytes_p bytes, not terminated) is borrowed until the next
 * call. A line's end comes also behind a last line without a line feed; END comes again for ever.
 * RUB_EDATA names file, line and column: a word of more than RUB_TEXT_WORD_LIMIT bytes, a word that
 * is not UTF-8 or holds a byte 0 (then the file is no text), a damaged or cut gzip stream. */
int rub_text_file_next(rub_text_file_t *file, rub_text_kind_t *kind_p, const char **word_p,
                       size_t *bytes_p, rub_error_t *err);
/* Where what it gave last begins; a line's end stands on its line. */
rub_text_place_t rub_text_file_last(const rub_text_file_t *file);

/* Does this byte stand between words? */
static inline bool rub_text_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The first byte of a word that is not UTF-8 (RFC 3629), or is 0; NULL when there is none. */
const uint8_t *rub_text_bad_byte(const char *word, size_t bytes);

#endif
