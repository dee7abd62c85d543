/* Slices of work for one server. The same loop drives a fleet and the ideal server, so that what
 * the loop costs falls on both: keys are drawn before, values lie in one array of the table's size
 * (dense) or of a call's (rows), which is never written again, so pushes may lend it; pulls go into
 * another one. A worker ends a period every so many calls, as training does; nobody waits for it,
 * the bound is async.
 *
 * A round ends when everything is acknowledged. A durable fleet's checkpoints come after that:
 * they are waited for, so that they do not fall on who is measured next, and their CPU time is
 * counted. */
#include "cli/bench_side.h"

#include "cli/bench.h"
#include "cli/bench_warm_up.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    CALLS_PER_CLOCK = 64,
    KEYS_DRAWN = 1 << 20,       /* at most so many draws before they repeat; */
    KEYS_DRAWN_FRESH = 1 << 22, /* then a session has noted other lists since */
    LISTS_LIMIT = 4096,
    LATENCIES_LIMIT = 1 << 17, /* of a worker in a case */
    CALLS_PER_LATENCY = 16,    /* of calls so short that looking at the time would count */
    FILL_ROWS = 8192,
    QUIET_MS = 150,
    CACHE_AGE_MS = 10000, /* longer than the others' slices between two of one side */
    PIECE_TRY_MS = 100,
    LIST_PASSES = 2, /* from the second on a shard looks for the rows of a list that came again */
    LISTS_MOST_MS = 4000
};

/* ---- a worker ---- */

static uint64_t table_values(const rub_bench_driver_t *self)
{
    return self->row->width ? (uint64_t)self->row->call_items * self->row->width : self->row->rows;
}

static void driver_forget(rub_bench_driver_t *self)
{
    rub_free(self->keys);
    rub_free(self->values);
    rub_free(self->pulled);
    rub_free(self->latency_us);
    self->keys = NULL;
    self->values = self->pulled = NULL;
    self->latency_us = NULL;
}

static int driver_prepare(rub_bench_driver_t *self, const rub_bench_case_t *row, uint64_t seed,
                          uint64_t stream, rub_error_t *err)
{
    driver_forget(self);
    self->row = row;
    const uint32_t drawn = row->fresh ? KEYS_DRAWN_FRESH : KEYS_DRAWN;
    self->n_lists = row->width ? drawn / row->call_items : 0;
    self->n_lists = self->n_lists < LISTS_LIMIT ? self->n_lists : LISTS_LIMIT;
    self->n_lists = row->width && self->n_lists == 0 ? 1 : self->n_lists;
    self->n_begun = self->n_ended = self->n_latencies = 0;
    const size_t n_keys = self->n_lists * row->call_items;
    const uint64_t n_values = table_values(self);
    self->keys = rub_calloc(n_keys + 1, sizeof(*self->keys));
    self->values = rub_alloc_aligned(64, n_values * sizeof(float));
    self->pulled = rub_alloc_aligned(64, n_values * sizeof(float));
    self->latency_us = rub_calloc(LATENCIES_LIMIT, sizeof(*self->latency_us));
    if (!self->keys || !self->values || !self->pulled || !self->latency_us) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    for (uint64_t i = 0; i < n_values; i++) {
        self->values[i] = (float)(i % 1000 + 1) * 1e-6f;
        self->pulled[i] = 0;
    }
    if (n_keys > 0) {
        rub_key_draw(row->draw, row->rows, seed, stream, self->keys, n_keys);
    }
    return 0;
}

static rub_bench_call_t next_call(const rub_bench_driver_t *self)
{
    const rub_bench_case_t *row = self->row;
    if (row->width > 0) {
        return (rub_bench_call_t){.keys =
                                      self->keys + self->n_begun % self->n_lists * row->call_items,
                                  .n = row->call_items,
                                  .values = self->values,
                                  .pulled = self->pulled};
    }
    const uint64_t first = self->n_begun % (row->rows / row->call_items) * row->call_items;
    return (rub_bench_call_t){.first = first,
                              .n = row->call_items,
                              .values = self->values + first,
                              .pulled = self->pulled + first};
}

static int begin_push(rub_bench_driver_t *self, const rub_bench_call_t *call,
                      rub_handle_t *handle_p)
{
    rub_session_t *session = self->session;
    const bool lend = self->row->lend;
    int rc = call->keys
                 ? (lend ? rub_push_lent : rub_push)(session, self->table, call->keys, call->n,
                                                     call->values, handle_p, &self->err)
                 : (lend ? rub_push_range_lent : rub_push_range)(session, self->table, call->first,
                                                                 call->n, call->values, handle_p,
                                                                 &self->err);
    if (!rc && self->n_begun % CALLS_PER_CLOCK == CALLS_PER_CLOCK - 1) {
        rc = rub_clock(session, NULL, 0, &self->err);
    }
    return rc;
}

static int begin_pull(rub_bench_driver_t *self, const rub_bench_call_t *call,
                      rub_handle_t *handle_p)
{
    rub_session_t *session = self->reader ? self->reader : self->session;
    return call->keys ? rub_pull_async(session, self->table, call->keys, call->n, 0, call->pulled,
                                       NULL, handle_p, &self->err)
                      : rub_pull_range_async(session, self->table, call->first, call->n, 0,
                                             call->pulled, handle_p, &self->err);
}

static int begin_call(rub_bench_driver_t *self, uint64_t now_ns)
{
    const size_t slot = self->n_begun % RUB_COUNT_OF(self->open);
    const rub_bench_call_t call = next_call(self);
    const rub_bench_verb_t verb = self->row->verb;
    int rc = 0;
    self->open[slot].begun_ns = now_ns;
    if (self->ideal) {
        rc = rub_ideal_begin(self->ideal, verb, &call, &self->open[slot].push, &self->err);
    } else {
        rc = verb & RUB_BENCH_PUSH ? begin_push(self, &call, &self->open[slot].push) : 0;
        rc = !rc && verb & RUB_BENCH_PULL ? begin_pull(self, &call, &self->open[slot].pull) : rc;
    }
    self->n_begun++;
    return rc;
}

static int end_call(rub_bench_driver_t *self)
{
    const size_t slot = self->n_ended % RUB_COUNT_OF(self->open);
    const rub_bench_verb_t verb = self->row->verb;
    int rc = 0;
    if (self->ideal) {
        rc = rub_ideal_wait(self->ideal, self->open[slot].push, &self->err);
    } else {
        rub_session_t *puller = self->reader ? self->reader : self->session;
        rc = verb & RUB_BENCH_PUSH ? rub_wait(self->session, self->open[slot].push, &self->err) : 0;
        rc =
            !rc && verb & RUB_BENCH_PULL ? rub_wait(puller, self->open[slot].pull, &self->err) : rc;
    }
    self->n_ended++;
    const bool timed = self->row->in_flight == 1 || self->row->call_items > CALLS_PER_LATENCY ||
                       self->n_ended % CALLS_PER_LATENCY == 0;
    if (timed && self->n_latencies < LATENCIES_LIMIT) {
        self->latency_us[self->n_latencies++] =
            (double)(rub_now_ns() - self->open[slot].begun_ns) / 1e3;
    }
    return rc;
}

static void *drive(void *argument)
{
    rub_bench_driver_t *self = argument;
    int rc = 0;
    while (!rc) {
        if (self->n_begun - self->n_ended == self->row->in_flight) {
            rc = end_call(self);
        }
        const uint64_t now_ns = rub_now_ns();
        if (rc || now_ns >= self->until_ns) {
            break;
        }
        rc = begin_call(self, now_ns);
    }
    while (!rc && self->n_ended < self->n_begun) {
        rc = end_call(self);
    }
    self->rc = rc;
    return NULL;
}

/* ---- all workers of a side ---- */

/* Runs for so long; *calls_p, *seconds_p: until the last answer was there. */
static int drive_all(rub_bench_side_t *self, uint64_t for_ms, uint64_t *calls_p, double *seconds_p,
                     rub_error_t *err)
{
    pthread_t threads[RUB_BENCH_WORKERS_LIMIT];
    const uint64_t begun_ns = rub_now_ns();
    uint64_t before = 0, after = 0;
    uint32_t n_threads = 0;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        before += self->drivers[i].n_ended;
        self->drivers[i].until_ns = begun_ns + for_ms * 1000000;
    }
    /* A socket may move to another thread when a thread's begin and end lie between. */
    while (n_threads + 1 < self->n_drivers &&
           pthread_create(&threads[n_threads], NULL, drive, &self->drivers[n_threads + 1]) == 0) {
        n_threads++;
    }
    (void)drive(&self->drivers[0]);
    for (uint32_t i = 0; i < n_threads; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    *seconds_p = (double)(rub_now_ns() - begun_ns) / 1e9;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        after += self->drivers[i].n_ended;
        if (self->drivers[i].rc) {
            *err = self->drivers[i].err;
            return self->drivers[i].rc;
        }
    }
    *calls_p = after - before;
    return n_threads + 1 == self->n_drivers
               ? 0
               : rub_fail(err, RUB_ENOMEM, "no thread for worker %u", n_threads + 1);
}

static int cpu_of(rub_bench_side_t *self, double *cpu_s_p, rub_error_t *err)
{
    const double own_s = rub_cpu_s();
    int rc = 0;
    if (self->is_ideal) {
        *cpu_s_p = rub_bench_process_cpu_s(self->ideal->pid);
    } else {
        rc = rub_bench_fleet_cpu(&self->fleet, cpu_s_p, err);
    }
    *cpu_s_p += own_s;
    return rc;
}

/* Values that have travelled since the sessions were opened; of the ideal server nothing is known.
 */
static uint64_t wire_bytes_of(const rub_bench_side_t *self)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        rub_session_t *const sessions[] = {self->drivers[i].session, self->drivers[i].reader};
        for (size_t k = 0; k < RUB_COUNT_OF(sessions); k++) {
            rub_stats_t stats = {0};
            if (sessions[k]) {
                rub_session_stats(sessions[k], &stats);
            }
            bytes += stats.push_bytes + stats.pull_bytes;
        }
    }
    return bytes;
}

static int settle(rub_bench_side_t *self, rub_error_t *err)
{
    rub_bench_usage_t usage;
    return self->is_durable ? rub_bench_fleet_settle(&self->fleet, QUIET_MS, &usage, err) : 0;
}

int rub_bench_side_round(rub_bench_side_t *self, uint64_t for_ms, rub_error_t *err)
{
    double before_s = 0, after_s = 0, seconds = 0;
    uint64_t calls = 0;
    const uint64_t wire_bytes = wire_bytes_of(self);
    int rc = cpu_of(self, &before_s, err);
    rc = rc ? rc : drive_all(self, for_ms, &calls, &seconds, err);
    rc = rc ? rc : settle(self, err);
    rc = rc ? rc : cpu_of(self, &after_s, err);
    if (rc) {
        return rc;
    }
    RUB_ASSERT(self->n_rounds < RUB_BENCH_ROUNDS_LIMIT);
    const double bytes = (double)calls * (double)rub_bench_call_bytes(&self->row);
    self->calls_per_s[self->n_rounds] = (double)calls / seconds;
    self->cpu_s_per_gb[self->n_rounds] = bytes > 0 ? (after_s - before_s) / (bytes / 1e9) : 0;
    self->n_rounds++;
    self->value_bytes += calls * rub_bench_call_bytes(&self->row);
    self->wire_bytes += wire_bytes_of(self) - wire_bytes;
    return 0;
}

/* The size of a message at which the ideal server is fastest: what it is measured with. */
static int find_piece(rub_bench_side_t *self, rub_error_t *err)
{
    static const size_t pieces[] = {64 << 10, 128 << 10, 256 << 10};
    size_t best = pieces[1];
    double best_rate = 0;
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(pieces) && !rc; i++) {
        uint64_t calls = 0;
        double seconds = 1;
        for (uint32_t k = 0; k < self->n_drivers; k++) {
            rub_ideal_cut(self->drivers[k].ideal, pieces[i]);
        }
        rc = drive_all(self, PIECE_TRY_MS, &calls, &seconds, err);
        if (!rc && (double)calls / seconds > best_rate) {
            best_rate = (double)calls / seconds;
            best = pieces[i];
        }
    }
    for (uint32_t k = 0; k < self->n_drivers; k++) {
        rub_ideal_cut(self->drivers[k].ideal, best);
    }
    return rc;
}

/* The rate is in bytes of values a second. */
static int warm_up_round(void *context, uint64_t for_ms, double *rate_p, rub_error_t *err)
{
    rub_bench_side_t *self = context;
    uint64_t calls = 0;
    double seconds = 1;
    const int rc = drive_all(self, for_ms, &calls, &seconds, err);
    *rate_p = (double)calls * (double)rub_bench_call_bytes(&self->row) / seconds;
    return rc;
}

static bool has_passed_lists(const rub_bench_side_t *self)
{
    bool all = true;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        all = all && self->drivers[i].n_ended >= LIST_PASSES * self->drivers[i].n_lists;
    }
    return all || self->row.fresh;
}

/* Lists that come again have come before they are measured. */
static int pass_lists(rub_bench_side_t *self, uint64_t for_ms, rub_error_t *err)
{
    const uint64_t begun_ms = rub_now_ms();
    double rate = 0;
    int rc = 0;
    while (!rc && !has_passed_lists(self) && rub_now_ms() - begun_ms < LISTS_MOST_MS) {
        rc = warm_up_round(self, for_ms, &rate, err);
    }
    return rc;
}

int rub_bench_side_warm_up(rub_bench_side_t *self, uint64_t for_ms, rub_error_t *err)
{
    double rate = 0;
    int rc = 0;
    if (self->is_durable && !self->is_grown && (self->row.verb & RUB_BENCH_PUSH)) {
        rc = rub_bench_warm_up(&self->fleet, true, warm_up_round, self, &self->first_bytes_per_s,
                               err);
        self->is_grown = true;
    } else {
        rc = warm_up_round(self, for_ms, &rate, err);
    }
    if (!rc) {
        rc = self->is_ideal ? find_piece(self, err) : pass_lists(self, for_ms, err);
    }
    rc = rc ? rc : settle(self, err);
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        self->drivers[i].n_latencies = 0;
    }
    return rc;
}

static int choose_codecs(rub_session_t *session, rub_table_t table, const rub_bench_case_t *row,
                         rub_error_t *err)
{
    const bool plain = row->push_codec == RUB_CODEC_F32 && row->pull_codec == RUB_CODEC_F32;
    return plain ? 0 : rub_table_codec(session, table, row->push_codec, row->pull_codec, err);
}

/* A reader that keeps rows, when the case has one; nothing is kept yet. */
static int prepare_reader(const rub_bench_side_t *self, rub_bench_driver_t *driver,
                          rub_error_t *err)
{
    rub_abandon(&driver->reader);
    if (!self->row.cache_bytes || !driver->session) {
        return 0;
    }
    int rc = rub_bench_fleet_join(&self->fleet, RUB_READER, &driver->reader, err);
    rc = rc ? rc : choose_codecs(driver->reader, driver->table, &self->row, err);
    return rc ? rc
              : rub_table_cache(driver->reader, driver->table, self->row.cache_bytes, CACHE_AGE_MS,
                                err);
}

int rub_bench_side_prepare(rub_bench_side_t *self, const rub_bench_case_t *row, uint64_t seed,
                           rub_error_t *err)
{
    self->row = *row;
    self->n_rounds = 0;
    self->value_bytes = self->wire_bytes = 0;
    int rc = 0;
    for (uint32_t i = 0; i < self->n_drivers && !rc; i++) {
        rc = driver_prepare(&self->drivers[i], &self->row, seed, i, err);
        rc = rc ? rc : prepare_reader(self, &self->drivers[i], err);
    }
    return rc;
}

/* ---- opening and closing ---- */

static int open_table(rub_bench_driver_t *driver, const rub_bench_case_t *row, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "measured";
    schema.kind = row->width ? RUB_HASHED : RUB_DENSE;
    schema.elements = row->rows;
    schema.width = row->width;
    schema.optimizer = row->optimizer;
    schema.hyper.lr = 1e-6;
    return rub_table_open(driver->session, &schema, &driver->table, err);
}

/* Every row is there before anything is measured. */
static int fill(rub_bench_driver_t *driver, const rub_bench_case_t *row, rub_error_t *err)
{
    uint64_t *keys = rub_calloc(FILL_ROWS, sizeof(*keys));
    float *values = rub_calloc((size_t)FILL_ROWS * row->width, sizeof(*values));
    int rc = keys && values ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    for (uint64_t at = 0; at < row->rows && !rc;) {
        uint32_t n = 0;
        for (; n < FILL_ROWS && at < row->rows; n++) {
            keys[n] = at++;
        }
        rc = rub_push(driver->session, driver->table, keys, n, values, NULL, err);
    }
    rc = rc ? rc : rub_clock(driver->session, NULL, 0, err);
    rc = rc ? rc : rub_flush(driver->session, err);
    rub_free(keys);
    rub_free(values);
    return rc;
}

int rub_bench_side_open(rub_bench_side_t *self, const char *durability, const char *folder,
                        const rub_bench_shape_t *shape, const rub_bench_case_t *row, uint64_t seed,
                        rub_error_t *err)
{
    *self = (rub_bench_side_t){.name = durability,
                               .is_durable = strcmp(durability, "none") != 0,
                               .ps_flags = {"--durability", durability}};
    int rc = rub_bench_fleet_start_shape(&self->fleet, folder, self->ps_flags, shape, err);
    for (uint32_t i = 0; i < shape->workers && !rc; i++) {
        rub_bench_driver_t *driver = &self->drivers[self->n_drivers++];
        rc = rub_bench_fleet_join(&self->fleet, RUB_TRAINER, &driver->session, err);
        rc = rc ? rc : open_table(driver, row, err);
    }
    rc = !rc && row->width ? fill(&self->drivers[0], row, err) : rc;
    for (uint32_t i = 0; i < self->n_drivers && !rc; i++) { /* filling keeps nothing back */
        rc = choose_codecs(self->drivers[i].session, self->drivers[i].table, row, err);
    }
    return rc ? rc : rub_bench_side_prepare(self, row, seed, err);
}

int rub_bench_side_open_ideal(rub_bench_side_t *self, const char *address, rub_child_t *child,
                              const rub_bench_shape_t *shape, const rub_bench_case_t *row,
                              uint64_t seed, rub_error_t *err)
{
    *self = (rub_bench_side_t){.name = "ideal", .is_ideal = true, .ideal = child};
    int rc = 0;
    for (uint32_t i = 0; i < shape->workers && !rc; i++) {
        rc = rub_ideal_open(address, row, &self->drivers[self->n_drivers++].ideal, err);
    }
    return rc ? rc : rub_bench_side_prepare(self, row, seed, err);
}

void rub_bench_side_close(rub_bench_side_t *self, int rc)
{
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        rub_abandon(&self->drivers[i].reader);
        rub_abandon(&self->drivers[i].session);
        rub_ideal_close(&self->drivers[i].ideal);
        driver_forget(&self->drivers[i]);
    }
    if (!self->is_ideal && self->name) {
        rub_bench_fleet_end(&self->fleet, rc);
    }
    *self = (rub_bench_side_t){0};
}

double rub_bench_side_hit_ratio(const rub_bench_side_t *self)
{
    uint64_t hits = 0, misses = 0;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        rub_stats_t stats = {0};
        if (self->drivers[i].reader) {
            rub_session_stats(self->drivers[i].reader, &stats);
        }
        hits += stats.cache_hits;
        misses += stats.cache_misses;
    }
    return hits ? (double)hits / (double)(hits + misses) : 0;
}

double rub_bench_side_wire_ratio(const rub_bench_side_t *self)
{
    return self->wire_bytes ? (double)self->value_bytes / (double)self->wire_bytes : 0;
}

double rub_bench_side_latency(const rub_bench_side_t *self, double fraction)
{
    size_t n = 0;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        n += self->drivers[i].n_latencies;
    }
    double *all = rub_calloc(n + 1, sizeof(*all));
    if (!all) {
        return 0;
    }
    n = 0;
    for (uint32_t i = 0; i < self->n_drivers; i++) {
        const rub_bench_driver_t *driver = &self->drivers[i];
        memcpy(all + n, driver->latency_us, driver->n_latencies * sizeof(*all));
        n += driver->n_latencies;
    }
    const double quantile = rub_bench_quantile(all, n, fraction);
    rub_free(all);
    return quantile;
}
