/* The trial before a run: the data files are read and the model is built once, as a worker will do
 * it, so that a mistake is said before any process is started. */
#include "cli/plan.h"

#include "cli/piped_data.h"
#include "common/base/error.h"
#include "common/wire/control.h"
#include "worker/data/data_files.h"
#include "worker/data/http_fetch.h"
#include "worker/data/npy_array.h"
#include "worker/train/workload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Data sets up to this size on disk are read as a test; larger ones are only opened. */
#define RUB_TRIAL_BYTES (256 << 20)

/* An array in an archive, "data.npz:x", is a part of the file before the colon. */
static int check_file(const char *key, const char *words, off_t *bytes, rub_error_t *err)
{
    struct stat info;
    char path[PATH_MAX];
    size_t path_bytes = 0;
    if (!words[0] || rub_http_address(words)) {
        return 0; /* a worker fetches it */
    }
    if (strcmp(words, "-") == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: a fleet's workers have no standard input; expected a file (train_file "
                        "may be '-', and nothing else)",
                        key);
    }
    (void)rub_npy_path(words, &path_bytes);
    (void)snprintf(path, sizeof(path), "%.*s", (int)path_bytes, words);
    if (stat(path, &info) != 0 || access(path, R_OK) != 0) {
        return rub_fail_errno(err, RUB_EDATA, errno, "%s: cannot read '%s'", key, path);
    }
    *bytes += info.st_size;
    return 0;
}

/* Of what may be a folder, a pattern or a list. */
static int check_files(const char *key, const char *words, off_t *bytes, rub_error_t *err)
{
    rub_data_files_t *files = NULL;
    int rc = words[0] ? rub_data_files_open(words, &files, err) : 0;
    for (size_t i = 0; files && rc == 0 && i < files->n; i++) {
        rc = check_file(key, files->paths[i], bytes, err);
    }
    rub_data_files_close(&files);
    return rc;
}

int rub_plan_check_data(const rub_config_t *config, uint64_t *parameters_p, rub_error_t *err)
{
    if (parameters_p) {
        *parameters_p = 0;
    }
    off_t bytes = 0;
    int rc = check_file("train_images", config->train_images, &bytes, err);
    rc = rc ? rc : check_file("train_labels", config->train_labels, &bytes, err);
    rc = rc ? rc : check_file("test_images", config->test_images, &bytes, err);
    rc = rc ? rc : check_file("test_labels", config->test_labels, &bytes, err);
    rc = rc ? rc : check_file("valid_images", config->valid_images, &bytes, err);
    rc = rc ? rc : check_file("valid_labels", config->valid_labels, &bytes, err);
    const bool piped = rub_piped_data_wanted(config); /* read when the run has a directory */
    rc = rc || piped ? rc : check_files("train_file", config->train_file, &bytes, err);
    rc = rc ? rc : check_files("test_file", config->test_file, &bytes, err);
    rc = rc ? rc : check_files("valid_file", config->valid_file, &bytes, err);
    rc = rc ? rc : check_file("entities_file", config->entities_file, &bytes, err);
    rc = rc ? rc : check_file("relations_file", config->relations_file, &bytes, err);
    if (rc != 0 || piped || bytes > RUB_TRIAL_BYTES || rub_remote_data_wanted(config)) {
        return rc;
    }
    rub_workload_t workload = {0};
    rc = rub_workload_open(config, &workload, err);
    if (rc == 0) {
        if (parameters_p) {
            *parameters_p = workload.task->n_parameters;
        }
        rub_workload_close(&workload);
    }
    return rc;
}

int rub_plan_check_options(const rub_config_t *config, rub_error_t *err)
{
    enum { KEEP_ALL = 1 }; /* of option journal_keep */
    const int rc = rub_config_check_reduce(config, err);
    if (rc != 0) {
        return rc;
    }
    if (config->durability != RUB_DURABILITY_NONE) {
        return 0;
    }
    if (config->snapshot_interval_ms > 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "snapshot_interval: with durability none there is no journal, and without "
                        "one no snapshot; expected 0, or durability journal or sync");
    }
    if (strcmp(rub_config_word(config, RUB_OPT_validation_keep), "best") == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "validation_keep: with durability none there is no snapshot to keep; "
                        "expected none, or durability journal or sync");
    }
    if (config->journal_keep == KEEP_ALL) {
        return rub_fail(err, RUB_ECONFIG,
                        "journal_keep: all of no journal is asked for; expected redo, or "
                        "durability journal or sync");
    }
    return 0;
}

int rub_plan_address(const char *address, char host[128], uint16_t *port_p, rub_error_t *err)
{
    static const char scheme[] = "tcp://";
    if (strncmp(address, scheme, strlen(scheme)) != 0) {
        return rub_fail(err, RUB_ECONFIG, "scheduler: '%s' does not begin with tcp://", address);
    }
    const char *const name = address + strlen(scheme);
    const char *colon = strrchr(name, ':');
    if (!colon || colon == name || colon - name > 127) {
        return rub_fail(err, RUB_ECONFIG, "scheduler: '%s' is not tcp://host:port", address);
    }
    char *end = NULL;
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != 0 || port == 0 || port > 65535) {
        return rub_fail(err, RUB_ECONFIG, "scheduler: '%s' has no port from 1 to 65535", address);
    }
    snprintf(host, 128, "%.*s", (int)(colon - name), name);
    *port_p = (uint16_t)port;
    return 0;
}
