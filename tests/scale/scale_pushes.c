/* What a push costs a shard, over the size of the table and the rows of the push. One shard core
 * and one session; the keys are random rows of a table that is filled before. The cost must be
 * linear in the rows, and depend on the table's size only as the machine's caches do. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/timing.h"
#include "tests/scale/scale.h"

#include <inttypes.h>
#include <stdio.h>

enum { WIDTH = 16, FILL_ROWS = 1000, TIMED_ROWS = 400000, TABLE = 1, PEER = 1 };

typedef struct stage {
    rub_shard_t *shard;
    rub_packet_t *answer;
    uint64_t seq, now_ms;
    rub_rng_t rng;
} stage_t;

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    RUB_UNUSED(context);
    RUB_UNUSED(peer);
    rub_packet_unref(&packet);
}

static void on_control(void *context, const rub_control_t *message)
{
    RUB_UNUSED(context);
    RUB_UNUSED(message);
}

static void hear(stage_t *self, rub_packet_t *packet)
{
    const rub_frame_t frame = rub_packet_frame(packet);
    rub_shard_turn_begin(self->shard, self->now_ms);
    RUB_ASSERT(rub_shard_receive(self->shard, PEER, &frame) == 0);
    RUB_ASSERT(rub_shard_turn_end(self->shard) == 0);
}

static void open_stage(stage_t *self)
{
    const rub_shard_config_t config = {.n_shards = 1, .durability = RUB_DURABILITY_NONE};
    const rub_shard_effects_t effects = {.context = self, .send = on_send, .control = on_control};
    *self = (stage_t){.now_ms = 1000};
    rub_rng_init(&self->rng, 1, 0);
    self->shard = rub_shard_new(&config, &effects);
    RUB_ASSERT(self->shard);
    RUB_ASSERT(rub_shard_open(self->shard, 1, self->now_ms, NULL) == 0);
    rub_rank_view_t rank = {.rank = 0, .epoch = 1, .state = RUB_RANK_LIVE};
    rub_table_view_t table = {.id = TABLE,
                              .name = "rows",
                              .kind = RUB_HASHED,
                              .width = WIDTH,
                              .optimizer = RUB_ADAGRAD,
                              .lr = 0.01,
                              .epsilon = 1e-8};
    rub_shard_view_t place = {.shard = 0, .incarnation = 1, .address = "tcp://127.0.0.1:1"};
    const rub_control_t view = {.type = RUB_MSG_VIEW,
                                .view = {.job = 77,
                                         .generation = 1,
                                         .version = 1,
                                         .state = RUB_JOB_RUNNING,
                                         .n_workers = 1,
                                         .staleness = UINT64_MAX,
                                         .ranks = &rank,
                                         .n_ranks = 1,
                                         .tables = &table,
                                         .n_tables = 1,
                                         .shards = &place,
                                         .n_shards = 1}};
    rub_shard_turn_begin(self->shard, self->now_ms);
    RUB_ASSERT(rub_shard_control(self->shard, &view) == 0);
    RUB_ASSERT(rub_shard_turn_end(self->shard) == 0);
    const rub_header_t header = {
        .type = RUB_MSG_HELLO, .seq = rub_rank_epoch(0, 1), .value_bytes = 16};
    rub_packet_t *hello = rub_packet_new(&header, 0, 16);
    RUB_ASSERT(hello);
    memset(rub_packet_values(hello), 7, 16);
    hear(self, hello);
    rub_packet_unref(&hello);
}

/* A push of n rows; keys from first on, or random ones below n_table. */
static void push(stage_t *self, rub_packet_t *packet, uint32_t n, uint64_t first, uint64_t n_table)
{
    const rub_header_t header = {.type = RUB_MSG_PUSH,
                                 .table = TABLE,
                                 .seq = ++self->seq,
                                 .n_keys = n,
                                 .value_bytes = (uint32_t)(n * WIDTH * sizeof(float))};
    rub_packet_set_header(packet, &header);
    uint8_t *keys = rub_packet_keys(packet);
    for (uint32_t i = 0; i < n; i++) {
        rub_put_u64(keys + 8 * (size_t)i, n_table ? rub_rng_below(&self->rng, n_table) : first + i);
    }
    hear(self, packet);
}

static rub_packet_t *packet_of(uint32_t n)
{
    const rub_header_t header = {
        .type = RUB_MSG_PUSH, .n_keys = n, .value_bytes = (uint32_t)(n * WIDTH * sizeof(float))};
    rub_packet_t *packet = rub_packet_new(&header, 8 * (size_t)n, header.value_bytes);
    RUB_ASSERT(packet);
    float *values = (float *)(void *)rub_packet_values(packet);
    for (size_t i = 0; i < (size_t)n * WIDTH; i++) {
        values[i] = 0.25F;
    }
    return packet;
}

/* Nanoseconds of a push of n random rows, without drawing the keys. */
static double measure(stage_t *self, uint32_t n, uint64_t n_table)
{
    rub_packet_t *packet = packet_of(n);
    const uint32_t pushes = TIMED_ROWS / n > 20000 ? 20000 : TIMED_ROWS / n;
    uint64_t drawn_ns = rub_now_ns();
    for (uint32_t i = 0; i < pushes; i++) { /* what drawing and the clock cost */
        uint8_t *keys = rub_packet_keys(packet);
        for (uint32_t k = 0; k < n; k++) {
            rub_put_u64(keys + 8 * (size_t)k, rub_rng_below(&self->rng, n_table));
        }
    }
    drawn_ns = rub_now_ns() - drawn_ns;
    uint64_t ns = rub_now_ns();
    for (uint32_t i = 0; i < pushes; i++) {
        push(self, packet, n, 0, n_table);
    }
    ns = rub_now_ns() - ns;
    rub_packet_unref(&packet);
    return (double)(ns > drawn_ns ? ns - drawn_ns : 0) / pushes;
}

int rub_scale_pushes(bool json, uint64_t most_rows)
{
    static const uint32_t sizes[] = {1, 10, 100, 1000};
    stage_t self;
    open_stage(&self);
    rub_packet_t *filler = packet_of(FILL_ROWS);
    uint64_t n_table = 0;
    if (!json) {
        printf("us of a push by its rows (ns a row), width %u, adagrad, random keys\n%12s", WIDTH,
               "table rows");
        for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
            printf(" %18u", sizes[i]);
        }
        printf("\n");
    }
    for (uint64_t rows = 10000; rows <= most_rows; rows *= 10) {
        for (; n_table < rows; n_table += FILL_ROWS) {
            push(&self, filler, FILL_ROWS, n_table, 0);
        }
        if (!json) {
            printf("%12" PRIu64, rows);
        }
        for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
            const double ns = measure(&self, sizes[i], rows);
            if (json) {
                printf("{\"case\":\"push\",\"table_rows\":%" PRIu64
                       ",\"rows\":%u,\"push_us\":%.3f,\"row_ns\":%.1f}\n",
                       rows, sizes[i], ns / 1e3, ns / sizes[i]);
            } else {
                printf(" %9.2f (%6.1f)", ns / 1e3, ns / sizes[i]);
            }
        }
        printf("%s", json ? "" : "\n");
    }
    rub_packet_unref(&filler);
    rub_shard_destroy(&self.shard);
    return 0;
}
