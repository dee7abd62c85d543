/* What a worker of the scale simulation does. It never computes anything: a batch is a time to
 * wait. */
#include "common/base/check.h"
#include "tests/scale/scale.h"

#include <stdio.h>

#define PIECE_MS 2000u
#define N_EXAMPLES UINT64_C(1000000000)
#define TABLE_ROWS 10000u

static void stand(rub_scale_worker_t *self, rub_scale_stage_t stage)
{
    self->stage = stage;
}

static void begin(rub_scale_worker_t *self, int rc, rub_scale_stage_t stage, const rub_error_t *err)
{
    if (rc) {
        rub_scale_break(self->scale, "worker %u, stage %d: %s", self->index, (int)stage,
                        err->message);
    }
    stand(self, stage);
}

/* True: the operation has ended well. */
static bool ended(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    const int rc = rub_client_poll(self->core, self->handle, &err);
    if (rc < 0) {
        rub_scale_break(self->scale, "worker %u, stage %d: %s", self->index, (int)self->stage,
                        err.message);
    }
    return rc == 0;
}

static void open_table(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    rub_schema_t schema = {.name = "rows",
                           .kind = RUB_HASHED,
                           .width = self->scale->options.width,
                           .optimizer = RUB_SGD,
                           .hyper = {.lr = 0.01}};
    begin(self, rub_client_table_open(self->core, &schema, &self->handle, &err), SCALE_OPENING,
          &err);
}

static void ask_piece(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    self->piece_ms = self->scale->now_ms + PIECE_MS;
    begin(self, rub_client_piece(self->core, 0, N_EXAMPLES, N_EXAMPLES / 4096, &self->handle, &err),
          SCALE_PIECE_WAIT, &err);
}

static void pull(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    const rub_scale_options_t *options = &self->scale->options;
    const size_t n = (size_t)options->rows_each * options->n_shards;
    for (size_t i = 0; i < n; i++) {
        self->keys[i] = rub_rng_below(&self->scale->rng, TABLE_ROWS);
    }
    const rub_client_pull_t call = {
        .table = self->table, .keys = self->keys, .n = n, .values = self->values};
    self->began_ms = self->scale->now_ms;
    begin(self, rub_client_pull(self->core, &call, &self->handle, &err), SCALE_PULLING, &err);
}

static void compute(rub_scale_worker_t *self)
{
    const uint64_t batch_ms = self->scale->options.batch_ms;
    /* One of a hundred batches takes three times as long: the gate has something to do. */
    const uint64_t factor = rub_rng_below(&self->scale->rng, 100) == 0 ? 3 : 1;
    if (self->scale->phase == SCALE_TRAIN) {
        self->waited_ms += self->scale->now_ms - self->began_ms;
    }
    self->wake_ms = self->scale->now_ms +
                    factor * (batch_ms / 2 + rub_rng_below(&self->scale->rng, batch_ms + 1));
    stand(self, SCALE_COMPUTING);
}

static bool push(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    const rub_scale_options_t *options = &self->scale->options;
    const rub_client_push_t call = {.table = self->table,
                                    .keys = self->keys,
                                    .n = (size_t)options->rows_each * options->n_shards,
                                    .values = self->values};
    int rc = rub_client_push(self->core, &call, NULL, &err);
    if (rc == RUB_CLIENT_WAIT) {
        return false;
    }
    rc = rc ? rc : rub_client_clock(self->core, NULL, 0, &err);
    if (rc < 0) {
        rub_scale_break(self->scale, "worker %u pushes: %s", self->index, err.message);
    }
    self->periods++;
    return true;
}

static void ready(rub_scale_worker_t *self)
{
    rub_error_t err = {0};
    switch (self->scale->phase) {
    case SCALE_GATHER:
        stand(self, SCALE_HALTED);
        break;
    case SCALE_TRAIN:
    case SCALE_EVICT:
        if (self->scale->now_ms >= self->piece_ms) {
            ask_piece(self);
        } else {
            pull(self);
        }
        break;
    case SCALE_BARRIER:
        begin(self, rub_client_barrier(self->core, NULL, 0, &self->handle, &err), SCALE_IN_BARRIER,
              &err);
        break;
    case SCALE_LEAVE:
        begin(self, rub_client_leave(self->core, true, 0, "", &self->handle, &err), SCALE_LEAVING,
              &err);
        break;
    case SCALE_PHASES:
        break;
    }
}

/* Who is done with a phase waits for the next one. */
static bool may_go_on(const rub_scale_worker_t *self)
{
    switch (self->scale->phase) {
    case SCALE_TRAIN:
    case SCALE_EVICT:
        return true;
    case SCALE_BARRIER:
        return self->periods != UINT64_MAX; /* a barrier is entered once */
    case SCALE_LEAVE:
        return true;
    case SCALE_GATHER:
    case SCALE_PHASES:
        break;
    }
    return false;
}

void rub_scale_worker_run(rub_scale_worker_t *self)
{
    rub_scale_stage_t before;
    do {
        before = self->stage;
        switch (self->stage) {
        case SCALE_JOINING:
            if (ended(self)) {
                open_table(self);
            }
            break;
        case SCALE_OPENING:
            if (ended(self)) {
                self->table = rub_client_table_result(self->core);
                stand(self, SCALE_HALTED);
            }
            break;
        case SCALE_PIECE_WAIT:
            if (ended(self)) {
                stand(self, SCALE_READY);
            }
            break;
        case SCALE_PULLING:
            if (ended(self)) {
                compute(self);
            }
            break;
        case SCALE_COMPUTING:
            if (self->scale->now_ms >= self->wake_ms && push(self)) {
                stand(self, SCALE_READY);
            }
            break;
        case SCALE_IN_BARRIER:
            if (ended(self)) {
                self->periods = UINT64_MAX;
                stand(self, SCALE_HALTED);
            }
            break;
        case SCALE_LEAVING:
            if (ended(self)) {
                stand(self, SCALE_LEFT);
            }
            break;
        case SCALE_READY:
            ready(self);
            break;
        case SCALE_HALTED:
            if (may_go_on(self)) {
                stand(self, SCALE_READY);
            }
            break;
        case SCALE_LEFT:
        case SCALE_DEAD:
            break;
        }
    } while (self->stage != before && !self->scale->broken[0]);
}

uint32_t rub_scale_count(const rub_scale_t *self, rub_scale_stage_t stage)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < self->n_workers; i++) {
        n += self->workers[i].stage == stage;
    }
    return n;
}
