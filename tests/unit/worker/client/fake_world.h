/* A scripted world for the client core: what it sends is recorded, what it hears is written by the
 * test. One file of static functions, because each test program is one file. */
#ifndef RUB_FAKE_WORLD_H
#define RUB_FAKE_WORLD_H

#include "common/base/check.h"
#include "worker/client/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WORLD_SHARDS = 4, WORLD_SENT = 4096, WORLD_SAID = 512, JOB = 77 };

#define GRACE_MS 10000u
#define WORLD_GRANT_LEAST 64u /* bytes, of a shard that takes grants */

typedef struct world {
    rub_client_t *client;
    uint64_t now_ms;
    uint32_t n_shards;
    struct {
        uint32_t shard;
        rub_packet_t *packet;
    } sent[WORLD_SENT];
    size_t n_sent;
    rub_control_t said[WORLD_SAID]; /* lists are not kept */
    size_t n_said;
    char notices[16][500];
    size_t n_notices;
    size_t n_connects;
    rub_view_t view;
    rub_rank_view_t ranks[4];
    rub_table_view_t tables[2];
    rub_shard_view_t shards[WORLD_SHARDS];
    bool scheduler_is_silent; /* answers no lease */
    size_t flight;            /* bytes that a shard can be busy with; 0: any */
} world_t;

static void world_connect(void *context, uint32_t shard, const char *address)
{
    world_t *world = context;
    RUB_UNUSED(shard);
    RUB_UNUSED(address);
    world->n_connects++;
}

static void world_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    world_t *world = context;
    assert_true(world->n_sent < WORLD_SENT);
    world->sent[world->n_sent].shard = shard;
    world->sent[world->n_sent++].packet = packet;
}

static size_t world_flight(void *context, uint32_t shard)
{
    const world_t *world = context;
    RUB_UNUSED(shard);
    return world->flight > 0 ? world->flight : SIZE_MAX;
}

static void world_control(void *context, const rub_control_t *message)
{
    world_t *world = context;
    assert_true(world->n_said < WORLD_SAID);
    world->said[world->n_said++] = *message;
}

static void world_notice(void *context, const char *sentence)
{
    world_t *world = context;
    if (world->n_notices < 16) {
        snprintf(world->notices[world->n_notices++], 500, "%s", sentence);
    }
}

static inline void world_forget(world_t *world)
{
    for (size_t i = 0; i < world->n_sent; i++) {
        rub_packet_unref(&world->sent[i].packet);
    }
    world->n_sent = world->n_said = world->n_notices = 0;
}

/* How many messages of that type went to that shard. */
static inline size_t world_count(const world_t *world, uint32_t shard, uint8_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < world->n_sent; i++) {
        n +=
            world->sent[i].shard == shard && rub_packet_header(world->sent[i].packet)->type == type;
    }
    return n;
}

/* The index-th message of that type to that shard; NULL when there is none. */
static inline rub_packet_t *world_find(const world_t *world, uint32_t shard, uint8_t type,
                                       size_t index)
{
    for (size_t i = 0; i < world->n_sent; i++) {
        if (world->sent[i].shard == shard &&
            rub_packet_header(world->sent[i].packet)->type == type && index-- == 0) {
            return world->sent[i].packet;
        }
    }
    return NULL;
}

static inline size_t world_said(const world_t *world, uint32_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < world->n_said; i++) {
        n += world->said[i].type == type;
    }
    return n;
}

static inline void world_tick(world_t *world, uint64_t ms)
{
    while (ms > 0) {
        const uint64_t step = ms < 50 ? ms : 50;
        world->now_ms += step;
        ms -= step;
        if (!world->scheduler_is_silent) {
            const rub_control_t lease = {.type = RUB_MSG_LEASE_OK,
                                         .lease_ok = {.state = RUB_RANK_LIVE}};
            rub_client_control(world->client, &lease, world->now_ms);
        }
        rub_client_tick(world->client, world->now_ms);
    }
}

static inline void world_hear(world_t *world, uint32_t shard, const rub_header_t *header,
                              const void *values)
{
    const rub_frame_t frame = {
        .header = *header, .values = values, .values_bytes = header->value_bytes};
    rub_client_receive(world->client, shard, &frame, world->now_ms);
}

static inline void world_welcome_as(world_t *world, uint32_t shard, uint64_t applied, uint64_t done,
                                    uint64_t synced, uint64_t window, uint32_t durability)
{
    uint8_t values[24] = {0};
    rub_put_u64(values, window);
    rub_put_u32(values + 16, durability);
    const rub_header_t header = {.type = RUB_MSG_WELCOME,
                                 .seq = applied,
                                 .clock = done,
                                 .mark = synced,
                                 .lsn = (UINT64_C(1) << 40) + 1,
                                 .value_bytes = 20};
    world_hear(world, shard, &header, values);
}

/* The WELCOME of an incarnation that came back with so much and has lost so much. */
static inline void world_welcome_back(world_t *world, uint32_t shard, uint64_t applied,
                                      uint64_t done, uint64_t synced, uint64_t incarnation,
                                      uint64_t recovered_lsn, uint64_t lost)
{
    uint8_t values[44] = {0};
    rub_put_u64(values, 1 << 20);
    rub_put_u32(values + 16, RUB_DURABILITY_JOURNAL);
    rub_put_u64(values + 20, recovered_lsn);
    rub_put_u64(values + 28, lost);
    rub_put_u64(values + 36, incarnation);
    const rub_header_t header = {.type = RUB_MSG_WELCOME,
                                 .seq = applied,
                                 .clock = done,
                                 .mark = synced,
                                 .lsn = recovered_lsn,
                                 .value_bytes = sizeof(values)};
    world_hear(world, shard, &header, values);
}

static inline void world_welcome(world_t *world, uint32_t shard, uint64_t applied, uint64_t done)
{
    world_welcome_as(world, shard, applied, done, applied, 1 << 20, RUB_DURABILITY_JOURNAL);
}

static inline void world_ack_as(world_t *world, uint32_t shard, uint64_t applied, uint64_t done,
                                uint64_t synced, uint64_t refused, uint64_t window)
{
    uint8_t values[28] = {0};
    rub_put_u64(values, window);
    rub_put_u64(values + 8, refused);
    rub_put_u64(values + 16, applied);
    rub_put_u32(values + 24, (uint32_t)RUB_ENAN);
    const rub_header_t header = {.type = RUB_MSG_ACK,
                                 .seq = applied,
                                 .clock = done,
                                 .mark = synced,
                                 .value_bytes = sizeof(values)};
    world_hear(world, shard, &header, values);
}

static inline void world_ack(world_t *world, uint32_t shard, uint64_t applied, uint64_t done)
{
    world_ack_as(world, shard, applied, done, applied, 0, 1 << 20);
}

/* Answers the PULL with rows of `value`; exists bits all set for keys. */
static inline void world_rows(world_t *world, uint32_t shard, const rub_packet_t *pull, uint32_t n,
                              uint32_t width, const float *rows, uint64_t minimum)
{
    static uint8_t values[RUB_MESSAGE_LIMIT];
    const rub_header_t *asked = rub_packet_header(pull);
    const size_t bits = (asked->flags & RUB_FLAG_RANGE) ? 4 : ((n + 7) / 8 + 3) / 4 * 4;
    const size_t bytes = bits + (size_t)n * width * sizeof(float);
    assert_true(bytes <= sizeof(values));
    memset(values, 0xff, bits);
    memcpy(values + bits, rows, bytes - bits);
    const rub_header_t header = {.type = RUB_MSG_ROWS,
                                 .seq = asked->seq,
                                 .clock = asked->clock,
                                 .mark = minimum,
                                 .value_bytes = (uint32_t)bytes};
    world_hear(world, shard, &header, values);
}

static inline void world_say(world_t *world, const rub_control_t *message)
{
    rub_client_control(world->client, message, world->now_ms);
}

static inline void world_show_view(world_t *world)
{
    world->view.version++;
    const rub_control_t message = {.type = RUB_MSG_VIEW, .view = world->view};
    world_say(world, &message);
}

static inline void world_open_as(world_t *world, uint32_t n_shards, rub_role_t role, size_t ring,
                                 rub_retain_t retain)
{
    *world = (world_t){.now_ms = 1000, .n_shards = n_shards};
    const rub_client_config_t config = {.nonce = {1, 2, 3},
                                        .role = role,
                                        .rank = -1,
                                        .ring_limit_bytes = ring,
                                        .list_least_keys = 1,
                                        .grant_least_bytes = WORLD_GRANT_LEAST,
                                        .residual_limit_bytes = 1 << 20,
                                        .retain = retain,
                                        .grace_ms = GRACE_MS,
                                        .who = "host:1"};
    const rub_client_effects_t effects = {.context = world,
                                          .connect = world_connect,
                                          .send = world_send,
                                          .flight = world_flight,
                                          .control = world_control,
                                          .notice = world_notice};
    world->client = rub_client_new(&config, &effects);
    assert_non_null(world->client);
    world->ranks[0] = (rub_rank_view_t){.rank = 0, .epoch = 1};
    world->ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 1};
    world->tables[0] = (rub_table_view_t){
        .id = 1, .name = "dense", .kind = RUB_DENSE, .elements = 100 * RUB_BLOCK + 10, .width = 1};
    world->tables[1] = (rub_table_view_t){.id = 2, .name = "rows", .kind = RUB_HASHED, .width = 2};
    for (uint32_t i = 0; i < n_shards; i++) {
        world->shards[i].shard = i;
        world->shards[i].incarnation = 1;
        snprintf(world->shards[i].address, 128, "tcp://s%u:1", i);
    }
    world->view = (rub_view_t){.job = JOB,
                               .generation = 1,
                               .state = RUB_JOB_RUNNING,
                               .n_workers = 2,
                               .staleness = 2,
                               .ranks = world->ranks,
                               .n_ranks = 2,
                               .tables = world->tables,
                               .n_tables = 2,
                               .shards = world->shards,
                               .n_shards = n_shards};
}

static inline void world_open(world_t *world, uint32_t n_shards, rub_role_t role, size_t ring)
{
    world_open_as(world, n_shards, role, ring, RUB_RETAIN_ACKED);
}

static inline rub_handle_t world_join(world_t *world)
{
    rub_handle_t handle = 0;
    assert_int_equal(rub_client_join(world->client, world->now_ms, &handle, NULL), 0);
    const bool reader =
        world_said(world, RUB_MSG_JOIN) > 0 && world->said[0].join.role == RUB_READER;
    const rub_control_t joined = {.type = RUB_MSG_JOINED,
                                  .joined = {.job = JOB,
                                             .generation = 1,
                                             .rank = reader ? UINT32_MAX : 0,
                                             .epoch = reader ? 0 : 1,
                                             .lease_ms = 5000}};
    world_say(world, &joined);
    world_show_view(world);
    return handle;
}

/* An open session: joined and welcomed everywhere with nothing applied. */
static inline void world_ready(world_t *world, uint32_t n_shards, rub_role_t role, size_t ring)
{
    world_open(world, n_shards, role, ring);
    const rub_handle_t handle = world_join(world);
    for (uint32_t i = 0; i < n_shards; i++) {
        world_welcome(world, i, 0, 0);
    }
    assert_int_equal(rub_client_poll(world->client, handle, NULL), 0);
    world_forget(world);
}

static inline void world_close(world_t *world)
{
    world_forget(world);
    rub_client_destroy(&world->client);
    assert_null(world->client);
}

static inline int world_poll(world_t *world, rub_handle_t handle)
{
    return rub_client_poll(world->client, handle, NULL);
}

static inline uint64_t world_clock(world_t *world)
{
    rub_info_t info;
    rub_client_info(world->client, &info);
    return info.clock;
}

/* Pushes one dense block of ones. */
static inline int world_push_block(world_t *world, rub_handle_t *handle_p)
{
    static float ones[RUB_BLOCK];
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        ones[i] = 1.0f;
    }
    const rub_client_push_t push = {.table = 1, .n = RUB_BLOCK, .values = ones};
    return rub_client_push(world->client, &push, handle_p, NULL);
}

#endif
