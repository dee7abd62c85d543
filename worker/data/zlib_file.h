/* Reading a file that may be gzip: the one place that sees zlib.h. All functions block on the file.
 * Offsets are of the bytes after decompression; errors are RUB_EDATA and name the file and the
 * offset. */
#ifndef RUB_ZLIB_FILE_H
#define RUB_ZLIB_FILE_H

#include "include/rubato.h"

typedef struct rub_zlib_file rub_zlib_file_t;

/* Opens a regular file; whether it is gzip is found from its content. Keeps path until close. */
int rub_zlib_file_open(const char *path, rub_zlib_file_t **file_p, rub_error_t *err);
void rub_zlib_file_close(rub_zlib_file_t **file_p); /* NULL is fine */

/* Reads up to `bytes` bytes; fewer (*got_p) only at the end of the file. A damaged stream is
 * RUB_EDATA. */
int rub_zlib_file_read_some(rub_zlib_file_t *file, void *data, size_t bytes, size_t *got_p,
                            rub_error_t *err);

/* Reads exactly `bytes` bytes. A file that ends before is RUB_EDATA: where it ends, and how many
 * bytes it should have. */
int rub_zlib_file_read(rub_zlib_file_t *file, void *data, size_t bytes, rub_error_t *err);

/* The same into new memory, the caller's (rub_free), NULL on failure. Memory grows with what really
 * arrives, so that a header that lies about sizes costs nothing. RUB_ENOMEM. */
int rub_zlib_file_read_new(rub_zlib_file_t *file, size_t bytes, void **data_p, rub_error_t *err);

/* Goes on at that byte of the content. Cheap in a plain file; a compressed one is decompressed up
 * to there, from its beginning when the byte lies before the present one. RUB_EDATA: the file is
 * damaged, or ends before. */
int rub_zlib_file_seek(rub_zlib_file_t *file, uint64_t offset, rub_error_t *err);
/* Is it compressed? */
bool rub_zlib_file_packed(const rub_zlib_file_t *file);

/* The file must end here (this also verifies a gzip stream's checksum). */
int rub_zlib_file_expect_end(rub_zlib_file_t *file, rub_error_t *err);

#endif
