/* The run directory: made, locked for this run alone, and the paths in it. */
#ifndef RUB_RUN_FOLDER_H
#define RUB_RUN_FOLDER_H

#include "common/conf/config.h"

#include <limits.h>
#include <stdbool.h>

typedef struct rub_run_folder {
    char path[4000];
    int lock_fd; /* -1: not locked */
    bool made;   /* the folder was not there before */
} rub_run_folder_t;

void rub_run_folder_init(rub_run_folder_t *self);
void rub_run_folder_fini(rub_run_folder_t *self); /* lets the lock go; the folder stays */

/* Makes config->run_dir, or runs/NAME-DATE-N with the least free N, and locks it. RUB_ESTORE: it
 * cannot be made or written. RUB_EHELD: a live run has it. RUB_EREFUSED: it holds an earlier run,
 * which would be overwritten. */
int rub_run_folder_make(rub_run_folder_t *self, const rub_config_t *config, rub_error_t *err);

/* path/name into out (PATH_MAX bytes); returns out. */
const char *rub_run_folder_file(const rub_run_folder_t *self, const char *name, char out[PATH_MAX]);

/* Writes the resolved configuration as config.yaml. RUB_ESTORE. */
int rub_run_folder_save_config(const rub_run_folder_t *self, const rub_config_t *config,
                               rub_error_t *err);

/* Removes what make has made, when nothing came of the run: the lock, and the folder if it is empty
 * and was not there before. Errors are passed over. */
void rub_run_folder_drop(rub_run_folder_t *self);

/* The configuration that a run was started with, into config (initialised; the caller's).
 * RUB_ECONFIG: run_dir is no run directory. */
int rub_run_folder_load(const char *run_dir, rub_config_t *config, rub_error_t *err);

/* Where a run keeps its snapshots, into out (PATH_MAX bytes), which is returned: the folder that
 * its configuration names, else RUN/snapshots. A run by hand has no configuration. */
const char *rub_run_folder_snapshots(const char *run_dir, char out[PATH_MAX]);

/* Where the scheduler of a run that goes on is, into out. RUB_ECONFIG: run_dir is no run directory;
 * RUB_EPEER: its run has ended, so that nobody would answer there. */
int rub_run_folder_address(const char *run_dir, char *out, size_t out_bytes, rub_error_t *err);

#endif
