/* A push call becomes messages: routed to shards, cut at about RUB_MESSAGE_VALUES bytes, never
 * inside a row or block.
 *
 * The routing gather is the only copy: values go straight into the packets that the ring keeps and
 * the sockets send. Every value is checked there, while it is in the cache. Nothing is given to a
 * stream before all of the call's packets are made and found finite, so that a refused call leaves
 * no trace.
 *
 * Of an array that is lent nothing is copied, or looked at, where a message's values stand in it
 * one behind the other: in ranges, and in rows for a table's only shard without repeats. Shards
 * check each message in any case.
 *
 * Duplicate keys of a call are summed in the caller's order: the first occurrence is copied, the
 * others (worker/client/key_routing.h) are added one after the other, so equal calls give equal
 * bits on any number of shards. The first occurrences keep their order in each shard's packets.
 * Scratch is one arena per session: no allocation per key. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "common/num/kernels.h"
#include "worker/client/client_internal.h"
#include "worker/client/key_routing.h"

#include <string.h>

static void drop_outgoing(rub_client_t *self)
{
    for (size_t i = 0; i < self->n_outgoing; i++) {
        rub_packet_unref(&self->outgoing[i].packet);
        rub_packet_unref(&self->outgoing[i].plain);
    }
    self->n_outgoing = 0;
}

/* keys: n_keys of them; NULL: of a range, and the caller fills in its 16 bytes. What is still to be
 * encoded is only scratch, and takes no slot of a lane. lent: where its values are, if they are;
 * the caller fills in those of a packet that did not take them. */
static rub_packet_t *add_outgoing(rub_client_t *self, const rub_coding_t *coding, uint32_t shard,
                                  const rub_header_t *header, const uint64_t *keys, rub_lent_t lent)
{
    const size_t keys_bytes = keys ? 8 * (size_t)header->n_keys : 16;
    if (rub_grow(&self->outgoing, &self->outgoing_capacity, self->n_outgoing + 1,
                 sizeof(*self->outgoing))) {
        return NULL;
    }
    rub_packet_t *packet = coding ? rub_packet_new(header, keys_bytes, header->value_bytes)
                           : keys ? rub_keyed_packet(self, shard, header, keys, lent)
                                  : rub_link_packet(self, shard, header, keys_bytes, lent);
    if (packet && coding && keys) {
        memcpy(rub_packet_keys(packet), keys, keys_bytes);
    }
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

/* Blocks of whole messages as long as shards take them: what each costs in wake-ups of four threads
 * is what is left to save where nothing is copied. A copy is better off while it stays in the
 * cache, a slot of a lane is no longer, and where the window is small several must go into it. */
#define LENT_VALUES (RUB_MESSAGE_LIMIT - (64u << 10))

static uint64_t most_elements(const rub_client_t *self, uint32_t shard, const rub_loan_t *loan)
{
    const rub_client_effects_t *effects = &self->effects;
    const bool shares = effects->flight && effects->flight(effects->context, shard) != SIZE_MAX;
    const bool is_wide = self->links[shard].window >= 4 * (uint64_t)RUB_MESSAGE_LIMIT;
    return (loan && is_wide && !shares ? LENT_VALUES : RUB_MESSAGE_VALUES) / sizeof(float);
}

static int cut_range(rub_client_t *self, const rub_client_table_t *table,
                     const rub_coding_t *coding, const rub_client_push_t *push, rub_loan_t *loan,
                     rub_error_t *err)
{
    const rub_table_view_t *schema = table->schema;
    int rc = check_range(schema, push, err);
    if (rc) {
        return rc;
    }
    const uint64_t end = push->first + push->n;
    for (uint64_t at = push->first; at < end;) {
        const uint64_t block = at / RUB_BLOCK;
        const uint64_t run_end = rub_placement_run_end(&table->placement, block) * RUB_BLOCK;
        const uint32_t shard = rub_placement_shard_of_block(&table->placement, block);
        const uint64_t message_elements = most_elements(self, shard, loan);
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
        const float *given = push->values + (at - push->first);
        rub_packet_t *packet = add_outgoing(self, coding, shard, &header, NULL,
                                            (rub_lent_t){.loan = loan, .values = given});
        if (!packet) {
            return rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", schema->name);
        }
        rub_put_u64(rub_packet_keys(packet), at);
        rub_put_u64(rub_packet_keys(packet) + 8, n);
        if (!rub_packet_is_lent(packet)) {
            float *values = (float *)(void *)rub_packet_values(packet);
            memcpy(values, given, n * sizeof(float));
            if (!rub_all_finite(values, n)) {
                return rub_fail(err, RUB_ENAN,
                                "push to '%s': a value in [%llu, %llu) is not a finite number",
                                schema->name, (unsigned long long)at, (unsigned long long)stop);
            }
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

/* ---- hashed: packets ---- */

/* Packets of one shard being filled one after the other. */
typedef struct rub_filling {
    size_t packet;        /* in outgoing */
    const uint64_t *keys; /* of the packets that are still to be made */
    float *values;        /* NULL: they are lent, so it is full */
    uint32_t left_in_packet, left_in_shard;
} rub_filling_t;

/* A call on its way into packets. */
typedef struct rub_cutting {
    rub_client_t *client;
    const rub_client_table_t *table;
    const rub_coding_t *coding;
    const rub_client_push_t *push;
    rub_loan_t *loan; /* NULL: values are copied */
    rub_key_routing_t routing;
    rub_error_t *err;
} rub_cutting_t;

static int no_memory(const rub_cutting_t *self)
{
    return rub_fail(self->err, RUB_ENOMEM, "push to '%s': memory is short",
                    self->table->schema->name);
}

/* lent: where the values of its rows stand one behind the other; NULL: nowhere. */
static int next_packet(const rub_cutting_t *self, uint32_t shard, rub_filling_t *filling,
                       const float *lent)
{
    const rub_table_view_t *schema = self->table->schema;
    uint32_t n = rub_message_rows(schema->width);
    n = n < filling->left_in_shard ? n : filling->left_in_shard;
    const rub_header_t header = {.type = RUB_MSG_PUSH,
                                 .table = (uint16_t)schema->id,
                                 .n_keys = n,
                                 .value_bytes = n * schema->width * (uint32_t)sizeof(float)};
    rub_packet_t *packet =
        add_outgoing(self->client, self->coding, shard, &header, filling->keys,
                     (rub_lent_t){.loan = lent ? self->loan : NULL, .values = lent});
    if (!packet) {
        return no_memory(self);
    }
    const bool is_lent = rub_packet_is_lent(packet);
    filling->packet = self->client->n_outgoing - 1;
    filling->keys += n;
    filling->values = is_lent ? NULL : (float *)(void *)rub_packet_values(packet);
    filling->left_in_packet = n;
    filling->left_in_shard -= n;
    return 0;
}

static int encode(const rub_cutting_t *self, size_t packet)
{
    return self->coding ? rub_coding_encode(self->client, self->coding, self->table,
                                            &self->client->outgoing[packet], self->err)
                        : 0;
}

/* All rows of the packet are in it, and still in the cache. Repeats are added when all packets are
 * full: before that none may be encoded. */
static int finish_packet(const rub_cutting_t *self, size_t packet)
{
    const rub_frame_t frame = rub_packet_frame(self->client->outgoing[packet].packet);
    if (!rub_all_finite((const float *)(const void *)frame.values,
                        frame.values_bytes / sizeof(float))) {
        return rub_fail(self->err, RUB_ENAN, "push to '%s': a value is not a finite number",
                        self->table->schema->name);
    }
    return self->routing.n_repeats == 0 ? encode(self, packet) : 0;
}

/* A sum of finite values may still overflow. */
static int add_repeat(const rub_cutting_t *self, float *row, size_t i)
{
    const size_t width = self->table->schema->width;
    rub_add_into(row, self->push->values + i * width, width);
    return rub_all_finite(row, width)
               ? 0
               : rub_fail(self->err, RUB_ENAN,
                          "push to '%s': a value, or the sum of a key's, is not a finite number",
                          self->table->schema->name);
}

static int encode_all(const rub_cutting_t *self)
{
    int rc = 0;
    for (size_t i = 0; i < self->client->n_outgoing && !rc; i++) {
        rc = encode(self, i);
    }
    return rc;
}

/* ---- hashed: one shard ---- */

/* Copies what comes for the first time, from *at_p on, until the packet is full: as long pieces as
 * repeats leave. *repeat_p: the first repeat from there on. */
static void copy_rows(const rub_cutting_t *self, rub_filling_t *filling, size_t *at_p,
                      size_t *repeat_p)
{
    const rub_key_routing_t *routing = &self->routing;
    const size_t width = self->table->schema->width;
    for (size_t left = filling->left_in_packet; left > 0;) {
        for (; *repeat_p < routing->n_repeats && routing->repeats[*repeat_p].at == *at_p; ++*at_p) {
            ++*repeat_p;
        }
        const size_t stop =
            *repeat_p < routing->n_repeats ? routing->repeats[*repeat_p].at : self->push->n;
        const size_t n = stop - *at_p < left ? stop - *at_p : left;
        memcpy(filling->values, self->push->values + *at_p * width, n * width * sizeof(float));
        filling->values += n * width;
        *at_p += n;
        left -= n;
    }
}

static float *row_of(const rub_cutting_t *self, size_t i)
{
    const rub_table_view_t *schema = self->table->schema;
    const size_t place = i - rub_key_routing_repeats_before(&self->routing, i);
    const uint32_t n = rub_message_rows(schema->width);
    float *values = (float *)(void *)rub_packet_values(self->client->outgoing[place / n].packet);
    return values + place % n * schema->width;
}

/* The call's keys without the repeats; NULL when memory is short. */
static const uint64_t *different_keys(const rub_cutting_t *self)
{
    const rub_key_routing_t *routing = &self->routing;
    if (routing->n_repeats == 0) {
        return self->push->keys;
    }
    uint64_t *keys = rub_arena_alloc(&self->client->scratch, self->push->n * sizeof(*keys));
    for (size_t i = 0, r = 0, n = 0; keys && i < self->push->n; i++) {
        if (r < routing->n_repeats && routing->repeats[r].at == i) {
            r++;
        } else {
            keys[n++] = self->push->keys[i];
        }
    }
    return keys;
}

static int cut_rows(const rub_cutting_t *self)
{
    const rub_key_routing_t *routing = &self->routing;
    rub_filling_t filling = {.left_in_shard = routing->counts[0], .keys = different_keys(self)};
    size_t at = 0, repeat = 0;
    int rc = filling.keys ? 0 : no_memory(self);
    while (!rc && filling.left_in_shard > 0) {
        const float *given = self->push->values + at * self->table->schema->width;
        rc = next_packet(self, 0, &filling, routing->n_repeats == 0 ? given : NULL);
        if (!rc && filling.values) {
            copy_rows(self, &filling, &at, &repeat);
            rc = finish_packet(self, filling.packet);
        } else if (!rc) {
            at += filling.left_in_packet;
        }
    }
    for (size_t r = 0; r < routing->n_repeats && !rc; r++) {
        rc = add_repeat(self, row_of(self, routing->repeats[r].first), routing->repeats[r].at);
    }
    return rc;
}

/* ---- hashed: several shards ---- */

/* rows: of each position that was copied; NULL when there are no repeats. */
static int copy_row(const rub_cutting_t *self, rub_filling_t *fillings, size_t i, float **rows)
{
    const size_t width = self->table->schema->width;
    const uint32_t shard = self->routing.shards[i];
    rub_filling_t *filling = &fillings[shard];
    int rc = filling->left_in_packet == 0 ? next_packet(self, shard, filling, NULL) : 0;
    if (rc) {
        return rc;
    }
    memcpy(filling->values, self->push->values + i * width, width * sizeof(float));
    if (rows) {
        rows[i] = filling->values;
    }
    filling->values += width;
    return --filling->left_in_packet == 0 ? finish_packet(self, filling->packet) : 0;
}

/* The different keys, shard after shard, each shard's in the caller's order. */
static int lay_out_keys(const rub_cutting_t *self, rub_filling_t *fillings)
{
    const rub_key_routing_t *routing = &self->routing;
    rub_arena_t *arena = &self->client->scratch;
    uint64_t *keys = rub_arena_alloc(arena, (self->push->n + 1) * sizeof(*keys));
    uint64_t **next = rub_arena_alloc(arena, self->client->n_links * sizeof(*next));
    if (!keys || !next) {
        return no_memory(self);
    }
    for (uint32_t i = 0; i < self->client->n_links; i++) {
        fillings[i].left_in_shard = routing->counts[i];
        fillings[i].keys = next[i] = keys;
        keys += routing->counts[i];
    }
    for (size_t i = 0; i < self->push->n; i++) {
        if (routing->shards[i] != RUB_KEY_REPEATS) {
            *next[routing->shards[i]]++ = self->push->keys[i];
        }
    }
    return 0;
}

static int deal_rows(const rub_cutting_t *self)
{
    const rub_key_routing_t *routing = &self->routing;
    rub_arena_t *arena = &self->client->scratch;
    rub_filling_t *fillings = rub_arena_calloc(arena, self->client->n_links, sizeof(*fillings));
    float **rows =
        routing->n_repeats > 0 ? rub_arena_alloc(arena, self->push->n * sizeof(*rows)) : NULL;
    if (!fillings || (routing->n_repeats > 0 && !rows)) {
        return no_memory(self);
    }
    int rc = lay_out_keys(self, fillings);
    for (size_t i = 0; i < self->push->n && !rc; i++) {
        if (routing->shards[i] != RUB_KEY_REPEATS) {
            rc = copy_row(self, fillings, i, rows);
        }
    }
    for (size_t r = 0; r < routing->n_repeats && !rc; r++) {
        rc = add_repeat(self, rows[routing->repeats[r].first], routing->repeats[r].at);
    }
    return rc;
}

static int route_rows(rub_client_t *self, const rub_client_table_t *table,
                      const rub_coding_t *coding, const rub_client_push_t *push, rub_loan_t *loan,
                      rub_error_t *err)
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
    rub_cutting_t cutting = {
        .client = self, .table = table, .coding = coding, .push = push, .loan = loan, .err = err};
    rub_arena_reset(&self->scratch);
    if (rub_key_routing_make(&cutting.routing, &table->placement, push->keys, push->n,
                             &self->scratch)) {
        return no_memory(&cutting);
    }
    const int rc = cutting.routing.shards ? deal_rows(&cutting) : cut_rows(&cutting);
    return !rc && cutting.routing.n_repeats > 0 ? encode_all(&cutting) : rc;
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

/* What is retained until it is on the platter is so for long behind its acknowledgement, codecs
 * write values of their own, and what goes in one frame is no loan's worth: these copy. NULL also
 * when memory is short: the same. */
static rub_loan_t *borrow(const rub_client_t *self, const rub_client_table_t *table,
                          const rub_coding_t *coding, const rub_client_push_t *push)
{
    const uint64_t item_bytes =
        push->keys ? 8 + table->schema->width * sizeof(float) : sizeof(float);
    const bool is_long = push->n > RUB_INLINE_LIMIT / item_bytes;
    return push->lend && is_long && !coding && self->config.retain != RUB_RETAIN_SYNCED
               ? rub_loan_new(self->loans)
               : NULL;
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
    if (!rub_stream_room(self, true)) {
        return RUB_CLIENT_WAIT;
    }
    rub_coding_t *coding = rub_coding_of_push(self, push->table);
    rub_loan_t *loan = borrow(self, table, coding, push);
    rc = push->keys ? route_rows(self, table, coding, push, loan, err)
                    : cut_range(self, table, coding, push, loan, err);
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
    if (acked) {
        acked->loan = loan;
        loan = NULL;
    }
    append_outgoing(self, acked);
    self->stats.pushes++;
    self->pushed = true;
out:
    drop_outgoing(self);
    rub_loan_unref(&loan);
    return rc;
}
