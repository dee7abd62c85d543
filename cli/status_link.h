/* An observer's line to the scheduler: STATUS_ASK, DEAD and STOP out, STATUS in. One thread. */
#ifndef RUB_STATUS_LINK_H
#define RUB_STATUS_LINK_H

#include "common/base/arena.h"
#include "common/wire/control.h"

typedef struct rub_status_link rub_status_link_t;

enum { RUB_LINK_EMPTY = 1 }; /* positive outcome: nothing has come */

/* Connects to "tcp://host:port"; nobody need be there yet. RUB_EINVAL: not an address. */
int rub_status_link_open(const char *address, rub_status_link_t **self_p, rub_error_t *err);
/* Lets what was sent leave for up to 200 ms. */
void rub_status_link_close(rub_status_link_t **self_p);

/* The zsock_t *, for zloop and zpoller. The link's. */
void *rub_status_link_socket(rub_status_link_t *self);

/* Send one message; silently dropped while nobody is connected, so what matters is said again.
 * Never block. */
void rub_status_link_ask(rub_status_link_t *self, bool finish);
void rub_status_link_dead(rub_status_link_t *self, const char *who);
void rub_status_link_stop(rub_status_link_t *self, const char *why);

void rub_status_link_say(rub_status_link_t *self, const rub_control_t *message);

/* Takes the next message, whatever it is; it lives in the link until the next call. Else as below.
 */
int rub_status_link_take(rub_status_link_t *self, const rub_control_t **message_p,
                         rub_error_t *err);
/* Takes the next STATUS; its lists live in the link until the next call. RUB_LINK_EMPTY: none has
 * come. Messages that are not STATUS are dropped. RUB_EPROTO: not a message at all. Never blocks.
 */
int rub_status_link_next(rub_status_link_t *self, const rub_status_t **status_p, rub_error_t *err);

/* Asks, every 200 ms, until a STATUS comes (as rub_status_link_next gives it) or timeout_ms have
 * passed. Blocks. RUB_EPEER names the address; RUB_EINTR: a signal came; RUB_EPROTO. */
int rub_status_link_wait(rub_status_link_t *self, const char *address, uint32_t timeout_ms,
                         const rub_status_t **status_p, rub_error_t *err);

#endif
