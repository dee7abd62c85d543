/* What a shard reads back from its store: {kind, u16 length, bytes} per item, kind 0 the state, 1 a
 * chunk, above that a journal record of type kind - 1, with the next lsn. The checksums of the
 * store have passed such bytes; they must still be read or refused. What was read is written again
 * by a checkpoint, and that loads to the same rows. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "ps/shard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/deaf_shard.h"

enum { ITEMS_LIMIT = 64, STAGED_LIMIT = 4096 };

typedef struct staged {
    void *bytes;
    size_t n_bytes;
} staged_t;

typedef struct world {
    staged_t chunks[STAGED_LIMIT];
    size_t n_chunks;
    staged_t state;
} world_t;

static int on_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                    size_t n_bytes)
{
    world_t *world = context;
    (void)table, (void)chunk, (void)lsn;
    RUB_ASSERT(world->n_chunks < STAGED_LIMIT);
    world->chunks[world->n_chunks++] = (staged_t){bytes, n_bytes};
    return 0;
}

static int on_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                    size_t n_bytes)
{
    world_t *world = context;
    RUB_ASSERT(lsn_needed >= redo_lsn);
    RUB_ASSERT(!world->state.bytes);
    world->state = (staged_t){rub_alloc(n_bytes), n_bytes};
    memcpy(world->state.bytes, state, n_bytes);
    return 0;
}

static rub_shard_t *new_shard(world_t *world)
{
    const rub_shard_config_t config = {.n_shards = 2,
                                       .durability = RUB_DURABILITY_JOURNAL,
                                       .limit_bytes = 16u << 20,
                                       .checkpoint_interval_ms = 1000,
                                       .redo_limit_bytes = 1u << 30};
    rub_shard_effects_t effects = rub_deaf_shard(world);
    effects.stage_chunk = on_chunk;
    effects.stage_state = on_state;
    rub_shard_t *shard = rub_shard_new(&config, &effects);
    RUB_ASSERT(shard);
    return shard;
}

static int load(rub_shard_t *shard, rub_fuzz_input_t *in)
{
    rub_error_t err = {0};
    uint64_t lsn = 0;
    bool has_state = false; /* a store has one; and it is loaded before any record */
    int rc = 0;
    for (int i = 0; i < ITEMS_LIMIT && in->left > 0 && !rc; i++) {
        const uint8_t kind = rub_fuzz_byte(in);
        const size_t wanted = (size_t)rub_fuzz_byte(in) << 8 | rub_fuzz_byte(in);
        const size_t n = wanted < in->left ? wanted : in->left;
        uint8_t *bytes = rub_alloc(n + 1); /* aligned, as the store gives it */
        memcpy(bytes, in->at, n);
        in->at += n;
        in->left -= n;
        if (kind == 0) {
            rc = !has_state && lsn == 0 ? rub_shard_load_state(shard, bytes, n, &lsn, &err) : 0;
            has_state = true;
        } else if (kind == 1) {
            rc = rub_shard_load_chunk(shard, bytes, n, &err);
        } else {
            rc = rub_shard_replay(shard, ++lsn, (rub_record_type_t)(kind - 1), bytes, n, &err);
        }
        rub_free(bytes);
    }
    rc = rc ? rc : rub_shard_open(shard, 1000, 10, &err);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    return rc;
}

/* Through the store and back. */
static void check_checkpoint(world_t *world, rub_shard_t *shard)
{
    int rc = 0;
    rub_shard_drain(shard);
    for (int i = 0; i < 100 && !world->state.bytes && !rc; i++) {
        rub_shard_turn_begin(shard, 20 + (uint64_t)i);
        rc = rub_shard_tick(shard);
        rc = rc ? rc : rub_shard_turn_end(shard);
    }
    if (rc || !world->state.bytes || world->n_chunks == 0) {
        return;
    }
    world_t other = {0};
    rub_shard_t *again = new_shard(&other);
    uint64_t redo = 0;
    RUB_ASSERT(rub_shard_load_state(again, world->state.bytes, world->state.n_bytes, &redo, NULL) ==
               0);
    for (size_t i = 0; i < world->n_chunks; i++) {
        RUB_ASSERT(rub_shard_load_chunk(again, world->chunks[i].bytes, world->chunks[i].n_bytes,
                                        NULL) == 0);
    }
    rub_shard_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world_t world;
    rub_fuzz_input_t in = {data, size};
    rub_shard_t *shard = new_shard(&world);
    if (load(shard, &in) == 0) {
        check_checkpoint(&world, shard);
    }
    rub_shard_destroy(&shard);
    for (size_t i = 0; i < world.n_chunks; i++) {
        rub_free(world.chunks[i].bytes);
    }
    rub_free(world.state.bytes);
    world.n_chunks = 0;
    world.state = (staged_t){0};
    return 0;
}
