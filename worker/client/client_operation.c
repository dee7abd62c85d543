/* Handles. Whatever must wait is an operation with a handle; it ends well, fails alone, or fails
 * with the session.
 *
 * Handles ascend, so the table is a sorted array that mostly loses its front. Pulls and pushes are
 * many; of the others (join, table, barrier, pause, resume, piece, leave) one is active at a time
 * and is moved by its advance function after every event, so that no message handler needs to know
 * who waits for it. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

int rub_operation_add(rub_client_t *self, rub_operation_t *op, rub_op_kind_t kind,
                      rub_handle_t *handle_p)
{
    if (self->ops_head > 0 && self->n_ops == self->ops_capacity) {
        self->n_ops -= self->ops_head;
        memmove(self->ops, self->ops + self->ops_head, self->n_ops * sizeof(*self->ops));
        self->ops_head = 0;
    }
    if (rub_grow(&self->ops, &self->ops_capacity, self->n_ops + 1, sizeof(*self->ops))) {
        return RUB_ENOMEM;
    }
    op->kind = kind;
    op->handle = ++self->last_handle;
    self->ops[self->n_ops++] = op;
    *handle_p = op->handle;
    if (kind == RUB_OP_PULL) {
        self->n_pulls_open++;
    }
    return 0;
}

static size_t find_index(const rub_client_t *self, rub_handle_t handle)
{
    size_t low = self->ops_head, high = self->n_ops;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (self->ops[middle]->handle < handle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

rub_operation_t *rub_operation_find(const rub_client_t *self, rub_handle_t handle)
{
    const size_t i = find_index(self, handle);
    return i < self->n_ops && self->ops[i]->handle == handle ? self->ops[i] : NULL;
}

static void free_operation(rub_operation_t *op)
{
    rub_free(op->sentence);
    if (op->kind == RUB_OP_PULL) {
        rub_pull_free((rub_pull_t *)op);
        return;
    }
    if (op->kind == RUB_OP_ACKED) {
        rub_loan_unref(&((rub_acked_t *)op)->loan);
    }
    rub_free(op);
}

void rub_operation_remove(rub_client_t *self, rub_operation_t *op)
{
    const size_t i = find_index(self, op->handle);
    RUB_ASSERT(i < self->n_ops);
    RUB_ASSERT(self->ops[i] == op);
    if (i == self->ops_head) {
        self->ops_head++;
    } else {
        memmove(self->ops + i, self->ops + i + 1, (self->n_ops - i - 1) * sizeof(*self->ops));
        self->n_ops--;
    }
    if (self->ops_head == self->n_ops) {
        self->ops_head = self->n_ops = 0;
    }
    if (op->kind == RUB_OP_PULL) {
        self->n_pulls_open--;
    }
    if (op == self->active) {
        self->active = NULL;
    }
    free_operation(op);
}

void rub_operation_end(rub_client_t *self, rub_operation_t *op, int code, const char *sentence)
{
    RUB_ASSERT(!op->ended);
    op->ended = true;
    op->code = code;
    op->sentence = sentence ? rub_strdup(sentence) : NULL;
    if (op == self->active) {
        self->active = NULL;
    }
}

int rub_operation_start(rub_client_t *self, rub_op_kind_t kind, rub_handle_t *handle_p,
                        rub_error_t *err)
{
    if (self->active) {
        return rub_fail(err, RUB_EBUSY, "session: another operation is still under way");
    }
    rub_operation_t *op = rub_calloc(1, sizeof(*op));
    if (!op || rub_operation_add(self, op, kind, handle_p)) {
        rub_free(op);
        return rub_fail(err, RUB_ENOMEM, "session: memory is short");
    }
    self->active = op;
    self->started_ms = self->now_ms;
    self->active_noticed_ms = 0;
    rub_operation_step(self, 0);
    return 0;
}

void rub_operation_step(rub_client_t *self, unsigned step)
{
    self->step = step;
    self->asked_ms = 0;
}

bool rub_operation_due(rub_client_t *self, uint64_t every_ms)
{
    if (self->asked_ms != 0 && self->now_ms - self->asked_ms < every_ms) {
        return false;
    }
    self->asked_ms = self->now_ms ? self->now_ms : 1;
    return true;
}

static void (*const ADVANCE[])(rub_client_t *) = {
    [RUB_OP_JOIN] = rub_join_advance,       [RUB_OP_TABLE] = rub_table_advance,
    [RUB_OP_BARRIER] = rub_barrier_advance, [RUB_OP_PAUSE] = rub_pause_advance,
    [RUB_OP_RESUME] = rub_resume_advance,   [RUB_OP_PIECE] = rub_piece_advance,
    [RUB_OP_LEAVE] = rub_leave_advance,
};

void rub_operation_advance(rub_client_t *self)
{
    if (self->active && !self->failure) {
        ADVANCE[self->active->kind](self);
    }
}

bool rub_acked_reached(const rub_client_t *self, const rub_acked_t *acked)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (self->links[i].acked < acked->targets[i]) {
            return false;
        }
    }
    return true;
}

/* The array of a push that was lent may still stand in a connection's pipe: sent twice, because the
 * shard was silent for long, it is acknowledged when the first has arrived. */
static bool loan_is_out(const rub_acked_t *acked)
{
    return acked->loan && rub_loan_is_out(acked->loan) && !RUB_MUTANT(LOAN_ENDS_WITH_ACK);
}

rub_loan_t *rub_client_loans(const rub_client_t *self)
{
    return self->loans;
}

bool rub_client_awaits_loan(const rub_client_t *self, rub_handle_t handle)
{
    const rub_operation_t *op = rub_operation_find(self, handle);
    return op && op->kind == RUB_OP_ACKED && rub_acked_reached(self, (const rub_acked_t *)op) &&
           loan_is_out((const rub_acked_t *)op);
}

int rub_client_flush(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err)
{
    const int rc = rub_client_usable(self, err);
    if (rc) {
        return rc;
    }
    rub_acked_t *acked = rub_calloc(1, sizeof(*acked) + self->n_links * sizeof(uint64_t));
    if (!acked || rub_operation_add(self, &acked->op, RUB_OP_ACKED, handle_p)) {
        rub_free(acked);
        return rub_fail(err, RUB_ENOMEM, "flush: memory is short");
    }
    acked->flush = true;
    acked->loan = rub_loan_ref(self->loans);
    for (uint32_t i = 0; i < self->n_links; i++) {
        acked->targets[i] = rub_ring_last(&self->links[i].ring);
    }
    return 0;
}

/* Where a wait of each kind is counted; joining, tables and leaving are no part of the work. */
static uint64_t *wait_counter(rub_stats_t *stats, rub_op_kind_t kind)
{
    switch (kind) {
    case RUB_OP_PULL:
        return &stats->pull_wait_us;
    case RUB_OP_ACKED:
        return &stats->push_wait_us;
    case RUB_OP_BARRIER:
    case RUB_OP_PAUSE:
    case RUB_OP_RESUME:
    case RUB_OP_PIECE:
        return &stats->meet_wait_us;
    case RUB_OP_JOIN:
    case RUB_OP_TABLE:
    case RUB_OP_LEAVE:
        break;
    }
    return NULL;
}

const rub_stats_t *rub_client_waited(rub_client_t *self, rub_handle_t handle, uint64_t us)
{
    const rub_operation_t *op = handle ? rub_operation_find(self, handle) : NULL;
    uint64_t *counter = !handle ? &self->stats.push_wait_us
                        : op    ? wait_counter(&self->stats, op->kind)
                                : NULL;
    if (counter) {
        *counter += us;
    }
    return &self->stats;
}

int rub_client_poll(rub_client_t *self, rub_handle_t handle, rub_error_t *err)
{
    rub_operation_t *op = rub_operation_find(self, handle);
    if (!op) {
        return rub_fail(err, RUB_EINVAL, "handle %llu is not under way",
                        (unsigned long long)handle);
    }
    int rc = 0;
    if (op->ended) {
        rc = op->code;
        if (rc) {
            rub_fail(err, rc, "%s", op->sentence ? op->sentence : rub_error_name(rc));
        }
    } else if (op->kind == RUB_OP_ACKED && rub_acked_reached(self, (rub_acked_t *)op) &&
               !loan_is_out((rub_acked_t *)op)) {
        rc = 0;
    } else if (self->failure) {
        rc = rub_client_failure(self, err);
        if (op->kind == RUB_OP_PULL) {
            rub_pull_drop(self, (rub_pull_t *)op);
        }
    } else {
        return RUB_CLIENT_WAIT;
    }
    rub_operation_remove(self, op);
    return rc;
}

int rub_client_cancel(rub_client_t *self, rub_handle_t handle, rub_error_t *err)
{
    rub_operation_t *op = rub_operation_find(self, handle);
    if (!op) {
        return rub_fail(err, RUB_EINVAL, "handle %llu is not under way",
                        (unsigned long long)handle);
    }
    const bool is_flush = op->kind == RUB_OP_ACKED && ((const rub_acked_t *)op)->flush;
    if (op->kind != RUB_OP_PULL && !is_flush) {
        return rub_fail(err, RUB_EINVAL,
                        "handle %llu is no pull and no flush, which alone can be cancelled",
                        (unsigned long long)handle);
    }
    if (op->kind == RUB_OP_PULL && !op->ended) {
        rub_pull_drop(self, (rub_pull_t *)op);
    }
    rub_operation_remove(self, op);
    return 0;
}

void rub_operations_fini(rub_client_t *self)
{
    for (size_t i = self->ops_head; i < self->n_ops; i++) {
        free_operation(self->ops[i]);
    }
    rub_free(self->ops);
}
