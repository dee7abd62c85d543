/* What a job says of itself, and what can be seen from outside: the scheduler's status names who is
 * missing and whom others wait for; a plain TCP connection to each address that it gives shows what
 * a worker on this host would meet.
 *
 * An observer changes nothing. Every attempt has a deadline, and its end is told: "refused" (nobody
 * listens), "no answer" (a firewall, a dead host), "connected, but no word" (another program, or a
 * process that is stopped). */
#include "cli/doctor.h"

#include "cli/plan.h"
#include "cli/status_link.h"
#include "cli/tally.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUB_ANSWER_MS 3000u
#define RUB_CONNECT_MS 2000u
#define RUB_SILENT_MS 5000u /* who has not been heard for so long is named */
#define RUB_LOG_TAIL 65536

/* How a connection to one address ended: 0 or an errno. */
static int try_connect(const struct addrinfo *to, uint32_t timeout_ms)
{
    const int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    int failure = connect(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
    if (failure == EINPROGRESS) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        socklen_t bytes = sizeof failure;
        if (poll(&item, 1, (int)timeout_ms) <= 0) {
            failure = ETIMEDOUT;
        } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0) {
            failure = errno;
        }
    }
    close(fd);
    return failure;
}

int rub_doctor_connect(const char *host, uint16_t port, uint32_t timeout_ms, rub_error_t *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char service[8], tried[320] = "";
    snprintf(service, sizeof service, "%u", (unsigned)port);
    const int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        return rub_fail(err, RUB_EPEER, "host '%s' is not known here: %s", host, gai_strerror(rc));
    }
    bool reached = false;
    for (const struct addrinfo *to = list; to && !reached; to = to->ai_next) {
        char number[NI_MAXHOST] = "?";
        getnameinfo(to->ai_addr, to->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST);
        const int failure = try_connect(to, timeout_ms);
        reached = failure == 0;
        const size_t used = strlen(tried);
        snprintf(tried + used, sizeof tried - used, "%s%s port %u: %s", used ? "; " : "", number,
                 (unsigned)port, strerror(failure));
    }
    freeaddrinfo(list);
    return reached ? 0 : rub_fail(err, RUB_EPEER, "%s", tried);
}

static void look_at_ranks(const rub_status_t *status, rub_findings_t *findings)
{
    uint32_t fine = 0;
    for (uint32_t i = 0; i < status->n_ranks; i++) {
        const rub_rank_status_t *rank = &status->ranks[i];
        char subject[32];
        snprintf(subject, sizeof subject, "rank %u", rank->rank);
        if (rank->state == RUB_RANK_LIVE && !rank->who[0]) {
            rub_finding_t *found =
                rub_findings_problem(findings, RUB_EPEER, subject, "has never come");
            rub_finding_remedy(found,
                               "start a worker for it: rubato worker --rank %u "
                               "--scheduler ... run.yaml",
                               rank->rank);
        } else if (rank->state == RUB_RANK_LIVE && rank->heard_ms > RUB_SILENT_MS) {
            char since[40] = "since this scheduler started";
            if (rank->heard_ms != UINT64_MAX) {
                snprintf(since, sizeof since, "for %.1f s", (double)rank->heard_ms / 1000);
            }
            rub_finding_t *found = rub_findings_problem(findings, RUB_EPEER, subject,
                                                        "%s is silent %s, at clock %" PRIu64,
                                                        rank->who, since, rank->clock);
            rub_finding_remedy(found, "is that process stopped, or its host cut off? It is evicted "
                                      "when its lease has run out and a shard waits for it");
        } else if (rank->state == RUB_RANK_GONE) {
            rub_findings_note(findings, subject, "%s is gone, at clock %" PRIu64, rank->who,
                              rank->clock);
        } else {
            fine++;
        }
    }
    rub_findings_fine(findings, "ranks", "%u of %u are heard or done", fine, status->n_ranks);
}

static void look_at_shards(const rub_status_t *status, rub_findings_t *findings)
{
    uint32_t fine = 0;
    for (uint32_t i = 0; i < status->n_shards; i++) {
        const rub_shard_status_t *shard = &status->shards[i];
        char subject[32], host[128];
        uint16_t port = 0;
        rub_error_t err = {0};
        snprintf(subject, sizeof subject, "shard %u", shard->shard);
        if (!shard->address[0]) {
            rub_finding_t *found =
                rub_findings_problem(findings, RUB_EPEER, subject, "is not here");
            rub_finding_remedy(found, "start (again) the ps that holds it, with its --first-shard "
                                      "and --store-dir");
            continue;
        }
        const bool silent = shard->heard_ms > RUB_SILENT_MS;
        const bool is_tcp = rub_plan_address(shard->address, host, &port, &err) == 0;
        if (is_tcp && rub_doctor_connect(host, port, RUB_CONNECT_MS, &err) != 0) {
            rub_finding_t *found = rub_findings_problem(findings, RUB_EPEER, subject,
                                                        "%s cannot be reached at %s from here: %s",
                                                        shard->who, shard->address, err.message);
            rub_finding_remedy(found, "is it dead, or is --advertise (or a firewall) wrong?");
        } else if (silent) {
            rub_findings_problem(findings, RUB_EPEER, subject,
                                 "%s %s %s, but the scheduler has not heard it for %.1f s",
                                 shard->who, is_tcp ? "accepts connections at" : "listened on",
                                 shard->address, (double)shard->heard_ms / 1000);
        } else {
            fine++;
        }
        if (shard->parked > 0) {
            rub_findings_note(findings, subject, "%" PRIu64 " pulls wait for slower ranks",
                              shard->parked);
        }
    }
    rub_findings_fine(findings, "shards", "%u of %u are heard and reachable", fine,
                      status->n_shards);
}

static bool is_over(const rub_status_t *status)
{
    return status->state == RUB_JOB_DONE || status->state == RUB_JOB_FAILED;
}

static void look_at_status(const rub_status_t *status, uint64_t took_ms, rub_findings_t *findings)
{
    rub_findings_fine(
        findings, "scheduler",
        "%s answers after %" PRIu64 " ms: job %016" PRIx64 ", generation %" PRIu64 ", %.0f s old",
        status->who, took_ms, status->job, status->generation, (double)status->uptime_ms / 1000);
    if (status->state == RUB_JOB_FAILED) {
        rub_findings_problem(findings, status->code ? -(int)status->code : RUB_EPEER, "job",
                             "has failed: %s", status->reason);
    } else if (status->reason[0]) {
        rub_findings_note(findings, "job", "%s", status->reason);
    }
    if (status->evictions > 0) {
        rub_findings_note(findings, "job", "%u evictions so far", status->evictions);
    }
    if (!status->clocked) {
        rub_finding_t *found = rub_findings_note(
            findings, "job", "pushes came, but nobody has called clock(): no bound can hold");
        rub_finding_remedy(found, "call rub_clock() after the pushes of each step");
    }
    if (!is_over(status)) {
        look_at_ranks(status, findings);
        look_at_shards(status, findings);
    }
}

bool rub_doctor_job(const rub_config_t *config, rub_findings_t *findings, char *tried,
                    size_t tried_bytes)
{
    rub_error_t err = {0};
    rub_status_link_t *link = NULL;
    const rub_status_t *status = NULL;
    char host[128];
    uint16_t port = 0;
    int rc = rub_plan_address(config->scheduler, host, &port, &err);
    rc = rc ? rc : rub_doctor_connect(host, port, RUB_CONNECT_MS, &err);
    rc = rc ? rc : rub_status_link_open(config->scheduler, &link, &err);
    if (rc == 0) {
        const uint64_t start_ms = rub_now_ms();
        rc = rub_status_link_wait(link, config->scheduler, RUB_ANSWER_MS, &status, &err);
        if (rc == 0) {
            look_at_status(status, rub_now_ms() - start_ms, findings);
        } else if (rc == RUB_EPEER) {
            rc = rub_fail(&err, RUB_EPEER,
                          "%s port %u: connected, but no word of a scheduler within %u s: another "
                          "program, or a process that is stopped",
                          host, (unsigned)port, RUB_ANSWER_MS / 1000);
        }
    }
    rub_status_link_close(&link);
    if (rc != 0 && tried) {
        snprintf(tried, tried_bytes, "%s", err.message);
    }
    return rc == 0;
}

/* ---- what a run directory tells ---- */

/* The last line of the log that says error or warn, cut at its end; empty: none. */
static void last_complaint(const char *path, char *out, size_t out_bytes)
{
    out[0] = 0;
    FILE *file = fopen(path, "r");
    if (!file) {
        return;
    }
    if (fseek(file, -RUB_LOG_TAIL, SEEK_END) != 0) {
        rewind(file);
    }
    char line[1024];
    while (fgets(line, sizeof line, file)) {
        if (strstr(line, "Z error ") || strstr(line, "Z warn ")) {
            line[strcspn(line, "\n")] = 0;
            snprintf(out, out_bytes, "%.*s", (int)out_bytes - 1, line);
        }
    }
    fclose(file);
}

static void look_at_logs(const char *run_dir, rub_findings_t *findings)
{
    struct dirent **entries = NULL;
    const int n = scandir(run_dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
        char path[PATH_MAX], line[320];
        if (dot && strcmp(dot, ".log") == 0 &&
            snprintf(path, sizeof path, "%s/%s", run_dir, name) < (int)sizeof path) {
            last_complaint(path, line, sizeof line);
            if (line[0]) {
                char subject[48];
                snprintf(subject, sizeof subject, "%.*s", (int)(dot - name), name);
                rub_findings_note(findings, subject, "its last complaint: %s", line);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

static void look_at_result(const char *run_dir, rub_doctor_folder_state_t state,
                           rub_findings_t *findings)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/result.json", run_dir) >= (int)sizeof path) {
        return;
    }
    json_t *result = json_load_file(path, 0, NULL);
    if (result) {
        const char *status = json_string_value(json_object_get(result, "status"));
        const char *reason = json_string_value(json_object_get(result, "reason"));
        const int exit_code = (int)json_integer_value(json_object_get(result, "exit_code"));
        if (exit_code == 0) {
            rub_findings_fine(findings, "result", "the run is over: %s", status ? status : "?");
        } else {
            rub_findings_problem(findings, RUB_EPEER, "result", "the run has ended with %d: %s",
                                 exit_code,
                                 reason   ? reason
                                 : status ? status
                                          : "?");
        }
        json_decref(result);
    } else if (state == RUB_FOLDER_IDLE) {
        rub_finding_t *found = rub_findings_problem(
            findings, RUB_EPEER, "result",
            "there is none, and nobody holds the directory: the run was ended from outside");
        rub_finding_remedy(found, "see the logs; 'rubato fsck %s' checks its stores", run_dir);
    }
}

rub_doctor_folder_state_t rub_doctor_folder(const char *run_dir, rub_findings_t *findings)
{
    char path[PATH_MAX];
    rub_error_t err = {0};
    rub_doctor_folder_state_t state = RUB_FOLDER_IDLE;
    if (snprintf(path, sizeof path, "%s/lock", run_dir) >= (int)sizeof path ||
        !rub_fs_exists(path)) {
        state = RUB_FOLDER_BY_HAND;
        rub_findings_note(findings, "directory",
                          "'%s' has no lock: it was not made by 'rubato train'", run_dir);
    } else {
        const int rc = rub_fs_lock_free(path, &err);
        state = rc == RUB_EHELD ? RUB_FOLDER_HELD : RUB_FOLDER_IDLE;
        if (rc == 0) {
            rub_findings_fine(findings, "directory", "'%s' is not in use", run_dir);
        } else if (rc == RUB_EHELD) {
            rub_findings_fine(findings, "directory", "in use: %s", err.message);
        } else {
            rub_findings_note(findings, "directory", "%s", err.message);
        }
    }
    look_at_result(run_dir, state, findings);
    look_at_logs(run_dir, findings);
    return state;
}
