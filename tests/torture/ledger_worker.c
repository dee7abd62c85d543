/* A user's program whose every number can be checked: the ledger of tests/history, kept by real
 * processes over the public header.
 *
 * Table `ledger` (hashed, add) has HASHED_ROWS rows of each writer, table `blocks` (dense, add) one
 * block of each; a push adds 1 to every element of the writer's own rows and to his block. Rows
 * spread over all shards. What happens is logged before or after it happens as
 * tests/history/history_log.h says, so that kill -9 at any point leaves a history that can be
 * judged. On the spot it checks what one read alone can show: no row and no block is torn, and the
 * measured gaps are within the bound.
 *
 *   ledger_worker --scheduler ADDRESS --log FILE --workers W [--rank N | --reader NUMBER --epoch N]
 *                 [--staleness N|async] [--durability WORD] [--seed N] [--rest-us N] [--stop FILE]
 *                 [--patience-ms N]
 *
 * It works until FILE (--stop) exists; then everybody meets in a barrier, rank 0 writes what the
 * ledger holds, and all leave as done. SIGTERM leaves at once, by BYE. Exit: 0; 3 a read showed
 * what must not be; else the exit code of the library's error. */
#include "include/rubato.h"
#include "tests/history/history_log.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HASHED_ROWS = 6,
    BLOCK_ROWS = 1,
    ROWS = HASHED_ROWS + BLOCK_ROWS,
    WIDTH = 4,
    PUSHES_LIMIT = 3, /* of a period */
    OPEN_AGAIN_MS = 50,
    EXIT_BROKEN = 3
};

typedef struct ledger {
    rub_options_t options;
    rub_history_config_t history;
    const char *log_path, *stop_path;
    bool reader;
    uint32_t number, epoch; /* of a reader in the history */
    uint64_t seed, rest_us;
    rub_session_t *session;
    rub_history_log_t *log;
    rub_table_t hashed, dense;
    uint64_t pushed, acked, asked;
    uint64_t *keys; /* of all writers */
    float *rows, *blocks, *ones, *values;
    bool broken;
} ledger_t;

static volatile sig_atomic_t signalled;
static volatile int interrupted;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
    interrupted = 1;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[700];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    const size_t length = n < 0 ? 0 : (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
    line[length] = '\n';
    (void)!write(STDERR_FILENO, line, length + 1);
}

static void notice(void *context, const char *sentence)
{
    (void)context;
    say("notice: %s", sentence);
}

static uint64_t next_random(ledger_t *self)
{
    self->seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele et al. 2014) */
    uint64_t z = self->seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void rest(uint64_t us)
{
    const struct timespec span = {.tv_sec = (time_t)(us / 1000000),
                                  .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&span, NULL);
}

static uint64_t clock_of(const ledger_t *self)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    return info.clock;
}

/* ---- reading ---- */

static void breaks(ledger_t *self, const char *what, uint32_t writer, double a, double b)
{
    say("BROKEN: %s of writer %" PRIu32 ": %g and %g", what, writer, a, b);
    self->broken = true;
}

/* Rows and blocks become one value each; equal inside, or the read is torn. */
static void collapse(ledger_t *self)
{
    for (uint32_t w = 0; w < self->history.n_writers; w++) {
        float *out = self->values + (size_t)w * ROWS;
        for (uint32_t r = 0; r < HASHED_ROWS; r++) {
            const float *row = self->rows + ((size_t)w * HASHED_ROWS + r) * WIDTH;
            out[r] = row[0];
            for (uint32_t i = 1; i < WIDTH; i++) {
                if (row[i] < row[0] || row[i] > row[0]) {
                    breaks(self, "a torn row", w, (double)row[0], (double)row[i]);
                }
            }
        }
        const float *block = self->blocks + (size_t)w * RUB_BLOCK;
        out[HASHED_ROWS] = block[0];
        for (uint32_t i = 1; i < RUB_BLOCK; i++) {
            if (block[i] < block[0] || block[i] > block[0]) {
                breaks(self, "a torn block", w, (double)block[0], (double)block[i]);
                break;
            }
        }
    }
}

static void check_gap(ledger_t *self)
{
    rub_stats_t stats;
    rub_session_stats(self->session, &stats);
    if (!self->reader && stats.max_gap > self->history.staleness) {
        breaks(self, "a gap above the bound",
               self->options.rank < 0 ? 0 : (uint32_t)self->options.rank, (double)stats.max_gap,
               (double)self->history.staleness);
    }
}

typedef struct pull {
    uint64_t id;
    rub_handle_t rows, blocks;
} pull_t;

static int ask(ledger_t *self, uint32_t ahead, pull_t *pull, rub_error_t *err)
{
    *pull = (pull_t){.id = ++self->asked};
    rub_history_log_ask(self->log, pull->id,
                        self->reader ? RUB_HISTORY_UNKNOWN : clock_of(self) + ahead);
    int rc = rub_pull_async(self->session, self->hashed, self->keys,
                            (size_t)self->history.n_writers * HASHED_ROWS, ahead, self->rows, NULL,
                            &pull->rows, err);
    if (rc == 0) {
        rc = rub_pull_range_async(self->session, self->dense, 0,
                                  (uint64_t)self->history.n_writers * RUB_BLOCK, ahead,
                                  self->blocks, &pull->blocks, err);
    }
    return rc;
}

/* A pull that fails keeps the arrays until it is cancelled; the caller gives the session up. */
static int answer(ledger_t *self, const pull_t *pull, rub_error_t *err)
{
    int rc = rub_wait(self->session, pull->rows, err);
    rc = rc ? rc : rub_wait(self->session, pull->blocks, err);
    if (rc == 0) {
        collapse(self);
        rub_history_log_read(self->log, pull->id, RUB_HISTORY_UNKNOWN, self->values);
        check_gap(self);
    }
    return rc;
}

/* ---- writing ---- */

static int push(ledger_t *self, uint32_t rank, rub_error_t *err)
{
    rub_history_log_push(self->log, ++self->pushed, clock_of(self));
    int rc = rub_push(self->session, self->hashed, self->keys + (size_t)rank * HASHED_ROWS,
                      HASHED_ROWS, self->ones, NULL, err);
    return rc ? rc
              : rub_push_range(self->session, self->dense, (uint64_t)rank * RUB_BLOCK, RUB_BLOCK,
                               self->ones, NULL, err);
}

static int flush(ledger_t *self, rub_error_t *err)
{
    const uint64_t pushed = self->pushed;
    const int rc = rub_flush(self->session, err);
    if (rc == 0) {
        self->acked = pushed;
        rub_history_log_acked(self->log, pushed, clock_of(self));
    }
    return rc;
}

static bool must_stop(const ledger_t *self)
{
    return self->stop_path && access(self->stop_path, F_OK) == 0;
}

static int work(ledger_t *self, uint32_t rank, rub_error_t *err)
{
    pull_t pull;
    int rc = ask(self, 0, &pull, err);
    while (rc == 0 && !must_stop(self)) {
        bool prefetched = false;
        rc = answer(self, &pull, err);
        for (uint64_t n = 1 + next_random(self) % PUSHES_LIMIT; rc == 0 && n > 0; n--) {
            rc = push(self, rank, err);
        }
        if (rc == 0 && next_random(self) % 4 == 0) {
            rc = ask(self, 1, &pull, err);
            prefetched = true;
        }
        rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
        if (rc == 0) {
            rub_history_log_clock(self->log, clock_of(self));
        }
        if (rc == 0 && next_random(self) % 3 == 0) {
            rc = flush(self, err);
        }
        if (rc == 0 && !prefetched) {
            rc = ask(self, 0, &pull, err);
        }
        rest(self->rest_us);
        rc = rc || !signalled ? rc : RUB_EINTR;
    }
    return rc ? rc : answer(self, &pull, err);
}

/* Everybody's pushes are acknowledged before the first barrier, everybody has said so in his log
 * before the second, and nobody leaves before the ledger has been read. */
static int meet(ledger_t *self, uint32_t rank, rub_error_t *err)
{
    int rc = flush(self, err);
    rc = rc ? rc : rub_barrier(self->session, NULL, 0, err);
    if (rc == 0) {
        rub_history_log_ended(self->log, RUB_HISTORY_LEFT);
        rc = rub_barrier(self->session, NULL, 0, err);
    }
    if (rc == 0 && rank == 0) {
        rc = rub_pull(self->session, self->hashed, self->keys,
                      (size_t)self->history.n_writers * HASHED_ROWS, self->rows, NULL, err);
        rc = rc ? rc
                : rub_pull_range(self->session, self->dense, 0,
                                 (uint64_t)self->history.n_writers * RUB_BLOCK, self->blocks, err);
        if (rc == 0) {
            collapse(self);
            rub_history_log_final(self->log, self->values);
        }
    }
    rc = rc ? rc : rub_barrier(self->session, NULL, 0, err);
    return rc ? rc : rub_close(&self->session, true, err);
}

/* Reads until told to stop, in one session. */
static int look_on(ledger_t *self, rub_error_t *err)
{
    int rc = 0;
    while (rc == 0 && !must_stop(self) && !signalled) {
        pull_t pull;
        rc = ask(self, 0, &pull, err);
        rc = rc ? rc : answer(self, &pull, err);
        rest(self->rest_us);
    }
    /* The others may have ended the job while it waited for an answer. */
    rc = rc == RUB_EREFUSED && must_stop(self) ? 0 : rc;
    if (rc == 0) {
        rub_history_log_ended(self->log, RUB_HISTORY_LEFT);
        rub_abandon(&self->session);
    }
    return rc;
}

/* ---- beginning and end ---- */

static int open_tables(ledger_t *self, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "ledger";
    schema.kind = RUB_HASHED;
    schema.width = WIDTH;
    schema.optimizer = RUB_ADD;
    int rc = rub_table_open(self->session, &schema, &self->hashed, err);
    schema.name = "blocks";
    schema.kind = RUB_DENSE;
    schema.width = 0;
    schema.elements = (uint64_t)self->history.n_writers * RUB_BLOCK;
    return rc ? rc : rub_table_open(self->session, &schema, &self->dense, err);
}

static int make_arrays(ledger_t *self)
{
    const size_t writers = self->history.n_writers;
    self->keys = calloc(writers * HASHED_ROWS, sizeof(uint64_t));
    self->rows = calloc(writers * HASHED_ROWS * WIDTH, sizeof(float));
    self->blocks = calloc(writers * RUB_BLOCK, sizeof(float));
    self->values = calloc(writers * ROWS, sizeof(float));
    self->ones = calloc(RUB_BLOCK, sizeof(float));
    if (!self->keys || !self->rows || !self->blocks || !self->values || !self->ones) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < writers * HASHED_ROWS; i++) {
        self->keys[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    }
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        self->ones[i] = 1;
    }
    return 0;
}

/* A successor finds its rank held until the predecessor's lease has run out. */
static int open_session(ledger_t *self, rub_error_t *err)
{
    int rc = 0;
    const time_t started = time(NULL);
    do {
        rc = rub_open(&self->options, &self->session, err);
        if (rc == RUB_EHELD) {
            rest(OPEN_AGAIN_MS * 1000);
        }
    } while (rc == RUB_EHELD && !signalled &&
             time(NULL) - started < (time_t)(self->options.join_timeout_ms / 1000));
    return rc;
}

static int run(ledger_t *self, rub_error_t *err)
{
    rub_info_t info;
    int rc = open_session(self, err);
    if (rc) {
        return rc;
    }
    rub_session_info(self->session, &info);
    /* Only now: a session that never opened has no history. */
    rc = rub_history_log_open(self->log_path, &self->history, &self->log, err);
    if (rc) {
        return rc;
    }
    rub_history_log_opened(self->log, self->reader ? self->number : info.rank,
                           self->reader ? self->epoch : info.epoch, self->reader ? 0 : info.clock);
    rc = open_tables(self, err);
    if (rc == 0 && self->reader) {
        return look_on(self, err);
    }
    rc = rc ? rc : work(self, info.rank, err);
    rc = rc ? rc : meet(self, info.rank, err);
    if (rc == RUB_EFENCED) {
        rub_history_log_ended(self->log, RUB_HISTORY_FENCED);
    } else if (rc == RUB_EINTR && self->session) {
        const uint64_t clock = clock_of(self);
        rub_error_t leaving = {0};
        if (rub_close(&self->session, false, &leaving) == 0) { /* flushed, and BYE is journaled */
            rub_history_log_acked(self->log, self->pushed, clock);
            rub_history_log_ended(self->log, RUB_HISTORY_LEFT);
        } else {
            say("leaving: %s", leaving.message);
            rub_history_log_ended(self->log, leaving.code == RUB_EFENCED ? RUB_HISTORY_FENCED
                                                                         : RUB_HISTORY_KILLED);
        }
    }
    return rc;
}

static int exit_code(int rc)
{
    switch (rc) {
#define RUB_ERROR(name, number, code, text)                                                        \
    case number:                                                                                   \
        return code;
#include "include/rubato_errors.def"
#undef RUB_ERROR
    default:
        return rc == 0 ? 0 : 1;
    }
}

/* ---- the command line ---- */

static uint64_t number_of(const char *text)
{
    char *end = NULL;
    const uint64_t n = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        say("ledger_worker: '%s' is not a number", text);
        exit(2);
    }
    return n;
}

static bool take_option(ledger_t *self, const char *name, const char *value)
{
    if (strcmp(name, "--scheduler") == 0) {
        self->options.scheduler = value;
    } else if (strcmp(name, "--log") == 0) {
        self->log_path = value;
    } else if (strcmp(name, "--stop") == 0) {
        self->stop_path = value;
    } else if (strcmp(name, "--workers") == 0) {
        self->history.n_writers = (uint32_t)number_of(value);
    } else if (strcmp(name, "--rank") == 0) {
        self->options.rank = (int32_t)number_of(value);
    } else if (strcmp(name, "--reader") == 0) {
        self->reader = true;
        self->options.role = RUB_READER;
        self->number = (uint32_t)number_of(value);
    } else if (strcmp(name, "--epoch") == 0) {
        self->epoch = (uint32_t)number_of(value);
    } else if (strcmp(name, "--staleness") == 0) {
        self->history.staleness = strcmp(value, "async") == 0 ? RUB_ASYNC : number_of(value);
    } else if (strcmp(name, "--durability") == 0) {
        self->history.durability = value[0] == 'n' ? 0 : value[0] == 'j' ? 1 : 2;
    } else if (strcmp(name, "--seed") == 0) {
        self->seed = number_of(value);
    } else if (strcmp(name, "--rest-us") == 0) {
        self->rest_us = number_of(value);
    } else if (strcmp(name, "--patience-ms") == 0) {
        self->options.request_timeout_ms = (uint32_t)number_of(value);
        self->options.join_timeout_ms = (uint32_t)number_of(value);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    ledger_t self = {.history = {.n_rows = ROWS, .durability = 1, .staleness = 2}, .epoch = 1};
    rub_error_t err = {0};
    rub_options_defaults(&self.options);
    self.options.notice = notice;
    self.options.interrupted = &interrupted;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || !take_option(&self, argv[i], argv[i + 1])) {
            say("ledger_worker: '%s' is no option, or its value is missing", argv[i]);
            return 2;
        }
    }
    if (!self.options.scheduler || !self.log_path || self.history.n_writers == 0) {
        say("ledger_worker: --scheduler, --log and --workers are needed");
        return 2;
    }
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int rc = make_arrays(&self);
    rc = rc ? rc : run(&self, &err);
    if (rc) {
        say("leaves with %d: %s", rc, err.message);
    }
    rub_abandon(&self.session);
    rub_history_log_close(&self.log);
    free(self.keys);
    free(self.rows);
    free(self.blocks);
    free(self.values);
    free(self.ones);
    return self.broken ? EXIT_BROKEN : exit_code(rc);
}
