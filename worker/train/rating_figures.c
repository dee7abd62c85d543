/* Examples stand by user, so a stretch of them needs a stretch of users: these are read a
 * window at a time, while items, of which every user may ask any, stay. Rankings go by blocks of
 * users, whose scores of all items are one matrix product. */
#include "worker/train/rating_figures.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <math.h>
#include <string.h>

#define AT_ONCE 16384u          /* rows */
#define SCORES_AT_ONCE 4194304u /* 16 MB */
enum { USERS_AT_ONCE = 64 };

/* ---- rows ---- */

static int read_all(const rub_rating_source_t *source, rub_rating_table_t table, uint32_t width,
                    uint64_t first, size_t n, float *values, rub_error_t *err)
{
    int rc = 0;
    for (size_t done = 0; done < n && rc == 0; done += AT_ONCE) {
        const size_t left = n - done;
        rc = source->read(source->context, table, first + done, left < AT_ONCE ? left : AT_ONCE,
                          values + done * width, err);
    }
    return rc;
}

int rub_rating_rows_open(const rub_ratings_task_t *task, const rub_rating_source_t *source,
                         bool users, uint64_t first, size_t n, rub_rating_rows_t *self,
                         rub_error_t *err)
{
    const uint32_t width = task->spec.width;
    *self = (rub_rating_rows_t){.n = n};
    self->vectors = rub_alloc_aligned(64, (n * width + 1) * sizeof(*self->vectors));
    self->bias = rub_calloc(n + 1, sizeof(*self->bias));
    if (!self->vectors || !self->bias) {
        return rub_fail(err, RUB_ENOMEM, "ratings: no memory for %zu rows", n);
    }
    const rub_rating_table_t bias = users ? RUB_RATING_USER_BIAS : RUB_RATING_ITEM_BIAS;
    int rc = read_all(source, users ? RUB_RATING_USERS : RUB_RATING_ITEMS, width, first, n,
                      self->vectors, err);
    if (rc == 0 && (!users || task->kind->user_bias)) {
        rc = read_all(source, bias, 1, first, n, self->bias, err);
    }
    return rc;
}

void rub_rating_rows_close(rub_rating_rows_t *self)
{
    rub_free(self->vectors);
    rub_free(self->bias);
    *self = (rub_rating_rows_t){0};
}

float rub_rating_score(const rub_ratings_task_t *task, double mean, const rub_rating_rows_t *users,
                       uint32_t user, const rub_rating_rows_t *items, uint32_t item)
{
    const size_t width = task->spec.width;
    float score = task->kind->draws ? 0 : (float)mean;
    score += user != RUB_NO_WORD ? users->bias[user] : 0;
    score += item != RUB_NO_WORD ? items->bias[item] : 0;
    if (user != RUB_NO_WORD && item != RUB_NO_WORD) {
        score +=
            rub_rating_product(users->vectors + user * width, items->vectors + item * width, width);
    }
    return score;
}

/* ---- a window of users ---- */

typedef struct window {
    const rub_ratings_task_t *task;
    const rub_rating_part_t *part;
    const rub_rating_source_t *source;
    rub_rating_rows_t items, users;
    uint64_t first; /* of users */
} window_t;

/* Makes the user's row one of the window's; *place_p: which. */
static int place_of(window_t *self, uint32_t user, uint32_t *place_p, rub_error_t *err)
{
    int rc = 0;
    *place_p = user;
    if (user == RUB_NO_WORD) {
        return 0;
    }
    if (user < self->first || user >= self->first + self->users.n) {
        const size_t left = rub_vocabulary_size(self->task->set->users) - user;
        rub_rating_rows_close(&self->users);
        self->first = user;
        rc = rub_rating_rows_open(self->task, self->source, true, user,
                                  left < AT_ONCE ? left : AT_ONCE, &self->users, err);
    }
    *place_p = (uint32_t)(user - self->first);
    return rc;
}

static int window_open(const rub_ratings_task_t *task, const rub_rating_part_t *part,
                       const rub_rating_source_t *source, window_t *self, rub_error_t *err)
{
    *self = (window_t){.task = task, .part = part, .source = source};
    return rub_rating_rows_open(task, source, false, 0, rub_vocabulary_size(task->set->items),
                                &self->items, err);
}

static void window_close(window_t *self)
{
    rub_rating_rows_close(&self->items);
    rub_rating_rows_close(&self->users);
}

/* ---- ratings ---- */

static int add_ratings(window_t *self, uint64_t first, uint64_t last, rub_rating_figures_t *figures,
                       rub_error_t *err)
{
    int rc = 0;
    for (uint64_t i = first; i < last && rc == 0; i++) {
        const rub_rating_t *rating = &self->part->ratings.items[i];
        uint32_t place = 0;
        rc = place_of(self, rating->user, &place, err);
        if (rc == 0) {
            const double difference =
                (double)rating->value - (double)rub_rating_score(self->task, self->source->mean,
                                                                 &self->users, place, &self->items,
                                                                 rating->item);
            figures->squares += difference * difference;
            figures->absolutes += fabs(difference);
            figures->ratings += 1;
        }
    }
    return rc;
}

/* ---- rankings ---- */

typedef struct ranking {
    float *queries, *scores;
    uint32_t *wanted;
    size_t wanted_room, block;
} ranking_t;

static const rub_rating_t *held_out_of(const rub_rating_part_t *part, uint64_t user, size_t *n_p)
{
    *n_p = part->starts[user + 1] - part->starts[user];
    return part->ratings.items + part->starts[user];
}

static int rank_user(const window_t *self, ranking_t *ranking, uint64_t user, const float *scores,
                     rub_rating_figures_t *figures, rub_error_t *err)
{
    size_t n = 0, n_wanted = 0, n_known = 0;
    const rub_rating_t *held_out = held_out_of(self->part, user, &n);
    if (rub_grow(&ranking->wanted, &ranking->wanted_room, n, sizeof(*ranking->wanted)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "ranking: no memory for %zu items of a user", n);
    }
    for (size_t i = 0; i < n; i++) {
        if (held_out[i].item != RUB_NO_WORD) {
            ranking->wanted[n_wanted++] = held_out[i].item;
        }
    }
    const uint32_t *known = rub_rating_set_known(self->task->set, held_out[0].user, &n_known);
    rub_item_ranking_add(scores, self->items.n, known, n_known, ranking->wanted, n_wanted,
                         self->task->top, &figures->ranks);
    return 0;
}

static int rank_block(window_t *self, ranking_t *ranking, uint64_t first, size_t n,
                      rub_rating_figures_t *figures, rub_error_t *err)
{
    const size_t width = self->task->spec.width;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t n_held_out = 0;
        uint32_t place = 0;
        rc = place_of(self, held_out_of(self->part, first + i, &n_held_out)->user, &place, err);
        if (rc == 0) {
            memcpy(ranking->queries + i * width, self->users.vectors + place * width,
                   width * sizeof(*ranking->queries));
        }
    }
    if (rc) {
        return rc;
    }
    rub_item_ranking_scores(ranking->queries, n, self->items.vectors, self->items.bias,
                            self->items.n, width, ranking->scores);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = rank_user(self, ranking, first + i, ranking->scores + i * self->items.n, figures, err);
    }
    return rc;
}

static int add_rankings(window_t *self, uint64_t first, uint64_t last,
                        rub_rating_figures_t *figures, rub_error_t *err)
{
    const size_t fitting = SCORES_AT_ONCE / (self->items.n + 1) + 1;
    ranking_t ranking = {.block = fitting < USERS_AT_ONCE ? fitting : USERS_AT_ONCE};
    ranking.queries = rub_calloc(ranking.block * self->task->spec.width, sizeof(float));
    ranking.scores = rub_calloc(ranking.block * self->items.n, sizeof(float));
    int rc = ranking.queries && ranking.scores
                 ? 0
                 : rub_fail(err, RUB_ENOMEM, "ranking: no memory for the scores of %zu items",
                            self->items.n);
    for (uint64_t user = first; user < last && rc == 0; user += ranking.block) {
        const uint64_t left = last - user;
        rc = rank_block(self, &ranking, user, left < ranking.block ? (size_t)left : ranking.block,
                        figures, err);
    }
    rub_free(ranking.queries);
    rub_free(ranking.scores);
    rub_free(ranking.wanted);
    return rc;
}

int rub_rating_figures_add(const rub_ratings_task_t *task, const rub_rating_part_t *part,
                           const rub_rating_source_t *source, uint64_t first, uint64_t last,
                           rub_rating_figures_t *figures, rub_error_t *err)
{
    window_t window;
    if (first == last) {
        return 0;
    }
    int rc = window_open(task, part, source, &window, err);
    if (rc == 0) {
        rc = task->kind->draws ? add_rankings(&window, first, last, figures, err)
                               : add_ratings(&window, first, last, figures, err);
    }
    window_close(&window);
    return rc;
}

size_t rub_rating_figures_measures(const rub_ratings_task_t *task,
                                   const rub_rating_figures_t *figures,
                                   rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    if (!task->kind->draws) {
        const double n = figures->ratings > 0 ? figures->ratings : 1;
        measures[0] = (rub_measure_t){"rmse", sqrt(figures->squares / n)};
        measures[1] = (rub_measure_t){"mae", figures->absolutes / n};
        return 2;
    }
    const rub_item_ranks_t *ranks = &figures->ranks;
    const double n = ranks->users > 0 ? ranks->users : 1;
    const rub_measure_t all[] = {{"precision_at_k", ranks->precision / n},
                                 {"recall_at_k", ranks->recall / n},
                                 {"ndcg_at_k", ranks->ndcg / n},
                                 {"auc", ranks->auc / n}};
    for (size_t i = 0; i < RUB_COUNT_OF(all); i++) {
        measures[i] = all[i];
    }
    return RUB_COUNT_OF(all);
}
