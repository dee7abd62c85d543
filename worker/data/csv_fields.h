/* Records of CSV (RFC 4180) and TSV cut into fields, and columns by the names that options give
 * them.
 *
 * CSV: a field may stand in quotes, and may then hold commas, line ends, and quotes written twice;
 * a quote anywhere else is an error, not a letter. TSV has no quotes: fields hold no tab and no
 * line end. One thread. */
#ifndef RUB_CSV_FIELDS_H
#define RUB_CSV_FIELDS_H

#include "worker/data/line_reader.h"

#define RUB_CSV_COLUMNS_LIMIT 65536u
#define RUB_CSV_HASH_BEGINS UINT64_C(0xcbf29ce484222325)

/* A record, and the field that was cut from it last. */
typedef struct rub_csv_fields {
    const rub_line_reader_t *lines;
    const char *at;  /* of what was not cut yet */
    const char *end; /* of the record */
    char separator;
    bool over;         /* the last field was cut */
    const char *text;  /* of the field, without its quotes */
    const char *close; /* its end */
    uint64_t hash;     /* of the field: FNV-1a over what it means */
} rub_csv_fields_t;

/* ',' of "csv", a tab of "tsv"; 0: the format is no table. */
char rub_csv_separator(const char *format);

/* line: as rub_line_reader_next gave it; borrowed as long as fields are cut. */
static inline rub_csv_fields_t rub_csv_fields_of(const rub_line_reader_t *lines, const char *line,
                                                 size_t length, char separator)
{
    return (rub_csv_fields_t){
        .lines = lines, .at = line, .end = line + length, .separator = separator};
}

static inline uint64_t rub_csv_hash_byte(uint64_t hash, char c)
{
    return (hash ^ (uint8_t)c) * UINT64_C(0x100000001b3);
}

/* The rest of rub_csv_fields_cut: a field that begins with a quote; one that has a quote. */
int rub_csv_fields_cut_quoted(rub_csv_fields_t *self, rub_error_t *err);
int rub_csv_fields_refuse_quote(const rub_csv_fields_t *self, const char *at, rub_error_t *err);

/* Cuts the next field, while none was the last one. RUB_EDATA with line and column: quotes that are
 * none of CSV. */
static inline int rub_csv_fields_cut(rub_csv_fields_t *self, rub_error_t *err)
{
    int rc = 0;
    self->hash = RUB_CSV_HASH_BEGINS;
    if (self->separator == ',' && self->at < self->end && *self->at == '"') {
        rc = rub_csv_fields_cut_quoted(self, err);
    } else {
        const char *at = self->at;
        self->text = at;
        for (; at < self->end && *at != self->separator; at++) {
            if (*at == '"' && self->separator == ',') {
                return rub_csv_fields_refuse_quote(self, at, err);
            }
            self->hash = rub_csv_hash_byte(self->hash, *at);
        }
        self->close = self->at = at;
    }
    if (rc == 0) {
        self->over = self->at == self->end;
        self->at += !self->over;
    }
    return rc;
}

/* Is the column (from 0) meant by this word: "3", "2-9", its name, "all"? */
bool rub_csv_word_means(const char *word, size_t length, uint32_t column, const char *name,
                        size_t name_bytes);
/* By any of these words, with commas between? name: may be empty where there is none. */
bool rub_csv_words_mean(const char *words, uint32_t column, const char *name, size_t name_bytes);

/* Does the first line hold an example, since nobody wrote names? Then a column would be called by a
 * value of it, and no other file's columns would be the same. Names may be numbers, as years are
 * and what pandas counts; values all are, and some have a point, or come twice. */
bool rub_csv_holds_numbers(const rub_line_reader_t *lines, const char *line, size_t length,
                           char separator);
/* The sentence for that. */
int rub_csv_refuse_numbers(const rub_line_reader_t *lines, const char *line, rub_error_t *err);

/* Do the headers of the first of these files and of the first of those name the same columns?
 * label: the name of one that these may lack; NULL: none. Of another format than csv and tsv, of
 * standard input, and where nothing can be read of `as`, there is nothing to compare: 0. RUB_EDATA
 * names file and place of the first column that differs, and what it is there. */
int rub_csv_same_columns(const char *format, const char *words, const char *as, const char *label,
                         rub_error_t *err);

#endif
