/* A pull call becomes PULL messages: keys routed to shards by a counting sort that remembers where
 * each row belongs in the caller's array, cut so that a reply carries about RUB_MESSAGE_VALUES
 * bytes. All messages are made at once, with the stamp (the clock of use) and, per shard, the mark
 * (the last seq of our stream there): read-my-writes holds for the moment of the call, however late
 * the window lets a part go out. client_request.c sends and answers.
 *
 * A shard of this process is granted the caller's array, part by part (common/wire/grant.h). Each
 * grant is revoked before the pull ends, however it does. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

void rub_pull_free(rub_pull_t *self)
{
    for (uint32_t i = 0; i < self->n_parts; i++) {
        rub_part_t *part = &self->parts[i];
        if (part->grant) {
            (void)rub_grant_revoke(part->grant);
        }
        rub_grant_unref(&part->grant);
        rub_packet_unref(&part->packet);
    }
    rub_free(self->positions);
    rub_free(self->missed);
    rub_free(self->missed_keys);
    rub_free(self->parts);
    rub_free(self->routes);
    rub_free(self);
}

void rub_pull_drop(rub_client_t *self, rub_pull_t *pull)
{
    for (uint32_t i = 0; i < pull->n_routes; i++) {
        rub_request_forget(self, &pull->routes[i]);
    }
    pull->left_parts = 0;
}

static int check_pull(const rub_table_view_t *schema, const rub_client_pull_t *call,
                      rub_error_t *err)
{
    if (call->keys && schema->kind != RUB_HASHED) {
        return rub_fail(err, RUB_ESHAPE, "pull of '%s': it is dense and has ranges, not keys",
                        schema->name);
    }
    if (!call->keys && call->n > 0 && schema->kind != RUB_DENSE) {
        return rub_fail(err, RUB_ESHAPE, "pull of '%s': it is hashed and has keys, not ranges",
                        schema->name);
    }
    if (!call->keys && schema->kind == RUB_DENSE &&
        (call->first > schema->elements || call->n > schema->elements - call->first)) {
        return rub_fail(err, RUB_ESHAPE, "pull of '%s': [%llu, +%zu) is outside its %llu elements",
                        schema->name, (unsigned long long)call->first, call->n,
                        (unsigned long long)schema->elements);
    }
    if (call->keys && call->n >= UINT32_MAX / 2) {
        return rub_fail(err, RUB_ELIMIT, "pull of '%s': %zu keys in one call, at most %u",
                        schema->name, call->n, UINT32_MAX / 2 - 1);
    }
    return 0;
}

static int make_arrays(rub_pull_t *pull, uint64_t n_parts, uint32_t n_routes)
{
    if (n_parts > UINT32_MAX) {
        return RUB_ENOMEM;
    }
    pull->parts = rub_calloc((size_t)n_parts, sizeof(*pull->parts));
    pull->routes = rub_calloc(n_routes, sizeof(*pull->routes));
    return pull->parts && pull->routes ? 0 : RUB_ENOMEM;
}

/* A grant for n rows of that shard; NULL: it takes none, they are few, or memory is short. */
static rub_grant_t *grant_for(const rub_client_t *self, const rub_pull_t *pull, uint32_t shard,
                              uint32_t n)
{
    const uint32_t least = self->config.grant_least_bytes;
    const bool may = self->links[shard].takes_grants && pull->codec->number == RUB_CODEC_F32 &&
                     least > 0 && (size_t)n * pull->width * sizeof(float) >= least;
    return may ? rub_grant_new() : NULL;
}

/* The routed places are known: nothing was sent before. */
static void open_grants(const rub_pull_t *pull)
{
    for (uint32_t i = 0; i < pull->n_parts; i++) {
        const rub_part_t *part = &pull->parts[i];
        const rub_grant_place_t place = {
            .values = pull->positions ? pull->values : pull->values + part->at * pull->width,
            .positions = pull->positions ? pull->positions + part->at : NULL,
            .n_rows = part->n,
            .width = pull->width,
        };
        if (part->grant) {
            rub_grant_open(part->grant, &place);
        }
    }
}

/* Takes the next part of the pull for a route, with its packet of n keys. keys: of a range NULL,
 * and the caller fills in its 16 bytes. NULL: memory is short. */
static uint8_t *add_part(rub_client_t *self, rub_pull_t *pull, rub_route_t *route, size_t at,
                         uint32_t n, const uint64_t *keys)
{
    const rub_lent_t lent = {.grant = grant_for(self, pull, route->shard, n)};
    const rub_header_t header = {
        .type = RUB_MSG_PULL,
        .table = (uint16_t)pull->table,
        .flags = (pull->range ? RUB_FLAG_RANGE : 0) | (lent.grant ? RUB_FLAG_GRANT : 0) |
                 rub_codec_flags(pull->codec->number),
        .clock = pull->stamp,
        .mark = route->mark,
        .n_keys = pull->range ? 1 : n,
        .value_bytes = lent.grant ? RUB_GRANT_BYTES : 0,
    };
    rub_part_t *part = &pull->parts[pull->n_parts++];
    rub_packet_t *packet = keys ? rub_keyed_packet(self, route->shard, &header, keys, lent)
                                : rub_link_packet(self, route->shard, &header, 16, lent);
    *part = (rub_part_t){.packet = packet, .grant = lent.grant, .at = at, .n = n};
    if (!packet) {
        return NULL;
    }
    if (!route->parts) {
        route->parts = part;
    }
    route->n_parts++;
    return rub_packet_keys(packet);
}

static rub_route_t *add_route(const rub_client_t *self, rub_pull_t *pull, uint32_t shard)
{
    rub_route_t *route = &pull->routes[pull->n_routes++];
    route->pull = pull;
    route->shard = shard;
    route->mark = rub_ring_last(&self->links[shard].ring);
    return route;
}

static int cut_range(rub_client_t *self, const rub_client_table_t *table,
                     const rub_client_pull_t *call, rub_pull_t *pull)
{
    const uint64_t message_elements = RUB_MESSAGE_VALUES / sizeof(float);
    const uint64_t end = call->first + call->n;
    /* A shard holds one run of a table, so a range visits each shard at most once: a route per run.
     */
    if (make_arrays(pull, call->n / message_elements + 2 * (uint64_t)self->n_links + 2,
                    self->n_links + 1)) {
        return RUB_ENOMEM;
    }
    uint64_t at = call->first;
    while (at < end) {
        const uint64_t block = at / RUB_BLOCK;
        const uint64_t run_end = rub_placement_run_end(&table->placement, block) * RUB_BLOCK;
        const uint64_t stop = run_end < end ? run_end : end;
        rub_route_t *route =
            add_route(self, pull, rub_placement_shard_of_block(&table->placement, block));
        while (at < stop) {
            /* Cut at multiples of a message, so that whole blocks travel whole. */
            uint64_t cut = (at / message_elements + 1) * message_elements;
            cut = cut < stop ? cut : stop;
            uint8_t *keys =
                add_part(self, pull, route, (size_t)(at - call->first), (uint32_t)(cut - at), NULL);
            if (!keys) {
                return RUB_ENOMEM;
            }
            rub_put_u64(keys, at);
            rub_put_u64(keys + 8, cut - at);
            at = cut;
        }
    }
    return 0;
}

/* Positions of the keys in routed order, shard after shard, stable; counts per shard. */
static int sort_keys(rub_client_t *self, const rub_placement_t *placement,
                     const rub_client_pull_t *call, rub_pull_t *pull, uint32_t *counts)
{
    uint16_t *shards = rub_arena_alloc(&self->scratch, call->n * sizeof(*shards));
    uint32_t *places = rub_arena_calloc(&self->scratch, self->n_links, sizeof(*places));
    pull->positions = rub_alloc(call->n * sizeof(*pull->positions));
    if (!shards || !places || !pull->positions) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < call->n; i++) {
        shards[i] = (uint16_t)rub_placement_shard_of_key(placement, call->keys[i]);
        counts[shards[i]]++;
    }
    for (uint32_t s = 1; s < self->n_links; s++) {
        places[s] = places[s - 1] + counts[s - 1];
    }
    for (size_t i = 0; i < call->n; i++) {
        pull->positions[places[shards[i]]++] = (uint32_t)i;
    }
    return 0;
}

/* The keys in routed order; NULL when memory is short. */
static const uint64_t *routed_keys(rub_client_t *self, const rub_client_pull_t *call,
                                   const rub_pull_t *pull)
{
    if (!pull->positions) {
        return call->keys;
    }
    uint64_t *keys = rub_arena_alloc(&self->scratch, (call->n + 1) * sizeof(*keys));
    for (size_t i = 0; keys && i < call->n; i++) {
        keys[i] = call->keys[pull->positions[i]];
    }
    return keys;
}

static int route_keys(rub_client_t *self, const rub_client_table_t *table,
                      const rub_client_pull_t *call, rub_pull_t *pull)
{
    rub_arena_reset(&self->scratch);
    uint32_t *counts = rub_arena_calloc(&self->scratch, self->n_links, sizeof(*counts));
    if (!counts) {
        return RUB_ENOMEM;
    }
    if (self->n_links == 1) {
        counts[0] = (uint32_t)call->n; /* rows come as they were asked for: no positions */
    } else if (sort_keys(self, &table->placement, call, pull, counts)) {
        return RUB_ENOMEM;
    }
    const uint32_t per_part = rub_message_rows(pull->width);
    const uint64_t *keys = routed_keys(self, call, pull);
    if (!keys || make_arrays(pull, call->n / per_part + self->n_links, self->n_links)) {
        return RUB_ENOMEM;
    }
    size_t at = 0;
    for (uint32_t s = 0; s < self->n_links; s++) {
        rub_route_t *route = counts[s] ? add_route(self, pull, s) : NULL;
        for (uint32_t left = counts[s]; left > 0;) {
            const uint32_t n = left < per_part ? left : per_part;
            if (!add_part(self, pull, route, at, n, keys + at)) {
                return RUB_ENOMEM;
            }
            at += n;
            left -= n;
        }
    }
    return 0;
}

int rub_client_pull(rub_client_t *self, const rub_client_pull_t *call, rub_handle_t *handle_p,
                    rub_error_t *err)
{
    int rc = rub_client_usable(self, err);
    if (rc) {
        return rc;
    }
    const rub_client_table_t *table = rub_client_find_table(self, call->table);
    if (!table) {
        return rub_fail(err, RUB_ENOTABLE, "pull: the job has no table %u", call->table);
    }
    rc = check_pull(table->schema, call, err);
    if (rc) {
        return rc;
    }
    const bool range = table->schema->kind == RUB_DENSE;
    rub_pull_t *pull = rub_calloc(1, sizeof(*pull));
    if (!pull) {
        return rub_fail(err, RUB_ENOMEM, "pull of '%s': memory is short", table->schema->name);
    }
    pull->op.kind = RUB_OP_PULL;
    pull->table = call->table;
    pull->range = range;
    pull->width = range ? 1 : table->schema->width;
    pull->codec = rub_coding_of_pull(self, call->table);
    pull->stamp = self->clock + (RUB_MUTANT(PREFETCH_EARLY) ? 0 : call->ahead);
    pull->values = call->values;
    pull->exists = call->exists;
    pull->issued_ms = self->now_ms;
    rub_client_pull_t rest = *call;
    rc = rub_cache_take(self, pull, &rest);
    if (!rc && rest.n > 0) {
        rc = range ? cut_range(self, table, &rest, pull) : route_keys(self, table, &rest, pull);
    }
    rc = rc ? rc : rub_cache_place(pull, rest.n);
    pull->left_parts = pull->n_parts;
    if (!rc) {
        open_grants(pull);
        rc = rub_operation_add(self, &pull->op, RUB_OP_PULL, handle_p);
    }
    if (rc) {
        rub_pull_free(pull);
        return rub_fail(err, RUB_ENOMEM, "pull of '%s': memory is short", table->schema->name);
    }
    for (uint32_t i = 0; i < pull->n_routes && !rc; i++) {
        rc = rub_request_enqueue(self, &pull->routes[i]);
    }
    if (rc) {
        rub_pull_drop(self, pull);
        rub_operation_remove(self, &pull->op);
        return rub_fail(err, RUB_ENOMEM, "pull: memory is short");
    }
    self->stats.pulls++;
    self->stats.pull_bytes += pull->codec->row_bytes(rest.n * pull->width);
    if (pull->n_parts == 0) {
        rub_operation_end(self, &pull->op, 0, NULL);
    }
    return 0;
}
