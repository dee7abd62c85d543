/* Tests of word vectors that people have as files: pairs of words with how like they are in men's
 * judgement (WordSim-353, SimLex-999), and analogies (word2vec's questions-words.txt). Words are
 * sought in a vocabulary as they stand, then in small letters (ASCII). Words that it lacks are left
 * out with their line, or (unknown, not NULL) added to `unknown` and numbered behind the
 * vocabulary's: for vectors that are made of n-grams. */
#ifndef RUB_WORD_TESTS_H
#define RUB_WORD_TESTS_H

#include "worker/data/vocabulary.h"

typedef struct rub_word_pairs {
    uint32_t (*words)[2]; /* n pairs of numbers */
    double *scores;       /* n */
    size_t n, n_left_out; /* because a word is not known */
} rub_word_pairs_t;

/* A line `word word score` each, with blanks, tabs or commas between; empty lines and those that
 * begin with # are passed over. RUB_EDATA names file, line and column; also when no pair is left.
 * RUB_ENOMEM. */
int rub_word_pairs_open(const char *path, const rub_vocabulary_t *vocabulary,
                        rub_vocabulary_t *unknown, rub_word_pairs_t *self, rub_error_t *err);
void rub_word_pairs_close(rub_word_pairs_t *self);

typedef struct rub_analogies {
    uint32_t (*words)[4]; /* n: a is to b as c is to d */
    uint32_t *sections;   /* n: of which section */
    size_t n, n_left_out;
    char (*names)[64]; /* of sections */
    size_t n_sections;
} rub_analogies_t;

/* Four words a line; `: name` begins a section (without one, the first is called "all"). Errors as
 * above. */
int rub_analogies_open(const char *path, const rub_vocabulary_t *vocabulary,
                       rub_vocabulary_t *unknown, rub_analogies_t *self, rub_error_t *err);
void rub_analogies_close(rub_analogies_t *self);

#endif
