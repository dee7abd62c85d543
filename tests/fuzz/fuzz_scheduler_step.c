/* The scheduler stepped through {event, arguments}: control messages from up to 8 connections (u16
 * length and msgpack), time, and restarts from what it has committed. What it sends can be encoded,
 * the version of its view never falls, and its state loads. */
#include "common/base/alloc.h"
#include "scheduler/scheduler.h"
#include "tests/fuzz/fuzz.h"

enum { EVENTS_LIMIT = 200, RESTART = 0xfe, TICK = 0xff };

typedef struct world {
    rub_scheduler_t *core;
    rub_scheduler_config_t config;
    uint64_t now_ms;
    void *state;
    size_t n_bytes;
} world_t;

static void on_send(void *context, rub_caller_t to, const rub_control_t *message)
{
    static rub_buf_t out;
    (void)context, (void)to;
    rub_buf_reset(&out);
    RUB_ASSERT(rub_control_encode(message, &out, NULL) == 0);
}

static int on_commit(void *context, const void *state, size_t n_bytes)
{
    world_t *world = context;
    rub_free(world->state);
    world->state = rub_alloc(n_bytes + 1);
    memcpy(world->state, state, n_bytes);
    world->n_bytes = n_bytes;
    return 0;
}

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    RUB_ASSERT(sentence[0] != '\0');
}

static void start(world_t *world)
{
    const rub_scheduler_effects_t effects = {
        .context = world, .send = on_send, .commit = on_commit, .notice = on_notice};
    world->core = rub_scheduler_new(&world->config, &effects);
    RUB_ASSERT(world->core);
    if (world->state) {
        RUB_ASSERT(rub_scheduler_load(world->core, world->state, world->n_bytes, NULL) == 0);
    }
    RUB_ASSERT(rub_scheduler_start(world->core, world->now_ms) == 0);
}

static void hear(world_t *world, uint8_t from, rub_fuzz_input_t *in)
{
    static rub_arena_t arena;
    rub_control_t message;
    const size_t wanted = (size_t)rub_fuzz_byte(in) << 8 | rub_fuzz_byte(in);
    const size_t n = wanted < in->left ? wanted : in->left;
    rub_arena_reset(&arena);
    if (rub_control_decode(in->at, n, &arena, &message, NULL) == 0) {
        RUB_ASSERT(rub_scheduler_receive(world->core, 100 + from % 8, &message, world->now_ms) ==
                   0);
    }
    in->at += n;
    in->left -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    const uint8_t profile = rub_fuzz_byte(&in);
    world_t world = {.config = {.job = 77,
                                .n_workers = 1 + profile % 4,
                                .n_shards = 1 + profile / 4 % 2,
                                .staleness = profile & 0x80 ? UINT64_MAX : profile / 8 % 4,
                                .lease_ms = 5000,
                                .join_timeout_ms = 20000,
                                .grace_ms = 10000},
                     .now_ms = 1000000};
    start(&world);
    uint64_t version = 0;
    for (int i = 0; i < EVENTS_LIMIT && in.left > 0; i++) {
        const uint8_t event = rub_fuzz_byte(&in);
        if (event == TICK) {
            world.now_ms += 50 * (uint64_t)rub_fuzz_byte(&in);
            RUB_ASSERT(rub_scheduler_tick(world.core, world.now_ms) == 0);
        } else if (event == RESTART) {
            rub_scheduler_destroy(&world.core);
            start(&world);
        } else {
            hear(&world, event, &in);
        }
        RUB_ASSERT(rub_scheduler_view(world.core)->version >= version);
        version = rub_scheduler_view(world.core)->version;
        (void)rub_scheduler_may_leave(world.core, world.now_ms);
    }
    rub_scheduler_destroy(&world.core);
    rub_free(world.state);
    return 0;
}
