/* Parts of a text put together: the vocabulary that one reader of the whole text would have made,
 * and where the tokens of each part lie among all that stay. */
#ifndef RUB_WORD_MERGE_H
#define RUB_WORD_MERGE_H

#include "worker/data/vocabulary.h"

typedef struct rub_merged_part {
    uint32_t *numbers;     /* settled: by the part's own number of a word, RUB_NO_WORD: dropped */
    uint32_t n_words;      /* different ones */
    uint64_t words_read;   /* each as often as it occurs */
    uint64_t n_words_left; /* settled: words that stay, each as often as it occurs */
    uint64_t first_token;  /* settled: of the part, among all that stay */
    uint64_t n_tokens;     /* settled: that stay, with ends of sentences */
    bool open;             /* settled: before the part a sentence has begun that has a word */
    bool here;             /* it was added */
    uint32_t *counts;      /* until settled */
    uint32_t *sentences;   /* until settled: those that are not sure, as the part tells them */
    size_t n_sentences;    /* numbers there */
    uint64_t n_sure;
    bool cut; /* a sentence ends in it */
} rub_merged_part_t;

/* Read by anybody. */
typedef struct rub_word_merge {
    rub_vocabulary_t *words;
    rub_merged_part_t *parts;
    uint32_t n_parts, n_here;
    uint64_t n_tokens, n_words, words_read; /* settled: of all parts */
} rub_word_merge_t;

/* Nothing added yet. The caller's; NULL when memory is short. */
rub_word_merge_t *rub_word_merge_new(uint32_t n_parts);
void rub_word_merge_destroy(rub_word_merge_t **self_p); /* NULL is fine */

/* Adds what rub_word_part_write has written of a part; parts come in any order, each once.
 * RUB_EDATA: these are no such bytes, or of more words than RUB_VOCABULARY_LIMIT; RUB_ENOMEM. After
 * a failure self is for destroy. */
int rub_word_merge_add(rub_word_merge_t *self, uint32_t part, const void *data, size_t bytes,
                       rub_error_t *err);
/* All parts are here: drops words that occur less than min_count times, the one that the parts were
 * written for, and numbers the others. RUB_ENOMEM. */
int rub_word_merge_settle(rub_word_merge_t *self, uint64_t min_count, rub_error_t *err);

#endif
