/* A trained model as a user names it: a run directory or a snapshot. For export, eval, predict. */
#ifndef RUB_TRAINED_MODEL_H
#define RUB_TRAINED_MODEL_H

#include "common/conf/config.h"
#include "common/num/weights.h"
#include "worker/data/vocabulary.h"

#include <limits.h>

typedef struct rub_trained_model {
    rub_config_t config; /* the run's, with what was asked now over it */
    rub_weights_t weights;
    rub_vocabulary_t *words; /* of word vectors, by key; NULL: not of words, or not found */
    char run_dir[PATH_MAX];  /* "" when it is not known */
    char from[PATH_MAX];     /* the folder that the weights are from: a run's or a snapshot's */
} rub_trained_model_t;

/* Reads the model at path. A run that has ended: what its shards have stored; one that goes on, or
 * stores nothing: its latest snapshot. asked: of this command; what the run was told counts where
 * it says nothing; NULL: nothing was asked. RUB_EDATA: there is nothing at path, or the vocabulary
 * is damaged; RUB_ECONFIG: path is neither a run nor a snapshot, or nothing is stored there, or no
 * best epoch where asked->best wants it; RUB_ECORRUPT, RUB_ESTORE: what there is is damaged;
 * RUB_ENOMEM. Blocks. On failure nothing is
 * held. */
int rub_trained_model_open(const char *path, const rub_config_t *asked, rub_trained_model_t *self,
                           rub_error_t *err);
void rub_trained_model_close(rub_trained_model_t *self); /* also a zeroed one */

#endif
