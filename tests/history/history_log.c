/* The log of one process. A line is built whole and written by one write(2) to a file opened with
 * O_APPEND: what the call returned from is in the page cache and survives the process. */
#include "tests/history/history_log.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct rub_history_log {
    int fd;
    bool failed;
    rub_history_config_t config;
    uint32_t writer, epoch;
    size_t limit;
    char *line;
};

static int write_line(rub_history_log_t *self, size_t n_bytes)
{
    if (!self->failed && write(self->fd, self->line, n_bytes) != (ssize_t)n_bytes) {
        self->failed = true;
    }
    return self->failed ? RUB_EIO : 0;
}

int rub_history_log_open(const char *path, const rub_history_config_t *config,
                         rub_history_log_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_history_log_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the history in %s", path);
    }
    self->fd = -1;
    self->config = *config;
    self->limit = rub_history_line_limit(config);
    self->line = rub_alloc(self->limit);
    int rc = self->line ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the history in %s", path);
    if (rc == 0) {
        self->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
        rc =
            self->fd >= 0 ? 0 : rub_fail_errno(err, RUB_EIO, errno, "cannot make history %s", path);
    }
    if (rc == 0) {
        rc = write_line(self, rub_history_write_header(config, self->line, self->limit));
        rc = rc ? rub_fail_errno(err, rc, errno, "cannot write history %s", path) : 0;
    }
    if (rc != 0) {
        rub_history_log_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_history_log_close(rub_history_log_t **self_p)
{
    rub_history_log_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        if (self->fd >= 0) {
            (void)close(self->fd);
        }
        rub_free(self->line);
        rub_free(self);
    }
}

static int say(rub_history_log_t *self, rub_history_event_t event)
{
    event.time_us = rub_now_us();
    event.writer = self->writer;
    event.epoch = self->epoch;
    return write_line(self, rub_history_write_line(&self->config, &event, self->line, self->limit));
}

int rub_history_log_opened(rub_history_log_t *self, uint32_t writer, uint32_t epoch, uint64_t clock)
{
    self->writer = writer;
    self->epoch = epoch;
    return say(self, (rub_history_event_t){.kind = RUB_HISTORY_OPEN, .clock = clock});
}

int rub_history_log_push(rub_history_log_t *self, uint64_t number, uint64_t clock)
{
    return say(self,
               (rub_history_event_t){.kind = RUB_HISTORY_PUSH, .number = number, .clock = clock});
}

int rub_history_log_acked(rub_history_log_t *self, uint64_t number, uint64_t clock)
{
    return say(self,
               (rub_history_event_t){.kind = RUB_HISTORY_ACK, .number = number, .clock = clock});
}

int rub_history_log_clock(rub_history_log_t *self, uint64_t clock)
{
    return say(self, (rub_history_event_t){.kind = RUB_HISTORY_CLOCK, .clock = clock});
}

int rub_history_log_ask(rub_history_log_t *self, uint64_t id, uint64_t stamp)
{
    return say(self, (rub_history_event_t){.kind = RUB_HISTORY_ASK, .number = id, .clock = stamp});
}

int rub_history_log_read(rub_history_log_t *self, uint64_t id, uint64_t gap, const float *values)
{
    return say(self, (rub_history_event_t){
                         .kind = RUB_HISTORY_READ, .number = id, .gap = gap, .values = values});
}

int rub_history_log_ended(rub_history_log_t *self, rub_history_fate_t fate)
{
    return say(self, (rub_history_event_t){.kind = RUB_HISTORY_END, .fate = fate});
}

int rub_history_log_final(rub_history_log_t *self, const float *values)
{
    return say(self, (rub_history_event_t){.kind = RUB_HISTORY_FINAL, .values = values});
}
