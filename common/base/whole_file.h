/* A file that is there whole or not at all: written beside its name, synced, then renamed. Who
 * reads the name finds the old file or the new one, also after a power loss. Blocks; one thread. */
#ifndef RUB_WHOLE_FILE_H
#define RUB_WHOLE_FILE_H

#include "include/rubato.h"

#include <stdio.h>

typedef struct rub_whole_file rub_whole_file_t;

/* Begins path, as path.part. "-" is standard output, and what is no regular file (a pipe, a device)
 * is written as it is. RUB_ESTORE, RUB_ENOSPC, RUB_ENOMEM. *self_p is the caller's. */
int rub_whole_file_open(const char *path, rub_whole_file_t **self_p, rub_error_t *err);
/* To write to, with stdio; its errors are told by finish. */
FILE *rub_whole_file_stream(rub_whole_file_t *self);
/* All was written: makes sure that it is on the platter, and puts it in path's place. Frees, also
 * on failure, when what path was stays. RUB_ENOSPC, RUB_ESTORE. */
int rub_whole_file_finish(rub_whole_file_t **self_p, rub_error_t *err);
/* Gives the file up and removes what was begun. NULL is fine. */
void rub_whole_file_abandon(rub_whole_file_t **self_p);

#endif
