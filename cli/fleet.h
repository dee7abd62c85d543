/* The processes of a job on this machine: one scheduler, ps, workers. Starts, reaps, signals;
 * decides nothing. */
#ifndef RUB_FLEET_H
#define RUB_FLEET_H

#include "cli/run_folder.h"
#include "common/proc/child.h"

#include <stdint.h>

typedef enum { RUB_MEMBER_SCHEDULER, RUB_MEMBER_PS, RUB_MEMBER_WORKER } rub_member_role_t;

typedef struct rub_member {
    rub_member_role_t role;
    uint32_t number; /* of its role, from 0 */
    rub_child_t child;
    bool finished;         /* ended, and not to be started again */
    uint64_t start_due_ms; /* to be started at that time; 0: not */
    uint64_t started_ms;   /* when its present or last life began */
    unsigned short_lives;  /* in a row, for rub_restart_wait_ms */
    char name[24];         /* "ps 1" */
    char log_path[PATH_MAX];
    char who[128];          /* "host:pid" of its present or last life */
    char dead_who[128];     /* of the life that has ended, for the scheduler to know */
    unsigned dead_tellings; /* how often it is still told */
} rub_member_t;

typedef struct rub_fleet {
    rub_member_t *members; /* scheduler first, then ps, then workers */
    size_t n_members;
    char program[PATH_MAX];
    char config_path[PATH_MAX];
    const rub_config_t *config;     /* keeps, until fini */
    const rub_run_folder_t *folder; /* keeps, until fini */
} rub_fleet_t;

/* Names the members; starts nobody. RUB_ENOMEM, RUB_EIO: this program's own path is unknown. */
int rub_fleet_init(rub_fleet_t *self, const rub_config_t *config, const rub_run_folder_t *folder,
                   rub_error_t *err);
/* Kills whoever is left, waits for them, and frees. */
void rub_fleet_fini(rub_fleet_t *self);

int rub_fleet_start(rub_fleet_t *self, rub_member_t *member, rub_error_t *err);

/* The next member that has ended since it was last asked, its child's exit code set; NULL when
 * there is none. */
rub_member_t *rub_fleet_ended(rub_fleet_t *self);

/* Sends the signal to all running members of the roles (bits 1 << role). */
void rub_fleet_signal(const rub_fleet_t *self, unsigned roles, int number);
/* How many members of the roles run. */
size_t rub_fleet_running(const rub_fleet_t *self, unsigned roles);

#define RUB_EVERY_ROLE 7u

#endif
