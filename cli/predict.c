/* `rubato predict MODEL --data FILE -o FILE`: a file of examples in, a file of predictions out,
 * line by line, in as much memory as the model and a few examples take. The output has its name
 * only when it is whole; to standard output it goes as it comes. */
#include "cli/commands.h"
#include "cli/trained_model.h"
#include "common/base/error.h"
#include "common/base/whole_file.h"
#include "worker/data/data_files.h"
#include "worker/train/evaluation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int write_all(const rub_trained_model_t *model, const char *path, uint64_t *n_p,
                     rub_error_t *err)
{
    const rub_evaluation_t evaluation = {.config = &model->config,
                                         .weights = &model->weights,
                                         .words = model->words,
                                         .data = model->config.data,
                                         .labels = ""};
    rub_whole_file_t *file = NULL;
    int rc = rub_data_files_spare(model->config.data, path, err);
    rc = rc ? rc : rub_whole_file_open(path, &file, err);
    rc = rc ? rc : rub_predict(&evaluation, rub_whole_file_stream(file), n_p, err);
    if (rc == 0) {
        rc = rub_whole_file_finish(&file, err);
    }
    rub_whole_file_abandon(&file);
    return rc;
}

static int predict(const rub_config_t *config, rub_error_t *err)
{
    rub_trained_model_t model;
    uint64_t n = 0;
    const char *path = config->output[0] ? config->output : "-";
    if (!config->data[0]) {
        return rub_fail(err, RUB_ECONFIG, "--data names the examples; - is standard input");
    }
    int rc = rub_trained_model_open(config->words[0], config, &model, err);
    if (rc) {
        return rc;
    }
    rc = write_all(&model, path, &n, err);
    if (rc == 0 && strcmp(path, "-") != 0) {
        printf("%s: %" PRIu64 " predictions with the weights of %s\n", path, n, model.from);
    }
    rub_trained_model_close(&model);
    return rc;
}

int rub_predict_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    const int rc =
        config->n_words == 1
            ? predict(config, &err)
            : rub_fail(&err, RUB_ECONFIG, "one model is expected, not %u", config->n_words);
    if (rc != 0) {
        fprintf(stderr, "rubato predict: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
