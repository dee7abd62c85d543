/* Which files a path means, and in which order they are tried.
 *
 * A snapshot is a snapshot. A run that has ended has its last word in its stores, journals
 * included; while it goes on they belong to its shards, and its snapshots are there for others.
 * Which of the two holds is asked of the stores' locks, taken shared, so that nobody starts a ps on
 * them meanwhile. The run's configuration says what model the tables are of: it stands beside the
 * stores, and two folders above a snapshot unless the run kept those elsewhere; then the run file
 * is named again. */
#include "cli/trained_model.h"

#include "cli/run_folder.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/conf/option.h"
#include "ps/stored_weights.h"
#include "worker/train/clicks_task.h"
#include "worker/train/graph_task.h"
#include "worker/train/ratings_task.h"
#include "worker/train/word_counting.h"
#include "worker/train/words_task.h"

#include <dirent.h>
#include <glob.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 4200 /* of any option's value */

static bool has_file(const char *folder, const char *name)
{
    char *path = rub_sprintf("%s/%s", folder, name);
    const bool there = path && rub_fs_exists(path);
    rub_free(path);
    return there;
}

/* ---- snapshots ---- */

static int read_snapshot(const char *folder, rub_weights_t *weights, rub_error_t *err)
{
    rub_manifest_t *manifest = NULL;
    int rc = rub_manifest_read(folder, &manifest, err);
    rc = rc ? rc : rub_weights_from_snapshot(folder, manifest, weights, err);
    rub_manifest_destroy(&manifest);
    return rc;
}

/* The whole one with the greatest number, into out. RUB_ECONFIG: there is none. */
static int latest_snapshot(const char *run, char out[PATH_MAX], rub_error_t *err)
{
    char folder[PATH_MAX];
    unsigned long long greatest = 0;
    bool found = false;
    rub_run_folder_snapshots(run, folder);
    DIR *entries = opendir(folder);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry;
         entry = readdir(entries)) {
        char *end = NULL, path[PATH_MAX];
        const unsigned long long number = strtoull(entry->d_name, &end, 10);
        const bool fits =
            end != entry->d_name && *end == '\0' &&
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path;
        if (fits && has_file(path, RUB_MANIFEST_NAME) && (!found || number > greatest)) {
            greatest = number;
            found = true;
            snprintf(out, PATH_MAX, "%s", path);
        }
    }
    if (entries) {
        (void)closedir(entries);
    }
    return found ? 0 : rub_fail(err, RUB_ECONFIG, "there is no whole snapshot in %s", folder);
}

/* ---- stores ---- */

typedef struct stores {
    glob_t found;
    int *locks;
    size_t n_locked;
} stores_t;

/* All of the run's, locked. RUB_EHELD: the run goes on; RUB_ECONFIG: it has none. */
static int lock_stores(const char *run, stores_t *self, rub_error_t *err)
{
    char *pattern = rub_sprintf("%s/ps-*/shard-*", run);
    int rc = !pattern ? rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", run)
             : glob(pattern, 0, NULL, &self->found) != 0
                 ? rub_fail(err, RUB_ECONFIG, "there are no stores of shards in %s", run)
                 : 0;
    self->locks = rc ? NULL : rub_calloc(self->found.gl_pathc, sizeof(*self->locks));
    if (rc == 0 && !self->locks) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for the stores of %s", run);
    }
    for (size_t i = 0; rc == 0 && i < self->found.gl_pathc; i++) {
        char *lock = rub_sprintf("%s/lock", self->found.gl_pathv[i]);
        rc = lock ? rub_fs_lock_shared(lock, &self->locks[i], err)
                  : rub_fail(err, RUB_ENOMEM, "no memory for the stores of %s", run);
        self->n_locked += rc == 0;
        rub_free(lock);
    }
    rub_free(pattern);
    return rc;
}

static void unlock_stores(stores_t *self)
{
    for (size_t i = 0; i < self->n_locked; i++) {
        if (self->locks[i] >= 0) {
            rub_fs_unlock(self->locks[i]);
        }
    }
    rub_free(self->locks);
    globfree(&self->found);
}

/* ---- either ---- */

static int read_run(const char *run, char from[PATH_MAX], rub_weights_t *weights, rub_error_t *err)
{
    stores_t stores = {0};
    rub_error_t why = {0};
    snprintf(from, PATH_MAX, "%s", run);
    int rc = lock_stores(run, &stores, &why);
    if (rc == 0) {
        rc = rub_weights_from_stores(stores.found.gl_pathv, stores.found.gl_pathc, weights, err);
    } else if (rc == RUB_EHELD || rc == RUB_ECONFIG) {
        rub_error_t none = {0};
        const char *fact = rc == RUB_EHELD ? "the run goes on" : why.message;
        rc = latest_snapshot(run, from, &none);
        rc = rc ? rub_fail(err, RUB_ECONFIG, "%s, and %s; 'rubato snapshot save' makes one", fact,
                           none.message)
                : read_snapshot(from, weights, err);
    } else {
        *err = why;
    }
    unlock_stores(&stores);
    return rc;
}

static int read_weights(const char *path, char from[PATH_MAX], rub_weights_t *weights,
                        rub_error_t *err)
{
    snprintf(from, PATH_MAX, "%s", path);
    if (has_file(path, RUB_MANIFEST_NAME)) {
        return read_snapshot(path, weights, err);
    }
    if (has_file(path, "config.yaml") || has_file(path, "ps-0")) {
        return read_run(path, from, weights, err);
    }
    return rub_fail(err, RUB_ECONFIG, "'%s' is neither a run directory nor a whole snapshot", path);
}

/* Counts that workers have told each other are no weights. */
static void drop_counts(rub_weights_t *weights)
{
    for (size_t i = weights->n_tables; i > 0; i--) {
        const char *const name = weights->tables[i - 1].name;
        if (strncmp(name, RUB_WORD_COUNTS_PREFIX, strlen(RUB_WORD_COUNTS_PREFIX)) == 0) {
            rub_weights_drop(weights, i - 1);
        }
    }
}

/* Of a run that has ended with a best epoch: its snapshot, into out. RUB_ECONFIG: there is none. */
static int best_snapshot(const char *run, char out[PATH_MAX], rub_error_t *err)
{
    char *path = rub_sprintf("%s/result.json", run);
    json_t *result = path ? json_load_file(path, 0, NULL) : NULL;
    const json_t *kept = json_object_get(json_object_get(result, "validation"), "kept");
    const char *snapshot = json_string_value(json_object_get(kept, "snapshot"));
    int rc = 0;
    if (!snapshot) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "best: '%s' is no run that has kept its best epoch (validation_keep)", run);
    } else if (!has_file(snapshot, RUB_MANIFEST_NAME)) {
        rc = rub_fail(err, RUB_ECONFIG, "best: %s/result.json names %s, which is no whole snapshot",
                      run, snapshot);
    } else {
        snprintf(out, PATH_MAX, "%s", snapshot);
    }
    json_decref(result);
    rub_free(path);
    return rc;
}

/* ---- the configuration ---- */

/* The run that the path is, or is of; "" when it is not to be found. */
static void find_run(const char *path, char run[PATH_MAX])
{
    char whole[PATH_MAX];
    run[0] = '\0';
    if (has_file(path, "config.yaml")) {
        snprintf(run, PATH_MAX, "%s", path);
    } else if (has_file(path, RUB_MANIFEST_NAME) && realpath(path, whole)) {
        const char *above = dirname(dirname(whole));
        if (has_file(above, "config.yaml")) {
            snprintf(run, PATH_MAX, "%s", above);
        }
    }
}

/* What this call was told counts over what the run was told. */
static int lay_over(rub_config_t *config, const rub_config_t *asked, rub_error_t *err)
{
    char *text = rub_alloc(TEXT_BYTES);
    int rc = text ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for options");
    for (int i = 0; i < RUB_OPT_COUNT && rc == 0; i++) {
        const rub_origin_t *origin = &asked->origins[i];
        if (origin->source == RUB_FROM_DEFAULT) {
            continue;
        }
        const rub_option_t *option = &rub_option_table[i];
        const char *value = option->type == RUB_OPTION_STR
                                ? *(const char *const *)((const char *)asked + option->offset)
                                : rub_option_format(asked, option, text, TEXT_BYTES);
        rc = rub_config_set(config, (rub_option_id_t)i, value, origin->source, origin->where, err);
    }
    rub_free(text);
    return rc;
}

static int load_config(rub_trained_model_t *self, const rub_config_t *asked, rub_error_t *err)
{
    int rc = 0;
    if (self->run_dir[0]) {
        rc = rub_run_folder_load(self->run_dir, &self->config, err);
    } else {
        rc = rub_config_load(&self->config, RUB_FOR_TRAIN, 0, NULL, NULL, err);
    }
    rc = rc || !asked ? rc : lay_over(&self->config, asked, err);
    /* It may have been moved since. */
    return rc || !self->run_dir[0] ? rc
                                   : rub_config_set(&self->config, RUB_OPT_run_dir, self->run_dir,
                                                    RUB_FROM_PROGRAM, "", err);
}

/* Of word vectors, if the run left it or --vocabulary names it. */
static int load_words(rub_trained_model_t *self, rub_error_t *err)
{
    const char *named = self->config.vocabulary;
    if (named[0] &&
        (rub_graph_task_wanted(&self->config) || rub_ratings_task_wanted(&self->config) ||
         rub_clicks_task_wanted(&self->config))) {
        return rub_fail(err, RUB_ECONFIG, "vocabulary: '%s' is of words, model_kind %s has none",
                        named, rub_config_word(&self->config, RUB_OPT_model_kind));
    }
    char *path = named[0]           ? rub_strdup(named)
                 : self->run_dir[0] ? rub_sprintf("%s/" RUB_VOCABULARY_FILE, self->run_dir)
                                    : rub_strdup("");
    int rc = path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", self->run_dir);
    if (rc == 0 && path[0] && (named[0] || rub_fs_exists(path))) {
        rc = rub_vocabulary_open(path, &self->words, err);
    }
    rub_free(path);
    return rc;
}

int rub_trained_model_open(const char *path, const rub_config_t *asked, rub_trained_model_t *self,
                           rub_error_t *err)
{
    *self = (rub_trained_model_t){0};
    rub_config_init(&self->config);
    rub_weights_init(&self->weights);
    char best[PATH_MAX];
    find_run(path, self->run_dir);
    int rc = rub_fs_expect(path, err);
    rc = rc ? rc : load_config(self, asked, err);
    rc = rc ? rc : load_words(self, err);
    if (rc == 0 && asked && asked->best) {
        rc = best_snapshot(path, best, err);
        path = best;
    }
    rc = rc ? rc : read_weights(path, self->from, &self->weights, err);
    drop_counts(&self->weights);
    if (rc) {
        rub_trained_model_close(self);
    }
    return rc;
}

void rub_trained_model_close(rub_trained_model_t *self)
{
    rub_vocabulary_destroy(&self->words);
    rub_weights_fini(&self->weights);
    rub_config_fini(&self->config);
}
