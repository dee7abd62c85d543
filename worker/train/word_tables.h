/* The tables of word vectors: their names, what stands in them before any training, and which of
 * their rows a batch needs. */
#ifndef RUB_WORD_TABLES_H
#define RUB_WORD_TABLES_H

#include "worker/data/word_batch.h"
#include "worker/model/word_model.h"
#include "worker/train/delta_rows.h"
#include "worker/train/task.h"

typedef enum { RUB_WORDS_IN, RUB_WORDS_OUT, RUB_WORDS_NGRAMS, RUB_WORD_TABLES } rub_word_table_t;

#define RUB_WORDS_IN_NAME "words/in"
#define RUB_WORDS_OUT_NAME "words/out"
#define RUB_WORDS_NGRAMS_NAME "words/ngrams"

/* `in`, the vectors that people want (with n-grams, a part of them), and `out`, those of the words
 * that are predicted; hashed by the numbers of words. `ngrams`: where words have them, by bucket.
 * At first `in` and `ngrams` are uniform in +-1/2 / width, `out` 0, as word2vec has it. buckets: 0
 * for none. Returns how many tables there are. */
size_t rub_word_tables(uint32_t width, size_t n_words, uint32_t buckets, const rub_update_t *update,
                       rub_delta_table_t tables[RUB_WORD_TABLES]);
/* The batch's keys. */
void rub_word_lists(const rub_word_batch_t *batch, rub_key_list_t lists[RUB_WORD_TABLES]);

/* A stretch whose rows are the numbers of words, and of n-grams in subwords (NULL: none). Borrows
 * all three. */
rub_word_text_t rub_word_slice_text(const rub_word_slice_t *slice, const uint32_t *negatives,
                                    const rub_subwords_t *subwords);

#endif
