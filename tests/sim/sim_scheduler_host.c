/* The scheduler's process: its disk is the state that it committed last. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

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

static void on_notice(void *context, const char *sentence)
{
    rub_sim_trace(context, "scheduler: %s", sentence);
}

static void tick(rub_sim_t *sim, void *subject, uint64_t life)
{
    RUB_UNUSED(subject);
    if (!sim->scheduler.core || sim->scheduler.life != life) {
        return;
    }
    const int rc = rub_scheduler_tick(sim->scheduler.core, rub_sim_ms(sim->now_us));
    const char *sentence = "";
    if (rc) {
        rub_sim_broken(sim, "the scheduler fails with %s", rub_error_name(rc));
    } else if (rub_scheduler_failure(sim->scheduler.core, &sentence) != 0) {
        rub_sim_broken(sim, "the job failed: %s", sentence);
    }
    rub_sim_after(sim, 100000, tick, NULL, life);
}

int rub_sim_scheduler_start(rub_sim_t *sim)
{
    const rub_scheduler_effects_t effects = {
        .context = sim, .send = on_send, .commit = on_commit, .notice = on_notice};
    const rub_scheduler_config_t config = {
        .job = sim->seed * 2 + 1,
        .n_workers = sim->scenario.n_workers,
        .n_shards = sim->scenario.n_shards,
        .staleness = sim->scenario.staleness,
        .reduce = RUB_REDUCE_SUM, /* the ledger counts whole pushes */
        .seed = sim->seed,
        .lease_ms = 5000,
        .join_timeout_ms = 60000,
        .grace_ms = 60000,
    };
    sim->scheduler.life++;
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
        rc = rub_scheduler_start(sim->scheduler.core, rub_sim_ms(sim->now_us));
    }
    if (rc) {
        rub_sim_broken(sim, "the scheduler does not start: %s", err.message);
        return rc;
    }
    rub_sim_after(sim, 100000, tick, NULL, sim->scheduler.life);
    return 0;
}

void rub_sim_scheduler_crash(rub_sim_t *sim)
{
    rub_sim_trace(sim, "the scheduler is killed");
    rub_scheduler_destroy(&sim->scheduler.core);
    sim->scheduler.crashes++;
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_cut(sim, &sim->actors[a].control);
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_cut(sim, &sim->shard_control[s]);
    }
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
    const int rc =
        rub_scheduler_receive(sim->scheduler.core, connection, &message, rub_sim_ms(sim->now_us));
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
}
