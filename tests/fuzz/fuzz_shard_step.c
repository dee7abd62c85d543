/* A shard stepped through an event string: first byte the profile, then one event per byte with its
 * arguments behind it. Sessions that follow the protocol most of the time and break it some of the
 * time, views that a scheduler could send, ticks, syncs, commits, kills with recovery from what the
 * journal and the store hold.
 *
 * Laws: a record enters the journal once, in its stream's order; applied and done never fall, no
 * minimum ever falls; an ACK says no more than the journal holds; after a kill the rows are as
 * before; what a reader is given of the ledger is what the journal holds. */
#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/num/codec.h"
#include "common/wire/key_digest.h"
#include "ps/record.h"
#include "ps/shard.h"
#include "tests/fuzz/fuzz.h"

enum { RANKS = 3, PEERS = 6, KEYS = 8, LEDGER = 1, DENSE = 2, JOB = 77, EVENTS_LIMIT = 400 };

typedef struct kept {
    uint64_t lsn;
    rub_record_type_t type;
    void *bytes;
    size_t n_bytes;
    uint32_t table, chunk;
} kept_t;

typedef struct list {
    kept_t *items;
    size_t n, capacity;
} list_t;

typedef struct world {
    rub_shard_t *shard;
    rub_shard_config_t config;
    uint64_t staleness;
    uint32_t reduce, optimizer; /* of the dense table */
    uint64_t incarnation, now_ms, version;
    rub_rank_view_t ranks[RANKS];
    list_t journal, staged, stored;
    kept_t state, next_state;
    uint64_t next_redo, sync_lsn;
    uint64_t applied[RANKS]; /* of the live epoch, by the journal */
    uint64_t done[RANKS];
    uint64_t minimum;
    float ledger[KEYS];    /* by the journal; async */
    rub_key_digest_t said; /* of the keys of the push to the ledger that is being said */
    uint64_t n_rows;
    bool no_room;
} world_t;

static void push(list_t *list, kept_t item)
{
    RUB_ASSERT(rub_grow(&list->items, &list->capacity, list->n + 1, sizeof(item)) == 0);
    list->items[list->n++] = item;
}

static void clear(list_t *list)
{
    for (size_t i = 0; i < list->n; i++) {
        rub_free(list->items[i].bytes);
    }
    rub_free(list->items);
    *list = (list_t){0};
}

/* ---- the laws of the journal ---- */

static void check_record(world_t *world, rub_record_type_t type, const void *bytes, size_t n_bytes)
{
    rub_record_t record;
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

static void check_laws(world_t *world)
{
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
    world_t *world = context;
    kept_t record = {.lsn = lsn, .type = type};
    for (size_t i = 0; i < n_parts; i++) {
        record.n_bytes += parts[i].bytes;
    }
    record.bytes = rub_alloc(record.n_bytes + 1);
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        memcpy((uint8_t *)record.bytes + at, parts[i].data, parts[i].bytes);
        at += parts[i].bytes;
    }
    const list_t *journal = &world->journal;
    RUB_ASSERT(journal->n == 0 || journal->items[journal->n - 1].lsn < lsn);
    check_record(world, type, record.bytes, record.n_bytes);
    push(&world->journal, record);
    return 0;
}

static size_t on_room(void *context)
{
    return ((const world_t *)context)->no_room ? 0 : SIZE_MAX;
}

/* The ledger of async is what the journal says, whoever asks whenever. */
static void check_rows(world_t *world, const rub_header_t *header, const uint8_t *values)
{
    if (header->seq != KEYS || world->staleness != UINT64_MAX) {
        return;
    }
    for (size_t key = 0; key < KEYS; key++) { /* 4 bytes of exists bits, then the rows */
        float value;
        memcpy(&value, values + header->value_bytes - 4 * (KEYS - key), sizeof(value));
        RUB_ASSERT(value == world->ledger[key]);
    }
    world->n_rows++;
}

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    world_t *world = context;
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
    push(&((world_t *)context)->staged,
         (kept_t){.bytes = bytes, .n_bytes = n_bytes, .table = table, .chunk = chunk});
    return 0;
}

static int on_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                    size_t n_bytes)
{
    world_t *world = context;
    RUB_ASSERT(lsn_needed >= redo_lsn);
    RUB_ASSERT(!world->next_state.bytes);
    world->next_state = (kept_t){.bytes = rub_alloc(n_bytes), .n_bytes = n_bytes};
    memcpy(world->next_state.bytes, state, n_bytes);
    world->next_redo = redo_lsn;
    return 0;
}

static void on_sync(void *context, uint64_t lsn)
{
    ((world_t *)context)->sync_lsn = lsn;
}

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    RUB_ASSERT(sentence[0] != '\0');
}

/* ---- life ---- */

static void new_shard(world_t *world)
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

static void open_shard(world_t *world)
{
    RUB_ASSERT(rub_shard_open(world->shard, ++world->incarnation, world->now_ms, NULL) == 0);
}

static void drop_staged(world_t *world)
{
    clear(&world->staged);
    rub_free(world->next_state.bytes);
    world->next_state = (kept_t){0};
}

static void crash(world_t *world)
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
        const kept_t *record = &world->journal.items[i];
        RUB_ASSERT(rub_shard_replay(world->shard, record->lsn, record->type, record->bytes,
                                    record->n_bytes, &err) == 0);
    }
    RUB_ASSERT(rub_shard_digest(world->shard) == digest);
    open_shard(world);
}

/* The first n staged chunks reach the store; with all of them the state does too. */
static void commit(world_t *world, size_t n)
{
    for (size_t i = 0; i < world->staged.n && i < n; i++) {
        kept_t *chunk = &world->staged.items[i];
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
        crash(world);
        return;
    }
    rub_free(world->state.bytes);
    world->state = world->next_state;
    world->next_state = (kept_t){0};
    drop_staged(world);
    RUB_ASSERT(rub_shard_checkpointed(world->shard, world->next_redo) == 0);
}

/* ---- what others say ---- */

static void say_view(world_t *world)
{
    rub_table_view_t tables[] = {
        {.id = LEDGER, .name = "ledger", .kind = RUB_HASHED, .width = 1, .optimizer = RUB_ADD},
        {.id = DENSE, .name = "d", .kind = RUB_DENSE, .elements = 5000},
    };
    tables[1].optimizer = world->optimizer;
    for (size_t i = 0; i < 2; i++) {
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
                                            .n_tables = 2}};
    RUB_ASSERT(rub_shard_control(world->shard, &message) == 0);
}

/* A rank is gone, done, or comes again in a new epoch. */
static void change_rank(world_t *world, uint8_t how)
{
    rub_rank_view_t *rank = &world->ranks[how % RANKS];
    const uint32_t u = how % RANKS;
    if (world->no_room) {
        return; /* the view would not be taken, and we would not know */
    }
    if (rank->state != RUB_RANK_LIVE) {
        rank->epoch++;
        rank->state = RUB_RANK_LIVE;
        world->applied[u] = 0;
        world->done[u] = 0;
    } else {
        rank->state = how & 0x80 ? RUB_RANK_DONE : RUB_RANK_GONE;
    }
    say_view(world);
    if (rank->state == RUB_RANK_LIVE) {
        world->done[u] = rub_shard_done(world->shard, u);
    }
}

static void receive(world_t *world, rub_peer_t peer, rub_header_t header, const void *keys,
                    size_t keys_bytes, const void *values, size_t values_bytes)
{
    header.value_bytes = (uint32_t)values_bytes;
    rub_packet_t *packet = rub_packet_new(&header, keys_bytes, values_bytes);
    RUB_ASSERT(packet);
    if (keys_bytes > 0) {
        memcpy(rub_packet_keys(packet), keys, keys_bytes);
    }
    if (values_bytes > 0) {
        memcpy(rub_packet_values(packet), values, values_bytes);
    }
    const rub_frame_t frame = rub_packet_frame(packet);
    RUB_ASSERT(rub_shard_receive(world->shard, peer, &frame) == 0);
    rub_packet_unref(&packet);
}

/* Of n_keys keys; their digest stands for them when the flags say so. */
static void receive_keyed(world_t *world, rub_peer_t peer, rub_header_t header, const uint8_t *keys,
                          const void *values, size_t values_bytes)
{
    uint8_t digest[RUB_KEY_DIGEST_BYTES];
    world->said = rub_key_digest_of(keys, header.n_keys);
    rub_key_digest_write(&world->said, digest);
    if ((header.flags & RUB_FLAG_DIGEST) != 0) {
        receive(world, peer, header, digest, sizeof(digest), values, values_bytes);
    } else {
        receive(world, peer, header, keys, 8 * (size_t)header.n_keys, values, values_bytes);
    }
}

static void hello(world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t how = rub_fuzz_byte(in);
    const uint32_t u = how % RANKS;
    const uint32_t epoch = world->ranks[u].epoch + (how & 0x40 ? 1 : 0) - (how & 0x80 ? 1 : 0);
    const uint8_t nonce[16] = {1};
    receive(world, 100 + how / RANKS % PEERS,
            (rub_header_t){.type = RUB_MSG_HELLO,
                           .seq = rub_rank_epoch(u, epoch),
                           .mark = how & 0x20 ? JOB + 1 : JOB},
            NULL, 0, nonce, sizeof(nonce));
}

/* PUSH of n keys to the ledger, or of a range of the dense table; seq and clock as they should be,
 * unless the input says otherwise. */
static void say_push(world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t how = rub_fuzz_byte(in);
    const uint8_t what = rub_fuzz_byte(in);
    const uint32_t u = how % RANKS;
    rub_header_t header = {.type = RUB_MSG_PUSH,
                           .table = LEDGER,
                           .seq = world->applied[u] + 1 + (how >> 6 & 1) - (how >> 7),
                           .clock = rub_shard_done(world->shard, u) + (what == 255)};
    const rub_peer_t peer = 100 + how / RANKS % PEERS;
    static float values[4096];
    uint8_t keys[64];
    if (what & 0x40) {
        header.table = DENSE;
        header.flags = RUB_FLAG_RANGE;
        header.n_keys = 1;
        rub_put_u64(keys, what & 1 ? 4096 : 0);
        rub_put_u64(keys + 8, what & 1 ? 904 : 4096);
        values[7] = 0.5F;
        receive(world, peer, header, keys, 16, values, what & 1 ? 904 * 4 : 4096 * 4);
        return;
    }
    const size_t n = 1 + what % 4;
    float deltas[4];
    for (size_t i = 0; i < n; i++) {
        rub_put_u64(keys + 8 * i, (what / 4 + 3 * i) % KEYS);
        deltas[i] = what == 0x80 ? (float)(0.0 / 0.0) : 1.0F;
    }
    header.n_keys = (uint32_t)n;
    header.table = what == 0x81 ? 9 : LEDGER;
    if (what > 0x90) { /* in a codec: each writes a row of one 1 exactly */
        const rub_codec_t *codec = rub_codec_find(what % 8);
        uint8_t bytes[4 * 16] = {0};
        header.flags = rub_codec_flags(what % 8); /* 7 is none: a verdict */
        header.flags |= what & 0x20 ? RUB_FLAG_DIGEST : RUB_FLAG_REMEMBER;
        for (size_t i = 0; codec && i < n; i++) {
            codec->encode(&deltas[i], 1, 1, i, bytes + i * codec->row_bytes(1));
        }
        receive_keyed(world, peer, header, keys, bytes, codec ? n * codec->row_bytes(1) : n);
        return;
    }
    header.flags = what & 0x20 ? RUB_FLAG_DIGEST : RUB_FLAG_REMEMBER;
    receive_keyed(world, peer, header, keys, deltas, 4 * n - (what == 0x82 ? 4 : 0));
}

/* CLOCK, IDLE, RESUME, BYE, RESYNC. */
static void say_stream(world_t *world, rub_fuzz_input_t *in)
{
    static const uint8_t types[] = {RUB_MSG_CLOCK,  RUB_MSG_CLOCK, RUB_MSG_IDLE,
                                    RUB_MSG_RESUME, RUB_MSG_BYE,   RUB_MSG_SYNC};
    const uint8_t how = rub_fuzz_byte(in);
    const uint8_t what = rub_fuzz_byte(in);
    const uint32_t u = how % RANKS;
    const uint64_t done = rub_shard_done(world->shard, u);
    const uint8_t type = types[what % sizeof(types)];
    const uint8_t cursor[4] = {how};
    receive(world, 100 + how / RANKS % PEERS,
            (rub_header_t){.type = type,
                           .seq = world->applied[u] + 1 + (what >> 6 & 1) - (what >> 7),
                           .clock = done + (type == RUB_MSG_CLOCK) + (what >> 4 & 3)},
            NULL, 0, cursor, type == RUB_MSG_CLOCK ? sizeof(cursor) : 0);
}

/* Of the ledger's keys, or of the dense table's first block. */
static void say_pull(world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t how = rub_fuzz_byte(in);
    const uint32_t u = how % RANKS;
    uint8_t keys[8 * KEYS];
    if ((how & 0xb0) == 0xb0) {
        rub_put_u64(keys, 0);
        rub_put_u64(keys + 8, 4096);
        receive(world, 100 + how / RANKS % PEERS,
                (rub_header_t){.type = RUB_MSG_PULL,
                               .table = DENSE,
                               .flags = RUB_FLAG_RANGE,
                               .seq = 99,
                               .clock = rub_shard_done(world->shard, u) + (how >> 6 & 1),
                               .n_keys = 1},
                keys, 16, NULL, 0);
        return;
    }
    for (size_t i = 0; i < KEYS; i++) {
        rub_put_u64(keys + 8 * i, i);
    }
    const size_t n = how & 0x80 ? 1 : KEYS;
    receive_keyed(world, 100 + how / RANKS % PEERS,
                  (rub_header_t){.type = RUB_MSG_PULL,
                                 .table = LEDGER,
                                 .flags = how & 0x10 ? RUB_FLAG_DIGEST : RUB_FLAG_REMEMBER,
                                 .seq = n,
                                 .clock = rub_shard_done(world->shard, u) + (how >> 6 & 1),
                                 .mark = world->applied[u] + (how >> 5 & 1),
                                 .n_keys = (uint32_t)n},
                  keys, NULL, 0);
}

/* A reader reads the ledger. */
static void read_ledger(world_t *world)
{
    uint8_t keys[8 * KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        rub_put_u64(keys + 8 * i, i);
    }
    receive(world, 500, (rub_header_t){.type = RUB_MSG_HELLO, .mark = JOB, .lsn = RUB_READER}, NULL,
            0, NULL, 0);
    receive(world, 500,
            (rub_header_t){
                .type = RUB_MSG_PULL, .table = LEDGER, .seq = KEYS, .clock = 0, .n_keys = KEYS},
            keys, sizeof(keys), NULL, 0);
}

/* Any header, with what fits it. */
static void say_anything(world_t *world, rub_fuzz_input_t *in)
{
    static const uint8_t values[256];
    rub_header_t header = {
        .type = rub_fuzz_byte(in), .table = rub_fuzz_byte(in), .flags = rub_fuzz_byte(in)};
    header.flags = (header.flags & RUB_FLAG_RANGE) | rub_codec_flags(header.flags >> 1);
    const rub_peer_t peer = 100 + rub_fuzz_byte(in) % PEERS;
    header.seq = rub_fuzz_u64(in);
    header.clock = rub_fuzz_u64(in);
    header.mark = rub_fuzz_u64(in);
    const bool range = (header.flags & RUB_FLAG_RANGE) != 0;
    header.n_keys = range ? 1 : rub_fuzz_byte(in) % 8;
    if ((header.type == RUB_MSG_PUSH && header.table == LEDGER) || header.type == RUB_MSG_HELLO ||
        header.type == RUB_MSG_RESYNC || (header.type == RUB_MSG_PULL && header.seq == KEYS)) {
        return; /* their truth is kept by those who say them */
    }
    uint8_t keys[64] = {0};
    const size_t keys_bytes = range ? 16 : 8 * (size_t)header.n_keys;
    for (size_t i = 0; i < keys_bytes; i += 8) {
        rub_put_u64(keys + i, rub_fuzz_u64(in));
    }
    receive(world, peer, header, keys, keys_bytes, values, rub_fuzz_byte(in));
}

static void step(world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t event = rub_fuzz_byte(in);
    if (event % 16 == 15) { /* between two turns */
        if (world->next_state.bytes) {
            commit(world, event & 0x80 ? event / 16 % 8 : world->staged.n);
        } else {
            crash(world);
        }
        return;
    }
    rub_shard_turn_begin(world->shard, world->now_ms);
    switch (event % 16) {
    case 0:
        hello(world, in);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        say_push(world, in);
        break;
    case 5:
    case 6:
        say_stream(world, in);
        break;
    case 7:
    case 8:
        say_pull(world, in);
        break;
    case 9:
        say_anything(world, in);
        break;
    case 10:
        change_rank(world, rub_fuzz_byte(in));
        break;
    case 11:
        world->no_room = event & 0x80;
        break;
    case 12:
        if (world->sync_lsn) {
            const uint64_t lsn = world->sync_lsn;
            world->sync_lsn = 0;
            RUB_ASSERT(rub_shard_synced(world->shard, lsn) == 0);
        }
        break;
    case 13:
        read_ledger(world);
        break;
    default:
        world->now_ms += (uint64_t)event / 16 * 100;
        RUB_ASSERT(rub_shard_tick(world->shard) == 0);
    }
    RUB_ASSERT(rub_shard_turn_end(world->shard) == 0);
    check_laws(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    const uint8_t profile = rub_fuzz_byte(&in);
    world_t world = {
        .config = {.n_shards = 1,
                   .durability = profile & 1 ? RUB_DURABILITY_SYNC : RUB_DURABILITY_JOURNAL,
                   .limit_bytes = 64u << 20,
                   .checkpoint_interval_ms = 300,
                   .redo_limit_bytes = profile & 2 ? 4096 : 1u << 30},
        .staleness = profile & 4 ? (profile & 8 ? 0 : 2) : UINT64_MAX,
        .reduce = profile >> 4 & 1,
        .optimizer = profile & 32 ? RUB_ADAREVISION : RUB_MOMENTUM,
        .now_ms = 10000,
    };
    for (uint32_t u = 0; u < RANKS; u++) {
        world.ranks[u] = (rub_rank_view_t){.rank = u, .epoch = 1, .state = RUB_RANK_LIVE};
    }
    new_shard(&world);
    open_shard(&world);
    rub_shard_turn_begin(world.shard, world.now_ms);
    say_view(&world);
    RUB_ASSERT(rub_shard_turn_end(world.shard) == 0);
    for (int i = 0; i < EVENTS_LIMIT && in.left > 0; i++) {
        step(&world, &in);
    }
    if (world.staleness == UINT64_MAX) {
        world.no_room = false;
        const uint64_t n_rows = world.n_rows;
        rub_shard_turn_begin(world.shard, world.now_ms);
        read_ledger(&world);
        RUB_ASSERT(rub_shard_turn_end(world.shard) == 0);
        RUB_ASSERT(world.n_rows == n_rows + 1);
        crash(&world);
    }
    rub_shard_destroy(&world.shard);
    clear(&world.journal);
    clear(&world.stored);
    drop_staged(&world);
    rub_free(world.state.bytes);
    return 0;
}
