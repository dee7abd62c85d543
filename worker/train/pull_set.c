/* Several pulls as one.
 *
 * Why: every task that trains over a session asks for a period's parameters in several pulls, and
 * must do the same three things right: stamp them with the clock at which they are used, leave
 * nothing under way into arrays that somebody else wants when one of them fails, and drop the rest
 * when a barrier has moved the clock. Invariant: handles[0..n) that are not 0 are under way, and
 * nothing else is. */
#include "worker/train/pull_set.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

static uint64_t clock_of(const rub_pull_set_t *self)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    return info.clock;
}

int rub_pull_set_init(rub_pull_set_t *self, rub_session_t *session, size_t room, rub_error_t *err)
{
    *self = (rub_pull_set_t){.session = session, .room = room};
    self->handles = rub_calloc(room, sizeof(*self->handles));
    return self->handles ? 0 : rub_fail(err, RUB_ENOMEM, "training: no memory for %zu pulls", room);
}

void rub_pull_set_fini(rub_pull_set_t *self)
{
    rub_pull_set_forget(self);
    rub_free(self->handles);
    *self = (rub_pull_set_t){0};
}

void rub_pull_set_forget(rub_pull_set_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        if (self->handles[i]) {
            (void)rub_cancel(self->session, self->handles[i], NULL);
        }
    }
    self->n = 0;
    self->asked = false;
}

void rub_pull_set_begin(rub_pull_set_t *self, uint32_t ahead)
{
    rub_pull_set_forget(self);
    self->asked = true;
    self->ahead = ahead;
    self->stamp = clock_of(self) + ahead;
}

static rub_handle_t *next_handle(rub_pull_set_t *self)
{
    RUB_ASSERT(self->asked);
    RUB_ASSERT(self->n < self->room);
    self->handles[self->n] = 0;
    return &self->handles[self->n++];
}

int rub_pull_set_rows(rub_pull_set_t *self, rub_table_t table, const uint64_t *keys, size_t n_keys,
                      float *values, rub_error_t *err)
{
    if (n_keys == 0) {
        return 0;
    }
    const int rc = rub_pull_async(self->session, table, keys, n_keys, self->ahead, values, NULL,
                                  next_handle(self), err);
    if (rc) {
        rub_pull_set_forget(self);
    }
    return rc;
}

int rub_pull_set_range(rub_pull_set_t *self, rub_table_t table, uint64_t first, uint64_t count,
                       float *values, rub_error_t *err)
{
    if (count == 0) {
        return 0;
    }
    const int rc = rub_pull_range_async(self->session, table, first, count, self->ahead, values,
                                        next_handle(self), err);
    if (rc) {
        rub_pull_set_forget(self);
    }
    return rc;
}

bool rub_pull_set_asked(const rub_pull_set_t *self)
{
    return self->asked && self->stamp == clock_of(self);
}

int rub_pull_set_arrive(rub_pull_set_t *self, rub_error_t *err)
{
    RUB_ASSERT(self->asked);
    for (size_t i = 0; i < self->n; i++) {
        const int rc = rub_wait(self->session, self->handles[i], err);
        if (rc) {
            rub_pull_set_forget(self); /* a wait that timed out left it open */
            return rc;
        }
        self->handles[i] = 0;
    }
    self->n = 0;
    return 0;
}

int rub_pull_set_await(rub_pull_set_t *self, rub_error_t *err)
{
    const int rc = rub_pull_set_arrive(self, err);
    self->asked = false;
    return rc;
}
