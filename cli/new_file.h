/* A file that is there whole or not at all: written under another name beside its own, which it
 * gets at the end. "-" is standard output. */
#ifndef RUB_NEW_FILE_H
#define RUB_NEW_FILE_H

#include "include/rubato.h"

#include <stdio.h>

typedef struct rub_new_file {
    FILE *out; /* NULL: not open */
    const char *path;
    char *part; /* the name while it is written; NULL: standard output */
} rub_new_file_t;

/* Keeps path until close. RUB_ESTORE: it cannot be made; RUB_ENOMEM. */
int rub_new_file_open(rub_new_file_t *self, const char *path, rub_error_t *err);
/* whole: it gets its name; otherwise it is removed. RUB_ESTORE or RUB_ENOSPC: it could not be
 * written whole. Harmless on one that is not open. */
int rub_new_file_close(rub_new_file_t *self, bool whole, rub_error_t *err);

#endif
