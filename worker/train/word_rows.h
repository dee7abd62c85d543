/* The rows of word vectors on their way between the job's two tables and this worker.
 *
 * A set is what one period works on; there are two, so that the next period's rows can be on their
 * way while this one computes. The period trains on a copy; what it has changed is pushed as a sum
 * (optimizer add). One thread. Uses the public client library alone. */
#ifndef RUB_WORD_ROWS_H
#define RUB_WORD_ROWS_H

#include "include/rubato.h"
#include "worker/data/word_batch.h"

typedef enum { RUB_WORDS_IN, RUB_WORDS_OUT, RUB_WORD_TABLES } rub_word_table_t;

#define RUB_WORDS_IN_NAME "words/in"   /* the vectors that people want */
#define RUB_WORDS_OUT_NAME "words/out" /* those of the words that are predicted */

typedef struct rub_word_rows rub_word_rows_t;

/* Before any training: `in` uniform in +-1/2 / width, `out` 0, as word2vec has it. */
rub_init_kind_t rub_word_init(rub_word_table_t table, uint32_t width, double *scale_p);

/* Opens (or creates) the tables, hashed by the numbers of words, for a vocabulary of n_words.
 * Blocks as rub_table_open does. The result is the caller's; NULL on failure. */
int rub_word_rows_open(rub_session_t *session, uint32_t width, size_t n_words,
                       rub_codec_kind_t push, rub_codec_kind_t pull, rub_word_rows_t **self_p,
                       rub_error_t *err);
/* Gives up what is under way and frees. The session must still live. NULL is fine. */
void rub_word_rows_close(rub_word_rows_t **self_p);

/* Makes the batch's rows of the present clock those that in() and out() show: those that were
 * prefetched for this very batch and clock, otherwise pulled now. Blocks until the bound allows.
 * Keeps the batch until the next call but one. */
int rub_word_rows_pull(rub_word_rows_t *self, const rub_word_batch_t *batch, rub_error_t *err);
/* Asks for the rows of the batch for the next period; does not wait. Keeps the batch as above. */
int rub_word_rows_prefetch(rub_word_rows_t *self, const rub_word_batch_t *batch, rub_error_t *err);
/* Forgets a prefetch: what it brings is too old after a barrier. */
void rub_word_rows_forget(rub_word_rows_t *self);

/* The present batch's rows, n_in x width and n_out x width, to be changed. */
float *rub_word_rows_work(rub_word_rows_t *self, rub_word_table_t table);
/* Pulls n vectors of words [first, first + n) of the `in` table as float32, whatever codec pulls
 * have: for who takes them away. Blocks until the bound allows. */
int rub_word_rows_read(rub_word_rows_t *self, uint64_t first, size_t n, float *values,
                       rub_error_t *err);

/* Pushes what has changed since the pull. RUB_ENAN: a value is not finite. */
int rub_word_rows_push(rub_word_rows_t *self, rub_error_t *err);

#endif
