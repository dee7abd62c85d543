/* The ideal server's loop (cli/zmq_bench_ideal.h): how fast a server over ZeroMQ could be if it did
 * nothing but add. It is what a good programmer writes in an afternoon: received frames are read
 * where they lie, sums use the widest registers, memory has huge pages, rows that will be needed
 * are fetched ahead, malloc keeps what it has (rub_alloc_tune_process). It trusts its clients,
 * which are the same program, only as far as bounds go: a key outside the table ends it. */
#include "cli/zmq_bench_ideal.h"
#include "cli/zmq_bench_wire.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { AHEAD = 8, FLOATS_PER_LINE = 16, FRAMES_LIMIT = 3 };

typedef struct server {
    void *context, *socket;
    float *table;
    uint64_t n_values;
    uint32_t width;
    bool prefetch;
    uint8_t scratch[RUB_IDEAL_INLINE_BYTES + 64]; /* a small request, aligned */
} server_t;

/* A request as it lies in its frames. */
typedef struct request {
    zmq_msg_t route, frames[FRAMES_LIMIT];
    size_t n_frames;
    rub_ideal_head_t head;
    const uint64_t *keys;
    const float *values;
    size_t n_values;
} request_t;

static int make_table(server_t *self, uint64_t n_values, uint32_t width, rub_error_t *err)
{
    if (self->table && self->n_values == n_values && self->width == width) {
        return 0;
    }
    if (self->table) {
        rub_region_free(self->table, self->n_values * sizeof(float));
    }
    self->table = rub_region_alloc(n_values * sizeof(float));
    if (!self->table) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %llu values", (unsigned long long)n_values);
    }
    memset(self->table, 0, n_values * sizeof(float)); /* touched before anything is measured */
    self->n_values = n_values;
    self->width = width;
    self->prefetch = n_values * sizeof(float) > RUB_IDEAL_CACHE_BYTES;
    return 0;
}

static int check_bounds(const server_t *self, const request_t *request, rub_error_t *err)
{
    const uint64_t n = request->head.n;
    const uint64_t rows = self->width ? self->n_values / self->width : 0;
    bool good = request->head.by_keys != 0 || (request->head.first <= self->n_values &&
                                               n <= self->n_values - request->head.first);
    for (uint64_t i = 0; request->head.by_keys && i < n; i++) {
        good = good && request->keys[i] < rows;
    }
    if (good && request->head.op == RUB_IDEAL_PUSH) {
        good = request->n_values == n * (request->head.by_keys ? self->width : 1);
    }
    return good ? 0 : rub_fail(err, RUB_EPROTO, "a request is outside the table");
}

static void fetch(const server_t *self, const request_t *request, uint64_t i)
{
    if (self->prefetch && i < request->head.n) {
        const float *row = self->table + request->keys[i] * self->width;
        for (uint32_t k = 0; k < self->width; k += FLOATS_PER_LINE) {
            __builtin_prefetch(row + k, 0, 2); /* as ps/row_lookup.h does */
        }
    }
}

static void apply(const server_t *self, const request_t *request)
{
    if (!request->head.by_keys) {
        rub_add_into(self->table + request->head.first, request->values, request->head.n);
        return;
    }
    const size_t width = self->width;
    for (uint64_t i = 0; i < AHEAD; i++) {
        fetch(self, request, i);
    }
    for (uint64_t i = 0; i < request->head.n; i++) {
        fetch(self, request, i + AHEAD);
        rub_add_into(self->table + request->keys[i] * width, request->values + i * width, width);
    }
}

static int send_route(server_t *self, request_t *request)
{
    return zmq_msg_send(&request->route, self->socket, ZMQ_SNDMORE) < 0 ? -1 : 0;
}

static int acknowledge(server_t *self, request_t *request)
{
    if (send_route(self, request)) {
        return -1;
    }
    return zmq_send(self->socket, &request->head, sizeof(request->head), 0) < 0 ? -1 : 0;
}

static int answer(server_t *self, request_t *request)
{
    const bool by_keys = request->head.by_keys != 0;
    const size_t width = by_keys ? self->width : 1;
    zmq_msg_t reply;
    if (zmq_msg_init_size(&reply, request->head.n * width * sizeof(float)) != 0) {
        return -1;
    }
    float *out = zmq_msg_data(&reply);
    if (!by_keys) {
        memcpy(out, self->table + request->head.first, request->head.n * sizeof(float));
    }
    for (uint64_t i = 0; by_keys && i < AHEAD; i++) {
        fetch(self, request, i);
    }
    for (uint64_t i = 0; by_keys && i < request->head.n; i++) {
        fetch(self, request, i + AHEAD);
        memcpy(out + i * width, self->table + request->keys[i] * width, width * sizeof(float));
    }
    if (send_route(self, request) ||
        zmq_send(self->socket, &request->head, sizeof(request->head), ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(&reply, self->socket, 0) < 0) {
        (void)zmq_msg_close(&reply);
        return -1;
    }
    return 0;
}

/* Where keys and values of the request begin. A small one lies wherever libzmq's buffer had it. */
static void find_parts(server_t *self, request_t *request)
{
    const uint8_t *inside = zmq_msg_data(&request->frames[0]);
    const size_t inside_bytes = zmq_msg_size(&request->frames[0]) - sizeof(request->head);
    const size_t keys_bytes = request->head.by_keys ? request->head.n * 8 : 0;
    request->keys = NULL;
    request->values = NULL;
    request->n_values = 0;
    if (inside_bytes > 0 && inside_bytes <= RUB_IDEAL_INLINE_BYTES && keys_bytes <= inside_bytes) {
        memcpy(self->scratch, inside + sizeof(request->head), inside_bytes);
        request->keys = (const uint64_t *)(const void *)self->scratch;
        request->values = (const float *)(const void *)(self->scratch + keys_bytes);
        request->n_values = (inside_bytes - keys_bytes) / sizeof(float);
        return;
    }
    size_t next = 1;
    if (request->head.by_keys && next < request->n_frames &&
        zmq_msg_size(&request->frames[next]) == keys_bytes) {
        request->keys = zmq_msg_data(&request->frames[next++]);
    }
    if (next < request->n_frames) {
        request->values = zmq_msg_data(&request->frames[next]);
        request->n_values = zmq_msg_size(&request->frames[next]) / sizeof(float);
    }
}

static int serve(server_t *self, request_t *request, rub_error_t *err)
{
    rub_ideal_head_t *head = &request->head;
    int rc = 0;
    if (zmq_msg_size(&request->frames[0]) < sizeof(*head)) {
        return rub_fail(err, RUB_EPROTO, "a request without a head");
    }
    memcpy(head, zmq_msg_data(&request->frames[0]), sizeof(*head));
    if (head->op == RUB_IDEAL_RAW) {
        return 0;
    }
    if (head->op == RUB_IDEAL_TABLE) {
        rc = make_table(self, head->first, (uint32_t)head->n, err);
    } else if (head->op != RUB_IDEAL_COUNT) {
        find_parts(self, request);
        if (head->by_keys && !request->keys) {
            return rub_fail(err, RUB_EPROTO, "a request without its keys");
        }
        rc = check_bounds(self, request, err);
    }
    if (!rc && head->op == RUB_IDEAL_PUSH) {
        apply(self, request);
    }
    if (rc) {
        return rc;
    }
    rc = head->op == RUB_IDEAL_PULL ? answer(self, request) : acknowledge(self, request);
    return rc ? rub_fail(err, RUB_EIO, "cannot answer: %s", zmq_strerror(errno)) : 0;
}

/* Frames of a few KiB lie in the middle of libzmq's buffer: keys and values are read in place. */
static int align(zmq_msg_t *frame)
{
    zmq_msg_t moved;
    if ((uintptr_t)zmq_msg_data(frame) % 8 == 0) {
        return 0;
    }
    if (zmq_msg_init_size(&moved, zmq_msg_size(frame)) != 0) {
        return -1;
    }
    memcpy(zmq_msg_data(&moved), zmq_msg_data(frame), zmq_msg_size(frame));
    return zmq_msg_move(frame, &moved);
}

/* Waits for a request. 0: it is there whole; else errno says why not. */
static int receive(server_t *self, request_t *request)
{
    request->n_frames = 0;
    (void)zmq_msg_init(&request->route);
    if (zmq_msg_recv(&request->route, self->socket, 0) < 0) {
        return -1;
    }
    bool more = zmq_msg_more(&request->route) != 0;
    while (more && request->n_frames < FRAMES_LIMIT) {
        zmq_msg_t *frame = &request->frames[request->n_frames++];
        (void)zmq_msg_init(frame);
        if (zmq_msg_recv(frame, self->socket, 0) < 0) {
            return -1;
        }
        more = zmq_msg_more(frame) != 0;
        if (request->n_frames > 1 && align(frame)) {
            return -1;
        }
    }
    errno = EPROTO;
    return request->n_frames > 0 && !more ? 0 : -1;
}

static int open_socket(server_t *self, const char *address, rub_error_t *err)
{
    self->context = zmq_ctx_new();
    self->socket = self->context ? rub_ideal_socket(self->context, ZMQ_ROUTER) : NULL;
    if (!self->socket) {
        return rub_fail(err, RUB_EIO, "cannot make a socket: %s", zmq_strerror(errno));
    }
    if (zmq_bind(self->socket, address) != 0) {
        const int code = errno == EADDRINUSE ? RUB_EBUSY : RUB_ECONFIG;
        return rub_fail(err, code, "cannot listen on '%s': %s", address, zmq_strerror(errno));
    }
    return 0;
}

int rub_ideal_serve(const char *address, rub_error_t *err)
{
    server_t self = {0};
    int rc = open_socket(&self, address, err);
    while (!rc && *rub_signals_count() == 0) {
        request_t request;
        if (receive(&self, &request) == 0) {
            rc = serve(&self, &request, err);
        } else if (errno != EINTR) {
            rc = rub_fail(err, RUB_EIO, "cannot receive: %s", zmq_strerror(errno));
        }
        (void)zmq_msg_close(&request.route);
        for (size_t i = 0; i < request.n_frames; i++) {
            (void)zmq_msg_close(&request.frames[i]);
        }
    }
    if (self.socket) {
        (void)zmq_close(self.socket);
    }
    if (self.context) {
        (void)zmq_ctx_term(self.context);
    }
    if (self.table) {
        rub_region_free(self.table, self.n_values * sizeof(float));
    }
    return rc;
}
