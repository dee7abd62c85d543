/* A post box: small messages, in order, from one process to another through memory that both see.
 * Beside a connection that carries the large ones it saves those the way through two kernels'
 * doors and two threads each: what is put here is there.
 *
 *   [how many were put in][how many were taken out][does the taker sleep][RUB_POST_PLACES places]
 *
 * The order of both ways together is kept: with each message stands how many had gone through the
 * connection before it, and it is not taken before so many have come. What came through the
 * connection may be handled when all that was in the box at its coming is taken (mark, reached).
 *
 * Nobody looks at a box while he sleeps: a taker says that he goes to sleep and looks once more;
 * who puts something in then knocks, through the connection.
 *
 * Trust: the memory may hold anything at any time. Each end believes nothing but its own numbers:
 * the other one gets lost or garbled messages by scribbling, or a knock too many, and the taker at
 * most RUB_POST_MOST bytes of nonsense at a time. One putter, one taker. */
#ifndef RUB_POST_H
#define RUB_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_POST_PLACES 256u
#define RUB_POST_MOST 120u /* bytes of a message */
#define RUB_POST_BOX_BYTES (4096u + RUB_POST_PLACES * 128u)

typedef struct rub_post_box rub_post_box_t;

/* One end. */
typedef struct rub_post {
    rub_post_box_t *box;
    uint32_t n;       /* messages put in, or taken out */
    uint32_t through; /* messages that went, or came, through the connection */
} rub_post_t;

/* memory: RUB_POST_BOX_BYTES, aligned to 64, zeros when the first end opens it; kept as long as the
 * end is used. */
void rub_post_open(rub_post_t *self, void *memory);

/* ---- who puts in ---- */

/* false: it is too long, or the box is full; then it goes through the connection. bytes: borrowed.
 */
bool rub_post_put(rub_post_t *self, const void *bytes, size_t n_bytes);
/* Behind put: the taker may sleep and must be knocked up, once. */
bool rub_post_must_knock(rub_post_t *self);

/* ---- who takes out ---- */

/* There is a message whose turn it is. */
bool rub_post_has(const rub_post_t *self);
/* Takes it: how many bytes it has, 0 when there is none. What has no length that it may have comes
 * as RUB_POST_MOST bytes. */
size_t rub_post_take(rub_post_t *self, uint8_t out[RUB_POST_MOST]);

/* What is in the box by now ends here. */
uint32_t rub_post_mark(const rub_post_t *self);
/* All before the mark is taken, or can not be taken. */
bool rub_post_reached(const rub_post_t *self, uint32_t mark);

/* The taker goes to sleep, until he knows better; false: he better does not. */
bool rub_post_sleep(rub_post_t *self);
void rub_post_rise(rub_post_t *self);

#endif
