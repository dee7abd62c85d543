/* The task of word vectors: a text, skip-gram or CBOW, rows of hashed tables.
 *
 * Examples are the text's tokens (words that the vocabulary has, and ends of sentences), a batch is
 * a stretch of them, a period. The worker pulls the rows that the stretch and its negatives need,
 * steps on them by SGD, block by block, and pushes the sums. The rate falls linearly over all
 * epochs, as in word2vec: by the place in the data, not by the clock, so that it does not matter
 * who trains what. Losses are means over pairs of skip-gram, or words of CBOW. */
#ifndef RUB_WORDS_TASK_H
#define RUB_WORDS_TASK_H

#include "common/conf/config.h"
#include "worker/data/subwords.h"
#include "worker/data/word_sampler.h"
#include "worker/model/word_model.h"
#include "worker/train/task.h"

#define RUB_VOCABULARY_FILE "vocabulary.txt" /* in the run directory: `word count` by number */

/* What it is made of. Read by anybody. */
typedef struct rub_words_task {
    rub_task_t task;
    rub_update_t update;
    rub_text_parts_t *parts;    /* of the text, where workers count it together; else NULL */
    rub_corpus_t *train, *test; /* test NULL: none given */
    rub_word_model_t *model;
    rub_word_spec_t spec;
    rub_subword_spec_t ngrams; /* of words; buckets 0: they have none, and subwords is NULL */
    rub_subwords_t *subwords;
    double sample, lr;
    rub_sampling_t sampling; /* shuffled: in order, too */
    uint64_t epochs;
} rub_words_task_t;

/* Is this what the configuration asks for? */
bool rub_words_task_wanted(const rub_config_t *config);

/* What the configuration says of the model; wanted. */
rub_word_spec_t rub_words_spec(const rub_config_t *config);
/* The n-grams of its words; all 0 when they have none. Not checked. */
rub_subword_spec_t rub_words_ngrams(const rub_config_t *config);

/* Reads the texts that the configuration names. Blocks on files; keeps the configuration. The
 * result is the caller's, for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL,
 * RUB_ENOMEM. */
int rub_words_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err);

/* The same for a worker of a job: a text of some size is looked at only, and read when the task
 * gathers, if the configuration says that there are several workers and not in lock step. */
int rub_words_task_join(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err);

/* The same object when the task is of this kind, else NULL. */
const rub_words_task_t *rub_words_task_of(const rub_task_t *task);

/* The learning rate of the stretch that begins at token `first` of that data epoch. */
float rub_words_task_rate(const rub_words_task_t *self, uint64_t epoch, uint64_t first);

#endif
