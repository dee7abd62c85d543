/* A push call becomes messages: routed to shards, cut at about RUB_MESSAGE_VALUES bytes, never
 * inside a row or block.
 *
 * The routing gather is the only copy: values go straight into the packets that the ring keeps and
 * the sockets send. Every value is checked there, while it is in the cache. Nothing is given to a
 * stream before all of the call's packets are made and found finite, so that a refused call leaves
 * no trace.
 *
 * Duplicate keys of a call are summed in the caller's order: the first occurrence is copied, the
 * others are added one after the other, so equal calls give equal bits on any number of shards. The
 * first occurrences keep their order (a stable counting sort by shard). Scratch is one arena per
 * session: no allocation per key. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "common/num/kernels.h"
#include "worker/client/client_internal.h"

#include <string.h>

static void drop_outgoing(rub_client_t *self)
{
    for (size_t i = 0; i < self->n_outgoing; i++) {
        rub_packet_unref(&self->outgoing[i].packet);
        rub_packet_unref(&self->outgoing[i].plain);
    }
    self->n_outgoing = 0;
}

/* What is still to be encoded is only scratch, and takes no slot of a lane. */
static rub_packet_t *add_outgoing(rub_client_t *self, const rub_coding_t *coding, uint32_t shard,
                                  const rub_header_t *header, size_t keys_bytes)
{
    if (rub_grow(&self->outgoing, &self->outgoing_capacity, self->n_outgoing + 1,
                 sizeof(*self->outgoing))) {
        return NULL;
    }
    rub_packet_t *packet = coding ? rub_packet_new(header, keys_bytes, header->value_bytes)
                                  : rub_link_packet(self, shard, header, keys_bytes);
    if (packet) {
        self->outgoing[self->n_outgoing++] = (rub_outgoing_t){.shard = shard, .packet = packet};
    }
    return packet;
}

/* ---- dense ---- */

static int check_range(const rub_table_view_t *schema, const rub_client_push_t *push,
                       rub_error_t *err)
{
    if (schema->kind != RUB_DENSE) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': it is hashed and takes keys, not a range",
                        schema->name);
    }
    if (push->first > schema->elements || push->n > schema->elements - push->first) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': [%llu, +%zu) is outside its %llu elements",
                        schema->name, (unsigned long long)push->first, push->n,
                        (unsigned long long)schema->elements);
    }
    const uint64_t end = push->first + push->n;
    if (push->first % RUB_BLOCK != 0 || (end % RUB_BLOCK != 0 && end != schema->elements)) {
        return rub_fail(
            err, RUB_ESHAPE, "push to '%s': [%llu, %llu) does not begin and end at borders of %u",
            schema->name, (unsigned long long)push->first, (unsigned long long)end, RUB_BLOCK);
    }
    return 0;
}

static int cut_range(rub_client_t *self, const rub_client_table_t *table,
                     const rub_coding_t *coding, const rub_client_push_t *push, rub_error_t *err)
{
    const rub_table_view_t *schema = table->schema;
    int rc = check_range(schema, push, err);
    if (rc) {
        return rc;
    }
    const uint64_t message_elements = RUB_MESSAGE_VALUES / sizeof(float);
    const uint64_t end = push->first + push->n;
    for (uint64_t at = push->first; at < end;) {
        const uint64_t block = at / RUB_BLOCK;
        const uint64_t run_end = rub_placement_run_end(&table->placement, block) * RUB_BLOCK;
        uint64_t stop = run_end < end ? run_end : end;
        if (stop - at > message_elements) {
            stop = at + message_elements;
        }
        if (RUB_MUTANT(BLOCK_CUT) && stop - at > RUB_BLOCK / 2) {
            stop = at + RUB_BLOCK / 2;
        }
        const size_t n = (size_t)(stop - at);
        const rub_header_t header = {.type = RUB_MSG_PUSH,
                                     .table = (uint16_t)schema->id,
                                     .flags = RUB_FLAG_RANGE,
                                     .n_keys = 1,
                                     .value_bytes = (uint32_t)(n * sizeof(float))};
        rub_packet_t *packet = add_outgoing(
            self, coding, rub_placement_shard_of_block(&table->placement, block), &header, 16);
        if (!packet) {
            return rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", schema->name);
        }
        rub_put_u64(rub_packet_keys(packet), at);
        rub_put_u64(rub_packet_keys(packet) + 8, n);
        float *values = (float *)(void *)rub_packet_values(packet);
        memcpy(values, push->values + (at - push->first), n * sizeof(float));
        if (!rub_all_finite(values, n)) {
            return rub_fail(err, RUB_ENAN,
                            "push to '%s': a value in [%llu, %llu) is not a finite number",
                            schema->name, (unsigned long long)at, (unsigned long long)stop);
        }
        if (coding) { /* while the values are in the cache */
            rc = rub_coding_encode(self, coding, table, &self->outgoing[self->n_outgoing - 1], err);
            if (rc) {
                return rc;
            }
        }
        at = stop;
    }
    return 0;
}

/* ---- hashed ---- */

/* Strictly: then there are no duplicates. Sets of keys mostly come sorted. */
static bool keys_ascend(const rub_client_push_t *push)
{
    size_t i = 1;
    while (i < push->n && push->keys[i - 1] < push->keys[i]) {
        i++;
    }
    return i >= push->n;
}

/* What routing finds: n_unique rows in the order of first occurrence; the other occurrences in the
 * caller's order. */
typedef struct rub_routing {
    uint32_t *firsts;  /* unique -> index of the first occurrence in the call */
    uint16_t *shards;  /* unique -> shard */
    float **rows;      /* unique -> its row in a packet */
    uint32_t *repeats; /* pairs: index in the call, unique */
    size_t n_unique, n_repeats;
    uint32_t *counts; /* per shard */
} rub_routing_t;

enum { AHEAD = 8 }; /* keys whose slot is fetched early: a miss costs more than the loop */

static int route(rub_client_t *self, const rub_client_table_t *table, const rub_client_push_t *push,
                 rub_routing_t *routing)
{
    const size_t n = push->n;
    size_t n_slots = 16;
    while (n_slots < 2 * n) {
        n_slots *= 2;
    }
    rub_arena_t *arena = &self->scratch;
    rub_arena_reset(arena);
    uint32_t *slots = rub_arena_calloc(arena, n_slots, sizeof(*slots)); /* unique + 1, 0: free */
    routing->firsts = rub_arena_alloc(arena, n * sizeof(*routing->firsts));
    routing->shards = rub_arena_alloc(arena, n * sizeof(*routing->shards));
    routing->rows = rub_arena_alloc(arena, n * sizeof(*routing->rows));
    routing->repeats = rub_arena_alloc(arena, 2 * n * sizeof(*routing->repeats));
    routing->counts = rub_arena_calloc(arena, self->n_links, sizeof(*routing->counts));
    if (!slots || !routing->firsts || !routing->shards || !routing->rows || !routing->repeats ||
        !routing->counts) {
        return RUB_ENOMEM;
    }
    const rub_placement_t *placement = &table->placement;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            const uint64_t next = rub_placement_hash(placement, push->keys[i + AHEAD]);
            __builtin_prefetch(&slots[next & (n_slots - 1)]);
        }
        const uint64_t key = push->keys[i];
        const uint64_t hash = rub_placement_hash(placement, key);
        size_t slot = hash & (n_slots - 1);
        while (slots[slot] && push->keys[routing->firsts[slots[slot] - 1]] != key) {
            slot = (slot + 1) & (n_slots - 1);
        }
        if (slots[slot]) {
            routing->repeats[2 * routing->n_repeats] = (uint32_t)i;
            routing->repeats[2 * routing->n_repeats + 1] = slots[slot] - 1;
            routing->n_repeats++;
            continue;
        }
        const uint32_t shard = rub_placement_shard_of_key(placement, key);
        routing->firsts[routing->n_unique] = (uint32_t)i;
        routing->shards[routing->n_unique] = (uint16_t)shard;
        routing->counts[shard]++;
        slots[slot] = (uint32_t)++routing->n_unique;
    }
    return 0;
}

/* Packets of one shard being filled one after the other. */
typedef struct rub_filling {
    uint64_t *keys;
    float *values;
    uint32_t left_in_packet, left_in_shard;
} rub_filling_t;

static int next_packet(rub_client_t *self, const rub_table_view_t *schema,
                       const rub_coding_t *coding, uint32_t shard, rub_filling_t *filling)
{
    const uint32_t row_bytes = schema->width * (uint32_t)sizeof(float);
    uint32_t n = RUB_MESSAGE_VALUES / (row_bytes + 8);
    n = n < 1 ? 1 : n;
    n = n < filling->left_in_shard ? n : filling->left_in_shard;
    const rub_header_t header = {.type = RUB_MSG_PUSH,
                                 .table = (uint16_t)schema->id,
                                 .n_keys = n,
                                 .value_bytes = n * row_bytes};
    rub_packet_t *packet = add_outgoing(self, coding, shard, &header, (size_t)n * 8);
    if (!packet) {
        return RUB_ENOMEM;
    }
    filling->keys = (uint64_t *)(void *)rub_packet_keys(packet);
    filling->values = (float *)(void *)rub_packet_values(packet);
    filling->left_in_packet = n;
    filling->left_in_shard -= n;
    return 0;
}

static int gather(rub_client_t *self, const rub_table_view_t *schema, const rub_coding_t *coding,
                  const rub_client_push_t *push, rub_routing_t *routing)
{
    const size_t width = schema->width;
    rub_filling_t *fillings = rub_arena_calloc(&self->scratch, self->n_links, sizeof(*fillings));
    if (!fillings) {
        return RUB_ENOMEM;
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        fillings[i].left_in_shard = routing->counts[i];
    }
    for (size_t u = 0; u < routing->n_unique; u++) {
        rub_filling_t *filling = &fillings[routing->shards[u]];
        if (filling->left_in_packet == 0 &&
            next_packet(self, schema, coding, routing->shards[u], filling)) {
            return RUB_ENOMEM;
        }
        const size_t i = routing->firsts[u];
        *filling->keys++ = push->keys[i];
        memcpy(filling->values, push->values + i * width, width * sizeof(float));
        routing->rows[u] = filling->values;
        filling->values += width;
        filling->left_in_packet--;
    }
    for (size_t r = 0; r < routing->n_repeats; r++) {
        const size_t i = routing->repeats[2 * r];
        rub_add_into(routing->rows[routing->repeats[2 * r + 1]], push->values + i * width, width);
    }
    return 0;
}

/* Keys without duplicates to the only shard there is: rows travel as they lie, and are checked
 * while they are in the cache. The messages are those that route and gather would make. */
static int cut_rows(rub_client_t *self, const rub_client_table_t *table, const rub_coding_t *coding,
                    const rub_client_push_t *push, rub_error_t *err)
{
    const rub_table_view_t *schema = table->schema;
    const size_t width = schema->width;
    rub_filling_t filling = {.left_in_shard = (uint32_t)push->n};
    for (size_t at = 0; at < push->n; at += filling.left_in_packet) {
        if (next_packet(self, schema, coding, 0, &filling)) {
            return rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", schema->name);
        }
        const size_t n_values = filling.left_in_packet * width;
        memcpy(filling.keys, push->keys + at, filling.left_in_packet * sizeof(*push->keys));
        memcpy(filling.values, push->values + at * width, n_values * sizeof(float));
        if (!rub_all_finite(filling.values, n_values)) {
            return rub_fail(err, RUB_ENAN, "push to '%s': a value is not a finite number",
                            schema->name);
        }
        int rc = 0;
        if (coding) {
            rc = rub_coding_encode(self, coding, table, &self->outgoing[self->n_outgoing - 1], err);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* A sum of finite values may still overflow, so it is the packets that are looked at; what is not
 * finite in the call is not finite in any sum. */
static int check_outgoing(const rub_client_t *self, const rub_table_view_t *schema,
                          rub_error_t *err)
{
    for (size_t i = 0; i < self->n_outgoing; i++) {
        const rub_frame_t frame = rub_packet_frame(self->outgoing[i].packet);
        if (!rub_all_finite((const float *)(const void *)frame.values,
                            frame.values_bytes / sizeof(float))) {
            return rub_fail(err, RUB_ENAN,
                            "push to '%s': a value, or the sum of a key's, is not a finite number",
                            schema->name);
        }
    }
    return 0;
}

static int route_rows(rub_client_t *self, const rub_client_table_t *table,
                      const rub_coding_t *coding, const rub_client_push_t *push, rub_error_t *err)
{
    const rub_table_view_t *schema = table->schema;
    if (schema->kind != RUB_HASHED) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': it is dense and takes a range, not keys",
                        schema->name);
    }
    if (push->n >= UINT32_MAX / 2) {
        return rub_fail(err, RUB_ELIMIT, "push to '%s': %zu keys in one call, at most %u",
                        schema->name, push->n, UINT32_MAX / 2 - 1);
    }
    if (self->n_links == 1 && keys_ascend(push)) {
        return cut_rows(self, table, coding, push, err);
    }
    rub_routing_t routing = {0};
    if (push->n > 0 &&
        (route(self, table, push, &routing) || gather(self, schema, coding, push, &routing))) {
        return rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", schema->name);
    }
    int rc = check_outgoing(self, schema, err);
    for (size_t i = 0; coding && i < self->n_outgoing && !rc; i++) {
        rc = rub_coding_encode(self, coding, table, &self->outgoing[i], err);
    }
    return rc;
}

/* ---- both ---- */

static int reserve_outgoing(rub_client_t *self)
{
    /* One reserve of all for every shard concerned: generous by a few pointers, and exact enough.
     */
    for (size_t i = 0; i < self->n_outgoing; i++) {
        if (rub_ring_reserve(&self->links[self->outgoing[i].shard].ring, self->n_outgoing)) {
            return RUB_ENOMEM;
        }
    }
    return 0;
}

static void append_outgoing(rub_client_t *self, rub_acked_t *acked)
{
    for (size_t i = 0; i < self->n_outgoing; i++) {
        rub_link_t *link = &self->links[self->outgoing[i].shard];
        rub_packet_t *packet = self->outgoing[i].packet;
        rub_packet_unref(&self->outgoing[i].plain);
        rub_header_t header = *rub_packet_header(packet);
        header.clock = link->done;
        rub_packet_set_header(packet, &header);
        self->stats.push_bytes += header.value_bytes;
        rub_stream_append(self, link, packet);
        if (acked) {
            acked->targets[link->shard] = rub_ring_last(&link->ring);
        }
    }
    self->n_outgoing = 0;
}

int rub_client_push(rub_client_t *self, const rub_client_push_t *push, rub_handle_t *handle_p,
                    rub_error_t *err)
{
    rub_acked_t *acked = NULL;
    int rc = rub_client_may_push(self, "push", err);
    if (rc) {
        return rc;
    }
    if (self->idle) {
        return rub_fail(err, RUB_EINVAL, "push: the session is paused");
    }
    const rub_client_table_t *table = rub_client_find_table(self, push->table);
    if (!table) {
        return rub_fail(err, RUB_ENOTABLE, "push: the job has no table %u", push->table);
    }
    if (!rub_stream_room(self)) {
        return RUB_CLIENT_WAIT;
    }
    rub_coding_t *coding = rub_coding_of_push(self, push->table);
    rc = push->keys ? route_rows(self, table, coding, push, err)
                    : cut_range(self, table, coding, push, err);
    if (!rc && coding) {
        rc = rub_coding_reserve(self, coding, table->schema, err);
    }
    if (rc) {
        goto out;
    }
    rc = reserve_outgoing(self);
    if (!rc && handle_p) {
        acked = rub_calloc(1, sizeof(*acked) + self->n_links * sizeof(uint64_t));
        rc = acked ? rub_operation_add(self, &acked->op, RUB_OP_ACKED, handle_p) : RUB_ENOMEM;
    }
    if (rc) {
        rub_free(acked);
        rc = rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", table->schema->name);
        goto out;
    }
    if (coding) {
        rub_coding_commit(self, coding, table->schema);
    }
    append_outgoing(self, acked);
    self->stats.pushes++;
    self->pushed = true;
out:
    drop_outgoing(self);
    return rc;
}
