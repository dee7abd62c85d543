/* Pulls of several tables that are asked for and awaited as one, so that all tables and shards work
 * at once. A set is good for exactly the clock that it was stamped with: a barrier or a pause moves
 * the clock, and what was asked before is of no use then, or the staleness bound would be broken by
 * our own hand.
 *
 * One thread. Uses the public client library alone. */
#ifndef RUB_PULL_SET_H
#define RUB_PULL_SET_H

#include "include/rubato.h"

typedef struct rub_pull_set {
    rub_session_t *session;
    rub_handle_t *handles; /* room; of those asked for, not 0: under way */
    size_t room, n;
    bool asked;
    uint64_t stamp;
    uint32_t ahead;
} rub_pull_set_t;

/* Empty, for up to room pulls. The session must outlive it. RUB_ENOMEM. A set of zeros may be
 * forgotten and finished, too. */
int rub_pull_set_init(rub_pull_set_t *self, rub_session_t *session, size_t room, rub_error_t *err);
/* Gives up what is under way. */
void rub_pull_set_fini(rub_pull_set_t *self);

/* Forgets what was under way; what is asked for now is used `ahead` periods from now. */
void rub_pull_set_begin(rub_pull_set_t *self, uint32_t ahead);
/* Asks for one more table's rows, or elements; does not wait, keeps values until the set is awaited
 * or forgotten. None: asks for nothing. Passes the session's errors on; then the whole set is
 * forgotten. */
int rub_pull_set_rows(rub_pull_set_t *self, rub_table_t table, const uint64_t *keys, size_t n_keys,
                      float *values, rub_error_t *err);
int rub_pull_set_range(rub_pull_set_t *self, rub_table_t table, uint64_t first, uint64_t count,
                       float *values, rub_error_t *err);

/* Is something asked for that is good for the session's present clock? */
bool rub_pull_set_asked(const rub_pull_set_t *self);
/* Waits until all that was asked for is there; the set stays asked. Blocks until the bound allows.
 * On failure nothing is under way. */
int rub_pull_set_arrive(rub_pull_set_t *self, rub_error_t *err);
/* The same, and the set is used up. */
int rub_pull_set_await(rub_pull_set_t *self, rub_error_t *err);
void rub_pull_set_forget(rub_pull_set_t *self);

#endif
