/* Values on their way out of, and into, a session whose table has a codec.
 *
 * Packets are made plain first (client_push.c): routed, duplicates summed, every value checked.
 * Here each is encoded into a smaller one, its keys packed when they ascend. Nothing of the session
 * changes until the whole call has succeeded: what error feedback keeps stands in the plain packets
 * until rub_coding_commit, so that a refused call leaves no trace.
 *
 * A codec row's bytes are a function of its values, of what was kept of it and of (seed, table,
 * rank, clock, push of the clock, row) for its draws: equal on any number of shards, so bsp
 * repeats. */
#include "common/base/alloc.h"
#include "common/num/kernels.h"
#include "common/wire/key_pack.h"
#include "worker/client/client_internal.h"

#include <string.h>

static rub_coding_t *find(const rub_client_t *self, rub_table_t table)
{
    for (size_t i = 0; i < self->n_codings; i++) {
        if (self->codings[i].table == table) {
            return &self->codings[i];
        }
    }
    return NULL;
}

rub_coding_t *rub_coding_of_push(const rub_client_t *self, rub_table_t table)
{
    rub_coding_t *coding = find(self, table);
    return coding && coding->push->number != RUB_CODEC_F32 && !self->plain ? coding : NULL;
}

const rub_codec_t *rub_coding_of_pull(const rub_client_t *self, rub_table_t table)
{
    const rub_coding_t *coding = find(self, table);
    return coding ? coding->pull : rub_codec_find(RUB_CODEC_F32);
}

static uint32_t row_of(const rub_table_view_t *schema, const rub_codec_t *codec)
{
    return schema->kind == RUB_DENSE ? codec->dense_row : schema->width;
}

static void fini(rub_coding_t *coding)
{
    rub_residuals_destroy(&coding->kept);
    rub_free(coding->sent);
    coding->sent = NULL;
}

void rub_codings_fini(rub_client_t *self)
{
    for (size_t i = 0; i < self->n_codings; i++) {
        fini(&self->codings[i]);
    }
    rub_free(self->codings);
}

int rub_client_table_codec(rub_client_t *self, rub_table_t table, rub_codec_kind_t push,
                           rub_codec_kind_t pull, rub_error_t *err)
{
    const rub_client_table_t *known = rub_client_find_table(self, table);
    if (!known) {
        return rub_fail(err, RUB_ENOTABLE, "codec: the job has no table %u", table);
    }
    const char *name = known->schema->name;
    rub_coding_t wanted = {.table = table,
                           .push = rub_codec_find((uint32_t)push),
                           .pull = rub_codec_find((uint32_t)pull)};
    if (!wanted.push || !wanted.pull) {
        return rub_fail(err, RUB_ECODEC, "codec of '%s': number %d is unknown", name,
                        wanted.push ? (int)pull : (int)push);
    }
    if (!wanted.pull->for_pulls) {
        return rub_fail(err, RUB_ECODEC, "codec of '%s': %s is for pushes, not for pulls", name,
                        wanted.pull->name);
    }
    rub_coding_t *coding = find(self, table);
    if (coding && coding->push == wanted.push) {
        coding->pull = wanted.pull;
        return 0;
    }
    if (coding && coding->dirty) {
        return rub_fail(err, RUB_EBUSY,
                        "codec of '%s': %s has kept what is not pushed yet (rub_push_kept)", name,
                        coding->push->name);
    }
    if (!coding &&
        rub_grow(&self->codings, &self->coding_capacity, self->n_codings + 1, sizeof(wanted))) {
        return rub_fail(err, RUB_ENOMEM, "codec of '%s': memory is short", name);
    }
    if (wanted.push->feedback) {
        const uint32_t row = row_of(known->schema, wanted.push);
        wanted.kept = rub_residuals_new(row, self->config.residual_limit_bytes);
        wanted.sent = rub_alloc(row * sizeof(*wanted.sent));
        if (!wanted.kept || !wanted.sent) {
            fini(&wanted);
            return rub_fail(err, RUB_ENOMEM, "codec of '%s': memory is short", name);
        }
    }
    if (coding) {
        wanted.clock = coding->clock; /* no draw comes twice, however often the codec changes */
        wanted.n_pushes = coding->n_pushes;
        fini(coding);
        *coding = wanted;
    } else {
        self->codings[self->n_codings++] = wanted;
    }
    self->feedback = self->feedback || wanted.push->feedback;
    rub_kept_tell(self);
    return 0;
}

/* ---- pushes ---- */

/* Codec rows of a plain packet: where each stands and under which key it is known. */
typedef struct rub_codec_rows {
    float *values;
    size_t n_values;
    uint32_t row;
    const uint8_t *keys;
    uint64_t first; /* of a range: the number of its first codec row */
    bool range;
} rub_codec_rows_t;

static rub_codec_rows_t rows_of(rub_packet_t *packet, const rub_table_view_t *schema,
                                const rub_codec_t *codec)
{
    const rub_header_t *header = rub_packet_header(packet);
    rub_codec_rows_t rows = {.values = (float *)(void *)rub_packet_values(packet),
                             .n_values = header->value_bytes / sizeof(float),
                             .row = row_of(schema, codec),
                             .keys = rub_packet_keys(packet),
                             .range = (header->flags & RUB_FLAG_RANGE) != 0};
    rows.first = rows.range ? rub_get_u64(rows.keys) / rows.row : 0;
    return rows;
}

static uint64_t key_of(const rub_codec_rows_t *rows, size_t i)
{
    return rows->range ? rows->first + i : rub_get_u64(rows->keys + 8 * i);
}

static size_t length_of(const rub_codec_rows_t *rows, size_t i)
{
    const size_t left = rows->n_values - i * rows->row;
    return left < rows->row ? left : rows->row;
}

static size_t count_of(const rub_codec_rows_t *rows)
{
    return (rows->n_values + rows->row - 1) / rows->row;
}

static void add_kept(const rub_coding_t *coding, const rub_codec_rows_t *rows)
{
    for (size_t i = 0; i < count_of(rows); i++) {
        const float *kept = rub_residuals_find(coding->kept, key_of(rows, i));
        if (kept) {
            rub_add_into(rows->values + i * rows->row, kept, length_of(rows, i));
        }
    }
}

static void encode_rows(const rub_client_t *self, const rub_coding_t *coding, uint64_t salt,
                        const rub_codec_rows_t *rows, uint8_t *out)
{
    const rub_codec_t *codec = coding->push;
    if (!codec->by_row) {
        codec->encode(rows->values, rows->n_values, 0, 0, out);
        return;
    }
    uint64_t stream = rub_codec_stream(salt, self->rank);
    stream = rub_codec_stream(stream, self->clock);
    stream = rub_codec_stream(stream, coding->clock == self->clock ? coding->n_pushes : 0);
    for (size_t i = 0; i < count_of(rows); i++) {
        float *x = rows->values + i * rows->row;
        const size_t n = length_of(rows, i);
        if (codec->feedback) {
            rub_codec_encode_rest(codec, x, n, out, coding->sent);
        } else {
            codec->encode(x, n, self->view->seed, rub_codec_stream(stream, key_of(rows, i)), out);
        }
        out += codec->row_bytes(n);
    }
}

int rub_coding_encode(rub_client_t *self, const rub_coding_t *coding,
                      const rub_client_table_t *table, rub_outgoing_t *outgoing, rub_error_t *err)
{
    const rub_codec_t *codec = coding->push;
    const rub_codec_rows_t rows = rows_of(outgoing->packet, table->schema, codec);
    if (codec->feedback) {
        add_kept(coding, &rows);
        if (!rub_all_finite(rows.values, rows.n_values)) {
            return rub_fail(err, RUB_ENAN,
                            "push to '%s': a value, with what %s kept of it, is not finite",
                            table->schema->name, codec->name);
        }
    }
    const rub_frame_t plain = rub_packet_frame(outgoing->packet);
    rub_header_t header = plain.header;
    header.flags |= rub_codec_flags(codec->number);
    header.value_bytes = (uint32_t)rub_codec_bytes(codec, rows.n_values, rows.row);
    header.mark = rows.range ? 0 : rub_keys_packed_bytes(plain.keys, header.n_keys);
    header.flags |= header.mark ? RUB_FLAG_PACKED : 0;
    const size_t keys_bytes = header.mark ? (size_t)header.mark : plain.keys_bytes;
    rub_packet_t *packet =
        rub_link_packet(self, outgoing->shard, &header, keys_bytes, (rub_lent_t){0});
    if (!packet) {
        return rub_fail(err, RUB_ENOMEM, "push to '%s': memory is short", table->schema->name);
    }
    if (header.mark) {
        rub_keys_pack(plain.keys, header.n_keys, rub_packet_keys(packet));
    } else {
        memcpy(rub_packet_keys(packet), plain.keys, keys_bytes);
    }
    encode_rows(self, coding, table->placement.salt, &rows, rub_packet_values(packet));
    if (codec->feedback) {
        outgoing->plain = outgoing->packet;
    } else {
        rub_packet_unref(&outgoing->packet);
    }
    outgoing->packet = packet;
    return 0;
}

int rub_coding_reserve(const rub_client_t *self, const rub_coding_t *coding,
                       const rub_table_view_t *schema, rub_error_t *err)
{
    if (!coding->push->feedback) {
        return 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < self->n_outgoing; i++) {
        const rub_codec_rows_t rows = rows_of(self->outgoing[i].plain, schema, coding->push);
        for (size_t k = 0; k < count_of(&rows); k++) {
            n += rub_residuals_find(coding->kept, key_of(&rows, k)) == NULL;
        }
    }
    const int rc = rub_residuals_reserve(coding->kept, n);
    if (rc == RUB_ELIMIT) {
        return rub_fail(err, rc,
                        "push to '%s': what %s keeps of %zu further rows would be above "
                        "residual_limit_bytes, %zu",
                        schema->name, coding->push->name, n, self->config.residual_limit_bytes);
    }
    return rc ? rub_fail(err, rc, "push to '%s': memory is short", schema->name) : 0;
}

void rub_coding_commit(const rub_client_t *self, rub_coding_t *coding,
                       const rub_table_view_t *schema)
{
    coding->n_pushes = coding->clock == self->clock ? coding->n_pushes + 1 : 1;
    coding->clock = self->clock;
    coding->dirty = coding->push->feedback;
    coding->next = 0;
    for (size_t i = 0; coding->push->feedback && i < self->n_outgoing; i++) {
        const rub_codec_rows_t rows = rows_of(self->outgoing[i].plain, schema, coding->push);
        for (size_t k = 0; k < count_of(&rows); k++) {
            memcpy(rub_residuals_put(coding->kept, key_of(&rows, k)), rows.values + k * rows.row,
                   length_of(&rows, k) * sizeof(float));
        }
    }
}
