/* `rubato replay RUN`: the run once more, from its journals alone.
 *
 * With journal_keep: all every record that a shard ever took is there. They are stepped, shard by
 * shard, through the same core, from the beginning of the run: nothing, or the rows of the snapshot
 * that the run was resumed from. What comes out is compared with what is stored, row by row and bit
 * for bit; with --snapshot N it is the journal up to that snapshot's cut, compared with its parts.
 * Stores are locked while they are read: a run that is alive is refused. */
#include "cli/commands.h"
#include "cli/restore.h"
#include "cli/run_folder.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/proc/place.h"
#include "ps/shard_replay.h"
#include "ps/shard_restore.h"

#include <glob.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct replay {
    const rub_config_t *config;
    const char *run;
    rub_manifest_t *base; /* of the snapshot that the run was resumed from; NULL: from nothing */
    char base_folder[PATH_MAX];
    uint64_t base_clock;
    uint32_t base_workers;
    uint64_t base_staleness;
    uint64_t base_job;
    rub_manifest_t *target; /* of --snapshot; NULL: what is stored */
    char target_folder[PATH_MAX];
    json_t *shards;
    bool differs;
} replay_t;

/* ---- what the run began with, and what it is compared with ---- */

static int open_base(replay_t *self, rub_error_t *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" RUB_RESUMED_FILE, self->run);
    if (!rub_fs_exists(path)) {
        return 0;
    }
    json_error_t cause;
    json_t *root = json_load_file(path, 0, &cause);
    const char *snapshot = root ? json_string_value(json_object_get(root, "snapshot")) : NULL;
    const char *job = root ? json_string_value(json_object_get(root, "job")) : NULL;
    if (!snapshot || !job) {
        json_decref(root);
        return rub_fail(err, RUB_ECORRUPT, "%s does not say from which snapshot the run went on",
                        path);
    }
    snprintf(self->base_folder, sizeof self->base_folder, "%s", snapshot);
    self->base_job = strtoull(job, NULL, 16);
    self->base_workers = (uint32_t)json_integer_value(json_object_get(root, "workers"));
    self->base_clock = (uint64_t)json_integer_value(json_object_get(root, "clock"));
    const json_t *staleness = json_object_get(root, "staleness");
    self->base_staleness =
        json_is_integer(staleness) ? (uint64_t)json_integer_value(staleness) : RUB_ASYNC;
    json_decref(root);
    const int rc = rub_manifest_read(self->base_folder, &self->base, err);
    return rc ? rub_wrap(err, rc, "the run went on from a snapshot, which replay needs") : 0;
}

/* Without its first records a journal makes nothing. A run by hand has no configuration: its
 * journals speak for themselves. */
static int check_kept(const char *run, rub_error_t *err)
{
    enum { KEEP_ALL = 1 }; /* of option journal_keep */
    rub_config_t config;
    rub_config_init(&config);
    const bool known = rub_run_folder_load(run, &config, NULL) == 0;
    const bool kept = !known || config.journal_keep == KEEP_ALL;
    rub_config_fini(&config);
    return kept ? 0
                : rub_fail(err, RUB_ECONFIG,
                           "%s was trained with journal_keep: redo, so that its first records are "
                           "gone; replay needs journal_keep: all",
                           run);
}

static int open_target(replay_t *self, rub_error_t *err)
{
    if (self->config->snapshot == 0) {
        return 0;
    }
    char place[PATH_MAX];
    const char *folder = self->config->snapshots_dir[0]
                             ? self->config->snapshots_dir
                             : rub_run_folder_snapshots(self->run, place);
    if (snprintf(self->target_folder, sizeof self->target_folder, "%s/" RUB_MANIFEST_FOLDER_NAME,
                 folder,
                 (unsigned long long)self->config->snapshot) >= (int)sizeof self->target_folder) {
        return rub_fail(err, RUB_ECONFIG, "the path '%s' is too long", folder);
    }
    return rub_manifest_read(self->target_folder, &self->target, err);
}

static int new_core(const replay_t *self, uint32_t shard, uint32_t n_shards, rub_shard_t **core_p,
                    rub_error_t *err)
{
    if (self->base) {
        const rub_restore_job_t job = {.snapshot = self->base_folder,
                                       .manifest = self->base,
                                       .job = self->base_job,
                                       .n_shards = n_shards,
                                       .n_workers = self->base_workers,
                                       .staleness = self->base_staleness,
                                       .clock = self->base_clock};
        return rub_restore_core(&job, shard, core_p, err);
    }
    const rub_shard_config_t config = {
        .shard = shard, .n_shards = n_shards, .durability = RUB_DURABILITY_JOURNAL};
    *core_p = rub_shard_new(&config, &(rub_shard_effects_t){0});
    return *core_p ? 0 : rub_fail(err, RUB_ENOMEM, "shard %u: no memory to replay", shard);
}

/* ---- one shard ---- */

typedef struct part {
    rub_shard_t *core;
    rub_fold_rank_t *ranks;
    rub_fold_cut_t cut;
    uint64_t to_lsn;
} part_t;

static int take_head(void *context, const rub_part_head_t *head, rub_error_t *err)
{
    part_t *self = context;
    self->ranks = rub_calloc(head->n_ranks + 1, sizeof(*self->ranks));
    if (!self->ranks) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %u ranks", head->n_ranks);
    }
    for (uint32_t i = 0; i < head->n_ranks; i++) {
        self->ranks[i] = (rub_fold_rank_t){
            .rank = head->ranks[i].rank, .epoch = head->ranks[i].epoch, .cut = head->ranks[i].cut};
    }
    self->cut =
        (rub_fold_cut_t){.pin_lsn = head->pin_lsn, .ranks = self->ranks, .n_ranks = head->n_ranks};
    self->to_lsn = head->to_lsn;
    return 0;
}

/* What is compared with, and up to where the journal is looked at. */
static int open_other(const replay_t *self, const char *folder, uint32_t shard, uint32_t n_shards,
                      part_t *other, rub_error_t *err)
{
    *other = (part_t){.to_lsn = UINT64_MAX};
    if (!self->target) {
        return rub_replay_stored(folder, shard, n_shards, &other->core, err);
    }
    if (self->target->n_shards != n_shards) {
        return rub_fail(err, RUB_ECORRUPT, "snapshot %" PRIu64 " is of %u shards, the run has %u",
                        self->target->number, self->target->n_shards, n_shards);
    }
    char path[PATH_MAX + 32];
    const rub_part_visitor_t visitor = {.context = other, .head = take_head};
    snprintf(path, sizeof path, "%s/" RUB_MANIFEST_PART_NAME, self->target_folder, shard);
    int rc = rub_part_read(path, &visitor, NULL, NULL, err);
    const rub_restore_job_t job = {.snapshot = self->target_folder,
                                   .manifest = self->target,
                                   .job = self->target->job,
                                   .n_shards = n_shards,
                                   .n_workers = self->target->n_workers,
                                   .staleness = self->target->staleness};
    return rc ? rc : rub_restore_core(&job, shard, &other->core, err);
}

static void tell(replay_t *self, uint32_t shard, uint64_t n_records, uint64_t replayed,
                 uint64_t stored, const char *difference)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%016" PRIx64, replayed);
    snprintf(b, sizeof b, "%016" PRIx64, stored);
    json_array_append_new(self->shards,
                          json_pack("{s:i, s:I, s:s, s:s, s:b, s:s}", "shard", (int)shard,
                                    "records", (json_int_t)n_records, "digest", a, "stored", b,
                                    "equal", difference[0] == '\0', "difference", difference));
    if (!self->config->json) {
        printf("shard %u: %" PRIu64 " records, digest %s, stored %s: %s\n", shard, n_records, a, b,
               difference[0] ? difference : "equal, bit for bit");
    }
    self->differs = self->differs || difference[0] != '\0';
}

static int replay_shard(replay_t *self, const char *folder, uint32_t shard, uint32_t n_shards,
                        rub_error_t *err)
{
    rub_shard_t *core = NULL;
    part_t other = {0};
    rub_buf_t sentence;
    uint64_t n_records = 0;
    bool differs = false;
    rub_buf_init(&sentence);
    int rc = open_other(self, folder, shard, n_shards, &other, err);
    rc = rc ? rc : new_core(self, shard, n_shards, &core, err);
    rc = rc ? rc
            : rub_replay_journal(folder, core, self->target ? &other.cut : NULL, other.to_lsn,
                                 &n_records, err);
    if (rc == 0 && self->target && rub_shard_job(core) != self->target->job) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "snapshot %s is of job %016" PRIx64 ", the run is job %016" PRIx64,
                      self->target_folder, self->target->job, rub_shard_job(core));
    }
    rc = rc ? rc : rub_replay_compare(core, other.core, &differs, &sentence, err);
    if (rc == 0) {
        rub_buf_u8(&sentence, 0);
        tell(self, shard, n_records, rub_shard_digest(core), rub_shard_digest(other.core),
             sentence.failed ? "?" : (const char *)sentence.data);
    }
    rub_buf_fini(&sentence);
    rub_free(other.ranks);
    rub_shard_destroy(&other.core);
    rub_shard_destroy(&core);
    return rc;
}

static int replay_folder(replay_t *self, const char *folder, rub_error_t *err)
{
    char lock[PATH_MAX], who[128];
    int lock_fd = -1;
    uint32_t shard = 0, n_shards = 0;
    snprintf(lock, sizeof lock, "%s/lock", folder);
    int rc = rub_fs_lock(lock, rub_host_pid(getpid(), who, sizeof who), &lock_fd, err);
    if (rc != 0) {
        return rub_wrap(err, rc, "the run must have ended");
    }
    rc = rub_replay_whose(folder, &shard, &n_shards, err);
    const bool wanted = self->config->only_shard == UINT64_MAX || self->config->only_shard == shard;
    if (rc == 0 && wanted) {
        rc = replay_shard(self, folder, shard, n_shards, err);
    }
    rub_fs_unlock(lock_fd);
    return rc;
}

/* ---- all of them ---- */

static int replay_all(replay_t *self, rub_error_t *err)
{
    char pattern[PATH_MAX];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/ps-*/shard-*", self->run);
    int rc = glob(pattern, 0, NULL, &found) == 0
                 ? 0
                 : rub_fail(err, RUB_ECONFIG, "no stores of shards at %s", pattern);
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
        rc = replay_folder(self, found.gl_pathv[i], err);
    }
    globfree(&found);
    if (rc == 0 && json_array_size(self->shards) == 0) {
        rc = rub_fail(err, RUB_ECONFIG, "run %s has no shard %" PRIu64, self->run,
                      self->config->only_shard);
    }
    return rc;
}

int rub_replay_main(rub_config_t *config)
{
    rub_error_t err = {0};
    replay_t self = {.config = config, .shards = json_array()};
    int rc = config->n_words == 1
                 ? 0
                 : rub_fail(&err, RUB_ECONFIG, "replay takes one run directory, not %u words",
                            config->n_words);
    self.run = rc == 0 ? config->words[0] : "";
    rc = rc ? rc : check_kept(self.run, &err);
    rc = rc ? rc : open_base(&self, &err);
    rc = rc ? rc : open_target(&self, &err);
    rc = rc ? rc : replay_all(&self, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato replay: %s\n", err.message);
    }
    if (config->json) {
        json_t *root = json_pack("{s:s, s:b, s:O}", "run", self.run, "equal",
                                 rc == 0 && !self.differs, "shards", self.shards);
        json_dumpf(root, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(root);
    }
    json_decref(self.shards);
    rub_manifest_destroy(&self.base);
    rub_manifest_destroy(&self.target);
    return rc ? rub_error_exit_code(rc) : self.differs ? 1 : 0;
}
