/* The child exists because a damaged file may take LMDB, which maps what it reads, down with it,
 * and because a hang must end. It writes its verdict into shared memory before it leaves; what is
 * still "died" after that has died. */
#include "tests/crash/verdict.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "tests/crash/shard_driver.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const rub_verdict_names[RUB_VERDICT_COUNT] = {"fine",  "refused", "lost",
                                                          "wrong", "died",    "hung"};

static void decide(rub_verdict_t *out, rub_verdict_kind_t kind, int code, const char *sentence)
{
    out->code = code;
    (void)snprintf(out->sentence, sizeof(out->sentence), "%s", sentence);
    out->kind = kind;
}

static bool within(const rub_ledger_reach_t *a, const rub_ledger_reach_t *b)
{
    for (uint32_t u = 0; u < RUB_LEDGER_RANKS; u++) {
        if (a->seq[u] > b->seq[u]) {
            return false;
        }
    }
    return true;
}

static void work_on(rub_driver_t *driver, rub_verdict_t *out)
{
    rub_rng_t rng;
    rub_error_t err = {0};
    rub_rng_init(&rng, out->reach.seq[0], 0);
    const int rc = rub_driver_work(driver, 20, &rng, &err);
    const char *wrong = rc ? err.message : rub_driver_check(driver, rub_driver_given(driver));
    if (wrong) {
        decide(out, RUB_VERDICT_WRONG, rc, wrong);
    }
}

static void look(const char *folder, const rub_ledger_plan_t *plan,
                 const rub_ledger_reach_t *promised, const rub_ledger_reach_t *given, bool go_on,
                 rub_verdict_t *out)
{
    rub_driver_t *driver = NULL;
    rub_error_t err = {0};
    int rc = rub_driver_open(folder, plan, &driver, &err);
    rc = rc ? rc : rub_driver_hello(driver, &out->reach, &err);
    if (rc) {
        RUB_ASSERT(err.message[0] != '\0');
        decide(out, RUB_VERDICT_REFUSED, rc, err.message);
        return;
    }
    const char *wrong = rub_driver_check(driver, &out->reach);
    if (wrong) {
        decide(out, RUB_VERDICT_WRONG, 0, wrong);
    } else if (!within(&out->reach, given)) {
        decide(out, RUB_VERDICT_WRONG, 0, "records that were never given");
    } else if (!within(promised, &out->reach)) {
        decide(out, RUB_VERDICT_LOST, 0, "records that were said to be on the platter");
    } else {
        decide(out, RUB_VERDICT_FINE, 0, "");
        if (go_on) {
            work_on(driver, out);
        }
    }
    rub_driver_close(&driver, false);
}

rub_verdict_t rub_verdict_of(const char *folder, const rub_ledger_plan_t *plan,
                             const rub_ledger_reach_t *promised, const rub_ledger_reach_t *given,
                             bool go_on)
{
    rub_verdict_t *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RUB_ASSERT(shared != MAP_FAILED);
    shared->kind = RUB_VERDICT_DIED;
    (void)fflush(NULL);
    const pid_t child = fork();
    RUB_ASSERT(child >= 0);
    if (child == 0) {
        (void)alarm(RUB_VERDICT_LIMIT_S);
        look(folder, plan, promised, given, go_on, shared);
        _exit(0);
    }
    int status = 0;
    RUB_ASSERT(waitpid(child, &status, 0) == child);
    rub_verdict_t verdict = *shared;
    (void)munmap(shared, sizeof(*shared));
    if (WIFSIGNALED(status)) {
        verdict.kind = WTERMSIG(status) == SIGALRM ? RUB_VERDICT_HUNG : RUB_VERDICT_DIED;
        verdict.code = WTERMSIG(status);
        (void)snprintf(verdict.sentence, sizeof(verdict.sentence), "signal %d", verdict.code);
    }
    return verdict;
}
