/* What a part must hold so that a job can go on from it, and nothing that belongs to the shard that
 * wrote it: no lsns of rows, no seqs, no connections. Chunks carry the lsn of the fold, which
 * whoever restores them replaces by its own.
 *
 * Invariant: everything in a part is as of the cut; the head comes first, so that a reader knows
 * what it is looking at before the first row. */
#include "ps/snapshot_part.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/store/snapshot_file.h"
#include "ps/shard_internal.h"

enum { SECTION_HEAD = 1, SECTION_VIEW = 2, SECTION_CHUNK = 3, SECTION_COUNTS = 4 };
#define COUNTS_HEAD_BYTES 12u
#define RANKS_LIMIT 4096u

/* ---- writing ---- */

static void encode_head(const rub_part_head_t *head, rub_buf_t *out)
{
    rub_buf_u32(out, head->shard);
    rub_buf_u32(out, head->n_shards);
    rub_buf_u64(out, head->job);
    rub_buf_u64(out, head->pin_lsn);
    rub_buf_u64(out, head->to_lsn);
    rub_buf_u64(out, head->rows);
    rub_buf_u64(out, head->digest);
    rub_buf_u32(out, head->n_ranks);
    for (uint32_t i = 0; i < head->n_ranks; i++) {
        const rub_part_rank_t *rank = &head->ranks[i];
        rub_buf_u32(out, rank->rank);
        rub_buf_u32(out, rank->epoch);
        rub_buf_u64(out, rank->cut);
        rub_buf_u64(out, rank->done);
        rub_buf_u32(out, rank->cursor_bytes);
        rub_buf_append(out, rank->cursor, rank->cursor_bytes);
    }
}

static int put_table(rub_snapshot_writer_t *writer, rub_ptable_t *table, uint64_t lsn,
                     const atomic_bool *cancel, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t chunk = 0; rc == 0 && rub_ptable_next_chunk(table, &chunk); chunk++) {
        void *bytes = NULL;
        size_t n_bytes = 0;
        if (cancel && atomic_load(cancel)) {
            return rub_fail(err, RUB_ECANCELLED, "the snapshot was given up");
        }
        rc = rub_ptable_stage(table, chunk, lsn, &bytes, &n_bytes, err);
        rc = rc ? rc : rub_snapshot_writer_put(writer, SECTION_CHUNK, bytes, n_bytes, err);
        rub_free(bytes);
    }
    return rc;
}

/* What the table counts of keys without rows: before its rows (at most 32 MiB, half of what a
 * section may be). */
static int put_counts(rub_snapshot_writer_t *writer, const rub_ptable_t *table, rub_error_t *err)
{
    uint32_t first = 0, n_parts = 0;
    const uint8_t *cells = NULL;
    const size_t n = rub_ptable_counts(table, &first, &n_parts, &cells);
    if (n == 0) {
        return 0;
    }
    rub_buf_t out;
    rub_buf_init(&out);
    rub_buf_u32(&out, rub_ptable_schema(table)->id);
    rub_buf_u32(&out, first);
    rub_buf_u32(&out, n_parts);
    rub_buf_append(&out, cells, n);
    int rc = out.failed ? rub_fail(err, RUB_ENOMEM, "no memory for the counts of a table") : 0;
    rc = rc ? rc : rub_snapshot_writer_put(writer, SECTION_COUNTS, out.data, out.bytes, err);
    rub_buf_fini(&out);
    return rc;
}

int rub_part_write(const char *path, rub_shard_t *core, rub_part_head_t *head,
                   const atomic_bool *cancel, uint64_t *n_bytes_p, uint64_t *hash_p,
                   rub_error_t *err)
{
    rub_snapshot_writer_t *writer = NULL;
    rub_buf_t encoded;
    rub_buf_init(&encoded);
    head->rows = 0;
    head->digest = rub_shard_digest(core);
    for (uint32_t id = 0; id < core->n_tables; id++) {
        head->rows += core->tables[id] ? rub_ptable_rows(core->tables[id]) : 0;
    }
    encode_head(head, &encoded);
    int rc = encoded.failed ? rub_fail(err, RUB_ENOMEM, "no memory to write %s", path) : 0;
    rc = rc ? rc : rub_snapshot_writer_open(path, RUB_SNAPSHOT_PART, &writer, err);
    rc = rc ? rc : rub_snapshot_writer_put(writer, SECTION_HEAD, encoded.data, encoded.bytes, err);
    rc = rc ? rc
            : rub_snapshot_writer_put(writer, SECTION_VIEW, core->view.data, core->view.bytes, err);
    const uint64_t lsn = core->lsn > 0 ? core->lsn + 1 : 1;
    for (uint32_t id = 0; id < core->n_tables && rc == 0; id++) {
        rc = core->tables[id] ? put_counts(writer, core->tables[id], err) : 0;
        rc = rc || !core->tables[id] ? rc : put_table(writer, core->tables[id], lsn, cancel, err);
    }
    rc = rc ? rc : rub_snapshot_writer_finish(writer, n_bytes_p, hash_p, err);
    rub_snapshot_writer_close(&writer);
    rub_buf_fini(&encoded);
    return rc;
}

/* ---- reading ---- */

typedef struct reading {
    const char *path;
    const rub_part_visitor_t *visitor;
    bool has_head, has_view;
    rub_arena_t arena;
} reading_t;

static int makes_no_sense(const reading_t *self, const char *what, rub_error_t *err)
{
    return rub_fail(err, RUB_ECORRUPT, "%s: %s makes no sense", self->path, what);
}

static void read_rank(rub_reader_t *in, rub_part_rank_t *rank)
{
    rank->rank = rub_read_u32(in);
    rank->epoch = rub_read_u32(in);
    rank->cut = rub_read_u64(in);
    rank->done = rub_read_u64(in);
    rank->cursor_bytes = rub_read_u32(in);
    if (rank->cursor_bytes > RUB_CURSOR_LIMIT) {
        in->failed = true;
        rank->cursor_bytes = 0;
    }
    const void *cursor = rub_read_bytes(in, rank->cursor_bytes);
    if (cursor) {
        memcpy(rank->cursor, cursor, rank->cursor_bytes);
    }
}

static int read_head(reading_t *self, const uint8_t *payload, size_t n_bytes, rub_error_t *err)
{
    rub_part_head_t head = {0};
    rub_reader_t in;
    rub_reader_init(&in, payload, n_bytes);
    head.shard = rub_read_u32(&in);
    head.n_shards = rub_read_u32(&in);
    head.job = rub_read_u64(&in);
    head.pin_lsn = rub_read_u64(&in);
    head.to_lsn = rub_read_u64(&in);
    head.rows = rub_read_u64(&in);
    head.digest = rub_read_u64(&in);
    head.n_ranks = rub_read_u32(&in);
    if (in.failed || head.n_ranks > RANKS_LIMIT || head.shard >= head.n_shards) {
        return makes_no_sense(self, "its head", err);
    }
    head.ranks = rub_calloc(head.n_ranks + 1, sizeof(*head.ranks));
    if (!head.ranks) {
        return rub_fail(err, RUB_ENOMEM, "no memory to read %s", self->path);
    }
    for (uint32_t i = 0; i < head.n_ranks; i++) {
        read_rank(&in, &head.ranks[i]);
    }
    int rc = in.failed || in.left ? makes_no_sense(self, "its list of ranks", err) : 0;
    if (rc == 0 && self->visitor->head) {
        rc = self->visitor->head(self->visitor->context, &head, err);
    }
    rub_free(head.ranks);
    self->has_head = true;
    return rc;
}

static int read_view(reading_t *self, const uint8_t *payload, size_t n_bytes, rub_error_t *err)
{
    rub_control_t message;
    if (rub_control_decode(payload, n_bytes, &self->arena, &message, NULL) != 0 ||
        message.type != RUB_MSG_VIEW) {
        return makes_no_sense(self, "its view", err);
    }
    self->has_view = true;
    return self->visitor->view ? self->visitor->view(self->visitor->context, &message.view, err)
                               : 0;
}

static int read_counts(reading_t *self, const uint8_t *payload, size_t n_bytes, rub_error_t *err)
{
    if (n_bytes < COUNTS_HEAD_BYTES) {
        return makes_no_sense(self, "its counts", err);
    }
    const rub_part_counts_t counts = {.table = rub_get_u32(payload),
                                      .first_part = rub_get_u32(payload + 4),
                                      .n_parts = rub_get_u32(payload + 8),
                                      .bytes = payload + COUNTS_HEAD_BYTES,
                                      .n_bytes = n_bytes - COUNTS_HEAD_BYTES};
    return self->visitor->counts ? self->visitor->counts(self->visitor->context, &counts, err) : 0;
}

static int read_section(void *context, uint32_t section, const uint8_t *payload, size_t n_bytes,
                        rub_error_t *err)
{
    reading_t *self = context;
    if (section == SECTION_HEAD && !self->has_head) {
        return read_head(self, payload, n_bytes, err);
    }
    if (section == SECTION_VIEW && self->has_head && !self->has_view) {
        return read_view(self, payload, n_bytes, err);
    }
    if (section == SECTION_COUNTS && self->has_view) {
        return read_counts(self, payload, n_bytes, err);
    }
    if (section != SECTION_CHUNK || !self->has_view) {
        return makes_no_sense(self, "one of its sections", err);
    }
    return self->visitor->chunk
               ? self->visitor->chunk(self->visitor->context, payload, n_bytes, err)
               : 0;
}

int rub_part_read(const char *path, const rub_part_visitor_t *visitor, uint64_t *n_bytes_p,
                  uint64_t *hash_p, rub_error_t *err)
{
    reading_t self = {.path = path, .visitor = visitor};
    rub_arena_init(&self.arena);
    int rc = rub_snapshot_file_read(path, RUB_SNAPSHOT_PART, read_section, &self, n_bytes_p, hash_p,
                                    err);
    if (rc == 0 && !self.has_view) {
        rc = rub_fail(err, RUB_ECORRUPT, "%s: its head or its view is missing", path);
    }
    rub_arena_fini(&self.arena);
    return rc;
}
