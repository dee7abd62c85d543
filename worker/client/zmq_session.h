/* The sockets of one session: a DEALER per shard and one to the scheduler. Carries out the client
 * core's effects and feeds it what arrives. Nothing here decides anything.
 *
 * A connection takes time, and nothing is queued for a peer that is not connected: a HELLO or a
 * control message that finds no connection is kept and sent when there is one; other data messages
 * are dropped, because a new connection begins with HELLO and the core sends the rest again.
 *
 * One thread owns it: the session's. */
#ifndef RUB_ZMQ_SESSION_H
#define RUB_ZMQ_SESSION_H

#include "common/net/zmq_socket.h"
#include "worker/client/client.h"
#include "worker/client/session_lane.h"

typedef struct rub_zmq_session rub_zmq_session_t;

/* Opens the socket to the scheduler. Borrows net. lanes: whether values may go through shared
 * memory, and how much pushes of it. RUB_ECONFIG: malformed address; RUB_ENOMEM, RUB_EIO. */
int rub_zmq_session_open(rub_net_t *net, const char *scheduler, const rub_session_lanes_t *lanes,
                         rub_zmq_session_t **self_p, rub_error_t *err);
/* linger_ms: for what was said to the scheduler last. NULL is fine. */
void rub_zmq_session_close(rub_zmq_session_t **self_p, uint32_t linger_ms);

/* The core's effects. */
void rub_zmq_session_connect(rub_zmq_session_t *self, uint32_t shard, const char *address);
void rub_zmq_session_send(rub_zmq_session_t *self, uint32_t shard,
                          rub_packet_t *packet); /* takes */
/* In a slot of the lane; NULL: there is none, or none is free. */
rub_packet_t *rub_zmq_session_packet(rub_zmq_session_t *self, uint32_t shard,
                                     const rub_header_t *header, size_t keys_bytes);
size_t rub_zmq_session_flight(const rub_zmq_session_t *self, uint32_t shard);
void rub_zmq_session_control(rub_zmq_session_t *self, const rub_control_t *message);

/* Gives the core what has arrived, a bounded number of messages; does not block. Returns how many
 * there were. What cannot be read is dropped: a peer cannot harm its client. */
size_t rub_zmq_session_receive(rub_zmq_session_t *self, rub_client_t *client, uint64_t now_ms);
/* Waits until something arrives, at most timeout_ms, or until a signal comes. */
void rub_zmq_session_wait(rub_zmq_session_t *self, uint64_t timeout_ms);

/* How it stands with the lane to that shard; NULL: nothing is connected there. Borrowed until the
 * next call. */
const rub_session_lane_t *rub_zmq_session_lane(const rub_zmq_session_t *self, uint32_t shard);

#endif
