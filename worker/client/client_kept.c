/* What error feedback kept back goes out after all: as float32, as a push of the open period like
 * any other, so that journal, folds, snapshots and whoever restores them know nothing of residuals.
 *
 * When: before a session pauses, leaves unfinished, or stands in a barrier in which the best
 * weights are kept (the snapshot's cut waits for it, and the barrier for the cut); when its caller
 * says so; while a snapshot is taken, at the end of every period that may be the last of its cut. A
 * session can not know that clock when the shards pin their images, so it goes the other way round:
 * VIEW_ACK of the view that shows the snapshot says from which clock on nothing is missing
 * (whole_from), and the scheduler cuts no earlier. An idle session can push nothing; if it keeps
 * something it says so, and the cut waits until it is counted again. If it keeps nothing, its IDLE
 * says so in every stream, so that nobody need ask a session that may rest for long: the shards
 * know it, journaled, as exactly as they know its clock, whatever became of what it told a
 * scheduler.
 *
 * Invariant: for every row, what was given = what was sent + what is kept, to one rounding of
 * float32 per push; and kept = 0 wherever a snapshot cuts. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

enum { VALUES_MOST = RUB_MESSAGE_VALUES / sizeof(float) }; /* of one push of kept rows */

/* One push in the making. */
typedef struct rub_kept_push {
    uint64_t *keys;
    float *values;
    size_t n;        /* keys, or values of the range */
    uint64_t first;  /* of the range */
    uint64_t behind; /* coding->next once it is pushed */
    bool last;       /* nothing is kept behind it */
} rub_kept_push_t;

static bool is_zero(const float *row, size_t n)
{
    size_t i = 0;
    while (i < n && row[i] == 0) {
        i++;
    }
    return i == n;
}

/* ---- rows of a hashed table, in the order in which they came ---- */

static void collect_rows(const rub_coding_t *coding, size_t width, rub_kept_push_t *out)
{
    const size_t most = width < VALUES_MOST ? VALUES_MOST / width : 1;
    const size_t end = rub_residuals_rows(coding->kept);
    size_t i = (size_t)coding->next;
    for (; i < end && out->n < most; i++) {
        const float *row = rub_residuals_at(coding->kept, i, &out->keys[out->n]);
        if (!is_zero(row, width)) {
            memcpy(out->values + out->n++ * width, row, width * sizeof(*row));
        }
    }
    out->behind = i;
    out->last = i == end;
}

static void forget_rows(const rub_coding_t *coding, size_t width, const rub_kept_push_t *pushed)
{
    uint64_t key;
    for (size_t i = (size_t)coding->next; i < pushed->behind; i++) {
        memset(rub_residuals_at(coding->kept, i, &key), 0, width * sizeof(float));
    }
}

/* ---- blocks of a dense table, ascending; pushes begin and end at their borders ---- */

/* Calls what with each codec row of the block that is kept, and where it stands in the block. */
static void each_of_block(const rub_coding_t *coding, uint64_t block, float *into,
                          void (*what)(float *row, size_t n, float *into))
{
    const size_t row = coding->push->dense_row;
    const uint64_t first = block * (RUB_BLOCK / row);
    for (size_t i = 0; i < RUB_BLOCK / row; i++) {
        float *kept = rub_residuals_find(coding->kept, first + i);
        if (kept) {
            what(kept, row, into + i * row);
        }
    }
}

static void copy_row(float *row, size_t n, float *into)
{
    memcpy(into, row, n * sizeof(*row));
}

static void clear_row(float *row, size_t n, float *into)
{
    RUB_UNUSED(into);
    memset(row, 0, n * sizeof(*row));
}

/* The next run of blocks of which something is kept; none: n is 0. What lies behind the table's end
 * in its last row was never written, and is not pushed. */
static void collect_blocks(const rub_coding_t *coding, uint64_t elements, rub_kept_push_t *out)
{
    const uint64_t n_blocks = (elements + RUB_BLOCK - 1) / RUB_BLOCK;
    uint64_t block = coding->next;
    for (; block < n_blocks && out->n + RUB_BLOCK <= VALUES_MOST; block++) {
        float *values = out->values + out->n;
        const uint64_t left = elements - block * RUB_BLOCK;
        const size_t n = left < RUB_BLOCK ? (size_t)left : RUB_BLOCK;
        memset(values, 0, RUB_BLOCK * sizeof(*values));
        each_of_block(coding, block, values, copy_row);
        if (!is_zero(values, n)) {
            out->first = out->n ? out->first : block * RUB_BLOCK;
            out->n += n;
        } else if (out->n > 0) {
            break;
        }
    }
    out->behind = block;
    out->last = block == n_blocks;
}

static void forget_blocks(const rub_coding_t *coding, const rub_kept_push_t *pushed)
{
    for (uint64_t block = coding->next; block < pushed->behind; block++) {
        each_of_block(coding, block, pushed->values, clear_row);
    }
}

/* ---- both ---- */

/* One push, unless nothing is left. */
static int push_some(rub_client_t *self, rub_coding_t *coding, const rub_table_view_t *schema,
                     rub_kept_push_t *out, rub_error_t *err)
{
    const bool dense = schema->kind == RUB_DENSE;
    out->n = 0;
    if (dense) {
        collect_blocks(coding, schema->elements, out);
    } else {
        collect_rows(coding, schema->width, out);
    }
    if (out->n > 0) {
        const rub_client_push_t push = {.table = coding->table,
                                        .keys = dense ? NULL : out->keys,
                                        .first = out->first,
                                        .n = out->n,
                                        .values = out->values};
        self->plain = true;
        const int rc = rub_client_push(self, &push, NULL, err);
        self->plain = false;
        if (rc) {
            return rc;
        }
        if (dense) {
            forget_blocks(coding, out);
        } else {
            forget_rows(coding, schema->width, out);
        }
    }
    coding->dirty = !out->last;
    coding->next = out->last ? 0 : out->behind;
    return 0;
}

static int push_coding(rub_client_t *self, rub_coding_t *coding, bool wait, rub_error_t *err)
{
    const rub_table_view_t *schema = rub_client_find_table(self, coding->table)->schema;
    const size_t width = schema->kind == RUB_DENSE ? 1 : schema->width;
    const size_t n_values = width < VALUES_MOST ? VALUES_MOST : width;
    rub_kept_push_t out = {.keys = rub_alloc((n_values / width + 1) * sizeof(*out.keys)),
                           .values = rub_alloc(n_values * sizeof(*out.values))};
    int rc = 0;
    if (!out.keys || !out.values) {
        rc = rub_fail(err, RUB_ENOMEM, "push of what was kept back of '%s': memory is short",
                      schema->name);
    }
    while (rc == 0 && coding->dirty) {
        rc = wait && !rub_stream_room(self, true) ? RUB_CLIENT_WAIT
                                                  : push_some(self, coding, schema, &out, err);
    }
    rub_free(out.keys);
    rub_free(out.values);
    return rc;
}

static int push_all(rub_client_t *self, bool wait, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < self->n_codings && rc == 0; i++) {
        rc = self->codings[i].dirty ? push_coding(self, &self->codings[i], wait, err) : 0;
    }
    return rc;
}

int rub_client_push_kept(rub_client_t *self, rub_error_t *err)
{
    const int rc = rub_client_may_push(self, "push of what was kept back", err);
    return rc ? rc : push_all(self, true, err);
}

void rub_kept_push_now(rub_client_t *self)
{
    rub_error_t err = {0};
    const int rc = push_all(self, false, &err);
    if (rc) {
        rub_client_fail(self, rc, err.message);
    }
}

/* ---- while a snapshot is being taken ---- */

bool rub_kept_is_due(const rub_client_t *self)
{
    const rub_view_t *view = self->view;
    return view && view->snapshot != 0 &&
           (view->snapshot_cut == 0 || self->clock < view->snapshot_cut);
}

static bool is_dirty(const rub_client_t *self)
{
    bool dirty = false;
    for (size_t i = 0; i < self->n_codings; i++) {
        dirty = dirty || self->codings[i].dirty;
    }
    return dirty;
}

uint64_t rub_kept_idle_mark(const rub_client_t *self)
{
    return is_dirty(self) && !RUB_MUTANT(IDLE_ALL_WHOLE) ? 0 : RUB_IDLE_WHOLE;
}

/* A session that has just gone idle may have been at work when a shard was pinned: what it pushed
 * with its IDLE is in from that IDLE's clock on, and not below. */
static uint64_t whole_from(const rub_client_t *self)
{
    if (!self->feedback) {
        return 0;
    }
    if (self->idle) {
        return is_dirty(self) ? UINT64_MAX : self->idle_clock;
    }
    return self->clock + 1;
}

static void say(rub_client_t *self, uint64_t generation, uint64_t version, uint64_t from)
{
    const rub_control_t message = {
        .type = RUB_MSG_VIEW_ACK,
        .view_ack = {.generation = generation, .version = version, .whole_from = from}};
    /* Of another view it need not count: then it has not been told. */
    if (self->view && self->view->generation == generation && self->view->version == version) {
        self->told_from = from;
        self->told_ms = self->now_ms;
    }
    self->effects.control(self->effects.context, &message);
}

void rub_kept_acknowledge(rub_client_t *self, uint64_t generation, uint64_t version)
{
    say(self, generation, version, whole_from(self));
}

/* Whether what was told still holds. That a session's clock has moved up is nothing new. */
static bool holds(uint64_t told, uint64_t now)
{
    return (now == 0) == (told == 0) && (now == UINT64_MAX) == (told == UINT64_MAX) && now >= told;
}

/* While a cut is waited for the word is repeated: a view is sent until its VIEW_ACK has come, but
 * nobody asks for a later word, and that may be lost with its connection. */
void rub_kept_tell(rub_client_t *self)
{
    const rub_view_t *view = self->view;
    const uint64_t now = whole_from(self);
    if (!view) {
        return;
    }
    if (!holds(self->told_from, now)) {
        say(self, view->generation, view->version, now);
    } else if (view->snapshot != 0 && view->snapshot_cut == 0 && now != 0 &&
               self->now_ms - self->told_ms >= RUB_TELL_EVERY_MS) {
        say(self, view->generation, view->version, self->told_from);
    }
}
