/* One trainer and one shard lose each other for longer than a lease, while the scheduler and all
 * other shards hear the trainer well.
 *
 * Laws: when everybody stands and only one is parted, that one is given up within a lease and a
 * margin, or the others would wait until the network heals; and nobody else is given up for it. The
 * margin: a trainer that is cut off says so a second after its record got no answer, with its next
 * lease; shards report every half second what they hear, which those who wait say every second.
 *
 * Both laws look only at runs in which nothing else has gone wrong for a while. */
#include "tests/sim/sim.h"

#define LEASE_US 5000000u
#define MARGIN_US 4000000u
#define GIVEN_UP_US 4300000u /* until then the shard hears who does not hear it */
#define SETTLED_US 15000000u /* after other troubles: processes are back, and leases ran afresh */

void rub_sim_part(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_actor_t *actor = &sim->actors[fault->who % sim->scenario.n_workers];
    rub_sim_channel_t *channel = &actor->data[fault->detail % sim->scenario.n_shards];
    const unsigned way = fault->detail >> 8 & 3; /* half of them in one direction only */
    if (actor->parted_until_us > sim->now_us) {
        return; /* from one shard alone: when it is back with one of two, its waiting begins anew */
    }
    sim->counts[SIM_N_PARTINGS]++;
    actor->parted_us = sim->now_us + (way == 0 ? GIVEN_UP_US : 0);
    actor->parted_until_us = sim->now_us + fault->duration_us;
    if (way != 0) {
        rub_sim_hold_up(sim, channel, true, fault->duration_us);
    }
    if (way != 1) {
        rub_sim_hold_up(sim, channel, false, fault->duration_us);
    }
}

static bool is_parted(const rub_sim_actor_t *actor, uint64_t since_us)
{
    return actor->parted_until_us > 0 && actor->parted_until_us + MARGIN_US + LEASE_US > since_us;
}

/* For how long it has waited at one place; 0: it computes, or was stopped. */
static uint64_t stands_us(const rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    if (!actor->core || actor->busy) {
        return 0;
    }
    const uint64_t since_ms =
        actor->stands_ms > actor->excused_ms ? actor->stands_ms : actor->excused_ms;
    return (rub_sim_local_ms(sim, &actor->process) - since_ms) * 1000;
}

/* Whether nobody but the parted one can be what all wait for. A shard that lost its tables may
 * never come back; and data of an epoch that all others have left is taken up by a successor only
 * (docs/reliability.md, "What is open"). */
static bool nothing_else_is_missing(const rub_sim_t *sim)
{
    bool all = !sim->doomed && !(sim->scenario.pieces && sim->disturbed);
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        all = all && sim->shards[s].core;
    }
    return all;
}

void rub_sim_check_parted(rub_sim_t *sim, const rub_sim_actor_t *parted)
{
    const uint64_t calm_us = sim->troubled_us > 0 ? sim->troubled_us + SETTLED_US : 0;
    const uint64_t from_us = parted->parted_us > calm_us ? parted->parted_us : calm_us;
    if (sim->now_us >= parted->parted_until_us || sim->now_us < from_us + LEASE_US + MARGIN_US ||
        !nothing_else_is_missing(sim)) {
        return;
    }
    uint64_t least_us = stands_us(sim, parted);
    uint32_t others = 0;
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        const rub_sim_actor_t *actor = &sim->actors[a];
        if (actor == parted || actor->kind == SIM_READER || actor->ended) {
            continue;
        }
        if (is_parted(actor, from_us)) {
            return;
        }
        const uint64_t us = stands_us(sim, actor);
        least_us = us < least_us ? us : least_us;
        others++;
    }
    if (others > 0 && least_us > LEASE_US + MARGIN_US) {
        rub_sim_broken(sim,
                       "liveness: actor %u is parted from a shard and not given up, and %u others "
                       "have stood for %.1f s",
                       parted->actor, others, (double)least_us / 1e6);
    }
}

void rub_sim_check_innocent(rub_sim_t *sim, const rub_sim_actor_t *evicted, const char *sentence)
{
    const bool calm =
        !sim->doomed && (sim->troubled_us == 0 || sim->now_us > sim->troubled_us + SETTLED_US);
    const bool parted = is_parted(evicted, sim->now_us);
    sim->counts[SIM_N_PARTED_EVICTIONS] += calm && parted;
    if (calm && !parted) {
        rub_sim_broken(sim, "membership: a rank that was parted from nobody is evicted: %s",
                       sentence);
    }
}
