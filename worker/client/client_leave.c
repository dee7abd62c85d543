/* Leaving: BYE as the last record of every stream, acknowledged as the durability promises (and so
 * is everything before it), then LEAVE until LEFT. The view may show our end before LEFT arrives;
 * that counts. A reader has no stream and holds nothing that others wait for: its LEAVE is a
 * courtesy that needs no answer.
 *
 * Named results of the job are kept here too: METRIC has no answer, so the last values are said
 * once more on the way out, when the scheduler must have a live connection anyway. */
#include "worker/client/client_internal.h"

#include <string.h>

enum { STEP_BYE, STEP_LEAVE };

int rub_client_leave(rub_client_t *self, bool done, int code, const char *why,
                     rub_handle_t *handle_p, rub_error_t *err)
{
    if (self->failure == RUB_EDIVERGED) {
        self->failure =
            0; /* our own verdict on our own pushes: the way out is open, and all must hear */
    }
    if (self->failure) {
        return rub_client_failure(self, err);
    }
    /* Leaving ends whatever was under way, also what timed out at its caller. */
    if (self->active) {
        rub_operation_end(self, self->active, RUB_ECANCELLED, "cancelled: the session leaves");
    }
    const int rc = rub_operation_start(self, RUB_OP_LEAVE, handle_p, err);
    if (rc) {
        return rc;
    }
    self->leave_done = done;
    self->leave_code = code;
    memset(self->leave_why, 0, sizeof(self->leave_why));
    if (why) {
        memcpy(self->leave_why, why, strnlen(why, sizeof(self->leave_why) - 1));
    }
    const bool stream = self->opened && !self->leaving && self->config.role == RUB_TRAINER;
    if (stream && !self->idle && !done && code == 0) {
        rub_kept_push_now(self); /* others go on with its work */
    }
    self->leaving = true;
    if (stream && rub_stream_append_all(self, RUB_MSG_BYE, 0, done)) {
        rub_client_no_memory(self);
        return 0;
    }
    rub_operation_advance(self);
    return 0;
}

static bool all_safe(const rub_client_t *self)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (self->links[i].ring.n > 0) {
            return false;
        }
    }
    return true;
}

static void send_leave(rub_client_t *self)
{
    rub_control_t message = {
        .type = RUB_MSG_LEAVE,
        .leave = {.rank = self->rank,
                  .epoch = self->epoch,
                  .done = self->leave_done,
                  .code = (uint64_t)(self->leave_code < 0 ? -self->leave_code : 0)}};
    memcpy(message.leave.why, self->leave_why, sizeof(message.leave.why));
    self->effects.control(self->effects.context, &message);
}

bool rub_leave_is_safe(const rub_client_t *self)
{
    return self->leaving && self->active && self->active->kind == RUB_OP_LEAVE &&
           self->step == STEP_LEAVE;
}

void rub_leave_advance(rub_client_t *self)
{
    if (self->left || !self->joined) {
        rub_operation_end(self, self->active, 0, NULL);
        return;
    }
    if (self->step == STEP_BYE) {
        if (!all_safe(self)) {
            return;
        }
        rub_operation_step(self, STEP_LEAVE);
        rub_leave_resend_metrics(self);
    }
    if (rub_operation_due(self, RUB_ASK_EVERY_MS)) {
        send_leave(self);
    }
    if (self->config.role == RUB_READER) {
        rub_operation_end(self, self->active, 0, NULL);
    }
}

void rub_leave_resend_metrics(rub_client_t *self)
{
    for (uint32_t i = 0; i < self->n_metrics; i++) {
        const rub_control_t message = {.type = RUB_MSG_METRIC, .metric = self->metrics[i]};
        self->effects.control(self->effects.context, &message);
    }
}

int rub_client_metric(rub_client_t *self, const char *name, double value, rub_error_t *err)
{
    const int rc = rub_client_usable(self, err);
    if (rc) {
        return rc;
    }
    const size_t length = strnlen(name, 32);
    if (length == 0 || length > 31) {
        return rub_fail(err, RUB_EINVAL, "metric: a name of %zu bytes, expected 1 to 31", length);
    }
    uint32_t i = 0;
    while (i < self->n_metrics && strcmp(self->metrics[i].name, name) != 0) {
        i++;
    }
    if (i == RUB_METRICS_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "metric '%s': there are %d names already", name,
                        RUB_METRICS_LIMIT);
    }
    if (i == self->n_metrics) {
        self->n_metrics++;
        memcpy(self->metrics[i].name, name, length + 1);
    }
    self->metrics[i].value = value;
    self->metrics[i].data_epoch =
        self->piece_request > 0 ? self->piece_ask.data_epoch : self->metrics[i].data_epoch;
    const rub_control_t message = {.type = RUB_MSG_METRIC, .metric = self->metrics[i]};
    self->effects.control(self->effects.context, &message);
    return 0;
}
