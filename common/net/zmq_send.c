/* Sending through libzmq: packets without a copy of their values, small messages with one. What a
 * ROUTER has not sent yet is counted by peer (common/net/unread.h), as libzmq lets go of it. */
#include "common/net/zmq_socket_internal.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <zmq.h>

/* Sends one part; takes the message. more: further parts follow. */
static int send_part(rub_socket_t *self, zmq_msg_t *message, bool more)
{
    self->is_drained = false;
    for (;;) {
        if (zmq_msg_send(message, self->handle, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0) {
            self->in_message = more;
            return 0;
        }
        if (errno != EINTR) {
            break;
        }
    }
    const bool memory = errno == ENOMEM;
    (void)zmq_msg_close(message);
    return memory ? RUB_ENOMEM : RUB_SOCKET_DROPPED;
}

static int send_copy(rub_socket_t *self, const void *data, size_t bytes, bool more)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, bytes) != 0) {
        return RUB_ENOMEM;
    }
    if (bytes > 0) {
        memcpy(zmq_msg_data(&message), data, bytes);
    }
    return send_part(self, &message, more);
}

/* A message that memory cut short ends here, unreadable to the peer: left open, it would swallow
 * the next one, route and all. An empty part takes no memory. */
static int end_message(rub_socket_t *self, int rc)
{
    if (rc && self->in_message) {
        (void)zmq_send(self->handle, "", 0, ZMQ_DONTWAIT);
        self->in_message = false;
    }
    return rc;
}

/* The frame that tells a ROUTER where to; a DEALER has none. After it has gone out, the other parts
 * go the same way. */
static int send_route(rub_socket_t *self, uint64_t peer)
{
    if (self->kind != RUB_SOCKET_ROUTER) {
        return 0;
    }
    uint8_t id[RUB_ROUTING_ID_BYTES] = {0};
    rub_put_u32(id + 1, (uint32_t)peer);
    return send_copy(self, id, sizeof(id), true);
}

static void release_packet(void *data, void *hint)
{
    RUB_UNUSED(data);
    rub_packet_t *packet = hint;
    rub_packet_unref(&packet);
}

/* A packet whose leaving the pipe is news (common/net/unread.h). The mark is written last and read
 * first: what the socket's thread wrote is then there for libzmq's, whatever its pipe promises. */
typedef struct marked {
    rub_packet_t *packet;
    _Atomic(rub_unread_mark_t *) mark;
} marked_t;

static void release_marked(void *data, void *hint)
{
    RUB_UNUSED(data);
    marked_t *marked = hint;
    rub_unread_mark_t *mark = atomic_load_explicit(&marked->mark, memory_order_acquire);
    rub_unread_release(&mark);
    rub_packet_unref(&marked->packet);
    rub_free(marked);
}

static int send_borrowed(rub_socket_t *self, rub_packet_t *packet, const void *data, size_t bytes,
                         bool more)
{
    zmq_msg_t message;
    /* libzmq takes a pointer to non-const, and does not write through it. */
    void *writable = (void *)(uintptr_t)data;
    if (zmq_msg_init_data(&message, writable, bytes, release_packet, rub_packet_ref(packet)) != 0) {
        rub_packet_unref(&packet);
        return RUB_ENOMEM;
    }
    return send_part(self, &message, more);
}

/* The last part of a message. account: whom it is charged to; NULL: nobody. */
static int send_last(rub_socket_t *self, rub_packet_t *packet, rub_span_t part,
                     rub_unread_peer_t *account)
{
    marked_t *marked = account ? rub_alloc(sizeof(*marked)) : NULL;
    rub_unread_mark_t *mark = marked ? rub_unread_mark(account) : NULL;
    if (!mark) {
        rub_free(marked);
        return send_borrowed(self, packet, part.data, part.bytes, false);
    }
    zmq_msg_t message;
    void *writable = (void *)(uintptr_t)part.data;
    marked->packet = rub_packet_ref(packet);
    atomic_store_explicit(&marked->mark, mark, memory_order_release);
    if (zmq_msg_init_data(&message, writable, part.bytes, release_marked, marked) != 0) {
        release_marked(NULL, marked);
        return RUB_ENOMEM;
    }
    return send_part(self, &message, false);
}

static int send_three(rub_socket_t *self, rub_packet_t *packet, rub_unread_peer_t *account)
{
    rub_span_t parts[3];
    const rub_frame_t frame = rub_packet_frame(packet);
    (void)rub_packet_parts(packet, parts);
    int rc = send_copy(self, parts[0].data, RUB_HEADER_BYTES, true);
    /* Keys of a range are 16 bytes: cheaper to copy than to count. */
    if (!rc && frame.keys_bytes <= 64) {
        rc = send_copy(self, frame.keys, frame.keys_bytes, true);
    } else if (!rc) {
        rc = send_borrowed(self, packet, frame.keys, frame.keys_bytes, true);
    }
    const rub_span_t values = {frame.values, frame.values_bytes};
    return rc ? rc : send_last(self, packet, values, account);
}

int rub_socket_send(rub_socket_t *self, uint64_t peer, rub_packet_t *packet)
{
    rub_span_t parts[3];
    const size_t n_parts = rub_packet_parts(packet, parts);
    int rc = send_route(self, peer);
    rub_unread_peer_t *account = NULL;
    if (!rc && self->kind == RUB_SOCKET_ROUTER) {
        account = rub_unread_charge(&self->unread, peer, rub_packet_size(packet));
    } else if (rc == RUB_SOCKET_DROPPED) {
        rub_unread_forget(&self->unread, peer);
    }
    if (!rc && (n_parts > 1 || parts[0].bytes > RUB_INLINE_LIMIT)) {
        rc = send_three(self, packet, account);
    } else if (!rc && account && rub_unread_is_due(account)) {
        rc = send_last(self, packet, parts[0], account);
    } else if (!rc) {
        rc = send_copy(self, parts[0].data, parts[0].bytes, false);
    }
    rub_packet_unref(&packet);
    return end_message(self, rc);
}

uint64_t rub_socket_unread(const rub_socket_t *self, uint64_t peer)
{
    return rub_unread_bytes(&self->unread, peer);
}

/* A copy whose leaving the pipe is news. */
typedef struct copied {
    _Atomic(rub_unread_mark_t *) mark;
    uint8_t bytes[];
} copied_t;

static void release_copied(void *data, void *hint)
{
    RUB_UNUSED(data);
    copied_t *copied = hint;
    rub_unread_mark_t *mark = atomic_load_explicit(&copied->mark, memory_order_acquire);
    rub_unread_release(&mark);
    rub_free(copied);
}

static int send_copied(rub_socket_t *self, const void *data, size_t bytes,
                       rub_unread_peer_t *account)
{
    copied_t *copied = rub_alloc(sizeof(*copied) + bytes);
    rub_unread_mark_t *mark = copied ? rub_unread_mark(account) : NULL;
    if (!mark) {
        rub_free(copied);
        return send_copy(self, data, bytes, false);
    }
    zmq_msg_t message;
    memcpy(copied->bytes, data, bytes);
    atomic_store_explicit(&copied->mark, mark, memory_order_release);
    if (zmq_msg_init_data(&message, copied->bytes, bytes, release_copied, copied) != 0) {
        release_copied(NULL, copied);
        return RUB_ENOMEM;
    }
    return send_part(self, &message, false);
}

int rub_socket_send_bytes(rub_socket_t *self, uint64_t peer, const void *data, size_t bytes)
{
    int rc = send_route(self, peer);
    rub_unread_peer_t *account = NULL;
    if (!rc && self->kind == RUB_SOCKET_ROUTER) {
        account = rub_unread_charge(&self->unread, peer, bytes);
    } else if (rc == RUB_SOCKET_DROPPED) {
        rub_unread_forget(&self->unread, peer);
    }
    if (!rc && account && bytes > 0 && rub_unread_is_due(account)) {
        rc = send_copied(self, data, bytes, account);
    } else if (!rc) {
        rc = send_copy(self, data, bytes, false);
    }
    return end_message(self, rc);
}
