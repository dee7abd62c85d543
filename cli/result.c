/* The result of a run.
 *
 * elapsed_s is the training alone (from everybody's being there to the last batch), and
 * examples_per_s is examples divided by it, so the two agree; total_s holds the starting and
 * leaving of processes, too. weights_crc is text, because JSON's readers lose the low bits of
 * 64-bit numbers. */
#include "cli/result.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/conf/option.h"
#include "common/num/codec.h"
#include "common/proc/place.h"
#include "common/store/snapshot_manifest.h"
#include "worker/model/model.h"
#include "worker/train/validation.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *rub_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *rub_json_metrics(const rub_tally_t *tally)
{
    json_t *metrics = json_object();
    for (uint32_t i = 0; i < tally->n_metrics; i++) {
        json_object_set_new(metrics, tally->metrics[i].name,
                            rub_json_number(tally->metrics[i].value));
    }
    return metrics;
}

static double wait_s(const rub_counter_t *wait_us)
{
    return (double)rub_counter_total(wait_us) / 1e6;
}

static json_t *waits_json(double pull_s, double push_s, double meet_s)
{
    return json_pack("{s:f, s:f, s:f}", "pull", pull_s, "push", push_s, "meet", meet_s);
}

json_t *rub_json_waits(const rub_tally_t *tally)
{
    double pull_s = 0, push_s = 0, meet_s = 0;
    for (size_t i = 0; i < tally->n_ranks; i++) {
        pull_s += wait_s(&tally->ranks[i].pull_wait_us);
        push_s += wait_s(&tally->ranks[i].push_wait_us);
        meet_s += wait_s(&tally->ranks[i].meet_wait_us);
    }
    return waits_json(pull_s, push_s, meet_s);
}

/* Per rank: who worked and who waited. */
static json_t *ranks_json(const rub_tally_t *tally)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tally->n_ranks; i++) {
        const rub_rank_tally_t *rank = &tally->ranks[i];
        json_array_append_new(
            list, json_pack("{s:i, s:I, s:o}", "rank", (int)i, "examples",
                            (json_int_t)rub_counter_total(&rank->examples), "wait_s",
                            waits_json(wait_s(&rank->pull_wait_us), wait_s(&rank->push_wait_us),
                                       wait_s(&rank->meet_wait_us))));
    }
    return list;
}

static const char *status_word(int exit_code)
{
    if (exit_code == 0) {
        return "ok";
    }
    return exit_code == 130 || exit_code == 143 ? "interrupted" : "failed";
}

static void set_count(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *staleness_json(const rub_config_t *config, const rub_tally_t *tally)
{
    json_t *staleness = json_object();
    if (config->staleness == RUB_ASYNC) {
        json_object_set_new(staleness, "bound", json_string("async"));
    } else {
        set_count(staleness, "bound", config->staleness);
    }
    set_count(staleness, "max_gap", tally->gap_max);
    set_count(staleness, "p50", tally->gap_p50);
    set_count(staleness, "p99", tally->gap_p99);
    return staleness;
}

/* For a snapshot, workers push what their codec kept back: when, depends on when it was taken. */
static bool has_pushed_kept(const rub_config_t *config, const rub_tally_t *tally)
{
    return tally->snapshots > 0 && rub_codec_find((uint32_t)config->codec)->feedback;
}

/* bsp repeats bit for bit as long as nobody was given up: who comes back skips the batches between.
 */
static bool is_repeatable(const rub_config_t *config, const rub_tally_t *tally)
{
    return config->staleness == 0 && tally->evictions == 0 && !has_pushed_kept(config, tally);
}

/* Figures that are better when they are less are told to the scheduler with their sign turned. */
static double figure(const rub_tally_t *tally, double value)
{
    return rub_validation_less(tally->metric) ? -value : value;
}

static json_t *validation_json(const rub_tally_t *tally)
{
    json_t *said = json_object();
    json_object_set_new(said, "metric", json_string(tally->metric));
    set_count(said, "last_epoch", tally->evaluation);
    json_object_set_new(said, "stopped_early", json_boolean(tally->stopped > 0));
    json_object_set_new(said, "best",
                        json_pack("{s:I, s:o}", "epoch", (json_int_t)tally->best_evaluation,
                                  "value", rub_json_number(figure(tally, tally->best_value))));
    json_object_set_new(said, "kept",
                        tally->kept_evaluation == 0
                            ? json_null()
                            : json_pack("{s:I, s:o, s:s}", "epoch",
                                        (json_int_t)tally->kept_evaluation, "value",
                                        rub_json_number(figure(tally, tally->kept_value)),
                                        "snapshot", tally->kept_path));
    return said;
}

json_t *rub_result_json(const rub_config_t *config, const char *run_dir,
                        const rub_outcome_t *outcome)
{
    const rub_tally_t *tally = &outcome->tally;
    const bool ok = outcome->exit_code == 0;
    char crc[24], blas[200] = "";
    snprintf(crc, sizeof crc, "%016" PRIx64, tally->digest);
    rub_model_blas(blas, sizeof blas);
    json_t *result = json_object();
    json_object_set_new(result, "status", json_string(status_word(outcome->exit_code)));
    json_object_set_new(result, "model", json_string(rub_config_word(config, RUB_OPT_model_kind)));
    set_count(result, "epochs",
              tally->stopped ? tally->stopped
              : ok           ? config->epochs
                             : tally->data_epoch);
    set_count(result, "examples", tally->examples);
    json_object_set_new(result, "elapsed_s", rub_json_number(outcome->training_s));
    json_object_set_new(result, "examples_per_s",
                        rub_json_number(outcome->training_s > 0
                                            ? (double)tally->examples / outcome->training_s
                                            : 0));
    json_object_set_new(result, "metrics", rub_json_metrics(tally));
    json_object_set_new(result, "validation",
                        tally->evaluation ? validation_json(tally) : json_null());
    json_object_set_new(result, "staleness", staleness_json(config, tally));
    json_object_set_new(result, "wait_s", rub_json_waits(tally));
    json_object_set_new(result, "ranks", ranks_json(tally));
    set_count(result, "pushes", tally->pushes);
    set_count(result, "pulls", tally->pulls);
    set_count(result, "restarts", outcome->restarts);
    json_object_set_new(result, "weights_crc", tally->digest ? json_string(crc) : json_null());
    set_count(result, "stored_rows", tally->stored_rows);
    set_count(result, "deleted_rows", tally->deleted_rows);
    set_count(result, "not_admitted", tally->not_admitted);
    set_count(result, "evictions", tally->evictions);
    set_count(result, "lost_records", tally->lost_records);
    json_object_set_new(result, "repeatable", json_boolean(ok && is_repeatable(config, tally)));
    json_object_set_new(result, "clocked", json_boolean(tally->clocked));
    json_object_set_new(result, "training_loss", rub_json_number(tally->loss));
    json_object_set_new(result, "total_s", rub_json_number(outcome->total_s));
    set_count(result, "workers", config->workers);
    set_count(result, "ps", config->ps);
    set_count(result, "seed", config->seed);
    json_object_set_new(result, "blas", json_string(blas));
    json_object_set_new(result, "run_dir", json_string(run_dir));
    set_count(result, "exit_code", (uint64_t)outcome->exit_code);
    json_object_set_new(result, "reason", json_string(outcome->reason));
    return result;
}

int rub_result_save(const rub_run_folder_t *folder, json_t *result, rub_error_t *err)
{
    char path[PATH_MAX];
    char *text = json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    if (!text) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the result's text");
    }
    rub_error_t cause = {0};
    int rc =
        rub_fs_write(rub_run_folder_file(folder, "result.json", path), text, strlen(text), &cause);
    if (rc != 0) {
        rc = rub_fail(err, RUB_ESTORE, "%s", cause.message);
    }
    free(text);
    return rc;
}

/* What was validated on is the test set, unless that was measured by itself at the end. */
static void tell_measures(const rub_tally_t *tally, FILE *out)
{
    static const char *const names[][2] = {{"accuracy", "accuracy"},
                                           {"auc", "auc"},
                                           {"loss", "loss"},
                                           {"mrr", "mrr"},
                                           {"hits_at_10", "hits@10"},
                                           {"rmse", "rmse"},
                                           {"mae", "mae"},
                                           {"precision_at_k", "precision@k"},
                                           {"recall_at_k", "recall@k"},
                                           {"ndcg_at_k", "ndcg@k"}};
    for (size_t i = 0; i < RUB_COUNT_OF(names); i++) {
        char name[40], said[40];
        snprintf(name, sizeof name, "test_%s", names[i][0]);
        const rub_metric_value_t *tested = rub_tally_metric(tally, name);
        const rub_metric_value_t *validated = rub_tally_metric(tally, names[i][0]);
        const bool is_graph = rub_tally_metric(tally, "mrr") != NULL;
        if (validated && !(is_graph && strcmp(names[i][0], "hits_at_10") == 0)) {
            const bool bare = strstr(names[i][1], "@k") != NULL;
            snprintf(said, sizeof said, "%s%s",
                     bare                 ? ""
                     : tested || is_graph ? "valid "
                                          : "test ",
                     names[i][1]);
            fprintf(out, "%-15s%.4f\n", said, validated->value);
        }
        if (tested) {
            snprintf(said, sizeof said, "test %s", names[i][1]);
            fprintf(out, "%-15s%.4f\n", said, tested->value);
        }
    }
}

/* A word of a command that a shell reads back as it is. */
static void tell_word(const char *word, FILE *out)
{
    if (word[0] && !strpbrk(word, " \t\n*?$&;|<>()[]{}\"\\#~'`!")) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) {
        fputs(*word == '\'' ? "'\\''" : (const char[]){*word, '\0'}, out);
    }
    fputc('\'', out);
}

/* Which epoch was the best, and where its weights are. */
static void tell_validation(const rub_config_t *config, const char *run_dir,
                            const rub_tally_t *tally, FILE *out)
{
    if (tally->evaluation == 0) {
        return;
    }
    fprintf(out, "best           epoch %" PRIu64 ", %s %.4f%s%s\n", tally->best_evaluation,
            tally->metric, figure(tally, tally->best_value),
            tally->kept_evaluation == tally->best_evaluation ? ", kept in " : "",
            tally->kept_evaluation == tally->best_evaluation ? tally->kept_path : "");
    if (tally->kept_evaluation > 0 && tally->kept_evaluation != tally->best_evaluation) {
        fprintf(out,
                "kept           epoch %" PRIu64 ", %s %.4f, in %s: no snapshot of the best came to "
                "be (scheduler.log says why)\n",
                tally->kept_evaluation, tally->metric, figure(tally, tally->kept_value),
                tally->kept_path);
    }
    if (tally->kept_evaluation > 0 && tally->kept_evaluation != tally->evaluation) {
        fprintf(out,
                "note           the figures above are of the last weights, of epoch %" PRIu64
                "; those of the best: %s eval ",
                tally->evaluation, program_invocation_name);
        tell_word(run_dir, out);
        fprintf(out, " --best\n");
    }
    if (tally->stopped > 0) {
        fprintf(out,
                "stopped        early, behind epoch %" PRIu64 " of %" PRIu64 ": %" PRIu64
                " %s not better\n",
                tally->stopped, config->epochs, config->validation_patience,
                config->validation_patience == 1 ? "validation was" : "validations in a row were");
    }
}

static void tell_success(const rub_config_t *config, const char *run_dir,
                         const rub_outcome_t *outcome, FILE *out)
{
    const rub_tally_t *tally = &outcome->tally;
    char rate[28], bound[24];
    const double per_s =
        outcome->training_s > 0 ? (double)tally->examples / outcome->training_s : 0;
    tell_measures(tally, out);
    tell_validation(config, run_dir, tally, out);
    fprintf(out, "time           %.1f s training (%s examples/s), %.1f s in all\n",
            outcome->training_s, rub_thousands((uint64_t)per_s, rate, sizeof rate),
            outcome->total_s);
    fprintf(out, "staleness      bound %s, greatest gap %" PRIu64 "\n",
            rub_staleness_text(config->staleness, bound, sizeof bound), tally->gap_max);
    if (outcome->restarts > 0) {
        fprintf(out, "restarts       %u\n", outcome->restarts);
    }
    if (tally->evictions > 0) {
        fprintf(out, "evictions      %u\n", tally->evictions);
    }
    if (config->staleness == 0 && has_pushed_kept(config, tally)) {
        fprintf(out,
                "note           workers pushed what codec %s had kept back when a snapshot was "
                "taken: the weights do not repeat\n",
                rub_codec_find((uint32_t)config->codec)->name);
    }
    if (config->staleness == 0 && tally->evictions > 0) {
        fprintf(
            out,
            "note           %u workers were given up in mid-run: their batches of the time between "
            "are missing, and the weights do not repeat\n",
            tally->evictions);
    }
    if (tally->lost_records > 0) {
        fprintf(out,
                "note           %" PRIu64
                " acknowledged records were lost with the power; 'durability: sync' or 'retain: "
                "synced' keeps them\n",
                tally->lost_records);
    }
    if (tally->deleted_rows > 0) {
        fprintf(out,
                "note           %" PRIu64
                " rows were deleted because they were idle or short ('evict')\n",
                tally->deleted_rows);
    }
    if (!tally->clocked) {
        fprintf(out, "note           nobody ever called clock(): the bound was never in force\n");
    }
}

/* The greatest number of a whole snapshot in folder, and how many there are. */
static uint64_t greatest_snapshot(const char *folder, uint32_t *n_whole_p)
{
    uint64_t greatest = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry;
         entry = readdir(entries)) {
        char manifest[PATH_MAX], *end = NULL;
        const unsigned long long number = strtoull(entry->d_name, &end, 10);
        if (end == entry->d_name || *end != '\0' ||
            snprintf(manifest, sizeof manifest, "%s/%s/" RUB_MANIFEST_NAME, folder,
                     entry->d_name) >= (int)sizeof manifest ||
            !rub_fs_exists(manifest)) {
            continue;
        }
        *n_whole_p += 1;
        greatest = number > greatest ? number : greatest;
    }
    if (entries) {
        (void)closedir(entries);
    }
    return greatest;
}

static void tell_train(const char *file, FILE *out)
{
    fprintf(out, "%s train ", program_invocation_name);
    tell_word(file, out);
}

/* What the run was told by flags beside its file, or the command that goes on would train another
 * model, from other weights, or by other batches; standard input by its copy. Where it met and
 * where it lay are the next run's own, and so are `but` and `nor`; RUB_OPT_COUNT: none. */
static void tell_flags(const rub_config_t *config, rub_option_id_t but, rub_option_id_t nor,
                       FILE *out)
{
    char text[4200];
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        const bool its_own = strcmp(option->group, "net") == 0 ||
                             (strcmp(option->group, "run") == 0 && i != RUB_OPT_init);
        const bool piped = i == RUB_OPT_train_file && config->origins[i].source == RUB_FROM_PROGRAM;
        if ((config->origins[i].source != RUB_FROM_FLAG && !piped) || its_own || i == (int)but ||
            i == (int)nor) {
            continue;
        }
        fprintf(out, " --set %s=", option->name);
        tell_word(rub_option_format(config, option, text, sizeof text), out);
    }
}

/* What this run was not. */
static void tell_next(const rub_config_t *config, const char *file, FILE *out)
{
    const bool bsp = config->staleness == 0;
    const bool same_fleet = config->ps == 3 && config->workers == 1;
    fprintf(out, "try next       ");
    tell_train(file, out);
    tell_flags(config, RUB_OPT_staleness, bsp ? RUB_OPT_reduce : RUB_OPT_COUNT, out);
    if (config->reduce != 0 && config->origins[RUB_OPT_reduce].source != RUB_FROM_FLAG) {
        fprintf(out, " --set reduce=mean"); /* the file's is for bsp alone */
    }
    fprintf(out, "%s\n               ",
            bsp ? " --staleness 4       nobody waits for the slowest at every batch"
                : " --staleness bsp     the same weights every time");
    tell_train(file, out);
    tell_flags(config, RUB_OPT_ps, RUB_OPT_workers, out);
    fprintf(out, " --ps %d --workers %d  another fleet\n", same_fleet ? 2 : 3, same_fleet ? 2 : 1);
}

/* Whoever wants snapshots hears whether there are any, and how to go on from the last. */
static void tell_snapshots(const rub_config_t *config, const rub_run_folder_t *folder,
                           const char *file, const rub_outcome_t *outcome, FILE *out)
{
    char place[PATH_MAX];
    uint32_t n_whole = 0;
    rub_snapshots_folder(config->snapshots_dir, folder->path, place, sizeof place);
    const uint64_t last = greatest_snapshot(place, &n_whole);
    if (n_whole == 0) {
        if (config->snapshot_interval_ms > 0) {
            fprintf(out, "snapshots      none came to be: see %s/scheduler.log\n", folder->path);
        }
        return;
    }
    fprintf(out, "snapshots      %u in %s\n", n_whole, place);
    if (outcome->exit_code != 0) {
        fprintf(out, "go on with     ");
        tell_train(file, out);
        tell_flags(config, RUB_OPT_init, RUB_OPT_COUNT, out);
        fprintf(out, " --resume ");
        tell_word(place, out);
        fprintf(out, "/" RUB_MANIFEST_FOLDER_NAME "\n", (unsigned long long)last);
    }
}

void rub_result_tell(const rub_config_t *config, const rub_run_folder_t *folder,
                     const rub_outcome_t *outcome, FILE *out)
{
    const char *file = config->file[0] ? config->file : "FILE";
    if (outcome->exit_code == 0) {
        tell_success(config, folder->path, outcome, out);
        fprintf(out, "run directory  %s (result.json, metrics.jsonl, config.yaml, logs)\n",
                folder->path);
        tell_snapshots(config, folder, file, outcome, out);
        tell_next(config, file, out);
        return;
    }
    fprintf(out, "rubato train: %s\n", outcome->reason);
    fprintf(out, "run directory  %s (logs, metrics.jsonl, and what the shards have stored)\n",
            folder->path);
    tell_snapshots(config, folder, file, outcome, out);
}
