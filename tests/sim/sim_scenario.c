/* One seed, one scenario: how many of whom, which consistency, which faults and when. Faults stop
 * at faults_end; from there every operation must end within a bounded virtual time (liveness). */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

#define LIVENESS_US (120u * 1000000u)

static void cut_something(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(subject);
    if (sim->now_us > sim->scenario.faults_end_us) {
        return;
    }
    if (rub_sim_chance(sim, sim->scenario.cut_percent)) {
        rub_sim_actor_t *actor = &sim->actors[rub_sim_between(sim, 0, sim->n_actors - 1)];
        const uint64_t shard = rub_sim_between(sim, 0, sim->scenario.n_shards - 1);
        switch (rub_sim_between(sim, 0, 5)) {
        case 0:
            rub_sim_cut(sim, &actor->control);
            break;
        case 1:
            rub_sim_cut(sim, &sim->shard_control[shard]);
            break;
        default:
            rub_sim_cut(sim, &actor->data[shard]);
            break;
        }
    }
    rub_sim_after(sim, 100000, cut_something, NULL, unused);
}

static void restart_shard(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_shard_host_t *host = subject;
    if (!host->core) {
        rub_sim_shard_start(sim, host);
    }
}

static void crash_shard(rub_sim_t *sim, void *subject, uint64_t unused)
{
    rub_sim_shard_host_t *host = subject;
    if (host->core && rub_shard_phase(host->core) == RUB_SHARD_SERVING) {
        rub_sim_shard_crash(sim, host);
        rub_sim_after(sim, rub_sim_between(sim, 1000, 1500000), restart_shard, host, unused);
    }
}

static void restart_scheduler(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(subject);
    RUB_UNUSED(unused);
    if (!sim->scheduler.core) {
        rub_sim_scheduler_start(sim);
    }
}

static void crash_scheduler(rub_sim_t *sim, void *subject, uint64_t unused)
{
    if (sim->scheduler.core && rub_scheduler_state(sim->scheduler.core) < RUB_JOB_DONE) {
        rub_sim_scheduler_crash(sim);
        rub_sim_after(sim, rub_sim_between(sim, 1000, 1000000), restart_scheduler, subject, unused);
    }
}

static void draw(rub_sim_t *sim)
{
    rub_sim_scenario_t *scenario = &sim->scenario;
    static const uint64_t bounds[] = {0, 0, 1, 2, 4, RUB_ASYNC};
    scenario->n_workers = (uint32_t)rub_sim_between(sim, 1, 4);
    scenario->n_shards = (uint32_t)rub_sim_between(sim, 1, 3);
    scenario->staleness = bounds[rub_sim_between(sim, 0, RUB_COUNT_OF(bounds) - 1)];
    scenario->n_readers = rub_sim_chance(sim, 30) ? 1 : 0;
    scenario->n_joiners = scenario->staleness != 0 && rub_sim_chance(sim, 40)
                              ? (uint32_t)rub_sim_between(sim, 1, 2)
                              : 0;
    scenario->n_epochs = (uint32_t)rub_sim_between(sim, 1, 3);
    scenario->n_steps = (uint32_t)rub_sim_between(sim, 2, 12);
    scenario->durability = rub_sim_chance(sim, 60)   ? RUB_DURABILITY_JOURNAL
                           : rub_sim_chance(sim, 50) ? RUB_DURABILITY_SYNC
                                                     : RUB_DURABILITY_NONE;
    scenario->prefetch = rub_sim_chance(sim, 50);
    scenario->uneven = rub_sim_chance(sim, 50);
    scenario->slow_worker = rub_sim_chance(sim, 30);
    scenario->pauses = scenario->staleness != 0 && rub_sim_chance(sim, 30);
    scenario->pieces = scenario->staleness != 0 && rub_sim_chance(sim, 30);
    scenario->dense = rub_sim_chance(sim, 20);
    scenario->cut_percent = rub_sim_chance(sim, 60) ? (uint32_t)rub_sim_between(sim, 5, 60) : 0;
    scenario->n_shard_crashes =
        scenario->durability != RUB_DURABILITY_NONE && rub_sim_chance(sim, 70)
            ? (uint32_t)rub_sim_between(sim, 1, 4)
            : 0;
    scenario->n_scheduler_crashes =
        rub_sim_chance(sim, 30) ? (uint32_t)rub_sim_between(sim, 1, 3) : 0;
    scenario->latency_us = rub_sim_between(sim, 20, 5000);
    scenario->faults_end_us = rub_sim_between(sim, 1, 6) * 1000000;
    if (rub_sim_chance(sim, 25)) {
        scenario->n_trainer_crashes = (uint32_t)rub_sim_between(sim, 1, 2);
        scenario->n_joiners = 0; /* one might rightly get the dead one's place */
    }
}

static void people(rub_sim_t *sim)
{
    const rub_sim_scenario_t *scenario = &sim->scenario;
    sim->n_actors = scenario->n_workers + scenario->n_joiners + scenario->n_readers;
    RUB_ASSERT(sim->n_actors <= SIM_ACTORS);
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_t *actor = &sim->actors[a];
        actor->actor = a;
        actor->kind = a < scenario->n_workers                         ? SIM_TRAINER
                      : a < scenario->n_workers + scenario->n_joiners ? SIM_JOINER
                                                                      : SIM_READER;
        actor->start_us = actor->kind == SIM_TRAINER ? rub_sim_between(sim, 0, 50000)
                                                     : rub_sim_between(sim, 0, 2000000);
        actor->compute_us =
            rub_sim_between(sim, 500, 20000) * (scenario->slow_worker && a == 0 ? 20 : 1);
    }
}

static bool all_over(const rub_sim_t *sim)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        if (!sim->actors[a].ended) {
            return false;
        }
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        if (!sim->shards[s].core || rub_shard_phase(sim->shards[s].core) != RUB_SHARD_FINISHED) {
            return false;
        }
    }
    return sim->scheduler.core && rub_scheduler_state(sim->scheduler.core) == RUB_JOB_DONE;
}

static void who_is_stuck(rub_sim_t *sim)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_t *actor = &sim->actors[a];
        if (!actor->ended) {
            char for_whom[200] = "";
            if (actor->core) {
                const rub_handle_t handle = actor->waiting ? actor->waiting : actor->pull;
                rub_client_waits_for(actor->core, handle, rub_sim_ms(sim->now_us), for_whom,
                                     sizeof(for_whom));
            }
            rub_sim_broken(sim, "liveness: actor %u stands in stage %u: %s", a, actor->stage,
                           for_whom);
            return;
        }
    }
    rub_sim_broken(sim, "liveness: the job does not end (state %u)",
                   sim->scheduler.core ? rub_scheduler_state(sim->scheduler.core) : 99u);
}

bool rub_sim_run(rub_sim_t *sim, uint64_t seed, bool trace)
{
    *sim = (rub_sim_t){.seed = seed, .trace = trace};
    rub_rng_init(&sim->rng, seed, 0x73696d);
    draw(sim);
    people(sim);
    const rub_sim_scenario_t *scenario = &sim->scenario;
    sim->n_examples = rub_sim_between(sim, 20, 200);
    sim->dealt = rub_calloc(scenario->n_epochs * sim->n_examples, 1);
    RUB_ASSERT(sim->dealt);
    rub_sim_trace(sim,
                  "seed %llu: %u workers, %u joiners, %u readers, %u shards, staleness %lld, "
                  "durability %u, %u cuts, "
                  "%u shard crashes, %u scheduler crashes, %u trainer crashes%s%s%s%s",
                  (unsigned long long)seed, scenario->n_workers, scenario->n_joiners,
                  scenario->n_readers, scenario->n_shards, (long long)scenario->staleness,
                  scenario->durability, scenario->cut_percent, scenario->n_shard_crashes,
                  scenario->n_scheduler_crashes, scenario->n_trainer_crashes,
                  scenario->dense ? ", dense" : "", scenario->pieces ? ", pieces" : "",
                  scenario->uneven ? ", uneven" : "", scenario->prefetch ? ", prefetch" : "");
    rub_sim_scheduler_start(sim);
    for (uint32_t s = 0; s < scenario->n_shards; s++) {
        sim->shards[s].shard = s;
        rub_sim_after(sim, rub_sim_between(sim, 0, 100000), restart_shard, &sim->shards[s], 0);
    }
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_start(sim, &sim->actors[a]);
    }
    for (uint32_t i = 0; i < scenario->n_shard_crashes; i++) {
        rub_sim_after(sim, rub_sim_between(sim, 100000, scenario->faults_end_us), crash_shard,
                      &sim->shards[rub_sim_between(sim, 0, scenario->n_shards - 1)], 0);
    }
    for (uint32_t i = 0; i < scenario->n_scheduler_crashes; i++) {
        rub_sim_after(sim, rub_sim_between(sim, 100000, scenario->faults_end_us), crash_scheduler,
                      NULL, 0);
    }
    for (uint32_t i = 0; i < scenario->n_trainer_crashes; i++) {
        rub_sim_after(sim, rub_sim_between(sim, 50000, scenario->faults_end_us / 2),
                      rub_sim_actor_kill,
                      &sim->actors[rub_sim_between(sim, 0, scenario->n_workers - 1)], 0);
    }
    cut_something(sim, NULL, 0);
    while (sim->violation[0] == '\0' && !all_over(sim)) {
        if (sim->now_us > scenario->faults_end_us + LIVENESS_US || !rub_sim_next(sim)) {
            who_is_stuck(sim);
            break;
        }
        rub_sim_check_event(sim);
    }
    for (uint64_t i = 0;
         scenario->pieces && sim->violation[0] == '\0' && i < scenario->n_epochs * sim->n_examples;
         i++) {
        if (sim->dealt[i] == 0 || (sim->dealt[i] > 1 && scenario->n_trainer_crashes == 0)) {
            rub_sim_broken(sim, "example %llu of data epoch %llu was dealt %u times",
                           (unsigned long long)(i % sim->n_examples),
                           (unsigned long long)(i / sim->n_examples), sim->dealt[i]);
        }
    }
    return sim->violation[0] == '\0';
}

void rub_sim_fini(rub_sim_t *sim)
{
    /* Messages in flight are freed by firing them at a world where nobody lives. */
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_fini(&sim->actors[a]);
        sim->actors[a].control.up = false;
        for (uint32_t s = 0; s < SIM_SHARDS; s++) {
            sim->actors[a].data[s].up = false;
            sim->actors[a].data[s].wanted = false;
        }
        sim->actors[a].control.wanted = false;
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        sim->shard_control[s].up = false;
        sim->shard_control[s].wanted = false;
        rub_sim_shard_fini(&sim->shards[s]);
        sim->shards[s] = (rub_sim_shard_host_t){0};
    }
    rub_sim_scheduler_fini(sim);
    sim->over = true;
    while (rub_sim_next(sim)) {
    }
    rub_free(sim->heap);
    rub_free(sim->dealt);
    *sim = (rub_sim_t){0};
}
