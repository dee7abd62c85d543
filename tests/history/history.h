/* Histories of a ledger, and the laws that they must keep.
 *
 * The ledger is one table with optimizer `add`. Writer u (a trainer's rank) owns `rows` rows of it
 * and adds 1 to each of its own rows with every push; everybody reads the whole table. Any read is
 * therefore a version vector: it says how many pushes of each writer it holds, and a lost, doubled,
 * late or torn push is a wrong number.
 *
 * A history is what the sessions saw and did, in the order of time. One pass over it decides, in
 * time that is linear in its length (a read counts as its number of values). Two sources feed the
 * same checker: the simulator, event by event, and real fleets, as text that each process appends
 * to a file of its own (tests/history/history_log.h writes it, rubato-history merges and judges
 * it).
 *
 * The text, a line per event; S is writer.epoch; times are monotonic microseconds of one host:
 *
 *   rubato-history 1 writers=W rows=R staleness=N durability=none|journal|sync [groups=g,g,..]
 *   TIME O S clock           the session is open and stands at that clock (a reader: 0)
 *   TIME P S number clock    about to push, for the number-th time in this session, from 1
 *   TIME A S number clock    acknowledged: its pushes up to number, and the ends of its
 *                            periods below clock (0: it does not know of any)
 *   TIME C S clock           its clock is now that
 *   TIME Q S id stamp        about to pull the ledger for use at that clock (a reader: -)
 *   TIME R S id gap v v..    that pull has its answer: the measured gap (-: unknown) and
 *                            W * R values, writer by writer
 *   TIME E S left|killed|fenced
 *   TIME D S number          what it pushes behind number may be there or not
 *   TIME L writer row n      n pushes of that row (-: of all) were reported LOST
 *   TIME S writer row n      so many of them were sent again
 *   TIME V writer row n      n pushes of that row are refused by verdicts
 *   TIME B writer row        the power went: the row, and the clocks that reads have shown, may go
 *                            back until they are sent again
 *   TIME M shard minimum     a shard's minimum (-: the power went, it may be lower now)
 *   TIME F S v v..           everything has ended, and this is what the ledger holds
 *
 * staleness=- is async. A writer's clock in O, P and C never goes back within a session. Readers
 * and checkers that write nothing have numbers from W on. Rows of one writer with the same group
 * number are in one message of every push, so they are equal in every read. */
#ifndef RUB_HISTORY_H
#define RUB_HISTORY_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define RUB_HISTORY_ROWS 64u       /* of one writer */
#define RUB_HISTORY_WRITERS 4096u  /* and readers, numbers */
#define RUB_HISTORY_ALL UINT32_MAX /* every row */
#define RUB_HISTORY_UNKNOWN UINT64_MAX

/* The laws, by the names that a refusal carries. */
#define RUB_LAWS(X)                                                                                \
    X(NONE, "none")                                                                                \
    X(FORM, "form") /* the history itself makes no sense */                                        \
    X(SSP, "ssp")   /* a read at c holds every period <= c - s - 1 */                              \
    X(BSP, "bsp")   /* s = 0: exactly the state after period c - 1 */                              \
    X(OWN, "read-my-writes")                                                                       \
    X(MONOTONIC, "monotonic reads") /* one session's reads never go back */                        \
    X(REGRESSION, "regression")     /* nor do those of anybody who asks after an answer */         \
    X(DOUBLED, "doubled")           /* more than was pushed */                                     \
    X(LOST, "lost")                 /* at the end: less than was pushed by who left in order */    \
    X(DURABILITY, "durability")     /* an acknowledged push is missing, and nobody said LOST */    \
    X(FENCING, "fencing")           /* an old epoch's push came after the new one's first read */  \
    X(ATOMICITY, "atomicity")       /* a message is in or not */                                   \
    X(MINIMUM, "minimum")           /* a minimum fell, or a push came below one that was shown */  \
    X(GAP, "gap")                   /* the measured gap is above the bound */
typedef enum {
#define X(name, text) RUB_LAW_##name,
    RUB_LAWS(X)
#undef X
} rub_law_t;
const char *rub_law_name(rub_law_t law);

typedef struct rub_history_config {
    uint32_t n_writers, n_rows; /* rows of each writer */
    uint64_t staleness;         /* RUB_ASYNC: no bound */
    uint32_t durability;        /* RUB_DURABILITY_* */
    uint8_t groups[RUB_HISTORY_ROWS];
    bool grouped; /* groups are known */
} rub_history_config_t;

typedef enum {
    RUB_HISTORY_OPEN = 'O',
    RUB_HISTORY_PUSH = 'P',
    RUB_HISTORY_ACK = 'A',
    RUB_HISTORY_CLOCK = 'C',
    RUB_HISTORY_ASK = 'Q',
    RUB_HISTORY_READ = 'R',
    RUB_HISTORY_END = 'E',
    RUB_HISTORY_DOUBT = 'D',
    RUB_HISTORY_LOST = 'L',
    RUB_HISTORY_SENT_AGAIN = 'S',
    RUB_HISTORY_VERDICT = 'V',
    RUB_HISTORY_BACK = 'B',
    RUB_HISTORY_MINIMUM = 'M',
    RUB_HISTORY_FINAL = 'F'
} rub_history_kind_t;

typedef enum {
    RUB_HISTORY_LEFT = 0,
    RUB_HISTORY_KILLED = 1,
    RUB_HISTORY_FENCED = 2
} rub_history_fate_t;

/* One line. Which members mean something: the table above. */
typedef struct rub_history_event {
    uint64_t time_us;
    rub_history_kind_t kind;
    uint32_t writer, epoch; /* of MINIMUM: the shard in writer */
    uint64_t number;        /* of a push, of an ask; n of LOST; minimum */
    uint64_t clock;         /* or stamp; RUB_HISTORY_UNKNOWN: a reader */
    uint64_t gap;           /* RUB_HISTORY_UNKNOWN: not measured */
    uint32_t row;           /* of LOST and BACK */
    rub_history_fate_t fate;
    const float *values; /* borrowed, n_writers * n_rows */
} rub_history_event_t;

typedef struct rub_history rub_history_t;

/* NULL when memory is short or the configuration has too many writers or rows. */
rub_history_t *rub_history_new(const rub_history_config_t *config);
void rub_history_destroy(rub_history_t **self_p);

/* Takes the next event, in the order of time. True: every law holds so far. The first law that does
 * not hold stays: nothing is looked at behind it. */
bool rub_history_step(rub_history_t *self, const rub_history_event_t *event);

rub_law_t rub_history_law(const rub_history_t *self);        /* RUB_LAW_NONE: all hold */
const char *rub_history_sentence(const rub_history_t *self); /* which read, which row; "" */
uint64_t rub_history_operations(const rub_history_t *self);  /* elementary steps taken so far */
uint64_t rub_history_reads(const rub_history_t *self);       /* answers judged */
uint64_t rub_history_pushes(const rub_history_t *self);      /* issued, by all */

/* ---- the text (history_text.c) ---- */

/* Room for one line, whatever the event: 64 bytes and 24 for each value. */
size_t rub_history_line_limit(const rub_history_config_t *config);
/* Writes the line, newline included; returns its length. line has rub_history_line_limit bytes. */
size_t rub_history_write_line(const rub_history_config_t *config, const rub_history_event_t *event,
                              char *line, size_t limit);
size_t rub_history_write_header(const rub_history_config_t *config, char *line, size_t limit);
/* Both read one line without its newline. values (n_writers * n_rows floats) is the caller's and
 * the event borrows it. RUB_EDATA with a sentence. */
int rub_history_read_header(const char *line, rub_history_config_t *config, rub_error_t *err);
int rub_history_read_line(const rub_history_config_t *config, const char *line, float *values,
                          rub_history_event_t *event, rub_error_t *err);

#endif
