/* Writes the seeds of the corpora with the encoders of the product: `fuzz-corpora FOLDER` makes
 * FOLDER/<target>/seed-*. What fuzzing found worth keeping lies beside them. Run it again when a
 * message or a format has grown; the test fuzz_corpora_current (--check) asks for it. Here:
 * messages and event strings; files in corpus_files.c, messages with all their fields in
 * corpus_control.c. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/num/codec.h"
#include "common/wire/control.h"
#include "common/wire/grant.h"
#include "common/wire/key_digest.h"
#include "common/wire/key_pack.h"
#include "common/wire/packet.h"
#include "ps/shard.h"
#include "tests/fuzz/corpus_files.h"
#include "tests/sim/deaf_shard.h"

#include <stdio.h>

/* ---- messages ---- */

static rub_rank_view_t ranks[] = {{0, 1, RUB_RANK_LIVE}, {1, 1, RUB_RANK_LIVE}, {2, 1, 0}};
static rub_table_view_t tables[] = {
    {.id = 1, .name = "ledger", .kind = RUB_HASHED, .width = 2, .optimizer = RUB_ADD},
    {.id = 2, .name = "d", .kind = RUB_DENSE, .elements = 5000, .optimizer = RUB_MOMENTUM},
};
static rub_shard_view_t shards[] = {{0, 1, "tcp://a:1"}, {1, 1, "tcp://b:1"}};

static rub_control_t view(uint64_t version)
{
    for (size_t i = 0; i < 2; i++) {
        tables[i].lr = 0.1;
        tables[i].momentum = 0.9;
        tables[i].beta1 = 0.9;
        tables[i].beta2 = 0.999;
        tables[i].epsilon = 1e-8;
    }
    return (rub_control_t){.type = RUB_MSG_VIEW,
                           .view = {.job = 77,
                                    .generation = 1,
                                    .version = version,
                                    .state = RUB_JOB_RUNNING,
                                    .n_workers = 2,
                                    .staleness = 2,
                                    .seed = 5,
                                    .ranks = ranks,
                                    .n_ranks = 3,
                                    .tables = tables,
                                    .n_tables = 2,
                                    .shards = shards,
                                    .n_shards = 2}};
}

static void encode(const rub_control_t *message, rub_buf_t *out)
{
    RUB_ASSERT(rub_control_encode(message, out, NULL) == 0);
}

static void make_control(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    for (uint32_t type = 64; type < 256; type++) {
        rub_control_t message = {.type = type};
        if (rub_control_encode(&message, &out, NULL) == 0) {
            rub_corpus_save_buf("decode_control", rub_message_name(type), &out);
        }
    }
    const rub_control_t full = view(3);
    encode(&full, &out);
    rub_corpus_save_buf("decode_control", "view-full", &out);
    rub_rank_status_t rank = {.rank = 1, .epoch = 2, .who = "host:1", .clock = 9, .loss = 0.5};
    rub_shard_status_t shard = {.shard = 1, .address = "tcp://h:1", .who = "h:2", .pushes = 300};
    rub_metric_value_t metric = {"test_accuracy", 0.875};
    rub_gap_count_t gap = {2, 70000};
    const rub_control_t status = {.type = RUB_MSG_STATUS,
                                  .status = {.reason = "waits for rank 1",
                                             .ranks = &rank,
                                             .n_ranks = 1,
                                             .shards = &shard,
                                             .n_shards = 1,
                                             .metrics = &metric,
                                             .n_metrics = 1,
                                             .gaps = &gap,
                                             .n_gaps = 1}};
    encode(&status, &out);
    rub_corpus_save_buf("decode_control", "status-full", &out);
    rub_buf_fini(&out);
}

/* Appends {u16 bytes, bytes}, big-endian length, as the step targets read them. */
static void put_sized(rub_buf_t *out, const void *data, size_t bytes)
{
    rub_buf_u8(out, (uint8_t)(bytes >> 8));
    rub_buf_u8(out, (uint8_t)bytes);
    rub_buf_append(out, data, bytes);
}

static void put_control(rub_buf_t *out, uint8_t event, const rub_control_t *message)
{
    rub_buf_t bytes;
    rub_buf_init(&bytes);
    encode(message, &bytes);
    rub_buf_u8(out, event);
    put_sized(out, bytes.data, bytes.bytes);
    rub_buf_fini(&bytes);
}

static rub_packet_t *packet(rub_header_t header, const void *keys, size_t keys_bytes,
                            const void *values, size_t values_bytes)
{
    header.value_bytes = (uint32_t)values_bytes;
    rub_packet_t *self = rub_packet_new(&header, keys_bytes, values_bytes);
    RUB_ASSERT(self);
    if (keys_bytes) {
        memcpy(rub_packet_keys(self), keys, keys_bytes);
    }
    if (values_bytes) {
        memcpy(rub_packet_values(self), values, values_bytes);
    }
    return self;
}

static const uint8_t one_key[8] = {3};
static const uint8_t a_range[16] = {0, 0, 0, 0, 0, 0, 0, 0, 16};
static const float four[4] = {1, 2, 3, 4};

static void save_data(rub_buf_t *out, const char *name, rub_header_t header, const void *keys,
                      size_t keys_bytes, bool one_frame)
{
    rub_packet_t *p = packet(header, keys, keys_bytes, four, sizeof(four));
    const rub_span_t bytes = rub_packet_bytes(p);
    rub_buf_u8(out, one_frame ? 0 : 128);
    rub_buf_append(out, bytes.data, bytes.bytes);
    rub_corpus_save_buf("decode_data", name, out);
    rub_packet_unref(&p);
}

static void make_data(void)
{
#define RUB_DATA(NAME, number, ...) (number),
    static const uint8_t types[] = {
#include "common/wire/proto.def"
    };
#undef RUB_DATA
    rub_buf_t out;
    rub_buf_init(&out);
    for (size_t i = 0; i < sizeof(types); i++) {
        const bool range = types[i] == RUB_MSG_PUSH;
        save_data(&out, rub_message_name(types[i]),
                  (rub_header_t){.type = types[i],
                                 .table = 1,
                                 .flags = range ? RUB_FLAG_RANGE : 0,
                                 .seq = 5,
                                 .clock = 2,
                                 .n_keys = 1},
                  range ? a_range : one_key, range ? 16 : 8, i % 3 != 0);
    }
    rub_header_t header = {.type = RUB_MSG_PUSH, .table = 1, .seq = 5, .clock = 2, .n_keys = 40};
    uint8_t keys[8 * 40], packed[8 * 40], digest[RUB_KEY_DIGEST_BYTES];
    for (uint64_t i = 0; i < 40; i++) {
        rub_put_u64(keys + 8 * i, 7 + 200 * i);
    }
    header.flags = RUB_FLAG_REMEMBER | rub_codec_flags(2);
    save_data(&out, "PUSH-remember", header, keys, sizeof(keys), true);
    const rub_key_digest_t of_keys = rub_key_digest_of(keys, 40);
    rub_key_digest_write(&of_keys, digest);
    header.flags = RUB_FLAG_DIGEST;
    save_data(&out, "PUSH-digest", header, digest, sizeof(digest), true);
    header.flags = RUB_FLAG_PACKED;
    header.mark = rub_keys_packed_bytes(keys, 40);
    rub_keys_pack(keys, 40, packed);
    save_data(&out, "PUSH-packed", header, packed, (size_t)header.mark, true);
    header = (rub_header_t){.type = RUB_MSG_PULL,
                            .table = 1,
                            .flags = RUB_FLAG_RANGE | RUB_FLAG_GRANT,
                            .seq = 5,
                            .n_keys = 1};
    save_data(&out, "PULL-grant", header, a_range, sizeof(a_range), false); /* as long as one */
    header = (rub_header_t){.type = RUB_MSG_ROWS, .flags = RUB_FLAG_GRANT, .seq = 5};
    save_data(&out, "ROWS-grant", header, NULL, 0, true);
    rub_buf_fini(&out);
}

static void make_codecs(void)
{
    enum { N = 70, ROW = 33 };
    float x[N];
    rub_buf_t out;
    rub_buf_init(&out);
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)(i % 9) * 0.25F - 1.0F;
    }
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        uint8_t bytes[4 * N + 16];
        size_t used = 0;
        for (size_t at = 0; at < N; at += ROW) {
            const size_t n = N - at < ROW ? N - at : ROW;
            codec->encode(x + at, n, 1, at, bytes + used);
            used += codec->row_bytes(n);
        }
        const uint8_t head[] = {(uint8_t)number, N, 0, ROW - 1};
        rub_buf_append(&out, head, sizeof(head));
        rub_buf_append(&out, bytes, used);
        rub_corpus_save_buf("codec", codec->name, &out);
    }
    rub_buf_fini(&out);
}

static void make_packed_keys(void)
{
    static const uint64_t apart[] = {1, 200, 100000};
    rub_buf_t out;
    rub_buf_init(&out);
    for (size_t a = 0; a < RUB_COUNT_OF(apart); a++) {
        enum { N = 40 };
        uint8_t keys[8 * N], packed[8 * N];
        for (uint64_t i = 0; i < N; i++) {
            rub_put_u64(keys + 8 * i, 7 + apart[a] * i);
        }
        const size_t n_bytes = rub_keys_packed_bytes(keys, N);
        rub_keys_pack(keys, N, packed);
        rub_buf_u8(&out, N);
        rub_buf_u8(&out, 0);
        rub_buf_append(&out, packed, n_bytes);
        rub_corpus_save_buf("key_pack", a == 0 ? "near" : a == 1 ? "apart" : "far", &out);
    }
    static const uint8_t full[] = {2,    0,    0xfe, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 1,    0};
    rub_corpus_save("key_pack", "greatest", full, sizeof(full));
    rub_buf_fini(&out);
}

/* ---- scheduler and client ---- */

static void make_scheduler(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    rub_buf_u8(&out, 1 + 8); /* 2 workers, 1 shard, s = 1 */
    rub_control_t m = {.type = RUB_MSG_REGISTER,
                       .register_shard = {.n_shards = 1,
                                          .incarnation = 1,
                                          .address = "tcp://a:1",
                                          .who = "h:1",
                                          .durability = 1}};
    put_control(&out, 0, &m);
    for (uint8_t u = 0; u < 2; u++) {
        m = (rub_control_t){.type = RUB_MSG_JOIN,
                            .join = {.nonce = {u, 1},
                                     .nonce_bytes = 16,
                                     .role = RUB_TRAINER,
                                     .wanted_rank = UINT32_MAX,
                                     .who = "h:2"}};
        put_control(&out, 1 + u, &m);
    }
    m = (rub_control_t){.type = RUB_MSG_TABLE, .table_ask = {.schema = tables, .n_schema = 1}};
    put_control(&out, 1, &m);
    rub_corpus_save("scheduler_step", "gather", out.data, out.bytes);
    m = (rub_control_t){.type = RUB_MSG_VIEW_ACK, .view_ack = {.generation = 1, .version = 4}};
    put_control(&out, 0, &m);
    m = (rub_control_t){.type = RUB_MSG_PIECE_ASK,
                        .piece_ask = {.request = 1,
                                      .epoch = 1,
                                      .n_examples = 100,
                                      .piece_examples = 30,
                                      .finished_piece = UINT64_MAX}};
    put_control(&out, 1, &m);
    rub_rank_report_t report[2] = {{.rank = 0, .epoch = 1, .done = 3},
                                   {.rank = 1, .epoch = 1, .done = 2, .waited_for = 1}};
    rub_shard_status_t status = {.address = "tcp://a:1", .who = "h:1", .incarnation = 1};
    m = (rub_control_t){.type = RUB_MSG_REPORT,
                        .report = {.generation = 1,
                                   .version = 4,
                                   .status = &status,
                                   .n_status = 1,
                                   .ranks = report,
                                   .n_ranks = 2}};
    put_control(&out, 0, &m);
    rub_buf_append(&out, "\xff\x14\xff\xc8\xfe", 5); /* ticks, a restart */
    m = (rub_control_t){.type = RUB_MSG_LEAVE, .leave = {.epoch = 1, .done = 1}};
    put_control(&out, 1, &m);
    m = (rub_control_t){.type = RUB_MSG_BARRIER, .barrier = {.number = 1, .rank = 1, .epoch = 1}};
    put_control(&out, 2, &m);
    m = (rub_control_t){.type = RUB_MSG_DEAD, .dead = {.who = "h:2"}};
    put_control(&out, 5, &m);
    rub_buf_append(&out, "\xff\xff\xff\xff", 4);
    rub_corpus_save_buf("scheduler_step", "whole", &out);
    rub_buf_fini(&out);
}

static void put_data(rub_buf_t *out, uint8_t event, rub_header_t header, const void *values,
                     size_t bytes)
{
    rub_packet_t *p = packet(header, NULL, 0, values, bytes);
    const rub_span_t span = rub_packet_bytes(p);
    rub_buf_u8(out, event);
    put_sized(out, span.data, span.bytes);
    rub_packet_unref(&p);
}

/* Shards of the session's process, which write what they are granted and say so, and one that only
 * says so. */
static void make_granting_client(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    rub_buf_u8(&out, 0);
    rub_control_t m = {.type = RUB_MSG_JOINED,
                       .joined = {.job = 77, .generation = 1, .epoch = 1, .lease_ms = 5000}};
    rub_shard_view_t near[] = {{0, 1, "inproc://a"}, {1, 1, "inproc://b"}};
    put_control(&out, 1, &m);
    m = view(1);
    m.view.shards = near;
    put_control(&out, 1, &m);
    uint8_t values[56] = {0, 0, 16};
    values[52] = RUB_GRANT_LAYOUT;
    for (uint8_t shard = 0; shard < 2; shard++) {
        put_data(&out, (uint8_t)(4 * shard),
                 (rub_header_t){.type = RUB_MSG_WELCOME, .lsn = (UINT64_C(1) << 40) + 1}, values,
                 sizeof(values));
    }
    /* two elements of the first shard; the third time unwritten */
    for (uint8_t i = 0; i < 3; i++) {
        rub_buf_append(&out, "\x06\x00\x82", 3);
        if (i == 0) { /* the session ends with it */
            rub_corpus_save("client_step", "asked", out.data, out.bytes);
        }
        put_data(&out, i < 2 ? 8 : 0,
                 (rub_header_t){.type = RUB_MSG_ROWS, .flags = RUB_FLAG_GRANT, .seq = 1 + i}, NULL,
                 0);
    }
    for (uint8_t i = 0; i < 8; i++) { /* a row, of which either shard says that it is there */
        const uint8_t pull[] = {6, i, 3};
        rub_buf_append(&out, pull, sizeof(pull));
        for (uint8_t k = 0; k < 8; k++) {
            put_data(&out, (uint8_t)(8 + 4 * (k % 2)),
                     (rub_header_t){
                         .type = RUB_MSG_ROWS, .flags = RUB_FLAG_GRANT, .seq = 1 + k / 2 + i / 2},
                     one_key, 1);
        }
    }
    rub_corpus_save_buf("client_step", "granted", &out);
    rub_buf_fini(&out);
}

static void make_client(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    rub_buf_u8(&out, 0);
    rub_control_t m = {.type = RUB_MSG_JOINED,
                       .joined = {.job = 77, .generation = 1, .epoch = 1, .lease_ms = 5000}};
    put_control(&out, 1, &m);
    m = view(1);
    put_control(&out, 1, &m);
    uint8_t values[44] = {0, 0, 16};
    values[16] = 1;
    for (uint8_t shard = 0; shard < 2; shard++) {
        put_data(&out, (uint8_t)(4 * shard),
                 (rub_header_t){.type = RUB_MSG_WELCOME, .lsn = (UINT64_C(1) << 40) + 1}, values,
                 sizeof(values));
    }
    rub_corpus_save("client_step", "joined", out.data, out.bytes);
    rub_buf_append(&out, "\x0e\x05\x02", 3); /* push 3 keys */
    rub_buf_append(&out, "\x16\x00\x00", 3); /* clock */
    rub_buf_append(&out, "\x06\x05\x02", 3); /* pull */
    for (uint8_t shard = 0; shard < 2; shard++) {
        put_data(&out, (uint8_t)(4 * shard),
                 (rub_header_t){.type = RUB_MSG_ACK, .seq = 2, .clock = 1}, values, 28);
        put_data(&out, (uint8_t)(4 * shard),
                 (rub_header_t){.type = RUB_MSG_ROWS, .seq = 1, .clock = 1}, values, 12);
    }
    rub_buf_append(&out, "\x26\x00\x00\x1a\x00\x00\xff\xff\xff", 9); /* flush, barrier, ticks */
    put_data(&out, 0, (rub_header_t){.type = RUB_MSG_REHELLO}, NULL, 0);
    m = (rub_control_t){.type = RUB_MSG_LEASE_OK, .lease_ok = {1, 1, RUB_RANK_GONE}};
    put_control(&out, 1, &m);
    rub_corpus_save_buf("client_step", "life", &out);
    rub_buf_fini(&out);
}

/* ---- a shard's store ---- */

typedef struct recorder {
    rub_buf_t items;
    rub_buf_t stored; /* chunks, after the state */
    const char *checkpoint;
} recorder_t;

static int on_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    recorder_t *self = context;
    rub_buf_t bytes;
    (void)lsn;
    rub_buf_init(&bytes);
    for (size_t i = 0; i < n_parts; i++) {
        rub_buf_append(&bytes, parts[i].data, parts[i].bytes);
    }
    rub_buf_u8(&self->items, (uint8_t)(type + 1));
    put_sized(&self->items, bytes.data, bytes.bytes);
    rub_buf_fini(&bytes);
    return 0;
}

static int on_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                    size_t n_bytes)
{
    recorder_t *self = context;
    (void)table, (void)chunk, (void)lsn;
    rub_buf_u8(&self->stored, 1);
    put_sized(&self->stored, bytes, n_bytes);
    rub_free(bytes);
    return 0;
}

static int on_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                    size_t n_bytes)
{
    recorder_t *self = context;
    rub_buf_t all;
    (void)redo_lsn, (void)lsn_needed;
    rub_buf_init(&all);
    rub_buf_u8(&all, 0);
    put_sized(&all, state, n_bytes);
    rub_buf_append(&all, self->stored.data, self->stored.bytes);
    rub_corpus_save_buf("shard_record", self->checkpoint, &all);
    rub_buf_fini(&all);
    return 0;
}

static void hear(rub_shard_t *shard, rub_header_t header, const void *keys, size_t keys_bytes,
                 const void *values, size_t values_bytes)
{
    rub_packet_t *p = packet(header, keys, keys_bytes, values, values_bytes);
    const rub_frame_t frame = rub_packet_frame(p);
    rub_shard_turn_begin(shard, 100);
    RUB_ASSERT(rub_shard_receive(shard, 100, &frame) == 0);
    RUB_ASSERT(rub_shard_turn_end(shard) == 0);
    rub_packet_unref(&p);
}

static void make_record(bool revises)
{
    recorder_t self = {.checkpoint = revises ? "revised" : "checkpoint"};
    const rub_shard_config_t config = {.n_shards = 2,
                                       .durability = RUB_DURABILITY_JOURNAL,
                                       .limit_bytes = 1 << 24,
                                       .checkpoint_interval_ms = 1000,
                                       .redo_limit_bytes = 1 << 30};
    rub_shard_effects_t effects = rub_deaf_shard(&self);
    effects.journal = on_journal;
    effects.stage_chunk = on_chunk;
    effects.stage_state = on_state;
    rub_shard_t *shard = rub_shard_new(&config, &effects);
    RUB_ASSERT(rub_shard_open(shard, 1, 10, NULL) == 0);
    rub_control_t m = view(1);
    m.view.n_tables = 1;
    tables[0].optimizer = revises ? RUB_ADAREVISION : RUB_ADD;
    rub_shard_turn_begin(shard, 100);
    RUB_ASSERT(rub_shard_control(shard, &m) == 0);
    RUB_ASSERT(rub_shard_turn_end(shard) == 0);
    const uint8_t nonce[16] = {1};
    hear(shard, (rub_header_t){.type = RUB_MSG_HELLO, .seq = rub_rank_epoch(0, 1), .mark = 77},
         NULL, 0, nonce, 16);
    const rub_header_t push = {.type = RUB_MSG_PUSH, .table = 1, .seq = 1, .n_keys = 1};
    const rub_header_t pull = {.type = RUB_MSG_PULL, .table = 1, .seq = 1, .n_keys = 1};
    hear(shard, pull, one_key, 8, NULL, 0);
    hear(shard, push, one_key, 8, four, 8);
    if (revises) { /* late to its own first push */
        rub_header_t late = push;
        late.seq = 2;
        hear(shard, late, one_key, 8, four, 8);
    }
    const uint64_t behind = revises ? 1 : 0;
    hear(shard, (rub_header_t){.type = RUB_MSG_CLOCK, .seq = 2 + behind, .clock = 1}, NULL, 0, four,
         4);
    const float bad[2] = {(float)(0.0 / 0.0), 0};
    hear(shard,
         (rub_header_t){
             .type = RUB_MSG_PUSH, .table = 1, .seq = 3 + behind, .clock = 1, .n_keys = 1},
         one_key, 8, bad, 8);
    hear(shard, (rub_header_t){.type = RUB_MSG_IDLE, .seq = 4 + behind, .clock = 1}, NULL, 0, NULL,
         0);
    hear(shard, (rub_header_t){.type = RUB_MSG_RESUME, .seq = 5 + behind, .clock = 1}, NULL, 0,
         NULL, 0);
    hear(shard, (rub_header_t){.type = RUB_MSG_BYE, .seq = 6 + behind, .clock = 1, .mark = 1}, NULL,
         0, NULL, 0);
    rub_corpus_save("shard_record", revises ? "revision" : "journal", self.items.data,
                    self.items.bytes);
    rub_shard_drain(shard);
    rub_shard_turn_begin(shard, 5000);
    RUB_ASSERT(rub_shard_tick(shard) == 0);
    RUB_ASSERT(rub_shard_turn_end(shard) == 0);
    rub_shard_destroy(&shard);
    rub_buf_fini(&self.items);
    rub_buf_fini(&self.stored);
    tables[0].optimizer = RUB_ADD;
}

/* Event strings; tests/fuzz/fuzz_shard_step.c says what the bytes mean. */
static void make_steps(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    static const uint8_t policies[] = {64, 69, 96, 128, 132, 192, 204, 255};
    for (uint8_t i = 0; i < 13 + RUB_COUNT_OF(policies); i++) {
        const uint8_t profile = i < 13 ? (uint8_t)(5 * i) : policies[i - 13];
        char name[32];
        rub_buf_u8(&out, profile);
        for (uint8_t u = 0; u < 3; u++) {
            const uint8_t how = (uint8_t)(u + 3 * u);
            const uint8_t hello[] = {0, how};
            rub_buf_append(&out, hello, sizeof(hello));
        }
        for (uint8_t k = 0; k < 24; k++) {
            const uint8_t u = k % 3;
            const uint8_t how = (uint8_t)(u + 3 * u);
            const uint8_t events[] = {1,    how, (uint8_t)(k * 4), 2, how, 0x41, 5, how, 0, 7, how,
                                      0x8e, 12};
            rub_buf_append(&out, events, k % 4 == 3 ? 13 : k % 2 ? 9 : 3);
            /* the dense table's first block: it is given, and pushed twice */
            const uint8_t late[] = {7, (uint8_t)(0xb4 + 4 * u), 1, how, 0x40, 1, how, 0x40};
            rub_buf_append(&out, late, profile >= 32 ? sizeof(late) : 0);
            /* rows that come and go: pushed, pulled, and a period ends */
            const uint8_t rows[] = {
                1, how, (uint8_t)(0x84 + k % 12), (uint8_t)(k * 3), 7, (uint8_t)(0xa0 + u), 5, how,
                0, 0xee};
            rub_buf_append(&out, rows, profile >= 64 ? sizeof(rows) : 0);
            /* the same with grants: kept, given up, of another shape */
            const uint8_t asks[] = {8,    how,
                                    0x88, (uint8_t)(0xb4 + 4 * u),
                                    0x48, (uint8_t)(0xa0 + u),
                                    8,    (uint8_t)(0x40 + how)};
            rub_buf_append(&out, asks, i % 3 == 0 ? sizeof(asks) : 0);
        }
        rub_buf_append(&out, "\x8e\x8e\x0f\x0d\x0a\x01\x0f\x0a\x01\x0d", 10);
        (void)snprintf(name, sizeof(name), "profile-%u", profile);
        rub_corpus_save_buf("shard_step", name, &out);
    }
    rub_buf_fini(&out);
}

/* A message with a slot, then what lies in the slot and in the lane's head: see fuzz_lane.c. */
static void make_lane(void)
{
    rub_buf_t out;
    rub_buf_init(&out);
    for (uint32_t slot = 0; slot < 3; slot++) {
        char name[16];
        uint8_t bytes[RUB_SLOT_MESSAGE_BYTES];
        const rub_header_t header = {
            .type = RUB_MSG_PUSH, .table = 1, .seq = 5, .n_keys = 1, .value_bytes = 16 << slot};
        rub_slot_write(&header, (rub_slot_t){.lane = 1, .slot = slot}, bytes);
        rub_buf_append(&out, bytes, sizeof(bytes));
        rub_header_write(&header, bytes);
        rub_buf_append(&out, bytes, RUB_HEADER_BYTES);
        rub_buf_append(&out, one_key, sizeof(one_key));
        rub_buf_append(&out, four, sizeof(four) - slot % 2);
        (void)snprintf(name, sizeof(name), "push-%u", slot);
        rub_corpus_save_buf("lane", name, &out);
    }
    rub_buf_fini(&out);
}

int main(int argc, char **argv)
{
    const bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 2 && !check) {
        fprintf(stderr, "usage: fuzz-corpora [--check] FOLDER\n");
        return 64;
    }
    rub_corpus_folder(argv[argc - 1], check);
    make_control();
    rub_corpus_make_full_control();
    make_data();
    make_codecs();
    make_packed_keys();
    make_scheduler();
    make_client();
    make_granting_client();
    make_record(false);
    make_record(true);
    make_steps();
    make_lane();
    rub_corpus_make_files();
    if (rub_corpus_stale() > 0) {
        fprintf(stderr, "%zu seeds are stale: fuzz-corpora %s makes them again\n",
                rub_corpus_stale(), argv[2]);
    }
    return rub_corpus_stale() > 0;
}
