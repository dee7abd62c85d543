/* What a step leaves behind, and in which order it leaves: nothing goes out before what it depends
 * on is committed.
 *
 * Duties change the state and put replies into a queue. settle first draws the consequences (pieces
 * that came back, barriers that are complete, the job's next state), then commits once, then sends.
 * A duty that sent by itself could promise what a crash forgets; one commit per step also makes a
 * burst of consequences cost one sync.
 *
 * Drawing consequences looks at every rank. Leases and sessions' acknowledgements have none, and
 * come once a second and once a view from each: they are quiet, or W workers would cost W * W looks
 * a second. What time alone brings about is for the tick. */
#include "common/base/alloc.h"
#include "scheduler/scheduler_internal.h"

#include <stdarg.h>

void rub_scheduler_text(char *out, size_t out_bytes, const char *src)
{
    size_t n = strnlen(src, out_bytes - 1);
    memcpy(out, src, n);
    out[n] = 0;
}

void rub_scheduler_say(rub_scheduler_t *self, rub_caller_t to, const rub_control_t *message)
{
    if (!to) {
        return;
    }
    if (rub_grow(&self->replies, &self->replies_capacity, self->n_replies + 1,
                 sizeof *self->replies) < 0) {
        self->fatal = RUB_ENOMEM;
        return;
    }
    self->replies[self->n_replies++] = (rub_reply_t){.to = to, .message = *message};
}

void rub_scheduler_refuse(rub_scheduler_t *self, rub_caller_t to, uint32_t request,
                          const rub_error_t *err, bool final)
{
    rub_control_t reply = {
        .type = RUB_MSG_REFUSED,
        .refused = {.request = request, .code = (uint64_t)-err->code, .final = final ? 1u : 0u}};
    rub_scheduler_text(reply.refused.sentence, sizeof reply.refused.sentence, err->message);
    rub_scheduler_say(self, to, &reply);
}

void rub_scheduler_remember(rub_scheduler_t *self)
{
    self->must_commit = true;
}

void rub_scheduler_change(rub_scheduler_t *self)
{
    self->view_changed = true;
    self->must_commit = true;
}

void rub_scheduler_notice(rub_scheduler_t *self, const char *format, ...)
{
    rub_error_t line = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)rub_vfail(&line, 0, format, arguments);
    va_end(arguments);
    if (self->effects.notice) {
        self->effects.notice(self->effects.context, line.message);
    }
}

void rub_scheduler_complain(rub_scheduler_t *self, rub_caller_t from, const char *format, ...)
{
    uint64_t held_back = 0;
    if (!rub_rate_limit_may(&self->complaints, from, self->now_ms, RUB_COMPLAIN_EVERY_MS,
                            &held_back)) {
        return;
    }
    rub_error_t line = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)rub_vfail(&line, 0, format, arguments);
    va_end(arguments);
    char rest[RUB_HELD_BACK_ROOM];
    rub_scheduler_notice(self, "%s%s", line.message, rub_held_back_text(held_back, rest));
}

static int commit(rub_scheduler_t *self)
{
    if (self->view_changed) {
        self->version++;
        int rc = rub_scheduler_view_build(self);
        if (rc < 0) {
            return rc;
        }
    }
    if (!self->must_commit) {
        return 0;
    }
    rub_buf_t state;
    rub_buf_init(&state);
    int rc = rub_scheduler_state_write(self, &state);
    if (rc == 0) {
        rc = self->effects.commit(self->effects.context, state.data, state.bytes);
    }
    rub_buf_fini(&state);
    if (rc == 0) {
        self->view_changed = false;
        self->must_commit = false;
    }
    return rc;
}

static void send_replies(rub_scheduler_t *self)
{
    for (size_t i = 0; i < self->n_replies; i++) {
        self->effects.send(self->effects.context, self->replies[i].to, &self->replies[i].message);
    }
    self->n_replies = 0;
}

int rub_scheduler_settle(rub_scheduler_t *self)
{
    if (self->stale) {
        /* A later scheduler leads the job: whatever this one would say or remember is wrong. */
        self->n_replies = 0;
        return self->fatal;
    }
    if (self->quiet && !self->view_changed && !self->must_commit && self->fatal == 0) {
        send_replies(self);
        return 0;
    }
    rub_scheduler_pieces_settle(self);
    rub_scheduler_barrier_settle(self);
    rub_scheduler_finish_settle(self);
    rub_scheduler_tables_settle(self);
    rub_scheduler_snapshot_settle(self);
    if (rub_scheduler_judge_open(self)) {
        rub_scheduler_barrier_settle(self); /* who stands there may have waited for the cut */
    }
    int rc = self->fatal;
    if (rc == 0) {
        rc = commit(self);
    }
    if (rc < 0) {
        self->n_replies = 0;
        self->fatal = rc;
        return rc;
    }
    rub_scheduler_snapshot_drop_replaced(self);
    send_replies(self);
    rub_scheduler_view_send(self);
    rub_scheduler_finish_send(self);
    rub_scheduler_snapshot_send(self);
    return 0;
}
