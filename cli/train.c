/* `rubato train FILE`: everything around the supervisor.
 *
 * What can be refused is refused before anything exists: the data files are read and the model is
 * built once, as a worker will do it, ports are tried, and only then is the run directory made (and
 * standard input read, where that is the data).
 * From there on there is always a result.json. Text for people goes to standard output, or to
 * standard error with --json, whose object is the last line of standard output in any case (a
 * refusal's holds status, exit_code and reason alone). */
#include "cli/commands.h"
#include "cli/piped_data.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/restore.h"
#include "cli/result.h"
#include "cli/run_folder.h"
#include "cli/supervisor.h"
#include "cli/warm_start.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/conf/option.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the scheduler will be: as told, or on a free port; on another one when asked again. */
static int settle_address(rub_config_t *config, rub_error_t *err)
{
    const rub_source_t source = config->origins[RUB_OPT_scheduler].source;
    const char *interface = rub_config_tcp_interface(config);
    uint16_t port = (uint16_t)config->port;
    if (source != RUB_FROM_DEFAULT && source != RUB_FROM_PROGRAM) {
        char host[128];
        const int rc = rub_plan_address(config->scheduler, host, &port, err);
        return rc ? rc : rub_port_check(interface, port, err);
    }
    const int rc =
        port ? rub_port_check(interface, port, err) : rub_port_free(interface, &port, err);
    if (rc != 0) {
        return rc;
    }
    char address[160];
    const char *host = strcmp(interface, "*") == 0 ? "127.0.0.1" : interface;
    snprintf(address, sizeof address, "tcp://%s:%u", host, (unsigned)port);
    return rub_config_set(config, RUB_OPT_scheduler, address, RUB_FROM_PROGRAM, "", err);
}

/* What the members' config.yaml says that the user's words did not: port is the scheduler's alone,
 * and the flags of this command's own output are not theirs. */
static int settle_members_config(rub_config_t *config, const rub_run_folder_t *folder,
                                 rub_error_t *err)
{
    int rc = rub_config_set(config, RUB_OPT_run_dir, folder->path, RUB_FROM_PROGRAM, "", err);
    if (rc == 0 && config->durability == RUB_DURABILITY_NONE) { /* there are no snapshots */
        rc = rub_config_set(config, RUB_OPT_validation_keep, "none", RUB_FROM_PROGRAM, "", err);
    }
    return rc ? rc : rub_config_set(config, RUB_OPT_port, "0", RUB_FROM_PROGRAM, "", err);
}

/* RUBATO_* is in config.yaml by now, and would win over it in the members. */
static void settle_environment(const rub_config_t *config)
{
    for (char **item = environ; *item;) {
        const char *equals = strchr(*item, '=');
        if (strncmp(*item, "RUBATO_", 7) != 0 || !equals) {
            item++;
            continue;
        }
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *item), *item);
        if (unsetenv(name) != 0) {
            item++;
        }
    }
    char threads[24];
    snprintf(threads, sizeof threads, "%" PRIu64, config->blas_threads);
    setenv("OPENBLAS_NUM_THREADS", threads, 1);
}

static void greet(const rub_config_t *config, const rub_run_folder_t *folder,
                  rub_progress_show_t *people)
{
    char bound[24];
    rub_progress_show_say(people,
                          "%s: %s, 1 scheduler, %" PRIu64 " ps, %" PRIu64
                          " worker%s, staleness %s; run directory %s",
                          config->name, rub_config_word(config, RUB_OPT_model_kind), config->ps,
                          config->workers, config->workers == 1 ? "" : "s",
                          rub_staleness_text(config->staleness, bound, sizeof bound), folder->path);
}

static void print_json(json_t *result)
{
    json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', stdout);
}

/* A run that never was: the same object, with nothing to count in it. */
static void print_refusal(int exit_code, const char *reason)
{
    json_t *result =
        json_pack("{s:s, s:i, s:s}", "status", "failed", "exit_code", exit_code, "reason", reason);
    if (result) {
        print_json(result);
    }
    json_decref(result);
}

/* Runs, and makes the result known. */
static int run(const rub_config_t *config, const rub_run_folder_t *folder, FILE *out)
{
    rub_outcome_t outcome;
    rub_progress_show_t people;
    rub_error_t err = {0};
    rub_outcome_init(&outcome);
    rub_progress_show_init(&people, out);
    greet(config, folder, &people);
    rub_supervisor_run(config, folder, &people, &outcome);
    if (people.line_shown) {
        fputc('\n', out);
    }
    json_t *result = rub_result_json(config, folder->path, &outcome);
    if (rub_result_save(folder, result, &err) != 0) {
        fprintf(stderr, "rubato train: %s\n", err.message);
        outcome.exit_code = outcome.exit_code ? outcome.exit_code : rub_error_exit_code(err.code);
    }
    fflush(out);
    rub_result_tell(config, folder, &outcome, outcome.exit_code == 0 ? out : stderr);
    if (config->json) {
        fflush(stderr);
        print_json(result);
    }
    json_decref(result);
    const int exit_code = outcome.exit_code;
    rub_outcome_fini(&outcome);
    return exit_code;
}

/* What can be said of a snapshot before anything exists. */
static int check_resume(const rub_config_t *config, rub_error_t *err)
{
    if (config->table[0] && !config->init[0]) {
        return rub_fail(err, RUB_ECONFIG, "table: '%s' is of no file, since init names none",
                        config->table);
    }
    if (!config->resume[0] && !config->init[0]) {
        return 0;
    }
    if (config->resume[0] && config->init[0]) {
        return rub_fail(err, RUB_ECONFIG,
                        "resume goes on with a job and init begins another: one of them");
    }
    if (config->durability == RUB_DURABILITY_NONE) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s needs stores to put weights into: durability none has none",
                        config->init[0] ? "init" : "resume");
    }
    if (config->init[0]) {
        const int rc = rub_fs_expect(config->init, err);
        return rc ? rub_wrap(err, rc, "init") : 0;
    }
    rub_manifest_t *manifest = NULL;
    int rc = rub_fs_expect(config->resume, err);
    rc = rc ? rub_wrap(err, rc, "resume") : rub_manifest_read(config->resume, &manifest, err);
    rub_manifest_destroy(&manifest);
    return rc;
}

/* A folder for snapshots that can not be made would be found out snapshot by snapshot, in a log. */
static int make_snapshots_dir(const rub_config_t *config, rub_error_t *err)
{
    rub_error_t cause = {0};
    return config->snapshots_dir[0] && rub_fs_mkdirs(config->snapshots_dir, &cause) != 0
               ? rub_fail(err, RUB_ESTORE, "snapshots_dir: %s", cause.message)
               : 0;
}

/* The stores of the new run, before anybody opens them. */
static int resume(const rub_config_t *config, const rub_run_folder_t *folder, rub_error_t *err)
{
    char init[PATH_MAX];
    FILE *people = config->json ? stderr : stdout;
    if (!config->resume[0] && !config->init[0]) {
        return 0;
    }
    int rc = config->init[0] ? rub_warm_start(config, folder->path, people, init, err) : 0;
    if (rc) {
        return rc;
    }
    const rub_restore_plan_t plan = {.snapshot = config->init[0] ? init : config->resume,
                                     .to = folder->path,
                                     .n_ps = (uint32_t)config->ps,
                                     .shards_each = (uint32_t)config->shards,
                                     .n_workers = (uint32_t)config->workers,
                                     .n_epochs = config->epochs,
                                     .staleness = config->staleness,
                                     .reduce = (uint32_t)config->reduce,
                                     .seed = config->seed};
    rub_restore_outcome_t outcome;
    rc = rub_restore_run(&plan, &outcome, err);
    if (rc == 0 && config->resume[0]) {
        fprintf(people,
                "goes on from snapshot %" PRIu64 ": %" PRIu64 " rows, clock %" PRIu64
                ", data epoch %" PRIu64 ", %" PRIu64 " examples of it are dealt again\n",
                outcome.number, outcome.rows, outcome.place.clock, outcome.place.epoch + 1,
                outcome.dealt_again);
    }
    return rc;
}

/* Standard input is the one thing that can not be looked at before the run has a directory. */
static int take_piped(rub_config_t *config, const rub_run_folder_t *folder, bool *taken_p,
                      rub_error_t *err)
{
    if (!rub_piped_data_wanted(config)) {
        return 0;
    }
    int rc = rub_piped_data_take(folder, config, config->json ? stderr : stdout, err);
    *taken_p = rc == 0;
    if (rc == 0) {
        rc = rub_plan_check_data(config, NULL, err);
        rc = rc ? rub_wrap(err, rc, "standard input") : 0;
    }
    /* A port that was free may be taken by now, so that is chosen anew. */
    const bool chosen =
        config->port == 0 && config->origins[RUB_OPT_scheduler].source == RUB_FROM_PROGRAM;
    return rc || !chosen ? rc : settle_address(config, err);
}

/* --set takes any option; one that says what becomes of a trained model would be passed over. A run
 * file may have it: other commands read it, too. */
static int check_flags(const rub_config_t *config, rub_error_t *err)
{
    for (size_t i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        if (config->origins[i].source == RUB_FROM_FLAG && strcmp(option->group, "use") == 0 &&
            !(option->commands & RUB_FOR_TRAIN)) {
            return rub_fail(
                err, RUB_ECONFIG,
                "%s: is for commands that use a trained model, such as eval; train does "
                "not read it",
                option->name);
        }
    }
    return 0;
}

int rub_train_main(rub_config_t *config)
{
    rub_error_t err = {0};
    rub_run_folder_t folder;
    rub_run_folder_init(&folder);
    int exit_code = 0, rc = 0;
    bool taken = false; /* standard input, for this run */
    if (config->n_words > 0) {
        rc = rub_fail(&err, RUB_ECONFIG, "'%s' is not a run file; those end in .yaml or .yml",
                      config->words[0]);
    } else if (!config->file[0]) {
        rc = rub_fail(&err, RUB_ECONFIG, "no run file; try examples/fashion-mnist.yaml");
    }
    rc = rc ? rc : check_flags(config, &err);
    rc = rc ? rc : rub_plan_check_options(config, &err);
    rc = rc ? rc : rub_plan_check_data(config, NULL, &err);
    rc = rc ? rc : check_resume(config, &err);
    rc = rc ? rc : make_snapshots_dir(config, &err);
    rc = rc ? rc : settle_address(config, &err);
    rc = rc ? rc : rub_run_folder_make(&folder, config, &err);
    rc = rc ? rc : take_piped(config, &folder, &taken, &err);
    rc = rc ? rc : settle_members_config(config, &folder, &err);
    rc = rc ? rc : resume(config, &folder, &err);
    rc = rc ? rc : rub_run_folder_save_config(&folder, config, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato train: %s\n", err.message);
        exit_code = rc == RUB_EINTR ? rub_signals_exit_code() : rub_error_exit_code(rc);
        if (taken) {
            rub_piped_data_drop(&folder);
        }
        rub_run_folder_drop(&folder);
        if (config->json) {
            print_refusal(exit_code, err.message);
        }
    } else {
        settle_environment(config);
        exit_code = run(config, &folder, config->json ? stderr : stdout);
    }
    rub_run_folder_fini(&folder);
    return exit_code;
}
