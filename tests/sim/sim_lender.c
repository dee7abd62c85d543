/* Actors that lend the arrays of their pushes, and grant those of their pulls, and use them for
 * something else as soon as they are theirs again.
 *
 * Laws: no message arrives whose array has been given back. Which session sent it, on which
 * connection, and whether the shard would have passed over it does not matter: reading the array
 * would have been wrong already. And no shard writes into an array that no pull is for, whatever
 * messages of earlier pulls, of earlier lives even, are still on their way. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "tests/sim/sim.h"

#include <math.h>
#include <string.h>

/* At once; further pushes are copied. */
enum { LENT_AT_ONCE = 4 };

/* Messages of rows are so short that they are copied in any case. */
static bool lends(const rub_sim_t *sim)
{
    return sim->scenario.dense && sim->scenario.codec == RUB_CODEC_F32 && !sim->scenario.poison &&
           sim->options.seed % 4 != 0;
}

static void fill(float *values, float value)
{
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        values[i] = value;
    }
}

void rub_sim_lender_look(rub_sim_actor_t *actor)
{
    for (size_t i = 0; i < actor->n_lent; i++) {
        rub_sim_lent_t *lent = &actor->lent[i];
        if (lent->life == actor->life && lent->is_out && actor->core &&
            rub_client_poll(actor->core, actor->handles[lent->push], NULL) == 0) {
            actor->handles[lent->push] = SIM_ACKNOWLEDGED;
            lent->is_out = false;
            fill(lent->values, NAN);
        }
    }
}

rub_sim_lent_t *rub_sim_lend(const rub_sim_t *sim, rub_sim_actor_t *actor, float value)
{
    rub_sim_lent_t *lent = NULL;
    size_t n_of_this_life = 0;
    for (size_t i = 0; i < actor->n_lent; i++) {
        const bool is_ours = actor->lent[i].life == actor->life;
        n_of_this_life += is_ours;
        lent = is_ours && !actor->lent[i].is_out ? &actor->lent[i] : lent;
    }
    if (!lends(sim) || (!lent && n_of_this_life == LENT_AT_ONCE)) {
        return NULL;
    }
    if (!lent) { /* what an earlier life has lent may be under way for ever */
        RUB_ASSERT(rub_grow(&actor->lent, &actor->lent_capacity, actor->n_lent + 1,
                            sizeof(*actor->lent)) == 0);
        lent = &actor->lent[actor->n_lent++];
        *lent = (rub_sim_lent_t){.life = actor->life,
                                 .values = rub_calloc(RUB_BLOCK, sizeof(*lent->values))};
        RUB_ASSERT(lent->values);
    }
    fill(lent->values, value);
    return lent;
}

void rub_sim_lender_check(rub_sim_t *sim, const rub_packet_t *packet)
{
    float first;
    if (rub_packet_is_lent(packet) && rub_packet_header(packet)->type == RUB_MSG_PUSH) {
        sim->counts[SIM_N_LENT]++;
        memcpy(&first, rub_packet_frame(packet).values, sizeof(first));
        if (isnan(first)) {
            rub_sim_broken(sim, "push %llu arrives, and its array was given back",
                           (unsigned long long)rub_packet_header(packet)->seq);
        }
    }
}

/* ---- grants ---- */

/* A block is written as a whole: one of its elements tells. */
enum { STRIDE = RUB_BLOCK / 4 };

bool rub_sim_grants(const rub_sim_t *sim)
{
    return rub_mix64(sim->options.seed ^ 0x6772616e74) % 2 == 0;
}

rub_frame_t rub_sim_read(const rub_sim_t *sim, const rub_packet_t *packet)
{
    rub_span_t parts[3];
    rub_frame_t frame;
    const size_t n_parts = rub_packet_parts(packet, parts);
    RUB_ASSERT((rub_sim_grants(sim) ? rub_frame_read_in_process(parts, n_parts, &frame, NULL)
                                    : rub_frame_read(parts, n_parts, &frame, NULL)) == 0);
    return frame;
}

static size_t elements_of(const rub_sim_t *sim, size_t *stride_p)
{
    *stride_p = sim->scenario.dense ? STRIDE : 1;
    return sim->scenario.dense ? (size_t)sim->n_actors * RUB_BLOCK : rub_sim_ledger_rows(sim);
}

void rub_sim_take_back(const rub_sim_t *sim, rub_sim_actor_t *actor, int i)
{
    size_t stride;
    const size_t n = elements_of(sim, &stride);
    actor->is_own[i] = true;
    for (size_t k = 0; k < n; k += stride) {
        actor->raw[i][k] = NAN;
    }
}

void rub_sim_give(rub_sim_t *sim, rub_sim_actor_t *actor, int i)
{
    size_t stride;
    const size_t n = elements_of(sim, &stride);
    for (size_t k = 0; actor->is_own[i] && k < n; k += stride) {
        if (!isnan(actor->raw[i][k])) {
            rub_sim_broken(sim, "actor %u: element %zu was written while no pull was for it",
                           actor->actor, k);
            break;
        }
    }
    actor->is_own[i] = false;
}

bool rub_sim_gives_up(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const uint64_t number = actor->pull_id << 8 | actor->actor;
    const uint64_t draw = rub_mix64(sim->options.seed ^ rub_mix64(number));
    if (!rub_sim_grants(sim) || draw % 8 != 0) {
        return false;
    }
    if (actor->hesitated != actor->pull_id) {
        actor->hesitated = actor->pull_id;
        return true;
    }
    if (rub_client_cancel(actor->core, actor->pull, NULL) != 0) {
        rub_sim_broken(sim, "actor %u cannot cancel its pull", actor->actor);
    }
    actor->pull = 0;
    rub_sim_take_back(sim, actor, 0);
    sim->counts[SIM_N_GIVEN_UP]++;
    return true;
}

void rub_sim_lender_fini(rub_sim_actor_t *actor)
{
    for (size_t i = 0; i < actor->n_lent; i++) {
        rub_free(actor->lent[i].values);
    }
    rub_free(actor->lent);
}
