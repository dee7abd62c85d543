/* Sockets for the client core. A reconnection is a new socket: what lay in the old one's pipes is
 * of a connection that the core has given up, and a late frame of it must not be taken for one of
 * the new. Messages are handled in bounded rounds over all sockets, so that a fast shard cannot
 * starve the timers or the other shards. */
#include "worker/client/zmq_session.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/wire/grant.h"

#include <sched.h>
#include <string.h>

enum {
    ROUND_MESSAGES = 64, /* per socket and round */
    KEPT_LIMIT = 32,   /* control messages kept for a connection; all of them are repeated anyway */
    LOOK_OUT_US = 120, /* for post boxes */
    CONNECTING_MS = 5, /* how soon to look again while something waits for a connection */
    MANY_SOCKETS_MS = 5 /* the same when there are more sockets than one poll takes */
};

typedef struct rub_shard_socket {
    rub_socket_t *socket; /* NULL: no address yet */
    rub_packet_t *hello;  /* waits for the connection */
    uint32_t n_connects;  /* so often it was another connection */
    bool is_in_process;   /* the shard is a thread of this process */
    rub_session_lane_t lane;
} rub_shard_socket_t;

struct rub_zmq_session {
    rub_net_t *net;
    rub_session_lanes_t lanes;
    rub_socket_t *scheduler;
    rub_shard_socket_t *shards;
    size_t n_shards, shard_capacity;
    rub_buf_t kept[KEPT_LIMIT];
    size_t n_kept;
    rub_buf_t encoded;
    rub_arena_t decoded;
    /* The scheduler says little: its socket is looked at once in a millisecond, and when it is what
     * ended a wait. */
    uint64_t controlled_ms;
    bool has_control;
};

int rub_zmq_session_open(rub_net_t *net, const char *scheduler, const rub_session_lanes_t *lanes,
                         rub_zmq_session_t **self_p, rub_error_t *err)
{
    rub_zmq_session_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "session: memory is short");
    }
    self->net = net;
    self->lanes = *lanes;
    rub_buf_init(&self->encoded);
    rub_arena_init(&self->decoded);
    int rc = rub_socket_open(net, RUB_SOCKET_DEALER, &self->scheduler, err);
    if (!rc) {
        rc = rub_socket_connect(self->scheduler, scheduler, err);
    }
    if (rc) {
        rub_zmq_session_close(&self, 0);
        return rc;
    }
    *self_p = self;
    return 0;
}

void rub_zmq_session_close(rub_zmq_session_t **self_p, uint32_t linger_ms)
{
    rub_zmq_session_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t i = 0; i < self->n_shards; i++) {
        rub_socket_close(&self->shards[i].socket, 0);
        rub_packet_unref(&self->shards[i].hello);
        rub_session_lane_end(&self->shards[i].lane);
    }
    for (size_t i = 0; i < self->n_kept; i++) {
        rub_buf_fini(&self->kept[i]);
    }
    rub_socket_close(&self->scheduler, linger_ms);
    rub_free(self->shards);
    rub_buf_fini(&self->encoded);
    rub_arena_fini(&self->decoded);
    rub_free(self);
}

void rub_zmq_session_connect(rub_zmq_session_t *self, uint32_t shard, const char *address)
{
    if (rub_grow(&self->shards, &self->shard_capacity, (size_t)shard + 1, sizeof(*self->shards))) {
        return; /* the core says HELLO into the void and names this shard as silent */
    }
    while (self->n_shards <= shard) {
        self->shards[self->n_shards++] = (rub_shard_socket_t){0};
    }
    rub_shard_socket_t *it = &self->shards[shard];
    it->n_connects++;
    it->is_in_process = rub_address_is_in_process(address);
    rub_packet_unref(&it->hello);
    rub_session_lane_end(&it->lane);
    rub_socket_close(&it->socket, 0);
    if (rub_socket_open(self->net, RUB_SOCKET_DEALER, &it->socket, NULL) == 0 &&
        rub_socket_connect(it->socket, address, NULL) != 0) {
        rub_socket_close(&it->socket, 0);
    }
}

static rub_shard_socket_t *find_shard(const rub_zmq_session_t *self, uint32_t shard)
{
    return shard < self->n_shards ? &self->shards[shard] : NULL;
}

/* Small bytes: through the shard's post box, or the connection. */
static void send_small(const rub_shard_socket_t *it, const void *bytes, size_t n_bytes)
{
    const rub_header_t header = {.type = RUB_MSG_KNOCK};
    uint8_t knock[RUB_HEADER_BYTES];
    bool must_knock = false;
    if (rub_session_lane_put(&it->lane, bytes, n_bytes, &must_knock)) {
        if (!must_knock) {
            return;
        }
        rub_header_write(&header, knock);
        bytes = knock;
        n_bytes = sizeof(knock);
    }
    if (rub_socket_send_bytes(it->socket, 0, bytes, n_bytes) == 0) {
        rub_session_lane_sent(&it->lane);
    }
}

/* HELLO ends the lane, goes through the connection, and is kept when there is none. */
static void send_hello(rub_shard_socket_t *it, rub_packet_t *hello)
{
    rub_session_lane_end(&it->lane);
    rub_packet_unref(&it->hello);
    if (rub_socket_send(it->socket, 0, rub_packet_ref(hello)) == RUB_SOCKET_DROPPED) {
        it->hello = rub_packet_ref(hello);
    }
}

void rub_zmq_session_send(rub_zmq_session_t *self, uint32_t shard, rub_packet_t *packet)
{
    uint8_t slot[RUB_SLOT_MESSAGE_BYTES];
    rub_shard_socket_t *it = find_shard(self, shard);
    rub_span_t parts[3];
    const size_t n_parts = rub_packet_parts(packet, parts);
    if (!it || !it->socket) {
        rub_packet_unref(&packet);
        return;
    }
    if (rub_packet_header(packet)->type == RUB_MSG_HELLO) {
        send_hello(it, packet);
    } else if (rub_session_lane_write(&it->lane, packet, slot)) {
        send_small(it, slot, sizeof(slot));
    } else if (n_parts == 1 && parts[0].bytes <= RUB_POST_MOST) {
        send_small(it, parts[0].data, parts[0].bytes);
    } else if (rub_socket_send(it->socket, 0, rub_packet_ref(packet)) == 0) {
        rub_session_lane_sent(&it->lane);
    }
    rub_packet_unref(&packet);
}

rub_packet_t *rub_zmq_session_packet(rub_zmq_session_t *self, uint32_t shard,
                                     const rub_header_t *header, size_t keys_bytes)
{
    const rub_shard_socket_t *it = find_shard(self, shard);
    return it ? rub_session_lane_packet(&it->lane, header, keys_bytes) : NULL;
}

size_t rub_zmq_session_flight(const rub_zmq_session_t *self, uint32_t shard)
{
    const rub_shard_socket_t *it = find_shard(self, shard);
    return it ? rub_session_lane_flight(&it->lane) : SIZE_MAX;
}

const rub_session_lane_t *rub_zmq_session_lane(const rub_zmq_session_t *self, uint32_t shard)
{
    const rub_shard_socket_t *it = find_shard(self, shard);
    return it ? &it->lane : NULL;
}

void rub_zmq_session_control(rub_zmq_session_t *self, const rub_control_t *message)
{
    rub_buf_reset(&self->encoded);
    if (rub_control_encode(message, &self->encoded, NULL)) {
        return;
    }
    const int rc =
        rub_socket_send_bytes(self->scheduler, 0, self->encoded.data, self->encoded.bytes);
    if (rc == RUB_SOCKET_DROPPED && self->n_kept < KEPT_LIMIT) {
        self->kept[self->n_kept++] = self->encoded;
        rub_buf_init(&self->encoded);
    }
}

/* Sends what waited for connections. True while something still waits. */
static bool send_kept(rub_zmq_session_t *self)
{
    bool waits = false;
    if (self->n_kept > 0 && rub_socket_connected(self->scheduler)) {
        for (size_t i = 0; i < self->n_kept; i++) {
            rub_socket_send_bytes(self->scheduler, 0, self->kept[i].data, self->kept[i].bytes);
            rub_buf_fini(&self->kept[i]);
        }
        self->n_kept = 0;
    }
    waits = self->n_kept > 0;
    for (size_t i = 0; i < self->n_shards; i++) {
        rub_shard_socket_t *it = &self->shards[i];
        if (it->hello && rub_socket_connected(it->socket)) {
            rub_packet_t *hello = it->hello;
            it->hello = NULL;
            rub_zmq_session_send(self, (uint32_t)i, hello);
        }
        waits = waits || it->hello;
    }
    return waits;
}

/* What shard and session agree on without the core. */
static bool is_of_lane(rub_zmq_session_t *self, uint32_t shard, const rub_frame_t *frame)
{
    rub_shard_socket_t *it = &self->shards[shard];
    if (frame->header.type == RUB_MSG_HOST) {
        rub_packet_t *lane = rub_session_lane_host(&it->lane, &self->lanes, frame);
        if (lane) {
            (void)rub_socket_send(it->socket, 0, lane);
        }
        return true;
    }
    if (frame->header.type == RUB_MSG_LANE_ANSWER) {
        rub_session_lane_answer(&it->lane, frame);
        return true;
    }
    return frame->header.type == RUB_MSG_KNOCK;
}

/* One message to the core. What can not be read is dropped. */
static void take_data(rub_zmq_session_t *self, uint32_t shard, const rub_span_t *parts,
                      size_t n_parts, rub_client_t *client, uint64_t now_ms)
{
    rub_frame_t frame;
    uint32_t slot = 0;
    if (!rub_slot_is_meant(parts, n_parts)) {
        const int rc = self->shards[shard].is_in_process
                           ? rub_frame_read_in_process(parts, n_parts, &frame, NULL)
                           : rub_frame_read(parts, n_parts, &frame, NULL);
        if (rc == 0 && !is_of_lane(self, shard, &frame)) {
            rub_client_receive(client, shard, &frame, now_ms);
        }
        return;
    }
    /* Held, for the core may say HELLO meanwhile. */
    rub_lane_t *lane = rub_session_lane_read(&self->shards[shard].lane, &parts[0], &slot, &frame);
    if (lane) {
        rub_client_receive(client, shard, &frame, now_ms);
        rub_lane_done(lane, slot);
        rub_lane_close(&lane);
    }
}

/* The next message out of the box of that shard. The core may end the lane while it handles one, so
 * the box is looked up each time. */
static bool take_post(rub_zmq_session_t *self, uint32_t shard, rub_client_t *client,
                      uint64_t now_ms)
{
    _Alignas(16) uint8_t bytes[RUB_POST_MOST];
    rub_post_t *box = rub_session_lane_box(&self->shards[shard].lane);
    const rub_span_t part = {bytes, box ? rub_post_take(box, bytes) : 0};
    if (part.bytes > 0) {
        take_data(self, shard, &part, 1, client, now_ms);
    }
    return part.bytes > 0;
}

/* What came through the connection, behind all that is older in the box. With the lane the box
 * ends, with the connection what came through it counts no more. */
static void take_received(rub_zmq_session_t *self, uint32_t shard, const rub_received_t *received,
                          rub_client_t *client, uint64_t now_ms)
{
    const uint32_t n_connects = self->shards[shard].n_connects;
    const rub_lane_t *lane = self->shards[shard].lane.lane;
    rub_post_t *box = rub_session_lane_box(&self->shards[shard].lane);
    const uint32_t mark = box ? rub_post_mark(box) : 0;
    while (box && !rub_post_reached(box, mark) && take_post(self, shard, client, now_ms)) {
        const rub_session_lane_t *now = &self->shards[shard].lane; /* shards may have moved */
        box = now->lane == lane ? rub_session_lane_box(now) : NULL;
    }
    if (box) {
        box->through++;
    }
    if (self->shards[shard].n_connects == n_connects) {
        take_data(self, shard, received->parts, received->n_parts, client, now_ms);
    }
}

static size_t receive_data(rub_zmq_session_t *self, uint32_t shard, rub_client_t *client,
                           uint64_t now_ms)
{
    size_t n = 0;
    rub_received_t received;
    for (; n < ROUND_MESSAGES; n++) {
        if (take_post(self, shard, client, now_ms)) {
            continue;
        }
        /* The core may connect anew while it handles a message: the socket is looked up each time.
         */
        rub_socket_t *socket = self->shards[shard].socket;
        if (!socket || rub_socket_receive(socket, &received) != 0) {
            break;
        }
        take_received(self, shard, &received, client, now_ms);
        rub_received_release(&received);
    }
    return n;
}

static size_t receive_control(rub_zmq_session_t *self, rub_client_t *client, uint64_t now_ms)
{
    size_t n = 0;
    rub_received_t received;
    while (n < ROUND_MESSAGES && rub_socket_receive(self->scheduler, &received) == 0) {
        rub_control_t message;
        rub_arena_reset(&self->decoded);
        if (received.n_parts == 1 &&
            rub_control_decode(received.parts[0].data, received.parts[0].bytes, &self->decoded,
                               &message, NULL) == 0) {
            rub_client_control(client, &message, now_ms);
        }
        rub_received_release(&received);
        n++;
    }
    return n;
}

size_t rub_zmq_session_receive(rub_zmq_session_t *self, rub_client_t *client, uint64_t now_ms)
{
    const bool looks = self->has_control || now_ms != self->controlled_ms;
    size_t n = looks ? receive_control(self, client, now_ms) : 0;
    self->controlled_ms = now_ms;
    self->has_control = false;
    for (uint32_t i = 0; i < self->n_shards; i++) {
        n += receive_data(self, i, client, now_ms);
    }
    return n;
}

/* ---- waiting ---- */

static bool has_posts(const rub_zmq_session_t *self)
{
    for (size_t i = 0; i < self->n_shards; i++) {
        const rub_post_t *box = rub_session_lane_box(&self->shards[i].lane);
        if (box && rub_post_has(box)) {
            return true;
        }
    }
    return false;
}

static void rise(const rub_zmq_session_t *self)
{
    for (size_t i = 0; i < self->n_shards; i++) {
        rub_post_t *box = rub_session_lane_box(&self->shards[i].lane);
        if (box) {
            rub_post_rise(box);
        }
    }
}

static bool has_boxes(const rub_zmq_session_t *self)
{
    for (size_t i = 0; i < self->n_shards; i++) {
        if (rub_session_lane_box(&self->shards[i].lane)) {
            return true;
        }
    }
    return false;
}

/* Whoever puts something into a box knocks from now on; false: something is there already. A shard
 * that is at work answers within a turn, sooner than the way through the sockets and its three
 * wake-ups takes: so long the session looks before it sleeps, and lets others run meanwhile. */
static bool go_to_sleep(const rub_zmq_session_t *self)
{
    const uint64_t begun_us = has_boxes(self) ? rub_now_us() : 0;
    while (begun_us && !has_posts(self) && rub_now_us() - begun_us < LOOK_OUT_US) {
        (void)sched_yield();
    }
    for (size_t i = 0; i < self->n_shards; i++) {
        rub_post_t *box = rub_session_lane_box(&self->shards[i].lane);
        if (box && !rub_post_sleep(box)) {
            rise(self);
            return false;
        }
    }
    return true;
}

void rub_zmq_session_wait(rub_zmq_session_t *self, uint64_t timeout_ms)
{
    rub_poll_t items[RUB_POLL_LIMIT] = {{.socket = self->scheduler}};
    size_t n = 1;
    bool all = true;
    for (size_t i = 0; i < self->n_shards; i++) {
        if (self->shards[i].socket && n < RUB_POLL_LIMIT) {
            items[n++] = (rub_poll_t){.socket = self->shards[i].socket};
        } else {
            all = all && !self->shards[i].socket;
        }
    }
    if (send_kept(self) && timeout_ms > CONNECTING_MS) {
        timeout_ms = CONNECTING_MS;
    }
    if (!all && timeout_ms > MANY_SOCKETS_MS) {
        timeout_ms = MANY_SOCKETS_MS;
    }
    if (go_to_sleep(self)) {
        rub_socket_poll(items, n, timeout_ms);
        self->has_control = items[0].readable;
        rise(self);
    }
}
