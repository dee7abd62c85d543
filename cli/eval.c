/* `rubato eval MODEL`: what a trained model is worth, on data or on tests of words.
 *
 * On data: the figures that training reports of a test set, over all of it at once, so that an AUC
 * is over all pairs. On words: similarities and analogies, of a run, a snapshot or a file of
 * vectors. */
#include "cli/commands.h"
#include "cli/eval_words.h"
#include "cli/result.h"
#include "cli/trained_model.h"
#include "common/base/error.h"
#include "worker/train/evaluation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where nothing is named, what the run had as its test set: files, or a part of those it trained
 * on. */
static rub_evaluation_t evaluation_of(const rub_trained_model_t *model)
{
    const rub_config_t *config = &model->config;
    const bool images = config->train_images[0] != '\0';
    const char *tested = images ? config->test_images : config->test_file;
    rub_evaluation_t evaluation = {.config = config,
                                   .weights = &model->weights,
                                   .words = model->words,
                                   .data = config->data,
                                   .labels = config->labels};
    if (config->data[0]) {
        return evaluation;
    }
    evaluation.held_out = !tested[0] && config->held_out > 0;
    const char *trained = images ? config->train_images : config->train_file;
    const char *labels = evaluation.held_out ? config->train_labels : config->test_labels;
    evaluation.data = evaluation.held_out ? trained : tested;
    evaluation.labels = config->labels[0] ? config->labels : images ? labels : "";
    return evaluation;
}

static void tell(const rub_trained_model_t *model, const rub_measure_t *measures, size_t n,
                 uint64_t n_examples)
{
    const char *counted = rub_evaluation_counts(&model->config);
    if (!model->config.json) {
        int width = 9;
        for (size_t i = 0; i < n; i++) {
            const int name = (int)strlen(measures[i].name);
            width = name > width ? name : width;
        }
        for (size_t i = 0; i < n; i++) {
            printf("test %-*s %.4f\n", width, measures[i].name, measures[i].value);
        }
        printf("%-*s %" PRIu64 ", with the weights of %s\n", width + 5, counted, n_examples,
               model->from);
        return;
    }
    json_t *metrics = json_object();
    for (size_t i = 0; i < n; i++) {
        json_object_set_new(metrics, measures[i].name, rub_json_number(measures[i].value));
    }
    json_t *said = json_pack("{s:s, s:I, s:o}", "from", model->from, counted,
                             (json_int_t)n_examples, "metrics", metrics);
    json_dumpf(said, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
    fputc('\n', stdout);
    json_decref(said);
}

static int measure(const rub_config_t *config, rub_error_t *err)
{
    rub_trained_model_t model;
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    size_t n = 0;
    uint64_t n_examples = 0;
    int rc = rub_trained_model_open(config->words[0], config, &model, err);
    if (rc) {
        return rc;
    }
    const rub_evaluation_t evaluation = evaluation_of(&model);
    rc = rub_evaluate(&evaluation, measures, &n, &n_examples, err);
    if (rc == 0) {
        tell(&model, measures, n, n_examples);
    }
    rub_trained_model_close(&model);
    return rc;
}

int rub_eval_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    const bool words = config->pairs[0] != '\0' || config->analogies[0] != '\0';
    const int rc = config->n_words != 1 ? rub_fail(&err, RUB_ECONFIG,
                                                   "one model is expected, not %u", config->n_words)
                   : words              ? rub_eval_words(config, &err)
                                        : measure(config, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato eval: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
