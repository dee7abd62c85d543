/* The words that the ideal server and its clients speak. Both are the same program on the same
 * machine: structs travel as they lie. A request is [head][keys][values], or one frame when it is
 * small; its answer is [head] or [head][values]. Private to zmq_bench_*.c. */
#ifndef RUB_ZMQ_BENCH_WIRE_H
#define RUB_ZMQ_BENCH_WIRE_H

#include <stdint.h>
#include <zmq.h>

typedef enum {
    RUB_IDEAL_TABLE = 1, /* first: values of the table, n: width of its rows; answered */
    RUB_IDEAL_PUSH = 2,  /* answered */
    RUB_IDEAL_PULL = 3,  /* answered with values */
    RUB_IDEAL_RAW = 4,   /* not answered */
    RUB_IDEAL_COUNT = 5  /* answered: all raw ones before it are here */
} rub_ideal_op_t;

typedef struct rub_ideal_head {
    uint32_t op;
    uint32_t by_keys; /* n keys; else the range [first, first + n) */
    uint64_t first;
    uint64_t n;
    uint64_t id; /* comes back in the answer */
} rub_ideal_head_t;

#define RUB_IDEAL_INLINE_BYTES 4096u /* of keys and values that travel behind the head */
#define RUB_IDEAL_CACHE_BYTES (UINT64_C(32) << 20) /* larger tables are prefetched */

/* Every option of the sockets that is not libzmq's default: no limit on queued messages. */
static inline void *rub_ideal_socket(void *context, int type)
{
    void *socket = zmq_socket(context, type);
    const int none = 0;
    if (socket && (zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
                   zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none)) != 0 ||
                   zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)) != 0)) {
        (void)zmq_close(socket);
        return NULL;
    }
    return socket;
}

#endif
