/* A page that the kernel gives a child as zeros (MADV_WIPEONFORK, Linux 4.14): in the process that
 * set the mark it holds a one. Handlers of pthread_atfork would need a registry in a global, stay
 * for ever, and are not run by every way to fork. Where there is no such page, the process's number
 * is compared: a system call each time, and right all the same. */
#include "common/base/fork_mark.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096 };

void rub_fork_mark_set(rub_fork_mark_t *self)
{
    *self = (rub_fork_mark_t){.pid = (int64_t)getpid()};
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return;
    }
    if (madvise(page, PAGE_BYTES, MADV_WIPEONFORK) != 0) {
        (void)munmap(page, PAGE_BYTES);
        return;
    }
    self->page = page;
    *self->page = 1;
}

void rub_fork_mark_clear(rub_fork_mark_t *self)
{
    if (self->page) {
        (void)munmap((void *)self->page, PAGE_BYTES);
    }
    *self = (rub_fork_mark_t){0};
}

bool rub_fork_mark_is_ours(const rub_fork_mark_t *self)
{
    return self->page ? *self->page == 1 : self->pid != 0 && self->pid == (int64_t)getpid();
}
