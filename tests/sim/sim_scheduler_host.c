/* The scheduler's process: its disk is the state that it committed last, which is on the platter.
 *
 * Laws: nobody is evicted for silence who was well: a rank's process must have been dead, stopped
 * or on a clock of its own, or one of its connections cut or held up, not long before; nor by a
 * scheduler that has not been there for a lease itself; nor while all shards are well and hear the
 * rank. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

#define IMPAIRED_US 30000000u
#define LEASE_US 5000000u
#define LEAST_LEASE_US (LEASE_US / 2 - 100000u) /* on the fastest clock */

static void on_send(void *context, rub_caller_t to, const rub_control_t *message)
{
    rub_sim_t *sim = context;
    rub_sim_channel_t *channel = rub_sim_channel_of(sim, to);
    if (channel) {
        rub_sim_send_control(sim, channel, false, message);
    }
}

static int on_commit(void *context, const void *state, size_t n_bytes)
{
    rub_sim_t *sim = context;
    rub_free(sim->scheduler.committed);
    sim->scheduler.committed = rub_alloc(n_bytes + 1);
    RUB_ASSERT(sim->scheduler.committed);
    memcpy(sim->scheduler.committed, state, n_bytes);
    sim->scheduler.committed_bytes = n_bytes;
    return 0;
}

/* Every shard is well, and for so long that all reports say so has got frames of the rank all the
 * time. */
static bool all_hear(const rub_sim_t *sim, uint32_t rank)
{
    bool all = sim->now_us > sim->impaired_us + LEASE_US;
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        const rub_sim_shard_host_t *host = &sim->shards[s];
        all = all && host->core && !host->process.paused && host->process.skew_percent == 0 &&
              sim->now_us - host->heard_us[rank] < LEASE_US / 2 &&
              sim->now_us - host->hearing_us[rank] > LEASE_US;
    }
    return all && sim->scheduler.process.skew_percent == 0;
}

static void judge_eviction(rub_sim_t *sim, uint32_t rank, uint32_t epoch, const char *sentence)
{
    sim->counts[SIM_N_EVICTIONS]++;
    sim->disturbed = true;
    if (rank >= SIM_RANKS) {
        return;
    }
    sim->evicted_epoch[rank] = epoch;
    rub_sim_actor_evicted(sim, rank, epoch);
    const rub_sim_actor_t *actor = &sim->actors[rank];
    const bool silent = strstr(sentence, "its process has ended") == NULL;
    const bool well = actor->core && !actor->process.paused && actor->process.skew_percent == 0 &&
                      sim->now_us > actor->impaired_us + IMPAIRED_US;
    if (rank >= sim->scenario.n_workers || !silent) {
        return;
    }
    if (well && sim->now_us > sim->impaired_us + IMPAIRED_US) {
        rub_sim_broken(sim, "membership: a rank that was well is evicted: %s", sentence);
    } else if (sim->now_us - sim->scheduler.started_us < LEAST_LEASE_US) {
        rub_sim_broken(sim, "membership: evicted %.1f s after the scheduler's start: %s",
                       (double)(sim->now_us - sim->scheduler.started_us) / 1e6, sentence);
    } else if (all_hear(sim, rank)) {
        rub_sim_broken(sim, "membership: a rank that all shards hear is evicted: %s", sentence);
    } else {
        rub_sim_check_innocent(sim, actor, sentence);
    }
}

static void on_notice(void *context, const char *sentence)
{
    rub_sim_t *sim = context;
    unsigned rank = 0;
    unsigned epoch = 0;
    rub_sim_trace(sim, "scheduler: %s", sentence);
    if (strstr(sentence, "is evicted: ") &&
        sscanf(sentence, "rank %u (%*[^,], epoch %u)", &rank, &epoch) == 2) {
        judge_eviction(sim, rank, epoch, sentence);
    }
}

static uint64_t now_ms(const rub_sim_t *sim)
{
    return rub_sim_local_ms(sim, &sim->scheduler.process);
}

static void tick(rub_sim_t *sim, void *subject, uint64_t life)
{
    if (!sim->scheduler.core || sim->scheduler.life != life ||
        rub_sim_asleep(sim, &sim->scheduler.process, tick, subject, life)) {
        return;
    }
    const int rc = rub_scheduler_tick(sim->scheduler.core, now_ms(sim));
    const char *sentence = "";
    if (rc) {
        rub_sim_broken(sim, "the scheduler fails with %s", rub_error_name(rc));
    } else if (rub_scheduler_failure(sim->scheduler.core, &sentence) != 0 && !sim->doomed) {
        rub_sim_broken(sim, "the job failed: %s", sentence);
    }
    rub_sim_timer(sim, &sim->scheduler.process, 100000, tick, subject, life);
}

int rub_sim_scheduler_start(rub_sim_t *sim)
{
    const rub_scheduler_effects_t effects = {
        .context = sim,
        .send = on_send,
        .commit = on_commit,
        .snapshot_write = rub_sim_snapshot_write,
        .snapshot_drop = rub_sim_snapshot_removed,
        .notice = on_notice,
    };
    rub_scheduler_config_t config = {
        .job = sim->options.seed * 2 + 1,
        .n_workers = sim->scenario.n_workers,
        .n_shards = sim->scenario.n_shards,
        .staleness = sim->scenario.staleness,
        .reduce = RUB_REDUCE_SUM, /* the ledger counts whole pushes */
        .seed = sim->options.seed,
        .lease_ms = 5000,
        .join_timeout_ms = 60000,
        .grace_ms = 60000,
    };
    rub_sim_snapshot_config(sim, &config);
    sim->scheduler.life++;
    sim->scheduler.started_us = sim->now_us;
    sim->scheduler.core = rub_scheduler_new(&config, &effects);
    RUB_ASSERT(sim->scheduler.core);
    rub_error_t err = {0};
    int rc = 0;
    if (sim->scheduler.committed) {
        uint8_t *state = sim->scheduler.committed; /* a commit during the load would free it */
        sim->scheduler.committed = NULL;
        rc = rub_scheduler_load(sim->scheduler.core, state, sim->scheduler.committed_bytes, &err);
        rub_free(state);
    }
    if (rc == 0) {
        rc = rub_scheduler_start(sim->scheduler.core, now_ms(sim));
    }
    if (rc) {
        rub_sim_broken(sim, "the scheduler does not start: %s", err.message);
        return rc;
    }
    rub_sim_after(sim, 100000, tick, NULL, sim->scheduler.life);
    return 0;
}

static void start_if_dead(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(subject);
    RUB_UNUSED(unused);
    if (!sim->scheduler.core && !sim->over) {
        rub_sim_scheduler_start(sim);
    }
}

void rub_sim_scheduler_crash(rub_sim_t *sim, bool power)
{
    if (!sim->scheduler.core) {
        return;
    }
    rub_sim_trace(sim, power ? "the scheduler's host loses power" : "the scheduler is killed");
    rub_scheduler_destroy(&sim->scheduler.core);
    sim->scheduler.crashes++;
    void (*const end)(rub_sim_t *, rub_sim_channel_t *) = power ? rub_sim_vanish : rub_sim_reset;
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        end(sim, &sim->actors[a].control);
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        end(sim, &sim->shard_control[s]);
    }
    rub_sim_go_on(sim, &sim->scheduler.process);
    rub_sim_after(sim, rub_sim_between(sim, 1000, 1000000), start_if_dead, NULL, 0);
}

void rub_sim_scheduler_mail(rub_sim_t *sim, uint64_t connection, const uint8_t *bytes,
                            size_t n_bytes)
{
    if (!sim->scheduler.core) {
        return;
    }
    rub_arena_t arena;
    rub_control_t message;
    rub_arena_init(&arena);
    RUB_ASSERT(rub_control_decode(bytes, n_bytes, &arena, &message, NULL) == 0);
    const int rc = rub_scheduler_receive(sim->scheduler.core, connection, &message, now_ms(sim));
    rub_arena_fini(&arena);
    if (rc) {
        rub_sim_broken(sim, "the scheduler fails with %s on %s", rub_error_name(rc),
                       rub_message_name(message.type));
    }
}

void rub_sim_scheduler_fini(rub_sim_t *sim)
{
    rub_scheduler_destroy(&sim->scheduler.core);
    rub_free(sim->scheduler.committed);
    rub_sim_process_fini(sim, &sim->scheduler.process);
}
