/* Bytes in a table: what one worker has found out and all need to know, such as the words that it
 * has counted.
 *
 * Texts of bytes have names. A text may be written by several, or by one again that was killed
 * meanwhile, as long as all write the same bytes: what is there then is that text, not a sum. It is
 * there for who comes later, as long as the job. One thread. */
#ifndef RUB_BYTE_ROWS_H
#define RUB_BYTE_ROWS_H

#include "common/base/bytes.h"
#include "include/rubato.h"

#define RUB_BYTE_ROWS_MISSING 1              /* rub_byte_rows_read: nobody has written it whole */
#define RUB_BYTE_ROWS_NAMES_LIMIT (1u << 24) /* names are below it */
#define RUB_BYTE_ROWS_WRITERS_LIMIT 4096u    /* twice the workers that a job can have */

typedef struct rub_byte_rows rub_byte_rows_t;

/* Opens (or creates) a table. n_writers: how often a text may be written, at most
 * RUB_BYTE_ROWS_WRITERS_LIMIT; all who use the table say the same. Blocks as rub_table_open. The
 * caller's; NULL on failure. Keeps the session. */
int rub_byte_rows_open(rub_session_t *session, const char *table, uint32_t n_writers,
                       rub_byte_rows_t **self_p, rub_error_t *err);
void rub_byte_rows_close(rub_byte_rows_t **self_p); /* NULL is fine */

/* Pushes the text. It is there for others soon, and where the job is in lock step once the period
 * is over. Errors of rub_push; RUB_EINVAL: more than 2^40 bytes. */
int rub_byte_rows_write(rub_byte_rows_t *self, uint64_t name, const void *data, size_t bytes,
                        rub_error_t *err);
/* there[i]: was names[i] begun? Perhaps not to its end. Errors of rub_pull. */
int rub_byte_rows_begun(rub_byte_rows_t *self, const uint64_t *names, size_t n, uint8_t *there,
                        rub_error_t *err);
/* Appends the text to out. RUB_BYTE_ROWS_MISSING: it is not there, or not whole; out is as it was.
 * RUB_EDATA: writers did not write the same, or wrote too often. Errors of rub_pull. */
int rub_byte_rows_read(rub_byte_rows_t *self, uint64_t name, rub_buf_t *out, rub_error_t *err);

#endif
