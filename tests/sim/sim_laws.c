/* The laws, as sentences that a run may break. The ledger makes them visible: actor u adds 1 to
 * each of its own rows with every push, so any read is a version vector. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

void rub_sim_broken(rub_sim_t *sim, const char *format, ...)
{
    if (sim->violation[0] != '\0') {
        return; /* the first one is the cause */
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->violation, sizeof(sim->violation), format, arguments);
    va_end(arguments);
    rub_sim_trace(sim, "VIOLATION: %s", sim->violation);
}

void rub_sim_tell(rub_sim_t *sim, rub_history_event_t event)
{
    event.time_us = sim->now_us;
    if (sim->history && !rub_history_step(sim->history, &event)) {
        rub_sim_broken(sim, "%s: %s", rub_law_name(rub_history_law(sim->history)),
                       rub_history_sentence(sim->history));
    }
}

void rub_sim_tell_session(rub_sim_t *sim, const rub_sim_actor_t *actor, rub_history_event_t event)
{
    event.writer = actor->actor;
    event.epoch = actor->life;
    rub_sim_tell(sim, event);
}

/* Pushes of that actor stamped below the clock. */
static size_t pushes_before(const rub_sim_actor_t *actor, uint64_t clock)
{
    size_t n = 0;
    for (size_t i = 0; i < actor->n_pushes; i++) {
        n += actor->push_stamps[i] < clock;
    }
    return n;
}

/* What a killed process had not heard of may be missing, and what a power loss has taken: the
 * latter only where the promise is "reported". */
static size_t less_uncertain(const rub_sim_t *sim, const rub_sim_actor_t *writer, uint32_t key,
                             size_t least)
{
    /* What clients keep is kept as long as they live. */
    const bool died = writer->life > 1 || writer->evicted || !writer->core;
    const bool kept =
        sim->scenario.durability == RUB_DURABILITY_SYNC || (sim->scenario.retain_synced && !died);
    const size_t missing = kept ? 0 : (size_t)writer->missing[key];
    const size_t unheard =
        writer->evicted ? writer->n_pushes - writer->life_pushes - writer->heard : 0;
    const size_t doubtful = writer->uncertain + unheard + missing + writer->poisoned[key];
    return least > doubtful ? least - doubtful : 0;
}

typedef struct bounds {
    size_t least, most;
    const char *law;
} bounds_t;

/* What a row of `writer` may hold in a read of `reader` stamped with that clock. */
static bounds_t bounds_of(const rub_sim_t *sim, const rub_sim_actor_t *writer,
                          const rub_sim_actor_t *reader, uint64_t stamp, uint64_t own)
{
    const uint64_t s = sim->scenario.staleness;
    bounds_t bounds = {0, writer->n_pushes, "a doubled push"};
    if (reader->kind == SIM_READER) {
        return bounds;
    }
    if (s == 0) { /* bsp: exactly the state after period stamp - 1 */
        bounds.most = bounds.least = pushes_before(writer, stamp);
        bounds.law = "bsp";
        return bounds;
    }
    if (s != RUB_ASYNC && stamp > s) {
        bounds.least = pushes_before(writer, stamp - s);
        /* Clocks went back with the power: who came then may stand below what had been answered. */
        if (reader->pull_us < sim->last_loss_us && bounds.least > writer->n_pushes_at_loss) {
            bounds.least = writer->n_pushes_at_loss;
        }
        bounds.law = "SSP";
    }
    if (writer == reader && own > bounds.least) {
        bounds.least = own;
        bounds.law = "read-my-writes";
    }
    return bounds;
}

void rub_sim_check_read(rub_sim_t *sim, rub_sim_actor_t *reader, const float *values)
{
    const uint64_t stamp = reader->pull_stamp;
    const uint64_t own = reader->pull_own;
    const bool before_loss = reader->pull_us < sim->last_loss_us;
    sim->n_reads++;
    if (sim->doomed) {
        return;
    }
    for (uint32_t w = 0; w < sim->n_actors; w++) {
        const rub_sim_actor_t *writer = &sim->actors[w];
        const bounds_t bounds = bounds_of(sim, writer, reader, stamp, own);
        for (uint32_t k = 0; k < SIM_KEYS; k++) {
            const float value = values[w * SIM_KEYS + k];
            float *seen = &reader->seen[w * SIM_KEYS + k];
            const size_t least = less_uncertain(sim, writer, k, bounds.least);
            if (value < (float)least || value > (float)bounds.most) {
                rub_sim_broken(sim,
                               "%s: actor %u read %g in row %u of actor %u at clock %llu, allowed "
                               "%zu..%zu (own %llu, "
                               "pushes %zu)",
                               bounds.law, reader->actor, (double)value, k, w,
                               (unsigned long long)stamp, least, bounds.most,
                               (unsigned long long)own, writer->n_pushes);
                return;
            }
            if (value < *seen && !before_loss) {
                rub_sim_broken(sim,
                               "monotonic reads: actor %u read %g in row %u of actor %u after %g",
                               reader->actor, (double)value, k, w, (double)*seen);
                return;
            }
            *seen = before_loss ? 0 : value; /* what it read may be gone */
        }
        for (uint32_t k = 1; k < SIM_KEYS && sim->scenario.dense; k++) {
            if (values[w * SIM_KEYS + k] != values[w * SIM_KEYS]) {
                rub_sim_broken(sim, "atomicity: actor %u read a torn block of actor %u",
                               reader->actor, w);
                return;
            }
        }
    }
    rub_sim_trace(sim, "actor %u reads at clock %llu: %g %g", reader->actor,
                  (unsigned long long)stamp, (double)values[0],
                  (double)values[sim->n_actors * SIM_KEYS - 1]);
}

void rub_sim_check_final(rub_sim_t *sim, const rub_sim_actor_t *reader, const float *values)
{
    for (uint32_t w = 0; !sim->doomed && w < sim->n_actors; w++) {
        const rub_sim_actor_t *writer = &sim->actors[w];
        /* Who comes back may stand a barrier behind the others: the last one sees everybody. */
        if (writer->kind != SIM_TRAINER || (sim->disturbed && !rub_sim_actor_is_through(writer))) {
            continue;
        }
        for (uint32_t k = 0; k < SIM_KEYS; k++) {
            const float value = values[w * SIM_KEYS + k];
            if (value > (float)writer->n_pushes ||
                value < (float)less_uncertain(sim, writer, k, writer->n_pushes)) {
                rub_sim_broken(sim,
                               "exactly once: at the end actor %u read %g in row %u of actor %u, "
                               "which pushed %zu, %zu of them unheard of",
                               reader->actor, (double)value, k, w, writer->n_pushes,
                               writer->uncertain);
                return;
            }
        }
    }
}

void rub_sim_check_event(rub_sim_t *sim)
{
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_shard_host_t *host = &sim->shards[s];
        if (!host->core) {
            continue;
        }
        const uint64_t minimum = rub_shard_minimum(host->core);
        if (minimum == UINT64_MAX) {
            continue;
        }
        if (minimum < host->minimum_seen) {
            rub_sim_broken(sim, "the minimum of shard %u falls from %llu to %llu", s,
                           (unsigned long long)host->minimum_seen, (unsigned long long)minimum);
        }
        host->minimum_seen = minimum;
    }
}
