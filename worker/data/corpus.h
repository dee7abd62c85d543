/* A text in memory, as numbers of words: what embeddings are trained on. Words that the vocabulary
 * has dropped are gone, as in word2vec: their neighbours stand side by side. Does not change once
 * it is open: any number of threads may read it. */
#ifndef RUB_CORPUS_H
#define RUB_CORPUS_H

#include "worker/data/vocabulary.h"

#define RUB_CORPUS_TOKENS_LIMIT UINT32_MAX
#define RUB_SENTENCE_END RUB_NO_WORD

typedef struct rub_corpus {
    const char *path;
    const rub_vocabulary_t *vocabulary; /* settled */
    /* Numbers of words, RUB_SENTENCE_END behind each sentence that has any. */
    uint32_t *tokens;
    size_t n_tokens;       /* with the ends */
    uint64_t n_words;      /* tokens that are words */
    uint64_t words_read;   /* of the file, dropped ones too: what "words/s" counts everywhere */
    rub_vocabulary_t *own; /* the vocabulary when it was made here */
} rub_corpus_t;

/* Reads text files (worker/data/text_file.h; path: as worker/data/data_files.h) whole and numbers
 * the words that occur at least min_count times. Keeps path. RUB_EDATA: as text_file.h says, no
 * word is left, more than RUB_CORPUS_TOKENS_LIMIT tokens. RUB_ENOMEM. Blocks. *corpus_p is the
 * caller's, NULL on failure.
 */
int rub_corpus_open(const char *path, uint64_t min_count, rub_corpus_t **corpus_p,
                    rub_error_t *err);
/* The same with another corpus's numbers, for text that is held out: words that are not in the
 * vocabulary are gone. Keeps vocabulary. */
int rub_corpus_open_with(const char *path, const rub_vocabulary_t *vocabulary,
                         rub_corpus_t **corpus_p, rub_error_t *err);
void rub_corpus_close(rub_corpus_t **corpus_p); /* NULL is fine */

#endif
