/* Files of word vectors in word2vec's formats, which gensim and fastText read too: a line `words
 * width`, then for each word its text, a space and width numbers: as text, or as float32 in the
 * host's order (binary), and a line feed. Blocks on the file; one thread. */
#ifndef RUB_VECTORS_FILE_H
#define RUB_VECTORS_FILE_H

#include "include/rubato.h"

typedef struct rub_vectors_file rub_vectors_file_t;

/* Does a name end in .bin, or .bin.gz? Then it is binary. */
bool rub_vectors_file_is_binary(const char *path);

/* Begins a file beside path: path.part ("-": standard output). RUB_ESTORE, RUB_ENOMEM. *file_p is
 * the caller's. */
int rub_vectors_file_create(const char *path, bool binary, uint64_t n_words, uint32_t width,
                            rub_vectors_file_t **file_p, rub_error_t *err);
/* Appends a word (terminated, no white space) and its width numbers. Errors show at the end. */
void rub_vectors_file_add(rub_vectors_file_t *file, const char *word, const float *values);
/* All n_words were added: makes sure that they are on the platter and puts the file in path's
 * place. Frees, also on failure, when what path was stays. RUB_ENOSPC, RUB_ESTORE. */
int rub_vectors_file_finish(rub_vectors_file_t **file_p, rub_error_t *err);
/* Gives the file up. NULL is fine. */
void rub_vectors_file_abandon(rub_vectors_file_t **file_p);

#endif
