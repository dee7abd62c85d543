/* A table that forgets, and in some runs admits rows by a draw, or at their second push. In some
 * runs trainers push to it, too, key after key in turn, and its shards delete what goes without a
 * push for a few clocks; so rows die and come back all the time, between checkpoints, kills, losses
 * of power and snapshots. In some runs its optimizer revises: a trainer pulls the rows that it is
 * about to push, and what it pushes a second time in a period could not know of the first.
 *
 * Laws: a DELETE record names only keys that were pushed, and of which no push that the journal has
 * is younger than the policy says; and when a process is killed, its disk recovers to the rows that
 * it had, deletes included. (That a replay finds each delete explained by the rows themselves is
 * the product's own law.) */
#include "common/base/check.h"
#include "tests/sim/sim.h"

enum { TABLE = 2, IDLE_CLOCKS = 3, SWEEP_CLOCKS = 2, WHOSE = 32 };

static bool admits_by_draw(const rub_sim_t *sim)
{
    return sim->scenario.open_ends;
}

static bool admits_by_count(const rub_sim_t *sim)
{
    return !sim->scenario.open_ends && sim->scenario.n_shards > 1;
}

bool rub_sim_embers_revise(const rub_sim_t *sim)
{
    return sim->scenario.embers && sim->scenario.uneven;
}

int rub_sim_embers_open(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "embers";
    schema.kind = RUB_HASHED;
    schema.width = 1;
    schema.optimizer = rub_sim_embers_revise(sim) ? RUB_ADAREVISION : RUB_ADAGRAD;
    schema.admit_probability = admits_by_draw(sim) ? 0.5 : 1;
    schema.admit_count = admits_by_count(sim) ? 2 : 0;
    schema.admit_counters = 1 << 17;
    schema.evict = (rub_eviction_t){.idle_clocks = IDLE_CLOCKS, .sweep_clocks = SWEEP_CLOCKS};
    return rub_client_table_open(actor->core, &schema, &actor->waiting, err);
}

/* The keys of its present period. Returns how many they are. */
static size_t keys_of(const rub_sim_actor_t *actor, uint64_t keys[2])
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    const uint64_t first = (uint64_t)actor->actor << WHOSE;
    keys[0] = first + info.clock % SIM_EMBERS;
    keys[1] = first + (info.clock * 5 + 1) % SIM_EMBERS;
    return keys[0] == keys[1] ? 1 : 2;
}

int rub_sim_embers_pull(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err)
{
    uint64_t keys[2];
    const rub_client_pull_t pull = {
        .table = TABLE, .keys = keys, .n = keys_of(actor, keys), .values = actor->embers};
    rub_client_time(actor->core, rub_sim_local_ms(sim, &actor->process));
    return rub_client_pull(actor->core, &pull, &actor->waiting, err);
}

int rub_sim_embers_push(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err)
{
    uint64_t keys[2];
    float values[2] = {1, 2};
    RUB_UNUSED(sim);
    const rub_client_push_t push = {
        .table = TABLE, .keys = keys, .n = keys_of(actor, keys), .values = values};
    return rub_client_push(actor->core, &push, NULL, err);
}

bool rub_sim_embers_is_push(const rub_record_t *push, uint32_t *actor)
{
    if (push->table != TABLE) {
        return false;
    }
    *actor = (uint32_t)(rub_get_u64(push->keys) >> WHOSE);
    return true;
}

static uint64_t *last_of(rub_sim_shard_host_t *host, const uint8_t *key_bytes)
{
    const uint64_t key = rub_get_u64(key_bytes);
    RUB_ASSERT(key >> WHOSE < SIM_ACTORS);
    RUB_ASSERT((uint32_t)key < SIM_EMBERS);
    return &host->embers[key >> WHOSE][(uint32_t)key];
}

/* Under bsp a key may have been pushed in a period that is still open, and the pushes of a rank
 * that is given up are never applied; the rows themselves are held against the policy by a replay.
 */
static bool may_die(const rub_sim_t *sim, uint64_t last, uint64_t tick)
{
    const bool bsp = sim->scenario.staleness == 0;
    if (last == 0) {
        return bsp; /* was deleted, and pushed since, by a record that is not applied */
    }
    const uint64_t clock = last - 1;
    return clock + IDLE_CLOCKS < tick || bsp;
}

static void check_delete(rub_sim_t *sim, rub_sim_shard_host_t *host,
                         const rub_sim_record_t *written)
{
    rub_delete_record_t record;
    RUB_ASSERT(rub_delete_read(written->bytes, written->n_bytes, &record, NULL) == 0);
    sim->counts[SIM_N_DELETED] += record.n_keys;
    if (record.table != TABLE) {
        rub_sim_broken(sim, "eviction: shard %u deletes rows of table %u", host->shard,
                       record.table);
        return;
    }
    for (uint32_t i = 0; i < record.n_keys; i++) {
        uint64_t *last = last_of(host, record.keys + 8 * (size_t)i);
        if (!host->embers_unknown && !may_die(sim, *last, record.tick)) {
            rub_sim_broken(sim,
                           "eviction: shard %u deletes key %llx at tick %llu, its last push was of "
                           "clock %lld",
                           host->shard,
                           (unsigned long long)rub_get_u64(record.keys + 8 * (size_t)i),
                           (unsigned long long)record.tick, (long long)*last - 1);
        }
        *last = 0;
    }
}

void rub_sim_embers_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                           const rub_sim_record_t *written)
{
    rub_record_t record;
    uint32_t actor = 0;
    if (written->type == RUB_RECORD_DELETE) {
        check_delete(sim, host, written);
    }
    if (!rub_record_is_push(written->type)) {
        return;
    }
    RUB_ASSERT(rub_record_read(written->type, written->bytes, written->n_bytes, &record, NULL) ==
               0);
    for (uint32_t i = 0; rub_sim_embers_is_push(&record, &actor) && i < record.n_keys; i++) {
        uint64_t *last = last_of(host, record.keys + 8 * (size_t)i);
        /* Of a rank's next life it may be of an earlier clock; and nobody knows here which push a
         * table that admits late made the row of. */
        const bool later = record.clock + 1 > *last || admits_by_draw(sim) || admits_by_count(sim);
        *last = later ? record.clock + 1 : *last;
    }
}

/* ---- kill -9 ---- */

bool rub_sim_embers_kept(const rub_sim_t *sim, const rub_sim_shard_host_t *host)
{
    return sim->scenario.embers && sim->scenario.durability != RUB_DURABILITY_NONE && host->core &&
           host->n_turn == 0;
}

void rub_sim_embers_compare(rub_sim_t *sim, const rub_sim_shard_host_t *host, uint64_t rows,
                            uint64_t digest)
{
    const rub_shard_config_t config = {.shard = host->shard,
                                       .n_shards = sim->scenario.n_shards,
                                       .durability = sim->scenario.durability};
    rub_shard_t *core = rub_shard_new(&config, &(rub_shard_effects_t){0});
    rub_error_t err = {0};
    RUB_ASSERT(core);
    if (rub_sim_disk_recover(&host->disk, core, false, &err) != 0) {
        rub_sim_broken(sim, "shard %u does not recover: %s", host->shard, err.message);
    } else if (rub_shard_rows(core) != rows || rub_shard_digest(core) != digest) {
        rub_sim_broken(sim,
                       "eviction: shard %u had %llu rows when it was killed, its disk has %llu, or "
                       "others",
                       host->shard, (unsigned long long)rows,
                       (unsigned long long)rub_shard_rows(core));
    }
    rub_shard_destroy(&core);
}
