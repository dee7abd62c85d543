/* Raw libzmq, the anchor of every figure: a DEALER sends frames of 1 MiB from one and the same
 * array, without a copy, over loopback to a ROUTER that throws them away. Nothing a parameter
 * server does is faster on this machine over tcp. */
#include "cli/zmq_bench_ideal.h"
#include "cli/zmq_bench_wire.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1 << 20, MESSAGES_PER_COUNT = 32, COUNTS_OPEN = 2, TIMEOUT_MS = 30000 };

typedef struct raw {
    void *context, *socket;
    uint8_t *bytes;
    uint64_t n_messages;
} raw_t;

static int send_message(raw_t *self)
{
    const rub_ideal_head_t head = {.op = RUB_IDEAL_RAW};
    zmq_msg_t message;
    if (zmq_send(self->socket, &head, sizeof(head), ZMQ_SNDMORE) < 0 ||
        zmq_msg_init_data(&message, self->bytes, MESSAGE_BYTES, NULL, NULL) != 0) {
        return -1;
    }
    if (zmq_msg_send(&message, self->socket, 0) < 0) {
        (void)zmq_msg_close(&message);
        return -1;
    }
    self->n_messages++;
    return 0;
}

/* Messages, and a question behind them. */
static int send_some(raw_t *self)
{
    const rub_ideal_head_t count = {.op = RUB_IDEAL_COUNT};
    int rc = 0;
    for (int i = 0; i < MESSAGES_PER_COUNT && !rc; i++) {
        rc = send_message(self);
    }
    return rc || zmq_send(self->socket, &count, sizeof(count), 0) < 0 ? -1 : 0;
}

static int receive_count(raw_t *self)
{
    rub_ideal_head_t head;
    return zmq_recv(self->socket, &head, sizeof(head), 0) == (int)sizeof(head) ? 0 : -1;
}

/* One question is always open, so that the sender never waits for an answer. */
static int measure(raw_t *self, uint64_t for_ms, double *bytes_per_s_p)
{
    const uint64_t begun_ns = rub_now_ns();
    unsigned open = 0;
    int rc = 0;
    while (!rc && rub_now_ns() - begun_ns < for_ms * 1000000) {
        rc = send_some(self);
        open++;
        if (!rc && open == COUNTS_OPEN) {
            rc = receive_count(self);
            open--;
        }
    }
    for (; open > 0 && !rc; open--) {
        rc = receive_count(self);
    }
    *bytes_per_s_p =
        (double)(self->n_messages * MESSAGE_BYTES) / ((double)(rub_now_ns() - begun_ns) / 1e9);
    return rc;
}

int rub_raw_measure(const char *address, uint64_t for_ms, double *bytes_per_s_p, rub_error_t *err)
{
    raw_t self = {.bytes = rub_calloc(1, MESSAGE_BYTES), .context = zmq_ctx_new()};
    const int timeout_ms = TIMEOUT_MS;
    int rc = 0;
    self.socket = self.context ? rub_ideal_socket(self.context, ZMQ_DEALER) : NULL;
    if (!self.bytes || !self.socket ||
        zmq_setsockopt(self.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms)) != 0 ||
        zmq_connect(self.socket, address) != 0) {
        rc = rub_fail(err, RUB_EIO, "no socket to '%s': %s", address, zmq_strerror(errno));
    } else if (measure(&self, for_ms, bytes_per_s_p)) {
        rc = rub_fail(err, RUB_EIO, "raw libzmq to '%s': %s", address, zmq_strerror(errno));
    }
    if (self.socket) {
        (void)zmq_close(self.socket);
    }
    if (self.context) {
        (void)zmq_ctx_term(self.context);
    }
    rub_free(self.bytes);
    return rc;
}
