/* A shard's process: its mailbox, its turns, and a disk that outlives kill -9 (what was written to
 * the journal and committed stays; memory, the mailbox and unsent replies go).
 *
 * A crash falls before the journal write of a turn, or between the write and the replies, or
 * between two turns; a checkpoint whose commit is under way leaves a random number of its chunks
 * behind, without the state. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

static void drop_record(rub_sim_record_t *record)
{
    rub_free(record->bytes);
    record->bytes = NULL;
}

static void drop_staged(rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_staged; i++) {
        rub_free(host->staged[i].bytes);
    }
    host->n_staged = 0;
    rub_free(host->staged_state);
    host->staged_state = NULL;
    host->committing = false;
}

static void drop_mail(rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_inbox; i++) {
        rub_packet_unref(&host->inbox[i].packet);
        rub_free(host->inbox[i].control);
    }
    host->n_inbox = 0;
}

static void drop_outbox(rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_outbox; i++) {
        rub_packet_unref(&host->outbox[i].packet);
    }
    host->n_outbox = 0;
}

static void drop_turn(rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_turn; i++) {
        drop_record(&host->turn[i]);
    }
    host->n_turn = 0;
}

/* ---- effects ---- */

static int on_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    rub_sim_shard_host_t *host = context;
    size_t n_bytes = 0;
    for (size_t i = 0; i < n_parts; i++) {
        n_bytes += parts[i].bytes;
    }
    uint8_t *bytes = rub_alloc(n_bytes + 1);
    RUB_ASSERT(bytes);
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].bytes > 0) {
            memcpy(bytes + at, parts[i].data, parts[i].bytes);
        }
        at += parts[i].bytes;
    }
    const uint64_t last = host->n_turn > 0 ? host->turn[host->n_turn - 1].lsn
                          : host->disk.n_records > 0
                              ? host->disk.records[host->disk.n_records - 1].lsn
                              : 0;
    if (lsn <= last) {
        rub_sim_broken(host->sim, "shard %u journals lsn %llu after %llu", host->shard,
                       (unsigned long long)lsn, (unsigned long long)last);
    }
    RUB_ASSERT(rub_grow(&host->turn, &host->turn_capacity, host->n_turn + 1, sizeof(*host->turn)) ==
               0);
    host->turn[host->n_turn++] = (rub_sim_record_t){lsn, type, bytes, n_bytes};
    return 0;
}

static size_t on_journal_room(void *context)
{
    rub_sim_shard_host_t *host = context;
    /* Now and then the disk has no room for a while: postponements must heal. */
    return host->sim->now_us < host->sim->scenario.faults_end_us && rub_sim_chance(host->sim, 2)
               ? 0
               : 64u << 20;
}

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    rub_sim_shard_host_t *host = context;
    RUB_ASSERT(rub_grow(&host->outbox, &host->outbox_capacity, host->n_outbox + 1,
                        sizeof(*host->outbox)) == 0);
    host->outbox[host->n_outbox].connection = peer;
    host->outbox[host->n_outbox++].packet = packet;
}

static void on_control(void *context, const rub_control_t *message)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_send_control(host->sim, &host->sim->shard_control[host->shard], true, message);
}

static int on_stage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                          size_t n_bytes)
{
    RUB_UNUSED(lsn);
    rub_sim_shard_host_t *host = context;
    RUB_ASSERT(rub_grow(&host->staged, &host->staged_capacity, host->n_staged + 1,
                        sizeof(*host->staged)) == 0);
    host->staged[host->n_staged++] = (rub_sim_chunk_t){table, chunk, bytes, n_bytes};
    return 0;
}

static void commit_chunks(rub_sim_shard_host_t *host, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rub_sim_chunk_t *chunk = &host->staged[i];
        size_t at = 0;
        while (at < host->disk.n_chunks && (host->disk.chunks[at].table != chunk->table ||
                                            host->disk.chunks[at].chunk != chunk->chunk)) {
            at++;
        }
        if (at == host->disk.n_chunks) {
            RUB_ASSERT(rub_grow(&host->disk.chunks, &host->disk.chunks_capacity, at + 1,
                                sizeof(*chunk)) == 0);
            host->disk.chunks[host->disk.n_chunks++] = (rub_sim_chunk_t){0};
        }
        rub_free(host->disk.chunks[at].bytes);
        host->disk.chunks[at] = *chunk;
        chunk->bytes = NULL;
    }
}

static void wake(rub_sim_t *sim, rub_sim_shard_host_t *host, uint64_t delay_us);

static void on_committed(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (!host->core || host->life != life) {
        return;
    }
    commit_chunks(host, host->n_staged);
    rub_free(host->disk.state);
    host->disk.state = host->staged_state;
    host->disk.state_bytes = host->staged_state_bytes;
    host->staged_state = NULL;
    host->committed_redo = host->staged_redo;
    drop_staged(host);
    size_t kept = 0;
    for (size_t i = 0; i < host->disk.n_records; i++) {
        if (host->disk.records[i].lsn < host->committed_redo) {
            drop_record(&host->disk.records[i]);
        } else {
            host->disk.records[kept++] = host->disk.records[i];
        }
    }
    host->disk.n_records = kept;
    host->tell_checkpointed = true;
    wake(sim, host, 0);
}

static int on_stage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                          size_t n_bytes)
{
    RUB_UNUSED(lsn_needed);
    rub_sim_shard_host_t *host = context;
    RUB_ASSERT(!host->committing);
    host->staged_state = rub_alloc(n_bytes + 1);
    RUB_ASSERT(host->staged_state);
    memcpy(host->staged_state, state, n_bytes);
    host->staged_state_bytes = n_bytes;
    host->staged_redo = redo_lsn;
    host->committing = true;
    rub_sim_after(host->sim, rub_sim_between(host->sim, 200, 300000), on_committed, host,
                  host->life);
    return 0;
}

static void on_sync_done(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (host->core && host->life == life) {
        host->tell_synced = true;
        wake(sim, host, 0);
    }
}

static void on_sync(void *context, uint64_t lsn)
{
    rub_sim_shard_host_t *host = context;
    host->synced_lsn = lsn;
    rub_sim_after(host->sim, rub_sim_between(host->sim, 100, 20000), on_sync_done, host,
                  host->life);
}

static void on_notice(void *context, const char *sentence)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_trace(host->sim, "shard %u: %s", host->shard, sentence);
}

/* ---- turns ---- */

static void turn(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (!host->core || host->life != life) {
        return;
    }
    host->awake = false;
    rub_shard_turn_begin(host->core, rub_sim_ms(sim->now_us));
    int rc = 0;
    for (size_t i = 0; i < host->n_inbox && rc == 0; i++) {
        rub_sim_mail_t *mail = &host->inbox[i];
        if (mail->packet) {
            const rub_span_t bytes = rub_packet_bytes(mail->packet);
            rub_frame_t frame;
            RUB_ASSERT(rub_frame_read(&bytes, 1, &frame, NULL) == 0);
            rc = rub_shard_receive(host->core, mail->connection, &frame);
        } else {
            rub_arena_t arena;
            rub_control_t message;
            rub_arena_init(&arena);
            RUB_ASSERT(rub_control_decode(mail->control, mail->control_bytes, &arena, &message,
                                          NULL) == 0);
            rc = rub_shard_control(host->core, &message);
            rub_arena_fini(&arena);
        }
    }
    if (rc == 0 && host->tell_synced) {
        host->tell_synced = false;
        rc = rub_shard_synced(host->core, host->synced_lsn);
    }
    if (rc == 0 && host->tell_checkpointed) {
        host->tell_checkpointed = false;
        rc = rub_shard_checkpointed(host->core, host->committed_redo);
    }
    if (rc == 0) {
        rc = rub_shard_tick(host->core);
    }
    if (rc == 0) {
        rc = rub_shard_turn_end(host->core);
    }
    if (rc) {
        rub_sim_broken(sim, "shard %u fails with %s", host->shard, rub_error_name(rc));
        return;
    }
    /* The journal write. From here on the turn survives kill -9. */
    for (size_t i = 0; i < host->n_turn; i++) {
        RUB_ASSERT(rub_grow(&host->disk.records, &host->disk.records_capacity,
                            host->disk.n_records + 1, sizeof(*host->disk.records)) == 0);
        host->disk.records[host->disk.n_records++] = host->turn[i];
    }
    host->n_turn = 0;
    drop_mail(host);
    for (size_t i = 0; i < host->n_outbox; i++) {
        rub_sim_channel_t *channel = rub_sim_channel_of(sim, host->outbox[i].connection);
        if (channel) {
            rub_sim_send_packet(sim, channel, false, host->outbox[i].packet);
        } else {
            rub_packet_unref(&host->outbox[i].packet);
        }
    }
    host->n_outbox = 0;
    const uint64_t next_ms = rub_shard_next_tick_ms(host->core);
    wake(sim, host, next_ms == 0 ? 200 : next_ms * 1000);
}

/* Plans a turn no later than delay_us from now. Extra turns are harmless: a tick too many decides
 * nothing. */
static void wake(rub_sim_t *sim, rub_sim_shard_host_t *host, uint64_t delay_us)
{
    const uint64_t at_us = sim->now_us + delay_us;
    if (host->awake && host->tick_at_us <= at_us) {
        return;
    }
    host->awake = true;
    host->tick_at_us = at_us;
    rub_sim_after(sim, delay_us, turn, host, host->life);
}

void rub_sim_shard_mail(rub_sim_t *sim, rub_sim_shard_host_t *host, rub_sim_mail_t mail)
{
    if (!host->core) {
        rub_packet_unref(&mail.packet);
        rub_free(mail.control);
        return;
    }
    RUB_ASSERT(rub_grow(&host->inbox, &host->inbox_capacity, host->n_inbox + 1,
                        sizeof(*host->inbox)) == 0);
    host->inbox[host->n_inbox++] = mail;
    wake(sim, host, rub_sim_between(sim, 0, 1500));
}

/* ---- life and death ---- */

static int recover(rub_sim_t *sim, rub_sim_shard_host_t *host, rub_error_t *err)
{
    uint64_t redo = 0;
    int rc = 0;
    if (host->disk.state) {
        rc = rub_shard_load_state(host->core, host->disk.state, host->disk.state_bytes, &redo, err);
    }
    for (size_t i = 0; i < host->disk.n_chunks && rc == 0; i++) {
        rc = rub_shard_load_chunk(host->core, host->disk.chunks[i].bytes,
                                  host->disk.chunks[i].n_bytes, err);
    }
    for (size_t i = 0; i < host->disk.n_records && rc == 0; i++) {
        const rub_sim_record_t *record = &host->disk.records[i];
        if (record->lsn >= redo) {
            rc = rub_shard_replay(host->core, record->lsn, record->type, record->bytes,
                                  record->n_bytes, err);
        }
    }
    return rc ? rc
              : rub_shard_open(host->core, ++host->disk.incarnation, rub_sim_ms(sim->now_us), err);
}

int rub_sim_shard_start(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    const rub_shard_effects_t effects = {
        .context = host,
        .journal = on_journal,
        .journal_room = on_journal_room,
        .send = on_send,
        .control = on_control,
        .stage_chunk = on_stage_chunk,
        .stage_state = on_stage_state,
        .sync = on_sync,
        .notice = on_notice,
    };
    rub_shard_config_t config = {
        .shard = host->shard,
        .n_shards = sim->scenario.n_shards,
        .durability = sim->scenario.durability,
        .limit_bytes = 256u << 20,
        .checkpoint_interval_ms = (uint32_t)rub_sim_between(sim, 50, 1000),
        /* Small enough that some runs do full sweeps beside exact checkpoints. */
        .redo_limit_bytes = rub_sim_between(sim, 4096, 1u << 20),
    };
    snprintf(host->address, sizeof(host->address), "sim://shard-%u:%llu", host->shard,
             (unsigned long long)(rub_sim_chance(sim, 50) ? 1 : host->life + 1));
    snprintf(config.address, sizeof(config.address), "%s", host->address);
    snprintf(config.who, sizeof(config.who), "host-%u:%llu", host->shard,
             (unsigned long long)host->life);
    host->sim = sim;
    host->life++;
    host->core = rub_shard_new(&config, &effects);
    RUB_ASSERT(host->core);
    rub_error_t err = {0};
    if (recover(sim, host, &err)) {
        rub_sim_broken(sim, "shard %u does not recover: %s", host->shard, err.message);
        return err.code;
    }
    sim->shard_control[host->shard].kind = SIM_CONTROL_OF_SHARD;
    sim->shard_control[host->shard].shard = host->shard;
    rub_sim_connect(sim, &sim->shard_control[host->shard]);
    wake(sim, host, 0);
    return 0;
}

void rub_sim_shard_crash(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (!host->core) {
        return;
    }
    rub_sim_trace(sim, "shard %u is killed at lsn %llx", host->shard,
                  (unsigned long long)rub_shard_lsn(host->core));
    if (rub_sim_chance(sim, 30) && host->n_inbox > 0) {
        /* Killed between the journal write and the replies: run the turn, then lose what it wanted
         * to send. */
        for (uint32_t a = 0; a < sim->n_actors; a++) {
            rub_sim_cut(sim, &sim->actors[a].data[host->shard]);
        }
        turn(sim, host, host->life);
    }
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_cut(sim, &sim->actors[a].data[host->shard]);
    }
    sim->shard_control[host->shard].wanted = false;
    sim->shard_control[host->shard].up = false;
    if (host->committing && host->n_staged > 0) {
        commit_chunks(host, rub_sim_between(sim, 0, host->n_staged));
    }
    rub_shard_destroy(&host->core);
    drop_staged(host);
    drop_mail(host);
    drop_outbox(host);
    drop_turn(host);
    host->tell_checkpointed = false;
    host->tell_synced = false;
    host->awake = false;
    host->crashes++;
}

void rub_sim_shard_fini(rub_sim_shard_host_t *host)
{
    rub_shard_destroy(&host->core);
    drop_staged(host);
    drop_mail(host);
    drop_outbox(host);
    drop_turn(host);
    for (size_t i = 0; i < host->disk.n_records; i++) {
        drop_record(&host->disk.records[i]);
    }
    for (size_t i = 0; i < host->disk.n_chunks; i++) {
        rub_free(host->disk.chunks[i].bytes);
    }
    rub_free(host->disk.records);
    rub_free(host->disk.chunks);
    rub_free(host->disk.state);
    rub_free(host->inbox);
    rub_free(host->outbox);
    rub_free(host->turn);
    rub_free(host->staged);
}
