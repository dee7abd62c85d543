/* A look at an LMDB file that does not trust it: every page that is in use is read with pread and
 * held against the format, before LMDB maps the file and follows what it finds there. LMDB itself
 * checks nothing: a damaged page number makes it touch memory that is not there, a damaged list of
 * free pages makes it write over what is in use.
 *
 * Knows the files of LMDB 0.9 on little-endian 64-bit hosts, one unnamed database. Reads only.
 * Private to common/store, and for fsck. */
#ifndef RUB_LMDB_PAGES_H
#define RUB_LMDB_PAGES_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rub_pages_report {
    uint64_t transaction; /* the newest committed one */
    uint32_t page_bytes;
    uint64_t n_pages; /* that the file may have */
    uint64_t n_used, n_free;
    uint64_t n_values, value_bytes;
    uint64_t n_faults;
} rub_pages_report_t;

typedef struct rub_pages_visit {
    void *context;
    /* Each value of the database, in key order, borrowed; all: also those that have pages of their
     * own. A negative return, with err set, is a fault. May be
     * NULL. */
    bool all;
    int (*value)(void *context, const void *key, size_t key_bytes, const void *data, size_t bytes,
                 rub_error_t *err);
    /* What is wrong, and where; the walk goes on behind it. NULL: it ends with the first one. */
    void (*fault)(void *context, const rub_error_t *fault);
} rub_pages_visit_t;

/* Walks the file at path. report may be NULL. 0: whole (also a file that is empty or not there).
 * RUB_ECORRUPT: the first fault's page and offset, or that it is no LMDB file, or one of another
 * version; RUB_ESTORE: cannot be read; RUB_ENOMEM. Blocks. */
int rub_pages_walk(const char *path, const rub_pages_visit_t *visit, rub_pages_report_t *report,
                   rub_error_t *err);

#endif
