/* The model's parameters on their way between the job's tables and this worker: two sets of arrays,
 * one that the gradient reads and one that a prefetch fills, and the gradients that are pushed.
 *
 * One thread. Uses the public client library alone. */
#ifndef RUB_PARAMETERS_H
#define RUB_PARAMETERS_H

#include "common/num/clip.h"
#include "include/rubato.h"
#include "worker/model/model.h"
#include "worker/train/loss_scale.h"

typedef struct rub_parameters rub_parameters_t;

/* How a table of a model is opened. schema->name is the table's. */
void rub_parameters_schema(const rub_model_table_t *table, rub_optimizer_kind_t optimizer,
                           const rub_hyper_t *hyper, rub_schema_t *schema);

/* Opens (or creates) one dense table per table of the model, with this optimizer, whose gradients
 * and weights travel in these codecs; blocks as rub_table_open does. The model must outlive the
 * result, which is the caller's. */
int rub_parameters_open(rub_session_t *session, const rub_model_t *model,
                        rub_optimizer_kind_t optimizer, const rub_hyper_t *hyper,
                        rub_codec_kind_t push, rub_codec_kind_t pull, rub_parameters_t **self_p,
                        rub_error_t *err);
/* Gives up a prefetch under way and frees. The session must still live. NULL is fine. */
void rub_parameters_close(rub_parameters_t **self_p);

/* Makes current() the parameters for the session's present clock: the prefetch if it was stamped
 * for that clock, otherwise a pull. Blocks until the bound allows. */
int rub_parameters_pull(rub_parameters_t *self, rub_error_t *err);
/* Asks for the next period's parameters; does not wait. At most one prefetch at a time. */
int rub_parameters_prefetch(rub_parameters_t *self, rub_error_t *err);
/* Forgets a prefetch: what it brought is too old after a barrier. */
void rub_parameters_forget(rub_parameters_t *self);

/* One array per table of the model; valid until the next pull. */
const float *const *rub_parameters_current(const rub_parameters_t *self);
/* Where the model writes its gradients, 64-byte aligned. */
float *const *rub_parameters_gradients(rub_parameters_t *self);
/* Clips all gradients as one. */
/* As rub_loss_scale_round, of the gradients. */
int rub_parameters_scale(rub_parameters_t *self, rub_loss_scale_t *scale, bool *fits_p,
                         rub_error_t *err);
void rub_parameters_clip(rub_parameters_t *self, const rub_clip_t *clip);
/* Pushes all gradients. RUB_ENAN: one is not finite, and nothing of its table was pushed. */
int rub_parameters_push(rub_parameters_t *self, rub_error_t *err);

#endif
