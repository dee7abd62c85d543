/* How a trainer's process ends before its time: kill -9, being fenced, or SIGTERM. Its successor is
 * another process for the same rank: a new nonce, a new epoch, the program at the data epoch where
 * the dead one was.
 *
 * What a killed process had given to the network still arrives for some milliseconds, and the
 * supervisor may tell the scheduler, or the lease has to run out. Who is told that its epoch is
 * over (RUB_EFENCED) must have been evicted, and may do nothing more: it ends, and starts anew like
 * any other. Who gets SIGTERM says BYE, and leaves nothing open.
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
        close_channels(sim, actor, life);
        rub_sim_actor_live(sim, actor);
    }
}

/* A lent push that is acknowledged may still wait for its array. */
static bool is_acknowledged(const rub_sim_actor_t *actor, rub_handle_t handle)
{
    return handle == SIM_ACKNOWLEDGED || rub_client_awaits_loan(actor->core, handle) ||
           rub_client_poll(actor->core, handle, NULL) == 0;
}

/* How many pushes of this life must be there for ever. In bsp those of a period whose end was not
 * acknowledged, or was taken by a power loss, are not: a period is folded whole or not at all. */
static size_t acknowledged(const rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    rub_handle_t flushed = 0;
    const bool all =
        rub_client_flush(actor->core, &flushed, NULL) == 0 && is_acknowledged(actor, flushed);
    uint64_t ended = all ? info.clock : info.clock > 0 ? info.clock - 1 : 0;
    if (actor->unclosed > 0 && actor->unclosed - 1 < ended) {
        ended = actor->unclosed - 1;
    }
    size_t n = 0;
    for (size_t i = actor->life_pushes; i < actor->n_pushes; i++) {
        const bool whole = sim->scenario.staleness != 0 || actor->pushes[i].clock < ended;
        n += is_acknowledged(actor, actor->handles[i]) && whole;
    }
    return n;
}

static void forget(rub_sim_actor_t *actor)
{
    rub_client_destroy(&actor->core);
    actor->waiting = actor->pull = actor->prefetch = 0;
    actor->prefetching = actor->busy = actor->told_to_leave = false;
    actor->rank_epoch = 0;
    actor->unclosed = 0;
    actor->life_pushes = actor->n_pushes;
}

/* What it had heard of stays for ever; the rest may be there or not. */
static void tell_heard(rub_sim_t *sim, const rub_sim_actor_t *actor, size_t heard)
{
    if (actor->rank_epoch > 0) {
        rub_sim_tell_session(sim, actor,
                             (rub_history_event_t){.kind = RUB_HISTORY_ACK,
                                                   .number = heard,
                                                   .clock = RUB_HISTORY_UNKNOWN});
        rub_sim_tell_session(sim, actor,
                             (rub_history_event_t){.kind = RUB_HISTORY_DOUBT, .number = heard});
    }
}

/* Its memory goes: what it had not heard of is in doubt from here on. */
static void lose_memory(rub_sim_t *sim, rub_sim_actor_t *actor, const char *how)
{
    const size_t sent = actor->n_pushes - actor->life_pushes;
    const size_t heard = actor->evicted ? actor->heard : acknowledged(sim, actor);
    if (!actor->evicted) {
        rub_sim_loss_session_over(sim, actor);
        tell_heard(sim, actor, heard);
    }
    if (actor->rank_epoch > 0) {
        rub_sim_tell_session(
            sim, actor, (rub_history_event_t){.kind = RUB_HISTORY_END, .fate = RUB_HISTORY_KILLED});
    }
    actor->evicted = false;
    actor->impaired_us = sim->now_us;
    sim->disturbed = true;
    rub_sim_trace(sim, "actor %u %s: %zu of its %zu pushes were acknowledged", actor->actor, how,
                  heard, sent);
    forget(actor);
}

void rub_sim_actor_evicted(rub_sim_t *sim, uint32_t rank, uint32_t epoch)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_t *actor = &sim->actors[a];
        if (actor->core && actor->rank == rank && actor->rank_epoch == epoch && !actor->evicted) {
            actor->heard = acknowledged(sim, actor);
            actor->evicted = true;
            rub_sim_loss_session_over(sim, actor);
            tell_heard(sim, actor, actor->heard);
        }
    }
}

static void tell_scheduler(rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    rub_control_t message = {.type = RUB_MSG_DEAD};
    snprintf(message.dead.who, sizeof(message.dead.who), "actor:%u.%u", actor->actor, actor->life);
    const int rc = rub_scheduler_receive(sim->scheduler.core, 0, &message,
                                         rub_sim_local_ms(sim, &sim->scheduler.process));
    if (rc) {
        rub_sim_broken(sim, "the scheduler fails with %s on DEAD", rub_error_name(rc));
    }
}

void rub_sim_actor_kill(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    if (!actor->core || rub_sim_actor_is_through(actor) || actor->busy_ending) {
        return;
    }
    sim->counts[SIM_N_TRAINER_KILLS]++;
    lose_memory(sim, actor, "is killed");
    rub_sim_go_on(sim, &actor->process);
    rub_sim_after(sim, rub_sim_between(sim, 0, GHOST_US), close_channels, actor, actor->life);
    if (sim->scheduler.core && !sim->scheduler.process.paused && rub_sim_chance(sim, 60)) {
        tell_scheduler(sim, actor);
    }
    rub_sim_after(sim, rub_sim_between(sim, 2 * GHOST_US, 8000000), succeed, actor, actor->life);
}

void rub_sim_actor_term(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    if (!actor->core || rub_sim_actor_is_through(actor) || actor->busy_ending ||
        actor->told_to_leave) {
        return;
    }
    rub_sim_trace(sim, "actor %u gets SIGTERM", actor->actor);
    sim->disturbed = true; /* the others may meet without it */
    actor->told_to_leave = true;
}

/* ---- endings that the actor's own program brings about, which stands inside a call of the core:
 * that one is freed by a later event ---- */

static void end_life(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (actor->life != life || !actor->core ||
        rub_sim_asleep(sim, &actor->process, end_life, actor, life)) {
        return;
    }
    actor->busy_ending = false;
    if (actor->fenced) {
        actor->fenced = false;
        lose_memory(sim, actor, "was fenced");
    } else {
        if (actor->unclosed > 0) { /* it has left, and cannot say again what the power took */
            rub_sim_loss_doubt(sim, actor, actor->rank_epoch, actor->unclosed - 1);
        }
        forget(actor);
    }
    succeed(sim, actor, life);
}

static void end_later(rub_sim_t *sim, rub_sim_actor_t *actor, uint64_t delay_us)
{
    actor->busy = actor->busy_ending = true;
    rub_sim_after(sim, delay_us, end_life, actor, actor->life);
}

void rub_sim_actor_again(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    end_later(sim, actor, 1000000);
}

void rub_sim_actor_fenced(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    if (info.rank < SIM_RANKS && sim->evicted_epoch[info.rank] < info.epoch) {
        rub_sim_broken(sim,
                       "fencing: actor %u is fenced in epoch %u of rank %u, which nobody ended",
                       actor->actor, info.epoch, info.rank);
    }
    sim->counts[SIM_N_FENCED_ACTORS]++;
    actor->fenced = true;
    end_later(sim, actor, rub_sim_between(sim, 1000, 2000000));
}

void rub_sim_actor_gone(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    sim->counts[SIM_N_LEAVES]++;
    rub_sim_tell_session(sim, actor, (rub_history_event_t){.kind = RUB_HISTORY_END});
    rub_sim_trace(sim, "actor %u has left", actor->actor);
    end_later(sim, actor, rub_sim_between(sim, 1000, 3000000));
}
