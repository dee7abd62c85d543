/* The two tables of word vectors: their names, what stands in them before any training, and which
 * of their rows a batch needs. */
#ifndef RUB_WORD_TABLES_H
#define RUB_WORD_TABLES_H

#include "worker/data/word_batch.h"
#include "worker/train/delta_rows.h"
#include "worker/train/task.h"

typedef enum { RUB_WORDS_IN, RUB_WORDS_OUT, RUB_WORD_TABLES } rub_word_table_t;

#define RUB_WORDS_IN_NAME "words/in"
#define RUB_WORDS_OUT_NAME "words/out"

/* `in`, the vectors that people want, and `out`, those of the words that are predicted; hashed by
 * the numbers of words. At first `in` is uniform in +-1/2 / width, `out` 0, as word2vec has it. */
void rub_word_tables(uint32_t width, size_t n_words, const rub_update_t *update,
                     rub_delta_table_t tables[RUB_WORD_TABLES]);
/* The batch's keys. */
void rub_word_lists(const rub_word_batch_t *batch, rub_key_list_t lists[RUB_WORD_TABLES]);

#endif
