/* Word vectors of a file, in memory: what worker/data/vectors_file.h writes, and what word2vec,
 * gensim and fastText write in its formats. Does not change once it is open: any number of threads
 * may read it. */
#ifndef RUB_WORD_VECTORS_H
#define RUB_WORD_VECTORS_H

#include "worker/data/vocabulary.h"

#define RUB_VECTORS_WIDTH_LIMIT 65536u

typedef struct rub_word_vectors {
    size_t n_words;          /* >= 1 */
    uint32_t width;          /* >= 1 */
    rub_vocabulary_t *words; /* numbered as they stand in the file */
    float *values;           /* n_words x width, finite */
} rub_word_vectors_t;

/* Reads a file whole, gzip or not, as binary or as text (rub_vectors_file_is_binary). Blocks.
 * RUB_EDATA names the file and the line, or the byte: no header, a width or count of 0 or above its
 * limit, a word that comes twice, is missing, is not UTF-8, or is too long (text_file.h), a number
 * that is none or not finite, a line with too many or too few of them, an end too early or none.
 * RUB_ENOMEM. *self_p is the caller's, NULL on failure. */
int rub_word_vectors_open(const char *path, bool binary, rub_word_vectors_t **self_p,
                          rub_error_t *err);
void rub_word_vectors_close(rub_word_vectors_t **self_p); /* NULL is fine */

#endif
