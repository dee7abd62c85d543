/* The words of a text and how often each occurs: words get numbers, and numbers are what training
 * and tables know. While a text is read words are numbered as they come; settled, they are numbered
 * by count, the most frequent first, ties in the order of their bytes. So the same text gives the
 * same numbers whoever reads it. */
#ifndef RUB_VOCABULARY_H
#define RUB_VOCABULARY_H

#include "include/rubato.h"

#define RUB_VOCABULARY_LIMIT (1u << 28) /* different words */
#define RUB_NO_WORD UINT32_MAX

typedef struct rub_vocabulary rub_vocabulary_t;

/* Empty; the caller's. NULL when memory is short. */
rub_vocabulary_t *rub_vocabulary_new(void);
void rub_vocabulary_destroy(rub_vocabulary_t **self_p); /* NULL is fine */

/* The word (not terminated, copied) occurs once more; *number_p is its number until settled.
 * RUB_ENOMEM; RUB_EDATA: more than RUB_VOCABULARY_LIMIT words. Amortised constant time. */
int rub_vocabulary_add(rub_vocabulary_t *self, const char *word, size_t bytes, uint32_t *number_p,
                       rub_error_t *err);
/* The same for a word that was counted elsewhere: it occurs so many times more. */
int rub_vocabulary_add_counted(rub_vocabulary_t *self, const char *word, size_t bytes,
                               uint64_t count, uint32_t *number_p, rub_error_t *err);

/* Drops words that occur less than min_count times and gives the others their final numbers.
 * numbers_p: a new array, the caller's (rub_free), of what became of each number until now,
 * RUB_NO_WORD for a dropped one. RUB_ENOMEM. */
int rub_vocabulary_settle(rub_vocabulary_t *self, uint64_t min_count, uint32_t **numbers_p,
                          rub_error_t *err);

size_t rub_vocabulary_size(const rub_vocabulary_t *self);
/* number < size. The text is terminated and the vocabulary's. */
const char *rub_vocabulary_word(const rub_vocabulary_t *self, uint32_t number);
/* How often a word has occurred until now. number < size. */
uint64_t rub_vocabulary_count(const rub_vocabulary_t *self, uint32_t number);
/* size counts, by number, once settled; the vocabulary's. */
const uint64_t *rub_vocabulary_counts(const rub_vocabulary_t *self);
/* RUB_NO_WORD when it is not one of them. */
uint32_t rub_vocabulary_find(const rub_vocabulary_t *self, const char *word, size_t bytes);

/* Writes a line `word count` for each word, by number, in one step: as fastText's and gensim's
 * files of vocabularies. RUB_EIO, RUB_ENOSPC, RUB_ENOMEM. Blocks. */
int rub_vocabulary_save(const rub_vocabulary_t *self, const char *path, rub_error_t *err);

/* Reads what save wrote, settled as it was. RUB_EDATA names file and line: no word and count, a
 * word that comes twice, a count above the one before; RUB_ENOMEM. *self_p is the caller's, NULL on
 * failure. Blocks. */
int rub_vocabulary_open(const char *path, rub_vocabulary_t **self_p, rub_error_t *err);

#endif
