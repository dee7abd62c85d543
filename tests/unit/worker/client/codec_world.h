/* What the tests of codecs at the client share: pushes into the world's two tables, and what went
 * out of them, decoded. */
#ifndef CODEC_WORLD_H
#define CODEC_WORLD_H

#include "common/num/codec.h"
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20, DENSE = 1, ROWS = 2 };

static inline int choose(world_t *world, rub_table_t table, int push, int pull, rub_error_t *err)
{
    return rub_client_table_codec(world->client, table, (rub_codec_kind_t)push,
                                  (rub_codec_kind_t)pull, err);
}

static inline int push_dense(world_t *world, const float *values, size_t n, rub_error_t *err)
{
    const rub_client_push_t push = {.table = DENSE, .n = n, .values = values};
    return rub_client_push(world->client, &push, NULL, err);
}

static inline int push_rows(world_t *world, const uint64_t *keys, size_t n, const float *values,
                            rub_error_t *err)
{
    const rub_client_push_t push = {.table = ROWS, .keys = keys, .n = n, .values = values};
    return rub_client_push(world->client, &push, NULL, err);
}

static inline void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)((i * 2654435761u) % 2001) / 1000.0F - 1.0F;
    }
}

/* Decodes the index-th PUSH to that shard; returns how many values it has. */
static inline size_t decode(const world_t *world, uint32_t shard, size_t index, uint32_t row,
                            float *x)
{
    const rub_packet_t *packet = world_find(world, shard, RUB_MSG_PUSH, index);
    assert_non_null(packet);
    const rub_frame_t frame = rub_packet_frame(packet);
    const rub_codec_t *codec = rub_codec_find(rub_codec_of_flags(frame.header.flags));
    const bool range = (frame.header.flags & RUB_FLAG_RANGE) != 0;
    const size_t n = range ? rub_get_u64(frame.keys + 8) : (size_t)frame.header.n_keys * row;
    const size_t each = range ? codec->dense_row : row;
    assert_int_equal(frame.values_bytes, rub_codec_bytes(codec, n, each));
    assert_int_equal(frame.header.value_bytes, frame.values_bytes);
    assert_int_equal(rub_codec_decode(codec, frame.values, n, each, x), 0);
    return n;
}

#endif
