/* Everything that can go wrong, one row per kind. A fault is drawn beforehand (sim_plan.c) as a
 * time, a duration and two random numbers; only here it meets whoever is there by then. Nothing
 * goes wrong after faults_end_us: from there on everybody must get through. */
#include "common/base/check.h"
#include "tests/sim/sim.h"

typedef void (*apply_t)(rub_sim_t *sim, const rub_sim_fault_t *fault);

/* ---- whom ---- */

static rub_sim_shard_host_t *shard_of(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    return &sim->shards[fault->who % sim->scenario.n_shards];
}

static rub_sim_actor_t *trainer_of(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    return &sim->actors[fault->who % sim->scenario.n_workers];
}

static rub_sim_channel_t *channel_of(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channels[SIM_CHANNELS];
    const size_t n = rub_sim_channels(sim, channels);
    return channels[fault->who % n];
}

static bool serves(const rub_sim_shard_host_t *host)
{
    return host->core && rub_shard_phase(host->core) == RUB_SHARD_SERVING;
}

static bool leads(const rub_sim_t *sim)
{
    return sim->scheduler.core && rub_scheduler_state(sim->scheduler.core) < RUB_JOB_DONE;
}

/* ---- network ---- */

static void cut_now(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_channel_t *channel = subject;
    channel->blocked_until_us[1] = sim->now_us; /* the next connection takes another way */
    rub_sim_cut(sim, channel);
}

/* Half of the cuts come while the client's frames pile up somewhere on the way: they may come out
 * behind the first ones of the next connection. */
static void cut(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channel = channel_of(sim, fault);
    if (fault->detail & 1) {
        rub_sim_hold_up(sim, channel, true, fault->duration_us);
        rub_sim_after(sim, fault->duration_us, cut_now, channel, 0);
    } else {
        rub_sim_cut(sim, channel);
    }
}

/* A switch forgets everything: all connections at once. */
static void storm(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channels[SIM_CHANNELS];
    const size_t n = rub_sim_channels(sim, channels);
    for (size_t i = 0; i < n; i++) {
        if ((fault->detail >> (i % 32)) & 1) {
            rub_sim_cut(sim, channels[i]);
        }
    }
}

static void one_way(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    sim->counts[SIM_N_ONE_WAY]++;
    rub_sim_hold_up(sim, channel_of(sim, fault), fault->detail & 1, fault->duration_us);
}

static void stall(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channel = channel_of(sim, fault);
    sim->counts[SIM_N_STALLS]++;
    rub_sim_hold_up(sim, channel, true, fault->duration_us);
    rub_sim_hold_up(sim, channel, false, fault->duration_us);
}

static void slow_link(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channel = channel_of(sim, fault);
    sim->counts[SIM_N_SLOW_LINKS]++;
    channel->slow_until_us = sim->now_us + fault->duration_us;
    if (channel->kind != SIM_CONTROL_OF_SHARD) {
        sim->actors[channel->actor].impaired_us = sim->now_us;
    }
}

/* Hosts fall into two groups that do not reach each other; detail has one bit per host. Half of
 * the partitions work in one direction only. */
static void partition(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_channel_t *channels[SIM_CHANNELS];
    const size_t n = rub_sim_channels(sim, channels);
    sim->counts[SIM_N_PARTITIONS]++;
    sim->impaired_us = sim->now_us + fault->duration_us;
    for (size_t i = 0; i < n; i++) {
        const rub_sim_channel_t *channel = channels[i];
        const unsigned of_shard = 1 + channel->shard;
        const unsigned near =
            channel->kind == SIM_CONTROL_OF_SHARD ? of_shard : 1 + SIM_SHARDS + channel->actor;
        const unsigned far = channel->kind == SIM_DATA ? of_shard : 0;
        if (((fault->detail >> near) ^ (fault->detail >> far)) & 1) {
            const bool both = fault->who & 1;
            if (both || fault->who & 2) {
                rub_sim_hold_up(sim, channels[i], true, fault->duration_us);
            }
            if (both || !(fault->who & 2)) {
                rub_sim_hold_up(sim, channels[i], false, fault->duration_us);
            }
        }
    }
}

/* ---- processes that end ---- */

static void kill_shard(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_shard_host_t *host = shard_of(sim, fault);
    if (serves(host)) {
        sim->counts[SIM_N_SHARD_KILLS]++;
        sim->impaired_us = sim->now_us;
        rub_sim_shard_crash(sim, host);
        rub_sim_shard_start_later(sim, host);
    }
}

static void kill_scheduler(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    RUB_UNUSED(fault);
    if (leads(sim)) {
        sim->counts[SIM_N_SCHEDULER_KILLS]++;
        sim->impaired_us = sim->now_us;
        rub_sim_scheduler_crash(sim, false);
    }
}

static void kill_now(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_actor_kill(sim, subject);
}

/* Half of them die while what they have sent piles up on the way: it may come when the successor is
 * there. */
static void kill_trainer(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_actor_t *actor = trainer_of(sim, fault);
    for (uint32_t s = 0; s < sim->scenario.n_shards && (fault->detail & 1); s++) {
        rub_sim_hold_up(sim, &actor->data[s], true, 2 * fault->duration_us);
    }
    rub_sim_after(sim, fault->detail & 1 ? fault->duration_us : 0, kill_now, actor, 0);
}

/* The scheduler and some shards (detail), or all of them, in one moment. */
static void kill_together(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    const bool all = fault->who % 3 == 0;
    sim->counts[SIM_N_KILLS_TOGETHER]++;
    kill_scheduler(sim, fault);
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        if (all || (fault->detail >> s) & 1) {
            const rub_sim_fault_t one = {.who = s};
            kill_shard(sim, &one);
        }
    }
}

static void lose_power(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (serves(host)) {
        sim->impaired_us = sim->now_us;
        rub_sim_shard_power(sim, host);
        rub_sim_shard_start_later(sim, host);
    }
}

static void power(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    lose_power(sim, shard_of(sim, fault));
}

static void power_all(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    RUB_UNUSED(fault);
    if (leads(sim)) {
        rub_sim_scheduler_crash(sim, true);
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        lose_power(sim, &sim->shards[s]);
    }
}

/* With durability none a shard's tables die with it: the job must end, and say so. */
static void kill_unkept(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_shard_host_t *host = shard_of(sim, fault);
    if (serves(host)) {
        sim->counts[SIM_N_UNKEPT]++;
        sim->doomed = true;
        rub_sim_tell_back(sim, host);
        rub_sim_shard_crash(sim, host);
        rub_sim_shard_start_later(sim, host);
    }
}

/* ---- processes that leave in order ---- */

static void term_shard(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_shard_host_t *host = subject;
    if (serves(host)) {
        sim->impaired_us = sim->now_us;
        rub_sim_shard_term(sim, host);
    }
}

/* A rolling restart: each shard gets SIGTERM, one after the other. */
static void rolling(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_after(sim, s * (fault->duration_us / sim->scenario.n_shards), term_shard,
                      &sim->shards[s], 0);
    }
}

static void term_trainer(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_actor_term(sim, trainer_of(sim, fault));
}

/* ---- SIGSTOP, and clocks ---- */

static void watch_all(rub_sim_t *sim)
{
    rub_sim_channel_t *channels[SIM_CHANNELS];
    const size_t n = rub_sim_channels(sim, channels);
    for (size_t i = 0; i < n; i++) {
        rub_sim_watch(sim, channels[i]);
    }
}

static void stop(rub_sim_t *sim, rub_sim_process_t *process, uint64_t duration_us, const char *whom,
                 uint32_t number)
{
    if (process->paused) {
        return;
    }
    rub_sim_trace(sim, "%s %u gets SIGSTOP for %.3f s", whom, number, (double)duration_us / 1e6);
    sim->counts[SIM_N_PAUSES]++;
    sim->impaired_us = sim->now_us + duration_us;
    rub_sim_pause(sim, process, duration_us);
    watch_all(sim);
}

static void pause_shard(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_shard_host_t *host = shard_of(sim, fault);
    if (serves(host)) {
        stop(sim, &host->process, fault->duration_us, "shard", host->shard);
    }
}

static void pause_scheduler(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    if (leads(sim)) {
        stop(sim, &sim->scheduler.process, fault->duration_us, "scheduler", 0);
    }
}

static void pause_trainer(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_actor_t *actor = trainer_of(sim, fault);
    if (actor->core && !actor->ended) {
        actor->impaired_us = sim->now_us + fault->duration_us;
        stop(sim, &actor->process, fault->duration_us, "actor", actor->actor);
    }
}

static rub_sim_process_t *process_of(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    const uint32_t n = 1 + sim->scenario.n_shards + sim->n_actors;
    const uint32_t i = fault->who % n;
    return i == 0                        ? &sim->scheduler.process
           : i <= sim->scenario.n_shards ? &sim->shards[i - 1].process
                                         : &sim->actors[i - 1 - sim->scenario.n_shards].process;
}

static void jump(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    sim->counts[SIM_N_JUMPS]++;
    sim->impaired_us = sim->now_us;
    rub_sim_jump(sim, process_of(sim, fault), fault->duration_us);
}

static void set_rate_right(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_set_rate(sim, subject, 0);
}

static void rate(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    rub_sim_process_t *process = process_of(sim, fault);
    sim->counts[SIM_N_RATES]++;
    sim->impaired_us = sim->now_us + fault->duration_us;
    rub_sim_set_rate(sim, process, (int)(fault->detail % 151) - 50);
    rub_sim_after(sim, fault->duration_us, set_rate_right, process, 0);
}

/* ---- disks ---- */

static void disk_full(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    shard_of(sim, fault)->full_until_us = sim->now_us + fault->duration_us;
    sim->impaired_us = sim->now_us + fault->duration_us;
}

static void disk_error(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    if (serves(shard_of(sim, fault))) {
        shard_of(sim, fault)->eio = true;
        sim->impaired_us = sim->now_us;
    }
}

static void slow_disk(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    shard_of(sim, fault)->slow_until_us = sim->now_us + fault->duration_us;
    sim->impaired_us = sim->now_us + fault->duration_us;
}

static void rot(rub_sim_t *sim, const rub_sim_fault_t *fault)
{
    if (serves(shard_of(sim, fault))) {
        shard_of(sim, fault)->rots = true;
        kill_shard(sim, fault);
    }
}

/* ---- the table ---- */

enum {
    NEEDS_DISK = 1, /* of durability none there is nothing to come back from */
    NEEDS_NO_DISK = 2
};

#define PART "part" /* has laws of its own, about those who have no other trouble */

static const struct kind {
    const char *name;
    apply_t apply;
    rub_sim_profile_t profile; /* its own; swarm and chaos draw all */
    unsigned most;             /* in one run */
    uint32_t least_ms, most_ms;
    unsigned needs;
} kinds[] = {
    {"cut", cut, SIM_NETWORK, 12, 5, 400, 0},
    {"storm", storm, SIM_NETWORK, 3, 0, 0, 0},
    {"one-way", one_way, SIM_NETWORK, 4, 100, 7000, 0},
    {"stall", stall, SIM_NETWORK, 5, 10, 2500, 0},
    {"slow-link", slow_link, SIM_NETWORK, 4, 100, 3000, 0},
    {"partition", partition, SIM_NETWORK, 2, 200, 9000, 0},
    {"kill-shard", kill_shard, SIM_POWER, 4, 0, 0, NEEDS_DISK},
    {"kill-scheduler", kill_scheduler, SIM_POWER, 3, 0, 0, 0},
    {"kill-trainer", kill_trainer, SIM_PAUSE, 2, 5, 400, 0},
    {"kill-together", kill_together, SIM_POWER, 2, 0, 0, NEEDS_DISK},
    {"power", power, SIM_POWER, 3, 0, 0, NEEDS_DISK},
    {"power-all", power_all, SIM_POWER, 2, 0, 0, NEEDS_DISK},
    {"rolling", rolling, SIM_POWER, 1, 100, 3000, NEEDS_DISK},
    {"term-trainer", term_trainer, SIM_PAUSE, 2, 0, 0, 0},
    {"pause-shard", pause_shard, SIM_PAUSE, 2, 50, 9000, 0},
    {"pause-scheduler", pause_scheduler, SIM_PAUSE, 2, 50, 12000, 0},
    {"pause-trainer", pause_trainer, SIM_PAUSE, 2, 50, 12000, 0},
    {"jump", jump, SIM_PAUSE, 2, 100, 8000, 0},
    {"rate", rate, SIM_PAUSE, 2, 1000, 6000, 0},
    {"disk-full", disk_full, SIM_POWER, 2, 50, 4000, NEEDS_DISK},
    {"disk-error", disk_error, SIM_POWER, 1, 0, 0, NEEDS_DISK},
    {"slow-disk", slow_disk, SIM_POWER, 2, 100, 4000, NEEDS_DISK},
    {"rot", rot, SIM_POWER, 1, 0, 0, NEEDS_DISK},
    {"kill-unkept", kill_unkept, SIM_POWER, 1, 0, 0, NEEDS_NO_DISK},
    {PART, rub_sim_part, SIM_NETWORK, 2, 6000, 30000, 0},
};

const char *rub_sim_fault_name(unsigned kind)
{
    return kind < RUB_COUNT_OF(kinds) ? kinds[kind].name : NULL;
}

bool rub_sim_fault_is_in(unsigned kind, rub_sim_profile_t profile)
{
    return profile == SIM_SWARM || profile == SIM_CHAOS || kinds[kind].profile == profile;
}

bool rub_sim_fault_fits(unsigned kind, const rub_sim_scenario_t *scenario)
{
    const unsigned needed =
        scenario->durability == RUB_DURABILITY_NONE ? NEEDS_DISK : NEEDS_NO_DISK;
    return !(kinds[kind].needs & needed);
}

unsigned rub_sim_fault_most(unsigned kind)
{
    return kinds[kind].most;
}

void rub_sim_fault_duration(unsigned kind, uint64_t *least_us, uint64_t *most_us)
{
    *least_us = kinds[kind].least_ms * UINT64_C(1000);
    *most_us = kinds[kind].most_ms * UINT64_C(1000);
}

static void happen(rub_sim_t *sim, void *subject, uint64_t number)
{
    const rub_sim_fault_t *fault = subject;
    rub_sim_trace(sim, "fault %llu: %s", (unsigned long long)number, kinds[fault->kind].name);
    const uint64_t until_us = sim->now_us + 2 * fault->duration_us; /* one does a second thing */
    if (strcmp(kinds[fault->kind].name, PART) != 0 && until_us > sim->troubled_us) {
        sim->troubled_us = until_us;
    }
    kinds[fault->kind].apply(sim, fault);
}

void rub_sim_faults_begin(rub_sim_t *sim)
{
    for (size_t i = 0; i < sim->scenario.n_faults; i++) {
        rub_sim_fault_t *fault = &sim->scenario.faults[i];
        const bool masked = (sim->options.without >> fault->kind) & 1 ||
                            (sim->options.only_faults && !((sim->options.only_faults >> i) & 1));
        if (!masked) {
            rub_sim_after(sim, fault->at_us, happen, fault, i);
        }
    }
}
