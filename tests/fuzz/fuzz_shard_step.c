/* A shard stepped through an event string: first byte the profile, then one event per byte with its
 * arguments behind it. Sessions that follow the protocol most of the time and break it some of the
 * time, views that a scheduler could send, ticks, syncs, commits, kills with recovery from what the
 * journal and the store hold. What must hold meanwhile: tests/fuzz/shard_world.h. */
#include "common/base/rng.h"
#include "common/num/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/shard_world.h"

enum { PEERS = 6, EVENTS_LIMIT = 400 };

/* A rank is gone, done, or comes again in a new epoch. */
static void change_rank(rub_shard_world_t *world, uint8_t how)
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
    rub_shard_world_view(world);
    if (rank->state == RUB_RANK_LIVE) {
        world->done[u] = rub_shard_done(world->shard, u);
    }
}

static void receive(rub_shard_world_t *world, rub_peer_t peer, rub_header_t header,
                    const void *keys, size_t keys_bytes, const void *values, size_t values_bytes)
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

/* A PULL that bears a grant for what it asks for, or for something else (odd). */
static void receive_granted(rub_shard_world_t *world, rub_peer_t peer, rub_header_t header,
                            const uint8_t *keys, size_t keys_bytes, bool odd)
{
    const bool is_range = (header.flags & RUB_FLAG_RANGE) != 0;
    const size_t n_rows = is_range ? rub_get_u64(keys + 8) : header.n_keys;
    rub_span_t parts[3];
    rub_frame_t frame;
    rub_grant_t *grant =
        rub_shard_world_grant(world, n_rows - odd, header.table == POLICY ? 2 : 1, is_range);
    header.flags |= RUB_FLAG_GRANT;
    header.value_bytes = RUB_GRANT_BYTES;
    rub_packet_t *packet = rub_grant_packet(grant, &header, keys_bytes);
    RUB_ASSERT(packet);
    memcpy(rub_packet_keys(packet), keys, keys_bytes);
    RUB_ASSERT(rub_packet_parts(packet, parts) == 3);
    RUB_ASSERT(rub_frame_read(parts, 3, &frame, NULL) == RUB_EPROTO); /* as from a wire */
    RUB_ASSERT(rub_frame_read_in_process(parts, 3, &frame, NULL) == 0);
    RUB_ASSERT(rub_shard_receive(world->shard, peer, &frame) == 0);
    rub_packet_unref(&packet);
}

/* Of n_keys keys; their digest stands for them when the flags say so. */
static void receive_keyed(rub_shard_world_t *world, rub_peer_t peer, rub_header_t header,
                          const uint8_t *keys, const void *values, size_t values_bytes)
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

static void hello(rub_shard_world_t *world, rub_fuzz_input_t *in)
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

/* Rows of the table whose rows come and go: up to three of them. */
static void push_rows(rub_shard_world_t *world, rub_peer_t peer, rub_header_t header, uint8_t what,
                      rub_fuzz_input_t *in)
{
    const uint8_t first = rub_fuzz_byte(in);
    uint8_t keys[8 * 3];
    float values[2 * 3];
    header.table = POLICY;
    header.n_keys = 1 + what % 3;
    for (uint32_t i = 0; i < header.n_keys; i++) {
        rub_put_u64(keys + 8 * (size_t)i, (first + i) % 32u);
        values[2 * i] = (float)(int8_t)first / 8;
        values[2 * i + 1] = 0.25F;
    }
    receive(world, peer, header, keys, 8 * (size_t)header.n_keys, values,
            8 * (size_t)header.n_keys);
}

/* PUSH of n keys to the ledger, or of a range of the dense table; seq and clock as they should be,
 * unless the input says otherwise. */
static void say_push(rub_shard_world_t *world, rub_fuzz_input_t *in)
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
    if (what >= 0x84 && what < 0x90) {
        push_rows(world, peer, header, what, in);
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
static void say_stream(rub_shard_world_t *world, rub_fuzz_input_t *in)
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

/* keys: as they stand in the message. event: its upper bits say what becomes of the grant. */
static void ask(rub_shard_world_t *world, rub_peer_t peer, rub_header_t header, const uint8_t *keys,
                size_t keys_bytes, uint8_t event)
{
    if (event % 16 == 7) {
        receive(world, peer, header, keys, keys_bytes, NULL, 0);
        return;
    }
    receive_granted(world, peer, header, keys, keys_bytes, event & 0x40);
    if (event & 0x80) { /* what is parked is given up */
        (void)rub_grant_revoke(world->grant);
    }
}

/* Of the ledger's keys, of the dense table's first block, or of rows that come and go. With a
 * grant: event 8. */
static void say_pull(rub_shard_world_t *world, rub_fuzz_input_t *in, uint8_t event)
{
    const uint8_t how = rub_fuzz_byte(in);
    const uint32_t u = how % RANKS;
    const rub_peer_t peer = 100 + how / RANKS % PEERS;
    uint8_t keys[8 * KEYS], digest[RUB_KEY_DIGEST_BYTES];
    rub_header_t header = {.type = RUB_MSG_PULL,
                           .clock = rub_shard_done(world->shard, u) + (how >> 6 & 1)};
    if ((how & 0xb0) == 0xb0) {
        rub_put_u64(keys, 0);
        rub_put_u64(keys + 8, 4096);
        header.table = DENSE;
        header.flags = RUB_FLAG_RANGE;
        header.seq = 99;
        header.n_keys = 1;
        ask(world, peer, header, keys, 16, event);
        return;
    }
    for (size_t i = 0; i < KEYS; i++) {
        rub_put_u64(keys + 8 * i, i);
    }
    if ((how & 0xb0) == 0xa0) {
        header.table = POLICY;
        header.seq = 98;
        header.n_keys = KEYS;
        ask(world, peer, header, keys, sizeof(keys), event);
        return;
    }
    const size_t n = how & 0x80 ? 1 : KEYS;
    const bool by_digest = how & 0x10;
    header.table = LEDGER;
    header.flags = by_digest ? RUB_FLAG_DIGEST : RUB_FLAG_REMEMBER;
    header.seq = n;
    header.mark = world->applied[u] + (how >> 5 & 1);
    header.n_keys = (uint32_t)n;
    const rub_key_digest_t of_keys = rub_key_digest_of(keys, n);
    rub_key_digest_write(&of_keys, digest);
    ask(world, peer, header, by_digest ? digest : keys, by_digest ? sizeof(digest) : 8 * n, event);
}

/* A reader reads the ledger. */
static void read_ledger(rub_shard_world_t *world)
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
static void say_anything(rub_shard_world_t *world, rub_fuzz_input_t *in)
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

static void step(rub_shard_world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t event = rub_fuzz_byte(in);
    if (event % 16 == 15) { /* between two turns */
        if (world->next_state.bytes) {
            rub_shard_world_commit(world, event & 0x80 ? event / 16 % 8 : world->staged.n);
        } else {
            rub_shard_world_crash(world);
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
        say_pull(world, in, event);
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
    rub_shard_world_check(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    rub_shard_world_t world;
    rub_shard_world_open(&world, rub_fuzz_byte(&in));
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
        rub_shard_world_crash(&world);
    }
    rub_shard_world_close(&world);
    return 0;
}
