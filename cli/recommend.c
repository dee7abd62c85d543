/* `rubato recommend MODEL USER...`: for each user the items that a factorization of ratings puts
 * first among those that the user does not have in training. */
#include "cli/commands.h"
#include "cli/trained_model.h"
#include "common/base/error.h"
#include "worker/train/ratings_evaluation.h"

#include <jansson.h>
#include <stdio.h>

static void print(void *context, const char *user, const rub_recommended_t *best, size_t n)
{
    const bool json = *(const bool *)context;
    if (!json) {
        printf("%s\n", user);
        for (size_t i = 0; i < n; i++) {
            printf("  %-24s %.4f\n", best[i].item, best[i].score);
        }
        return;
    }
    json_t *row = json_pack("{s:s, s:[]}", "user", user, "items");
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(
            json_object_get(row, "items"),
            json_pack("{s:s, s:f}", "item", best[i].item, "score", best[i].score));
    }
    json_dumpf(row, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(row);
}

int rub_recommend_main(const rub_config_t *config)
{
    rub_error_t err = {0};
    rub_trained_model_t model;
    bool json = config->json;
    int rc = config->n_words >= 2
                 ? rub_trained_model_open(config->words[0], config, &model, &err)
                 : rub_fail(&err, RUB_EINVAL, "a model and at least one user are expected");
    if (rc == 0) {
        const rub_evaluation_t evaluation = {.config = &model.config, .weights = &model.weights};
        rc = rub_ratings_recommend(&evaluation, config->words + 1, config->n_words - 1, print,
                                   &json, &err);
        rub_trained_model_close(&model);
    }
    if (rc != 0) {
        fprintf(stderr, "rubato recommend: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
