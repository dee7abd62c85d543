/* A factorization at rest: numbers of users and items are those that the run gave them, so its own
 * files are read again; they also say which items a user has already. Whom they do not name is not
 * known, and is spoken of by the mean and the other side. */
#include "worker/train/ratings_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/exponential.h"
#include "worker/train/rating_figures.h"
#include "worker/train/workload.h"

#include <string.h>

typedef struct resting {
    rub_workload_t workload;
    const rub_ratings_task_t *task; /* the workload's */
    const rub_weight_table_t *tables[RUB_RATING_TABLES];
    rub_rating_source_t source;
} resting_t;

/* A row that was never pushed is what a pull would make it. */
static int read_rows(void *context, rub_rating_table_t table, uint64_t first, size_t n,
                     float *values, rub_error_t *err)
{
    const resting_t *self = context;
    uint64_t *keys = rub_calloc(n, sizeof(*keys));
    if (!keys) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu rows of '%s'", n,
                        self->tables[table]->name);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = first + i;
    }
    rub_weight_table_rows(self->tables[table], keys, n, values);
    rub_free(keys);
    return 0;
}

static int find_tables(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    rub_delta_table_t tables[RUB_RATING_TABLES];
    const rub_ratings_task_t *task = self->task;
    const rub_weight_table_t *mean = NULL;
    const size_t n =
        rub_rating_tables(task->kind, task->spec.width, rub_vocabulary_size(task->set->users),
                          rub_vocabulary_size(task->set->items), &task->update, tables);
    int rc = 0;
    for (size_t t = 0; t < n && rc == 0; t++) {
        rc = rub_weights_expect(of->weights, tables[t].name, 0, tables[t].width, &self->tables[t],
                                err);
    }
    if (rc == 0 && !task->kind->draws) {
        rc = rub_weights_expect(of->weights, RUB_RATING_MEAN_NAME, 1, 0, &mean, err);
    }
    self->source = (rub_rating_source_t){read_rows, self, mean ? (double)mean->values[0] : 0};
    return rc;
}

static int resting_open(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    *self = (resting_t){0};
    int rc = rub_workload_open(of->config, &self->workload, err);
    if (rc == 0) {
        self->task = rub_ratings_task_of(self->workload.task);
        rc = find_tables(of, self, err);
    }
    return rc;
}

/* The run's own part, or other data's in *other. */
static const rub_rating_part_t *choose_part(const rub_evaluation_t *of, const resting_t *resting,
                                            rub_rating_part_t *other, int *rc_p, rub_error_t *err)
{
    const rub_ratings_task_t *task = resting->task;
    const rub_config_t *config = of->config;
    *rc_p = 0;
    if (of->held_out || (task->valid.n > 0 && strcmp(of->data, config->valid_file) == 0)) {
        return &task->valid;
    }
    if (task->test.n > 0 && strcmp(of->data, config->test_file) == 0) {
        return &task->test;
    }
    *rc_p = rub_rating_part_open(task, config, of->data, false, other, err);
    return other;
}

int rub_ratings_measure(const rub_evaluation_t *self,
                        rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                        uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t resting;
    rub_rating_part_t other = {0};
    rub_rating_figures_t figures = {0};
    int rc = resting_open(self, &resting, err);
    if (rc == 0) {
        const rub_rating_part_t *part = choose_part(self, &resting, &other, &rc, err);
        *n_examples_p = part->n;
        rc = rc ? rc
                : rub_rating_figures_add(resting.task, part, &resting.source, 0, part->n, &figures,
                                         err);
    }
    if (rc == 0) {
        *n_measures_p = rub_rating_figures_measures(resting.task, &figures, measures);
    }
    rub_rating_part_close(&other);
    rub_workload_close(&resting.workload);
    return rc;
}

/* ---- predicting ---- */

/* All rows of both sides. */
typedef struct predicting {
    const resting_t *resting;
    rub_rating_rows_t users, items;
    FILE *out;
    uint64_t n;
} predicting_t;

static int predicting_open(const resting_t *resting, predicting_t *self, rub_error_t *err)
{
    const rub_rating_set_t *set = resting->task->set;
    const int rc = rub_rating_rows_open(resting->task, &resting->source, true, 0,
                                        rub_vocabulary_size(set->users), &self->users, err);
    return rc ? rc
              : rub_rating_rows_open(resting->task, &resting->source, false, 0,
                                     rub_vocabulary_size(set->items), &self->items, err);
}

static void predicting_close(predicting_t *self)
{
    rub_rating_rows_close(&self->users);
    rub_rating_rows_close(&self->items);
}

/* What is said: of log-odds the probability, else the score. */
static double said(const predicting_t *self, uint32_t user, uint32_t item)
{
    const rub_ratings_task_t *task = self->resting->task;
    const float score =
        rub_rating_score(task, self->resting->source.mean, &self->users, user, &self->items, item);
    return (double)(task->kind->draws && task->kind->user_bias ? rub_logistic(score) : score);
}

static int predict(void *context, const rub_rating_t *rating, rub_error_t *err)
{
    predicting_t *self = context;
    (void)err; /* a stream's errors are told when the file is finished */
    fprintf(self->out, "%.9g\n", said(self, rating->user, rating->item));
    self->n++;
    return 0;
}

int rub_ratings_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                        rub_error_t *err)
{
    resting_t resting;
    int rc = resting_open(self, &resting, err);
    predicting_t predicting = {.resting = &resting, .out = out};
    if (rc == 0 && strcmp(rub_config_word(self->config, RUB_OPT_predictions), "class") == 0) {
        rc = rub_fail(err, RUB_ECONFIG, "predictions: class, model_kind %s has none",
                      resting.task->kind->name);
    }
    if (rc == 0) {
        const rub_rating_set_t *set = resting.task->set;
        const rub_rating_options_t file = {
            .path = self->data, .interactions = true, .closed = true};
        rc = predicting_open(&resting, &predicting, err);
        rc = rc ? rc
                : rub_rating_reader_scan(&file, set->users, set->items, predict, &predicting, err);
    }
    *n_examples_p = predicting.n;
    predicting_close(&predicting);
    rub_workload_close(&resting.workload);
    return rc;
}

/* ---- recommending ---- */

typedef struct recommending {
    predicting_t of;
    size_t top;
    float *scores;
    uint32_t *best;
    rub_recommended_t *found;
} recommending_t;

static int recommend(recommending_t *self, const char *name, rub_recommend_fn *fn, void *context,
                     rub_error_t *err)
{
    const rub_rating_set_t *set = self->of.resting->task->set;
    const uint32_t user = rub_vocabulary_find(set->users, name, strlen(name));
    const rub_rating_rows_t *items = &self->of.items;
    size_t n_known = 0;
    if (user == RUB_NO_WORD) {
        return rub_fail(err, RUB_ECONFIG, "'%s' is none of the %zu users of the training data",
                        name, rub_vocabulary_size(set->users));
    }
    const uint32_t *known = rub_rating_set_known(set, user, &n_known);
    const size_t width = self->of.resting->task->spec.width;
    rub_item_ranking_scores(self->of.users.vectors + user * width, 1, items->vectors, items->bias,
                            items->n, width, self->scores);
    const size_t n =
        rub_item_ranking_best(self->scores, items->n, known, n_known, self->top, self->best);
    for (size_t i = 0; i < n; i++) {
        self->found[i].item = rub_vocabulary_word(set->items, self->best[i]);
        self->found[i].score = said(&self->of, user, self->best[i]);
    }
    fn(context, name, self->found, n);
    return 0;
}

static int make_room(recommending_t *self, rub_error_t *err)
{
    const size_t n_items = self->of.items.n;
    self->top = self->top < n_items ? self->top : n_items;
    self->scores = rub_calloc(n_items, sizeof(*self->scores));
    self->best = rub_calloc(self->top, sizeof(*self->best));
    self->found = rub_calloc(self->top, sizeof(*self->found));
    return self->scores && self->best && self->found
               ? 0
               : rub_fail(err, RUB_ENOMEM, "no memory for the scores of %zu items", n_items);
}

int rub_ratings_recommend(const rub_evaluation_t *self, const char *const *users, size_t n_users,
                          rub_recommend_fn *fn, void *context, rub_error_t *err)
{
    resting_t resting;
    if (!rub_ratings_task_wanted(self->config)) {
        return rub_fail(err, RUB_ECONFIG,
                        "model_kind %s recommends nothing: expected mf, mf_bpr or "
                        "mf_logistic",
                        rub_config_word(self->config, RUB_OPT_model_kind));
    }
    recommending_t recommending = {.of = {.resting = &resting}, .top = (size_t)self->config->top};
    int rc = resting_open(self, &resting, err);
    rc = rc ? rc : predicting_open(&resting, &recommending.of, err);
    rc = rc ? rc : make_room(&recommending, err);
    for (size_t i = 0; i < n_users && rc == 0; i++) {
        rc = recommend(&recommending, users[i], fn, context, err);
    }
    rub_free(recommending.scores);
    rub_free(recommending.best);
    rub_free(recommending.found);
    predicting_close(&recommending.of);
    rub_workload_close(&resting.workload);
    return rc;
}
