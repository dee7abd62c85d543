/* `rubato bench recover`: from kill -9 of a ps to the first pull that its successor serves.
 *
 * A real fleet with 256 MB of weights in one shard and a session that pulls all the time in a
 * thread of its own. The ps is killed; this process does what the supervisor of `rubato train`
 * does, at its pace; the session is told nothing and finds its way. The time runs from the signal
 * to the return of the first pull after the session's reconnection. Two states of the store:
 * everything in LMDB and a short journal, and a journal that holds everything. Before each kill a
 * bare loop reads as many bytes of the store's files as there are weights into fresh memory: what
 * any recovery takes that trusts its disk, checks nothing and has nobody to find. What a dead
 * scheduler costs is measured by bench_outage.c. */
#include "cli/bench.h"
#include "cli/bench_figures.h"
#include "cli/bench_fleet.h"
#include "cli/bench_setup.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KILLS_LIMIT = 100,
    SHARD_BYTES = 256 << 20,
    WIDTH = 64,
    PULL_ITEMS = 4096,
    PUSH_ROWS = 10000,
    PATIENCE_MS = 60000,
    BETWEEN_KILLS_MS = 5500,
    READ_BYTES = 1 << 20
};

#define BAR_S 1.0

typedef struct bench_case {
    const char *name, *what;
    rub_table_kind_t kind;
    const char *flags[8];
} bench_case_t;

#define STORED                                                                                     \
    {                                                                                              \
        "--checkpoint-interval", "50ms", "--redo-limit", "1M"                                      \
    }
#define JOURNALED                                                                                  \
    {                                                                                              \
        "--checkpoint-interval", "1h", "--redo-limit", "1024G"                                     \
    }

static const bench_case_t cases[] = {
    {"dense_stored", "dense, 256 MB in LMDB", RUB_DENSE, STORED},
    {"hashed_stored", "hashed, 256 MB in LMDB", RUB_HASHED, STORED},
    {"dense_journal", "dense, 256 MB to be redone", RUB_DENSE, JOURNALED},
    {"hashed_journal", "hashed, 256 MB to be redone", RUB_HASHED, JOURNALED},
};

typedef struct puller {
    rub_session_t *session;
    rub_table_t table;
    rub_table_kind_t kind;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint_fast64_t reconnects, served_ns; /* the first pull after the latest reconnection */
    atomic_int failed;
    rub_error_t err;
    uint64_t keys[PULL_ITEMS / WIDTH];
    float values[PULL_ITEMS];
} puller_t;

typedef struct kill_times {
    double served_s;    /* from the signal to the first pull served */
    double recovered_s; /* of these, the successor's recovery, as its log says */
    double cpu_s;       /* that the successor had used by then */
    double bare_s;      /* of the bare loop before it */
} kill_times_t;

static int pull(puller_t *self)
{
    if (self->kind == RUB_DENSE) {
        return rub_pull_range(self->session, self->table, 0, PULL_ITEMS, self->values, &self->err);
    }
    return rub_pull(self->session, self->table, self->keys, PULL_ITEMS / WIDTH, self->values, NULL,
                    &self->err);
}

static void *pull_main(void *context)
{
    puller_t *self = context;
    rub_stats_t stats;
    while (!atomic_load(&self->stop)) {
        const int rc = pull(self);
        const uint64_t now_ns = rub_now_ns();
        if (rc) {
            atomic_store(&self->failed, rc);
            return NULL;
        }
        rub_session_stats(self->session, &stats);
        if (stats.reconnects > atomic_load(&self->reconnects)) {
            atomic_store(&self->served_ns, now_ns);
            atomic_store(&self->reconnects, stats.reconnects);
        }
        rub_sleep_ms(1);
    }
    return NULL;
}

/* ---- the table ---- */

static int open_table(puller_t *self, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "measured";
    schema.kind = self->kind;
    schema.elements = SHARD_BYTES / sizeof(float);
    schema.width = WIDTH;
    return rub_table_open(self->session, &schema, &self->table, err);
}

static int fill(puller_t *self, rub_error_t *err)
{
    const size_t n_values = (size_t)PUSH_ROWS * WIDTH;
    const size_t block_values = n_values / RUB_BLOCK * RUB_BLOCK;
    float *values = rub_calloc(n_values, sizeof(*values));
    uint64_t *keys = rub_calloc(PUSH_ROWS, sizeof(*keys));
    int rc = values && keys ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    for (size_t i = 0; i < n_values && !rc; i++) {
        values[i] = (float)(i % 1000) * 1e-3f;
    }
    const uint64_t n_all = SHARD_BYTES / sizeof(float);
    for (uint64_t at = 0; at < n_all && !rc;) {
        const uint64_t left = n_all - at;
        if (self->kind == RUB_DENSE) {
            const uint64_t n = left < block_values ? left : block_values;
            rc = rub_push_range(self->session, self->table, at, n, values, NULL, err);
            at += n;
        } else {
            size_t rows = 0;
            for (; rows < PUSH_ROWS && at < n_all; rows++, at += WIDTH) {
                keys[rows] = at / WIDTH;
            }
            rc = rub_push(self->session, self->table, keys, rows, values, NULL, err);
        }
    }
    rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
    rc = rc ? rc : rub_flush(self->session, err);
    rub_free(values);
    rub_free(keys);
    return rc;
}

/* ---- the bare loop ---- */

/* Reads what is left of the region's bytes from the file; *done_p counts up. A file that is gone,
 * or has become shorter, gives what it has. */
static void read_file(const char *path, uint8_t *region, size_t *done_p)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? 1 : 0;
    while (n > 0 && *done_p < SHARD_BYTES) {
        const size_t left = SHARD_BYTES - *done_p;
        n = read(fd, region + *done_p, left < READ_BYTES ? left : READ_BYTES);
        *done_p += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* The ps serves meanwhile: its files may come and go. */
static int read_bare(const char *store, double *seconds_p, rub_error_t *err)
{
    char *roots[] = {(char *)(uintptr_t)store, NULL};
    const uint64_t begun_ns = rub_now_ns();
    uint8_t *region = rub_region_alloc(SHARD_BYTES);
    FTS *files = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    size_t done = 0;
    int rc = region && files ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    for (const FTSENT *at = NULL; !rc && done < SHARD_BYTES && (at = fts_read(files)) != NULL;) {
        if (at->fts_info == FTS_F) {
            read_file(at->fts_path, region, &done);
        }
    }
    *seconds_p = (double)(rub_now_ns() - begun_ns) / 1e9;
    if (!rc && done < SHARD_BYTES) {
        rc = rub_fail(err, RUB_EINTERNAL, "%s holds %zu bytes, expected at least %d", store, done,
                      SHARD_BYTES);
    }
    if (files) {
        (void)fts_close(files);
    }
    rub_region_free(region, SHARD_BYTES);
    return rc;
}

/* ---- a kill ---- */

/* "shard 0 recovered: ... in 0.31 s, ..." in the last lines of the log; 0 when it says nothing. */
static double recovery_in_log(const char *path)
{
    char line[600];
    double seconds = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, " recovered: ");
        const char *in = at ? strstr(at, " in ") : NULL;
        seconds = in ? strtod(in + 4, NULL) : seconds;
    }
    if (file) {
        (void)fclose(file);
    }
    return seconds;
}

static int kill_once(rub_bench_fleet_t *fleet, puller_t *puller, kill_times_t *times,
                     rub_error_t *err)
{
    const uint64_t reconnects = atomic_load(&puller->reconnects);
    /* The first time finds the memory: on a virtual machine that costs more than all the rest, and
     * the successor gets its predecessor's. */
    int rc = read_bare(fleet->store, &times->bare_s, err);
    rc = rc ? rc : read_bare(fleet->store, &times->bare_s, err);
    const uint64_t killed_ns = rub_now_ns();
    rub_bench_fleet_kill_ps(fleet);
    rc = rc ? rc : rub_bench_fleet_supervise(fleet, err);
    while (!rc && atomic_load(&puller->reconnects) == reconnects) {
        if (atomic_load(&puller->failed)) {
            rc = rub_fail(err, atomic_load(&puller->failed), "a pull failed: %s",
                          puller->err.message);
        } else if (rub_now_ns() - killed_ns > UINT64_C(1000000) * PATIENCE_MS) {
            rc = rub_fail(err, RUB_ETIMEOUT, "no pull was served within %d s of the kill",
                          PATIENCE_MS / 1000);
        }
        rc = rc ? rc : rub_bench_sleep(1, err);
    }
    times->served_s = (double)(atomic_load(&puller->served_ns) - killed_ns) / 1e9;
    rub_bench_usage_t usage = {0};
    rc = rc ? rc : rub_bench_fleet_usage(fleet, &usage, err);
    times->recovered_s = recovery_in_log(fleet->ps_log);
    times->cpu_s = usage.cpu_s;
    return rc;
}

/* Returns whether the bar was met. */
static bool print(const rub_config_t *config, const bench_case_t *row, const kill_times_t *times)
{
    const size_t n = config->repeat;
    double all_served[KILLS_LIMIT], all_recovered[KILLS_LIMIT], all_cpu[KILLS_LIMIT],
        all_bare[KILLS_LIMIT];
    for (size_t i = 0; i < n; i++) {
        all_served[i] = times[i].served_s;
        all_recovered[i] = times[i].recovered_s;
        all_cpu[i] = times[i].cpu_s / (SHARD_BYTES / 1e9);
        all_bare[i] = times[i].bare_s;
    }
    const rub_bench_spread_t served = rub_bench_spread(all_served, n);
    const rub_bench_spread_t recovery = rub_bench_spread(all_recovered, n);
    const rub_bench_spread_t cpu = rub_bench_spread(all_cpu, n);
    const rub_bench_spread_t bare = rub_bench_spread(all_bare, n);
    const rub_bench_spread_t ratio = rub_bench_ratios(all_bare, all_served, n);
    const bool met = served.median <= BAR_S;
    if (config->json) {
        printf("{\"case\":\"%s\",\"served_again_s\":{\"median\":%.3f,\"min\":%.3f,\"max\":%.3f},"
               "\"recovery_s\":%.3f,\"recovery_min_s\":%.3f,\"recovery_max_s\":%.3f,"
               "\"cpu_s\":%.2f,\"cpu_s_per_gb\":%.3f,\"cpu_s_per_gb_min\":%.3f,"
               "\"cpu_s_per_gb_max\":%.3f,\"bare_read_s\":%.3f,\"ideal_ratio\":%.3f,"
               "\"ideal_ratio_min\":%.3f,\"ideal_ratio_max\":%.3f,"
               "\"bar\":%.1f,\"met\":%s,\"kills\":%zu}\n",
               row->name, served.median, served.min, served.max, recovery.median, recovery.min,
               recovery.max, cpu.median * SHARD_BYTES / 1e9, cpu.median, cpu.min, cpu.max,
               bare.median, ratio.median, ratio.min, ratio.max, BAR_S, met ? "true" : "false", n);
    } else {
        printf("%-30s %.3f s (%.3f to %.3f; bar %.0f s: %s), recovery %.2f s (%.2f to %.2f), CPU "
               "%.2f s/GB; a bare read of as many bytes %.3f s, %.2f x\n",
               row->what, served.median, served.min, served.max, BAR_S, met ? "met" : "MISSED",
               recovery.median, recovery.min, recovery.max, cpu.median, bare.median, ratio.median);
    }
    (void)fflush(stdout);
    return met;
}

/* Returns 1 when the bar was missed. */
static int run_case(const rub_config_t *config, const char *folder, const bench_case_t *row,
                    rub_error_t *err)
{
    rub_bench_fleet_t fleet;
    rub_bench_usage_t usage;
    kill_times_t times[KILLS_LIMIT];
    puller_t *puller = rub_calloc(1, sizeof(*puller));
    if (!puller) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    puller->kind = row->kind;
    for (size_t i = 0; i < PULL_ITEMS / WIDTH; i++) {
        puller->keys[i] = i * 4001;
    }
    int rc = rub_bench_fleet_start(&fleet, folder, row->flags, err);
    rc = rc ? rc : rub_bench_fleet_join(&fleet, RUB_TRAINER, &puller->session, err);
    rc = rc ? rc : open_table(puller, err);
    rc = rc ? rc : fill(puller, err);
    rc = rc ? rc : rub_bench_fleet_settle(&fleet, BETWEEN_KILLS_MS, &usage, err);
    const bool pulls = !rc && pthread_create(&puller->thread, NULL, pull_main, puller) == 0;
    if (!rc && !pulls) {
        rc = rub_fail(err, RUB_EIO, "no thread can be started for the pulls");
    }
    for (size_t i = 0; i < config->repeat && !rc; i++) {
        rc = rub_bench_sleep(BETWEEN_KILLS_MS, err);
        rc = rc ? rc : kill_once(&fleet, puller, &times[i], err);
    }
    if (pulls) {
        atomic_store(&puller->stop, true);
        if (rc) {
            rub_bench_fleet_end(&fleet, rc); /* else its pull would wait for its time-out */
        }
        (void)pthread_join(puller->thread, NULL);
    }
    if (!rc) {
        rc = print(config, row, times) ? 0 : 1;
    }
    rub_abandon(&puller->session);
    rub_bench_fleet_end(&fleet, rc);
    rub_free(puller);
    return rc;
}

static const char *case_name(size_t i)
{
    return i < RUB_COUNT_OF(cases) ? cases[i].name : i == RUB_COUNT_OF(cases) ? "scheduler" : NULL;
}

static int run(const rub_config_t *config, const char *folder, int *n_missed_p, rub_error_t *err)
{
    char fleet_folder[100];
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(cases) && rc >= 0; i++) {
        snprintf(fleet_folder, sizeof(fleet_folder), "%s/fleet-%zu", folder, i);
        rc = rub_bench_wants(config, cases[i].name) ? run_case(config, fleet_folder, &cases[i], err)
                                                    : 0;
        *n_missed_p += rc > 0;
    }
    if (rc >= 0 && rub_bench_wants(config, "scheduler")) {
        snprintf(fleet_folder, sizeof(fleet_folder), "%s/fleet-scheduler", folder);
        rc = rub_bench_outage(config, fleet_folder, err);
        *n_missed_p += rc > 0;
    }
    return rc < 0 ? rc : 0;
}

int rub_bench_recover(rub_config_t *config, rub_error_t *err)
{
    char folder[RUB_BENCH_FOLDER_BYTES] = "";
    int n_missed = 0;
    RUB_ASSERT(config->repeat <= KILLS_LIMIT);
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : rub_bench_folder_make(folder, err);
    rc = rc ? rc : run(config, folder, &n_missed, err);
    rub_bench_folder_leave(folder, rc);
    return rc ? rc : n_missed;
}
