/* A text cut into parts, so that several can read it, each a part. Parts are ranges of the files'
 * bytes, laid one behind the other: each word and each line feed stands in one part. Cuts may go
 * through sentences. A compressed file is not cut: it is in the part where it begins. The same on
 * every host that has the same files. */
#ifndef RUB_TEXT_PARTS_H
#define RUB_TEXT_PARTS_H

#include "worker/data/text_file.h"

#define RUB_TEXT_PARTS_LIMIT 4096u

typedef struct rub_text_parts rub_text_parts_t;

/* Looks at the files (path: as worker/data/data_files.h) and what they measure, and leaves them in
 * one part. Keeps path. RUB_EDATA: there is none, or one cannot be read. RUB_ENOMEM. Blocks. The
 * caller's, NULL on failure. */
int rub_text_parts_open(const char *path, rub_text_parts_t **self_p, rub_error_t *err);
void rub_text_parts_close(rub_text_parts_t **self_p); /* NULL is fine */

const char *rub_text_parts_path(const rub_text_parts_t *self);
uint64_t rub_text_parts_bytes(const rub_text_parts_t *self); /* of all files, as they lie there */
/* Cuts them into n parts of about the same size. n: 1 to RUB_TEXT_PARTS_LIMIT. */
void rub_text_parts_cut(rub_text_parts_t *self, uint32_t n);
uint32_t rub_text_parts_n(const rub_text_parts_t *self);
/* Bytes that who reads the part has to read. */
uint64_t rub_text_parts_part_bytes(const rub_text_parts_t *self, uint32_t part);
/* A number that other texts, by the sizes of their files and the 64 KiB at the beginning and end of
 * each, or other cuts of this one do not have. Where files lie, what they are called and when they
 * were written is not in it. */
uint64_t rub_text_parts_digest(const rub_text_parts_t *self);

/* Reads one part. Keeps parts. Errors and blocking of worker/data/text_file.h. */
typedef struct rub_part_reader rub_part_reader_t;
int rub_part_reader_open(const rub_text_parts_t *parts, uint32_t part, rub_part_reader_t **self_p,
                         rub_error_t *err);
void rub_part_reader_close(rub_part_reader_t **self_p); /* NULL is fine */
/* As rub_text_file_next; a file's end is a line's end, whatever stands before it. */
int rub_part_reader_next(rub_part_reader_t *self, rub_text_kind_t *kind_p, const char **word_p,
                         size_t *bytes_p, rub_error_t *err);

#endif
