/* A stretch of text ready for training: its words after sampling, the negatives drawn for it, and
 * the rows that both need, each once. Rows are numbered from 0: words of the stretch first, in the
 * order of their first place, then negatives that are no words of it. So the first n_in
 * keys are what the words' own table is asked for, all of them what the other one is. Where words
 * have n-grams, those of the first n_in keys are numbered likewise, by their buckets. */
#ifndef RUB_WORD_BATCH_H
#define RUB_WORD_BATCH_H

#include "worker/data/subwords.h"
#include "worker/data/word_sampler.h"

typedef struct rub_word_batch {
    rub_word_slice_t *slice;
    uint32_t *rows; /* of each word of the slice */
    size_t n_negatives;
    uint32_t *negatives;                          /* words, then (once filled) their rows */
    size_t n_in, n_out;                           /* keys of words, and of words and negatives */
    uint64_t *keys;                               /* n_out numbers of words */
    size_t n_words, block_words, block_negatives; /* n_words: of the vocabulary */
    size_t keys_capacity;
    const rub_subwords_t *subwords; /* NULL: words have no n-grams, and what follows is NULL or 0 */
    size_t *first_gram;             /* n_in + 1: where those of each word's row begin in grams */
    uint32_t *grams;                /* their rows */
    uint64_t *gram_keys;            /* n_grams buckets */
    size_t n_grams, grams_capacity;
} rub_word_batch_t;

/* Room for stretches of `capacity` tokens of a vocabulary of n_words, with block_negatives
 * negatives for each block_words words that stay. subwords: of that vocabulary, kept; or NULL. The
 * caller's; NULL when memory is short. */
rub_word_batch_t *rub_word_batch_new(size_t capacity, size_t n_words, size_t block_words,
                                     size_t block_negatives, const rub_subwords_t *subwords);
void rub_word_batch_destroy(rub_word_batch_t **self_p); /* NULL is fine */

/* Makes places [first, first + count) of the corpus's order the batch, as that data epoch samples
 * them (word_sampler.h).
 * row_of: a number for each word of the vocabulary, and behind them for each bucket of subwords,
 * all RUB_NO_WORD before and after; several batches may share it. */
void rub_word_batch_fill(rub_word_batch_t *self, const rub_word_sampler_t *sampler,
                         const rub_corpus_t *corpus, rub_sampling_t how, uint64_t data_epoch,
                         size_t first, size_t count, uint32_t *row_of);

#endif
