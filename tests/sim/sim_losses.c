/* The books of what shards journal, and of what a power loss takes from them.
 *
 * Laws here: each stream is journalled from 1 without gaps and never twice (a LOST record may pass
 * over what the power took); nothing is journalled of an epoch that the shard's own view says is
 * over, but the report of a loss to who has left; with durability sync, or while clients retain
 * what is not synced, nothing is ever LOST; and at the end every push that was journalled, lost and
 * not sent again by its living session lies in a range that LOST has reported. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "tests/sim/sim.h"

typedef struct rub_sim_loss {
    uint32_t rank, epoch, actor;
    uint64_t seq, at_us;
    uint32_t rows; /* bits of its actor's rows */
    bool told;
    bool in_history; /* which has heard that it is lost */
} loss_t;

static bool is_stream(rub_record_type_t type)
{
    return (type >= RUB_RECORD_PUSH && type <= RUB_RECORD_BYE) || type == RUB_RECORD_REFUSED ||
           type == RUB_RECORD_LOST || type == RUB_RECORD_REVISION;
}

bool rub_sim_nothing_may_be_lost(const rub_sim_t *sim)
{
    return sim->scenario.durability == RUB_DURABILITY_SYNC || sim->scenario.retain_synced;
}

/* Whose rows of the ledger a push adds to. */
uint32_t rub_sim_rows_of(const rub_sim_t *sim, const rub_record_t *push, uint32_t *actor)
{
    if (rub_sim_embers_is_push(push, actor)) {
        return 0;
    }
    if (sim->scenario.dense) {
        *actor = (uint32_t)(rub_get_u64(push->keys) / RUB_BLOCK);
        return (1u << SIM_KEYS) - 1;
    }
    uint32_t rows = 0;
    for (uint32_t i = 0; i < push->n_keys; i++) {
        const uint64_t key = rub_get_u64(push->keys + 8 * (size_t)i);
        *actor = (uint32_t)(key / SIM_KEYS);
        rows |= 1u << (key % SIM_KEYS);
    }
    return rows;
}

static void tell_history(rub_sim_t *sim, const loss_t *loss, rub_history_kind_t kind)
{
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
        if (loss->rows & (1u << k)) {
            rub_sim_tell(sim, (rub_history_event_t){
                                  .kind = kind, .writer = loss->actor, .row = k, .number = 1});
        }
    }
}

static void count_missing(rub_sim_t *sim, const loss_t *loss, int by)
{
    for (uint32_t k = 0; k < SIM_KEYS; k++) {
        if (loss->rows & (1u << k)) {
            sim->actors[loss->actor].missing[k] += by;
        }
    }
}

static bool is_of(const loss_t *loss, const rub_sim_actor_t *actor)
{
    return loss->actor == actor->actor && loss->rank == actor->rank &&
           loss->epoch == actor->rank_epoch;
}

/* What was acknowledged is not lost with durability sync; what a client retains comes again while
 * the client lives. */
static bool comes_again(const rub_sim_t *sim, const loss_t *loss)
{
    const rub_sim_actor_t *actor = &sim->actors[loss->actor];
    return sim->scenario.durability == RUB_DURABILITY_SYNC ||
           (sim->scenario.retain_synced && actor->core && !actor->evicted && is_of(loss, actor));
}

void rub_sim_loss_session_over(rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        rub_sim_shard_host_t *host = &sim->shards[s];
        for (size_t i = 0; i < host->n_losses; i++) {
            loss_t *loss = &host->losses[i];
            if (!loss->in_history && is_of(loss, actor) &&
                sim->scenario.durability != RUB_DURABILITY_SYNC) {
                loss->in_history = true;
                tell_history(sim, loss, RUB_HISTORY_LOST);
            }
        }
    }
}

/* ---- what is written ---- */

static void sent_again(rub_sim_t *sim, rub_sim_shard_host_t *host, const rub_record_t *record)
{
    for (size_t i = 0; i < host->n_losses; i++) {
        const loss_t *loss = &host->losses[i];
        if (loss->rank == record->rank && loss->epoch == record->epoch &&
            loss->seq == record->seq) {
            count_missing(sim, loss, -1);
            if (loss->in_history) {
                tell_history(sim, loss, RUB_HISTORY_SENT_AGAIN);
            }
            host->losses[i] = host->losses[--host->n_losses];
            sim->counts[SIM_N_SENT_AGAIN]++;
            return;
        }
    }
}

static void reported(rub_sim_t *sim, rub_sim_shard_host_t *host, const rub_record_t *record)
{
    const uint64_t last = rub_get_u64(record->values);
    sim->counts[SIM_N_LOST]++;
    rub_sim_trace(sim, "shard %u reports records %llu to %llu of rank %u as lost", host->shard,
                  (unsigned long long)record->seq, (unsigned long long)last, record->rank);
    if (rub_sim_nothing_may_be_lost(sim)) {
        rub_sim_broken(sim, "durability: shard %u lost records %llu to %llu of rank %u",
                       host->shard, (unsigned long long)record->seq, (unsigned long long)last,
                       record->rank);
    }
    for (size_t i = 0; i < host->n_losses; i++) {
        loss_t *loss = &host->losses[i];
        if (loss->rank == record->rank && loss->epoch == record->epoch &&
            loss->seq >= record->seq && loss->seq <= last) {
            loss->told = true;
        }
    }
}

/* Who has left in order, and still listens, is told what the power took of its acknowledged
 * records: LOST is that report. Whatever else it sends is dropped. */
static bool may_journal(const rub_sim_stream_t *stream, rub_record_type_t type,
                        const rub_record_t *record)
{
    return stream->view_epoch == record->epoch &&
           (stream->view_state == RUB_RANK_LIVE ||
            (stream->view_state == RUB_RANK_DONE && type == RUB_RECORD_LOST));
}

static void check_stream(rub_sim_t *sim, rub_sim_shard_host_t *host, rub_record_type_t type,
                         const rub_record_t *record)
{
    rub_sim_stream_t *stream = &host->streams[record->rank];
    const bool same = stream->seq > 0 && stream->epoch == record->epoch;
    const uint64_t expected = same ? stream->seq + 1 : 1;
    if (stream->seq > 0 && record->epoch < stream->epoch) {
        rub_sim_broken(sim, "fencing: shard %u journals epoch %u of rank %u after epoch %u",
                       host->shard, record->epoch, record->rank, stream->epoch);
    } else if (!stream->unknown && record->seq != expected) {
        rub_sim_broken(sim,
                       "exactly once: shard %u journals seq %llu of rank %u epoch %u, not %llu",
                       host->shard, (unsigned long long)record->seq, record->rank, record->epoch,
                       (unsigned long long)expected);
    } else if (stream->viewed && !may_journal(stream, type, record)) {
        rub_sim_broken(sim,
                       "fencing: shard %u journals rank %u epoch %u, its view has epoch %u in "
                       "state %u",
                       host->shard, record->rank, record->epoch, stream->view_epoch,
                       stream->view_state);
    }
    stream->unknown = false;
    stream->epoch = record->epoch;
    stream->seq = type == RUB_RECORD_LOST ? rub_get_u64(record->values) : record->seq;
}

static void take_view(rub_sim_shard_host_t *host, const rub_sim_record_t *written)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_arena_init(&arena);
    RUB_ASSERT(rub_control_decode(written->bytes, written->n_bytes, &arena, &message, NULL) == 0);
    for (uint32_t i = 0; i < message.view.n_ranks; i++) {
        const rub_rank_view_t *rank = &message.view.ranks[i];
        if (rank->rank < SIM_RANKS) {
            rub_sim_stream_t *stream = &host->streams[rank->rank];
            stream->viewed = true;
            stream->view_epoch = rank->epoch;
            stream->view_state = rank->state;
        }
    }
    rub_arena_fini(&arena);
}

void rub_sim_loss_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                         const rub_sim_record_t *written)
{
    rub_record_t record;
    if (written->type == RUB_RECORD_VIEW) {
        take_view(host, written);
    }
    if (!is_stream(written->type)) {
        return;
    }
    RUB_ASSERT(rub_record_read(written->type, written->bytes, written->n_bytes, &record, NULL) ==
               0);
    if (record.rank >= SIM_RANKS) {
        rub_sim_broken(sim, "shard %u journals rank %u, which nobody has", host->shard,
                       record.rank);
        return;
    }
    check_stream(sim, host, written->type, &record);
    if (rub_record_is_push(written->type) || written->type == RUB_RECORD_REFUSED) {
        sent_again(sim, host, &record);
    } else if (written->type == RUB_RECORD_LOST) {
        reported(sim, host, &record);
    }
}

/* ---- what the power takes ---- */

void rub_sim_loss_doubt(rub_sim_t *sim, const rub_sim_actor_t *actor, uint32_t rank_epoch,
                        uint64_t period)
{
    rub_history_event_t event = {.kind = RUB_HISTORY_DOUBT, .writer = actor->actor};
    bool any = false;
    for (size_t i = 0; i < actor->n_pushes; i++) {
        const rub_sim_push_t *push = &actor->pushes[i];
        if (push->rank_epoch == rank_epoch) {
            event.epoch = push->life;
            event.number += push->clock < period;
            any = any || push->clock >= period;
        }
    }
    if (any) {
        rub_sim_tell(sim, event);
    }
}

/* bsp: the end of a period is lost, though perhaps not its pushes. If its rank cannot say it again
 * they are never folded. */
static void note_end(rub_sim_t *sim, const rub_record_t *record)
{
    if (sim->scenario.staleness != 0 || record->rank >= sim->scenario.n_workers) {
        return;
    }
    rub_sim_actor_t *actor = &sim->actors[record->rank];
    const uint64_t period = record->clock > 0 ? record->clock - 1 : 0;
    if (actor->core && actor->rank_epoch == record->epoch) {
        const bool first = actor->unclosed == 0 || period < actor->unclosed - 1;
        actor->unclosed = first ? period + 1 : actor->unclosed;
        return;
    }
    rub_sim_loss_doubt(sim, actor, record->epoch, period);
}

static void note(rub_sim_t *sim, rub_sim_shard_host_t *host, const rub_sim_record_t *written)
{
    rub_record_t record;
    if (!is_stream(written->type)) {
        return;
    }
    RUB_ASSERT(rub_record_read(written->type, written->bytes, written->n_bytes, &record, NULL) ==
               0);
    host->streams[record.rank] = (rub_sim_stream_t){.unknown = true};
    if (!rub_record_is_push(written->type)) {
        note_end(sim, &record);
        return;
    }
    loss_t loss = {.rank = record.rank, .epoch = record.epoch, .seq = record.seq};
    loss.rows = rub_sim_rows_of(sim, &record, &loss.actor);
    loss.at_us = sim->now_us;
    RUB_ASSERT(rub_grow(&host->losses, &host->losses_capacity, host->n_losses + 1,
                        sizeof(*host->losses)) == 0);
    loss.in_history = !comes_again(sim, &loss);
    host->losses[host->n_losses++] = loss;
    count_missing(sim, &loss, 1);
    if (loss.in_history) {
        tell_history(sim, &loss, RUB_HISTORY_LOST);
    }
}

void rub_sim_loss_power(rub_sim_t *sim, rub_sim_shard_host_t *host)
{
    rub_sim_disk_t *disk = &host->disk;
    const size_t unsynced = rub_sim_disk_unsynced(disk);
    const size_t lost = unsynced > 0 ? rub_sim_between(sim, 0, unsynced) : 0;
    sim->counts[SIM_N_POWER]++;
    if (lost == 0) {
        (void)rub_sim_disk_lose(disk, 0, 0);
        return;
    }
    const bool torn = rub_sim_chance(sim, 50);
    sim->counts[SIM_N_TORN] += torn;
    size_t missed = 0;
    for (size_t i = disk->n_records - lost; i < disk->n_records; i++) {
        if (disk->records[i].lsn > disk->redo_lsn) { /* else it is in the state */
            note(sim, host, &disk->records[i]);
            missed++;
        }
    }
    const size_t behind = rub_sim_disk_lose(disk, lost, rub_mix64(sim->options.seed ^ sim->now_us));
    rub_sim_trace(sim, "shard %u loses %zu of %zu unsynced records%s; %zu lie behind the hole",
                  host->shard, lost, unsynced, torn ? ", the first of them torn" : "", behind);
    sim->counts[SIM_N_HOLES] += behind > 0;
    sim->counts[SIM_N_BEFORE_REDO] += missed < lost;
    sim->counts[SIM_N_LOST_RECORDS] += missed;
    host->embers_unknown = host->embers_unknown || missed > 0;
    if (missed == 0) {
        return;
    }
    for (uint32_t r = 0; r < SIM_RANKS; r++) {
        host->streams[r].viewed = false; /* its VIEW may be among them */
    }
    /* Everybody may have seen what is gone. */
    rub_sim_tell_back(sim, host);
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_tell(sim, (rub_history_event_t){
                              .kind = RUB_HISTORY_BACK, .writer = a, .row = RUB_HISTORY_ALL});
    }
}

/* ---- at the end ---- */

void rub_sim_loss_check_end(rub_sim_t *sim)
{
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        const rub_sim_shard_host_t *host = &sim->shards[s];
        for (size_t i = 0; i < host->n_losses; i++) {
            const loss_t *loss = &host->losses[i];
            const rub_sim_actor_t *actor = &sim->actors[loss->actor];
            /* Who was killed, or had said BYE already, can neither send again nor be told. */
            const bool lived = actor->core && actor->left_well && actor->rank == loss->rank &&
                               actor->rank_epoch == loss->epoch && loss->at_us < actor->leaving_us;
            if (lived && (!loss->told || rub_sim_nothing_may_be_lost(sim))) {
                rub_sim_broken(sim,
                               "silent loss: seq %llu of rank %u epoch %u is gone from shard %u, "
                               "and nobody was told",
                               (unsigned long long)loss->seq, loss->rank, loss->epoch, s);
                return;
            }
        }
    }
}
