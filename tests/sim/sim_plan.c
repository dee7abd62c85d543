/* What a seed decides beforehand: who takes part, which consistency, and which faults, how many and
 * when. Swarm testing (Groce, Zhang, Eide, Chen, Regehr, "Swarm testing", ISSTA 2012): each seed
 * leaves most kinds of faults out, because kinds that always come together hide what each alone
 * would show.
 *
 * Scenario and faults are drawn from streams of their own, so that a smaller scenario, or one with
 * a fault left out, keeps every other draw. */
#include "common/base/check.h"
#include "tests/sim/sim.h"

#define STREAM_SCENARIO 0x7363656e
#define STREAM_FAULTS 0x6661756c
#define STREAM_PEOPLE 0x70656f70

static uint64_t between(rub_rng_t *rng, uint64_t low, uint64_t high)
{
    return low + rub_rng_below(rng, high - low + 1);
}

static bool chance(rub_rng_t *rng, unsigned percent)
{
    return rub_rng_below(rng, 100) < percent;
}

static void draw_scenario(rub_sim_scenario_t *scenario, rub_rng_t *rng)
{
    static const uint64_t bounds[] = {0, 0, 1, 2, 4, RUB_ASYNC};
    scenario->n_workers = (uint32_t)between(rng, 1, 4);
    scenario->n_shards = (uint32_t)between(rng, 1, 3);
    scenario->staleness = bounds[between(rng, 0, RUB_COUNT_OF(bounds) - 1)];
    scenario->n_readers = chance(rng, 30) ? 1 : 0;
    scenario->n_joiners =
        scenario->staleness != 0 && chance(rng, 40) ? (uint32_t)between(rng, 1, 2) : 0;
    scenario->n_epochs = (uint32_t)between(rng, 1, 3);
    scenario->n_steps = (uint32_t)between(rng, 2, 12);
    scenario->durability = chance(rng, 60)   ? RUB_DURABILITY_JOURNAL
                           : chance(rng, 70) ? RUB_DURABILITY_SYNC
                                             : RUB_DURABILITY_NONE;
    scenario->retain_synced = scenario->durability == RUB_DURABILITY_JOURNAL && chance(rng, 40);
    scenario->prefetch = chance(rng, 50);
    scenario->uneven = chance(rng, 50);
    scenario->slow_worker = chance(rng, 30);
    scenario->pauses = scenario->staleness != 0 && chance(rng, 30);
    scenario->pieces = scenario->staleness != 0 && chance(rng, 30);
    scenario->dense = chance(rng, 20);
    scenario->tight_disk = chance(rng, 30);
    scenario->latency_us = between(rng, 20, 5000);
    scenario->faults_end_us = between(rng, 1, 6) * 1000000;
    scenario->sweeps = chance(rng, 35);
    scenario->poison = chance(rng, 15);
    scenario->open_ends = chance(rng, 30);
    static const uint32_t codecs[] = {RUB_CODEC_F16, RUB_CODEC_BF16, RUB_CODEC_INT8, RUB_CODEC_2BIT,
                                      RUB_CODEC_1BIT};
    if (chance(rng, 40)) {
        scenario->codec = codecs[between(rng, 0, RUB_COUNT_OF(codecs) - 1)];
        scenario->pull_codec = chance(rng, 50) ? RUB_CODEC_F16 : RUB_CODEC_F32;
    }
    scenario->timed = chance(rng, 50);
    scenario->embers = chance(rng, 30);
}

static void limit(uint32_t *drawn, uint32_t most)
{
    if (most > 0 && *drawn > most) {
        *drawn = most;
    }
}

static void draw_kind(rub_sim_scenario_t *scenario, unsigned kind, bool many, rub_rng_t *rng)
{
    uint64_t least_us = 0;
    uint64_t most_us = 0;
    rub_sim_fault_duration(kind, &least_us, &most_us);
    const unsigned most = rub_sim_fault_most(kind) * (many ? 2 : 1);
    const uint64_t n = between(rng, 1, most);
    for (uint64_t i = 0; i < n && scenario->n_faults < SIM_FAULTS; i++) {
        const rub_sim_fault_t fault = {.kind = kind,
                                       .at_us = between(rng, 50000, scenario->faults_end_us),
                                       .duration_us = between(rng, least_us, most_us),
                                       .who = rub_rng_u32(rng),
                                       .detail = rub_rng_u32(rng)};
        if (rub_sim_fault_fits(kind, scenario)) {
            scenario->faults[scenario->n_faults++] = fault;
        }
    }
}

/* Kinds that may end a trainer before its time: a joiner might then rightly get its place, and the
 * laws know trainers by their rank. */
static bool may_end_a_trainer(const rub_sim_scenario_t *scenario)
{
    static const char *const names[] = {"kill-trainer", "term-trainer", "pause-", "one-way",
                                        "partition",    "stall",        "rate",   "jump",
                                        "part",         "disk-full",    "power",  "slow-link"};
    for (size_t i = 0; i < scenario->n_faults; i++) {
        for (size_t n = 0; n < RUB_COUNT_OF(names); n++) {
            if (strncmp(rub_sim_fault_name(scenario->faults[i].kind), names[n], strlen(names[n])) ==
                0) {
                return true;
            }
        }
    }
    return false;
}

static void draw_faults(rub_sim_scenario_t *scenario, rub_sim_profile_t profile, rub_rng_t *rng)
{
    const bool calm = profile == SIM_QUIET || (profile == SIM_SWARM && chance(rng, 5));
    const unsigned percent = profile == SIM_CHAOS ? 60 : profile == SIM_SWARM ? 18 : 45;
    for (unsigned kind = 0; rub_sim_fault_name(kind); kind++) {
        const bool on = chance(rng, percent);
        if (on && !calm && rub_sim_fault_is_in(kind, profile)) {
            draw_kind(scenario, kind, profile == SIM_CHAOS, rng);
        }
    }
    if (may_end_a_trainer(scenario)) {
        scenario->n_joiners = 0;
    }
}

static void draw_people(rub_sim_t *sim, rub_rng_t *rng)
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
        actor->start_us =
            actor->kind == SIM_TRAINER ? between(rng, 0, 50000) : between(rng, 0, 2000000);
        actor->compute_us = between(rng, 500, 20000) * (scenario->slow_worker && a == 0 ? 20 : 1);
    }
    sim->n_examples = between(rng, 20, SIM_EXAMPLES);
}

void rub_sim_plan(rub_sim_t *sim)
{
    rub_rng_t rng;
    rub_sim_scenario_t *scenario = &sim->scenario;
    const rub_sim_options_t *options = &sim->options;
    rub_rng_init(&rng, options->seed, STREAM_SCENARIO);
    draw_scenario(scenario, &rng);
    limit(&scenario->n_workers, options->workers);
    limit(&scenario->n_shards, options->shards);
    limit(&scenario->n_epochs, options->epochs);
    limit(&scenario->n_steps, options->steps);
    if (options->no_guests) {
        scenario->n_readers = scenario->n_joiners = 0;
    }
    rub_rng_init(&rng, options->seed, STREAM_FAULTS);
    draw_faults(scenario, options->profile, &rng);
    rub_rng_init(&rng, options->seed, STREAM_PEOPLE);
    draw_people(sim, &rng);
}

bool rub_sim_read_profile(const char *text, rub_sim_profile_t *out)
{
    static const char *const names[] = {"swarm", "quiet", "network", "power", "pause", "chaos"};
    for (unsigned i = 0; i < RUB_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (rub_sim_profile_t)i;
            return true;
        }
    }
    return false;
}
