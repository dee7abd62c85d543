/* A process as its host sees it: a clock of its own, which may run slow or fast and may jump
 * forward, and SIGSTOP, under which time goes on and nothing else does. What would have happened to
 * a stopped process waits in the order in which it came, as in the sockets and timers of a real
 * one, and happens when it goes on; in between its peers may have given it up. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

static uint64_t rate_of(const rub_sim_process_t *process)
{
    return (uint64_t)(100 + process->skew_percent);
}

uint64_t rub_sim_local_ms(const rub_sim_t *sim, const rub_sim_process_t *process)
{
    const uint64_t since_us = sim->now_us - process->since_us;
    return (process->local_us + since_us * rate_of(process) / 100) / 1000;
}

static void rebase(const rub_sim_t *sim, rub_sim_process_t *process)
{
    process->local_us += (sim->now_us - process->since_us) * rate_of(process) / 100;
    process->since_us = sim->now_us;
}

void rub_sim_set_rate(rub_sim_t *sim, rub_sim_process_t *process, int skew_percent)
{
    rebase(sim, process);
    process->skew_percent = skew_percent;
}

void rub_sim_jump(rub_sim_t *sim, rub_sim_process_t *process, uint64_t by_us)
{
    rebase(sim, process);
    process->local_us += by_us;
}

void rub_sim_timer(rub_sim_t *sim, const rub_sim_process_t *process, uint64_t local_us,
                   rub_sim_fire_t fire, void *subject, uint64_t argument)
{
    rub_sim_after(sim, local_us * 100 / rate_of(process), fire, subject, argument);
}

bool rub_sim_asleep(rub_sim_t *sim, rub_sim_process_t *process, rub_sim_fire_t fire, void *subject,
                    uint64_t argument)
{
    RUB_UNUSED(sim);
    if (!process->paused) {
        return false;
    }
    RUB_ASSERT(rub_grow(&process->deferred, &process->deferred_capacity, process->n_deferred + 1,
                        sizeof(*process->deferred)) == 0);
    process->deferred[process->n_deferred++] =
        (rub_sim_event_t){.fire = fire, .subject = subject, .argument = argument};
    return true;
}

void rub_sim_go_on(rub_sim_t *sim, rub_sim_process_t *process)
{
    process->paused = false;
    process->pauses++;
    rub_sim_event_t *deferred = process->deferred;
    const size_t n = process->n_deferred;
    process->deferred = NULL; /* it may be stopped again meanwhile, and gather anew */
    process->n_deferred = process->deferred_capacity = 0;
    for (size_t i = 0; i < n; i++) {
        deferred[i].fire(sim, deferred[i].subject, deferred[i].argument);
    }
    rub_free(deferred);
}

static void wake_up(rub_sim_t *sim, void *subject, uint64_t pauses)
{
    rub_sim_process_t *process = subject;
    if (process->paused && process->pauses == pauses) {
        rub_sim_trace(sim, "a process goes on after SIGCONT");
        process->resumed_us = sim->now_us;
        rub_sim_go_on(sim, process);
    }
}

void rub_sim_pause(rub_sim_t *sim, rub_sim_process_t *process, uint64_t duration_us)
{
    if (process->paused) {
        return;
    }
    process->paused = true;
    rub_sim_after(sim, duration_us, wake_up, process, process->pauses);
}

void rub_sim_process_fini(rub_sim_t *sim, rub_sim_process_t *process)
{
    rub_sim_go_on(sim, process);
    rub_free(process->deferred);
    *process = (rub_sim_process_t){0};
}
