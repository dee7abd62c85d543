/* What the checker's two files share: history.c keeps the books, history_laws.c judges reads. */
#ifndef RUB_HISTORY_INTERNAL_H
#define RUB_HISTORY_INTERNAL_H

#include "tests/history/history.h"

#define RUB_HISTORY_SHARDS 256u
#define RUB_HISTORY_CLOCKS (UINT64_C(1) << 26) /* above: the history makes no sense */

/* Pushes of a writer below a clock, kept by each reading session, which moves it along with its own
 * clock: a history costs one step per clock and pair, not one per push and read. */
typedef struct rub_tally {
    uint64_t clock;          /* counts what is stamped below it */
    uint64_t certain, doubt; /* must be there, may be there */
} rub_tally_t;

/* A pull under way. What was shown or acknowledged before it was asked, it must hold. */
typedef struct rub_ask {
    uint64_t id, stamp;
    uint64_t own;   /* pushes of the session itself before it */
    bool stale;     /* the power went since: what it shows may be gone already */
    float *shown;   /* per value */
    float *durable; /* per value */
    uint64_t *past; /* per writer: what had to be there when the power went; UNKNOWN: it did not */
} rub_ask_t;

typedef struct rub_session {
    uint32_t writer, epoch;
    uint64_t clock;
    uint64_t *stamps; /* clock of each push */
    size_t n_pushes, stamps_capacity;
    uint64_t acked, acked_clock;
    uint64_t doubt_from; /* pushes numbered above may be there or not; UNKNOWN: none */
    bool ended, has_read;
    float *seen; /* per value: monotonic reads */
    rub_tally_t *tallies;
    rub_ask_t *asks;
    size_t n_asks, asks_capacity;
} rub_session_t;

typedef struct rub_clock_count {
    uint32_t certain, doubt;
} rub_clock_count_t;

typedef struct rub_writer {
    rub_clock_count_t *clocks; /* pushes by their stamp */
    size_t n_clocks, clocks_capacity;
    uint64_t issued, certain;
    uint64_t acked;      /* acknowledged and not doubtful, of all sessions */
    uint64_t top_tally;  /* no reader's tally stands above this clock */
    bool restricted;     /* some session's doubt, LOST: see the rows */
    rub_session_t *last; /* latest epoch */
    /* fencing: since the first own read of epoch fence_epoch, older epochs hold at most fence[row]
     */
    uint32_t fence_epoch;  /* 0: none yet */
    uint64_t fence_issued; /* pushes of that epoch and later ones */
    float fence[RUB_HISTORY_ROWS];
    float shown[RUB_HISTORY_ROWS];   /* greatest value that anybody has read */
    float durable[RUB_HISTORY_ROWS]; /* acknowledged, as far as it may not be lost */
    uint64_t lost[RUB_HISTORY_ROWS]; /* reported */
} rub_writer_t;

struct rub_history {
    rub_history_config_t config;
    rub_writer_t *writers;
    rub_session_t **sessions;
    size_t n_sessions, sessions_capacity;
    uint64_t time_us;
    uint64_t shown_clock; /* greatest c - s of an answered read */
    uint64_t minimums[RUB_HISTORY_SHARDS];
    uint64_t operations, n_reads, n_pushes;
    rub_law_t law;
    char sentence[400];
};

bool rub_history_refuse(rub_history_t *self, rub_law_t law, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* false, always */
/* How many pushes of the writer are stamped below the clock; moves the reader's tally there. */
const rub_tally_t *rub_history_tally(rub_history_t *self, rub_session_t *reader, uint32_t writer,
                                     uint64_t clock);
/* Which clock's past a read with that stamp must hold: every period below it. */
uint64_t rub_history_past(const rub_history_t *self, uint64_t stamp);
bool rub_history_judge_read(rub_history_t *self, rub_session_t *reader, const rub_ask_t *ask,
                            const rub_history_event_t *event);
bool rub_history_judge_final(rub_history_t *self, const rub_history_event_t *event);

#endif
