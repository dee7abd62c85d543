/* The journal is the truth, and the rows are what follows from it: this is where that is put to the
 * test. The core steps from the very beginning (or from the rows of the snapshot that the run went
 * on from) through every record there ever was, and must come to the bits that are stored, slots
 * and step counters included, though the store was written in pieces, over many checkpoints, and
 * perhaps by several processes that were killed.
 *
 * Rows are compared by key, not by place: which chunk a row stands in depends on when it was
 * loaded. */
#include "ps/shard_replay.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/store/journal_read.h"
#include "ps/chunk.h"
#include "ps/open_store.h"
#include "ps/shard_internal.h"

#include <stdlib.h>

typedef struct replaying {
    rub_shard_t *core;
    const rub_fold_cut_t *cut;
    uint64_t n_records;
} replaying_t;

static int load_chunk(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                      size_t n_bytes, rub_error_t *err)
{
    replaying_t *self = context;
    const int rc = rub_shard_load_chunk(self->core, bytes, n_bytes, err);
    return rc ? rub_wrap(err, rc, "chunk %u of table %u", chunk, table) : 0;
}

static int step(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                rub_error_t *err)
{
    replaying_t *self = context;
    self->n_records++;
    return self->cut
               ? rub_fold_step(self->core, self->cut, lsn, (rub_record_type_t)type, payload, bytes,
                               err)
               : rub_shard_replay(self->core, lsn, (rub_record_type_t)type, payload, bytes, err);
}

static rub_shard_t *new_core(uint32_t shard, uint32_t n_shards)
{
    const rub_shard_config_t config = {
        .shard = shard, .n_shards = n_shards, .durability = RUB_DURABILITY_JOURNAL};
    return rub_shard_new(&config, &(rub_shard_effects_t){0});
}

static int read_journal(const char *folder, replaying_t *replaying, uint64_t from_lsn,
                        uint64_t to_lsn, rub_error_t *err)
{
    char *journal = rub_sprintf("%s/journal", folder);
    if (!journal) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", folder);
    }
    const int rc = rub_journal_read(journal, from_lsn, to_lsn, step, replaying, NULL, err);
    rub_free(journal);
    return rc;
}

/* *opened_p: by a shard; a store that a restore has made has no journal before that. */
static int load_store(rub_store_t *store, replaying_t *replaying, uint64_t *redo_p, bool *opened_p,
                      rub_error_t *err)
{
    void *state = NULL;
    size_t n_bytes = 0;
    *redo_p = 0;
    int rc = rub_store_get_state(store, RUB_STATE_INCARNATION, &state, &n_bytes, err);
    *opened_p = state != NULL;
    rub_free(state);
    state = NULL;
    rc = rc ? rc : rub_store_get_state(store, RUB_STATE_CORE, &state, &n_bytes, err);
    if (rc == 0 && state) {
        rc = rub_shard_load_state(replaying->core, state, n_bytes, redo_p, err);
    }
    rub_free(state);
    return rc ? rc : rub_store_each_chunk(store, load_chunk, replaying, err);
}

int rub_replay_stored(const char *folder, uint32_t shard, uint32_t n_shards, rub_shard_t **core_p,
                      rub_error_t *err)
{
    replaying_t replaying = {.core = new_core(shard, n_shards)};
    rub_store_t *store = NULL;
    uint64_t redo = 0;
    bool opened = false;
    *core_p = NULL;
    int rc = replaying.core ? 0 : rub_fail(err, RUB_ENOMEM, "shard %u: no memory", shard);
    rc = rc ? rc : rub_store_open(folder, &store, err);
    rc = rc ? rc : load_store(store, &replaying, &redo, &opened, err);
    rub_store_close(&store);
    if (rc == 0 && opened) {
        rc = read_journal(folder, &replaying, redo + 1, UINT64_MAX, err);
    }
    if (rc != 0) {
        rub_shard_destroy(&replaying.core);
        return rub_wrap(err, rc, "what is stored of shard %u", shard);
    }
    *core_p = replaying.core;
    return 0;
}

int rub_replay_whose(const char *folder, uint32_t *shard_p, uint32_t *n_shards_p, rub_error_t *err)
{
    rub_store_t *store = NULL;
    void *state = NULL;
    size_t n_bytes = 0;
    rub_reader_t in;
    int rc = rub_store_open(folder, &store, err);
    rc = rc ? rc : rub_store_get_state(store, RUB_STATE_CORE, &state, &n_bytes, err);
    rub_store_close(&store);
    if (rc == 0) {
        rub_reader_init(&in, state, n_bytes);
        (void)rub_read_u32(&in); /* format: judged when all of it is loaded */
        *shard_p = rub_read_u32(&in);
        *n_shards_p = rub_read_u32(&in);
        rc = in.failed ? rub_fail(err, RUB_ECORRUPT, "%s holds no state of a shard", folder) : 0;
    }
    rub_free(state);
    return rc;
}

int rub_replay_journal(const char *folder, rub_shard_t *core, const rub_fold_cut_t *cut,
                       uint64_t to_lsn, uint64_t *n_records_p, rub_error_t *err)
{
    replaying_t replaying = {.core = core, .cut = cut};
    int rc = read_journal(folder, &replaying, 1, to_lsn, err);
    if (rc == 0 && cut) {
        rc = rub_fold_finish(core, cut, err);
    }
    *n_records_p = replaying.n_records;
    return rc ? rub_wrap(err, rc, "replay of shard %u", core->config.shard) : 0;
}

/* ---- comparing ---- */

typedef struct row {
    uint64_t id; /* key, or block */
    const uint8_t *bytes;
    uint32_t n_bytes;
} row_t;

typedef struct row_list {
    row_t *rows;
    size_t n, capacity;
    void **chunks; /* that the rows point into */
    size_t n_chunks, chunks_capacity;
} row_list_t;

static void list_fini(row_list_t *list)
{
    for (size_t i = 0; i < list->n_chunks; i++) {
        rub_free(list->chunks[i]);
    }
    rub_free(list->chunks);
    rub_free(list->rows);
}

static int add_rows(row_list_t *list, const rub_ptable_t *table, const uint8_t *bytes,
                    size_t n_bytes)
{
    const bool dense = rub_ptable_schema(table)->kind == RUB_DENSE;
    rub_chunk_header_t header;
    if (rub_chunk_header_read(bytes, n_bytes, &header, NULL) != 0 ||
        rub_grow(&list->rows, &list->capacity, list->n + header.n_rows, sizeof(row_t)) != 0) {
        return RUB_ENOMEM;
    }
    for (uint32_t i = 0; i < header.n_rows; i++) {
        const uint8_t *at = bytes + RUB_CHUNK_HEADER_BYTES + (size_t)i * header.row_bytes;
        list->rows[list->n++] = (row_t){
            .id = dense ? header.chunk : rub_get_u64(at), .bytes = at, .n_bytes = header.row_bytes};
    }
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const uint64_t x = ((const row_t *)a)->id, y = ((const row_t *)b)->id;
    return x < y ? -1 : x > y;
}

static int list_rows(const rub_shard_t *core, rub_ptable_t *table, row_list_t *list)
{
    int rc = 0;
    for (uint32_t chunk = 0; rc == 0 && table && rub_ptable_next_chunk(table, &chunk); chunk++) {
        void *bytes = NULL;
        size_t n_bytes = 0;
        rc = rub_grow(&list->chunks, &list->chunks_capacity, list->n_chunks + 1, sizeof(void *));
        rc =
            rc ? RUB_ENOMEM : rub_ptable_stage(table, chunk, core->lsn + 1, &bytes, &n_bytes, NULL);
        if (rc == 0) {
            list->chunks[list->n_chunks++] = bytes;
            rc = add_rows(list, table, bytes, n_bytes);
        }
    }
    if (rc == 0 && list->n > 1) {
        qsort(list->rows, list->n, sizeof(row_t), by_id);
    }
    return rc;
}

static const char *id_word(const rub_table_view_t *schema)
{
    return schema->kind == RUB_DENSE ? "block" : "key";
}

/* Appends to sentence, or leaves it empty when the lists are equal. */
static void compare_lists(const rub_table_view_t *schema, const row_list_t *a, const row_list_t *b,
                          rub_buf_t *sentence)
{
    for (size_t i = 0; i < a->n || i < b->n; i++) {
        const bool only_a = i < a->n && (i >= b->n || a->rows[i].id < b->rows[i].id);
        const bool only_b = i < b->n && (i >= a->n || b->rows[i].id < a->rows[i].id);
        if (only_a || only_b) {
            rub_buf_printf(sentence, "table '%s': %s %llu is only in what was %s", schema->name,
                           id_word(schema),
                           (unsigned long long)(only_a ? a->rows[i].id : b->rows[i].id),
                           only_a ? "replayed" : "stored");
            return;
        }
        if (a->rows[i].n_bytes != b->rows[i].n_bytes ||
            memcmp(a->rows[i].bytes, b->rows[i].bytes, a->rows[i].n_bytes) != 0) {
            uint32_t at = 0;
            while (at < a->rows[i].n_bytes && at < b->rows[i].n_bytes &&
                   a->rows[i].bytes[at] == b->rows[i].bytes[at]) {
                at++;
            }
            rub_buf_printf(sentence, "table '%s': %s %llu differs from byte %u of its %u on",
                           schema->name, id_word(schema), (unsigned long long)a->rows[i].id, at,
                           a->rows[i].n_bytes);
            return;
        }
    }
}

int rub_replay_compare(const rub_shard_t *replayed, const rub_shard_t *stored, bool *differs_p,
                       rub_buf_t *sentence, rub_error_t *err)
{
    const uint32_t n =
        replayed->n_tables > stored->n_tables ? replayed->n_tables : stored->n_tables;
    int rc = 0;
    const size_t begun = sentence->bytes;
    for (uint32_t id = 0; id < n && rc == 0 && sentence->bytes == begun; id++) {
        rub_ptable_t *table_a = rub_shard_table(replayed, id);
        rub_ptable_t *table_b = rub_shard_table(stored, id);
        row_list_t a = {0}, b = {0};
        rc = list_rows(replayed, table_a, &a);
        rc = rc ? rc : list_rows(stored, table_b, &b);
        if (rc == 0 && (table_a || table_b)) {
            compare_lists(rub_ptable_schema(table_a ? table_a : table_b), &a, &b, sentence);
        }
        list_fini(&a);
        list_fini(&b);
    }
    *differs_p = sentence->bytes != begun;
    return rc || sentence->failed
               ? rub_fail(err, RUB_ENOMEM, "shard %u: no memory to compare its rows",
                          replayed->config.shard)
               : 0;
}
