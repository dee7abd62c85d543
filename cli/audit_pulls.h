/* The logs of pulls of a run (worker/client/pull_log.h), read back. */
#ifndef RUB_AUDIT_PULLS_H
#define RUB_AUDIT_PULLS_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct rub_audit_session {
    uint64_t job;
    bool trainer;
    uint32_t rank, epoch;
    uint64_t staleness; /* RUB_ASYNC: no bound */
    char file[96];      /* its log, for people */
} rub_audit_session_t;

typedef struct rub_audit_pull {
    uint32_t session; /* index */
    uint32_t shard;
    uint64_t stamp, minimum, lsn, own_seq;
    uint64_t line; /* in the log, from 1 */
} rub_audit_pull_t;

typedef struct rub_audit_pulls {
    rub_audit_session_t *sessions;
    size_t n_sessions, sessions_capacity;
    rub_audit_pull_t *items; /* by shard, then lsn */
    size_t n_items, capacity;
    size_t cut_off; /* logs whose last line is incomplete: their worker was killed */
} rub_audit_pulls_t;

void rub_audit_pulls_init(rub_audit_pulls_t *self);
void rub_audit_pulls_fini(rub_audit_pulls_t *self);

/* Reads every *.pulls in the folder. Blocks. RUB_EDATA: none is there, or one that is no log of
 * pulls (names file and line); RUB_EIO, RUB_ENOMEM. */
int rub_audit_pulls_read(rub_audit_pulls_t *self, const char *folder, rub_error_t *err);

#endif
