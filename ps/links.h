/* Connections that said HELLO: which session a peer speaks for, and the pulls it has parked.
 *
 * A connection that is not here is not listened to. Bounded: RUB_LINKS_LIMIT connections, and one
 * REHELLO per peer and second. Pure. */
#ifndef RUB_LINKS_H
#define RUB_LINKS_H

#include "common/base/rate_limit.h"
#include "common/wire/header.h"
#include "ps/key_lists.h"
#include "ps/staleness.h"

#define RUB_LINKS_LIMIT 8192u
#define RUB_REHELLO_MS 1000u

typedef struct rub_link rub_link_t;

/* A pull that waits: for a clock (in the gate's heap), or for its session's seq or its table
 * (outside). */
typedef struct rub_parked {
    rub_waiter_t waiter; /* first member: the gate hands these back */
    rub_link_t *link;
    struct rub_parked *previous, *next; /* of the link */
    rub_frame_t frame;                  /* keys are copied behind */
    size_t charged_bytes;
    uint64_t since_ms, warned_ms;
    uint8_t keys[];
} rub_parked_t;

struct rub_link {
    uint64_t peer;
    uint32_t rank; /* UINT32_MAX: a reader */
    uint32_t epoch;
    uint64_t heard_ms;
    rub_parked_t *parked; /* newest first */
    size_t parked_bytes;
    uint64_t answered_turn; /* the last turn with an answer, */
    size_t answered_bytes;  /* and how much that turn sends */
    rub_key_lists_t *lists; /* NULL: it has told none */
};

typedef struct rub_links {
    rub_link_t **slots; /* open addressing by mixed peer number */
    size_t n, n_slots;
    size_t n_trainers;
    rub_rate_limit_t rehellos;
} rub_links_t;

void rub_links_init(rub_links_t *self);
void rub_links_fini(rub_links_t *self); /* parked pulls and key lists must be gone */

rub_link_t *rub_links_find(const rub_links_t *self, uint64_t peer);
/* NULL: no memory, or RUB_LINKS_LIMIT reached. The peer must not be here yet. */
rub_link_t *rub_links_add(rub_links_t *self, uint64_t peer, uint32_t rank, uint32_t epoch);
void rub_links_remove(rub_links_t *self,
                      rub_link_t *link); /* frees it; its parked pulls and key lists must be gone */
/* The reader that was silent longest; NULL: none. */
rub_link_t *rub_links_stalest_reader(const rub_links_t *self);

#endif
