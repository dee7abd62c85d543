/* The files that a run file's word names: a file, a folder, a pattern, or a list of these. */
#ifndef RUB_DATA_FILES_H
#define RUB_DATA_FILES_H

#include "include/rubato.h"

#define RUB_DATA_FILES_LIMIT ((size_t)1 << 20)

typedef struct rub_data_files {
    char **paths; /* n, at least one */
    size_t n, room;
} rub_data_files_t;

/* words: the path of a file that exists, whatever its name; else items with commas between, each a
 * path, a folder (its files, not those of folders in it, nor such as begin with '.' or '_', which
 * is what programs leave beside their data), or a pattern of the shell (* ? [). A folder's and a
 * pattern's files come in the order of their names' bytes, items in their own order: the same on
 * every host. A path that is not there stays as it is: who opens it says so. RUB_EDATA: a folder or
 * a pattern without files, a folder that cannot be read, more than RUB_DATA_FILES_LIMIT files.
 * RUB_ENOMEM. Blocks. *self_p is the caller's, NULL on failure. */
int rub_data_files_open(const char *words, rub_data_files_t **self_p, rub_error_t *err);
/* Refuses to write over what is read: out, the file that is about to be, is one of those that words
 * name, by whatever path or link, or what standard input comes from where they are "-". Devices and
 * pipes are nobody's data. RUB_ECONFIG, and what rub_data_files_open says. Blocks. */
int rub_data_files_spare(const char *words, const char *out, rub_error_t *err);
void rub_data_files_close(rub_data_files_t **self_p); /* NULL is fine */

#endif
