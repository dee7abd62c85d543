/* Whether this process is the one that set the mark, or one that was forked from it since: a child
 * has the parent's memory, and neither its threads nor its sockets, so what lives on those must not
 * be touched there. Asking costs one load, no system call.
 *
 * Set and cleared by one thread; asked from any. */
#ifndef RUB_FORK_MARK_H
#define RUB_FORK_MARK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rub_fork_mark {
    volatile uint8_t *page; /* of the process that set it; NULL: the kernel has no such pages */
    int64_t pid;            /* 0: not set */
} rub_fork_mark_t;

void rub_fork_mark_set(rub_fork_mark_t *self);
void rub_fork_mark_clear(rub_fork_mark_t *self);
/* False in a child of the process that set it, and while it is not set. */
bool rub_fork_mark_is_ours(const rub_fork_mark_t *self);

#endif
