/* Actors that lend the arrays of their pushes, and use them for something else as soon as they are
 * theirs again.
 *
 * Law: no message arrives whose array has been given back. Which session sent it, on which
 * connection, and whether the shard would have passed over it does not matter: reading the array
 * would have been wrong already. */
#include "common/base/alloc.h"
#include "common/base/check.h"
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
    if (rub_packet_is_lent(packet)) {
        sim->counts[SIM_N_LENT]++;
        memcpy(&first, rub_packet_frame(packet).values, sizeof(first));
        if (isnan(first)) {
            rub_sim_broken(sim, "push %llu arrives, and its array was given back",
                           (unsigned long long)rub_packet_header(packet)->seq);
        }
    }
}

void rub_sim_lender_fini(rub_sim_actor_t *actor)
{
    for (size_t i = 0; i < actor->n_lent; i++) {
        rub_free(actor->lent[i].values);
    }
    rub_free(actor->lent);
}
