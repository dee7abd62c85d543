/* Saving seeds, and those that are files. */
#ifndef RUB_CORPUS_FILES_H
#define RUB_CORPUS_FILES_H

#include "common/base/bytes.h"

/* Where the corpora go; kept. */
void rub_corpus_folder(const char *path);
/* As FOLDER/<target>/seed-<name>; the program ends with 1 when that fails. */
void rub_corpus_save(const char *target, const char *name, const void *data, size_t bytes);
void rub_corpus_save_buf(const char *target, const char *name, rub_buf_t *buf); /* and empties it */

void rub_corpus_make_files(void);

#endif
