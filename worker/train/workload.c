/* The one place where option values become a task and a plan, so that the worker, the trial before
 * a run and the benchmark train exactly the same thing. */
#include "worker/train/workload.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/conf/option.h"
#include "common/num/optimizer.h"
#include "worker/model/model.h"
#include "worker/train/clicks_task.h"
#include "worker/train/dense_task.h"
#include "worker/train/graph_task.h"
#include "worker/train/ratings_task.h"
#include "worker/train/update.h"
#include "worker/train/words_task.h"

#include <string.h>

/* The dense task is the last one: it takes what nobody else wants. */
typedef struct kind {
    bool (*wanted)(const rub_config_t *config);
    int (*open)(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                rub_error_t *err);
    int (*join)(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                rub_error_t *err); /* for a worker; often the same */
    bool examples;                 /* that can be held out one by one */
    bool windows;                  /* of data that are larger than memory */
    bool vectors;                  /* of things with names, for a file */
    bool steps;                    /* on the worker: what it pushes are no gradients */
    const char *validates_on;
} kind_t;

static bool always_wanted(const rub_config_t *config)
{
    RUB_UNUSED(config);
    return true;
}

static const kind_t kinds[] = {
    {rub_clicks_task_wanted, rub_clicks_task_open, rub_clicks_task_open, true, true, false, false,
     "valid_file"},
    {rub_words_task_wanted, rub_words_task_open, rub_words_task_join, false, false, true, true,
     "test_file"},
    {rub_graph_task_wanted, rub_graph_task_open, rub_graph_task_open, false, false, true, true,
     "valid_file"},
    {rub_ratings_task_wanted, rub_ratings_task_open, rub_ratings_task_open, true, false, true, true,
     "valid_file"},
    {always_wanted, rub_dense_task_open, rub_dense_task_open, true, false, false, false,
     "valid_images"},
};

/* Is it another value than the one that holds unless it is said? (Where from is not the question:
 * the configuration that a run leaves has all of them.) */
static bool is_set(const rub_config_t *config, rub_option_id_t id)
{
    char text[64];
    const rub_option_t *option = &rub_option_table[id];
    return strcmp(rub_option_format(config, option, text, sizeof text), option->fallback) != 0;
}

/* A wish that a task can not fulfil is refused: a bound that is none, or a file that is missed at
 * the end, would be worse. */
static int check_wishes(const kind_t *self, const rub_config_t *config, rub_error_t *err)
{
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    if (!self->examples && config->held_out > 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "held_out: model_kind %s has no examples that stand for themselves", kind);
    }
    if (!self->windows && config->data_memory_bytes > 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "data_memory: model_kind %s has all of its data in memory; only sparse "
                        "examples are read in windows",
                        kind);
    }
    if (config->optimizer == RUB_ADD && config->delay != RUB_DELAY_IGNORED) {
        return rub_fail(
            err, RUB_ECONFIG,
            "delay: optimizer add takes what is pushed as it is, however late it comes");
    }
    if (config->schedule_clocks == 0 &&
        (config->schedule == RUB_SCHEDULE_STEP || config->schedule == RUB_SCHEDULE_INVERSE)) {
        return rub_fail(err, RUB_ECONFIG,
                        "schedule_clocks: 0, schedule %s has no other measure, expected at least 1",
                        rub_config_word(config, RUB_OPT_schedule));
    }
    const rub_optimizer_t *optimizer = rub_optimizer_find((uint32_t)config->optimizer);
    if (optimizer->revises && config->delay != RUB_DELAY_IGNORED) {
        return rub_fail(err, RUB_ECONFIG,
                        "delay: optimizer %s makes up for late gradients by itself, from the "
                        "gradient as it came",
                        optimizer->name);
    }
    if (optimizer->revises && (float)config->epsilon <= 0.0f) {
        return rub_fail(err, RUB_ECONFIG, "epsilon: optimizer %s divides by it, expected above 0",
                        optimizer->name);
    }
    if (optimizer->revises && config->local_steps > 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "local_steps: optimizer %s makes up for late gradients, a worker's own "
                        "are not late: take adagrad",
                        optimizer->name);
    }
    if (config->local_steps > 0 && self->open != rub_dense_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "local_steps: model_kind %s has none, only networks and softmax have",
                        kind);
    }
    if (config->local_steps > 0 &&
        (config->optimizer == RUB_ADD || config->delay != RUB_DELAY_IGNORED)) {
        return rub_fail(err, RUB_ECONFIG,
                        "local_steps: workers step with gradients of their own, which are not "
                        "late; %s",
                        config->optimizer == RUB_ADD ? "optimizer add has no rate to do that at"
                                                     : "delay has nothing to work on");
    }
    if (config->local_steps == 0 && (config->server_momentum > 0 || config->server_lr != 1)) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: the shards step with averaged changes of workers only where there are "
                        "local_steps",
                        config->server_momentum > 0 ? "server_momentum" : "server_lr");
    }
    if (optimizer->needs_whole && config->local_steps == 0) {
        return rub_fail(
            err, RUB_ECONFIG, "optimizer %s takes norms of whole tensors, which no shard has: %s",
            optimizer->name,
            self->open == rub_dense_task_open ? "set local_steps to 1 or more, so that workers step"
                                              : "it is for networks and softmax");
    }
    if (config->delay >= RUB_DELAY_COMPENSATES && self->open != rub_dense_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "delay: model_kind %s has hashed tables; compensation is for dense ones",
                        kind);
    }
    if ((config->admit_probability < 1 || config->admit_count > 1) &&
        self->open != rub_clicks_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "admit: model_kind %s does not learn from sparse examples, whose rows are "
                        "admitted by a draw or by a count",
                        kind);
    }
    if (config->admit_probability < 1 && config->admit_count > 1) {
        return rub_fail(err, RUB_ECONFIG,
                        "admit: count %llu and probability %g, rows are admitted by one of them",
                        (unsigned long long)config->admit_count, config->admit_probability);
    }
    if (config->admit_count <= 1 && is_set(config, RUB_OPT_admit_counters)) {
        return rub_fail(err, RUB_ECONFIG,
                        "admit_counters: %llu, but pushes are counted only where admit_count is "
                        "above 1",
                        (unsigned long long)config->admit_counters);
    }
    const bool evicts = config->evict_idle > 0 || config->evict_norm > 0;
    if (!evicts && is_set(config, RUB_OPT_evict_sweep)) {
        return rub_fail(err, RUB_ECONFIG,
                        "evict_sweep: %llu, but no row is looked at unless evict_idle or "
                        "evict_norm is above 0",
                        (unsigned long long)config->evict_sweep);
    }
    if (evicts && self->open == rub_dense_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "evict: model_kind %s has dense tables alone; rows of hashed tables are "
                        "deleted",
                        kind);
    }
    if (config->precision != 0 && self->open != rub_dense_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "precision: model_kind %s computes in float32; codec and pull_codec say "
                        "how its values travel",
                        kind);
    }
    if (config->column_tables[0] && self->open != rub_clicks_task_open) {
        return rub_fail(err, RUB_ECONFIG,
                        "column_tables: model_kind %s does not learn from sparse examples, whose "
                        "columns may have tables of their own",
                        kind);
    }
    if (!self->vectors && config->vectors[0]) {
        return rub_fail(
            err, RUB_ECONFIG,
            "vectors: model_kind %s has none of words, entities or items; 'rubato export' "
            "writes its weights",
            kind);
    }
    return 0;
}

/* So is what a task or an optimizer would pass over. */
static int check_unread(const kind_t *self, const rub_config_t *config, rub_error_t *err)
{
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    const bool dense = self->open == rub_dense_task_open;
    const bool table = dense && rub_dense_task_reads_table(config);
    const bool lacks_images = config->train_file[0] && !config->train_images[0];
    const char *const own = table ? "valid_file" : self->validates_on;
    if (config->valid_file[0] && strcmp(own, "valid_file") != 0) {
        return rub_fail(err, RUB_ECONFIG, "valid_file: model_kind %s does not read it, expected %s",
                        kind, own);
    }
    if (config->valid_images[0] && strcmp(own, "valid_images") != 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "valid_images: model_kind %s does not read them, expected %s", kind, own);
    }
    if (dense && !table && (config->test_file[0] || lacks_images)) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: model_kind %s does not read it where data_format is %s, expected %s, "
                        "or data_format csv or tsv",
                        lacks_images ? "train_file" : "test_file", kind,
                        rub_config_word(config, RUB_OPT_data_format),
                        lacks_images ? "train_images" : "test_images");
    }
    if (table && (config->train_images[0] || config->test_images[0])) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: data_format %s has its labels in a column, expected train_file and "
                        "test_file",
                        config->train_images[0] ? "train_images" : "test_images",
                        rub_config_word(config, RUB_OPT_data_format));
    }
    if (config->classes > 0 && !dense && strcmp(kind, "softmax") != 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "classes: %llu, model_kind %s has none, only networks and softmax have",
                        (unsigned long long)config->classes, kind);
    }
    if (self->steps && (config->clip_value > 0 || config->clip_norm > 0)) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s: model_kind %s steps on the worker and pushes sums, expected 0",
                        config->clip_value > 0 ? "clip_value" : "clip_norm", kind);
    }
    if ((config->l1 > 0 || config->l2 > 0) && config->optimizer != RUB_FTRL) {
        return rub_fail(err, RUB_ECONFIG, "%s: optimizer %s has none, expected ftrl%s",
                        config->l1 > 0 ? "l1" : "l2", rub_config_word(config, RUB_OPT_optimizer),
                        config->l1 > 0 ? "" : ", or weight_decay instead");
    }
    if (config->weight_decay > 0 &&
        (config->optimizer == RUB_ADD || config->optimizer == RUB_FTRL)) {
        return rub_fail(err, RUB_ECONFIG, "weight_decay: optimizer %s takes none, expected 0%s",
                        rub_config_word(config, RUB_OPT_optimizer),
                        config->optimizer == RUB_FTRL                   ? ", or l2 instead"
                        : self->steps && !rub_words_task_wanted(config) ? ", or regularization"
                                                                        : "");
    }
    return 0;
}

/* Weights of that precision arrive rounded, by the codec of pulls. Gradients were rounded where
 * they are made, or are by the codec: bf16, which has float32's range; unscaled, float16 would lose
 * what the loss scale has saved. */
static int settle_precision(const rub_config_t *config, rub_update_t *update, rub_error_t *err)
{
    static const rub_codec_kind_t codecs[] = {RUB_CODEC_F32, RUB_CODEC_BF16, RUB_CODEC_F16};
    const char *const precision = rub_config_word(config, RUB_OPT_precision);
    const rub_codec_kind_t codec = codecs[config->precision];
    if (codec == RUB_CODEC_F32) {
        return 0;
    }
    if (update->pull_codec != RUB_CODEC_F32 && update->pull_codec != codec) {
        return rub_fail(err, RUB_ECONFIG, "pull_codec: %s, and precision %s: weights arrive as one",
                        rub_config_word(config, RUB_OPT_pull_codec), precision);
    }
    if (config->local_steps > 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "precision: %s, but with local_steps workers step on weights that have to "
                        "be float32",
                        precision);
    }
    update->pull_codec = codec;
    update->push_codec = update->push_codec == RUB_CODEC_F32 ? RUB_CODEC_BF16 : update->push_codec;
    update->scales_loss = codec == RUB_CODEC_F16;
    return 0;
}

static uint64_t batches_per_push(const rub_config_t *config)
{
    return config->local_steps > 1 ? config->local_steps : 1;
}

static const kind_t *kind_of(const rub_config_t *config)
{
    const kind_t *kind = kinds;
    while (!kind->wanted(config)) {
        kind++;
    }
    return kind;
}

int rub_workload_check(const rub_config_t *config, rub_error_t *err)
{
    const kind_t *const kind = kind_of(config);
    const int rc = check_wishes(kind, config, err);
    return rc ? rc : check_unread(kind, config, err);
}

static int open_task(const rub_config_t *config, const rub_update_t *update, bool joins,
                     rub_task_t **task_p, rub_error_t *err)
{
    const kind_t *const kind = kind_of(config);
    const int rc = rub_workload_check(config, err);
    return rc ? rc : (joins ? kind->join : kind->open)(config, update, task_p, err);
}

static int open_workload(const rub_config_t *config, bool joins, rub_workload_t *self,
                         rub_error_t *err)
{
    *self = (rub_workload_t){0};
    rub_update_t update = rub_update_read(config);
    rub_model_threads((unsigned)config->blas_threads);
    self->plan = (rub_training_plan_t){.epochs = config->epochs,
                                       .validate_every = config->validate_every,
                                       .batch_examples = batches_per_push(config) * config->batch,
                                       .piece_examples = config->piece_examples,
                                       .prefetch = config->prefetch};
    int rc = rub_pace_read(&self->plan.pace, config->pace_ms, config->slow, err);
    rc = rc ? rc : settle_precision(config, &update, err);
    if (rc == 0 && rub_remote_data_wanted(config)) {
        rc = rub_remote_data_open(config, &self->remote, err);
        config = rc == 0 ? rub_remote_data_config(self->remote) : config;
    }
    rc = rc ? rc : open_task(config, &update, joins, &self->task, err);
    rc = rc ? rc : rub_validation_read(config, self->task, &self->plan.validation, err);
    if (rc != 0) {
        rub_workload_close(self);
    }
    return rc;
}

int rub_workload_open(const rub_config_t *config, rub_workload_t *self, rub_error_t *err)
{
    return open_workload(config, false, self, err);
}

int rub_workload_join(const rub_config_t *config, rub_workload_t *self, rub_error_t *err)
{
    return open_workload(config, true, self, err);
}

void rub_workload_close(rub_workload_t *self)
{
    rub_task_close(&self->task);
    rub_remote_data_close(&self->remote);
}
