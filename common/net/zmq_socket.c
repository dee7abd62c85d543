/* libzmq behind a door. Why: its defaults drop silently, queue for nobody, take frames of any size
 * and never notice a dead peer; and its message type leaks into whoever includes it.
 *
 * Invariants: no call blocks but poll; a message is sent whole or not at all; what receive hands
 * out is whole, bounded (RUB_RECEIVED_PARTS parts, each at most RUB_MESSAGE_LIMIT and slack) and
 * 8-byte aligned, so that cores may read keys and values in place. libzmq's decoder points small
 * messages into the middle of its receive buffer; those are moved into memory of their own, which
 * costs one copy of at most 8 KiB.
 *
 * libzmq tells a socket's thread of news at a descriptor, once: whatever it is asked next uses that
 * up, with a system call or more, whether it was about messages or not. zmq_poll asks every socket
 * behind each of two polls. So a socket remembers that it had nothing when it was last asked
 * (is_drained): what comes then is said at the descriptor, and waiting is one system call for all.
 */
#include "common/net/zmq_socket_internal.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <zmq.h>

enum {
    HEARTBEAT_IVL_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 3000,
    HANDSHAKE_IVL_MS = 3000,
    RECONNECT_IVL_MS = 50,
    RECONNECT_IVL_MAX_MS = 250,
    CONNECT_TIMEOUT_MS = 3000,
    TAKES_NOTHING_MS = 10000,
    FRAME_SLACK = 64 * 1024,
    DROPS_PER_RECEIVE =
        64, /* a receive gives up after so many bad messages; the next poll comes back to them */
    ADDRESS_BYTES = 256
};

struct rub_net {
    void *context;
    bool borrowed;
};

_Static_assert(sizeof(zmq_msg_t) == sizeof(((rub_received_t *)NULL)->memory[0]),
               "rub_received_t keeps room for zmq_msg_t");

rub_net_t *rub_net_new(rub_error_t *err)
{
    rub_net_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        rub_fail(err, RUB_ENOMEM, "no memory for a network context");
        return NULL;
    }
    self->context = zmq_ctx_new();
    if (!self->context) {
        rub_fail(err, RUB_EIO, "cannot make a network context: %s", zmq_strerror(errno));
        rub_free(self);
        return NULL;
    }
    (void)zmq_ctx_set(self->context, ZMQ_IO_THREADS, 1);
    return self;
}

rub_net_t *rub_net_borrow(void *context, rub_error_t *err)
{
    rub_net_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        rub_fail(err, RUB_ENOMEM, "no memory for a network context");
        return NULL;
    }
    self->context = context;
    self->borrowed = true;
    return self;
}

void *rub_net_context(const rub_net_t *self)
{
    return self->context;
}

void rub_net_destroy(rub_net_t **self_p)
{
    rub_net_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    while (!self->borrowed && zmq_ctx_term(self->context) != 0 && errno == EINTR) {
    }
    rub_free(self);
}

static int set_option(void *handle, int option, int value)
{
    return zmq_setsockopt(handle, option, &value, sizeof(value));
}

static int set_options(void *handle, rub_socket_kind_t kind)
{
    const struct {
        int option, value;
    } options[] = {
        {ZMQ_LINGER, 0}, /* close sets the real one */
        {ZMQ_SNDHWM, 0},
        {ZMQ_RCVHWM, 0},
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_HEARTBEAT_IVL, HEARTBEAT_IVL_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_IVL_MS},
        {ZMQ_RECONNECT_IVL, RECONNECT_IVL_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_IVL_MAX_MS},
        {ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(options); i++) {
        if (set_option(handle, options[i].option, options[i].value) != 0) {
            return -1;
        }
    }
    const int64_t limit = (int64_t)RUB_MESSAGE_LIMIT + FRAME_SLACK;
    if (zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &limit, sizeof(limit)) != 0) {
        return -1;
    }
    /* Without it a ROUTER swallows what it cannot deliver; we want to know, even if only to drop
     * it. */
    if (kind == RUB_SOCKET_ROUTER && set_option(handle, ZMQ_ROUTER_MANDATORY, 1) != 0) {
        return -1;
    }
    /* A ping waits behind what the peer does not take, so heartbeats do not notice; TCP does. */
    return kind == RUB_SOCKET_ROUTER ? set_option(handle, ZMQ_TCP_MAXRT, TAKES_NOTHING_MS) : 0;
}

int rub_socket_open(rub_net_t *net, rub_socket_kind_t kind, rub_socket_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_socket_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a socket");
    }
    self->kind = kind;
    rub_unread_init(&self->unread);
    self->handle = zmq_socket(net->context, kind == RUB_SOCKET_ROUTER ? ZMQ_ROUTER : ZMQ_DEALER);
    size_t bytes = sizeof(self->news_fd);
    if (!self->handle || set_options(self->handle, kind) != 0 ||
        zmq_getsockopt(self->handle, ZMQ_FD, &self->news_fd, &bytes) != 0) {
        const int rc = rub_fail(err, RUB_EIO, "cannot make a socket: %s", zmq_strerror(errno));
        rub_socket_close(&self, 0);
        return rc;
    }
    *self_p = self;
    return 0;
}

void rub_socket_close(rub_socket_t **self_p, uint32_t linger_ms)
{
    rub_socket_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->handle) {
        (void)set_option(self->handle, ZMQ_LINGER, (int)linger_ms);
        (void)zmq_close(self->handle);
    }
    rub_unread_fini(&self->unread);
    rub_free(self);
}

void *rub_socket_handle(rub_socket_t *self)
{
    self->is_shared = true;
    return self->handle;
}

uint64_t rub_socket_dropped(const rub_socket_t *self)
{
    return self->dropped;
}

/* libzmq wants "*" where people write port 0. */
static int endpoint_of(const char *address, char out[ADDRESS_BYTES], rub_error_t *err)
{
    const size_t bytes = strlen(address);
    if (bytes + 2 > ADDRESS_BYTES) {
        return rub_fail(err, RUB_ECONFIG, "address of %zu bytes, at most %d", bytes,
                        ADDRESS_BYTES - 2);
    }
    memcpy(out, address, bytes + 1);
    if (bytes > 2 && strcmp(address + bytes - 2, ":0") == 0) {
        out[bytes - 1] = '*';
    }
    return 0;
}

/* Which of libzmq's refusals is the user's doing: a wrong or a taken address. */
static int address_code(int errno_value)
{
    switch (errno_value) {
    case EADDRINUSE:
        return RUB_EBUSY;
    case EADDRNOTAVAIL:
    case EACCES:
    case EINVAL:
    case ENODEV:
    case EPROTONOSUPPORT:
        return RUB_ECONFIG;
    default:
        return RUB_EIO;
    }
}

int rub_socket_bind(rub_socket_t *self, const char *address, char *actual, size_t actual_bytes,
                    rub_error_t *err)
{
    char endpoint[ADDRESS_BYTES];
    const int rc = endpoint_of(address, endpoint, err);
    if (rc) {
        return rc;
    }
    self->is_drained = false;
    if (zmq_bind(self->handle, endpoint) != 0) {
        const int failure = errno;
        return rub_fail(err, address_code(failure), "cannot listen on %s: %s", address,
                        zmq_strerror(failure));
    }
    if (actual) {
        size_t bytes = sizeof(endpoint);
        if (zmq_getsockopt(self->handle, ZMQ_LAST_ENDPOINT, endpoint, &bytes) != 0 ||
            bytes > actual_bytes) {
            return rub_fail(err, RUB_EIO, "cannot tell where %s listens", address);
        }
        memcpy(actual, endpoint, bytes);
    }
    return 0;
}

int rub_socket_connect(rub_socket_t *self, const char *address, rub_error_t *err)
{
    self->is_drained = false;
    if (zmq_connect(self->handle, address) != 0) {
        const int failure = errno;
        return rub_fail(err, address_code(failure), "cannot connect to %s: %s", address,
                        zmq_strerror(failure));
    }
    return 0;
}

/* ZMQ_POLLIN, ZMQ_POLLOUT; 0 also for a socket whose context is over. */
static int events_of(rub_socket_t *self)
{
    int events = 0;
    size_t bytes = sizeof(events);
    const int rc = zmq_getsockopt(self->handle, ZMQ_EVENTS, &events, &bytes);
    self->is_drained = rc == 0 && (events & ZMQ_POLLIN) == 0;
    return rc == 0 ? events : 0;
}

bool rub_socket_connected(rub_socket_t *self)
{
    return (events_of(self) & ZMQ_POLLOUT) != 0;
}

static zmq_msg_t *part_message(rub_received_t *self, size_t i)
{
    return (zmq_msg_t *)(void *)self->memory[i];
}

void rub_received_release(rub_received_t *self)
{
    for (size_t i = 0; i < self->n_parts; i++) {
        (void)zmq_msg_close(part_message(self, i));
    }
    self->n_parts = 0;
}

/* 0, RUB_SOCKET_EMPTY. */
static int receive_part(rub_socket_t *self, zmq_msg_t *message)
{
    self->is_drained = false;
    (void)zmq_msg_init(message);
    while (zmq_msg_recv(message, self->handle, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            self->is_drained = errno == EAGAIN;
            (void)zmq_msg_close(message);
            return RUB_SOCKET_EMPTY;
        }
    }
    return 0;
}

/* Drops what is left of a message: all its parts are here, since libzmq hands out whole messages
 * only. */
static void drain(rub_socket_t *self, bool more)
{
    while (more) {
        zmq_msg_t message;
        if (receive_part(self, &message) != 0) {
            return;
        }
        more = zmq_msg_more(&message) != 0;
        (void)zmq_msg_close(&message);
    }
}

static int align_part(zmq_msg_t *message)
{
    const void *data = zmq_msg_data(message);
    if ((uintptr_t)data % 8 == 0) {
        return 0;
    }
    const size_t bytes = zmq_msg_size(message);
    zmq_msg_t moved;
    if (zmq_msg_init_size(&moved, bytes) != 0) {
        return RUB_ENOMEM;
    }
    memcpy(zmq_msg_data(&moved), data, bytes);
    (void)zmq_msg_close(message);
    memcpy(message, &moved, sizeof(moved));
    return 0;
}

/* Reads the routing id. more_p: whether parts follow. 0, RUB_SOCKET_EMPTY, RUB_SOCKET_DROPPED (bad
 * id). */
static int receive_route(rub_socket_t *self, uint64_t *peer_p, bool *more_p)
{
    zmq_msg_t message;
    if (receive_part(self, &message) != 0) {
        return RUB_SOCKET_EMPTY;
    }
    const uint8_t *id = zmq_msg_data(&message);
    *more_p = zmq_msg_more(&message) != 0;
    const bool ours = zmq_msg_size(&message) == RUB_ROUTING_ID_BYTES && id[0] == 0 && *more_p;
    *peer_p = ours ? rub_get_u32(id + 1) : 0;
    (void)zmq_msg_close(&message);
    return ours ? 0 : RUB_SOCKET_DROPPED;
}

/* One message: 0, RUB_SOCKET_EMPTY, RUB_SOCKET_DROPPED (it was bad and is gone), RUB_ENOMEM. */
static int receive_one(rub_socket_t *self, rub_received_t *received)
{
    received->n_parts = 0;
    received->peer = 0;
    bool more = true;
    int rc = 0;
    if (self->kind == RUB_SOCKET_ROUTER) {
        rc = receive_route(self, &received->peer, &more);
        if (rc) {
            drain(self, rc == RUB_SOCKET_DROPPED && more);
            return rc;
        }
    }
    do {
        zmq_msg_t *message = part_message(received, received->n_parts);
        rc = receive_part(self, message);
        if (rc) {
            break;
        }
        received->n_parts++;
        more = zmq_msg_more(message) != 0;
        rc = align_part(message);
        received->parts[received->n_parts - 1] =
            (rub_span_t){zmq_msg_data(message), zmq_msg_size(message)};
    } while (!rc && more && received->n_parts < RUB_RECEIVED_PARTS);
    if (!rc && more) {
        rc = RUB_SOCKET_DROPPED;
    }
    if (rc) {
        drain(self, more && rc != RUB_SOCKET_EMPTY);
        rub_received_release(received);
    }
    return rc;
}

int rub_socket_receive(rub_socket_t *self, rub_received_t *received)
{
    for (int i = 0; i < DROPS_PER_RECEIVE; i++) {
        const int rc = receive_one(self, received);
        if (rc != RUB_SOCKET_DROPPED) {
            return rc;
        }
        self->dropped++;
    }
    return RUB_SOCKET_EMPTY;
}

/* Whether a message is there that no descriptor need say. */
static bool holds_message(rub_socket_t *self)
{
    const bool is_known = self->is_drained && !self->is_shared;
    return !is_known && (events_of(self) & ZMQ_POLLIN) != 0;
}

int rub_socket_poll(rub_poll_t *items, size_t n_items, uint64_t timeout_ms)
{
    RUB_ASSERT(n_items <= RUB_POLL_LIMIT);
    struct pollfd native[RUB_POLL_LIMIT];
    int n = 0;
    for (size_t i = 0; i < n_items; i++) {
        rub_socket_t *socket = items[i].socket;
        native[i] = (struct pollfd){.fd = socket ? socket->news_fd : items[i].fd, .events = POLLIN};
        items[i].readable = socket && holds_message(socket);
        n += items[i].readable;
    }
    const int most_ms = (int)(timeout_ms < 86400000 ? timeout_ms : 86400000);
    if (poll(native, (nfds_t)n_items, n > 0 ? 0 : most_ms) <= 0) {
        return n;
    }
    for (size_t i = 0; i < n_items; i++) {
        rub_socket_t *socket = items[i].socket;
        if (native[i].revents != 0 && !items[i].readable) {
            items[i].readable = !socket || (events_of(socket) & ZMQ_POLLIN) != 0;
            n += items[i].readable;
        }
    }
    return n;
}
