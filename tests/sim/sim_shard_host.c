/* A shard's process: its mailbox, its turns, and its deaths.
 *
 * kill -9 falls before the journal write of a turn, within it, between it and the replies, or
 * between two turns; a checkpoint whose commit is under way leaves some of its transactions behind,
 * without the state. What was written stays; memory, the mailbox and unsent replies go. A power
 * loss also takes what the platter had not got, and says goodbye to nobody. SIGTERM drains first.
 */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

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
        rub_sim_record_drop(&host->turn[i]);
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
    if (lsn <= host->greatest_lsn || lsn >> 40 != host->disk.incarnation) {
        rub_sim_broken(host->sim, "shard %u journals lsn %llx after %llx, in incarnation %llu",
                       host->shard, (unsigned long long)lsn, (unsigned long long)host->greatest_lsn,
                       (unsigned long long)host->disk.incarnation);
    }
    host->greatest_lsn = lsn;
    RUB_ASSERT(rub_grow(&host->turn, &host->turn_capacity, host->n_turn + 1, sizeof(*host->turn)) ==
               0);
    host->turn[host->n_turn++] =
        (rub_sim_record_t){.lsn = lsn, .type = type, .bytes = bytes, .n_bytes = n_bytes};
    return 0;
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

static void on_notice(void *context, const char *sentence)
{
    rub_sim_shard_host_t *host = context;
    rub_sim_trace(host->sim, "shard %u: %s", host->shard, sentence);
}

/* ---- turns ---- */

static int step_core(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_shard_turn_begin(host->core, rub_sim_local_ms(sim, &host->process));
    int rc = 0;
    for (size_t i = 0; i < host->n_inbox && rc == 0; i++) {
        rub_sim_mail_t *mail = &host->inbox[i];
        if (mail->packet) {
            const rub_frame_t frame = rub_sim_read(sim, mail->packet);
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
        rc = rub_shard_synced(host->core, host->told_lsn);
    }
    if (rc == 0 && host->tell_checkpointed) {
        host->tell_checkpointed = false;
        rc = rub_shard_checkpointed(host->core, host->committed_redo);
    }
    rc = rc ? rc : rub_sim_snapshot_tell(host);
    rc = rc ? rc : rub_shard_tick(host->core);
    return rc ? rc : rub_shard_turn_end(host->core);
}

static void send_all(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    for (size_t i = 0; i < host->n_outbox; i++) {
        rub_sim_channel_t *channel = rub_sim_channel_of(sim, host->outbox[i].connection);
        if (channel) {
            rub_sim_send_packet(sim, channel, false, host->outbox[i].packet);
        } else {
            rub_packet_unref(&host->outbox[i].packet);
        }
    }
    host->n_outbox = 0;
}

static void turn(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_shard_host_t *host = subject;
    if (!host->core || host->life != life ||
        rub_sim_asleep(sim, &host->process, turn, host, life)) {
        return;
    }
    host->awake = false;
    const int rc = step_core(sim, host);
    if (rc) {
        rub_sim_broken(sim, "shard %u fails with %s", host->shard, rub_error_name(rc));
        return;
    }
    /* The journal write. From here on the turn survives kill -9. */
    rub_sim_storage_write(sim, host, host->n_turn);
    drop_mail(host);
    send_all(sim, host);
    if (rub_shard_phase(host->core) == RUB_SHARD_REFUSED && sim->doomed) {
        rub_sim_shard_crash(sim, host); /* it leaves with 77 */
        return;
    }
    if (rub_shard_phase(host->core) == RUB_SHARD_REFUSED) {
        rub_sim_broken(sim, "membership: shard %u is refused: %s", host->shard,
                       rub_shard_reason(host->core));
        return;
    }
    if (host->draining && rub_shard_clean(host->core)) {
        rub_sim_trace(sim, "shard %u has drained and leaves", host->shard);
        rub_sim_shard_crash(sim, host);
        rub_sim_shard_start_later(sim, host);
        return;
    }
    const uint64_t next_ms = rub_shard_next_tick_ms(host->core);
    rub_sim_shard_wake(sim, host, next_ms == 0 ? rub_sim_between(sim, 200, 10000) : next_ms * 1000);
}

/* Extra turns are harmless: a tick too many decides nothing. */
void rub_sim_shard_wake(rub_sim_t *sim, rub_sim_shard_host_t *host, uint64_t local_us)
{
    const uint64_t at_us = sim->now_us + local_us;
    if (host->awake && host->tick_at_us <= at_us) {
        return;
    }
    host->awake = true;
    host->tick_at_us = at_us;
    rub_sim_timer(sim, &host->process, local_us, turn, host, host->life);
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
    rub_sim_shard_wake(sim, host, rub_sim_between(sim, 0, 1500));
}

/* ---- life and death ---- */

static rub_shard_config_t config_of(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_shard_config_t config = {
        .shard = host->shard,
        .n_shards = sim->scenario.n_shards,
        .durability = sim->scenario.durability,
        .limit_bytes = 256u << 20,
        .lists_idle_ms = 300,
        .is_in_process = rub_sim_grants(sim),
        .checkpoint_interval_ms = (uint32_t)rub_sim_between(sim, 50, 1000),
        /* Small enough that some runs do full sweeps beside exact checkpoints. */
        .redo_limit_bytes = rub_sim_between(sim, 4096, 1u << 20),
    };
    config.redo_limit_grows = config.redo_limit_bytes % 2 == 0;
    if (sim->scenario.sweeps) { /* a chunk per tick, with requests in between */
        config.stage_bytes = 1;
        config.redo_limit_bytes = rub_sim_between(sim, 256, 8192);
    } else if (rub_sim_between(sim, 0, 3) == 0) { /* syncs that turn into checkpoints */
        config.stage_bytes = 256;
    }
    snprintf(config.address, sizeof(config.address), "%s", host->address);
    snprintf(config.who, sizeof(config.who), "host-%u:%llu", host->shard,
             (unsigned long long)host->life);
    return config;
}

int rub_sim_shard_start(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    const rub_shard_effects_t effects = {
        .context = host,
        .journal = on_journal,
        .journal_room = rub_sim_storage_room,
        .send = on_send,
        .control = on_control,
        .stage_chunk = rub_sim_storage_chunk,
        .stage_state = rub_sim_storage_state,
        .sync = rub_sim_storage_sync,
        .pin = rub_sim_snapshot_pin,
        .fold = rub_sim_snapshot_fold,
        .unpin = rub_sim_snapshot_unpin,
        .notice = on_notice,
    };
    snprintf(host->address, sizeof(host->address), "%s://shard-%u:%llu",
             rub_sim_grants(sim) ? "inproc" : "sim", host->shard,
             (unsigned long long)(rub_sim_chance(sim, 50) ? 1 : host->life + 1));
    const rub_shard_config_t config = config_of(sim, host);
    host->sim = sim;
    if (host->rots) {
        host->rots = false;
        rub_sim_disk_rot(sim, &host->disk, &config);
    }
    host->life++;
    rub_sim_snapshot_died(host); /* whatever its last life held */
    host->core = rub_shard_new(&config, &effects);
    RUB_ASSERT(host->core);
    rub_error_t err = {0};
    int rc = rub_sim_disk_recover(&host->disk, host->core, true, &err);
    rc = rc ? rc
            : rub_shard_open(host->core, ++host->disk.incarnation,
                             rub_sim_local_ms(sim, &host->process), &err);
    if (rc) {
        rub_sim_broken(sim, "shard %u does not recover: %s", host->shard, err.message);
        return rc;
    }
    sim->shard_control[host->shard].kind = SIM_CONTROL_OF_SHARD;
    sim->shard_control[host->shard].shard = host->shard;
    rub_sim_connect(sim, &sim->shard_control[host->shard]);
    rub_sim_shard_wake(sim, host, 0);
    return 0;
}

static void start_if_dead(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    rub_sim_shard_host_t *host = subject;
    if (!host->core && !sim->over) {
        rub_sim_shard_start(sim, host);
    }
}

void rub_sim_shard_start_later(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_sim_after(sim, rub_sim_between(sim, 1000, 1500000), start_if_dead, host, 0);
}

static void die(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_sim_storage_cut(sim, host);
    rub_shard_destroy(&host->core);
    rub_sim_snapshot_died(host);
    rub_sim_storage_drop(host);
    drop_mail(host);
    drop_outbox(host);
    drop_turn(host);
    sim->shard_control[host->shard].wanted = false;
    sim->shard_control[host->shard].up = false;
    host->awake = host->draining = false;
    host->crashes++;
    rub_sim_go_on(sim, &host->process); /* what waited for it goes with it */
}

static void cut_all(rub_sim_t *sim, const rub_sim_shard_host_t *host,
                    void (*how)(rub_sim_t *, rub_sim_channel_t *))
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        how(sim, &sim->actors[a].data[host->shard]);
    }
}

/* Some of a turn may be in the journal although nobody has heard of it. */
static void half_a_turn(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (host->n_inbox == 0 || host->process.paused || !rub_sim_chance(sim, 40)) {
        return;
    }
    if (step_core(sim, host) == 0) {
        rub_sim_storage_write(sim, host,
                              rub_sim_chance(sim, 50) ? host->n_turn
                                                      : rub_sim_between(sim, 0, host->n_turn));
    }
}

void rub_sim_shard_crash(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (!host->core) {
        return;
    }
    rub_sim_trace(sim, "shard %u ends at lsn %llx", host->shard,
                  (unsigned long long)rub_shard_lsn(host->core));
    if (!host->draining) {
        half_a_turn(sim, host);
    }
    cut_all(sim, host, rub_sim_reset);
    const bool kept = rub_sim_embers_kept(sim, host);
    const uint64_t rows = kept ? rub_shard_rows(host->core) : 0;
    const uint64_t digest = kept ? rub_shard_digest(host->core) : 0;
    die(sim, host);
    if (kept) {
        rub_sim_embers_compare(sim, host, rows, digest);
    }
}

void rub_sim_shard_power(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (!host->core) {
        return;
    }
    rub_sim_trace(sim, "the host of shard %u loses power at lsn %llx, %llx is synced", host->shard,
                  (unsigned long long)rub_shard_lsn(host->core),
                  (unsigned long long)host->disk.synced_lsn);
    half_a_turn(sim, host);
    cut_all(sim, host, rub_sim_vanish);
    die(sim, host);
    rub_sim_loss_power(sim, host);
}

void rub_sim_shard_term(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    if (!host->core || host->draining) {
        return;
    }
    rub_sim_trace(sim, "shard %u gets SIGTERM", host->shard);
    host->draining = true;
    sim->counts[SIM_N_DRAINS]++;
    rub_shard_drain(host->core);
    rub_sim_shard_wake(sim, host, 0);
}

void rub_sim_shard_fini(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_shard_destroy(&host->core);
    rub_sim_storage_drop(host);
    drop_mail(host);
    drop_outbox(host);
    drop_turn(host);
    rub_sim_disk_fini(&host->disk);
    rub_sim_snapshot_fini(host);
    rub_sim_process_fini(sim, &host->process);
    rub_free(host->losses);
    rub_free(host->inbox);
    rub_free(host->outbox);
    rub_free(host->turn);
    rub_free(host->staged);
}
