/* Everything of a shard that is not in rows, as a checkpoint stores it: one blob, written as of the
 * redo point.
 *
 * What belongs to connections, timers and this process's life is left out on purpose: sessions say
 * HELLO again, pulls are asked again. The counts of gaps are of one incarnation (the scheduler adds
 * them up), so they are not here. */
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

enum {
    STATE_FORMAT = 4,
    STATE_WITHOUT_COUNTS = 3,
    STATE_WITHOUT_EVICTED = 2,
    STATE_WITHOUT_LOST = 1
};

/* The counts of pushes of tables that admit rows by them: rows may be stored younger than the redo
 * point, these may not (ps/push_counts.c). */
static void encode_counts(const rub_shard_t *self, rub_buf_t *out)
{
    for (uint32_t id = 0; id < self->n_tables && !RUB_MUTANT(COUNTS_UNSTORED); id++) {
        uint32_t first = 0, n_parts = 0;
        const uint8_t *bytes = NULL;
        const size_t n =
            self->tables[id] ? rub_ptable_counts(self->tables[id], &first, &n_parts, &bytes) : 0;
        if (n > 0) {
            rub_buf_u32(out, id + 1);
            rub_buf_u32(out, first);
            rub_buf_u32(out, n_parts);
            rub_buf_u64(out, n);
            rub_buf_append(out, bytes, n);
        }
    }
    rub_buf_u32(out, 0);
}

static int load_counts(rub_shard_t *self, rub_reader_t *in, rub_error_t *err)
{
    uint32_t next;
    int rc = 0;
    while (rc == 0 && (next = rub_read_u32(in)) > 0) {
        const uint32_t first = rub_read_u32(in);
        const uint32_t n_parts = rub_read_u32(in);
        const uint64_t n = rub_read_u64(in);
        const uint8_t *bytes = n <= in->left ? rub_read_bytes(in, (size_t)n) : NULL;
        rub_ptable_t *table = rub_shard_table(self, next - 1);
        if (!bytes || !table) {
            return rub_fail(err, RUB_ECORRUPT,
                            "stored state of shard %u: counts of table %u are cut off, or nobody "
                            "knows it",
                            self->config.shard, next - 1);
        }
        rc = rub_ptable_take_counts(table, first, n_parts, bytes, (size_t)n, err);
    }
    return rc;
}

void rub_shard_encode_state(rub_shard_t *self, rub_buf_t *out)
{
    rub_buf_u32(out, STATE_FORMAT);
    rub_buf_u32(out, self->config.shard);
    rub_buf_u32(out, self->config.n_shards);
    rub_buf_u64(out, self->job);
    rub_buf_u64(out, self->incarnation);
    rub_buf_u64(out, self->lsn);
    rub_buf_u64(out, self->change_lsn);
    rub_buf_u64(out, self->pushes);
    rub_buf_u64(out, self->pulls);
    rub_buf_u64(out, self->lost);
    rub_buf_u64(out, self->deleted_rows);
    rub_buf_u64(out, self->has_view ? self->view.bytes : 0);
    if (self->has_view) {
        rub_buf_append(out, self->view.data, self->view.bytes);
    }
    rub_members_encode(&self->members, out);
    rub_periods_encode(self->periods, out);
    encode_counts(self, out);
}

static int load_view(rub_shard_t *self, rub_reader_t *in, rub_error_t *err)
{
    const uint64_t n_bytes = rub_read_u64(in);
    if (n_bytes == 0) {
        return 0;
    }
    const void *encoded = n_bytes <= in->left ? rub_read_bytes(in, (size_t)n_bytes) : NULL;
    if (!encoded) {
        return rub_fail(err, RUB_ECORRUPT, "stored state of shard %u: the view is cut off",
                        self->config.shard);
    }
    rub_control_t message;
    int rc = rub_control_decode(encoded, (size_t)n_bytes, &self->scratch, &message, err);
    if (rc != 0 || message.type != RUB_MSG_VIEW) {
        return rub_fail(err, RUB_ECORRUPT, "stored state of shard %u: the view can not be read",
                        self->config.shard);
    }
    rub_shard_take_job(self, &message.view, encoded, (size_t)n_bytes);
    rub_arena_reset(&self->scratch);
    return self->failure;
}

static int read_owner(rub_reader_t *in, rub_state_owner_t *owner, uint32_t *format_p,
                      rub_error_t *err)
{
    *format_p = rub_read_u32(in);
    owner->shard = rub_read_u32(in);
    owner->n_shards = rub_read_u32(in);
    if (*format_p < STATE_WITHOUT_LOST || *format_p > STATE_FORMAT) {
        return rub_fail(err, RUB_ECORRUPT,
                        "stored state of a shard: format %u, this program reads "
                        "%d",
                        *format_p, STATE_FORMAT);
    }
    owner->job = rub_read_u64(in);
    owner->incarnation = rub_read_u64(in);
    owner->redo_lsn = rub_read_u64(in);
    return in->failed ? rub_fail(err, RUB_ECORRUPT, "stored state of a shard: it is cut off") : 0;
}

int rub_shard_state_owner(const void *state, size_t n_bytes, rub_state_owner_t *owner,
                          rub_error_t *err)
{
    rub_reader_t in;
    uint32_t format = 0;
    rub_reader_init(&in, state, n_bytes);
    return read_owner(&in, owner, &format, err);
}

static int check_owner(const rub_shard_t *self, const rub_state_owner_t *owner, rub_error_t *err)
{
    if (owner->shard != self->config.shard || owner->n_shards != self->config.n_shards) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the store holds shard %u of %u, expected shard %u of %u", owner->shard,
                        owner->n_shards, self->config.shard, self->config.n_shards);
    }
    return 0;
}

int rub_shard_load_state(rub_shard_t *self, const void *state, size_t n_bytes, uint64_t *redo_lsn_p,
                         rub_error_t *err)
{
    rub_reader_t in;
    rub_reader_init(&in, state, n_bytes);
    uint32_t format = 0;
    rub_state_owner_t owner = {0};
    int rc = read_owner(&in, &owner, &format, err);
    rc = rc ? rc : check_owner(self, &owner, err);
    if (rc != 0) {
        return rc;
    }
    self->job = owner.job;
    self->incarnation = owner.incarnation;
    self->lsn = owner.redo_lsn;
    self->change_lsn = rub_read_u64(&in);
    self->pushes = rub_read_u64(&in);
    self->pulls = rub_read_u64(&in);
    self->lost = format > STATE_WITHOUT_LOST ? rub_read_u64(&in) : 0;
    self->deleted_rows = format > STATE_WITHOUT_EVICTED ? rub_read_u64(&in) : 0;
    rc = load_view(self, &in, err);
    if (rc == 0) {
        rc = rub_members_decode(&self->members, &in, err);
    }
    if (rc == 0) {
        rc = rub_periods_decode(self->periods, &in, err);
    }
    if (rc == 0 && format > STATE_WITHOUT_COUNTS) {
        rc = load_counts(self, &in, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (in.failed || in.left != 0) {
        return rub_fail(err, RUB_ECORRUPT,
                        "stored state of shard %u: %zu bytes do not end where they should",
                        self->config.shard, n_bytes);
    }
    for (size_t i = 0; i < self->members.n; i++) {
        rub_shard_recount(self, &self->members.items[i]);
    }
    if (rub_staleness_minimum(self->gate) < self->members.floor) {
        return rub_fail(err, RUB_ECORRUPT,
                        "stored state of shard %u: a rank stands below the minimum",
                        self->config.shard);
    }
    self->redo_lsn = self->lsn;
    self->synced_lsn = self->lsn;
    *redo_lsn_p = self->lsn;
    return self->failure;
}
