/* A socket, as its opening and receiving (zmq_socket.c) and its sending (zmq_send.c) share it.
 *
 * A ROUTER names its connections by five bytes, a zero and a counter; the counter is our peer
 * number. */
#ifndef RUB_ZMQ_SOCKET_INTERNAL_H
#define RUB_ZMQ_SOCKET_INTERNAL_H

#include "common/net/unread.h"
#include "common/net/zmq_socket.h"

#define RUB_ROUTING_ID_BYTES 5u

struct rub_socket {
    void *handle;
    rub_socket_kind_t kind;
    uint64_t dropped;
    int news_fd;         /* readable when libzmq has something to tell the socket's thread */
    bool is_drained;     /* nothing was there when libzmq was last asked for anything */
    bool is_shared;      /* others ask, too, over its handle */
    bool in_message;     /* a part has gone that promised another */
    rub_unread_t unread; /* of a ROUTER */
};

#endif
