/* A text in memory, as numbers of words: what embeddings are trained on. Words that the vocabulary
 * has dropped are gone, as in word2vec: their neighbours stand side by side. A text that was read
 * whole does not change once it is open: any number of threads may read it. One that was counted in
 * parts has the tokens of a stretch once it was reached, by the one thread that uses it. */
#ifndef RUB_CORPUS_H
#define RUB_CORPUS_H

#include "worker/data/vocabulary.h"
#include "worker/data/word_merge.h"
#include "worker/data/word_part.h"

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
    struct rub_corpus_rest *rest; /* what is still to be read; NULL: it was read whole */
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
/* The same as rub_corpus_open, tokens and numbers, of a text that was counted in parts. merge:
 * settled for min_count; its vocabulary is taken. counted: for each part what this process has
 * counted itself, or NULL; taken and set to NULL, whatever the result. Keeps parts until close.
 * Errors of rub_corpus_open. */
int rub_corpus_open_merged(const rub_text_parts_t *parts, rub_word_merge_t *merge,
                           rub_word_part_t **counted, uint64_t min_count, rub_corpus_t **corpus_p,
                           rub_error_t *err);
/* Makes sure that tokens [first, first + count) are there: a part that somebody else has counted is
 * read from its beginning up to them, once. RUB_EDATA: as text_file.h says, or the text has changed
 * since it was counted; RUB_ENOMEM. Blocks on files. */
int rub_corpus_reach(rub_corpus_t *self, size_t first, size_t count, rub_error_t *err);

void rub_corpus_close(rub_corpus_t **corpus_p); /* NULL is fine */

#endif
