/* A client of the ideal server: sends pieces of the caller's arrays without copying them, counts
 * answers. The server answers a connection's requests in order, so a call has ended when as many
 * answers have come as requests had been sent by its end. */
#include "cli/zmq_bench_ideal.h"
#include "cli/zmq_bench_wire.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    ANSWER_TIMEOUT_MS = 30000,
    SLICE_MS = 100,
    PIECE_BYTES = 128 << 10,
    PULLS_LIMIT = 1 << 16 /* pieces asked for and not answered; a power of two */
};

/* Where the values of a pulled piece belong. */
typedef struct target {
    float *values;
    size_t bytes;
} target_t;

struct rub_ideal {
    void *context, *socket;
    uint32_t width; /* 0: dense */
    size_t piece_bytes;
    uint64_t sent, answered; /* requests */
    uint64_t n_pulls;
    target_t targets[PULLS_LIMIT];
};

static int receive_answer(rub_ideal_t *self, rub_error_t *err)
{
    rub_ideal_head_t head;
    if (zmq_recv(self->socket, &head, sizeof(head), 0) != (int)sizeof(head)) {
        return rub_fail(err, RUB_EIO, "the ideal server's answer is cut: %s", zmq_strerror(errno));
    }
    self->answered++;
    if (head.op != RUB_IDEAL_PULL) {
        return 0;
    }
    zmq_msg_t values;
    const target_t *target = &self->targets[head.id % PULLS_LIMIT];
    (void)zmq_msg_init(&values);
    const int n = zmq_msg_recv(&values, self->socket, 0);
    const bool good = n >= 0 && (size_t)n == target->bytes;
    if (good) {
        memcpy(target->values, zmq_msg_data(&values), target->bytes);
    }
    (void)zmq_msg_close(&values);
    return good ? 0 : rub_fail(err, RUB_EIO, "the ideal server's answer has other values");
}

static int wait_for_answer(rub_ideal_t *self, rub_error_t *err)
{
    for (int waited_ms = 0; waited_ms < ANSWER_TIMEOUT_MS; waited_ms += SLICE_MS) {
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, SLICE_MS) > 0) {
            return receive_answer(self, err);
        }
        if (*rub_signals_count() > 0) {
            return rub_fail(err, RUB_EINTR, "interrupted");
        }
    }
    return rub_fail(err, RUB_ETIMEOUT, "the ideal server has not answered for %d s",
                    ANSWER_TIMEOUT_MS / 1000);
}

int rub_ideal_wait(rub_ideal_t *self, uint64_t ticket, rub_error_t *err)
{
    int rc = 0;
    while (self->answered < ticket && !rc) {
        rc = wait_for_answer(self, err);
    }
    return rc;
}

static int send_head(rub_ideal_t *self, const rub_ideal_head_t *head, bool more)
{
    return zmq_send(self->socket, head, sizeof(*head), more ? ZMQ_SNDMORE : 0) < 0 ? -1 : 0;
}

/* Without a copy: the array is not touched before the answer is there. */
static int send_borrowed(rub_ideal_t *self, const void *data, size_t bytes, bool more)
{
    zmq_msg_t message;
    void *writable = (void *)(uintptr_t)data;
    if (zmq_msg_init_data(&message, writable, bytes, NULL, NULL) != 0) {
        return -1;
    }
    if (zmq_msg_send(&message, self->socket, more ? ZMQ_SNDMORE : 0) < 0) {
        (void)zmq_msg_close(&message);
        return -1;
    }
    return 0;
}

static int send_small(rub_ideal_t *self, const rub_ideal_head_t *head, const void *keys,
                      size_t keys_bytes, const void *values, size_t values_bytes)
{
    uint8_t bytes[sizeof(*head) + RUB_IDEAL_INLINE_BYTES];
    memcpy(bytes, head, sizeof(*head));
    if (keys_bytes > 0) {
        memcpy(bytes + sizeof(*head), keys, keys_bytes);
    }
    if (values_bytes > 0) {
        memcpy(bytes + sizeof(*head) + keys_bytes, values, values_bytes);
    }
    return zmq_send(self->socket, bytes, sizeof(*head) + keys_bytes + values_bytes, 0) < 0 ? -1 : 0;
}

/* Items [at, at + n) of the call. */
static int send_piece(rub_ideal_t *self, rub_ideal_op_t op, const rub_bench_call_t *call,
                      uint32_t at, uint32_t n)
{
    const size_t width = call->keys ? self->width : 1;
    const bool push = op == RUB_IDEAL_PUSH;
    const rub_ideal_head_t head = {.op = op,
                                   .by_keys = call->keys != NULL,
                                   .first = call->first + at,
                                   .n = n,
                                   .id = self->n_pulls};
    const void *keys = call->keys ? call->keys + at : NULL;
    const size_t keys_bytes = call->keys ? (size_t)n * 8 : 0;
    const size_t bytes = n * width * sizeof(float);
    const void *values = push ? call->values + at * width : NULL;
    const size_t values_bytes = push ? bytes : 0;
    if (!push) {
        self->targets[self->n_pulls++ % PULLS_LIMIT] =
            (target_t){.values = call->pulled + at * width, .bytes = bytes};
    }
    self->sent++;
    if (keys_bytes + values_bytes <= RUB_IDEAL_INLINE_BYTES) {
        return send_small(self, &head, keys, keys_bytes, values, values_bytes);
    }
    int rc = send_head(self, &head, true);
    if (!rc && keys_bytes > 0) {
        rc = send_borrowed(self, keys, keys_bytes, push);
    }
    return rc || !push ? rc : send_borrowed(self, values, values_bytes, false);
}

static int send_pieces(rub_ideal_t *self, rub_ideal_op_t op, const rub_bench_call_t *call)
{
    const size_t item_bytes = (call->keys ? self->width : 1) * sizeof(float);
    uint32_t items = (uint32_t)(self->piece_bytes / item_bytes);
    items = items > 0 ? items : 1;
    int rc = 0;
    for (uint32_t at = 0; at < call->n && !rc; at += items) {
        rc = send_piece(self, op, call, at, call->n - at < items ? call->n - at : items);
    }
    return rc;
}

int rub_ideal_begin(rub_ideal_t *self, rub_bench_verb_t verb, const rub_bench_call_t *call,
                    uint64_t *ticket_p, rub_error_t *err)
{
    int rc = 0;
    if (verb & RUB_BENCH_PUSH) {
        rc = send_pieces(self, RUB_IDEAL_PUSH, call);
    }
    if (!rc && verb & RUB_BENCH_PULL) {
        rc = send_pieces(self, RUB_IDEAL_PULL, call);
    }
    *ticket_p = self->sent;
    return rc ? rub_fail(err, RUB_EIO, "cannot send to the ideal server: %s", zmq_strerror(errno))
              : 0;
}

void rub_ideal_cut(rub_ideal_t *self, size_t piece_bytes)
{
    self->piece_bytes = piece_bytes;
}

static int make_table(rub_ideal_t *self, const rub_bench_case_t *row, rub_error_t *err)
{
    const rub_ideal_head_t head = {
        .op = RUB_IDEAL_TABLE, .first = rub_bench_table_values(row), .n = row->width};
    self->sent++;
    if (send_head(self, &head, false)) {
        return rub_fail(err, RUB_EIO, "cannot send to the ideal server: %s", zmq_strerror(errno));
    }
    return rub_ideal_wait(self, self->sent, err);
}

int rub_ideal_open(const char *address, const rub_bench_case_t *row, rub_ideal_t **self_p,
                   rub_error_t *err)
{
    int rc = 0;
    rub_ideal_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    self->width = row->width;
    self->piece_bytes = PIECE_BYTES;
    self->context = zmq_ctx_new();
    self->socket = self->context ? rub_ideal_socket(self->context, ZMQ_DEALER) : NULL;
    if (!self->socket || zmq_connect(self->socket, address) != 0) {
        rc = rub_fail(err, RUB_EIO, "no socket to '%s': %s", address, zmq_strerror(errno));
    }
    rc = rc ? rc : make_table(self, row, err);
    if (rc) {
        rub_ideal_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_ideal_close(rub_ideal_t **self_p)
{
    rub_ideal_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->socket) {
        (void)zmq_close(self->socket);
    }
    if (self->context) {
        (void)zmq_ctx_term(self->context);
    }
    rub_free(self);
}
