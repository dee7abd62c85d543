/* Reading a zip archive, as NumPy's .npz is: what it holds, and one member at a time from its
 * beginning to its end, stored or deflated. No sentence names the file: wrap them. RUB_EIO: it
 * cannot be opened or read. One thread; blocks on the file. */
#ifndef RUB_ZIP_ARCHIVE_H
#define RUB_ZIP_ARCHIVE_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rub_zip_archive rub_zip_archive_t;

/* A member, as the archive's directory has it. */
typedef struct rub_zip_entry {
    const char *name; /* of name_bytes, not terminated; the archive's */
    size_t name_bytes;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed_bytes, bytes; /* in the archive, and of its content */
    uint64_t local;               /* where its own header stands */
} rub_zip_entry_t;

/* Reads the directory. RUB_EDATA: the file is no archive, is damaged or cut. RUB_ENOMEM. */
int rub_zip_archive_open(const char *path, rub_zip_archive_t **self_p, rub_error_t *err);
void rub_zip_archive_close(rub_zip_archive_t **self_p); /* NULL is fine */

/* All members in the order of the directory; the archive's, until it is closed. */
const rub_zip_entry_t *rub_zip_archive_entries(const rub_zip_archive_t *self, size_t *n_p);

/* Of the file, when it was opened. */
uint64_t rub_zip_archive_bytes(const rub_zip_archive_t *self);

/* Begins to read a member of rub_zip_archive_entries; ends any other. RUB_EDATA: it is encrypted or
 * compressed otherwise, lies outside the file, or claims more content than its bytes can hold.
 * RUB_ENOMEM. */
int rub_zip_archive_begin(rub_zip_archive_t *self, const rub_zip_entry_t *entry, rub_error_t *err);
/* Exactly so many bytes of its content; RUB_EDATA when it has fewer, or is damaged. */
int rub_zip_archive_read(rub_zip_archive_t *self, void *data, size_t bytes, rub_error_t *err);
/* The content must end here, and its checksum be right; RUB_EDATA. */
int rub_zip_archive_expect_end(const rub_zip_archive_t *self, rub_error_t *err);

#endif
