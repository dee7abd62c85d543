/* A fleet counts the words of a text together: each worker a part, and all come to the vocabulary
 * and the token numbers that one reader of the whole text would have come to. */
#ifndef RUB_WORD_COUNTING_H
#define RUB_WORD_COUNTING_H

#include "common/base/log.h"
#include "worker/data/corpus.h"

/* Texts below it are read whole by each worker: counting together would cost as much. */
#define RUB_WORD_COUNTING_LEAST_BYTES (UINT64_C(1) << 20)

/* Tables of counts have names that begin so; they are no part of the model. */
#define RUB_WORD_COUNTS_PREFIX "words/counts-"

/* The name of the table in which the parts of a text, cut as they are, tell their words. */
void rub_word_counting_table(const rub_text_parts_t *parts, uint64_t min_count, char name[64]);

/* Cuts parts and counts what others do not, until all is known; says in the log how much of the
 * text was read for it. For jobs of several workers that are not in lock step. A job's workers may
 * call it at any time, as often as they are started anew: nothing is counted twice, and what was
 * counted stays in the job. Waits for nobody who is gone: his parts are counted by others. Keeps
 * parts until the corpus is closed. Errors of rub_corpus_open, rub_table_open, rub_pull and
 * rub_push. *corpus_p is the caller's, NULL on failure. */
int rub_word_counting_run(rub_session_t *session, rub_text_parts_t *parts, uint64_t min_count,
                          const rub_log_t *log, rub_corpus_t **corpus_p, rub_error_t *err);

#endif
