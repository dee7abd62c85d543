/* The members of a fleet and their command lines.
 *
 * All members read the run directory's config.yaml; the flags here say only what differs between
 * them. Each has one log, appended to over restarts. Environment variables of the user are already
 * in config.yaml and were removed by train, or they would win over it. */
#include "cli/fleet.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/place.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const role_names[] = {"scheduler", "ps", "worker"};

static void name_member(rub_fleet_t *self, rub_member_t *member, rub_member_role_t role,
                        uint32_t number)
{
    char file[48];
    member->role = role;
    member->number = number;
    if (role == RUB_MEMBER_SCHEDULER) {
        snprintf(member->name, sizeof member->name, "scheduler");
        snprintf(file, sizeof file, "scheduler.log");
    } else {
        snprintf(member->name, sizeof member->name, "%s %u", role_names[role], number);
        snprintf(file, sizeof file, "%s-%u.log", role_names[role], number);
    }
    rub_run_folder_file(self->folder, file, member->log_path);
}

int rub_fleet_init(rub_fleet_t *self, const rub_config_t *config, const rub_run_folder_t *folder,
                   rub_error_t *err)
{
    *self = (rub_fleet_t){.config = config, .folder = folder};
    const ssize_t n = readlink("/proc/self/exe", self->program, sizeof self->program - 1);
    if (n <= 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "this program's own path is unknown");
    }
    self->program[n] = 0;
    rub_run_folder_file(folder, "config.yaml", self->config_path);
    const size_t n_members = 1 + (size_t)config->ps + (size_t)config->workers;
    self->members = rub_calloc(n_members, sizeof *self->members);
    if (!self->members) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu processes", n_members);
    }
    self->n_members = n_members;
    rub_member_t *member = self->members;
    name_member(self, member++, RUB_MEMBER_SCHEDULER, 0);
    for (uint32_t i = 0; i < config->ps; i++) {
        name_member(self, member++, RUB_MEMBER_PS, i);
    }
    for (uint32_t i = 0; i < config->workers; i++) {
        name_member(self, member++, RUB_MEMBER_WORKER, i);
    }
    return 0;
}

void rub_fleet_fini(rub_fleet_t *self)
{
    rub_fleet_signal(self, RUB_EVERY_ROLE, SIGKILL);
    while (rub_fleet_running(self, RUB_EVERY_ROLE) > 0) {
        if (!rub_fleet_ended(self)) {
            rub_sleep_ms(5); /* a killed process goes at once, or the kernel is stuck with it */
        }
    }
    rub_free(self->members);
    *self = (rub_fleet_t){0};
}

int rub_fleet_start(rub_fleet_t *self, rub_member_t *member, rub_error_t *err)
{
    char number[24], port[24], shards[24], store[PATH_MAX], folder[32];
    const char *arguments[16] = {self->program, role_names[member->role], "--config",
                                 self->config_path};
    size_t n = 4;
    switch (member->role) {
    case RUB_MEMBER_SCHEDULER:
        snprintf(port, sizeof port, "%s", strrchr(self->config->scheduler, ':') + 1);
        arguments[n++] = "--port";
        arguments[n++] = port;
        snprintf(folder, sizeof folder, "scheduler");
        break;
    case RUB_MEMBER_PS:
        snprintf(number, sizeof number, "%" PRIu64, member->number * self->config->shards);
        snprintf(shards, sizeof shards, "%" PRIu64, self->config->shards);
        arguments[n++] = "--first-shard";
        arguments[n++] = number;
        arguments[n++] = "--shards";
        arguments[n++] = shards;
        snprintf(folder, sizeof folder, "ps-%u", member->number);
        break;
    case RUB_MEMBER_WORKER:
        snprintf(number, sizeof number, "%u", member->number);
        arguments[n++] = "--rank";
        arguments[n++] = number;
        break;
    }
    if (member->role != RUB_MEMBER_WORKER) {
        arguments[n++] = "--store-dir";
        arguments[n++] = rub_run_folder_file(self->folder, folder, store);
    }
    RUB_ASSERT(n < RUB_COUNT_OF(arguments));
    member->start_due_ms = 0;
    member->started_ms = rub_now_ms();
    const int rc = rub_child_start(&member->child, (char *const *)arguments, member->log_path, err);
    if (rc == 0) {
        rub_host_pid(member->child.pid, member->who, sizeof member->who);
    }
    return rc;
}

rub_member_t *rub_fleet_ended(rub_fleet_t *self)
{
    for (size_t i = 0; i < self->n_members; i++) {
        if (rub_child_ended(&self->members[i].child)) {
            return &self->members[i];
        }
    }
    return NULL;
}

void rub_fleet_signal(const rub_fleet_t *self, unsigned roles, int number)
{
    for (size_t i = 0; i < self->n_members; i++) {
        if (roles & 1u << self->members[i].role) {
            rub_child_signal(&self->members[i].child, number);
        }
    }
}

size_t rub_fleet_running(const rub_fleet_t *self, unsigned roles)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_members; i++) {
        n += (roles & 1u << self->members[i].role) && self->members[i].child.pid > 0;
    }
    return n;
}
