/* What this machine has, held against what a run wants from it.
 *
 * Every bound here is one that a run meets later anyway, as an error in the middle of work: too few
 * descriptors, a disk that fills up, a network file system under LMDB, a port that is taken. */
#include "cli/doctor.h"

#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"
#include "common/proc/place.h"
#include "common/wire/control.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RUB_SYNC_TRIALS 9
#define RUB_SLOW_SYNC_US 20000u
#define RUB_MIB ((uint64_t)1 << 20)
#define RUB_YEAR_2024_S 1704067200.0

static void look_at_versions(rub_findings_t *findings)
{
    int major = 0, minor = 0, patch = 0;
    zmq_version(&major, &minor, &patch);
    if (major != ZMQ_VERSION_MAJOR || minor < ZMQ_VERSION_MINOR) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_ECONFIG, "versions", "libzmq %d.%d.%d is loaded, built against %d.%d.%d",
            major, minor, patch, ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR, ZMQ_VERSION_PATCH);
        rub_finding_remedy(found, "build again on this machine, or install libzmq %d.%d",
                           ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR);
        return;
    }
    rub_findings_fine(findings, "versions", "rubato %s, libzmq %d.%d.%d, CZMQ %d.%d.%d",
                      rub_version(), major, minor, patch, CZMQ_VERSION_MAJOR, CZMQ_VERSION_MINOR,
                      CZMQ_VERSION_PATCH);
}

static void look_at_processors(const rub_config_t *config, rub_findings_t *findings)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const uint64_t wanted = config->ps * config->shards + config->workers * config->blas_threads;
    if (online > 0 && wanted > 2 * (uint64_t)online) {
        rub_findings_note(findings, "processors",
                          "%ld here for %" PRIu64 " busy threads (ps x shards + workers x "
                          "blas_threads): they will wait for each other",
                          online, wanted);
    } else {
        rub_findings_fine(findings, "processors", "%ld for %" PRIu64 " busy threads", online,
                          wanted);
    }
}

static void look_at_limits(const rub_config_t *config, rub_findings_t *findings)
{
    struct rlimit files = {0}, size = {0};
    const uint64_t peers = config->workers + config->ps * config->shards;
    const uint64_t wanted = 64 + 4 * peers;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < wanted) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_ELIMIT, "limits",
            "%" PRIu64 " open files are allowed, expected %" PRIu64 " for %" PRIu64 " peers",
            (uint64_t)files.rlim_cur, wanted, peers);
        rub_finding_remedy(found, "ulimit -n %" PRIu64, wanted);
    } else {
        rub_findings_fine(findings, "limits", "%" PRIu64 " open files, expected %" PRIu64,
                          (uint64_t)files.rlim_cur, wanted);
    }
    if (getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != RLIM_INFINITY &&
        size.rlim_cur < 2 * config->segment_bytes) {
        rub_finding_t *found = rub_findings_problem(findings, RUB_ELIMIT, "limits",
                                                    "files may not grow beyond %" PRIu64
                                                    " bytes; a journal segment has %" PRIu64,
                                                    (uint64_t)size.rlim_cur, config->segment_bytes);
        rub_finding_remedy(found, "ulimit -f unlimited");
    }
}

/* A line "name: 123 kB" of /proc/meminfo, in bytes; 0: not there. */
static uint64_t memory_line(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

static void look_at_memory(uint64_t parameters, rub_findings_t *findings)
{
    char *text = NULL;
    size_t bytes = 0;
    if (rub_fs_read("/proc/meminfo", 1 << 16, &text, &bytes, NULL) != 0) {
        return;
    }
    const uint64_t available = memory_line(text, "MemAvailable:");
    free(text);
    /* weights and two slots on the shards, weights and gradients twice in a worker */
    const uint64_t wanted = parameters * 4 * 8 + 256 * RUB_MIB;
    if (available && available < wanted) {
        rub_findings_note(findings, "memory",
                          "%" PRIu64 " MiB are available, a model of %" PRIu64
                          " parameters may want %" PRIu64 " MiB",
                          available / RUB_MIB, parameters, wanted / RUB_MIB);
    } else {
        rub_findings_fine(findings, "memory", "%" PRIu64 " MiB are available", available / RUB_MIB);
    }
}

static void look_at_clock(rub_findings_t *findings)
{
    struct timex state = {0};
    const double now_s = rub_wall_s();
    if (now_s < RUB_YEAR_2024_S) {
        rub_findings_note(findings, "time", "the system's date is before 2024: logs will mislead");
        return;
    }
    const int rc = adjtimex(&state);
    const bool synced = rc >= 0 && rc != TIME_ERROR && !(state.status & STA_UNSYNC);
    rub_findings_fine(findings, "time",
                      "leases and deadlines use the monotonic time; the date is %s",
                      synced ? "held by a time service"
                             : "not held by a time service (only logs of several hosts mind)");
}

static const char *network_file_system(long type)
{
    switch ((unsigned long)type) {
    case 0x6969ul:
        return "NFS";
    case 0xFF534D42ul:
    case 0xFE534D42ul:
    case 0x517Bul:
        return "SMB";
    case 0x01021997ul:
        return "9P";
    case 0x00C36400ul:
        return "Ceph";
    case 0x47504653ul:
        return "GPFS";
    case 0x0BD00BD0ul:
        return "Lustre";
    default:
        return NULL;
    }
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The median time of writing 4 KiB and waiting for the platter; 0: could not. */
static uint64_t time_sync_us(const char *folder)
{
    char path[PATH_MAX];
    uint64_t times[RUB_SYNC_TRIALS];
    static const char page[4096];
    if (snprintf(path, sizeof path, "%s/.rubato-doctor-XXXXXX", folder) >= (int)sizeof path) {
        return 0;
    }
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    unlink(path);
    bool fine = true;
    for (int i = 0; i < RUB_SYNC_TRIALS && fine; i++) {
        const uint64_t start_us = rub_now_us();
        fine = write(fd, page, sizeof page) == (ssize_t)sizeof page && fdatasync(fd) == 0;
        times[i] = rub_now_us() - start_us;
    }
    close(fd);
    qsort(times, RUB_SYNC_TRIALS, sizeof times[0], by_size);
    return fine ? times[RUB_SYNC_TRIALS / 2] + 1 : 0;
}

/* The nearest folder above (or at) the path that exists. */
static void existing_folder(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", path[0] ? path : ".");
    while (!rub_fs_exists(out)) {
        char *slash = strrchr(out, '/');
        if (!slash) {
            strcpy(out, ".");
        } else if (slash == out) {
            out[1] = 0;
            return;
        } else {
            *slash = 0;
        }
    }
}

static void look_at_space(const rub_config_t *config, uint64_t parameters, const char *folder,
                          rub_findings_t *findings)
{
    uint64_t free_bytes = 0;
    rub_error_t err = {0};
    if (config->durability == RUB_DURABILITY_NONE) {
        rub_findings_fine(findings, "disk", "durability none: the shards write no files");
        return;
    }
    if (rub_fs_free_bytes(folder, &free_bytes, &err) != 0) {
        rub_findings_problem(findings, RUB_ESTORE, "disk", "%s", err.message);
        return;
    }
    /* each shard: a journal up to the redo limit is the rule of large jobs, three segments that of
     * small ones; tables and slots twice, because LMDB writes new pages before it frees old ones */
    const uint64_t shards = config->ps * config->shards;
    const uint64_t wanted = shards * 3 * config->segment_bytes + parameters * 4 * 3 * 2;
    if (free_bytes < wanted) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_ENOSPC, "disk",
            "'%s' has %" PRIu64 " MiB free, expected %" PRIu64 " MiB for %" PRIu64 " shards",
            folder, free_bytes / RUB_MIB, wanted / RUB_MIB, shards);
        rub_finding_remedy(found, "free space, choose another --run-dir, or a smaller "
                                  "--segment");
    } else {
        rub_findings_fine(findings, "disk", "'%s' has %" PRIu64 " MiB free, expected %" PRIu64,
                          folder, free_bytes / RUB_MIB, wanted / RUB_MIB);
    }
}

static void look_at_disk(const rub_config_t *config, uint64_t parameters, rub_findings_t *findings)
{
    char folder[PATH_MAX];
    struct statfs system = {0};
    existing_folder(config->run_dir[0] ? config->run_dir : "runs", folder);
    if (access(folder, W_OK) != 0) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_ESTORE, "disk", "'%s' cannot be written: %s", folder, strerror(errno));
        rub_finding_remedy(found, "choose another --run-dir");
        return;
    }
    const char *network = statfs(folder, &system) == 0 ? network_file_system(system.f_type) : NULL;
    if (network) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_ESTORE, "disk",
            "'%s' is on %s; LMDB must not be on a network file system", folder, network);
        rub_finding_remedy(found, "choose a --run-dir on a local disk");
    } else if (system.f_type == 0x01021994) {
        rub_findings_note(findings, "disk", "'%s' is on tmpfs: nothing outlives a reboot", folder);
    }
    look_at_space(config, parameters, folder, findings);
    const uint64_t sync_us = time_sync_us(folder);
    if (sync_us > RUB_SLOW_SYNC_US) {
        rub_findings_note(findings, "disk",
                          "a sync takes %.1f ms here; durability sync will wait for it every turn",
                          (double)sync_us / 1000);
    } else if (sync_us > 0) {
        rub_findings_fine(findings, "disk", "a sync takes %.2f ms", (double)sync_us / 1000);
    }
}

void rub_doctor_machine(const rub_config_t *config, uint64_t parameters, rub_findings_t *findings)
{
    look_at_versions(findings);
    look_at_processors(config, findings);
    look_at_limits(config, findings);
    look_at_memory(parameters, findings);
    look_at_clock(findings);
    look_at_disk(config, parameters, findings);
}

void rub_doctor_ports(const rub_config_t *config, rub_findings_t *findings)
{
    const char *interface = rub_config_tcp_interface(config);
    uint16_t port = (uint16_t)config->port;
    rub_error_t err = {0};
    if (port == 0 && rub_port_free(interface, &port, &err) != 0) {
        rub_finding_t *found = rub_findings_problem(findings, err.code, "port", "%s", err.message);
        rub_finding_remedy(found, "--listen must be an address of this host, or '*'");
        return;
    }
    if (rub_port_check(interface, port, &err) != 0) {
        rub_finding_t *found = rub_findings_problem(findings, err.code, "port", "%s", err.message);
        rub_finding_remedy(found, "leave --port out, or end who holds it: ss -ltnp 'sport = :%u'",
                           (unsigned)port);
        return;
    }
    rub_findings_fine(findings, "port", "%u on '%s' can be bound", (unsigned)port, interface);
}
