/* A shard's disk: a journal with a page cache in front of its platter, and LMDB, whose transactions
 * are on the platter when they have committed.
 *
 * kill -9 keeps what was written. A power loss keeps what was synced, and of the rest whatever the
 * drive had got to, in any order: reading stops at the first record that is missing or torn, so
 * what comes back is a prefix, and good records may lie behind the hole. It may end before the redo
 * point: an exact checkpoint does not sync the journal. What such an end means is judged by the
 * product's own rules (common/store/journal_replay.h).
 * Every item carries its checksum, as the real files do; a bit that flips is found by it, and the
 * loaders below it must at least not fall over bytes that are wrong. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/store/journal_replay.h"
#include "tests/sim/sim.h"

void rub_sim_record_drop(rub_sim_record_t *record)
{
    rub_free(record->bytes);
    record->bytes = NULL;
}

static void drop_behind(rub_sim_disk_t *disk)
{
    for (size_t i = 0; i < disk->n_behind; i++) {
        rub_sim_record_drop(&disk->behind[i]);
    }
    disk->n_behind = 0;
}

void rub_sim_disk_append(rub_sim_disk_t *disk, const rub_sim_record_t *record)
{
    RUB_ASSERT(rub_grow(&disk->records, &disk->records_capacity, disk->n_records + 1,
                        sizeof(*disk->records)) == 0);
    drop_behind(disk); /* in another segment, whose header says where the one before it ends */
    disk->records[disk->n_records] = *record;
    disk->records[disk->n_records].boot = disk->boot + 1;
    disk->records[disk->n_records++].crc = rub_crc32c(0, record->bytes, record->n_bytes);
}

static uint64_t journal_end(const rub_sim_disk_t *disk)
{
    return disk->n_records > 0 ? disk->records[disk->n_records - 1].lsn : disk->recycled_lsn;
}

uint64_t rub_sim_disk_last_lsn(const rub_sim_disk_t *disk)
{
    const uint64_t end = journal_end(disk);
    return end > disk->redo_lsn ? end : disk->redo_lsn;
}

void rub_sim_disk_put_chunk(rub_sim_disk_t *disk, rub_sim_chunk_t *chunk)
{
    size_t at = 0;
    while (at < disk->n_chunks &&
           (disk->chunks[at].table != chunk->table || disk->chunks[at].chunk != chunk->chunk)) {
        at++;
    }
    if (at == disk->n_chunks) {
        RUB_ASSERT(rub_grow(&disk->chunks, &disk->chunks_capacity, at + 1, sizeof(*chunk)) == 0);
        disk->chunks[disk->n_chunks++] = (rub_sim_chunk_t){0};
    }
    rub_free(disk->chunks[at].bytes);
    disk->chunks[at] = *chunk;
    disk->chunks[at].crc = rub_crc32c(0, chunk->bytes, chunk->n_bytes);
    chunk->bytes = NULL;
}

void rub_sim_disk_put_state(rub_sim_disk_t *disk, uint8_t *state, size_t n_bytes)
{
    rub_free(disk->state);
    disk->state = state;
    disk->state_bytes = n_bytes;
    disk->state_crc = rub_crc32c(0, state, n_bytes);
}

void rub_sim_disk_recycle(rub_sim_disk_t *disk, uint64_t redo_lsn)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->n_records; i++) {
        if (disk->records[i].lsn < redo_lsn) {
            disk->recycled_lsn = disk->records[i].lsn;
            rub_sim_record_drop(&disk->records[i]);
        } else {
            disk->records[kept++] = disk->records[i];
        }
    }
    disk->n_records = kept;
}

size_t rub_sim_disk_unsynced(const rub_sim_disk_t *disk)
{
    size_t n = 0;
    while (n < disk->n_records && disk->records[disk->n_records - 1 - n].lsn > disk->synced_lsn) {
        n++;
    }
    return n;
}

size_t rub_sim_disk_lose(rub_sim_disk_t *disk, size_t n_lost, uint64_t salt)
{
    const size_t kept = disk->n_records - n_lost;
    disk->boot++;
    for (size_t i = kept; i < disk->n_records; i++) {
        const uint64_t dice = rub_mix64(salt ^ rub_mix64(disk->records[i].lsn));
        if (i > kept && dice % 2) {
            RUB_ASSERT(rub_grow(&disk->behind, &disk->behind_capacity, disk->n_behind + 1,
                                sizeof(*disk->behind)) == 0);
            disk->behind[disk->n_behind++] = disk->records[i];
        } else {
            rub_sim_record_drop(&disk->records[i]);
        }
    }
    disk->n_records = kept;
    return disk->n_behind;
}

/* ---- recovery, as ps/open_store does it ---- */

static int rotten(rub_error_t *err, const char *what)
{
    return rub_fail(err, RUB_ECORRUPT, "%s: its checksum does not match", what);
}

/* The journal's reading has ended. */
static int judge_end(const rub_sim_disk_t *disk, uint64_t redo, rub_error_t *err)
{
    const uint64_t end = journal_end(disk), boot = disk->boot + 1;
    for (size_t i = 0; i < disk->n_behind; i++) {
        const rub_sim_record_t *record = &disk->behind[i];
        const rub_framed_t framed = {.lsn = record->lsn,
                                     .type = (uint8_t)record->type,
                                     .payload = record->bytes,
                                     .payload_bytes = (uint32_t)record->n_bytes};
        const char *proof = rub_replay_proof(&framed, record->boot, boot, end);
        if (proof) {
            return rub_fail(err, RUB_ECORRUPT, "the journal is damaged behind lsn %llx: %s",
                            (unsigned long long)end, proof);
        }
    }
    return rub_replay_reaches(end, redo + 1, disk->redo_boot, boot)
               ? 0
               : rub_fail(err, RUB_ECORRUPT, "the journal ends at lsn %llx, the store needs %llx",
                          (unsigned long long)end, (unsigned long long)redo);
}

int rub_sim_disk_recover(const rub_sim_disk_t *disk, rub_shard_t *core, bool verify,
                         rub_error_t *err)
{
    uint64_t redo = 0;
    int rc = 0;
    if (disk->state) {
        rc = verify && rub_crc32c(0, disk->state, disk->state_bytes) != disk->state_crc
                 ? rotten(err, "the state")
                 : rub_shard_load_state(core, disk->state, disk->state_bytes, &redo, err);
    }
    for (size_t i = 0; i < disk->n_chunks && rc == 0; i++) {
        const rub_sim_chunk_t *chunk = &disk->chunks[i];
        if (chunk->n_bytes == 0) {
            continue; /* deleted */
        }
        rc = verify && rub_crc32c(0, chunk->bytes, chunk->n_bytes) != chunk->crc
                 ? rotten(err, "a chunk")
                 : rub_shard_load_chunk(core, chunk->bytes, chunk->n_bytes, err);
    }
    for (size_t i = 0; i < disk->n_records && rc == 0; i++) {
        const rub_sim_record_t *record = &disk->records[i];
        if (verify && rub_crc32c(0, record->bytes, record->n_bytes) != record->crc) {
            rc = rotten(err, "a journal record");
        } else if (record->lsn > redo) {
            rc = rub_shard_replay(core, record->lsn, record->type, record->bytes, record->n_bytes,
                                  err);
        }
    }
    return rc ? rc : judge_end(disk, redo, err);
}

/* ---- bit rot ---- */

typedef struct item {
    uint8_t *bytes;
    size_t n_bytes;
} item_t;

/* Any item that recovery reads. bytes NULL: the disk is empty. */
static item_t pick(rub_sim_t *sim, const rub_sim_disk_t *disk)
{
    const size_t n = disk->n_chunks + disk->n_records + (disk->state ? 1 : 0);
    if (n == 0) {
        return (item_t){0};
    }
    size_t i = rub_sim_between(sim, 0, n - 1);
    if (i < disk->n_chunks) {
        return (item_t){disk->chunks[i].bytes, disk->chunks[i].n_bytes};
    }
    i -= disk->n_chunks;
    return i < disk->n_records ? (item_t){disk->records[i].bytes, disk->records[i].n_bytes}
                               : (item_t){disk->state, disk->state_bytes};
}

static void ignore_packet(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    RUB_UNUSED(context);
    RUB_UNUSED(peer);
    rub_packet_unref(&packet);
}

static int recover_apart(const rub_sim_disk_t *disk, const rub_shard_config_t *config, bool verify,
                         rub_error_t *err)
{
    const rub_shard_effects_t effects = {.send = ignore_packet};
    rub_shard_t *core = rub_shard_new(config, &effects);
    RUB_ASSERT(core);
    const int rc = rub_sim_disk_recover(disk, core, verify, err);
    rub_shard_destroy(&core);
    return rc;
}

void rub_sim_disk_rot(rub_sim_t *sim, rub_sim_disk_t *disk, const rub_shard_config_t *config)
{
    const item_t item = pick(sim, disk);
    if (item.n_bytes == 0) {
        return;
    }
    uint8_t *byte = &item.bytes[rub_sim_between(sim, 0, item.n_bytes - 1)];
    const uint8_t bit = (uint8_t)(1u << rub_sim_between(sim, 0, 7));
    rub_error_t err = {0};
    sim->counts[SIM_N_ROT]++;
    *byte ^= bit;
    if (recover_apart(disk, config, true, &err) != RUB_ECORRUPT) {
        rub_sim_broken(sim, "bit rot: shard %u loads a store with a flipped bit", config->shard);
    }
    (void)recover_apart(disk, config, false, &err); /* may read or refuse it; must not fall over */
    *byte ^= bit;
}

void rub_sim_disk_fini(rub_sim_disk_t *disk)
{
    for (size_t i = 0; i < disk->n_records; i++) {
        rub_sim_record_drop(&disk->records[i]);
    }
    for (size_t i = 0; i < disk->n_chunks; i++) {
        rub_free(disk->chunks[i].bytes);
    }
    drop_behind(disk);
    rub_free(disk->behind);
    rub_free(disk->records);
    rub_free(disk->chunks);
    rub_free(disk->state);
}
