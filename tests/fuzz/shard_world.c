/* What lasts is kept in lists: the journal's records, the staged chunks and the stored ones.
 * Nothing is told to anybody; what leaves the shard is held against the laws and dropped. */
#include "tests/fuzz/shard_world.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/num/codec.h"
#include "common/wire/table_schema.h"

#include <math.h>
#include <string.h>

static void push(rub_kept_list_t *list, rub_kept_t item)
{
    RUB_ASSERT(rub_grow(&list->items, &list->capacity, list->n + 1, sizeof(item)) == 0);
    list->items[list->n++] = item;
}

static void clear(rub_kept_list_t *list)
{
    for (size_t i = 0; i < list->n; i++) {
        rub_free(list->items[i].bytes);
    }
    rub_free(list->items);
    *list = (rub_kept_list_t){0};
}

/* ---- the laws of the journal ---- */

static void check_record(rub_shard_world_t *world, rub_record_type_t type, const void *bytes,
                         size_t n_bytes)
{
    rub_record_t record;
    if (type == RUB_RECORD_DELETE) {
        rub_delete_record_t gone;
        RUB_ASSERT(rub_delete_read(bytes, n_bytes, &gone, NULL) == 0);
        RUB_ASSERT(gone.table == POLICY);
        RUB_ASSERT(world->evict.idle_clocks > 0 || world->evict.norm > 0);
        return;
    }
    if (type == RUB_RECORD_VIEW || type == RUB_RECORD_CLOSE || type == RUB_RECORD_SYNC) {
        return;
    }
    RUB_ASSERT(rub_record_read(type, bytes, n_bytes, &record, NULL) == 0);
    RUB_ASSERT(record.rank < RANKS);
    RUB_ASSERT(record.epoch == world->ranks[record.rank].epoch);
    if (type == RUB_RECORD_LOST) { /* up to the last lost one */
        world->applied[record.rank] = rub_get_u64(record.values);
        return;
    }
    RUB_ASSERT(record.seq == world->applied[record.rank] + 1);
    world->applied[record.rank] = record.seq;
    if (type != RUB_RECORD_PUSH || record.table != LEDGER) {
        return;
    }
    RUB_ASSERT(record.keys_bytes == 8 * (size_t)record.n_keys);
    const rub_key_digest_t digest = rub_key_digest_of(record.keys, record.n_keys);
    RUB_ASSERT(rub_key_digest_equal(&digest, &world->said));
    for (uint32_t i = 0; i < record.n_keys; i++) {
        const uint64_t key = rub_get_u64(record.keys + 8 * (size_t)i);
        const rub_codec_t *codec = rub_codec_find(rub_codec_of_flags(record.flags));
        float value;
        RUB_ASSERT(codec);
        RUB_ASSERT(codec->decode(record.values + i * codec->row_bytes(1), 1, &value) == 0);
        RUB_ASSERT(key < KEYS);
        world->ledger[key] += value;
    }
}

/* Backwards, where there are positions. */
static const uint32_t positions[KEYS] = {7, 6, 5, 4, 3, 2, 1, 0};

rub_grant_t *rub_shard_world_grant(rub_shard_world_t *world, size_t n_rows, uint32_t width,
                                   bool is_range)
{
    if (world->grant) {
        (void)rub_grant_revoke(world->grant);
        rub_grant_unref(&world->grant);
    }
    world->grant = rub_grant_new();
    world->n_granted = n_rows * width;
    RUB_ASSERT(world->grant);
    RUB_ASSERT(world->n_granted <= RUB_COUNT_OF(world->granted));
    RUB_ASSERT(is_range || n_rows <= KEYS);
    for (size_t i = 0; i < world->n_granted; i++) {
        world->granted[i] = NAN;
    }
    rub_grant_open(world->grant,
                   &(rub_grant_place_t){.values = world->granted,
                                        .positions = is_range || n_rows < KEYS ? NULL : positions,
                                        .n_rows = n_rows,
                                        .width = width});
    return world->grant;
}

static void check_granted(const rub_shard_world_t *world)
{
    const bool is_done = world->grant && rub_grant_is_done(world->grant);
    const size_t stride = world->n_granted > 64 ? 512 : 1; /* of a block all or nothing */
    for (size_t i = 0; i < world->n_granted; i += stride) {
        RUB_ASSERT(!isnan(world->granted[i]) == is_done);
    }
}

void rub_shard_world_check(rub_shard_world_t *world)
{
    check_granted(world);
    const uint64_t minimum = rub_shard_minimum(world->shard);
    if (minimum != UINT64_MAX) {
        RUB_ASSERT(minimum >= world->minimum);
        world->minimum = minimum;
    }
    for (uint32_t u = 0; u < RANKS; u++) {
        const uint64_t done = rub_shard_done(world->shard, u);
        RUB_ASSERT(done >= world->done[u]);
        world->done[u] = done;
    }
}

/* ---- effects ---- */

static int on_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    rub_shard_world_t *world = context;
    rub_kept_t record = {.lsn = lsn, .type = type};
    for (size_t i = 0; i < n_parts; i++) {
        record.n_bytes += parts[i].bytes;
    }
    record.bytes = rub_alloc(record.n_bytes + 1);
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        memcpy((uint8_t *)record.bytes + at, parts[i].data, parts[i].bytes);
        at += parts[i].bytes;
    }
    const rub_kept_list_t *journal = &world->journal;
    RUB_ASSERT(journal->n == 0 || journal->items[journal->n - 1].lsn < lsn);
    check_record(world, type, record.bytes, record.n_bytes);
    push(&world->journal, record);
    return 0;
}

static size_t on_room(void *context)
{
    return ((const rub_shard_world_t *)context)->no_room ? 0 : SIZE_MAX;
}

/* The ledger of async is what the journal says, whoever asks whenever. */
static void check_rows(rub_shard_world_t *world, const rub_header_t *header, const uint8_t *values)
{
    const bool is_there = (header->flags & RUB_FLAG_GRANT) != 0;
    RUB_ASSERT(!is_there || (world->grant && rub_grant_is_done(world->grant)));
    if (header->seq != KEYS || world->staleness != UINT64_MAX) {
        return;
    }
    for (size_t key = 0; key < KEYS; key++) { /* 4 bytes of exists bits, then the rows */
        float value;
        if (is_there) {
            value = world->granted[positions[key]];
        } else {
            memcpy(&value, values + header->value_bytes - 4 * (KEYS - key), sizeof(value));
        }
        RUB_ASSERT(value == world->ledger[key]);
    }
    world->n_rows++;
}

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    rub_shard_world_t *world = context;
    const rub_header_t *header = rub_packet_header(packet);
    (void)peer;
    if (header->type == RUB_MSG_ACK || header->type == RUB_MSG_WELCOME) {
        RUB_ASSERT(header->mark <= header->seq); /* synced, applied */
    }
    if (header->type == RUB_MSG_ROWS) {
        RUB_ASSERT(world->staleness == UINT64_MAX || header->mark == UINT64_MAX ||
                   header->mark + world->staleness >= header->clock);
        check_rows(world, header, rub_packet_values(packet));
    }
    rub_packet_unref(&packet);
}

static void on_control(void *context, const rub_control_t *message)
{
    (void)context;
    rub_buf_t out;
    rub_buf_init(&out);
    RUB_ASSERT(rub_control_encode(message, &out, NULL) == 0);
    rub_buf_fini(&out);
}

static int on_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                    size_t n_bytes)
{
    (void)lsn;
    push(&((rub_shard_world_t *)context)->staged,
         (rub_kept_t){.bytes = bytes, .n_bytes = n_bytes, .table = table, .chunk = chunk});
    return 0;
}

static int on_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                    size_t n_bytes)
{
    rub_shard_world_t *world = context;
    RUB_ASSERT(lsn_needed >= redo_lsn);
    RUB_ASSERT(!world->next_state.bytes);
    world->next_state = (rub_kept_t){.bytes = rub_alloc(n_bytes), .n_bytes = n_bytes};
    memcpy(world->next_state.bytes, state, n_bytes);
    world->next_redo = redo_lsn;
    return 0;
}

static void on_sync(void *context, uint64_t lsn)
{
    ((rub_shard_world_t *)context)->sync_lsn = lsn;
}

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    RUB_ASSERT(sentence[0] != '\0');
}

/* ---- life ---- */

static void new_shard(rub_shard_world_t *world)
{
    const rub_shard_effects_t effects = {.context = world,
                                         .journal = on_journal,
                                         .journal_room = on_room,
                                         .send = on_send,
                                         .control = on_control,
                                         .stage_chunk = on_chunk,
                                         .stage_state = on_state,
                                         .sync = on_sync,
                                         .notice = on_notice};
    world->shard = rub_shard_new(&world->config, &effects);
    RUB_ASSERT(world->shard);
}

static void open_shard(rub_shard_world_t *world)
{
    RUB_ASSERT(rub_shard_open(world->shard, ++world->incarnation, world->now_ms, NULL) == 0);
}

static void drop_staged(rub_shard_world_t *world)
{
    clear(&world->staged);
    rub_free(world->next_state.bytes);
    world->next_state = (rub_kept_t){0};
}

void rub_shard_world_crash(rub_shard_world_t *world)
{
    const uint64_t digest = rub_shard_digest(world->shard);
    rub_shard_destroy(&world->shard);
    drop_staged(world);
    world->sync_lsn = 0;
    new_shard(world);
    rub_error_t err = {0};
    uint64_t redo = 0;
    if (world->state.bytes) {
        RUB_ASSERT(rub_shard_load_state(world->shard, world->state.bytes, world->state.n_bytes,
                                        &redo, &err) == 0);
    }
    for (size_t i = 0; i < world->stored.n; i++) {
        RUB_ASSERT(rub_shard_load_chunk(world->shard, world->stored.items[i].bytes,
                                        world->stored.items[i].n_bytes, &err) == 0);
    }
    for (size_t i = 0; i < world->journal.n; i++) {
        const rub_kept_t *record = &world->journal.items[i];
        RUB_ASSERT(rub_shard_replay(world->shard, record->lsn, record->type, record->bytes,
                                    record->n_bytes, &err) == 0);
    }
    RUB_ASSERT(rub_shard_digest(world->shard) == digest);
    open_shard(world);
}

/* The first n staged chunks reach the store; with all of them the state does too. */
void rub_shard_world_commit(rub_shard_world_t *world, size_t n)
{
    for (size_t i = 0; i < world->staged.n && i < n; i++) {
        rub_kept_t *chunk = &world->staged.items[i];
        size_t at = 0;
        while (at < world->stored.n && (world->stored.items[at].table != chunk->table ||
                                        world->stored.items[at].chunk != chunk->chunk)) {
            at++;
        }
        if (at == world->stored.n) {
            push(&world->stored, *chunk);
        } else {
            rub_free(world->stored.items[at].bytes);
            world->stored.items[at] = *chunk;
        }
        chunk->bytes = NULL;
    }
    if (n < world->staged.n) {
        rub_shard_world_crash(world);
        return;
    }
    rub_free(world->state.bytes);
    world->state = world->next_state;
    world->next_state = (rub_kept_t){0};
    drop_staged(world);
    RUB_ASSERT(rub_shard_checkpointed(world->shard, world->next_redo) == 0);
}

/* ---- the scheduler ---- */

void rub_shard_world_view(rub_shard_world_t *world)
{
    rub_table_view_t tables[] = {
        {.id = LEDGER, .name = "ledger", .kind = RUB_HASHED, .width = 1, .optimizer = RUB_ADD},
        {.id = DENSE, .name = "d", .kind = RUB_DENSE, .elements = 5000},
        {.id = POLICY, .name = "p", .kind = RUB_HASHED, .width = 2, .optimizer = RUB_SGD},
    };
    tables[1].optimizer = world->optimizer;
    tables[1].delay = world->delay;
    tables[1].delay_lambda = world->delay >= RUB_DELAY_COMPENSATES ? 0.04 : 0;
    tables[2].delay = world->delay == RUB_DELAY_DIVIDES ? RUB_DELAY_DIVIDES : RUB_DELAY_IGNORED;
    tables[2].evict_idle_clocks = world->evict.idle_clocks;
    tables[2].evict_norm = world->evict.norm;
    tables[2].evict_sweep_clocks = world->evict.sweep_clocks;
    tables[2].admit_count = world->admit_count;
    tables[2].admit_counters = world->admit_count ? RUB_ADMIT_COUNTERS_LEAST : 0;
    tables[2].admit_probability = world->admit_probability;
    for (size_t i = 0; i < 3; i++) {
        tables[i].lr = 0.1;
        tables[i].momentum = 0.9;
        tables[i].beta1 = 0.9;
        tables[i].beta2 = 0.999;
        tables[i].epsilon = 1e-8;
    }
    world->version++;
    const rub_control_t message = {.type = RUB_MSG_VIEW,
                                   .view = {.job = JOB,
                                            .generation = 1 + world->version / 8,
                                            .version = world->version,
                                            .state = RUB_JOB_RUNNING,
                                            .n_workers = RANKS,
                                            .staleness = world->staleness,
                                            .reduce = world->reduce,
                                            .seed = 5,
                                            .ranks = world->ranks,
                                            .n_ranks = RANKS,
                                            .tables = tables,
                                            .n_tables = 3}};
    RUB_ASSERT(rub_shard_control(world->shard, &message) == 0);
}

/* ---- begin and end ---- */

void rub_shard_world_open(rub_shard_world_t *world, uint8_t profile)
{
    *world = (rub_shard_world_t){
        .config = {.n_shards = 1,
                   .is_in_process = true,
                   .durability = profile & 1 ? RUB_DURABILITY_SYNC : RUB_DURABILITY_JOURNAL,
                   .limit_bytes = 64u << 20,
                   .checkpoint_interval_ms = 300,
                   .redo_limit_bytes = profile & 2 ? 4096 : 1u << 30},
        .staleness = profile & 4 ? (profile & 8 ? 0 : 2) : UINT64_MAX,
        .reduce = profile >> 4 & 1,
        .optimizer = profile & 32 ? RUB_ADAREVISION : RUB_MOMENTUM,
        .now_ms = 10000,
    };
    if (profile & 64) {
        world->evict = (rub_eviction_t){.idle_clocks = 1 + profile % 2, .sweep_clocks = 1};
        world->admit_count = profile & 128 ? 0 : 2;
        world->delay = profile & 32 ? RUB_DELAY_IGNORED : RUB_DELAY_COMPENSATES;
    }
    if (profile & 128) {
        world->evict.norm = 1.5;
        world->evict.sweep_clocks = 1 + profile % 2;
        world->admit_probability = 0.5;
        world->delay = profile & 32   ? RUB_DELAY_IGNORED
                       : profile & 64 ? RUB_DELAY_ADAPTS
                                      : RUB_DELAY_DIVIDES;
    }
    for (uint32_t u = 0; u < RANKS; u++) {
        world->ranks[u] = (rub_rank_view_t){.rank = u, .epoch = 1, .state = RUB_RANK_LIVE};
    }
    new_shard(world);
    open_shard(world);
    rub_shard_turn_begin(world->shard, world->now_ms);
    rub_shard_world_view(world);
    RUB_ASSERT(rub_shard_turn_end(world->shard) == 0);
}

void rub_shard_world_close(rub_shard_world_t *world)
{
    rub_shard_destroy(&world->shard);
    clear(&world->journal);
    clear(&world->stored);
    drop_staged(world);
    rub_free(world->state.bytes);
    check_granted(world);
    rub_grant_unref(&world->grant);
}
