/* The barrier. Idle on every shard first, so that nobody waits for who stands here; then BARRIER
 * until RELEASE (all live trainers are here, with the sums and the greatest clock), RESUME at that
 * clock on every shard, RESUMED until GO (all are counted again): only then may anybody push, or a
 * fast trainer could run a period ahead while a slow one is not counted yet. Every message is
 * repeated until answered; numbers make repeats harmless. A view that RELEASE names has to be here
 * before we go on. */
#include "worker/client/client_internal.h"

#include <string.h>

enum { STEP_IDLE, STEP_ASK, STEP_RESUME, STEP_GO };

int rub_client_judge(rub_client_t *self, const rub_score_t *score, const double *sums,
                     uint32_t n_sums, rub_handle_t *handle_p, rub_error_t *err)
{
    int rc = rub_client_may_push(self, "barrier", err);
    if (rc) {
        return rc;
    }
    if (n_sums > 16) {
        return rub_fail(err, RUB_EINVAL, "barrier: %u sums, at most 16", n_sums);
    }
    rc = rub_operation_start(self, RUB_OP_BARRIER, handle_p, err);
    if (rc) {
        return rc;
    }
    self->barrier_number++;
    self->score = score ? *score : (rub_score_t){0};
    memset(self->metric, 0, sizeof(self->metric));
    if (score && score->metric) {
        memcpy(self->metric, score->metric, strnlen(score->metric, sizeof(self->metric) - 1));
    }
    self->n_barrier_sums = n_sums;
    if (n_sums > 0) {
        memcpy(self->barrier_sums, sums, n_sums * sizeof(*sums));
    }
    if (!self->idle && self->score.keep) {
        rub_kept_push_now(self); /* a snapshot may be taken here, which waits for all to be whole */
    }
    if (!self->idle && rub_stream_append_all(self, RUB_MSG_IDLE, 0, 0)) {
        rub_client_no_memory(self);
        return 0;
    }
    self->idle = true;
    rub_operation_advance(self);
    return 0;
}

int rub_client_barrier(rub_client_t *self, const double *sums, uint32_t n_sums,
                       rub_handle_t *handle_p, rub_error_t *err)
{
    return rub_client_judge(self, NULL, sums, n_sums, handle_p, err);
}

uint64_t rub_client_stopped(const rub_client_t *self)
{
    return self->view ? self->view->stopped : 0;
}

uint32_t rub_client_barrier_sums(const rub_client_t *self, double out[16])
{
    memcpy(out, self->barrier_sums, self->n_barrier_sums * sizeof(*out));
    return self->n_barrier_sums;
}

static void send_barrier(rub_client_t *self)
{
    rub_control_t message = {.type = RUB_MSG_BARRIER,
                             .barrier = {.number = self->barrier_number,
                                         .rank = self->rank,
                                         .epoch = self->epoch,
                                         .clock = self->clock,
                                         .sums_bytes = 8 * self->n_barrier_sums,
                                         .evaluation = self->score.evaluation,
                                         .value = self->score.value,
                                         .patience = self->score.patience,
                                         .keep = self->score.keep ? 1u : 0u}};
    memcpy(message.barrier.metric, self->metric, sizeof(self->metric));
    for (uint32_t i = 0; i < self->n_barrier_sums; i++) {
        uint64_t bits;
        memcpy(&bits, &self->barrier_sums[i], sizeof(bits));
        rub_put_u64(message.barrier.sums + 8 * (size_t)i, bits);
    }
    self->effects.control(self->effects.context, &message);
}

static void resume_at(rub_client_t *self, uint64_t clock)
{
    if (clock > self->clock) {
        self->clock = clock;
    }
    if (rub_stream_append_all(self, RUB_MSG_RESUME, self->clock, 0)) {
        rub_client_no_memory(self);
        return;
    }
    rub_operation_step(self, STEP_RESUME);
}

void rub_barrier_advance(rub_client_t *self)
{
    if (self->step == STEP_IDLE) {
        if (!rub_stream_all_applied(self)) {
            return;
        }
        self->clock = rub_stream_maximum(self);
        rub_operation_step(self, STEP_ASK);
    }
    if (self->step == STEP_ASK) {
        if (self->release_number != self->barrier_number) {
            if (rub_operation_due(self, RUB_ASK_EVERY_MS)) {
                send_barrier(self);
            }
            return;
        }
        if (!self->view || self->view->version < self->release_version) {
            return; /* it is on its way: whoever leaves knows what was judged here */
        }
        resume_at(self, self->release_clock);
        return; /* the acknowledgements are another event */
    }
    if (self->step == STEP_RESUME) {
        if (!rub_stream_all_resumed(self)) {
            return;
        }
        self->idle = false;
        self->paused = false;
        if (rub_stream_catch_up(self, rub_stream_maximum(self), false)) {
            rub_client_no_memory(self);
            return;
        }
        rub_operation_step(self, STEP_GO);
    }
    if (self->go_number == self->barrier_number) {
        rub_operation_end(self, self->active, 0, NULL);
    } else if (rub_operation_due(self, RUB_ASK_EVERY_MS)) {
        const rub_control_t message = {
            .type = RUB_MSG_RESUMED,
            .resumed = {.number = self->barrier_number, .rank = self->rank, .epoch = self->epoch}};
        self->effects.control(self->effects.context, &message);
    }
}
