/* Pulling, changing and pushing rows of words.
 *
 * A prefetch leaves before this period's changes are pushed, so under a bound above 0 it usually
 * comes back without them, and training would go on from vectors that lack what it has just learnt:
 * as good as another, stale worker (measured on the Brown corpus: a tenth of the neighbours of
 * words change). So the changes of the period before are added to what a prefetch brought. Should a
 * shard have answered late, because it waited for others, the answer has them already and the
 * period starts from a point that is that far ahead; what it pushes is the difference to where it
 * started, so tables never count a change twice. Under bsp the answer always has them: it waits for
 * the clock. */
#include "worker/train/word_rows.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/kernels.h"

#include <string.h>

typedef struct row_set {
    const rub_word_batch_t *batch;
    float *values[RUB_WORD_TABLES];        /* as pulled; once pushed what was pushed */
    size_t room[RUB_WORD_TABLES];          /* rows */
    rub_handle_t handles[RUB_WORD_TABLES]; /* not 0: under way */
    bool asked, pushed;
    uint64_t stamp;
} row_set_t;

struct rub_word_rows {
    rub_session_t *session;
    rub_codec_kind_t push_codec;
    rub_table_t tables[RUB_WORD_TABLES];
    size_t width;
    row_set_t sets[2];
    unsigned current;
    float *work[RUB_WORD_TABLES];
    size_t work_room[RUB_WORD_TABLES];
    uint32_t *row_of; /* by word; RUB_NO_WORD between calls */
    size_t n_words;
};

rub_init_kind_t rub_word_init(rub_word_table_t table, uint32_t width, double *scale_p)
{
    *scale_p = table == RUB_WORDS_IN ? 0.5 / width : 0;
    return table == RUB_WORDS_IN ? RUB_INIT_UNIFORM : RUB_INIT_ZEROS;
}

static int open_table(rub_word_rows_t *self, rub_word_table_t table, rub_codec_kind_t push,
                      rub_codec_kind_t pull, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = table == RUB_WORDS_IN ? RUB_WORDS_IN_NAME : RUB_WORDS_OUT_NAME;
    schema.kind = RUB_HASHED;
    schema.width = (uint32_t)self->width;
    schema.optimizer = RUB_ADD;
    schema.init = rub_word_init(table, schema.width, &schema.init_scale);
    const int rc = rub_table_open(self->session, &schema, &self->tables[table], err);
    return rc ? rc : rub_table_codec(self->session, self->tables[table], push, pull, err);
}

int rub_word_rows_open(rub_session_t *session, uint32_t width, size_t n_words,
                       rub_codec_kind_t push, rub_codec_kind_t pull, rub_word_rows_t **self_p,
                       rub_error_t *err)
{
    *self_p = NULL;
    rub_word_rows_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->session = session;
        self->push_codec = push;
        self->width = width;
        self->n_words = n_words;
        self->row_of = rub_alloc(n_words * sizeof(*self->row_of));
    }
    if (!self || !self->row_of) {
        rub_free(self);
        return rub_fail(err, RUB_ENOMEM, "words: no memory for a vocabulary of %zu", n_words);
    }
    memset(self->row_of, 0xff, n_words * sizeof(*self->row_of));
    int rc = open_table(self, RUB_WORDS_IN, push, pull, err);
    rc = rc ? rc : open_table(self, RUB_WORDS_OUT, push, pull, err);
    if (rc) {
        rub_word_rows_close(&self);
    }
    *self_p = self;
    return rc;
}

static void give_up(rub_word_rows_t *self, row_set_t *set)
{
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        if (set->handles[t]) {
            (void)rub_cancel(self->session, set->handles[t], NULL);
            set->handles[t] = 0;
        }
    }
    set->asked = false;
}

void rub_word_rows_close(rub_word_rows_t **self_p)
{
    rub_word_rows_t *self = *self_p;
    if (!self) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        give_up(self, &self->sets[i]);
        for (int t = 0; t < RUB_WORD_TABLES; t++) {
            rub_free(self->sets[i].values[t]);
        }
    }
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        rub_free(self->work[t]);
    }
    rub_free(self->row_of);
    rub_free(self);
    *self_p = NULL;
}

static void info_of(const rub_word_rows_t *self, rub_info_t *info)
{
    rub_session_info(self->session, info);
}

static size_t rows_of(const rub_word_batch_t *batch, int table)
{
    return table == RUB_WORDS_IN ? batch->n_in : batch->n_out;
}

/* Room for so many rows and some more; what was there is lost. */
static int make_room(const rub_word_rows_t *self, float **array_p, size_t *room_p, size_t rows,
                     rub_error_t *err)
{
    if (rows <= *room_p) {
        return 0;
    }
    const size_t more = rows + rows / 4;
    rub_free(*array_p);
    *room_p = 0;
    *array_p = rub_alloc_aligned(64, more * self->width * sizeof(**array_p));
    if (!*array_p) {
        return rub_fail(err, RUB_ENOMEM, "words: no memory for %zu rows", more);
    }
    *room_p = more;
    return 0;
}

static int ask(rub_word_rows_t *self, row_set_t *set, const rub_word_batch_t *batch, uint32_t ahead,
               rub_error_t *err)
{
    rub_info_t info;
    int rc = 0;
    give_up(self, set);
    info_of(self, &info);
    set->batch = batch;
    set->asked = true;
    set->pushed = false;
    set->stamp = info.clock + ahead;
    for (int t = 0; t < RUB_WORD_TABLES && rc == 0; t++) {
        const size_t rows = rows_of(batch, t);
        rc = make_room(self, &set->values[t], &set->room[t], rows, err);
        if (rc == 0 && rows > 0) {
            rc = rub_pull_async(self->session, self->tables[t], batch->keys, rows, ahead,
                                set->values[t], NULL, &set->handles[t], err);
        }
    }
    if (rc) {
        give_up(self, set);
    }
    return rc;
}

static int await(rub_word_rows_t *self, row_set_t *set, rub_error_t *err)
{
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        const rub_handle_t handle = set->handles[t];
        set->handles[t] = 0;
        const int rc = handle ? rub_wait(self->session, handle, err) : 0;
        if (rc) {
            (void)rub_cancel(self->session, handle, NULL); /* a wait that timed out left it open */
            give_up(self, set);
            return rc;
        }
    }
    set->asked = false;
    return 0;
}

/* Adds what `before` has pushed to the rows of `set` that both have. */
static void add_pushed(rub_word_rows_t *self, row_set_t *set, const row_set_t *before)
{
    const rub_word_batch_t *batch = set->batch;
    for (size_t i = 0; i < before->batch->n_out; i++) {
        self->row_of[before->batch->keys[i]] = (uint32_t)i;
    }
    for (int t = 0; t < RUB_WORD_TABLES; t++) {
        for (size_t i = 0; i < rows_of(batch, t); i++) {
            const uint32_t row = self->row_of[batch->keys[i]];
            if (row < rows_of(before->batch, t)) {
                rub_add_into(set->values[t] + i * self->width,
                             before->values[t] + row * self->width, self->width);
            }
        }
    }
    for (size_t i = 0; i < before->batch->n_out; i++) {
        self->row_of[before->batch->keys[i]] = RUB_NO_WORD;
    }
}

/* The present set's values are there: makes the copy that is trained. */
static int begin_work(rub_word_rows_t *self, rub_error_t *err)
{
    const row_set_t *set = &self->sets[self->current];
    int rc = 0;
    for (int t = 0; t < RUB_WORD_TABLES && rc == 0; t++) {
        const size_t rows = rows_of(set->batch, t);
        rc = make_room(self, &self->work[t], &self->work_room[t], rows, err);
        if (rc == 0 && rows > 0) {
            memcpy(self->work[t], set->values[t], rows * self->width * sizeof(float));
        }
    }
    return rc;
}

int rub_word_rows_pull(rub_word_rows_t *self, const rub_word_batch_t *batch, rub_error_t *err)
{
    row_set_t *next = &self->sets[1 - self->current];
    rub_info_t info;
    int rc = 0;
    info_of(self, &info);
    if (next->asked && next->batch == batch && next->stamp == info.clock) {
        const row_set_t *before = &self->sets[self->current];
        self->current = 1 - self->current;
        rc = await(self, next, err);
        if (rc == 0 && info.staleness > 0 && before->pushed) {
            add_pushed(self, next, before);
        }
    } else {
        rub_word_rows_forget(self);
        row_set_t *set = &self->sets[self->current];
        rc = ask(self, set, batch, 0, err);
        rc = rc ? rc : await(self, set, err);
    }
    return rc ? rc : begin_work(self, err);
}

int rub_word_rows_prefetch(rub_word_rows_t *self, const rub_word_batch_t *batch, rub_error_t *err)
{
    return ask(self, &self->sets[1 - self->current], batch, 1, err);
}

void rub_word_rows_forget(rub_word_rows_t *self)
{
    for (int i = 0; i < 2; i++) {
        give_up(self, &self->sets[i]);
        self->sets[i].pushed = false;
    }
}

float *rub_word_rows_work(rub_word_rows_t *self, rub_word_table_t table)
{
    return self->work[table];
}

int rub_word_rows_push(rub_word_rows_t *self, rub_error_t *err)
{
    row_set_t *set = &self->sets[self->current];
    int rc = 0;
    for (int t = 0; t < RUB_WORD_TABLES && rc == 0; t++) {
        const size_t rows = rows_of(set->batch, t);
        float *values = set->values[t];
        for (size_t i = 0; i < rows * self->width; i++) {
            values[i] = self->work[t][i] - values[i];
        }
        if (rows > 0) {
            rc =
                rub_push(self->session, self->tables[t], set->batch->keys, rows, values, NULL, err);
        }
    }
    set->pushed = rc == 0;
    return rc;
}

int rub_word_rows_read(rub_word_rows_t *self, uint64_t first, size_t n, float *values,
                       rub_error_t *err)
{
    const rub_table_t table = self->tables[RUB_WORDS_IN];
    int rc = rub_table_codec(self->session, table, self->push_codec, RUB_CODEC_F32, err);
    uint64_t *keys = rub_alloc((n + 1) * sizeof(*keys));
    if (rc == 0 && !keys) {
        rc = rub_fail(err, RUB_ENOMEM, "words: no memory for %zu keys", n);
    }
    if (rc == 0) {
        for (size_t i = 0; i < n; i++) {
            keys[i] = first + i;
        }
        rc = rub_pull(self->session, table, keys, n, values, NULL, err);
    }
    rub_free(keys);
    return rc;
}
