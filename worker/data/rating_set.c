/* Making a set of ratings.
 *
 * Names come from what is trained on alone: a user or an item that training never saw has no row
 * that means anything, and what is said of it should come from the mean and the other side.
 * Held-out lines stand among the others, so their files are read twice: training first, with new
 * names, then the rest with these. Invariant: every worker that reads the same files has the same
 * numbers and orders. */
#include "worker/data/rating_set.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <stdlib.h>

typedef struct collecting {
    rub_rating_list_t *list;
    const char *path;
} collecting_t;

static int append(void *context, const rub_rating_t *rating, rub_error_t *err)
{
    const collecting_t *self = context;
    rub_rating_list_t *list = self->list;
    if (list->n == RUB_RATINGS_LIMIT) {
        return rub_fail(err, RUB_EDATA, "data '%s' hold more than %u ratings", self->path,
                        RUB_RATINGS_LIMIT);
    }
    if (rub_grow(&list->items, &list->room, list->n + 1, sizeof *list->items) != 0) {
        return rub_fail(err, RUB_ENOMEM, "data '%s': no memory for %zu ratings", self->path,
                        list->n);
    }
    list->items[list->n++] = *rating;
    return 0;
}

static int collect(const rub_rating_set_t *self, const rub_rating_options_t *file,
                   rub_rating_list_t *list, const char *what, rub_error_t *err)
{
    collecting_t collecting = {list, file->path};
    const int rc = rub_rating_reader_scan(file, self->users, self->items, append, &collecting, err);
    return rc || list->n > 0
               ? rc
               : rub_fail(err, RUB_EDATA, "data '%s' hold 0 ratings to %s", file->path, what);
}

/* The vocabularies' final numbers. */
static int settle(rub_rating_set_t *self, rub_error_t *err)
{
    uint32_t *users = NULL, *items = NULL;
    int rc = rub_vocabulary_settle(self->users, 1, &users, err);
    rc = rc ? rc : rub_vocabulary_settle(self->items, 1, &items, err);
    double sum = 0;
    for (size_t i = 0; i < self->train.n && rc == 0; i++) {
        rub_rating_t *rating = &self->train.items[i];
        rating->user = users[rating->user];
        rating->item = items[rating->item];
        sum += (double)rating->value;
    }
    self->mean = sum / (double)self->train.n;
    rub_free(users);
    rub_free(items);
    return rc;
}

/* Begins of runs: at[x] becomes how many ratings have a smaller x. */
static void begin_runs(size_t *at, size_t n)
{
    size_t before = 0;
    for (size_t x = 0; x <= n; x++) {
        const size_t count = at[x];
        at[x] = before;
        before += count;
    }
}

/* Counting sort by item, then by user: each user's items ascend. */
static int index_known(rub_rating_set_t *self, rub_error_t *err)
{
    const size_t n_users = rub_vocabulary_size(self->users);
    const size_t n_items = rub_vocabulary_size(self->items);
    const rub_rating_list_t *train = &self->train;
    size_t *at_item = rub_calloc(n_items + 1, sizeof *at_item);
    size_t *at_user = rub_calloc(n_users + 1, sizeof *at_user);
    uint32_t *by_item = rub_calloc(train->n, sizeof *by_item);
    self->starts = rub_calloc(n_users + 1, sizeof *self->starts);
    self->known = rub_calloc(train->n, sizeof *self->known);
    const bool room = at_item && at_user && by_item && self->starts && self->known;
    for (size_t i = 0; i < train->n && room; i++) {
        at_item[train->items[i].item]++;
        at_user[train->items[i].user]++;
    }
    if (room) {
        begin_runs(at_item, n_items);
        begin_runs(at_user, n_users);
        for (size_t u = 0; u <= n_users; u++) {
            self->starts[u] = at_user[u];
        }
        for (size_t i = 0; i < train->n; i++) {
            by_item[at_item[train->items[i].item]++] = (uint32_t)i;
        }
        for (size_t i = 0; i < train->n; i++) {
            const rub_rating_t *rating = &train->items[by_item[i]];
            self->known[at_user[rating->user]++] = rating->item;
        }
    }
    rub_free(at_item);
    rub_free(at_user);
    rub_free(by_item);
    return room ? 0
                : rub_fail(err, RUB_ENOMEM, "ratings: no memory to find the items of %zu users",
                           n_users);
}

static int by_user_then_item(const void *a, const void *b)
{
    const rub_rating_t *x = a;
    const rub_rating_t *y = b;
    if (x->user != y->user) {
        return x->user < y->user ? -1 : 1;
    }
    if (x->item != y->item) {
        return x->item < y->item ? -1 : 1;
    }
    return x->value < y->value ? -1 : x->value > y->value;
}

int rub_rating_set_read(const rub_rating_set_t *self, const rub_rating_options_t *file,
                        rub_rating_list_t *list, rub_error_t *err)
{
    rub_rating_options_t closed = *file;
    closed.closed = true;
    const int rc = collect(self, &closed, list, "validate on", err);
    if (rc == 0) {
        qsort(list->items, list->n, sizeof *list->items, by_user_then_item);
    }
    return rc;
}

void rub_rating_list_fini(rub_rating_list_t *self)
{
    rub_free(self->items);
    *self = (rub_rating_list_t){0};
}

static int read_all(const rub_rating_set_options_t *options, rub_rating_set_t *self,
                    rub_error_t *err)
{
    const rub_rating_options_t file = {.path = options->train,
                                       .interactions = options->interactions,
                                       .least = options->least,
                                       .held_out = options->held_out,
                                       .held_out_seed = options->seed};
    int rc = collect(self, &file, &self->train, "train on", err);
    rc = rc ? rc : settle(self, err);
    return rc ? rc : index_known(self, err);
}

int rub_rating_set_open(const rub_rating_set_options_t *options, rub_rating_set_t **set_p,
                        rub_error_t *err)
{
    rub_rating_set_t *self = rub_calloc(1, sizeof *self);
    *set_p = NULL;
    if (self != NULL) {
        self->users = rub_vocabulary_new();
        self->items = rub_vocabulary_new();
    }
    if (self == NULL || self->users == NULL || self->items == NULL) {
        rub_rating_set_close(&self);
        return rub_fail(err, RUB_ENOMEM, "ratings: no memory");
    }
    const int rc = read_all(options, self, err);
    if (rc) {
        rub_rating_set_close(&self);
    }
    *set_p = self;
    return rc;
}

void rub_rating_set_close(rub_rating_set_t **set_p)
{
    rub_rating_set_t *self = *set_p;
    if (self == NULL) {
        return;
    }
    rub_rating_list_fini(&self->train);
    rub_vocabulary_destroy(&self->users);
    rub_vocabulary_destroy(&self->items);
    rub_free(self->starts);
    rub_free(self->known);
    rub_free(self);
    *set_p = NULL;
}
