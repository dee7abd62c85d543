/* Restoring is done once, offline, by one process, before any member of the new job starts: the
 * members then find stores as a restart would, and need no way of their own to begin. The order
 * makes an interruption harmless: until the scheduler's state is there, nobody can start the job.
 *
 * A rank that rested or was done stands below the others; all begin at the greatest clock of the
 * cut, as after a barrier. */
#include "cli/restore.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/store/lmdb_store.h"
#include "ps/shard_restore.h"
#include "scheduler/zmq_scheduler.h"
#include "worker/train/graph_names.h"
#include "worker/train/ratings_task.h"
#include "worker/train/words_task.h"

#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- where everybody stood ---- */

typedef struct gathering {
    const rub_manifest_t *manifest;
    rub_scheduler_cut_t *cuts; /* as the manifest's ranks */
    uint32_t n_parts;          /* seen */
} gathering_t;

static bool before(const rub_cursor_t *a, const rub_cursor_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch;
    }
    return a->piece != b->piece ? a->piece < b->piece : a->done < b->done;
}

static void take_rank(gathering_t *self, rub_scheduler_cut_t *cut, const rub_part_rank_t *rank)
{
    const uint64_t done = rank->done < rank->cut ? rank->done : rank->cut;
    cut->done = self->n_parts == 0 || done < cut->done ? done : cut->done;
    if (rank->cursor_bytes != sizeof(rub_cursor_t)) {
        return; /* none yet, or one that only its program understands */
    }
    const rub_cursor_t cursor = {rub_get_u64(rank->cursor), rub_get_u64(rank->cursor + 8),
                                 rub_get_u64(rank->cursor + 16)};
    if (!cut->has_cursor || before(&cursor, &cut->cursor)) {
        cut->cursor = cursor;
    }
    cut->has_cursor = true;
}

static int take_head(void *context, const rub_part_head_t *head, rub_error_t *err)
{
    gathering_t *self = context;
    if (head->job != self->manifest->job || head->shard != self->n_parts ||
        head->n_shards != self->manifest->n_shards || head->n_ranks != self->manifest->n_ranks) {
        return rub_fail(err, RUB_ECORRUPT,
                        "part %u is of shard %u of %u of job %016" PRIx64
                        ", the manifest of %u shards of job %016" PRIx64,
                        self->n_parts, head->shard, head->n_shards, head->job,
                        self->manifest->n_shards, self->manifest->job);
    }
    for (uint32_t i = 0; i < head->n_ranks; i++) {
        const rub_manifest_rank_t *rank = &self->manifest->ranks[i];
        const rub_part_rank_t *place = NULL;
        for (uint32_t j = 0; j < head->n_ranks && !place; j++) {
            const rub_part_rank_t *seen = &head->ranks[j];
            place = seen->rank == rank->rank && seen->epoch == rank->epoch ? seen : NULL;
        }
        if (!place) {
            return rub_fail(err, RUB_ECORRUPT, "part %u does not know rank %u epoch %u",
                            self->n_parts, rank->rank, rank->epoch);
        }
        take_rank(self, &self->cuts[i], place);
    }
    self->n_parts++;
    return 0;
}

int rub_restore_cuts(const char *snapshot, const rub_manifest_t *manifest,
                     rub_scheduler_cut_t **cuts_p, rub_error_t *err)
{
    gathering_t self = {.manifest = manifest};
    const rub_part_visitor_t visitor = {.context = &self, .head = take_head};
    *cuts_p = NULL;
    self.cuts = rub_calloc(manifest->n_ranks + 1, sizeof(*self.cuts));
    if (!self.cuts) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %u ranks", manifest->n_ranks);
    }
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        self.cuts[i].rank = manifest->ranks[i].rank;
        self.cuts[i].epoch = manifest->ranks[i].epoch;
    }
    const int rc = rub_restore_each_part(snapshot, manifest, &visitor, err);
    if (rc != 0) {
        rub_free(self.cuts);
        return rc;
    }
    *cuts_p = self.cuts;
    return 0;
}

/* ---- the scheduler's store ---- */

static int make_scheduler(const rub_restore_plan_t *plan, const rub_manifest_t *manifest,
                          uint64_t job, rub_restore_outcome_t *outcome, rub_buf_t *state,
                          rub_error_t *err)
{
    const rub_scheduler_config_t config = {.job = job,
                                           .n_workers = plan->n_workers,
                                           .n_shards = plan->n_ps * plan->shards_each,
                                           .staleness = plan->staleness,
                                           .reduce = plan->reduce,
                                           .seed = plan->seed};
    rub_scheduler_cut_t *cuts = NULL;
    rub_scheduler_t *core = rub_scheduler_new(&config, &(rub_scheduler_effects_t){0});
    int rc = core ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a scheduler's state");
    rc = rc ? rc : rub_restore_cuts(plan->snapshot, manifest, &cuts, err);
    rc = rc ? rc
            : rub_scheduler_restore(core, manifest->states, manifest->n_states, cuts,
                                    manifest->n_ranks, &outcome->place, &outcome->dealt_again, err);
    if (rc == 0 && rub_scheduler_save(core, state) != 0) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for a scheduler's state");
    }
    rub_free(cuts);
    rub_scheduler_destroy(&core);
    return rc;
}

static int put_scheduler(const char *folder, const rub_buf_t *state, rub_error_t *err)
{
    rub_store_t *store = NULL;
    int rc = rub_fs_mkdirs(folder, err) != 0 ? rub_wrap(err, RUB_ESTORE, "scheduler's store") : 0;
    rc = rc ? rc : rub_store_open(folder, &store, err);
    rc = rc ? rc : rub_store_begin(store, err);
    if (rc == 0) {
        rub_store_put_state(store, RUB_STATE_JOB, state->data, state->bytes);
        rc = rub_store_commit(store, err);
    }
    rub_store_close(&store);
    return rc;
}

/* ---- all of it ---- */

static int put_resumed(const rub_restore_plan_t *plan, const rub_restore_outcome_t *outcome,
                       rub_error_t *err)
{
    char whole[PATH_MAX], job[24];
    snprintf(job, sizeof job, "%016" PRIx64, outcome->job);
    json_t *root = json_pack(
        "{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "snapshot",
        realpath(plan->snapshot, whole) ? whole : plan->snapshot, "number",
        (json_int_t)outcome->number, "job", job, "clock", (json_int_t)outcome->place.clock,
        "data_epoch", (json_int_t)outcome->place.epoch, "batch", (json_int_t)outcome->place.batch,
        "dealt_again", (json_int_t)outcome->dealt_again, "workers", (json_int_t)plan->n_workers,
        "shards", (json_int_t)plan->n_ps * plan->shards_each, "staleness",
        plan->staleness == RUB_ASYNC ? json_string("async")
                                     : json_integer((json_int_t)plan->staleness));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *path = rub_sprintf("%s/" RUB_RESUMED_FILE, plan->to);
    int rc = text && path ? rub_fs_write(path, text, strlen(text), err)
                          : rub_fail(err, RUB_ENOMEM, "no memory for " RUB_RESUMED_FILE);
    rc = rc && rc != RUB_ENOMEM ? rub_wrap(err, RUB_ESTORE, RUB_RESUMED_FILE) : rc;
    rub_free(path);
    free(text);
    json_decref(root);
    return rc;
}

static int put_shards(const rub_restore_plan_t *plan, const rub_restore_job_t *job,
                      rub_restore_outcome_t *outcome, uint32_t *n_made_p, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t ps = 0; ps < plan->n_ps && rc == 0; ps++) {
        char *folder = rub_sprintf("%s/ps-%u", plan->to, ps);
        rc = folder ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", plan->to);
        if (rc == 0 && rub_fs_exists(folder)) {
            rc = rub_fail(err, RUB_EREFUSED, "%s is there already; restore into another folder",
                          folder);
        }
        if (rc == 0) {
            *n_made_p = ps + 1;
        }
        for (uint32_t i = 0; i < plan->shards_each && rc == 0; i++) {
            rub_restored_t restored = {0};
            rc = rub_restore_shard(job, ps * plan->shards_each + i, folder, &restored, err);
            outcome->rows += restored.rows;
            outcome->digest += restored.digest;
        }
        rub_free(folder);
    }
    return rc;
}

/* What says which rows are whose lies in the snapshot's run, if that is where it was made. */
static const char *const name_files[] = {RUB_GRAPH_NAMES_FILE, RUB_VOCABULARY_FILE,
                                         RUB_RATING_USERS_FILE, RUB_RATING_ITEMS_FILE};

/* *carried_p: there was one, and there is none yet where it goes. */
static int carry_file(const char *run, const char *name, const char *to_run, bool *carried_p,
                      rub_error_t *err)
{
    static const size_t limit_bytes = (size_t)1 << 36;
    char *data = NULL;
    size_t bytes = 0;
    char *from = rub_sprintf("%s/%s", run, name);
    char *to = rub_sprintf("%s/%s", to_run, name);
    int rc = from && to ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", to_run);
    *carried_p = rc == 0 && rub_fs_exists(from) && !rub_fs_exists(to);
    if (*carried_p) {
        rc = rub_fs_read(from, limit_bytes, &data, &bytes, err);
        rc = rc ? rc : rub_fs_write(to, data, bytes, err);
        rc = rc && rc != RUB_ENOMEM ? rub_wrap(err, RUB_ESTORE, "%s", name) : rc;
    }
    rub_free(data);
    rub_free(from);
    rub_free(to);
    return rc;
}

/* Snapshots that were told a folder of their own (snapshots_dir) lie beside anybody's files. */
static bool has_made(const char *run, const char *name)
{
    char *path = rub_sprintf("%s/%s", run, name);
    const bool there = path && rub_fs_exists(path);
    rub_free(path);
    return there;
}

static int carry_names(const rub_restore_plan_t *plan, bool carried[RUB_COUNT_OF(name_files)],
                       rub_error_t *err)
{
    char whole[PATH_MAX];
    int rc = 0;
    const char *const run = realpath(plan->snapshot, whole) ? dirname(dirname(whole)) : NULL;
    const bool is_run = run && (has_made(run, "config.yaml") || has_made(run, "scheduler"));
    for (size_t i = 0; is_run && rc == 0 && i < RUB_COUNT_OF(name_files); i++) {
        rc = carry_file(run, name_files[i], plan->to, &carried[i], err);
    }
    return rc;
}

/* What a failed restoring has made is of no use, and would be in the way of the next one. */
static void remove_made(const rub_restore_plan_t *plan, uint32_t n_made,
                        const bool carried[RUB_COUNT_OF(name_files)])
{
    for (uint32_t ps = 0; ps < n_made; ps++) {
        char *folder = rub_sprintf("%s/ps-%u", plan->to, ps);
        if (folder) {
            (void)rub_fs_remove_tree(folder, NULL);
        }
        rub_free(folder);
    }
    char *scheduler = n_made > 0 ? rub_sprintf("%s/scheduler", plan->to) : NULL;
    char *resumed = n_made > 0 ? rub_sprintf("%s/" RUB_RESUMED_FILE, plan->to) : NULL;
    if (scheduler && resumed) {
        (void)rub_fs_remove_tree(scheduler, NULL);
        (void)unlink(resumed);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(name_files); i++) {
        char *names = carried[i] ? rub_sprintf("%s/%s", plan->to, name_files[i]) : NULL;
        if (names) {
            (void)unlink(names);
        }
        rub_free(names);
    }
    rub_free(scheduler);
    rub_free(resumed);
}

/* Rows are neither lost nor doubled on their way: the digests of all parts and of all new shards
 * are sums over the same rows. */
static int check_sum(const rub_manifest_t *manifest, const rub_restore_outcome_t *outcome,
                     rub_error_t *err)
{
    uint64_t rows = 0, digest = 0;
    for (uint32_t i = 0; i < manifest->n_shards; i++) {
        rows += manifest->parts[i].rows;
        digest += manifest->parts[i].digest;
    }
    return rows == outcome->rows && digest == outcome->digest
               ? 0
               : rub_fail(err, RUB_ECORRUPT,
                          "the snapshot holds %" PRIu64 " rows with digest %016" PRIx64
                          ", restored were %" PRIu64 " with %016" PRIx64,
                          rows, digest, outcome->rows, outcome->digest);
}

int rub_restore_run(const rub_restore_plan_t *plan, rub_restore_outcome_t *outcome,
                    rub_error_t *err)
{
    rub_manifest_t *manifest = NULL;
    rub_buf_t state;
    uint32_t n_made = 0;
    bool carried[RUB_COUNT_OF(name_files)] = {false};
    uint8_t nonce[16];
    *outcome = (rub_restore_outcome_t){0};
    rub_buf_init(&state);
    char *scheduler = rub_sprintf("%s/scheduler", plan->to);
    int rc = scheduler ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", plan->to);
    if (rc == 0 && rub_fs_exists(scheduler)) {
        rc = rub_fail(err, RUB_EREFUSED, "%s is there already; restore into another folder",
                      scheduler);
    }
    rc = rc ? rc : rub_manifest_read(plan->snapshot, &manifest, err);
    if (rc == 0 && rub_random_nonce(nonce) < 0) {
        rc = rub_fail(err, RUB_EIO, "no random number for the job");
    }
    if (rc == 0) {
        outcome->number = manifest->number;
        outcome->job = rub_get_u64(nonce) | 1u; /* 0 means any */
        rc = make_scheduler(plan, manifest, outcome->job, outcome, &state, err);
    }
    if (rc == 0 && plan->n_epochs > 0 && outcome->place.epoch >= plan->n_epochs) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "it stands behind data epoch %" PRIu64 " and epochs is %" PRIu64
                      ": nothing is left to train; ask for more epochs",
                      outcome->place.epoch, plan->n_epochs);
    }
    if (rc == 0) {
        const rub_restore_job_t job = {.snapshot = plan->snapshot,
                                       .manifest = manifest,
                                       .job = outcome->job,
                                       .n_shards = plan->n_ps * plan->shards_each,
                                       .n_workers = plan->n_workers,
                                       .staleness = plan->staleness,
                                       .clock = outcome->place.clock};
        rc = put_shards(plan, &job, outcome, &n_made, err);
    }
    rc = rc ? rc : check_sum(manifest, outcome, err);
    rc = rc ? rc : carry_names(plan, carried, err);
    rc = rc ? rc : put_resumed(plan, outcome, err);
    rc = rc ? rc : put_scheduler(scheduler, &state, err);
    if (rc != 0) {
        remove_made(plan, n_made, carried);
    }
    rub_buf_fini(&state);
    rub_manifest_destroy(&manifest);
    rub_free(scheduler);
    return rc ? rub_wrap(err, rc, "snapshot %s", plan->snapshot) : 0;
}
