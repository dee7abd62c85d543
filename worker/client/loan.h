/* An array that a caller has lent to a session (rub_push_lent): how many packets still read it. A
 * packet may be in a ring, to be sent again, and in libzmq's pipes at once, also behind its
 * acknowledgement; only when the last reference to it is gone is the array the caller's again.
 *
 * Packets are let go of by libzmq's threads: counts are atomic, all else is of the session's
 * thread. */
#ifndef RUB_LOAN_H
#define RUB_LOAN_H

#include "common/wire/packet.h"

#include <stdbool.h>

typedef struct rub_loan rub_loan_t;

/* One reference is the caller's. of: what is out of this one is out of that one, too; it keeps a
 * reference. May be NULL. NULL when memory is short. */
rub_loan_t *rub_loan_new(rub_loan_t *of);
rub_loan_t *rub_loan_ref(rub_loan_t *self);
void rub_loan_unref(rub_loan_t **self_p); /* NULL is fine */

/* For rub_packet_new_lent: what counts from rub_loan_take until its release is called. */
rub_packet_loan_t rub_loan_of(rub_loan_t *self, const void *values);
void rub_loan_take(rub_loan_t *self);

/* Does anybody still read it? False: whatever he read came before. */
bool rub_loan_is_out(const rub_loan_t *self);

#endif
