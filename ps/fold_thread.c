/* The fold's work on files, for the thread that a shard starts for a snapshot: image in, journal
 * in, part out. It shares nothing with the shard but what does not change any more: pages of a read
 * transaction, and journal records up to to_lsn.
 *
 * A rank that leaves, or is replaced, behind its cut takes its place in the core with it (a VIEW
 * record); so where it stood is noted before each VIEW, and again at the end. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/store/journal_read.h"
#include "ps/shard_internal.h"
#include "ps/snapshot_part.h"

typedef struct folding {
    const rub_fold_request_t *request;
    rub_shard_t *core;
    rub_part_head_t head;
} folding_t;

static int given_up(const folding_t *self, rub_error_t *err)
{
    const atomic_bool *cancel = self->request->cancel;
    return cancel && atomic_load(cancel)
               ? rub_fail(err, RUB_ECANCELLED, "the snapshot was given up")
               : 0;
}

/* Rows that the shard had room for have room here too, give or take chunks that are not full. What
 * needs more is a mistake, and shall not take the host's memory. */
static int check_memory(const folding_t *self, rub_error_t *err)
{
    const size_t limit = self->request->limit_bytes;
    const rub_shard_t *core = self->core;
    if (limit == 0 || rub_shard_memory_left(core) > core->early_chunks.bytes) {
        return 0;
    }
    return rub_fail(err, RUB_ELIMIT,
                    "the fold's tables take %zu bytes and what is open beside them, at most %zu "
                    "are given to it",
                    core->tables_bytes + core->early_chunks.bytes, limit);
}

static int load_chunk(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                      size_t n_bytes, rub_error_t *err)
{
    folding_t *self = context;
    int rc = given_up(self, err);
    if (rc == 0) {
        rc = rub_shard_load_chunk(self->core, bytes, n_bytes, err);
        rc = rc ? rub_wrap(err, rc, "chunk %u of table %u", chunk, table) : 0;
    }
    return rc ? rc : check_memory(self, err);
}

static void note_places(folding_t *self)
{
    for (uint32_t i = 0; i < self->head.n_ranks; i++) {
        rub_part_rank_t *place = &self->head.ranks[i];
        const rub_member_t *member = rub_members_find(&self->core->members, place->rank);
        if (member && member->epoch == place->epoch) {
            place->done = member->done;
            place->cursor_bytes = member->cursor_bytes;
            memcpy(place->cursor, member->cursor, sizeof(place->cursor));
        }
    }
}

static int step(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                rub_error_t *err)
{
    folding_t *self = context;
    int rc = given_up(self, err);
    if (rc == 0 && type == RUB_RECORD_VIEW) {
        note_places(self);
    }
    rc = rc ? rc
            : rub_fold_step(self->core, &self->request->cut, lsn, (rub_record_type_t)type, payload,
                            bytes, err);
    return rc ? rc : check_memory(self, err);
}

static int load_state(folding_t *self, uint64_t *redo_p, rub_error_t *err)
{
    const rub_fold_image_t *image = &self->request->image;
    void *state = NULL;
    size_t n_bytes = 0;
    *redo_p = 0;
    int rc = image->state(image->context, &state, &n_bytes, err);
    if (rc == 0 && state) {
        rc = rub_shard_load_state(self->core, state, n_bytes, redo_p, err);
    }
    rub_free(state);
    return rc;
}

static int open_core(folding_t *self, rub_error_t *err)
{
    const rub_fold_request_t *request = self->request;
    const rub_shard_config_t config = {.shard = request->shard,
                                       .n_shards = request->n_shards,
                                       .durability = RUB_DURABILITY_JOURNAL,
                                       .limit_bytes = request->limit_bytes};
    self->core = rub_shard_new(&config, &(rub_shard_effects_t){0});
    self->head = (rub_part_head_t){.shard = request->shard,
                                   .n_shards = request->n_shards,
                                   .pin_lsn = request->cut.pin_lsn,
                                   .to_lsn = request->to_lsn,
                                   .n_ranks = (uint32_t)request->cut.n_ranks};
    self->head.ranks = rub_calloc(request->cut.n_ranks + 1, sizeof(*self->head.ranks));
    if (!self->core || !self->head.ranks) {
        return rub_fail(err, RUB_ENOMEM, "shard %u: no memory to fold", request->shard);
    }
    for (uint32_t i = 0; i < self->head.n_ranks; i++) {
        self->head.ranks[i].rank = request->cut.ranks[i].rank;
        self->head.ranks[i].epoch = request->cut.ranks[i].epoch;
        self->head.ranks[i].cut = request->cut.ranks[i].cut;
    }
    return 0;
}

int rub_fold_write(const rub_fold_request_t *request, rub_fold_result_t *result, rub_error_t *err)
{
    folding_t self = {.request = request};
    uint64_t redo = 0;
    *result = (rub_fold_result_t){0};
    int rc = open_core(&self, err);
    rc = rc ? rc : load_state(&self, &redo, err);
    rc = rc ? rc : request->image.each_chunk(request->image.context, load_chunk, &self, err);
    rc = rc ? rc
            : rub_journal_read(request->journal_dir, redo + 1, request->to_lsn, step, &self, NULL,
                               err);
    rc = rc ? rc : rub_fold_finish(self.core, &request->cut, err);
    if (rc == 0 && (!self.core->has_view || self.core->early_chunks.bytes > 0)) {
        rc = rub_fail(err, RUB_ECORRUPT,
                      "image and journal lack the view, or hold chunks of tables that it does not "
                      "know");
    }
    if (rc == 0) {
        note_places(&self);
        self.head.job = self.core->job;
        rc = rub_part_write(request->path, self.core, &self.head, request->cancel, &result->n_bytes,
                            &result->hash, err);
        result->rows = self.head.rows;
        result->digest = self.head.digest;
    }
    rub_free(self.head.ranks);
    rub_shard_destroy(&self.core);
    return rc ? rub_wrap(err, rc, "snapshot of shard %u", request->shard) : 0;
}
