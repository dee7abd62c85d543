/* Linux (EEVDF, since 6.6) lets who runs go on until its slice is over, 1 to 4 ms, whoever wakes;
 * nice only changes how often that happens. For a shard that answers in 0.2 ms beside a thread that
 * commits to LMDB, that is the whole 99th percentile. But a thread that has asked for a shorter
 * slice than the one that runs goes first when it wakes (6.12: sched_attr.sched_runtime for normal
 * threads). Threads inherit it, ZeroMQ's too, so programs ask once, and what works in the
 * background takes it back. Older kernels ignore the wish.
 *
 * Reference: Stoica and Abdel-Wahab, Earliest Eligible Virtual Deadline First (1995);
 * sched_setattr(2). */
#include "common/base/priority.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROMPT_SLICE_NS = 200 * 1000, NICE_MOST = 19 };

/* As in linux/sched/types.h, first version; glibc has no wrapper. */
typedef struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} attributes_t;

/* Of the calling thread. slice_ns 0: the kernel's own. */
static void set(int steps, uint64_t slice_ns)
{
    errno = 0;
    const int nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    if ((nice == -1 && errno != 0) || sched_getscheduler(0) != SCHED_OTHER) {
        return; /* somebody chose a class for us */
    }
    const attributes_t wish = {
        .size = sizeof(wish),
        .policy = SCHED_OTHER,
        .nice = nice + steps < NICE_MOST ? nice + steps : NICE_MOST,
        .runtime = slice_ns,
    };
    (void)syscall(SYS_sched_setattr, 0, &wish, 0);
}

void rub_priority_prompt(void)
{
    set(0, PROMPT_SLICE_NS);
}

void rub_priority_background(const char *name, int steps)
{
    (void)pthread_setname_np(pthread_self(), name);
    set(steps, 0);
}
