/* `rubato eval` of word vectors against tests of words. */
#ifndef RUB_EVAL_WORDS_H
#define RUB_EVAL_WORDS_H

#include "common/conf/config.h"

/* Of the model or the file of vectors that is config's first word, on config->pairs and
 * config->analogies, of which at least one is named. Says what came of it on standard output.
 * RUB_ECONFIG: no word vectors; RUB_EDATA, RUB_ECORRUPT, RUB_ENOMEM. */
int rub_eval_words(const rub_config_t *config, rub_error_t *err);

#endif
