/* Snapshots in a simulated world: taken by the scheduler's own timer, at moments of the seed, while
 * everything else goes wrong. The image is a copy of what the disk has committed, the journal
 * behind it is copied as it is written, and the fold is the real one's filter over both.
 *
 * Law: the cut is exact. A shard's part holds, row by row, each push of a session that the cut
 * lists and that is stamped below its K, once, and each that was journalled before the pin by
 * sessions that are over; nothing else. Nothing stamped below K is journalled behind the fold. For
 * a trainer in its first life the whole snapshot holds exactly what its program had pushed below K,
 * over all shards. What of that a restore makes: sim_restore.c. No number is written twice. In bsp,
 * pushes of an epoch that was evicted may be missing: a period is folded whole or not at all. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "ps/fold.h"
#include "ps/shard_internal.h"
#include "tests/sim/sim.h"

#define STREAM_SNAPSHOTS 0x736e6170
#define LEDGER 1u /* the job's only table */
#define ROWS (SIM_ACTORS * SIM_KEYS)

typedef struct pushed { /* a PUSH that is in the journal */
    uint64_t lsn, clock;
    uint32_t rank, epoch, actor;
    uint32_t rows; /* bits of its actor's rows */
} pushed_t;

/* What a shard has on its disk of the last snapshot that it folded. */
typedef struct part {
    uint64_t number; /* 0: none */
    uint64_t to_lsn;
    bool taken_back; /* the power took some of what was folded: it may be pushed again */
    rub_fold_result_t result;
    float values[ROWS];
    bool mine[ROWS]; /* the row lives on this shard */
} part_t;

struct rub_sim_snapshot {
    /* ---- the pin ---- */
    uint64_t number; /* 0: none */
    bool held, tell_pinned, tell_folded, ordered;
    uint64_t turn_of_order;
    rub_sim_disk_t image; /* records: the journal from the image's redo point on, growing */
    rub_shard_fold_t order;
    rub_cut_rank_t *ranks;
    rub_error_t fold_error;
    part_t part;
    /* ---- the books ---- */
    pushed_t *log;
    size_t n_log, log_capacity;
};

static rub_sim_snapshot_t *of(rub_sim_shard_host_t *host)
{
    if (!host->snapshot) {
        host->snapshot = rub_calloc(1, sizeof(*host->snapshot));
        RUB_ASSERT(host->snapshot);
    }
    return host->snapshot;
}

static void let_go(rub_sim_snapshot_t *self)
{
    rub_sim_disk_fini(&self->image);
    self->image = (rub_sim_disk_t){0};
    rub_free(self->ranks);
    self->ranks = NULL;
    self->number = 0;
    self->held = self->ordered = self->tell_pinned = self->tell_folded = false;
}

/* ---- the image ---- */

static uint8_t *copy(const void *bytes, size_t n)
{
    uint8_t *out = rub_alloc(n + 1);
    RUB_ASSERT(out);
    if (n > 0) {
        memcpy(out, bytes, n);
    }
    return out;
}

static void copy_record(rub_sim_disk_t *image, const rub_sim_record_t *record)
{
    rub_sim_record_t own = *record;
    own.bytes = copy(record->bytes, record->n_bytes);
    rub_sim_disk_append(image, &own);
}

static void on_held(rub_sim_t *sim, void *subject, uint64_t number)
{
    rub_sim_shard_host_t *host = subject;
    rub_sim_snapshot_t *self = host->snapshot;
    if (!self || !host->core || self->number != number || self->held ||
        rub_sim_asleep(sim, &host->process, on_held, host, number)) {
        return;
    }
    for (size_t i = 0; i < host->disk.n_chunks; i++) {
        rub_sim_chunk_t own = host->disk.chunks[i];
        own.bytes = copy(own.bytes, own.n_bytes);
        rub_sim_disk_put_chunk(&self->image, &own);
    }
    if (host->disk.state) {
        rub_sim_disk_put_state(&self->image, copy(host->disk.state, host->disk.state_bytes),
                               host->disk.state_bytes);
        self->image.redo_lsn = host->disk.redo_lsn;
    }
    for (size_t i = 0; i < host->disk.n_records; i++) {
        copy_record(&self->image, &host->disk.records[i]);
    }
    self->held = self->tell_pinned = true;
    rub_sim_trace(sim, "shard %u is pinned for snapshot %llu at lsn %llx", host->shard,
                  (unsigned long long)number,
                  (unsigned long long)rub_sim_disk_last_lsn(&host->disk));
    rub_sim_shard_wake(sim, host, 0);
}

void rub_sim_snapshot_pin(void *context, uint64_t number)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_snapshot_t *self = of(host);
    let_go(self);
    self->number = number;
    rub_sim_after(host->sim, rub_sim_between(host->sim, 100, 200000), on_held, host, number);
}

/* ---- the fold ---- */

static const rub_cut_rank_t *listed(const rub_sim_snapshot_t *self, uint32_t rank, uint32_t epoch)
{
    for (size_t i = 0; i < self->order.n_ranks; i++) {
        if (self->ranks[i].rank == rank && self->ranks[i].epoch == epoch) {
            return &self->ranks[i];
        }
    }
    return NULL;
}

static int fold_image(const rub_sim_snapshot_t *self, rub_shard_t *core, rub_error_t *err)
{
    rub_fold_rank_t *ranks = rub_calloc(self->order.n_ranks + 1, sizeof(*ranks));
    RUB_ASSERT(ranks);
    for (size_t i = 0; i < self->order.n_ranks; i++) {
        ranks[i] = (rub_fold_rank_t){self->ranks[i].rank, self->ranks[i].epoch, self->ranks[i].cut};
    }
    const rub_fold_cut_t cut = {
        .pin_lsn = self->order.pin_lsn, .ranks = ranks, .n_ranks = self->order.n_ranks};
    uint64_t redo = 0;
    int rc = 0;
    if (self->image.state) {
        rc = rub_shard_load_state(core, self->image.state, self->image.state_bytes, &redo, err);
    }
    for (size_t i = 0; i < self->image.n_chunks && rc == 0; i++) {
        if (self->image.chunks[i].n_bytes > 0) {
            rc = rub_shard_load_chunk(core, self->image.chunks[i].bytes,
                                      self->image.chunks[i].n_bytes, err);
        }
    }
    for (size_t i = 0; i < self->image.n_records && rc == 0; i++) {
        const rub_sim_record_t *record = &self->image.records[i];
        if (record->lsn > redo && record->lsn <= self->order.to_lsn) {
            rc = rub_fold_step(core, &cut, record->lsn, record->type, record->bytes,
                               record->n_bytes, err);
        }
    }
    rc = rc ? rc : rub_fold_finish(core, &cut, err);
    rub_free(ranks);
    return rc;
}

bool rub_sim_ledger_row(const rub_sim_t *sim, const rub_shard_t *core, uint32_t row, float *value_p)
{
    static const uint32_t sample[SIM_KEYS] = {0, 1, RUB_BLOCK / 2, RUB_BLOCK - 1};
    rub_ptable_t *table = rub_shard_table(core, LEDGER);
    float block[RUB_BLOCK];
    uint8_t key[8];
    rub_put_u64(key, row);
    const rub_rows_t rows = sim->scenario.dense
                                ? (rub_rows_t){.is_range = true,
                                               .first = (uint64_t)(row / SIM_KEYS) * RUB_BLOCK,
                                               .count = RUB_BLOCK}
                                : (rub_rows_t){.keys = key, .n_keys = 1};
    if (!table || rub_ptable_pull_check(table, &rows, NULL) != 0) {
        return false;
    }
    rub_ptable_pull(table, &rows, block, NULL);
    *value_p = rub_sim_count_of(block[sim->scenario.dense ? sample[row % SIM_KEYS] : 0]);
    return true;
}

float rub_sim_snapshot_row(const rub_sim_shard_host_t *host, uint32_t row)
{
    const part_t *part = &host->snapshot->part;
    return part->mine[row] ? part->values[row] : 0;
}

/* The rows of the ledger that this shard holds, as the part has them. */
static void read_part(const rub_sim_t *sim, const rub_shard_t *core, part_t *part)
{
    for (uint32_t row = 0; row < rub_sim_ledger_rows(sim); row++) {
        part->mine[row] = rub_sim_ledger_row(sim, core, row, &part->values[row]);
    }
}

/* The books of this shard against the part: row by row, each push below the cut, once. */
static void check_part(rub_sim_t *sim, const rub_sim_shard_host_t *host,
                       const rub_sim_snapshot_t *self)
{
    uint32_t least[ROWS] = {0};
    uint32_t most[ROWS] = {0};
    for (size_t i = 0; i < self->n_log; i++) {
        const pushed_t *push = &self->log[i];
        const rub_cut_rank_t *cut = listed(self, push->rank, push->epoch);
        const bool in = cut ? push->clock < cut->cut : push->lsn <= self->order.pin_lsn;
        const bool sure = cut || sim->scenario.staleness != 0;
        for (uint32_t k = 0; in && push->lsn <= self->order.to_lsn && k < SIM_KEYS; k++) {
            const uint32_t bit = (push->rows >> k) & 1;
            least[push->actor * SIM_KEYS + k] += sure ? bit : 0;
            most[push->actor * SIM_KEYS + k] += bit;
        }
    }
    for (uint32_t row = 0; row < rub_sim_ledger_rows(sim); row++) {
        const float value = self->part.mine[row] ? self->part.values[row] : 0;
        if (value < (float)least[row] || value > (float)most[row]) {
            rub_sim_broken(sim,
                           "snapshot: part %u of snapshot %llu holds %g in row %u of actor %u, the "
                           "journal has %u to %u below the cut",
                           host->shard, (unsigned long long)self->order.number, (double)value,
                           row % SIM_KEYS, row / SIM_KEYS, least[row], most[row]);
            return;
        }
    }
}

static void on_folded(rub_sim_t *sim, void *subject, uint64_t number)
{
    rub_sim_shard_host_t *host = subject;
    rub_sim_snapshot_t *self = host->snapshot;
    if (!self || !host->core || self->number != number || !self->ordered ||
        rub_sim_asleep(sim, &host->process, on_folded, host, number)) {
        return;
    }
    const rub_shard_config_t config = {.shard = host->shard,
                                       .n_shards = sim->scenario.n_shards,
                                       .durability = RUB_DURABILITY_JOURNAL};
    rub_shard_t *core = rub_shard_new(&config, &(rub_shard_effects_t){0});
    RUB_ASSERT(core);
    if (rub_sim_disk_last_lsn(&self->image) < self->order.to_lsn) {
        rub_sim_broken(sim, "snapshot: shard %u folds up to lsn %llx, its journal ends at %llx",
                       host->shard, (unsigned long long)self->order.to_lsn,
                       (unsigned long long)rub_sim_disk_last_lsn(&self->image));
    } else if (fold_image(self, core, &self->fold_error) != 0) {
        rub_sim_broken(sim, "snapshot: shard %u can not fold: %s", host->shard,
                       self->fold_error.message);
    } else {
        self->part = (part_t){.number = number, .to_lsn = self->order.to_lsn};
        read_part(sim, core, &self->part);
        self->part.result = (rub_fold_result_t){
            .n_bytes = 1, .rows = 1, .hash = number, .digest = rub_shard_digest(core)};
        check_part(sim, host, self);
        rub_sim_part_destroy(&host->part);
        host->part = rub_sim_part_write(core, &self->order);
    }
    rub_shard_destroy(&core);
    self->tell_folded = true;
    rub_sim_shard_wake(sim, host, 0);
}

void rub_sim_snapshot_fold(void *context, const rub_shard_fold_t *order)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_snapshot_t *self = of(host);
    RUB_ASSERT(self->held);
    RUB_ASSERT(self->number == order->number);
    self->ranks = (rub_cut_rank_t *)copy(order->ranks, order->n_ranks * sizeof(*order->ranks));
    self->order = *order;
    self->order.ranks = self->ranks;
    self->ordered = true;
    for (size_t i = 0; i < order->n_ranks; i++) {
        rub_sim_trace(host->sim, "shard %u folds rank %u (epoch %u) below clock %llu", host->shard,
                      order->ranks[i].rank, order->ranks[i].epoch,
                      (unsigned long long)order->ranks[i].cut);
    }
    rub_sim_after(host->sim, rub_sim_between(host->sim, 1000, 500000), on_folded, host,
                  order->number);
}

void rub_sim_snapshot_unpin(void *context, uint64_t number, bool keep)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_snapshot_t *self = of(host);
    let_go(self);
    if (!keep && self->part.number == number) {
        self->part.number = 0;
    }
}

int rub_sim_snapshot_tell(rub_sim_shard_host_t *host)
{
    rub_sim_snapshot_t *self = of(host);
    int rc = 0;
    if (self->tell_pinned) {
        self->tell_pinned = false;
        rc = rub_shard_pinned(host->core, self->number, NULL);
    }
    if (rc == 0 && self->tell_folded) {
        self->tell_folded = false;
        rc = rub_shard_folded(host->core, self->number, &self->part.result, NULL);
    }
    return rc;
}

/* ---- the shard's life ---- */

void rub_sim_snapshot_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                             const rub_sim_record_t *written)
{
    rub_sim_snapshot_t *self = of(host);
    rub_record_t record;
    if (self->held) {
        copy_record(&self->image, written);
    }
    if (!rub_record_is_push(written->type)) {
        return;
    }
    RUB_ASSERT(rub_record_read(written->type, written->bytes, written->n_bytes, &record, NULL) ==
               0);
    pushed_t push = {
        .lsn = written->lsn, .clock = record.clock, .rank = record.rank, .epoch = record.epoch};
    push.rows = rub_sim_rows_of(sim, &record, &push.actor);
    RUB_ASSERT(rub_grow(&self->log, &self->log_capacity, self->n_log + 1, sizeof(push)) == 0);
    self->log[self->n_log++] = push;
}

void rub_sim_snapshot_died(rub_sim_shard_host_t *host)
{
    rub_sim_snapshot_t *self = of(host);
    let_go(self); /* the part, if there is one, is a file */
    while (self->n_log > 0 && self->log[self->n_log - 1].lsn > rub_sim_disk_last_lsn(&host->disk)) {
        self->n_log--;
        self->part.taken_back =
            self->part.taken_back || self->log[self->n_log].lsn <= self->part.to_lsn;
    }
}

void rub_sim_snapshot_fini(rub_sim_shard_host_t *host)
{
    rub_sim_part_destroy(&host->part);
    if (host->snapshot) {
        let_go(host->snapshot);
        rub_free(host->snapshot->log);
        rub_free(host->snapshot);
        host->snapshot = NULL;
    }
}

/* ---- the scheduler's side ---- */

void rub_sim_snapshot_config(const rub_sim_t *sim, rub_scheduler_config_t *config)
{
    rub_rng_t rng;
    rub_rng_init(&rng, sim->options.seed, STREAM_SNAPSHOTS);
    config->snapshots_dir[0] = '.';
    config->snapshot_timeout_ms = 500 + rub_rng_below(&rng, 20000);
    config->snapshots_kept = (uint32_t)rub_rng_below(&rng, 3);
    if (rub_rng_below(&rng, 100) < 60) {
        config->snapshot_interval_ms = 20 + rub_rng_below(&rng, 1500);
    }
}

static uint64_t cut_of(const rub_manifest_t *manifest, uint32_t rank, uint32_t epoch)
{
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        if (manifest->ranks[i].rank == rank && manifest->ranks[i].epoch == epoch) {
            return manifest->ranks[i].cut;
        }
    }
    return 0;
}

/* Nothing that belongs below the cut came to a shard after it had folded, but for what the power
 * took from it, and a session has kept. */
static void check_late(rub_sim_t *sim, const rub_manifest_t *manifest,
                       const rub_sim_shard_host_t *host)
{
    const rub_sim_snapshot_t *self = host->snapshot;
    for (size_t i = 0; i < self->n_log; i++) {
        const pushed_t *push = &self->log[i];
        if (push->lsn > self->part.to_lsn && !self->part.taken_back &&
            push->clock < cut_of(manifest, push->rank, push->epoch)) {
            rub_sim_broken(sim,
                           "snapshot: shard %u journals a push of rank %u in period %llu behind "
                           "the fold of snapshot %llu, whose cut is at %llu",
                           host->shard, push->rank, (unsigned long long)push->clock,
                           (unsigned long long)manifest->number,
                           (unsigned long long)cut_of(manifest, push->rank, push->epoch));
            return;
        }
    }
}

/* What the program of a trainer had pushed, over all shards. */
static void check_trainer(rub_sim_t *sim, const rub_manifest_t *manifest, uint32_t actor)
{
    const rub_sim_actor_t *trainer = &sim->actors[actor];
    const uint64_t cut = cut_of(manifest, trainer->rank, trainer->rank_epoch);
    if (trainer->kind != SIM_TRAINER || trainer->life != 1 || trainer->rank_epoch == 0 ||
        cut == 0) {
        return;
    }
    uint32_t expected = 0;
    for (size_t i = 0; i < trainer->n_pushes; i++) {
        expected += trainer->pushes[i].clock < cut;
    }
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
        const uint32_t row = actor * SIM_KEYS + k;
        float value = 0;
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            const part_t *part = &sim->shards[s].snapshot->part;
            value += part->mine[row] ? part->values[row] : 0;
        }
        /* What held no number was refused, whole messages at a time. */
        const uint32_t refused = (uint32_t)trainer->poisoned[k];
        const uint32_t least = expected > refused ? expected - refused : 0;
        if ((value > (float)expected || value < (float)least) && trainer->missing[k] == 0) {
            rub_sim_broken(sim,
                           "snapshot: snapshot %llu holds %g in row %u of actor %u, which pushed "
                           "%u below clock %llu",
                           (unsigned long long)manifest->number, (double)value, k, actor, expected,
                           (unsigned long long)cut);
            return;
        }
    }
}

int rub_sim_snapshot_write(void *context, rub_manifest_t *manifest, uint64_t since_cut_ms,
                           rub_error_t *err)
{
    rub_sim_t *sim = context;
    RUB_UNUSED(since_cut_ms);
    if (manifest->number <= sim->last_snapshot) {
        rub_sim_broken(sim, "snapshot: number %llu is written after %llu",
                       (unsigned long long)manifest->number,
                       (unsigned long long)sim->last_snapshot);
    }
    sim->last_snapshot = manifest->number;
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_shard_host_t *host = &sim->shards[s];
        if (of(host)->part.number != manifest->number) {
            rub_sim_broken(sim, "snapshot: the manifest of %llu lacks the part of shard %u",
                           (unsigned long long)manifest->number, s);
            return rub_fail(err, RUB_ESTORE, "a part is missing");
        }
        check_late(sim, manifest, host);
    }
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        check_trainer(sim, manifest, a);
    }
    sim->counts[SIM_N_SNAPSHOTS]++;
    rub_sim_trace(sim, "snapshot %llu is exact", (unsigned long long)manifest->number);
    if (sim->violation[0] == '\0') {
        rub_sim_restore(sim, manifest);
    }
    return 0;
}

void rub_sim_snapshot_removed(void *context, uint64_t number)
{
    rub_sim_t *sim = context;
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_snapshot_t *self = of(&sim->shards[s]);
        if (self->part.number == number) {
            self->part.number = 0;
        }
    }
    sim->counts[SIM_N_SNAPSHOTS_REMOVED]++;
}
