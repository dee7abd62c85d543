/* Records that tell on themselves: +1 to some rows of a hashed table, +1 to a block of a dense one,
 * every eighth a CLOCK. Sums of ones are exact in float32, so a lost or doubled record shows as a
 * number that is off by one. Under bsp a period counts once all ranks have ended it. */
#include "tests/crash/ledger.h"

#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdio.h>

typedef struct content {
    bool clock;
    int block; /* -1: keys */
    uint32_t n_keys;
    uint64_t first_key;
} content_t;

static content_t content_of(uint32_t rank, uint64_t seq)
{
    const uint64_t dice = rub_mix64((uint64_t)(rank + 1) << 48 ^ seq);
    return (content_t){.clock = seq % RUB_LEDGER_PERIOD == 0,
                       .block = dice % 8 ? -1 : (int)(dice >> 8 & 1),
                       .n_keys = 1 + (uint32_t)(dice >> 16) % 6,
                       .first_key = (dice >> 32) % RUB_LEDGER_KEYS};
}

static uint64_t key_of(const content_t *content, uint32_t i)
{
    return (content->first_key + 7 * (uint64_t)i) % RUB_LEDGER_KEYS;
}

rub_shard_config_t rub_ledger_config(const rub_ledger_plan_t *plan)
{
    return (rub_shard_config_t){.n_shards = 1,
                                .durability =
                                    plan->sync ? RUB_DURABILITY_SYNC : RUB_DURABILITY_JOURNAL,
                                .limit_bytes = 256u << 20,
                                .checkpoint_interval_ms = plan->interval_ms,
                                .redo_limit_bytes = plan->redo_limit_bytes,
                                .stage_bytes = plan->sweeps ? 1 : 0,
                                .address = "tcp://127.0.0.1:1",
                                .who = "here:1"};
}

rub_control_t rub_ledger_view(const rub_ledger_plan_t *plan)
{
    static rub_rank_view_t ranks[RUB_LEDGER_RANKS];
    static rub_table_view_t tables[2];
    for (uint32_t u = 0; u < RUB_LEDGER_RANKS; u++) {
        ranks[u] = (rub_rank_view_t){.rank = u, .epoch = 1, .state = RUB_RANK_LIVE};
    }
    tables[0] = (rub_table_view_t){.id = RUB_LEDGER_TABLE,
                                   .name = "ledger",
                                   .kind = RUB_HASHED,
                                   .width = RUB_LEDGER_WIDTH,
                                   .optimizer = RUB_ADD,
                                   .init = RUB_INIT_ZEROS};
    tables[1] = (rub_table_view_t){.id = RUB_LEDGER_DENSE,
                                   .name = "dense",
                                   .kind = RUB_DENSE,
                                   .elements = RUB_LEDGER_BLOCKS * RUB_BLOCK,
                                   .optimizer = RUB_ADD,
                                   .init = RUB_INIT_ZEROS};
    for (size_t i = 0; i < 2; i++) {
        tables[i].lr = 0.1;
        tables[i].momentum = 0.9;
        tables[i].beta1 = 0.9;
        tables[i].beta2 = 0.999;
        tables[i].epsilon = 1e-8;
    }
    return (rub_control_t){.type = RUB_MSG_VIEW,
                           .view = {.job = RUB_LEDGER_JOB,
                                    .generation = 1,
                                    .version = 1,
                                    .state = RUB_JOB_RUNNING,
                                    .n_workers = RUB_LEDGER_RANKS,
                                    .staleness = plan->bsp ? 0 : UINT64_MAX,
                                    .reduce = RUB_REDUCE_SUM,
                                    .seed = 5,
                                    .ranks = ranks,
                                    .n_ranks = RUB_LEDGER_RANKS,
                                    .tables = tables,
                                    .n_tables = 2}};
}

static rub_packet_t *new_packet(rub_header_t header, size_t keys_bytes, size_t values_bytes)
{
    header.value_bytes = (uint32_t)values_bytes;
    rub_packet_t *packet = rub_packet_new(&header, keys_bytes, values_bytes);
    RUB_ASSERT(packet);
    return packet;
}

rub_packet_t *rub_ledger_record(uint32_t rank, uint64_t seq)
{
    const content_t content = content_of(rank, seq);
    rub_header_t header = {
        .type = RUB_MSG_PUSH, .seq = seq, .clock = (seq - 1) / RUB_LEDGER_PERIOD, .n_keys = 1};
    rub_packet_t *packet;
    size_t n = 0;
    if (content.clock) {
        header =
            (rub_header_t){.type = RUB_MSG_CLOCK, .seq = seq, .clock = seq / RUB_LEDGER_PERIOD};
        return new_packet(header, 0, 0);
    }
    if (content.block >= 0) {
        header.table = RUB_LEDGER_DENSE;
        header.flags = RUB_FLAG_RANGE;
        n = RUB_BLOCK;
        packet = new_packet(header, 16, n * sizeof(float));
        rub_put_u64(rub_packet_keys(packet), (uint64_t)content.block * RUB_BLOCK);
        rub_put_u64(rub_packet_keys(packet) + 8, n);
    } else {
        header.table = RUB_LEDGER_TABLE;
        header.n_keys = content.n_keys;
        n = (size_t)content.n_keys * RUB_LEDGER_WIDTH;
        packet = new_packet(header, 8 * (size_t)content.n_keys, n * sizeof(float));
        for (uint32_t i = 0; i < content.n_keys; i++) {
            rub_put_u64(rub_packet_keys(packet) + 8 * (size_t)i, key_of(&content, i));
        }
    }
    const float one = 1.0F;
    for (size_t i = 0; i < n; i++) {
        memcpy(rub_packet_values(packet) + 4 * i, &one, sizeof(one));
    }
    return packet;
}

rub_packet_t *rub_ledger_hello(uint32_t rank)
{
    rub_packet_t *packet = new_packet((rub_header_t){.type = RUB_MSG_HELLO,
                                                     .seq = rub_rank_epoch(rank, 1),
                                                     .mark = RUB_LEDGER_JOB},
                                      0, 16);
    memset(rub_packet_values(packet), 1, 16);
    return packet;
}

rub_packet_t *rub_ledger_reader(void)
{
    return new_packet(
        (rub_header_t){.type = RUB_MSG_HELLO, .mark = RUB_LEDGER_JOB, .lsn = RUB_READER}, 0, 0);
}

rub_packet_t *rub_ledger_pull(uint32_t table)
{
    const bool dense = table == RUB_LEDGER_DENSE;
    rub_packet_t *packet = new_packet((rub_header_t){.type = RUB_MSG_PULL,
                                                     .table = (uint16_t)table,
                                                     .flags = dense ? RUB_FLAG_RANGE : 0,
                                                     .seq = table,
                                                     .n_keys = dense ? 1 : RUB_LEDGER_KEYS},
                                      dense ? 16 : 8 * RUB_LEDGER_KEYS, 0);
    uint8_t *keys = rub_packet_keys(packet);
    for (uint64_t key = 0; !dense && key < RUB_LEDGER_KEYS; key++) {
        rub_put_u64(keys + 8 * key, key);
    }
    if (dense) {
        rub_put_u64(keys, 0);
        rub_put_u64(keys + 8, RUB_LEDGER_BLOCKS * RUB_BLOCK);
    }
    return packet;
}

/* How often each row and block was pushed to. */
static void count(const rub_ledger_plan_t *plan, const rub_ledger_reach_t *reach,
                  uint64_t rows[RUB_LEDGER_KEYS], uint64_t blocks[RUB_LEDGER_BLOCKS])
{
    uint64_t closed = UINT64_MAX;
    for (uint32_t u = 0; u < RUB_LEDGER_RANKS; u++) {
        const uint64_t done = reach->seq[u] / RUB_LEDGER_PERIOD;
        closed = done < closed ? done : closed;
    }
    for (uint32_t u = 0; u < RUB_LEDGER_RANKS; u++) {
        for (uint64_t seq = 1; seq <= reach->seq[u]; seq++) {
            const content_t content = content_of(u, seq);
            if (content.clock || (plan->bsp && (seq - 1) / RUB_LEDGER_PERIOD >= closed)) {
                continue;
            }
            if (content.block >= 0) {
                blocks[content.block]++;
            }
            for (uint32_t i = 0; content.block < 0 && i < content.n_keys; i++) {
                rows[key_of(&content, i)]++;
            }
        }
    }
}

const char *rub_ledger_compare(const rub_ledger_plan_t *plan, const rub_ledger_reach_t *reach,
                               uint32_t table, const rub_packet_t *packet)
{
    static char sentence[200];
    uint64_t rows[RUB_LEDGER_KEYS] = {0}, blocks[RUB_LEDGER_BLOCKS] = {0};
    count(plan, reach, rows, blocks);
    const rub_frame_t frame = rub_packet_frame(packet);
    const bool dense = table == RUB_LEDGER_DENSE;
    const size_t n =
        dense ? RUB_LEDGER_BLOCKS * RUB_BLOCK : (size_t)RUB_LEDGER_KEYS * RUB_LEDGER_WIDTH;
    if (frame.values_bytes < 4 * n) {
        return "the answer is too short";
    }
    const uint8_t *at = frame.values + frame.values_bytes - 4 * n;
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, at + 4 * i, sizeof(value));
        const uint64_t expected = dense ? blocks[i / RUB_BLOCK] : rows[i / RUB_LEDGER_WIDTH];
        if (value != (float)expected) {
            (void)snprintf(sentence, sizeof(sentence), "%s %zu is %g, expected %llu",
                           dense ? "element" : "value", i, (double)value,
                           (unsigned long long)expected);
            return sentence;
        }
    }
    return NULL;
}
