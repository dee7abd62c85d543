/* A shard over a real store, without sockets: its core, its storage thread, its files, and a
 * program that plays its ranks. */
#ifndef RUB_SHARD_DRIVER_H
#define RUB_SHARD_DRIVER_H

#include "common/base/rng.h"
#include "ps/open_store.h"
#include "ps/storage_thread.h"
#include "tests/crash/ledger.h"

typedef struct rub_driver rub_driver_t;

/* Opens the store below folder and recovers. RUB_ECORRUPT and so on with a sentence. */
int rub_driver_open(const char *folder, const rub_ledger_plan_t *plan, rub_driver_t **self_p,
                    rub_error_t *err);
/* drain: as after SIGTERM, everything into the store; otherwise as after kill -9. */
void rub_driver_close(rub_driver_t **self_p, bool drain);

/* Gives the view and says HELLO for every rank; *reach_p: what the shard says it has. 0, or an
 * error with a sentence. */
int rub_driver_hello(rub_driver_t *self, rub_ledger_reach_t *reach_p, rub_error_t *err);
/* Steps so many turns: records of the ranks at random, acknowledgements noted in the recording
 * (rub_record_mark: synced, or applied as it was given) and in *synced. 0 or fatal. */
int rub_driver_work(rub_driver_t *self, uint32_t n_turns, rub_rng_t *rng, rub_error_t *err);
/* What was said to be on the platter, and what was given. */
const rub_ledger_reach_t *rub_driver_synced(const rub_driver_t *self);
const rub_ledger_reach_t *rub_driver_given(const rub_driver_t *self);
/* Pulls both tables and compares. NULL: right. */
const char *rub_driver_check(rub_driver_t *self, const rub_ledger_reach_t *reach);

#endif
