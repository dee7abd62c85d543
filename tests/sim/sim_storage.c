/* A shard's storage thread, in virtual time: syncs, and checkpoints in several transactions, the
 * journal first. It may be slow, find the disk full (it tries again every second), or meet an
 * error, which ends the process (exit 74).
 *
 * Laws: no chunk is committed whose lsn the journal's platter does not have, unless the same
 * transaction moves the redo point there; no SYNC record vouches for more than the platter has. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#define RETRY_US 1000000u

static uint64_t disk_us(rub_sim_t *sim, const rub_sim_shard_host_t *host, uint64_t most_us)
{
    const bool slow = host->slow_until_us > sim->now_us;
    sim->counts[SIM_N_SLOW_SYNCS] += slow;
    return slow ? rub_sim_between(sim, most_us, 2000000 + most_us)
                : rub_sim_between(sim, 100, most_us);
}

/* The process meets an error of the disk and leaves with 74. */
static bool fails(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (!host->eio) {
        return false;
    }
    host->eio = false;
    sim->counts[SIM_N_EIO]++;
    rub_sim_trace(sim, "shard %u: an error of its disk ends it", host->shard);
    rub_sim_shard_crash(sim, host);
    rub_sim_shard_start_later(sim, host);
    return true;
}

void rub_sim_storage_drop(rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_staged; i++) {
        rub_free(host->staged[i].bytes);
    }
    host->n_staged = 0;
    rub_free(host->staged_state);
    host->staged_state = NULL;
    host->committing = host->may_commit = false;
    host->tell_checkpointed = host->tell_synced = false;
}

/* One transaction with the first n chunks of what is staged. redo_lsn: the redo point that it
 * brings; 0: none. */
static void commit_chunks(rub_sim_shard_host_t *host, size_t n, uint64_t redo_lsn)
{
    for (size_t i = 0; i < n; i++) {
        if (host->staged[i].lsn > host->disk.synced_lsn && host->staged[i].lsn > redo_lsn) {
            rub_sim_broken(host->sim,
                           "shard %u commits a chunk of lsn %llx, its journal is synced to %llx",
                           host->shard, (unsigned long long)host->staged[i].lsn,
                           (unsigned long long)host->disk.synced_lsn);
        }
        rub_sim_disk_put_chunk(&host->disk, &host->staged[i]);
    }
    if (n == 0) {
        return; /* nothing was ever staged: there is nothing to move from */
    }
    memmove(host->staged, host->staged + n, (host->n_staged - n) * sizeof(*host->staged));
    host->n_staged -= n;
}

void rub_sim_storage_cut(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (host->may_commit && !host->staged_exact && host->n_staged > 0) {
        commit_chunks(host, rub_sim_between(sim, 0, host->n_staged), 0);
    }
}

static void sync_to(rub_sim_shard_host_t *host, uint64_t lsn)
{
    host->disk.synced_lsn = lsn > host->disk.synced_lsn ? lsn : host->disk.synced_lsn;
}

static bool dead_or_asleep(rub_sim_t *sim, rub_sim_shard_host_t *host, rub_sim_fire_t fire,
                           uint64_t life)
{
    return !host->core || host->life != life ||
           rub_sim_asleep(sim, &host->process, fire, host, life);
}

static void on_committed(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (dead_or_asleep(sim, host, on_committed, life) || fails(sim, host)) {
        return;
    }
    if (host->full_until_us > sim->now_us) {
        sim->counts[SIM_N_FULL]++; /* MDB_MAP_FULL, ENOSPC */
        rub_sim_after(sim, RETRY_US, on_committed, host, life);
        return;
    }
    if (host->n_staged > 1 && !host->staged_exact && rub_sim_chance(sim, 30)) {
        commit_chunks(host, rub_sim_between(sim, 1, host->n_staged - 1), 0);
        rub_sim_after(sim, disk_us(sim, host, 20000), on_committed, host, life);
        return;
    }
    commit_chunks(host, host->n_staged, host->staged_redo);
    rub_sim_disk_put_state(&host->disk, host->staged_state, host->staged_state_bytes);
    host->disk.redo_lsn = host->staged_redo;
    host->disk.redo_boot = host->disk.boot + 1;
    host->staged_state = NULL;
    host->committed_redo = host->staged_redo;
    host->committing = host->may_commit = false;
    rub_sim_disk_recycle(&host->disk, host->committed_redo);
    host->tell_checkpointed = true;
    rub_sim_shard_wake(sim, host, 0);
}

static void on_journal_ready(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (dead_or_asleep(sim, host, on_journal_ready, life) || fails(sim, host)) {
        return;
    }
    if (!host->staged_exact) {
        sync_to(host, host->staged_needed);
    }
    host->may_commit = true;
    rub_sim_after(sim, disk_us(sim, host, 200000), on_committed, host, life);
}

static void on_sync_done(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (dead_or_asleep(sim, host, on_sync_done, life) || fails(sim, host)) {
        return;
    }
    sync_to(host, host->sync_lsn);
    host->told_lsn = host->sync_lsn;
    host->tell_synced = true;
    rub_sim_shard_wake(sim, host, 0);
}

/* ---- effects ---- */

size_t rub_sim_storage_room(void *context)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_t *sim = host->sim;
    const bool full = host->full_until_us > sim->now_us ||
                      (sim->scenario.tight_disk && sim->now_us < sim->scenario.faults_end_us &&
                       rub_sim_chance(sim, 2));
    sim->counts[SIM_N_FULL] += full;
    return full ? 0 : 64u << 20;
}

int rub_sim_storage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                          size_t n_bytes)
{
    rub_sim_shard_host_t *host = context;
    RUB_ASSERT(rub_grow(&host->staged, &host->staged_capacity, host->n_staged + 1,
                        sizeof(*host->staged)) == 0);
    host->staged[host->n_staged++] = (rub_sim_chunk_t){
        .table = table, .chunk = chunk, .lsn = lsn, .bytes = bytes, .n_bytes = n_bytes};
    return 0;
}

int rub_sim_storage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                          size_t n_bytes)
{
    rub_sim_shard_host_t *host = context;
    RUB_ASSERT(!host->committing);
    host->staged_state = rub_alloc(n_bytes + 1);
    RUB_ASSERT(host->staged_state);
    memcpy(host->staged_state, state, n_bytes);
    host->staged_state_bytes = n_bytes;
    host->staged_redo = redo_lsn;
    host->staged_needed = lsn_needed;
    host->staged_exact = lsn_needed <= redo_lsn && lsn_needed > host->disk.synced_lsn;
    host->sim->counts[SIM_N_EXACT] += host->staged_exact;
    host->committing = true;
    host->sim->counts[SIM_N_CHECKPOINTS]++;
    rub_sim_after(host->sim, disk_us(host->sim, host, 100000), on_journal_ready, host, host->life);
    return 0;
}

void rub_sim_storage_sync(void *context, uint64_t lsn)
{
    rub_sim_shard_host_t *host = context;
    host->sync_lsn = lsn;
    rub_sim_after(host->sim, disk_us(host->sim, host, 20000), on_sync_done, host, host->life);
}

/* What a SYNC record vouches for is on the platter as records: recovery takes its lack for damage.
 */
static void check_mark(rub_sim_t *sim, const rub_sim_shard_host_t *host,
                       const rub_sim_record_t *record)
{
    if (record->type == RUB_RECORD_SYNC && rub_get_u64(record->bytes) > host->disk.synced_lsn) {
        rub_sim_broken(sim, "shard %u vouches for lsn %llx, its journal is synced to %llx",
                       host->shard, (unsigned long long)rub_get_u64(record->bytes),
                       (unsigned long long)host->disk.synced_lsn);
    }
}

void rub_sim_storage_write(rub_sim_t *sim, rub_sim_shard_host_t *host, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_mark(sim, host, &host->turn[i]);
        rub_sim_disk_append(&host->disk, &host->turn[i]);
        rub_sim_loss_record(sim, host, &host->turn[i]);
        rub_sim_snapshot_record(sim, host, &host->turn[i]);
        rub_sim_embers_record(sim, host, &host->turn[i]);
    }
    if (n == 0) {
        return; /* no turn yet: there is nothing to move from */
    }
    memmove(host->turn, host->turn + n, (host->n_turn - n) * sizeof(*host->turn));
    host->n_turn -= n;
}
