/* The smallest real fleet: a scheduler and a ps, told apart from `rubato train`'s only in that the
 * worker is the measuring process itself. What a process used is read from /proc: CPU time in ticks
 * of 10 ms, bytes given to write calls (libzmq sends with other calls, so these are files). */
#include "cli/bench_fleet.h"

#include "cli/bench_setup.h"
#include "cli/restart.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define JOIN_TIMEOUT_MS 20000u
#define REQUEST_TIMEOUT_MS 120000u
#define QUIET_CPU_S 0.05 /* in a quiet second: timers and reports */
#define SETTLE_LIMIT_MS 60000u
#define LOOK_EVERY_MS 20u

static int start_ps(const rub_bench_fleet_t *self, uint32_t number, rub_child_t *child,
                    rub_error_t *err)
{
    char log_path[160], store[160], n_ps[16], shards[16], first_shard[16];
    snprintf(log_path, sizeof(log_path), "%s/ps-%u.log", self->folder, number);
    snprintf(store, sizeof(store), "%s/ps-%u", self->folder, number);
    snprintf(n_ps, sizeof(n_ps), "%u", self->shape.n_ps);
    snprintf(shards, sizeof(shards), "%u", self->shape.shards);
    snprintf(first_shard, sizeof(first_shard), "%u", number * self->shape.shards);
    const char *arguments[36] = {
        "/proc/self/exe", "ps",          "--scheduler",
        self->address,    "--ps",        n_ps,
        "--shards",       shards,        "--first-shard",
        first_shard,      "--store-dir", number == 0 ? self->store : store,
        "--grace",        "60s",         "--snapshots-dir",
        self->snapshots,  "--listen",    self->shape.ipc ? "ipc" : "127.0.0.1"};
    size_t n = 18;
    for (size_t i = 0; self->ps_flags[i]; i++) {
        RUB_ASSERT(n + 1 < RUB_COUNT_OF(arguments));
        arguments[n++] = self->ps_flags[i];
    }
    return rub_child_start(child, (char *const *)arguments, number == 0 ? self->ps_log : log_path,
                           err);
}

int rub_bench_fleet_start_ps(rub_bench_fleet_t *self, rub_error_t *err)
{
    self->ps_started_ms = rub_now_ms();
    const int rc = start_ps(self, 0, &self->ps, err);
    if (rc == 0) {
        (void)rub_host_pid(self->ps.pid, self->ps_who, sizeof(self->ps_who));
    }
    return rc;
}

int rub_bench_fleet_start_scheduler(rub_bench_fleet_t *self, rub_error_t *err)
{
    char log_path[160], store[160], n_ps[16], shards[16], workers[16];
    snprintf(log_path, sizeof(log_path), "%s/scheduler.log", self->folder);
    snprintf(store, sizeof(store), "%s/scheduler", self->folder);
    snprintf(n_ps, sizeof(n_ps), "%u", self->shape.n_ps);
    snprintf(shards, sizeof(shards), "%u", self->shape.shards);
    snprintf(workers, sizeof(workers), "%u", self->shape.workers);
    const char *arguments[] = {"/proc/self/exe",
                               "scheduler",
                               "--scheduler",
                               self->address,
                               "--port",
                               strrchr(self->address, ':') + 1,
                               "--ps",
                               n_ps,
                               "--shards",
                               shards,
                               "--workers",
                               workers,
                               "--staleness",
                               "async",
                               "--store-dir",
                               store,
                               "--snapshots-dir",
                               self->snapshots,
                               NULL};
    return rub_child_start(&self->scheduler, (char *const *)arguments, log_path, err);
}

static int choose_address(rub_bench_fleet_t *self, rub_error_t *err)
{
    uint16_t port = 0;
    const int rc = rub_port_free("127.0.0.1", &port, err);
    snprintf(self->address, sizeof(self->address), "tcp://127.0.0.1:%u", port);
    return rc;
}

int rub_bench_fleet_start(rub_bench_fleet_t *self, const char *folder, const char *const *ps_flags,
                          rub_error_t *err)
{
    const rub_bench_shape_t smallest = {.n_ps = 1, .shards = 1, .workers = 1, .lane = RUB_LANE_TCP};
    return rub_bench_fleet_start_shape(self, folder, ps_flags, &smallest, err);
}

static int start_inproc(rub_bench_fleet_t *self, rub_error_t *err)
{
    char log_path[160];
    rub_inproc_options_t options;
    rub_inproc_options_defaults(&options);
    snprintf(log_path, sizeof(log_path), "%s/fleet.log", self->folder);
    options.workers = self->shape.workers;
    options.shards = self->shape.n_ps * self->shape.shards;
    options.staleness = RUB_ASYNC;
    options.log_path = log_path;
    return rub_inproc_start(&options, &self->inproc, err);
}

int rub_bench_fleet_start_shape(rub_bench_fleet_t *self, const char *folder,
                                const char *const *ps_flags, const rub_bench_shape_t *shape,
                                rub_error_t *err)
{
    *self = (rub_bench_fleet_t){.ps_flags = ps_flags, .shape = *shape};
    RUB_ASSERT(shape->n_ps >= 1);
    RUB_ASSERT(shape->n_ps <= RUB_BENCH_PS_LIMIT);
    snprintf(self->folder, sizeof(self->folder), "%s", folder);
    snprintf(self->ps_log, sizeof(self->ps_log), "%s/ps.log", folder);
    snprintf(self->store, sizeof(self->store), "%s/ps-0", folder);
    snprintf(self->snapshots, sizeof(self->snapshots), "%s/snapshots", folder);
    int rc = rub_fs_mkdirs(folder, err);
    if (shape->inproc) {
        return rc ? rc : start_inproc(self, err);
    }
    rc = rc ? rc : choose_address(self, err);
    rc = rc ? rc : rub_bench_fleet_start_scheduler(self, err);
    rc = rc ? rc : rub_status_link_open(self->address, &self->link, err);
    rc = rc ? rc : rub_bench_fleet_start_ps(self, err);
    for (uint32_t i = 1; i < shape->n_ps && !rc; i++) {
        rc = start_ps(self, i, &self->other_ps[i - 1], err);
    }
    if (rc) {
        rub_bench_fleet_end(self, rc);
    }
    return rc;
}

void rub_bench_fleet_end(rub_bench_fleet_t *self, int rc)
{
    (void)rub_inproc_stop(&self->inproc, NULL);
    rub_child_kill(&self->ps);
    for (size_t i = 0; i < RUB_COUNT_OF(self->other_ps); i++) {
        rub_child_kill(&self->other_ps[i]);
    }
    rub_child_kill(&self->scheduler);
    rub_status_link_close(&self->link);
    if (rc >= 0 && self->folder[0]) {
        (void)rub_fs_remove_tree(self->folder, NULL);
    }
}

int rub_bench_fleet_join(const rub_bench_fleet_t *self, rub_role_t role, rub_session_t **session_p,
                         rub_error_t *err)
{
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = self->inproc ? rub_inproc_address(self->inproc) : self->address;
    options.zmq_context = self->inproc ? rub_inproc_context(self->inproc) : NULL;
    options.role = role;
    options.join_timeout_ms = JOIN_TIMEOUT_MS;
    options.request_timeout_ms = REQUEST_TIMEOUT_MS;
    options.interrupted = rub_signals_count();
    options.lane = self->shape.lane;
    return rub_open(&options, session_p, err);
}

void rub_bench_fleet_kill_scheduler(rub_bench_fleet_t *self)
{
    rub_child_kill(&self->scheduler);
}

void rub_bench_fleet_kill_ps(rub_bench_fleet_t *self)
{
    rub_child_signal(&self->ps, SIGKILL);
}

int rub_bench_fleet_supervise(rub_bench_fleet_t *self, rub_error_t *err)
{
    while (!rub_child_ended(&self->ps)) {
        rub_sleep_ms(RUB_RESTART_LOOK_MS);
    }
    rub_status_link_dead(self->link, self->ps_who);
    rub_sleep_ms(rub_restart_wait_ms(rub_now_ms() - self->ps_started_ms, &self->ps_short_lives));
    return rub_bench_fleet_start_ps(self, err);
}

/* The number behind a word in a file of /proc. */
static uint64_t number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

static int read_proc(pid_t pid, const char *name, char *out, size_t out_bytes)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        return -1;
    }
    const size_t n = fread(out, 1, out_bytes - 1, file);
    out[n] = '\0';
    (void)fclose(file);
    return n > 0 ? 0 : -1;
}

/* How many there are, and the blocks that the files among them take. */
static void look_at_descriptors(pid_t pid, rub_bench_usage_t *usage)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        struct stat file;
        if (entry->d_name[0] == '.') {
            continue;
        }
        usage->descriptors++;
        if (fstatat(dirfd(folder), entry->d_name, &file, 0) == 0 && S_ISREG(file.st_mode)) {
            usage->open_bytes += (uint64_t)file.st_blocks * 512;
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
}

/* Fields 14 and 15 of stat are user and system ticks; the name before them may hold anything. */
static double cpu_of(const char *stat)
{
    const char *at = strrchr(stat, ')');
    unsigned long user = 0, system = 0;
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                      &system) != 2) {
        return 0;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double rub_bench_process_cpu_s(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

int rub_bench_fleet_cpu(rub_bench_fleet_t *self, double *cpu_s_p, rub_error_t *err)
{
    *cpu_s_p = 0;
    if (self->inproc) {
        return 0; /* the caller counts its own */
    }
    bool all = !rub_child_ended(&self->ps) && !rub_child_ended(&self->scheduler);
    *cpu_s_p = rub_bench_process_cpu_s(self->ps.pid) + rub_bench_process_cpu_s(self->scheduler.pid);
    for (uint32_t i = 0; i + 1 < self->shape.n_ps; i++) {
        all = all && !rub_child_ended(&self->other_ps[i]);
        *cpu_s_p += rub_bench_process_cpu_s(self->other_ps[i].pid);
    }
    if (!all) {
        char line[300];
        rub_log_last_line(self->ps_log, line, sizeof(line));
        return rub_fail(err, rub_bench_code_of(self->ps.exit_code),
                        "a process of the measured fleet is gone: %s", line);
    }
    return 0;
}

int rub_bench_fleet_usage(rub_bench_fleet_t *self, rub_bench_usage_t *usage, rub_error_t *err)
{
    char stat[1024], io[1024], status[4096];
    const pid_t pid = self->ps.pid;
    if (rub_child_ended(&self->ps) || pid == 0 || read_proc(pid, "stat", stat, sizeof(stat)) ||
        read_proc(pid, "io", io, sizeof(io)) || read_proc(pid, "status", status, sizeof(status))) {
        char line[300];
        rub_log_last_line(self->ps_log, line, sizeof(line));
        return rub_fail(err, rub_bench_code_of(self->ps.exit_code), "the measured ps is gone: %s",
                        line);
    }
    *usage = (rub_bench_usage_t){.cpu_s = cpu_of(stat),
                                 .file_bytes = number_behind(io, "wchar: "),
                                 .memory_bytes = number_behind(status, "VmRSS:") * 1024};
    look_at_descriptors(pid, usage);
    return 0;
}

int rub_bench_fleet_settle(rub_bench_fleet_t *self, uint64_t quiet_ms, rub_bench_usage_t *usage,
                           rub_error_t *err)
{
    const uint64_t begun_ms = rub_now_ms();
    uint64_t since_ms = begun_ms;
    rub_bench_usage_t now;
    int rc = rub_bench_fleet_usage(self, usage, err);
    while (!rc && rub_now_ms() - since_ms < quiet_ms && rub_now_ms() - begun_ms < SETTLE_LIMIT_MS &&
           *rub_signals_count() == 0) {
        rub_sleep_ms(LOOK_EVERY_MS);
        rc = rub_bench_fleet_usage(self, &now, err);
        /* eventfd's eight bytes are written too: a page is the least that says something */
        if (!rc &&
            (now.file_bytes > usage->file_bytes + 4096 || now.cpu_s > usage->cpu_s + QUIET_CPU_S)) {
            *usage = now;
            since_ms = rub_now_ms();
        }
    }
    return rc;
}
