/* The scheduler's store holds one state. It is whole when LMDB's pages are, when the state's
 * checksum holds, and when a core can be loaded from it: that is all a restart does. */
#include "scheduler/check_scheduler_store.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "scheduler/scheduler_internal.h"

typedef struct check {
    void (*fault)(void *context, const rub_error_t *fault);
    void *context;
    rub_scheduler_findings_t *findings;
} check_t;

static void take_fault(void *context, const rub_error_t *fault)
{
    check_t *self = context;
    self->findings->n_faults++;
    if (self->fault) {
        self->fault(self->context, fault);
    }
}

static int load(rub_scheduler_findings_t *findings, const void *state, size_t bytes,
                rub_error_t *err)
{
    const rub_scheduler_effects_t effects = {0};
    findings->has_state = true;
    int rc = rub_scheduler_state_peek(state, bytes, &findings->config, err);
    if (rc != 0) {
        return rc;
    }
    rub_scheduler_t *core = rub_scheduler_new(&findings->config, &effects);
    rc = core ? rub_scheduler_load(core, state, bytes, err)
              : rub_fail(err, RUB_ENOMEM, "no memory for a scheduler of %u shards",
                         findings->config.n_shards);
    rub_scheduler_destroy(&core);
    return rc;
}

int rub_scheduler_store_check(const char *folder,
                              void (*fault)(void *context, const rub_error_t *fault), void *context,
                              rub_scheduler_findings_t *findings, rub_error_t *err)
{
    check_t self = {fault, context, findings};
    rub_store_t *store = NULL;
    void *state = NULL;
    size_t bytes = 0;
    rub_error_t line = {0};
    *findings = (rub_scheduler_findings_t){0};
    int rc = rub_store_inspect(folder, take_fault, &self, &findings->store, &line);
    if (rc == 0) {
        rc = rub_store_open_readonly(folder, &store, &line);
        rc = rc ? rc : rub_store_get_state(store, RUB_STATE_JOB, &state, &bytes, &line);
        rc = rc || !state ? rc : load(findings, state, bytes, &line);
    }
    if (rc != 0 && rc != RUB_ENOMEM) {
        if (findings->n_faults == 0) {
            take_fault(&self, &line);
        }
        rc = 0;
    } else if (rc != 0 && err) {
        *err = line;
    }
    rub_free(state);
    rub_store_close(&store);
    return rc;
}
