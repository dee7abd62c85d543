/* kill -9 of a trainer. Its memory is gone at once; what it had given to the network still arrives
 * for some milliseconds. The supervisor may tell the scheduler, or the lease has to run out. The
 * successor is another process for the same rank: a new nonce, a new epoch, the program at the data
 * epoch where the dead one was.
 *
 * The ledger's law for the dead: what it had heard to be acknowledged is there for ever; what it
 * had not heard of may be there or not, in each row. */
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

#define GHOST_US 5000u

static void hang_up(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    channel->wanted = false;
    rub_sim_cut(sim, channel);
}

static void close_channels(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (actor->life != life) {
        return;
    }
    hang_up(sim, &actor->control);
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        hang_up(sim, &actor->data[s]);
    }
}

static void succeed(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (actor->life == life) {
        rub_sim_actor_live(sim, actor);
    }
}

/* How many pushes of this life must be there for ever. In bsp those of a period whose end was not
 * acknowledged are not: a period is folded whole or not at all. */
static size_t acknowledged(const rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    rub_handle_t flushed = 0;
    const bool all = rub_client_flush(actor->core, &flushed, NULL) == 0 &&
                     rub_client_poll(actor->core, flushed, NULL) == 0;
    const uint64_t ended = all ? info.clock : info.clock > 0 ? info.clock - 1 : 0;
    size_t n = 0;
    for (size_t i = actor->life_pushes; i < actor->n_pushes; i++) {
        const bool whole = sim->scenario.staleness != 0 || actor->push_stamps[i] < ended;
        n += rub_client_poll(actor->core, actor->handles[i], NULL) == 0 && whole;
    }
    return n;
}

static void forget(rub_sim_actor_t *actor)
{
    rub_client_destroy(&actor->core);
    actor->waiting = actor->pull = actor->prefetch = 0;
    actor->prefetching = actor->busy = false;
    actor->life_pushes = actor->n_pushes;
}

static void tell_scheduler(rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    rub_control_t message = {.type = RUB_MSG_DEAD};
    snprintf(message.dead.who, sizeof(message.dead.who), "actor:%u.%u", actor->actor, actor->life);
    const int rc = rub_scheduler_receive(sim->scheduler.core, 0, &message, rub_sim_ms(sim->now_us));
    if (rc) {
        rub_sim_broken(sim, "the scheduler fails with %s on DEAD", rub_error_name(rc));
    }
}

void rub_sim_actor_kill(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_actor_t *actor = subject;
    if (!actor->core || rub_sim_actor_is_through(actor)) {
        return;
    }
    const size_t sent = actor->n_pushes - actor->life_pushes;
    const size_t heard = acknowledged(sim, actor);
    actor->uncertain += sent - heard;
    rub_sim_trace(sim, "actor %u is killed: %zu of its %zu pushes were acknowledged", actor->actor,
                  heard, sent);
    forget(actor);
    rub_sim_after(sim, rub_sim_between(sim, 0, GHOST_US), close_channels, actor, actor->life);
    if (sim->scheduler.core && rub_sim_chance(sim, 60)) {
        tell_scheduler(sim, actor);
    }
    rub_sim_after(sim, rub_sim_between(sim, 2 * GHOST_US, 8000000), succeed, actor, actor->life);
}

/* Called by the actor's own program, which stands inside a call of the core: that one is freed by a
 * later event. */
static void start_again(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (actor->life == life) {
        close_channels(sim, actor, life);
        forget(actor);
        rub_sim_actor_live(sim, actor);
    }
}

void rub_sim_actor_again(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    actor->busy = true;
    rub_sim_after(sim, 1000000, start_again, actor, actor->life);
}
