/* A session stepped through {event, arguments}: data messages from two shards and control messages
 * from the scheduler (u16 length and bytes), time, and the calls that a program makes. A shard or a
 * scheduler may send anything; the session answers, fails with a sentence, or waits. Shards of its
 * process may write what they were granted last, as long as a pull is under way. */
#include "common/base/alloc.h"
#include "common/wire/grant.h"
#include "tests/fuzz/fuzz.h"
#include "worker/client/client.h"

#include <string.h>

enum { EVENTS_LIMIT = 200, SHARDS = 2, HANDLES = 8 };

typedef struct under_way {
    rub_handle_t handle;
    bool is_pull;
} under_way_t;

typedef struct world {
    rub_client_t *core;
    uint64_t now_ms;
    under_way_t handles[HANDLES];
    size_t n_handles;
    float values[64];
    uint8_t exists[64];
    rub_packet_t *granted; /* the last PULL that bore a grant */
} world_t;

static void on_connect(void *context, uint32_t shard, const char *address)
{
    (void)context, (void)shard;
    RUB_ASSERT(address);
}

static rub_frame_t frame_of(const rub_packet_t *packet)
{
    rub_span_t parts[3];
    rub_frame_t frame;
    const size_t n_parts = rub_packet_parts(packet, parts);
    RUB_ASSERT(rub_frame_read_in_process(parts, n_parts, &frame, NULL) == 0);
    return frame;
}

static void on_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    world_t *world = context;
    (void)shard;
    const rub_frame_t frame = frame_of(packet);
    if (frame.grant) {
        rub_packet_unref(&world->granted);
        world->granted = rub_packet_ref(packet);
    }
    rub_packet_unref(&packet);
}

/* What the last PULL with a grant still lets a shard write. Rows are pulled of one value or two. */
static bool take_granted(const world_t *world, rub_grant_place_t *place)
{
    if (!world->granted) {
        return false;
    }
    const rub_frame_t frame = frame_of(world->granted);
    const bool is_range = (frame.header.flags & RUB_FLAG_RANGE) != 0;
    const size_t n_rows = is_range ? rub_get_u64(frame.keys + 8) : frame.header.n_keys;
    return rub_grant_take(frame.grant, n_rows, 1, is_range, place) ||
           rub_grant_take(frame.grant, n_rows, 2, is_range, place);
}

static bool pulls(const world_t *world)
{
    bool is_under_way = false;
    for (size_t i = 0; i < world->n_handles; i++) {
        is_under_way = is_under_way || world->handles[i].is_pull;
    }
    return is_under_way;
}

static void gather(const world_t *world)
{
    rub_grant_place_t place;
    if (!take_granted(world, &place)) {
        return;
    }
    RUB_ASSERT(pulls(world));
    for (size_t i = 0; i < place.n_rows; i++) {
        float *row = place.values + (place.positions ? place.positions[i] : i) * place.width;
        RUB_ASSERT(row >= world->values);
        RUB_ASSERT(row + place.width <= world->values + RUB_COUNT_OF(world->values));
        memset(row, 0, place.width * sizeof(*row));
    }
    rub_grant_finish(frame_of(world->granted).grant);
}

static void on_control(void *context, const rub_control_t *message)
{
    static rub_buf_t out;
    (void)context;
    rub_buf_reset(&out);
    RUB_ASSERT(rub_control_encode(message, &out, NULL) == 0);
}

static void on_notice(void *context, const char *sentence)
{
    (void)context;
    RUB_ASSERT(sentence[0] != '\0');
}

static rub_span_t take(rub_fuzz_input_t *in)
{
    const size_t wanted = (size_t)rub_fuzz_byte(in) << 8 | rub_fuzz_byte(in);
    const size_t n = wanted < in->left ? wanted : in->left;
    const rub_span_t span = {in->at, n};
    in->at += n;
    in->left -= n;
    return span;
}

static void hear_shard(world_t *world, uint32_t shard, rub_fuzz_input_t *in)
{
    static _Alignas(16) uint8_t aligned[1 << 16];
    const rub_span_t bytes = take(in);
    const rub_span_t part = {aligned, bytes.bytes};
    rub_frame_t frame;
    memcpy(aligned, bytes.data, bytes.bytes);
    if (rub_frame_read_in_process(&part, 1, &frame, NULL) == 0) { /* the core believes no flag */
        rub_client_receive(world->core, shard, &frame, world->now_ms);
    }
}

static void hear_scheduler(world_t *world, rub_fuzz_input_t *in)
{
    static rub_arena_t arena;
    rub_control_t message;
    const rub_span_t bytes = take(in);
    rub_arena_reset(&arena);
    if (rub_control_decode(bytes.data, bytes.bytes, &arena, &message, NULL) == 0) {
        rub_client_control(world->core, &message, world->now_ms);
    }
}

/* One of the calls of a program; its handle is polled from then on. */
static void call(world_t *world, uint8_t what, rub_fuzz_input_t *in)
{
    const uint64_t keys[3] = {rub_fuzz_byte(in), 1000, 2000};
    const double sums[2] = {1, 2};
    const uint8_t how = rub_fuzz_byte(in);
    rub_handle_t handle = 0;
    rub_schema_t schema;
    rub_error_t err = {0};
    int rc = 0;
    /* The scheduler of this world may show tables of any width; a caller knows its own. */
    const rub_table_view_t *table = rub_client_table(world->core, 1 + how % 3);
    if (table && table->kind == RUB_HASHED && table->width > 2 && what % 11 >= 1 &&
        what % 11 <= 4) {
        return;
    }
    switch (what % 11) {
    case 0:
        rub_schema_defaults(&schema);
        schema.name = how & 1 ? "dense" : "rows";
        schema.kind = how & 1 ? RUB_DENSE : RUB_HASHED;
        schema.elements = how & 1 ? 5000 : 0;
        schema.width = how & 1 ? 0 : 2;
        rc = rub_client_table_open(world->core, &schema, &handle, &err);
        break;
    case 1:
    case 2:
        if (how & 0x20) { /* a reader keeps what it pulls; others are refused */
            (void)rub_client_table_cache(world->core, 1 + how % 3, 200, 1 + keys[0], NULL);
        }
        rc = rub_client_pull(world->core,
                             &(rub_client_pull_t){.table = 1 + how % 3,
                                                  .keys = how & 0x80 ? NULL : keys,
                                                  .first = how,
                                                  .n = 1 + how % 3,
                                                  .ahead = how >> 6 & 1,
                                                  .values = world->values,
                                                  .exists = world->exists},
                             &handle, &err);
        break;
    case 3:
    case 4:
        rc = rub_client_push(world->core,
                             &(rub_client_push_t){.table = 1 + how % 3,
                                                  .keys = how & 0x80 ? NULL : keys,
                                                  .first = how,
                                                  .n = 1 + how % 3,
                                                  .values = (const float[6]){1, 2, 3, 4, 5, 6}},
                             &handle, &err);
        break;
    case 5:
        rc = rub_client_clock(world->core, keys, 8, &err);
        break;
    case 6:
        rc = rub_client_barrier(world->core, sums, 2, &handle, &err);
        break;
    case 7:
        rc = how & 1 ? rub_client_pause(world->core, &handle, &err)
                     : rub_client_resume(world->core, &handle, &err);
        break;
    case 8:
        rc = rub_client_piece(world->core, how % 4, 1000, 100, &handle, &err);
        break;
    case 9:
        rc = rub_client_flush(world->core, &handle, &err);
        break;
    default:
        rc = rub_client_leave(world->core, how & 1, 0, "", &handle, &err);
    }
    RUB_ASSERT(rc >= 0 || err.message[0] != '\0');
    if (rc == 0 && handle && world->n_handles < HANDLES) {
        world->handles[world->n_handles++] =
            (under_way_t){handle, what % 11 == 1 || what % 11 == 2};
    } else if (rc == 0 && handle) {
        (void)rub_client_cancel(world->core, handle, NULL);
    }
}

static void poll(world_t *world)
{
    size_t kept = 0;
    char why[256];
    for (size_t i = 0; i < world->n_handles; i++) {
        rub_error_t err = {0};
        const int rc = rub_client_poll(world->core, world->handles[i].handle, &err);
        RUB_ASSERT(rc >= 0 || err.message[0] != '\0');
        if (rc == RUB_CLIENT_WAIT) {
            rub_client_waits_for(world->core, world->handles[i].handle, world->now_ms, why,
                                 sizeof(why));
            world->handles[kept++] = world->handles[i];
        }
    }
    world->n_handles = kept;
}

static void step(world_t *world, rub_fuzz_input_t *in)
{
    const uint8_t event = rub_fuzz_byte(in);
    switch (event % 4) {
    case 0:
        if (event / 4 / SHARDS % 2 == 1) {
            gather(world);
        }
        hear_shard(world, event / 4 % SHARDS, in);
        break;
    case 1:
        hear_scheduler(world, in);
        break;
    case 2:
        call(world, event / 4, in);
        break;
    default:
        world->now_ms += 10 * (uint64_t)event;
        rub_client_tick(world->core, world->now_ms);
    }
    poll(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    const uint8_t profile = rub_fuzz_byte(&in);
    world_t world = {.now_ms = 1000};
    const rub_client_config_t config = {.nonce = {1, 2, 3},
                                        .role = profile & 1 ? RUB_READER : RUB_TRAINER,
                                        .rank = -1,
                                        .ring_limit_bytes = 1 << 20,
                                        .list_least_keys = 1,
                                        .grant_least_bytes = 1,
                                        .residual_limit_bytes = 1 << 16,
                                        .retain =
                                            profile & 2 ? RUB_RETAIN_SYNCED : RUB_RETAIN_ACKED,
                                        .who = "host:1"};
    const rub_client_effects_t effects = {.context = &world,
                                          .connect = on_connect,
                                          .send = on_send,
                                          .control = on_control,
                                          .notice = on_notice};
    world.core = rub_client_new(&config, &effects);
    RUB_ASSERT(world.core);
    RUB_ASSERT(rub_client_join(world.core, world.now_ms, &world.handles[world.n_handles++].handle,
                               NULL) == 0);
    for (int i = 0; i < EVENTS_LIMIT && in.left > 0; i++) {
        step(&world, &in);
    }
    rub_client_destroy(&world.core);
    rub_grant_place_t place;
    RUB_ASSERT(!take_granted(&world, &place));
    rub_packet_unref(&world.granted);
    return 0;
}
