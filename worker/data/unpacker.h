/* What comes out of a file that may be compressed: its own bytes, or what gzip (RFC 1952) or
 * Zstandard (RFC 8878) have made of them, found from how it begins. One thread; blocks. */
#ifndef RUB_UNPACKER_H
#define RUB_UNPACKER_H

#include "include/rubato.h"

typedef enum { RUB_PLAIN, RUB_GZIP, RUB_ZSTD } rub_packing_t;

typedef struct rub_unpacker rub_unpacker_t;

/* Reads the beginning of what is open as fd, from its present place. Takes fd, on failure too.
 * Keeps path, for sentences. RUB_EDATA: it cannot be read; RUB_ENOMEM. */
int rub_unpacker_open(const char *path, int fd, rub_unpacker_t **self_p, rub_error_t *err);
void rub_unpacker_close(rub_unpacker_t **self_p); /* NULL is fine */

rub_packing_t rub_unpacker_packing(const rub_unpacker_t *self);

/* Up to `bytes` more bytes of the content; *got_p 0 only at its end. RUB_EDATA: the file cannot be
 * read, or is damaged. */
int rub_unpacker_next(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                      rub_error_t *err);
/* Once next gave 0: did the file end in the middle of what was compressed? */
bool rub_unpacker_cut(const rub_unpacker_t *self);

/* Goes on at a byte of the file: any of a plain one, the first of a compressed one. RUB_EDATA: what
 * is open has no places (a pipe). */
int rub_unpacker_seek(rub_unpacker_t *self, uint64_t offset, rub_error_t *err);

#endif
