/* One DEALER socket, one msgpack frame per message.
 *
 * IMMEDIATE and a send timeout of 0: a message to nobody is dropped here instead of piling up and
 * reaching a restarted scheduler minutes late. Everything this link says is said again by its owner
 * until the status shows the effect. */
#include "cli/status_link.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <czmq.h>

#define RUB_ASK_AGAIN_MS 200

struct rub_status_link {
    zsock_t *socket;
    rub_arena_t arena;
    rub_control_t message; /* the last one in */
};

int rub_status_link_open(const char *address, rub_status_link_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_status_link_t *self = rub_calloc(1, sizeof *self);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a connection");
    }
    rub_arena_init(&self->arena);
    self->socket = zsock_new(ZMQ_DEALER);
    if (!self->socket) {
        rub_status_link_close(&self);
        return rub_fail(err, RUB_EIO, "no socket for '%s'", address);
    }
    zsock_set_immediate(self->socket, 1);
    zsock_set_sndtimeo(self->socket, 0);
    zsock_set_rcvtimeo(self->socket, 0);
    zsock_set_linger(self->socket, 200);
    zsock_set_reconnect_ivl(self->socket, 50);
    zsock_set_reconnect_ivl_max(self->socket, 250);
    zsock_set_maxmsgsize(self->socket, RUB_CONTROL_LIMIT);
    if (zsock_connect(self->socket, "%s", address) != 0) {
        rub_status_link_close(&self);
        return rub_fail(err, RUB_EINVAL, "'%s' is not an address to connect to", address);
    }
    *self_p = self;
    return 0;
}

void rub_status_link_close(rub_status_link_t **self_p)
{
    if (*self_p) {
        zsock_destroy(&(*self_p)->socket);
        rub_arena_fini(&(*self_p)->arena);
        rub_free(*self_p);
        *self_p = NULL;
    }
}

void *rub_status_link_socket(rub_status_link_t *self)
{
    return self->socket;
}

static void send_message(rub_status_link_t *self, const rub_control_t *message)
{
    rub_buf_t bytes;
    rub_buf_init(&bytes);
    if (rub_control_encode(message, &bytes, NULL) == 0) {
        zmq_send(zsock_resolve(self->socket), bytes.data, bytes.bytes, ZMQ_DONTWAIT);
    }
    rub_buf_fini(&bytes);
}

void rub_status_link_ask(rub_status_link_t *self, bool finish)
{
    send_message(self,
                 &(rub_control_t){.type = RUB_MSG_STATUS_ASK, .status_ask = {.finish = finish}});
}

void rub_status_link_dead(rub_status_link_t *self, const char *who)
{
    rub_control_t message = {.type = RUB_MSG_DEAD};
    snprintf(message.dead.who, sizeof message.dead.who, "%s", who);
    send_message(self, &message);
}

void rub_status_link_stop(rub_status_link_t *self, const char *why)
{
    rub_control_t message = {.type = RUB_MSG_STOP};
    snprintf(message.stop.why, sizeof message.stop.why, "%s", why);
    send_message(self, &message);
}

void rub_status_link_say(rub_status_link_t *self, const rub_control_t *message)
{
    send_message(self, message);
}

int rub_status_link_take(rub_status_link_t *self, const rub_control_t **message_p, rub_error_t *err)
{
    *message_p = NULL;
    zframe_t *frame = zframe_recv(self->socket);
    if (!frame) {
        return RUB_LINK_EMPTY;
    }
    rub_arena_reset(&self->arena);
    const int rc = rub_control_decode(zframe_data(frame), zframe_size(frame), &self->arena,
                                      &self->message, err);
    zframe_destroy(&frame);
    *message_p = rc == 0 ? &self->message : NULL;
    return rc;
}

int rub_status_link_next(rub_status_link_t *self, const rub_status_t **status_p, rub_error_t *err)
{
    const rub_control_t *message = NULL;
    *status_p = NULL;
    int rc = rub_status_link_take(self, &message, err);
    while (rc == 0 && message->type != RUB_MSG_STATUS) {
        rc = rub_status_link_take(self, &message, err);
    }
    *status_p = rc == 0 ? &message->status : NULL;
    return rc;
}

int rub_status_link_wait(rub_status_link_t *self, const char *address, uint32_t timeout_ms,
                         const rub_status_t **status_p, rub_error_t *err)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(self->socket), .events = ZMQ_POLLIN};
    const uint64_t deadline_ms = rub_now_ms() + timeout_ms;
    while (rub_now_ms() < deadline_ms) {
        if (*rub_signals_count() > 0) {
            return rub_fail(err, RUB_EINTR, "interrupted");
        }
        rub_status_link_ask(self, false);
        zmq_poll(&item, 1, RUB_ASK_AGAIN_MS);
        const int rc = rub_status_link_next(self, status_p, err);
        if (rc != RUB_LINK_EMPTY) {
            return rc;
        }
    }
    return rub_fail(err, RUB_EPEER, "no scheduler answers at %s within %u s", address,
                    timeout_ms / 1000);
}
