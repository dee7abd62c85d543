/* Readers that keep rows for their next pulls. What they are told may be as old as they have asked
 * for, no older: so each read is held against what had been shown and acknowledged so long before
 * it, by the youngest of its earlier questions that is old enough. Everything else holds as for
 * other readers.
 *
 * What the power takes lets rows fall, and a reader may still have them for as long: it says
 * nothing until then. Draws nothing: seeds stay what they are. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "tests/sim/sim.h"

enum { KEEP_MS = 300 };

int rub_sim_keeper_begin(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err)
{
    const uint64_t draw = rub_mix64(sim->options.seed);
    actor->keeper = (rub_sim_keeper_t){0};
    if (actor->kind != SIM_READER || sim->scenario.dense || draw % 2) {
        return 0;
    }
    actor->keeper.age_ms = 1 + draw / 2 % KEEP_MS;
    /* Room for all: rows of one shard grow too old together, so a push is in all of its rows or in
     * none. */
    return rub_client_table_cache(actor->core, actor->table, 1 << 16, actor->keeper.age_ms, err);
}

static uint64_t losses(const rub_sim_t *sim)
{
    return sim->counts[SIM_N_POWER] + sim->counts[SIM_N_UNKEPT];
}

static uint64_t hits(const rub_sim_actor_t *actor)
{
    rub_stats_t stats;
    rub_client_stats(actor->core, &stats);
    return stats.cache_hits;
}

void rub_sim_keeper_asks(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_sim_keeper_t *keeper = &actor->keeper;
    if (keeper->age_ms == 0) {
        return;
    }
    const uint64_t now_ms = rub_sim_local_ms(sim, &actor->process);
    keeper->called_ms = now_ms;
    keeper->hits = hits(actor);
    keeper->asked[keeper->n++ % SIM_KEEPER_ASKS] = (rub_sim_asked_t){actor->pull_id, now_ms};
    const size_t n = keeper->n < SIM_KEEPER_ASKS ? keeper->n : SIM_KEEPER_ASKS;
    actor->pull_id = 0;
    for (size_t i = 0; i < n; i++) {
        const rub_sim_asked_t *asked = &keeper->asked[i];
        if (asked->when_ms + keeper->age_ms <= now_ms && asked->id > actor->pull_id) {
            actor->pull_id = asked->id;
        }
    }
}

bool rub_sim_keeper_tells(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_sim_keeper_t *keeper = &actor->keeper;
    if (keeper->age_ms == 0) {
        return true;
    }
    if (losses(sim) != keeper->losses) {
        keeper->losses = losses(sim);
        keeper->blind_ms = rub_sim_local_ms(sim, &actor->process) + keeper->age_ms;
    }
    if (actor->pull_id == 0 || keeper->called_ms <= keeper->blind_ms) {
        return false;
    }
    for (size_t i = 0; i < SIM_KEEPER_ASKS; i++) { /* each question is held against one read */
        if (keeper->asked[i].id <= actor->pull_id) {
            keeper->asked[i].id = 0;
        }
    }
    sim->counts[SIM_N_KEPT_READS] += hits(actor) > keeper->hits;
    return true;
}
