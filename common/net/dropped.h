/* Messages that a ROUTER drops as they come (rub_socket_dropped) are said in its owner's log. Whose
 * they were is not known: there is no number for a peer that chose one. One thread: the socket's.
 */
#ifndef RUB_DROPPED_H
#define RUB_DROPPED_H

#include "common/base/log.h"
#include "common/net/zmq_socket.h"

typedef struct rub_dropped {
    uint64_t told; /* messages */
    uint64_t told_ms;
} rub_dropped_t; /* all zero: nothing yet */

/* Warns of those that came since it did so last, every RUB_COMPLAIN_EVERY_MS at most. whose:
 * before the sentence, "shard 3: " or nothing. */
void rub_dropped_tell(rub_dropped_t *self, const rub_socket_t *socket, const char *whose,
                      const rub_log_t *log);

#endif
