/* A store is opened in a child process, as after a power loss, and what it serves is compared with
 * what was promised. */
#ifndef RUB_VERDICT_H
#define RUB_VERDICT_H

#include "tests/crash/ledger.h"

typedef enum {
    RUB_VERDICT_FINE,    /* opened; the rows are those of a prefix that keeps every promise */
    RUB_VERDICT_REFUSED, /* not opened; the sentence says why */
    RUB_VERDICT_LOST,    /* rows of a prefix that is shorter than what was promised */
    RUB_VERDICT_WRONG,   /* rows that no prefix explains, or records that nobody gave */
    RUB_VERDICT_DIED,    /* by a signal */
    RUB_VERDICT_HUNG,    /* no answer within RUB_VERDICT_LIMIT_S */
    RUB_VERDICT_COUNT
} rub_verdict_kind_t;

#define RUB_VERDICT_LIMIT_S 10u

typedef struct rub_verdict {
    rub_verdict_kind_t kind;
    int code; /* of a refusal; the signal's number */
    rub_ledger_reach_t reach;
    char sentence[512];
} rub_verdict_t;

extern const char *const rub_verdict_names[RUB_VERDICT_COUNT];

/* folder: the disk, which is changed by recovery. promised: must be there; given: nothing beyond.
 * go_on: works a little after the check and checks again. */
rub_verdict_t rub_verdict_of(const char *folder, const rub_ledger_plan_t *plan,
                             const rub_ledger_reach_t *promised, const rub_ledger_reach_t *given,
                             bool go_on);

#endif
