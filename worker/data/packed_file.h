/* Reading a file that may be compressed. All functions block on the file. Offsets are of the bytes
 * after decompression; errors are RUB_EDATA and name the file and the offset. */
#ifndef RUB_PACKED_FILE_H
#define RUB_PACKED_FILE_H

#include "include/rubato.h"

typedef struct rub_packed_file rub_packed_file_t;

/* Opens a regular file, or standard input for "-"; how it is compressed is found from its content
 * (worker/data/unpacker.h). Keeps path until close. RUB_EDATA, RUB_ENOMEM. */
int rub_packed_file_open(const char *path, rub_packed_file_t **file_p, rub_error_t *err);
void rub_packed_file_close(rub_packed_file_t **file_p); /* NULL is fine */

/* Reads up to `bytes` bytes; fewer (*got_p) only at the end of the file. A damaged stream is
 * RUB_EDATA. */
int rub_packed_file_read_some(rub_packed_file_t *file, void *data, size_t bytes, size_t *got_p,
                              rub_error_t *err);

/* Reads exactly `bytes` bytes. A file that ends before is RUB_EDATA: where it ends, and how many
 * bytes it should have. */
int rub_packed_file_read(rub_packed_file_t *file, void *data, size_t bytes, rub_error_t *err);

/* The same into new memory, the caller's (rub_free), NULL on failure. Memory grows with what really
 * arrives, so that a header that lies about sizes costs nothing. RUB_ENOMEM. */
int rub_packed_file_read_new(rub_packed_file_t *file, size_t bytes, void **data_p,
                             rub_error_t *err);

/* Goes on at that byte of the content. Cheap in a plain file; a compressed one is decompressed up
 * to there, from its beginning when the byte lies before the present one. RUB_EDATA: the file is
 * damaged, ends before, or is standard input. */
int rub_packed_file_seek(rub_packed_file_t *file, uint64_t offset, rub_error_t *err);
/* Is it compressed? */
bool rub_packed_file_packed(const rub_packed_file_t *file);

/* The file must end here (what was compressed is verified up to its end, too). */
int rub_packed_file_expect_end(rub_packed_file_t *file, rub_error_t *err);

#endif
