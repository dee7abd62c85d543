/* One run: everybody starts, faults happen until faults_end, and from there everybody must get
 * through within a bounded virtual time (liveness): all programs end, all shards finish, the job is
 * done. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#define LIVENESS_US (180u * UINT64_C(1000000))

static bool all_over(const rub_sim_t *sim)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        if (!sim->actors[a].ended) {
            return false;
        }
    }
    const uint32_t state = sim->scheduler.core ? rub_scheduler_state(sim->scheduler.core) : 0;
    if (sim->doomed && state == RUB_JOB_FAILED) {
        return true;
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        const rub_shard_t *core = sim->shards[s].core;
        /* Killed between its FINISHED and the scheduler's word, and nothing was kept: its successor
         * has been sent away, because the job is done. */
        const bool sent_away = !core && sim->doomed && state == RUB_JOB_DONE;
        if (!sent_away && (!core || rub_shard_phase(core) != RUB_SHARD_FINISHED)) {
            return false;
        }
    }
    return state == RUB_JOB_DONE;
}

static void who_is_stuck(rub_sim_t *sim)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_t *actor = &sim->actors[a];
        if (!actor->ended) {
            char for_whom[200] = "";
            if (actor->core) {
                const rub_handle_t handle = actor->waiting ? actor->waiting : actor->pull;
                rub_client_waits_for(actor->core, handle, rub_sim_local_ms(sim, &actor->process),
                                     for_whom, sizeof(for_whom));
            }
            rub_sim_broken(sim, "liveness: actor %u stands in stage %u: %s", a, actor->stage,
                           for_whom);
            return;
        }
    }
    rub_sim_broken(sim, "liveness: the job does not end (state %u)",
                   sim->scheduler.core ? rub_scheduler_state(sim->scheduler.core) : 99u);
}

static void check_dealt(rub_sim_t *sim)
{
    const uint64_t n =
        sim->scenario.pieces && !sim->doomed ? sim->scenario.n_epochs * sim->n_examples : 0;
    for (uint64_t i = 0; i < n; i++) {
        if (sim->dealt[i] == 0 || (sim->dealt[i] > 1 && !sim->disturbed)) {
            rub_sim_broken(sim, "leases: example %llu of data epoch %llu was dealt %u times",
                           (unsigned long long)(i % sim->n_examples),
                           (unsigned long long)(i / sim->n_examples), sim->dealt[i]);
            return;
        }
    }
}

static void start_shard(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_shard_start(sim, subject);
}

static void describe(rub_sim_t *sim)
{
    const rub_sim_scenario_t *scenario = &sim->scenario;
    rub_sim_trace(sim,
                  "seed %llu: %u workers, %u joiners, %u readers, %u shards, staleness %lld, "
                  "durability %u, codecs %u %u, %zu faults%s%s%s%s%s",
                  (unsigned long long)sim->options.seed, scenario->n_workers, scenario->n_joiners,
                  scenario->n_readers, scenario->n_shards, (long long)scenario->staleness,
                  scenario->durability, scenario->codec, scenario->pull_codec, scenario->n_faults,
                  scenario->retain_synced ? ", retain" : "", scenario->dense ? ", dense" : "",
                  scenario->pieces ? ", pieces" : "", scenario->uneven ? ", uneven" : "",
                  scenario->prefetch ? ", prefetch" : "");
}

bool rub_sim_run(rub_sim_t *sim, const rub_sim_options_t *options)
{
    *sim = (rub_sim_t){.options = *options};
    rub_rng_init(&sim->rng, options->seed, 0x73696d);
    rub_sim_plan(sim);
    const rub_sim_scenario_t *scenario = &sim->scenario;
    sim->dealt = rub_calloc(scenario->n_epochs * sim->n_examples, 1);
    RUB_ASSERT(sim->dealt);
    const rub_history_config_t ledger = {
        .n_writers = sim->n_actors,
        .n_rows = SIM_KEYS,
        .staleness = scenario->staleness,
        .durability = scenario->durability,
        .grouped = scenario->dense, /* a block is one message */
    };
    sim->history = rub_history_new(&ledger);
    RUB_ASSERT(sim->history);
    describe(sim);
    rub_sim_scheduler_start(sim);
    for (uint32_t s = 0; s < scenario->n_shards; s++) {
        sim->shards[s].shard = sim->shard_control[s].shard = s;
        sim->shard_control[s].kind = SIM_CONTROL_OF_SHARD;
        rub_sim_after(sim, rub_sim_between(sim, 0, 40000), start_shard, &sim->shards[s], 0);
    }
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_start(sim, &sim->actors[a]);
    }
    rub_sim_faults_begin(sim);
    while (sim->violation[0] == '\0' && !all_over(sim)) {
        if (sim->now_us > scenario->faults_end_us + LIVENESS_US || !rub_sim_next(sim)) {
            who_is_stuck(sim);
            break;
        }
        rub_sim_check_event(sim);
    }
    sim->counts[SIM_N_FAILED_JOBS] +=
        sim->scheduler.core && rub_scheduler_state(sim->scheduler.core) == RUB_JOB_FAILED;
    if (sim->violation[0] == '\0') {
        check_dealt(sim);
        rub_sim_loss_check_end(sim);
    }
    return sim->violation[0] == '\0';
}

void rub_sim_fini(rub_sim_t *sim)
{
    sim->over = true; /* what is still planned is fired at a world where nobody lives, and freed */
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_fini(sim, &sim->actors[a]);
        sim->actors[a].control.wanted = false;
        for (uint32_t s = 0; s < SIM_SHARDS; s++) {
            sim->actors[a].data[s].wanted = false;
        }
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        sim->shard_control[s].wanted = false;
        rub_sim_shard_fini(sim, &sim->shards[s]);
    }
    rub_sim_scheduler_fini(sim);
    while (rub_sim_next(sim)) {
    }
    rub_free(sim->heap);
    rub_free(sim->dealt);
    rub_free(sim->trained);
    rub_history_destroy(&sim->history);
    *sim = (rub_sim_t){0};
}
