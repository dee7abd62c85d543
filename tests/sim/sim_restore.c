/* Restores in a simulated world: of some snapshots that are whole, a new job is made at once, on
 * any number of shards and workers, by the functions that the product restores with. What the folds
 * wrote are its parts; the old job goes on and knows nothing of it.
 *
 * Laws: a row of the ledger has the value of its parts on the one shard that has it, and on no
 * other; rows with their slots add up to what the parts add up to, also once they went through a
 * store; nobody begins below a clock that is in it. The first workers push and end a period, and no
 * minimum rises before the last of them has. What is dealt: sim_restore_data.c.
 *
 * Draws from a stream of its own: the old job's seeds stay what they are. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "ps/shard_internal.h"
#include "ps/shard_restore.h"
#include "tests/sim/deaf_shard.h"
#include "tests/sim/sim.h"

#define STREAM_RESTORE 0x72657374
#define LEDGER 1u
#define NEW_JOB 91u

typedef struct held_chunk {
    void *bytes;
    size_t n_bytes;
} held_chunk_t;

/* What a fold of a shard wrote. */
struct rub_sim_part {
    rub_part_head_t head;
    rub_buf_t view;
    rub_part_counts_t *counts; /* own their bytes */
    size_t n_counts, counts_capacity;
    held_chunk_t *chunks;
    size_t n_chunks, chunks_capacity;
};

static void *copy_of(const void *bytes, size_t n)
{
    void *out = rub_alloc(n + 1);
    RUB_ASSERT(out);
    memcpy(out, bytes, n);
    return out;
}

void rub_sim_part_destroy(rub_sim_part_t **self_p)
{
    rub_sim_part_t *self = *self_p;
    if (!self) {
        return;
    }
    for (size_t i = 0; i < self->n_counts; i++) {
        rub_free((void *)self->counts[i].bytes);
    }
    for (size_t i = 0; i < self->n_chunks; i++) {
        rub_free(self->chunks[i].bytes);
    }
    rub_free(self->head.ranks);
    rub_free(self->counts);
    rub_free(self->chunks);
    rub_buf_fini(&self->view);
    rub_free(self);
    *self_p = NULL;
}

/* ---- writing ---- */

static void put_table(rub_sim_part_t *self, rub_ptable_t *table, uint64_t lsn)
{
    rub_part_counts_t counts = {.table = rub_ptable_schema(table)->id};
    const uint8_t *cells = NULL;
    counts.n_bytes = rub_ptable_counts(table, &counts.first_part, &counts.n_parts, &cells);
    if (counts.n_bytes > 0) {
        counts.bytes = copy_of(cells, counts.n_bytes);
        RUB_ASSERT(rub_grow(&self->counts, &self->counts_capacity, self->n_counts + 1,
                            sizeof(counts)) == 0);
        self->counts[self->n_counts++] = counts;
    }
    for (uint32_t number = 0; rub_ptable_next_chunk(table, &number); number++) {
        held_chunk_t chunk = {0};
        RUB_ASSERT(rub_ptable_stage(table, number, lsn, &chunk.bytes, &chunk.n_bytes, NULL) == 0);
        RUB_ASSERT(rub_grow(&self->chunks, &self->chunks_capacity, self->n_chunks + 1,
                            sizeof(chunk)) == 0);
        self->chunks[self->n_chunks++] = chunk;
    }
}

static rub_sim_part_t *part_of(rub_shard_t *core, uint64_t lsn)
{
    rub_sim_part_t *self = rub_calloc(1, sizeof(*self));
    RUB_ASSERT(self);
    rub_buf_init(&self->view);
    rub_buf_append(&self->view, core->view.data, core->view.bytes);
    for (uint32_t id = 0; id < core->n_tables; id++) {
        if (core->tables[id]) {
            put_table(self, core->tables[id], lsn);
        }
    }
    return self;
}

rub_sim_part_t *rub_sim_part_write(rub_shard_t *core, const rub_shard_fold_t *order)
{
    rub_sim_part_t *self = part_of(core, order->to_lsn + 1);
    self->head.digest = rub_shard_digest(core);
    self->head.n_ranks = (uint32_t)order->n_ranks;
    self->head.ranks = rub_calloc(order->n_ranks + 1, sizeof(*self->head.ranks));
    RUB_ASSERT(self->head.ranks);
    for (size_t i = 0; i < order->n_ranks; i++) {
        rub_part_rank_t *rank = &self->head.ranks[i];
        const rub_member_t *member = rub_members_find(&core->members, order->ranks[i].rank);
        *rank = (rub_part_rank_t){.rank = order->ranks[i].rank,
                                  .epoch = order->ranks[i].epoch,
                                  .cut = order->ranks[i].cut};
        if (member && member->epoch == rank->epoch) {
            rank->done = member->done;
            rank->cursor_bytes = member->cursor_bytes;
            memcpy(rank->cursor, member->cursor, sizeof(rank->cursor));
        }
    }
    return self;
}

const rub_part_head_t *rub_sim_part_head(const rub_sim_part_t *self)
{
    return &self->head;
}

/* ---- reading ---- */

static int visit_part(const rub_sim_part_t *part, const rub_part_visitor_t *visitor,
                      rub_error_t *err)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_arena_init(&arena);
    int rc = rub_control_decode(part->view.data, part->view.bytes, &arena, &message, err);
    rc = rc ? rc : visitor->view(visitor->context, &message.view, err);
    for (size_t i = 0; i < part->n_counts && rc == 0; i++) {
        rc = visitor->counts(visitor->context, &part->counts[i], err);
    }
    for (size_t i = 0; i < part->n_chunks && rc == 0; i++) {
        rc = visitor->chunk(visitor->context, part->chunks[i].bytes, part->chunks[i].n_bytes, err);
    }
    rub_arena_fini(&arena);
    return rc;
}

static int visit_parts(void *context, const rub_part_visitor_t *visitor, rub_error_t *err)
{
    const rub_sim_t *sim = context;
    int rc = 0;
    for (uint32_t s = 0; s < sim->scenario.n_shards && rc == 0; s++) {
        rc = visit_part(sim->shards[s].part, visitor, err);
    }
    return rc;
}

/* ---- the new job's shards ---- */

typedef struct heard {
    uint32_t welcomes;
    uint64_t clock; /* of the last WELCOME */
    int last_code;
} heard_t;

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    heard_t *heard = context;
    const rub_header_t *header = rub_packet_header(packet);
    (void)peer;
    if (header->type == RUB_MSG_WELCOME) {
        heard->welcomes++;
        heard->clock = header->clock;
    }
    rub_packet_unref(&packet);
}

/* As a ps finds it that is started on the restored store. */
static rub_shard_t *open_restored(const rub_restore_job_t *job, uint32_t shard,
                                  rub_shard_t *restored, heard_t *heard)
{
    const rub_shard_config_t config = {.shard = shard,
                                       .n_shards = job->n_shards,
                                       .durability = RUB_DURABILITY_JOURNAL,
                                       .limit_bytes = 64u << 20,
                                       .checkpoint_interval_ms = 1000,
                                       .redo_limit_bytes = 1u << 30};
    rub_shard_effects_t effects = rub_deaf_shard(heard);
    effects.send = on_send;
    rub_shard_t *core = rub_shard_new(&config, &effects);
    rub_sim_part_t *stored = part_of(restored, 1);
    rub_buf_t state;
    uint64_t redo = 0;
    RUB_ASSERT(core);
    rub_buf_init(&state);
    rub_shard_encode_state(restored, &state);
    RUB_ASSERT(rub_shard_load_state(core, state.data, state.bytes, &redo, NULL) == 0);
    for (size_t i = 0; i < stored->n_chunks; i++) {
        RUB_ASSERT(rub_shard_load_chunk(core, stored->chunks[i].bytes, stored->chunks[i].n_bytes,
                                        NULL) == 0);
    }
    RUB_ASSERT(rub_shard_open(core, 1, 100, NULL) == 0);
    rub_buf_fini(&state);
    rub_sim_part_destroy(&stored);
    return core;
}

static void tell(rub_shard_t *core, const rub_header_t *header, const void *values, size_t n_bytes)
{
    rub_packet_t *packet = rub_packet_new(header, 0, n_bytes);
    RUB_ASSERT(packet);
    if (n_bytes > 0) {
        memcpy(rub_packet_values(packet), values, n_bytes);
    }
    const rub_frame_t frame = rub_packet_frame(packet);
    rub_shard_turn_begin(core, 100);
    RUB_ASSERT(rub_shard_receive(core, 200 + header->table, &frame) == 0);
    RUB_ASSERT(rub_shard_turn_end(core) == 0);
    rub_packet_unref(&packet);
}

/* The first view of the new job: the tables of the old one's last, and W ranks in their first
 * epochs. */
static void show_view(rub_shard_t *core, const rub_restore_job_t *job, rub_shard_t *restored)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_rank_view_t ranks[SIM_RANKS];
    rub_arena_init(&arena);
    RUB_ASSERT(
        rub_control_decode(restored->view.data, restored->view.bytes, &arena, &message, NULL) == 0);
    for (uint32_t u = 0; u < job->n_workers; u++) {
        ranks[u] = (rub_rank_view_t){u, 1, RUB_RANK_LIVE};
    }
    message.view.generation = message.view.version = 1;
    message.view.state = RUB_JOB_RUNNING;
    message.view.ranks = ranks;
    message.view.n_ranks = job->n_workers;
    rub_shard_turn_begin(core, 100);
    RUB_ASSERT(rub_shard_control(core, &message) == 0);
    RUB_ASSERT(rub_shard_turn_end(core) == 0);
    rub_arena_fini(&arena);
}

/* Everybody comes and ends a period. */
static void go_on(rub_sim_t *sim, const rub_restore_job_t *job, uint32_t shard,
                  rub_shard_t *restored)
{
    heard_t heard = {0};
    rub_shard_t *core = open_restored(job, shard, restored, &heard);
    const uint8_t nonce[16] = {1};
    if (rub_shard_digest(core) != rub_shard_digest(restored)) {
        rub_sim_broken(sim, "restore: shard %u of %u has other rows once they were stored", shard,
                       job->n_shards);
    }
    show_view(core, job, restored);
    for (uint32_t u = 0; u < job->n_workers; u++) {
        tell(core,
             &(rub_header_t){.type = RUB_MSG_HELLO,
                             .table = u,
                             .seq = rub_rank_epoch(u, 1),
                             .mark = NEW_JOB,
                             .value_bytes = sizeof(nonce)},
             nonce, sizeof(nonce));
        if (heard.welcomes != u + 1 || heard.clock != job->clock) {
            rub_sim_broken(sim, "restore: rank %u of %u begins at clock %llu, expected %llu", u,
                           job->n_workers, (unsigned long long)heard.clock,
                           (unsigned long long)job->clock);
        }
    }
    for (uint32_t u = 0; u < job->n_workers; u++) {
        if (rub_shard_minimum(core) != job->clock) {
            rub_sim_broken(sim,
                           "restore: with %u of %u ranks through its first period, shard %u is at "
                           "clock %llu, expected %llu",
                           u, job->n_workers, shard, (unsigned long long)rub_shard_minimum(core),
                           (unsigned long long)job->clock);
        }
        tell(core,
             &(rub_header_t){.type = RUB_MSG_CLOCK, .table = u, .seq = 1, .clock = job->clock + 1},
             NULL, 0);
    }
    if (rub_shard_minimum(core) != job->clock + 1) {
        rub_sim_broken(sim, "restore: all are through a period, and shard %u is at clock %llu",
                       shard, (unsigned long long)rub_shard_minimum(core));
    }
    rub_shard_destroy(&core);
}

/* ---- all of it ---- */

static void check_clock(rub_sim_t *sim, const rub_manifest_t *manifest, uint64_t clock)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        const rub_sim_actor_t *trainer = &sim->actors[a];
        for (size_t i = 0; i < trainer->n_pushes; i++) {
            const rub_sim_push_t *push = &trainer->pushes[i];
            const rub_sim_trained_t as = {
                .rank = trainer->rank, .rank_epoch = push->rank_epoch, .clock = push->clock};
            if (trainer->life == 1 && push->clock >= clock &&
                rub_sim_restore_is_below(manifest, &as)) {
                rub_sim_broken(sim, "restore: ranks begin at clock %llu, a push of %llu is in",
                               (unsigned long long)clock, (unsigned long long)push->clock);
                return;
            }
        }
    }
}

static void check_row(rub_sim_t *sim, const rub_restore_job_t *job, uint32_t row, float expected,
                      float found, uint32_t n_found)
{
    if (found != expected || n_found > 1) {
        rub_sim_broken(sim,
                       "restore: row %u of the ledger is %g in snapshot %llu, and %g on %u of %u "
                       "shards",
                       row, (double)expected, (unsigned long long)job->manifest->number,
                       (double)found, n_found, job->n_shards);
    }
}

void rub_sim_restore(rub_sim_t *sim, const rub_manifest_t *manifest)
{
    static const uint64_t bounds[] = {1, 3, RUB_ASYNC};
    rub_rng_t rng;
    rub_rng_init(&rng, sim->options.seed + (manifest->number << 40), STREAM_RESTORE);
    if (rub_rng_below(&rng, 100) >= 20) {
        return;
    }
    const rub_restore_parts_t parts = {sim, visit_parts};
    rub_restore_job_t job = {.manifest = manifest,
                             .parts = &parts,
                             .job = NEW_JOB,
                             .n_shards = 1 + (uint32_t)rub_rng_below(&rng, SIM_SHARDS),
                             .n_workers = 1 + (uint32_t)rub_rng_below(&rng, 5),
                             .staleness =
                                 manifest->staleness == 0 ? 0 : bounds[rub_rng_below(&rng, 3)]};
    rub_shard_t *cores[SIM_SHARDS] = {0};
    rub_error_t err = {0};
    uint64_t digest = 0;
    const rub_scheduler_config_t config = {.job = NEW_JOB,
                                           .n_workers = job.n_workers,
                                           .n_shards = job.n_shards,
                                           .staleness = job.staleness,
                                           .reduce = manifest->reduce,
                                           .seed = manifest->seed};
    if (!rub_sim_restore_scheduler(sim, manifest, &config, &job.clock)) {
        return;
    }
    check_clock(sim, manifest, job.clock);
    for (uint32_t k = 0; k < job.n_shards && sim->violation[0] == '\0'; k++) {
        if (rub_restore_core(&job, k, &cores[k], &err) != 0) {
            rub_sim_broken(sim, "restore: snapshot %llu: %s", (unsigned long long)manifest->number,
                           err.message);
            break;
        }
        digest += rub_shard_digest(cores[k]);
        go_on(sim, &job, k, cores[k]);
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        digest -= sim->shards[s].part->head.digest;
    }
    for (uint32_t row = 0; sim->violation[0] == '\0' && row < rub_sim_ledger_rows(sim); row++) {
        float expected = 0, found = 0, value = 0;
        uint32_t n_found = 0;
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            expected += rub_sim_snapshot_row(&sim->shards[s], row);
        }
        for (uint32_t k = 0; k < job.n_shards; k++) {
            const bool has = rub_sim_ledger_row(sim, cores[k], row, &value);
            n_found += has;
            found += has ? value : 0;
        }
        check_row(sim, &job, row, expected, found, n_found);
    }
    if (sim->violation[0] == '\0' && digest != 0) {
        rub_sim_broken(sim, "restore: %u shards of snapshot %llu hold other rows than its parts",
                       job.n_shards, (unsigned long long)manifest->number);
    }
    for (uint32_t k = 0; k < job.n_shards; k++) {
        rub_shard_destroy(&cores[k]);
    }
    sim->counts[SIM_N_RESTORES]++;
    rub_sim_trace(sim, "snapshot %llu is restored on %u shards for %u workers",
                  (unsigned long long)manifest->number, job.n_shards, job.n_workers);
}
