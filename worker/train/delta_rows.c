/* Pulling, changing and pushing rows.
 *
 * A prefetch leaves before this period's changes are pushed, so under a bound above 0 it comes back
 * without them, and training would go on from rows that lack what it has just learnt: as good as
 * another, stale worker (measured with word vectors of the Brown corpus: a tenth of the neighbours
 * of words change). So a push first waits for what was prefetched, and adds its changes to that.
 * What a period pushes is the difference to where it started, so tables never count a change twice.
 * Under bsp the answer has the changes: it waits for the clock. */
#include "worker/train/delta_rows.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "worker/train/pull_set.h"

#include <inttypes.h>
#include <string.h>

#define NO_ROW UINT32_MAX
enum { CACHE_LINE = 64, ROWS_AHEAD = 4 };

typedef struct row_set {
    rub_pull_set_t pulls;
    rub_key_list_t lists[RUB_DELTA_TABLES_LIMIT];
    float *values[RUB_DELTA_TABLES_LIMIT]; /* as pulled; once pushed what was pushed */
    size_t room[RUB_DELTA_TABLES_LIMIT];   /* rows */
} row_set_t;

struct rub_delta_rows {
    rub_session_t *session;
    size_t n_tables;
    rub_delta_table_t tables[RUB_DELTA_TABLES_LIMIT];
    rub_table_t ids[RUB_DELTA_TABLES_LIMIT];
    row_set_t sets[2];
    unsigned current;
    float *work[RUB_DELTA_TABLES_LIMIT];
    size_t work_room[RUB_DELTA_TABLES_LIMIT];
    uint32_t *row_of; /* by key; NO_ROW between calls */
};

void rub_delta_rows_schema(const rub_delta_table_t *table, rub_schema_t *schema)
{
    rub_schema_defaults(schema);
    schema->name = table->name;
    schema->kind = RUB_HASHED;
    schema->width = table->width;
    schema->optimizer = RUB_ADD;
    schema->init = table->init;
    schema->init_scale = table->init_scale;
    schema->evict = table->evict;
}

static int open_table(rub_delta_rows_t *self, size_t t, rub_error_t *err)
{
    const rub_delta_table_t *table = &self->tables[t];
    rub_schema_t schema;
    rub_delta_rows_schema(table, &schema);
    const int rc = rub_table_open(self->session, &schema, &self->ids[t], err);
    return rc ? rc
              : rub_table_codec(self->session, self->ids[t], table->push_codec, table->pull_codec,
                                err);
}

int rub_delta_rows_open(rub_session_t *session, const rub_delta_table_t *tables, size_t n_tables,
                        rub_delta_rows_t **self_p, rub_error_t *err)
{
    uint64_t n_keys = 1;
    *self_p = NULL;
    RUB_ASSERT(n_tables <= RUB_DELTA_TABLES_LIMIT);
    rub_delta_rows_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "rows: out of memory");
    }
    self->session = session;
    self->n_tables = n_tables;
    for (size_t t = 0; t < n_tables; t++) {
        RUB_ASSERT(tables[t].n_keys < NO_ROW);
        self->tables[t] = tables[t];
        n_keys = tables[t].n_keys > n_keys ? tables[t].n_keys : n_keys;
    }
    self->row_of = rub_alloc((size_t)n_keys * sizeof(*self->row_of));
    int rc = self->row_of ? 0
                          : rub_fail(err, RUB_ENOMEM,
                                     "rows: no memory for the numbers of %" PRIu64 " keys", n_keys);
    if (rc == 0) {
        memset(self->row_of, 0xff, (size_t)n_keys * sizeof(*self->row_of));
    }
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = rub_pull_set_init(&self->sets[i].pulls, session, n_tables, err);
    }
    for (size_t t = 0; t < n_tables && rc == 0; t++) {
        rc = open_table(self, t, err);
    }
    if (rc) {
        rub_delta_rows_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_delta_rows_close(rub_delta_rows_t **self_p)
{
    rub_delta_rows_t *self = *self_p;
    if (!self) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        rub_pull_set_fini(&self->sets[i].pulls);
        for (size_t t = 0; t < self->n_tables; t++) {
            rub_region_free(self->sets[i].values[t],
                            self->sets[i].room[t] * self->tables[t].width * sizeof(float));
        }
    }
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_region_free(self->work[t], self->work_room[t] * self->tables[t].width * sizeof(float));
    }
    rub_free(self->row_of);
    rub_free(self);
    *self_p = NULL;
}

/* Room for so many rows and some more, on huge pages: rows of a large batch are met in any order.
 * What was there is lost. */
static int make_room(const rub_delta_rows_t *self, size_t t, float **array_p, size_t *room_p,
                     size_t rows, rub_error_t *err)
{
    if (rows <= *room_p) {
        return 0;
    }
    const size_t more = rows + rows / 4;
    const size_t row_bytes = self->tables[t].width * sizeof(**array_p);
    rub_region_free(*array_p, *room_p * row_bytes);
    *room_p = 0;
    *array_p = rub_region_alloc(more * row_bytes);
    if (!*array_p) {
        return rub_fail(err, RUB_ENOMEM, "rows: no memory for %zu of '%s'", more,
                        self->tables[t].name);
    }
    *room_p = more;
    return 0;
}

static int ask(rub_delta_rows_t *self, row_set_t *set, const rub_key_list_t *lists, uint32_t ahead,
               rub_error_t *err)
{
    int rc = 0;
    rub_pull_set_begin(&set->pulls, ahead);
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        set->lists[t] = lists[t];
        rc = make_room(self, t, &set->values[t], &set->room[t], lists[t].n, err);
        rc = rc ? rc
                : rub_pull_set_rows(&set->pulls, self->ids[t], lists[t].keys, lists[t].n,
                                    set->values[t], err);
    }
    if (rc) {
        rub_pull_set_forget(&set->pulls);
    }
    return rc;
}

/* The present set's values are there: makes the copy that is trained. */
static int begin_work(rub_delta_rows_t *self, rub_error_t *err)
{
    const row_set_t *set = &self->sets[self->current];
    int rc = 0;
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        const size_t rows = set->lists[t].n;
        rc = make_room(self, t, &self->work[t], &self->work_room[t], rows, err);
        if (rc == 0 && rows > 0) {
            memcpy(self->work[t], set->values[t], rows * self->tables[t].width * sizeof(float));
        }
    }
    return rc;
}

static bool is_for(const rub_delta_rows_t *self, const row_set_t *set, const rub_key_list_t *lists)
{
    bool same = rub_pull_set_asked(&set->pulls);
    for (size_t t = 0; t < self->n_tables; t++) {
        same = same && set->lists[t].keys == lists[t].keys && set->lists[t].n == lists[t].n;
    }
    return same;
}

static void forget(rub_delta_rows_t *self)
{
    rub_pull_set_forget(&self->sets[0].pulls);
    rub_pull_set_forget(&self->sets[1].pulls);
}

int rub_delta_rows_pull(rub_delta_rows_t *self, const rub_key_list_t *lists, rub_error_t *err)
{
    row_set_t *next = &self->sets[1 - self->current];
    int rc = 0;
    if (is_for(self, next, lists)) {
        self->current = 1 - self->current;
        rc = rub_pull_set_await(&next->pulls, err);
    } else {
        forget(self);
        row_set_t *set = &self->sets[self->current];
        rc = ask(self, set, lists, 0, err);
        rc = rc ? rc : rub_pull_set_await(&set->pulls, err);
    }
    return rc ? rc : begin_work(self, err);
}

int rub_delta_rows_prefetch(rub_delta_rows_t *self, const rub_key_list_t *lists, rub_error_t *err)
{
    return ask(self, &self->sets[1 - self->current], lists, 1, err);
}

float *rub_delta_rows_work(rub_delta_rows_t *self, size_t table)
{
    return self->work[table];
}

/* What is on its way has to be here before anything of this period is pushed: a part of it that was
 * answered later, because the window was full, a connection came back or a clock was waited for,
 * would already hold what is pushed, and would get it again. Whom the bound makes wait here, it
 * would make wait at the next pull; nobody waits for him: he is ahead. In lock step the rows come
 * when this period is over, and with all that was pushed in it. *next_p: the set that lacks this
 * period's changes, or NULL. */
static int let_arrive(rub_delta_rows_t *self, row_set_t **next_p, rub_error_t *err)
{
    row_set_t *next = &self->sets[1 - self->current];
    rub_info_t info;
    rub_session_info(self->session, &info);
    *next_p = info.staleness > 0 && next->pulls.asked ? next : NULL;
    return *next_p ? rub_pull_set_arrive(&next->pulls, err) : 0;
}

static void expect(const float *row, size_t width)
{
    for (size_t at = 0; at < width * sizeof(*row); at += CACHE_LINE) {
        __builtin_prefetch((const char *)row + at, 1);
    }
}

/* What has changed takes the place of what was pulled, and goes into those rows of the next set
 * that both have, while it is in the cache. */
static void take_changes(rub_delta_rows_t *self, size_t t, const row_set_t *set, row_set_t *next)
{
    const size_t width = self->tables[t].width, n = set->lists[t].n;
    const uint64_t *keys = set->lists[t].keys;
    uint32_t *row_of = self->row_of;
    for (size_t i = 0; next && i < next->lists[t].n; i++) {
        row_of[next->lists[t].keys[i]] = (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        float *restrict values = set->values[t] + i * width;
        const float *restrict work = self->work[t] + i * width;
        const uint32_t row = row_of[keys[i]];
        const uint32_t ahead = i + ROWS_AHEAD < n ? row_of[keys[i + ROWS_AHEAD]] : NO_ROW;
        if (ahead != NO_ROW) {
            expect(next->values[t] + ahead * width, width);
        }
        for (size_t k = 0; k < width; k++) {
            values[k] = work[k] - values[k];
        }
        if (row != NO_ROW) {
            rub_add_into(next->values[t] + row * width, values, width);
        }
    }
    for (size_t i = 0; next && i < next->lists[t].n; i++) {
        row_of[next->lists[t].keys[i]] = NO_ROW;
    }
}

/* Tables in the order of what they bring, the most last: behind a large push the next one waits
 * until the shard is nearly through with it, and behind the last one of a period nothing does. */
static void sort_tables(const rub_delta_rows_t *self, const row_set_t *set,
                        size_t order[RUB_DELTA_TABLES_LIMIT])
{
    size_t bytes[RUB_DELTA_TABLES_LIMIT];
    for (size_t t = 0; t < self->n_tables; t++) {
        size_t at = t;
        const size_t own = set->lists[t].n * self->tables[t].width;
        for (; at > 0 && bytes[at - 1] > own; at--) {
            bytes[at] = bytes[at - 1];
            order[at] = order[at - 1];
        }
        bytes[at] = own;
        order[at] = t;
    }
}

int rub_delta_rows_push(rub_delta_rows_t *self, rub_error_t *err)
{
    row_set_t *set = &self->sets[self->current], *next = NULL;
    size_t order[RUB_DELTA_TABLES_LIMIT];
    int rc = let_arrive(self, &next, err);
    sort_tables(self, set, order);
    for (size_t i = 0; i < self->n_tables && rc == 0; i++) {
        const size_t t = order[i];
        const rub_key_list_t *list = &set->lists[t];
        take_changes(self, t, set, next);
        if (list->n > 0) {
            rc = rub_push(self->session, self->ids[t], list->keys, list->n, set->values[t], NULL,
                          err);
        }
    }
    return rc;
}

int rub_delta_rows_read_keys(rub_delta_rows_t *self, size_t t, const uint64_t *keys, size_t n,
                             float *values, rub_error_t *err)
{
    const rub_delta_table_t *table = &self->tables[t];
    int rc = rub_table_codec(self->session, self->ids[t], table->push_codec, RUB_CODEC_F32, err);
    rc = rc ? rc : rub_pull(self->session, self->ids[t], keys, n, values, NULL, err);
    return rc ? rc
              : rub_table_codec(self->session, self->ids[t], table->push_codec, table->pull_codec,
                                err);
}

int rub_delta_rows_read(rub_delta_rows_t *self, size_t t, uint64_t first, size_t n, float *values,
                        rub_error_t *err)
{
    uint64_t *keys = rub_alloc((n + 1) * sizeof(*keys));
    if (!keys) {
        return rub_fail(err, RUB_ENOMEM, "rows: no memory for %zu keys", n);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = first + i;
    }
    const int rc = rub_delta_rows_read_keys(self, t, keys, n, values, err);
    rub_free(keys);
    return rc;
}
