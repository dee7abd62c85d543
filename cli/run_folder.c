/* The run directory.
 *
 * A run never writes into another run's directory: a live one holds a lock that the kernel drops
 * with its process, and a finished one is known by its config.yaml. Default names count up with
 * mkdir, whose refusal of an existing folder is atomic, so two runs that start together get two
 * directories. */
#include "cli/run_folder.h"

#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/proc/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUB_RUNS_PER_DAY 10000

void rub_run_folder_init(rub_run_folder_t *self)
{
    *self = (rub_run_folder_t){.lock_fd = -1};
}

void rub_run_folder_fini(rub_run_folder_t *self)
{
    if (self->lock_fd >= 0) {
        rub_fs_unlock(self->lock_fd);
    }
    rub_run_folder_init(self);
}

const char *rub_run_folder_file(const rub_run_folder_t *self, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", self->path, name);
    return out;
}

static int make_default(rub_run_folder_t *self, const char *name, rub_error_t *err)
{
    rub_error_t cause = {0};
    if (rub_fs_mkdirs("runs", &cause) != 0) {
        return rub_fail(err, RUB_ESTORE, "run directory: %s", cause.message);
    }
    char date[16], safe[72];
    const time_t now = time(NULL);
    struct tm day;
    strftime(date, sizeof date, "%Y%m%d", localtime_r(&now, &day));
    snprintf(safe, sizeof safe, "%s", name);
    for (char *p = safe; *p; p++) {
        *p = *p == '/' || *p == '.' || *p == ' ' ? '-' : *p;
    }
    for (int n = 1; n <= RUB_RUNS_PER_DAY; n++) {
        snprintf(self->path, sizeof self->path, "runs/%s-%s-%d", safe, date, n);
        if (mkdir(self->path, 0777) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            return rub_fail_errno(err, RUB_ESTORE, errno, "cannot make the run directory '%s'",
                                  self->path);
        }
    }
    return rub_fail(err, RUB_ESTORE, "more than %d runs named '%s' today", RUB_RUNS_PER_DAY, safe);
}

static int lock(rub_run_folder_t *self, rub_error_t *err)
{
    char path[PATH_MAX], owner[128];
    rub_error_t cause = {0};
    rub_host_pid(getpid(), owner, sizeof owner);
    const int rc =
        rub_fs_lock(rub_run_folder_file(self, "lock", path), owner, &self->lock_fd, &cause);
    if (rc == RUB_EHELD) {
        self->lock_fd = -1;
        return rub_fail(err, RUB_EHELD, "run directory '%s' is in use: %s", self->path,
                        cause.message);
    }
    if (rc != 0) {
        self->lock_fd = -1;
        return rub_fail(err, RUB_ESTORE, "run directory '%s' cannot be written: %s", self->path,
                        cause.message);
    }
    if (rub_fs_exists(rub_run_folder_file(self, "config.yaml", path))) {
        return rub_fail(err, RUB_EREFUSED,
                        "run directory '%s' holds an earlier run; name another one", self->path);
    }
    return 0;
}

int rub_run_folder_make(rub_run_folder_t *self, const rub_config_t *config, rub_error_t *err)
{
    rub_error_t cause = {0};
    if (!config->run_dir[0]) {
        const int rc = make_default(self, config->name, err);
        self->made = rc == 0;
        return rc ? rc : lock(self, err);
    }
    snprintf(self->path, sizeof self->path, "%s", config->run_dir);
    self->made = !rub_fs_exists(self->path);
    if (rub_fs_mkdirs(self->path, &cause) != 0) {
        return rub_fail(err, RUB_ESTORE, "run directory: %s", cause.message);
    }
    return lock(self, err);
}

int rub_run_folder_save_config(const rub_run_folder_t *self, const rub_config_t *config,
                               rub_error_t *err)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the configuration's text");
    }
    rub_config_print(config, out);
    fclose(out);
    rub_error_t cause = {0};
    int rc = rub_fs_write(rub_run_folder_file(self, "config.yaml", path), text, bytes, &cause);
    if (rc != 0) {
        rc = rub_fail(err, RUB_ESTORE, "%s", cause.message);
    }
    free(text);
    return rc;
}

void rub_run_folder_drop(rub_run_folder_t *self)
{
    char path[PATH_MAX];
    if (self->lock_fd < 0) {
        return; /* it is another run's */
    }
    (void)unlink(rub_run_folder_file(self, "lock", path));
    if (self->made) {
        (void)rmdir(self->path);
    }
    rub_run_folder_fini(self);
}

int rub_run_folder_load(const char *run_dir, rub_config_t *config, rub_error_t *err)
{
    char file[PATH_MAX];
    char flag[] = "--config";
    if (snprintf(file, sizeof file, "%s/config.yaml", run_dir) >= (int)sizeof file) {
        return rub_fail(err, RUB_ECONFIG, "the path '%s' is too long", run_dir);
    }
    char *const arguments[] = {flag, file};
    if (access(file, R_OK) != 0 && errno == EACCES) { /* it may well be one */
        return rub_fail_errno(err, RUB_ECONFIG, errno, "cannot read '%s'", file);
    }
    const int rc = rub_config_load(config, RUB_FOR_TRAIN, 2, arguments, NULL, err);
    return rc ? rub_wrap(err, rc, "'%s' is not a run directory", run_dir) : 0;
}

const char *rub_run_folder_snapshots(const char *run_dir, char out[PATH_MAX])
{
    rub_config_t config;
    rub_config_init(&config);
    const bool told = rub_run_folder_load(run_dir, &config, NULL) == 0;
    rub_snapshots_folder(told ? config.snapshots_dir : "", run_dir, out, PATH_MAX);
    rub_config_fini(&config);
    return out;
}

int rub_run_folder_address(const char *run_dir, char *out, size_t out_bytes, rub_error_t *err)
{
    char lock_path[PATH_MAX];
    rub_error_t held = {0};
    rub_config_t config;
    rub_config_init(&config);
    int rc = rub_run_folder_load(run_dir, &config, err);
    if (rc == 0 &&
        snprintf(lock_path, sizeof lock_path, "%s/lock", run_dir) >= (int)sizeof lock_path) {
        rc = rub_fail(err, RUB_ECONFIG, "the path '%s' is too long", run_dir);
    }
    if (rc == 0 && rub_fs_lock_free(lock_path, &held) == 0) {
        rc = rub_fail(err, RUB_EPEER, "the run in '%s' has ended", run_dir);
    }
    if (rc == 0) {
        snprintf(out, out_bytes, "%s", config.scheduler);
    }
    rub_config_fini(&config);
    return rc;
}
