/* Merging. Each file is in order; all carry the monotonic time of one host. At one microsecond,
 * what is said before it happens (a push, a question) comes before what is said after it (an
 * answer, an acknowledgement), so that a tie can not accuse anybody.
 *
 * Two looks: the first learns how each session ended, because the doubt about one that was shut out
 * begins before it knows itself, and one that was killed may have been shut out before; the second
 * hands out events. */
#include "tests/history/history_files.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <string.h>

#define FILE_LIMIT ((size_t)4 << 30)

typedef struct known_session {
    uint32_t writer, epoch;
    uint64_t acked, acked_clock;
    uint64_t *stamps;
    size_t n_stamps, capacity;
    bool ended, left;
} known_session_t;

typedef struct file {
    const char *path;
    char *text;
    size_t bytes, at;
    size_t line;
    known_session_t *sessions;
    size_t n_sessions, capacity;
    /* the next event */
    bool has;
    rub_history_event_t event;
    float *values;
    /* added at the end: sessions that stop with the file, one after the other */
    size_t n_stopped;
    uint64_t last_us;
    const known_session_t *doubted; /* DOUBT is due right behind its OPEN */
} file_t;

struct rub_history_files {
    rub_history_config_t config;
    file_t *files;
    size_t n_files;
    float *values; /* of the event that was handed out */
};

void rub_history_files_close(rub_history_files_t **self_p)
{
    rub_history_files_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t i = 0; self->files && i < self->n_files; i++) {
        file_t *file = &self->files[i];
        for (size_t s = 0; s < file->n_sessions; s++) {
            rub_free(file->sessions[s].stamps);
        }
        rub_free(file->sessions);
        rub_free(file->text);
        rub_free(file->values);
    }
    rub_free(self->files);
    rub_free(self->values);
    rub_free(self);
}

const rub_history_config_t *rub_history_files_config(const rub_history_files_t *self)
{
    return &self->config;
}

/* The next whole line, its newline replaced by an end; NULL: none. */
static char *next_line(file_t *file)
{
    char *line = file->text + file->at;
    char *newline = memchr(line, '\n', file->bytes - file->at);
    if (!newline) {
        return NULL;
    }
    *newline = '\0';
    file->at = (size_t)(newline - file->text) + 1;
    file->line++;
    return line;
}

static known_session_t *known(file_t *file, uint32_t writer, uint32_t epoch)
{
    for (size_t i = file->n_sessions; i > 0; i--) {
        known_session_t *session = &file->sessions[i - 1];
        if (session->writer == writer && session->epoch == epoch) {
            return session;
        }
    }
    return NULL;
}

/* First look at one event. */
static int learn(file_t *file, const rub_history_event_t *event)
{
    if (event->kind == RUB_HISTORY_OPEN) {
        if (rub_grow(&file->sessions, &file->capacity, file->n_sessions + 1,
                     sizeof(*file->sessions)) != 0) {
            return RUB_ENOMEM;
        }
        file->sessions[file->n_sessions++] =
            (known_session_t){.writer = event->writer, .epoch = event->epoch};
        return 0;
    }
    known_session_t *session = known(file, event->writer, event->epoch);
    if (!session) {
        return 0; /* the checker will say so */
    }
    if (event->kind == RUB_HISTORY_PUSH) {
        if (rub_grow(&session->stamps, &session->capacity, session->n_stamps + 1,
                     sizeof(uint64_t)) != 0) {
            return RUB_ENOMEM;
        }
        session->stamps[session->n_stamps++] = event->clock;
    } else if (event->kind == RUB_HISTORY_ACK) {
        session->acked = event->number > session->acked ? event->number : session->acked;
        session->acked_clock =
            event->clock > session->acked_clock ? event->clock : session->acked_clock;
    } else if (event->kind == RUB_HISTORY_END) {
        session->ended = true;
        session->left = event->fate == RUB_HISTORY_LEFT;
    }
    return 0;
}

static int wrong_line(const file_t *file, int rc, rub_error_t *err)
{
    return rub_wrap(err, rc, "history %s, line %zu", file->path, file->line);
}

static int look_through(rub_history_files_t *self, file_t *file, rub_error_t *err)
{
    const size_t begin = file->at;
    const size_t begin_line = file->line;
    int rc = 0;
    for (char *line = next_line(file); line && rc == 0; line = next_line(file)) {
        rub_history_event_t event;
        rc = rub_history_read_line(&self->config, line, file->values, &event, err);
        if (rc != 0) {
            return wrong_line(file, rc, err);
        }
        file->last_us = event.time_us;
        rc = learn(file, &event);
        line[strlen(line)] = '\n';
    }
    file->at = begin;
    file->line = begin_line;
    return rc == 0 ? 0 : rub_fail(err, rc, "no memory for history %s", file->path);
}

static int open_file(rub_history_files_t *self, file_t *file, const char *path, bool first,
                     rub_error_t *err)
{
    file->path = path;
    const int rc = rub_fs_read(path, FILE_LIMIT, &file->text, &file->bytes, err);
    if (rc != 0) {
        return rc;
    }
    char *header = next_line(file);
    rub_history_config_t config;
    if (!header) {
        return rub_fail(err, RUB_EDATA, "history %s has no first line", path);
    }
    if (rub_history_read_header(header, &config, err) != 0) {
        return rub_wrap(err, RUB_EDATA, "history %s", path);
    }
    if (first) {
        self->config = config;
    } else if (memcmp(&config, &self->config, sizeof(config)) != 0) {
        return rub_fail(err, RUB_EDATA, "history %s begins with another header than the first file",
                        path);
    }
    const size_t n_values = (size_t)config.n_writers * config.n_rows + 1;
    file->values = rub_calloc(n_values, sizeof(float));
    if (first) {
        self->values = rub_calloc(n_values, sizeof(float));
    }
    if (!file->values || !self->values) {
        return rub_fail(err, RUB_ENOMEM, "no memory for history %s", path);
    }
    return look_through(self, file, err);
}

/* How many pushes of a session that did not leave in order are there for ever. */
static uint64_t certain_of(const rub_history_files_t *self, const known_session_t *session)
{
    uint64_t certain = session->acked < session->n_stamps ? session->acked : session->n_stamps;
    while (self->config.staleness == 0 && certain > 0 &&
           session->stamps[certain - 1] >= session->acked_clock) {
        certain--;
    }
    return certain;
}

/* Second look: makes the file's next event ready. */
static int advance(rub_history_files_t *self, file_t *file, rub_error_t *err)
{
    file->has = true;
    if (file->doubted) {
        file->event = (rub_history_event_t){.time_us = file->event.time_us,
                                            .kind = RUB_HISTORY_DOUBT,
                                            .writer = file->doubted->writer,
                                            .epoch = file->doubted->epoch,
                                            .number = certain_of(self, file->doubted)};
        file->doubted = NULL;
        return 0;
    }
    char *line = next_line(file);
    if (line) {
        const int rc = rub_history_read_line(&self->config, line, file->values, &file->event, err);
        if (rc == 0 && file->event.kind == RUB_HISTORY_OPEN) {
            const known_session_t *session = known(file, file->event.writer, file->event.epoch);
            file->doubted = session && !session->left ? session : NULL;
        }
        return rc == 0 ? 0 : wrong_line(file, rc, err);
    }
    while (file->n_stopped < file->n_sessions && file->sessions[file->n_stopped].ended) {
        file->n_stopped++;
    }
    if (file->n_stopped == file->n_sessions) {
        file->has = false;
        return 0;
    }
    const known_session_t *stopped = &file->sessions[file->n_stopped++];
    file->event = (rub_history_event_t){.time_us = file->last_us,
                                        .kind = RUB_HISTORY_END,
                                        .writer = stopped->writer,
                                        .epoch = stopped->epoch,
                                        .fate = RUB_HISTORY_KILLED};
    return 0;
}

int rub_history_files_open(char *const *paths, size_t n_paths, rub_history_files_t **self_p,
                           rub_error_t *err)
{
    *self_p = NULL;
    rub_history_files_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu histories", n_paths);
    }
    self->files = rub_calloc(n_paths + 1, sizeof(*self->files));
    self->n_files = n_paths;
    int rc = self->files ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %zu histories", n_paths);
    for (size_t i = 0; i < n_paths && rc == 0; i++) {
        rc = open_file(self, &self->files[i], paths[i], i == 0, err);
    }
    for (size_t i = 0; i < n_paths && rc == 0; i++) {
        rc = advance(self, &self->files[i], err);
    }
    if (rc != 0) {
        rub_history_files_close(&self);
    }
    *self_p = self;
    return rc;
}

/* At one time: what is said beforehand, then the rest, then what is said afterwards. */
static int weight(rub_history_kind_t kind)
{
    switch (kind) {
    case RUB_HISTORY_PUSH:
        return 0;
    case RUB_HISTORY_ASK:
        return 1;
    case RUB_HISTORY_READ:
    case RUB_HISTORY_ACK:
    case RUB_HISTORY_FINAL:
        return 3;
    default:
        return 2;
    }
}

static bool before(const file_t *a, const file_t *b)
{
    return a->event.time_us != b->event.time_us ? a->event.time_us < b->event.time_us
                                                : weight(a->event.kind) < weight(b->event.kind);
}

bool rub_history_files_next(rub_history_files_t *self, rub_history_event_t *event, rub_error_t *err)
{
    file_t *next = NULL;
    for (size_t i = 0; i < self->n_files; i++) {
        file_t *file = &self->files[i];
        if (file->has && (!next || before(file, next))) {
            next = file;
        }
    }
    if (!next) {
        return false;
    }
    *event = next->event;
    if (event->values) {
        memcpy(self->values, next->values,
               (size_t)self->config.n_writers * self->config.n_rows * sizeof(float));
        event->values = self->values;
    }
    return advance(self, next, err) == 0;
}
