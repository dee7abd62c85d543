/* The next piece of data. The scheduler commits a piece before it deals it; the same request number
 * gets the same answer, so asking again is harmless. WAIT is no answer: all is dealt but not
 * finished. This session goes idle, so that nobody waits for it, and asks on under the same number;
 * whatever ends the wait, it resumes before the caller goes on. */
#include "worker/client/client_internal.h"

enum { STEP_ASK, STEP_IDLE, STEP_ASK_IDLE, STEP_RESUME };

int rub_client_piece(rub_client_t *self, uint64_t epoch, uint64_t n_examples,
                     uint64_t piece_examples, rub_handle_t *handle_p, rub_error_t *err)
{
    int rc = rub_client_may_push(self, "piece", err);
    if (rc) {
        return rc;
    }
    if (n_examples == 0 || piece_examples == 0) {
        return rub_fail(err, RUB_EINVAL, "piece: %llu examples in pieces of %llu",
                        (unsigned long long)n_examples, (unsigned long long)piece_examples);
    }
    rc = rub_operation_start(self, RUB_OP_PIECE, handle_p, err);
    if (rc) {
        return rc;
    }
    const bool same = self->piece_last != UINT64_MAX && self->piece_epoch == epoch;
    self->piece_ask = (rub_piece_ask_t){.request = ++self->piece_request,
                                        .rank = self->rank,
                                        .epoch = self->epoch,
                                        .data_epoch = epoch,
                                        .n_examples = n_examples,
                                        .piece_examples = piece_examples,
                                        .finished_piece = same ? self->piece_last : UINT64_MAX};
    self->piece_answered = false;
    rub_operation_advance(self);
    return 0;
}

const rub_piece_t *rub_client_piece_result(const rub_client_t *self)
{
    return &self->piece;
}

void rub_piece_dealt(rub_client_t *self, const rub_dealt_t *dealt)
{
    if (self->active && self->active->kind == RUB_OP_PIECE && !self->piece_answered &&
        dealt->request == self->piece_ask.request) {
        self->dealt = *dealt;
        self->piece_answered = true;
    }
}

static void ask(rub_client_t *self)
{
    if (rub_operation_due(self, RUB_PIECE_EVERY_MS)) {
        const rub_control_t message = {.type = RUB_MSG_PIECE_ASK, .piece_ask = self->piece_ask};
        self->effects.control(self->effects.context, &message);
    }
}

static void finish(rub_client_t *self)
{
    const bool piece = self->dealt.kind == RUB_DEAL_PIECE;
    self->piece = (rub_piece_t){.kind = piece ? RUB_PIECE : RUB_PIECE_END,
                                .epoch = self->dealt.data_epoch,
                                .number = self->dealt.number,
                                .first = self->dealt.first,
                                .count = self->dealt.count};
    self->piece_epoch = self->piece_ask.data_epoch;
    self->piece_last = piece ? self->dealt.number : UINT64_MAX;
    rub_operation_end(self, self->active, 0, NULL);
}

/* True when there is a piece or the end; else asks on. WAIT is no answer: the scheduler may still
 * give one to the same number, by itself, as soon as it has something. */
static bool answered(rub_client_t *self)
{
    if (self->piece_answered && self->dealt.kind != RUB_DEAL_WAIT) {
        return true;
    }
    self->piece_answered = false;
    ask(self);
    return false;
}

void rub_piece_advance(rub_client_t *self)
{
    if (self->step == STEP_ASK) {
        const bool told_to_wait = self->piece_answered && self->dealt.kind == RUB_DEAL_WAIT;
        if (answered(self)) {
            finish(self);
            return;
        }
        if (!told_to_wait) {
            return;
        }
        if (!self->idle && rub_stream_append_all(self, RUB_MSG_IDLE, 0, 0)) {
            rub_client_no_memory(self);
            return;
        }
        self->idle = true;
        self->step = STEP_IDLE; /* not rub_operation_step: the time of the last question stays */
    }
    if (self->step == STEP_IDLE) {
        if (!rub_stream_all_applied(self)) {
            return;
        }
        self->clock = rub_stream_maximum(self);
        self->step = STEP_ASK_IDLE;
    }
    if (self->step == STEP_ASK_IDLE) {
        if (!answered(self)) {
            return;
        }
        if (self->paused) { /* the caller paused this session, and it alone resumes it */
            finish(self);
            return;
        }
        if (rub_stream_append_all(self, RUB_MSG_RESUME, self->clock, 0)) {
            rub_client_no_memory(self);
            return;
        }
        rub_operation_step(self, STEP_RESUME);
    }
    if (!rub_stream_all_resumed(self)) {
        return;
    }
    self->idle = false;
    if (rub_stream_catch_up(self, rub_stream_maximum(self), false)) {
        rub_client_no_memory(self);
        return;
    }
    finish(self);
}
