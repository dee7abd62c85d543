/* `rubato snapshot`: what can be done with the snapshots of a run, each action a row of a table.
 *
 * save asks a running job for one. None of ls, verify and restore needs a running job, and none
 * changes a snapshot. A folder without a manifest is one that was given up or is still being made:
 * ls passes over it. verify reads every byte and tells everything that is wrong, not only the first
 * thing. */
#include "cli/commands.h"
#include "cli/restore.h"
#include "cli/run_folder.h"
#include "cli/snapshot_save.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/proc/place.h"
#include "ps/shard_restore.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_line(json_t *root)
{
    json_dumpf(root, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(root);
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static void time_text(uint64_t time_ms, char out[32])
{
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm day;
    if (!localtime_r(&seconds, &day) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &day) == 0) {
        snprintf(out, 32, "?");
    }
}

static void cut_range(const rub_manifest_t *manifest, uint64_t *least_p, uint64_t *most_p)
{
    *least_p = manifest->n_ranks > 0 ? UINT64_MAX : 0;
    *most_p = 0;
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        const uint64_t cut = manifest->ranks[i].cut;
        *least_p = cut < *least_p ? cut : *least_p;
        *most_p = cut > *most_p ? cut : *most_p;
    }
}

static uint64_t total(const rub_manifest_t *manifest, bool bytes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < manifest->n_shards; i++) {
        sum += bytes ? manifest->parts[i].n_bytes : manifest->parts[i].rows;
    }
    return sum;
}

/* ---- ls ---- */

/* The tables of a snapshot, by name, from the beginning of its first part. */
static int take_tables(void *context, const rub_view_t *view, rub_error_t *err)
{
    json_t *names = context;
    for (uint32_t i = 0; i < view->n_tables; i++) {
        json_array_append_new(names, json_string(view->tables[i].name));
    }
    RUB_UNUSED(err);
    return RUB_ECANCELLED; /* the rows are not wanted */
}

static json_t *table_names(const char *folder)
{
    json_t *names = json_array();
    const rub_part_visitor_t visitor = {.context = names, .view = take_tables};
    char *path = rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, folder, 0u);
    if (path) {
        (void)rub_part_read(path, &visitor, NULL, NULL, NULL);
    }
    rub_free(path);
    return names;
}

typedef struct listing {
    uint64_t *numbers;
    size_t n, capacity;
} listing_t;

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers of all folders in `folder` that could be snapshots. */
static int list_folder(const char *folder, listing_t *list, rub_error_t *err)
{
    DIR *entries = opendir(folder);
    if (!entries) {
        return rub_fail(err, RUB_ECONFIG, "no folder of snapshots at %s", folder);
    }
    int rc = 0;
    for (struct dirent *entry = readdir(entries); entry && rc == 0; entry = readdir(entries)) {
        char *end = NULL;
        const unsigned long long number = strtoull(entry->d_name, &end, 10);
        if (end == entry->d_name || *end != '\0') {
            continue;
        }
        if (rub_grow(&list->numbers, &list->capacity, list->n + 1, sizeof(uint64_t)) != 0) {
            rc = rub_fail(err, RUB_ENOMEM, "no memory to list %s", folder);
        } else {
            list->numbers[list->n++] = number;
        }
    }
    (void)closedir(entries);
    if (list->n > 0) {
        qsort(list->numbers, list->n, sizeof(uint64_t), by_number);
    }
    return rc;
}

static json_t *describe(const char *folder, const rub_manifest_t *manifest)
{
    uint64_t least, most;
    char job[24];
    cut_range(manifest, &least, &most);
    snprintf(job, sizeof job, "%016" PRIx64, manifest->job);
    json_t *cuts = json_array();
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        const rub_manifest_rank_t *rank = &manifest->ranks[i];
        json_array_append_new(cuts, json_pack("{s:i, s:i, s:o}", "rank", (int)rank->rank, "epoch",
                                              (int)rank->epoch, "cut", count(rank->cut)));
    }
    return json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "number",
                     count(manifest->number), "path", folder, "time_ms", count(manifest->time_ms),
                     "job", job, "least_cut", count(least), "greatest_cut", count(most), "bytes",
                     count(total(manifest, true)), "rows", count(total(manifest, false)),
                     "n_workers", (int)manifest->n_workers, "n_shards", (int)manifest->n_shards,
                     "tables", table_names(folder), "ranks", cuts);
}

static void print_row(const rub_manifest_t *manifest, const json_t *described)
{
    uint64_t least, most;
    char when[32], names[200] = "";
    size_t i;
    json_t *name;
    cut_range(manifest, &least, &most);
    time_text(manifest->time_ms, when);
    json_array_foreach(json_object_get(described, "tables"), i, name)
    {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", json_string_value(name));
    }
    printf("%6" PRIu64 "  %s  clock %" PRIu64 "%s%.0" PRIu64 "  %.1f MB in %u parts, %" PRIu64
           " rows: %s\n",
           manifest->number, when, least, least == most ? "" : "..", least == most ? 0 : most,
           (double)total(manifest, true) / 1e6, manifest->n_shards, total(manifest, false), names);
}

/* Where the run keeps them, or the folder itself when it has none: it may be a folder of snapshots.
 * But where the run was told to keep them, they are or are missing. The caller frees it. */
static char *snapshots_of(const char *run)
{
    char folder[PATH_MAX], own[PATH_MAX];
    rub_snapshots_folder("", run, own, sizeof own);
    const bool elsewhere = strcmp(rub_run_folder_snapshots(run, folder), own) != 0;
    return rub_strdup(elsewhere || rub_fs_exists(folder) ? folder : run);
}

static int list_snapshots(const rub_config_t *config, rub_error_t *err)
{
    listing_t list = {0};
    json_t *array = json_array();
    char *folder = snapshots_of(config->words[1]);
    int rc = folder ? list_folder(folder, &list, err) : rub_fail(err, RUB_ENOMEM, "no memory");
    int damaged = 0;
    for (size_t i = 0; i < list.n && rc == 0; i++) {
        rub_manifest_t *manifest = NULL;
        rub_error_t cause = {0};
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/" RUB_MANIFEST_FOLDER_NAME, folder,
                 (unsigned long long)list.numbers[i]);
        const int bad = rub_manifest_read(path, &manifest, &cause);
        if (bad == RUB_ECORRUPT) {
            fprintf(stderr, "rubato snapshot: %s\n", cause.message);
            damaged = bad;
        }
        if (bad == 0) {
            json_t *described = describe(path, manifest);
            if (!config->json) {
                print_row(manifest, described);
            }
            json_array_append_new(array, described);
        }
        rub_manifest_destroy(&manifest);
    }
    if (rc == 0 && config->json) {
        print_line(json_pack("{s:O}", "snapshots", array));
    } else if (rc == 0 && json_array_size(array) == 0) {
        printf("no snapshots in %s\n", folder);
    }
    json_decref(array);
    rub_free(list.numbers);
    rub_free(folder);
    return rc ? rc : damaged ? rub_fail(err, damaged, "a manifest is damaged") : 0;
}

/* ---- verify ---- */

/* One part, and everything about it that the manifest knows. */
static int verify_part(const char *folder, const rub_manifest_t *manifest, uint32_t shard,
                       rub_error_t *err)
{
    const rub_manifest_part_t *part = &manifest->parts[shard];
    const rub_part_visitor_t nobody = {0};
    uint64_t n_bytes = 0, hash = 0;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" RUB_MANIFEST_PART_NAME, folder, shard);
    const int rc = rub_part_read(path, &nobody, &n_bytes, &hash, err);
    if (rc == 0 && (n_bytes != part->n_bytes || hash != part->hash)) {
        return rub_fail(err, RUB_ECORRUPT,
                        "%s is whole, but not the file that the manifest means (hash %016" PRIx64
                        ", expected %016" PRIx64 ")",
                        path, hash, part->hash);
    }
    return rc;
}

static int verify(const rub_config_t *config, rub_error_t *err)
{
    const char *folder = config->words[1];
    rub_manifest_t *manifest = NULL;
    json_t *faults = json_array();
    int rc = rub_fs_expect(folder, err);
    rc = rc ? rc : rub_manifest_read(folder, &manifest, err);
    if (rc != 0) {
        json_array_append_new(faults, json_string(err->message));
    }
    for (uint32_t i = 0; manifest && i < manifest->n_shards; i++) {
        rub_error_t fault = {0};
        const int bad = verify_part(folder, manifest, i, &fault);
        if (bad != 0) {
            json_array_append_new(faults, json_string(fault.message));
            rc = rc ? rc : bad;
            *err = err->code ? *err : fault;
        }
    }
    if (rc == 0) { /* each is right by itself: are they parts of one whole? */
        rub_scheduler_cut_t *cuts = NULL;
        rc = rub_restore_cuts(folder, manifest, &cuts, err);
        rub_free(cuts);
        if (rc != 0) {
            json_array_append_new(faults, json_string(err->message));
        }
    }
    if (config->json) {
        print_line(json_pack("{s:s, s:b, s:o, s:o}", "snapshot", folder, "whole", rc == 0, "bytes",
                             count(manifest ? total(manifest, true) : 0), "faults", faults));
    } else {
        size_t i;
        json_t *fault;
        json_array_foreach(faults, i, fault)
        {
            if (i + 1 < json_array_size(faults)) { /* the last one is told as the reason */
                fprintf(stderr, "rubato snapshot: %s\n", json_string_value(fault));
            } else {
                (void)rub_fail(err, rc, "%s", json_string_value(fault));
            }
        }
        if (rc == 0) {
            printf("%s: whole, %u parts, %.1f MB, %" PRIu64 " rows\n", folder, manifest->n_shards,
                   (double)total(manifest, true) / 1e6, total(manifest, false));
        }
        json_decref(faults);
    }
    rub_manifest_destroy(&manifest);
    return rc;
}

/* ---- restore ---- */

static bool given(const rub_config_t *config, rub_option_id_t option)
{
    return config->origins[option].source != RUB_FROM_DEFAULT;
}

static int restore(const rub_config_t *config, rub_error_t *err)
{
    rub_manifest_t *manifest = NULL;
    rub_restore_outcome_t outcome;
    if (!config->to[0]) {
        return rub_fail(err, RUB_ECONFIG, "restore needs --to DIR, the run directory to make");
    }
    int rc = rub_fs_expect(config->words[1], err);
    rc = rc ? rc : rub_manifest_read(config->words[1], &manifest, err);
    if (rc != 0) {
        return rc;
    }
    const bool placed = given(config, RUB_OPT_ps) || given(config, RUB_OPT_shards);
    const rub_restore_plan_t plan = {
        .snapshot = config->words[1],
        .to = config->to,
        .n_ps = placed ? (uint32_t)config->ps : manifest->n_shards,
        .shards_each = placed ? (uint32_t)config->shards : 1,
        .n_workers =
            given(config, RUB_OPT_workers) ? (uint32_t)config->workers : manifest->n_workers,
        .staleness = given(config, RUB_OPT_staleness) ? config->staleness : manifest->staleness,
        .reduce = manifest->reduce,
        .seed = manifest->seed};
    rub_manifest_destroy(&manifest);
    rc = rub_restore_run(&plan, &outcome, err);
    if (rc != 0) {
        return rc;
    }
    if (config->json) {
        char job[24], digest[24];
        snprintf(job, sizeof job, "%016" PRIx64, outcome.job);
        snprintf(digest, sizeof digest, "%016" PRIx64, outcome.digest);
        print_line(json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s}", "to", config->to, "number",
                             count(outcome.number), "job", job, "clock", count(outcome.place.clock),
                             "data_epoch", count(outcome.place.epoch), "dealt_again",
                             count(outcome.dealt_again), "rows", count(outcome.rows), "digest",
                             digest));
    } else {
        printf("snapshot %" PRIu64 " restored to %s: %" PRIu64 " rows on %u shards, %u workers "
               "begin at clock %" PRIu64 " in data epoch %" PRIu64 ", %" PRIu64
               " examples are dealt again\n",
               outcome.number, config->to, outcome.rows, plan.n_ps * plan.shards_each,
               plan.n_workers, outcome.place.clock, outcome.place.epoch + 1, outcome.dealt_again);
    }
    return 0;
}

/* ---- the table ---- */

typedef struct action {
    const char *name, *word;
    uint32_t n_words_least, n_words_most; /* the action's name among them */
    int (*run)(const rub_config_t *config, rub_error_t *err);
} action_t;

static const action_t actions[] = {
    {"save", "[RUN]", 1, 2, rub_snapshot_save},
    {"ls", "RUN", 2, 2, list_snapshots},
    {"verify", "SNAPSHOT", 2, 2, verify},
    {"restore", "SNAPSHOT --to DIR", 2, 2, restore},
};

static int usage(const rub_config_t *config, rub_error_t *err)
{
    char names[200] = "";
    for (size_t i = 0; i < RUB_COUNT_OF(actions); i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s %s", i ? ", " : "", actions[i].name,
                 actions[i].word);
    }
    return config->n_words > 0
               ? rub_fail(err, RUB_ECONFIG, "no 'snapshot %s' with %u words; there are: %s",
                          config->words[0], config->n_words - 1, names)
               : rub_fail(err, RUB_ECONFIG, "what is to be done? there are: %s", names);
}

int rub_snapshot_main(rub_config_t *config)
{
    rub_error_t err = {0};
    const action_t *action = NULL;
    for (size_t i = 0; i < RUB_COUNT_OF(actions) && config->n_words > 0 && !action; i++) {
        action = strcmp(actions[i].name, config->words[0]) == 0 ? &actions[i] : NULL;
    }
    const bool fits = action && config->n_words >= action->n_words_least &&
                      config->n_words <= action->n_words_most;
    const int rc = fits ? action->run(config, &err) : usage(config, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato snapshot: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
