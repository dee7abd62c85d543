/* Saving seeds, and those that are files. */
#ifndef RUB_CORPUS_FILES_H
#define RUB_CORPUS_FILES_H

#include "common/base/bytes.h"

#include <stdbool.h>

/* Where the corpora go; kept. check: seeds are compared with what lies there instead of written;
 * rub_corpus_stale says how many differ or are missing, and stderr which. */
void rub_corpus_folder(const char *path, bool check);
size_t rub_corpus_stale(void);
/* As FOLDER/<target>/seed-<name>; the program ends with 1 when that fails. */
void rub_corpus_save(const char *target, const char *name, const void *data, size_t bytes);
void rub_corpus_save_buf(const char *target, const char *name, rub_buf_t *buf); /* and empties it */

void rub_corpus_make_files(void);
/* Each message of the control plane with all that it can have; see corpus_control.c. */
void rub_corpus_make_full_control(void);

#endif
