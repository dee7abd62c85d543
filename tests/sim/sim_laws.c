/* What the sessions did and saw, and how the shards' minima moved, is told to the history checker
 * as it happens (tests/history), which decides: the ledger makes the laws visible, because actor u
 * adds 1 to each of its own rows with every push, so any read is a version vector. */
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

void rub_sim_tell_read(rub_sim_t *sim, const rub_sim_actor_t *reader, const float *values)
{
    sim->n_reads++;
    rub_sim_tell_session(sim, reader,
                         (rub_history_event_t){.kind = RUB_HISTORY_READ,
                                               .number = reader->pull_id,
                                               .gap = RUB_HISTORY_UNKNOWN,
                                               .values = values});
    rub_sim_trace(sim, "actor %u reads at clock %llu: %g %g", reader->actor,
                  (unsigned long long)reader->pull_stamp, (double)values[0],
                  (double)values[sim->n_actors * SIM_KEYS - 1]);
}

void rub_sim_tell_back(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    host->minimum_told = 0;
    rub_sim_tell(sim, (rub_history_event_t){.kind = RUB_HISTORY_MINIMUM,
                                            .writer = host->shard,
                                            .number = RUB_HISTORY_UNKNOWN});
}

void rub_sim_check_event(rub_sim_t *sim)
{
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_shard_host_t *host = &sim->shards[s];
        if (!host->core) {
            continue;
        }
        const uint64_t minimum = rub_shard_minimum(host->core);
        if (minimum == UINT64_MAX || minimum == host->minimum_told) {
            continue; /* nobody counts, or nothing has changed */
        }
        host->minimum_told = minimum;
        rub_sim_tell(sim, (rub_history_event_t){
                              .kind = RUB_HISTORY_MINIMUM, .writer = s, .number = minimum});
    }
}
