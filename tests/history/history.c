/* The books of a history: sessions, what each has pushed at which clock, what was acknowledged,
 * what is in doubt, and what has been shown to whom. history_laws.c judges reads by them.
 *
 * Invariants: a writer's `certain` and `clocks` count the pushes that must be there once their
 * period ends for a reader, `issued` all that may be there; a session's doubt moves pushes from
 * certain to doubt and never back. Every tally agrees with the clocks below it. Cost: one step per
 * event, value, and clock that a tally passes. */
#include "tests/history/history.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/wire/header.h"
#include "tests/history/history_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

const char *rub_law_name(rub_law_t law)
{
    static const char *const names[] = {
#define X(name, text) text,
        RUB_LAWS(X)
#undef X
    };
    return (size_t)law < RUB_COUNT_OF(names) ? names[law] : "?";
}

rub_history_t *rub_history_new(const rub_history_config_t *config)
{
    if (config->n_writers > RUB_HISTORY_WRITERS || config->n_rows < 1 ||
        config->n_rows > RUB_HISTORY_ROWS) {
        return NULL;
    }
    rub_history_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->config = *config;
        self->writers = rub_calloc(config->n_writers + 1u, sizeof(*self->writers));
        if (!self->writers) {
            rub_history_destroy(&self);
        }
    }
    return self;
}

static void drop_ask(rub_ask_t *ask)
{
    rub_free(ask->shown);
    rub_free(ask->durable);
    rub_free(ask->past);
}

static void free_session(rub_session_t *session)
{
    for (size_t i = 0; i < session->n_asks; i++) {
        drop_ask(&session->asks[i]);
    }
    rub_free(session->asks);
    rub_free(session->stamps);
    rub_free(session->seen);
    rub_free(session->tallies);
    rub_free(session);
}

void rub_history_destroy(rub_history_t **self_p)
{
    rub_history_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t i = 0; i < self->n_sessions; i++) {
        free_session(self->sessions[i]);
    }
    for (uint32_t w = 0; self->writers && w < self->config.n_writers; w++) {
        rub_free(self->writers[w].clocks);
    }
    rub_free(self->sessions);
    rub_free(self->writers);
    rub_free(self);
}

bool rub_history_refuse(rub_history_t *self, rub_law_t law, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->sentence, sizeof(self->sentence), format, arguments);
    va_end(arguments);
    self->law = law;
    return false;
}

static bool no_memory(rub_history_t *self)
{
    return rub_history_refuse(self, RUB_LAW_FORM, "no memory for a history of %" PRIu64 " pushes",
                              self->n_pushes);
}

static size_t n_values(const rub_history_t *self)
{
    return (size_t)self->config.n_writers * self->config.n_rows;
}

/* Of the writer's rows: those that the event names. */
static uint32_t first_row(uint32_t row)
{
    return row == RUB_HISTORY_ALL ? 0 : row;
}

static uint32_t end_row(const rub_history_t *self, uint32_t row)
{
    return row == RUB_HISTORY_ALL ? self->config.n_rows : row + 1;
}

/* ---- counts by clock ---- */

const rub_tally_t *rub_history_tally(rub_history_t *self, rub_session_t *reader, uint32_t writer,
                                     uint64_t clock)
{
    rub_tally_t *tally = &reader->tallies[writer];
    rub_writer_t *of = &self->writers[writer];
    const uint64_t end = clock < of->n_clocks ? clock : of->n_clocks;
    while (tally->clock < end) {
        tally->certain += of->clocks[tally->clock].certain;
        tally->doubt += of->clocks[tally->clock].doubt;
        tally->clock++;
        self->operations++;
    }
    while (tally->clock > clock) {
        tally->clock--;
        tally->certain -= of->clocks[tally->clock].certain;
        tally->doubt -= of->clocks[tally->clock].doubt;
        self->operations++;
    }
    if (tally->clock > of->top_tally) {
        of->top_tally = tally->clock;
    }
    return tally;
}

/* A push at that clock enters the books, or changes its side; tallies that have passed it follow.
 */
static void count(rub_history_t *self, uint32_t writer, uint64_t clock, int certain, int doubt)
{
    rub_writer_t *of = &self->writers[writer];
    of->clocks[clock].certain += (uint32_t)certain;
    of->clocks[clock].doubt += (uint32_t)doubt;
    of->certain += (uint64_t)(int64_t)certain;
    self->operations++;
    if (clock >= of->top_tally) {
        return;
    }
    for (size_t i = 0; i < self->n_sessions; i++) {
        rub_tally_t *tally =
            self->sessions[i]->tallies ? &self->sessions[i]->tallies[writer] : NULL;
        self->operations++;
        if (tally && tally->clock > clock) {
            tally->certain += (uint64_t)(int64_t)certain;
            tally->doubt += (uint64_t)(int64_t)doubt;
        }
    }
}

/* ---- sessions ---- */

static bool is_writer(const rub_history_t *self, uint32_t writer)
{
    return writer < self->config.n_writers;
}

static rub_session_t *find(const rub_history_t *self, uint32_t writer, uint32_t epoch)
{
    if (is_writer(self, writer) && self->writers[writer].last &&
        self->writers[writer].last->epoch == epoch) {
        return self->writers[writer].last;
    }
    for (size_t i = self->n_sessions; i > 0; i--) {
        if (self->sessions[i - 1]->writer == writer && self->sessions[i - 1]->epoch == epoch) {
            return self->sessions[i - 1];
        }
    }
    return NULL;
}

static bool open_session(rub_history_t *self, const rub_history_event_t *event)
{
    if (find(self, event->writer, event->epoch)) {
        return rub_history_refuse(self, RUB_LAW_FORM, "session %u.%u is opened twice",
                                  event->writer, event->epoch);
    }
    if (is_writer(self, event->writer) && self->writers[event->writer].last &&
        self->writers[event->writer].last->epoch >= event->epoch) {
        return rub_history_refuse(self, RUB_LAW_FENCING,
                                  "epoch %u of writer %u is opened after epoch %u", event->epoch,
                                  event->writer, self->writers[event->writer].last->epoch);
    }
    rub_session_t *session = rub_calloc(1, sizeof(*session));
    if (!session || rub_grow(&self->sessions, &self->sessions_capacity, self->n_sessions + 1,
                             sizeof(rub_session_t *)) != 0) {
        rub_free(session);
        return no_memory(self);
    }
    self->sessions[self->n_sessions++] = session;
    session->writer = event->writer;
    session->epoch = event->epoch;
    session->clock = event->clock;
    session->doubt_from = RUB_HISTORY_UNKNOWN;
    session->seen = rub_calloc(n_values(self) + 1, sizeof(float));
    session->tallies = rub_calloc(self->config.n_writers + 1u, sizeof(rub_tally_t));
    if (!session->seen || !session->tallies) {
        return no_memory(self);
    }
    if (is_writer(self, event->writer)) {
        self->writers[event->writer].last = session;
    }
    self->operations += n_values(self);
    return true;
}

static bool move_clock(rub_history_t *self, rub_session_t *session, uint64_t clock)
{
    if (clock < session->clock || clock >= RUB_HISTORY_CLOCKS) {
        return rub_history_refuse(self, RUB_LAW_FORM,
                                  "the clock of session %u.%u goes from %" PRIu64 " to %" PRIu64,
                                  session->writer, session->epoch, session->clock, clock);
    }
    session->clock = clock;
    return true;
}

/* ---- what a session does ---- */

static bool push(rub_history_t *self, rub_session_t *session, const rub_history_event_t *event)
{
    if (!is_writer(self, session->writer) || event->number != session->n_pushes + 1) {
        return rub_history_refuse(
            self, RUB_LAW_FORM, "session %u.%u pushes number %" PRIu64 ", expected %zu",
            session->writer, session->epoch, event->number, session->n_pushes + 1);
    }
    if (!move_clock(self, session, event->clock)) {
        return false;
    }
    const bool doubtful = event->number > session->doubt_from;
    if (!doubtful && event->clock < self->shown_clock) {
        return rub_history_refuse(
            self, RUB_LAW_MINIMUM,
            "session %u.%u pushes at clock %" PRIu64
            " when a read has been answered that held every period below %" PRIu64,
            session->writer, session->epoch, event->clock, self->shown_clock);
    }
    rub_writer_t *writer = &self->writers[session->writer];
    if (rub_grow(&session->stamps, &session->stamps_capacity, session->n_pushes + 1,
                 sizeof(uint64_t)) != 0 ||
        rub_grow(&writer->clocks, &writer->clocks_capacity, event->clock + 1,
                 sizeof(rub_clock_count_t)) != 0) {
        return no_memory(self);
    }
    while (writer->n_clocks <= event->clock) {
        writer->clocks[writer->n_clocks++] = (rub_clock_count_t){0, 0};
        self->operations++;
    }
    session->stamps[session->n_pushes++] = event->clock;
    writer->issued++;
    self->n_pushes++;
    if (writer->fence_epoch != 0 && session->epoch >= writer->fence_epoch) {
        writer->fence_issued++;
    }
    count(self, session->writer, event->clock, doubtful ? 0 : 1, doubtful ? 1 : 0);
    return true;
}

/* From now on what it pushed behind `number` may be there or not. */
static bool doubt(rub_history_t *self, rub_session_t *session, uint64_t number)
{
    const uint64_t before = session->doubt_from;
    if (before <= number || !is_writer(self, session->writer)) {
        return true;
    }
    session->doubt_from = number;
    if (number < session->acked) { /* bsp: heard of, but in a period that may not be folded */
        self->writers[session->writer].acked -=
            (session->acked < before ? session->acked : before) - number;
    }
    for (uint64_t n = number; n < session->n_pushes && n < before; n++) {
        count(self, session->writer, session->stamps[n], -1, 1);
    }
    return true;
}

/* The pushes that are there for ever, whatever happened to the session: what was acknowledged; in
 * bsp a period is folded whole or not at all, so its end must have been acknowledged too. */
static uint64_t certain_of(const rub_history_t *self, const rub_session_t *session)
{
    uint64_t certain = session->acked;
    while (self->config.staleness == 0 && certain > 0 &&
           session->stamps[certain - 1] >= session->acked_clock) {
        certain--;
    }
    return certain;
}

static bool acknowledge(rub_history_t *self, rub_session_t *session,
                        const rub_history_event_t *event)
{
    if (event->number > session->n_pushes || !is_writer(self, session->writer)) {
        return rub_history_refuse(self, RUB_LAW_FORM,
                                  "push %" PRIu64 " of session %u.%u is acknowledged, it has sent "
                                  "%zu",
                                  event->number, session->writer, session->epoch,
                                  session->n_pushes);
    }
    rub_writer_t *writer = &self->writers[session->writer];
    if (event->clock > session->acked_clock) {
        session->acked_clock = event->clock;
    }
    const uint64_t most = event->number < session->doubt_from ? event->number : session->doubt_from;
    if (event->number > session->acked) {
        writer->acked += most > session->acked ? most - session->acked : 0;
        session->acked = event->number;
    }
    for (uint32_t r = 0; r < self->config.n_rows; r++) {
        const uint64_t there =
            writer->acked > writer->lost[r] ? writer->acked - writer->lost[r] : 0;
        if ((float)there > writer->durable[r]) {
            writer->durable[r] = (float)there;
        }
    }
    self->operations += self->config.n_rows;
    return true;
}

static bool ask(rub_history_t *self, rub_session_t *session, const rub_history_event_t *event)
{
    if (rub_grow(&session->asks, &session->asks_capacity, session->n_asks + 1, sizeof(rub_ask_t)) !=
        0) {
        return no_memory(self);
    }
    rub_ask_t *asked = &session->asks[session->n_asks++];
    *asked = (rub_ask_t){.id = event->number, .stamp = event->clock, .own = session->n_pushes};
    asked->shown = rub_calloc(n_values(self) + 1, sizeof(float));
    asked->durable = rub_calloc(n_values(self) + 1, sizeof(float));
    asked->past = rub_calloc(self->config.n_writers + 1u, sizeof(uint64_t));
    if (!asked->shown || !asked->durable || !asked->past) {
        return no_memory(self);
    }
    const size_t rows = self->config.n_rows;
    for (uint32_t w = 0; w < self->config.n_writers; w++) {
        asked->past[w] = RUB_HISTORY_UNKNOWN;
        memcpy(asked->shown + w * rows, self->writers[w].shown, rows * sizeof(float));
        memcpy(asked->durable + w * rows, self->writers[w].durable, rows * sizeof(float));
    }
    self->operations += n_values(self);
    return true;
}

static bool answer(rub_history_t *self, rub_session_t *session, const rub_history_event_t *event)
{
    for (size_t i = 0; i < session->n_asks; i++) {
        if (session->asks[i].id == event->number) {
            rub_ask_t asked = session->asks[i];
            session->asks[i] = session->asks[--session->n_asks];
            const bool fine = rub_history_judge_read(self, session, &asked, event);
            drop_ask(&asked);
            return fine;
        }
    }
    return rub_history_refuse(self, RUB_LAW_FORM,
                              "session %u.%u has an answer to pull %" PRIu64 ", which it never "
                              "asked",
                              session->writer, session->epoch, event->number);
}

static bool end(rub_history_t *self, rub_session_t *session, const rub_history_event_t *event)
{
    session->ended = true;
    return event->fate == RUB_HISTORY_LEFT || doubt(self, session, certain_of(self, session));
}

/* ---- what happens to rows ---- */

/* Reported losses lower what must be there, for ever. */
static bool lose(rub_history_t *self, const rub_history_event_t *event)
{
    if (!is_writer(self, event->writer)) {
        return rub_history_refuse(self, RUB_LAW_FORM, "LOST of writer %u of %u", event->writer,
                                  self->config.n_writers);
    }
    rub_writer_t *writer = &self->writers[event->writer];
    const uint64_t unheard = writer->issued - writer->acked;
    if (event->kind == RUB_HISTORY_LOST && self->config.durability == RUB_DURABILITY_SYNC &&
        event->number > unheard) {
        return rub_history_refuse(self, RUB_LAW_DURABILITY,
                                  "%" PRIu64 " pushes of writer %u are reported LOST, only %" PRIu64
                                  " were not acknowledged, and an acknowledgement means synced",
                                  event->number, event->writer, unheard);
    }
    for (uint32_t r = first_row(event->row); r < end_row(self, event->row); r++) {
        writer->lost[r] += event->number;
        const float n = (float)event->number;
        writer->durable[r] = writer->durable[r] > n ? writer->durable[r] - n : 0;
        self->operations++;
    }
    return true;
}

/* What the pulls under way had to hold of a writer when the power went. */
static void note_past(rub_history_t *self, rub_session_t *session, uint32_t writer)
{
    for (size_t i = 0; i < session->n_asks; i++) {
        rub_ask_t *asked = &session->asks[i];
        asked->stale = true;
        if (asked->past[writer] == RUB_HISTORY_UNKNOWN) {
            const uint64_t clock = rub_history_past(self, asked->stamp);
            asked->past[writer] = rub_history_tally(self, session, writer, clock)->certain;
        }
    }
}

/* The power went: what was shown of the row may be gone until it is sent again, and so may the
 * clocks that an answered read had proved. */
static bool go_back(rub_history_t *self, const rub_history_event_t *event)
{
    if (!is_writer(self, event->writer)) {
        return rub_history_refuse(self, RUB_LAW_FORM, "writer %u of %u goes back", event->writer,
                                  self->config.n_writers);
    }
    rub_writer_t *writer = &self->writers[event->writer];
    self->shown_clock = 0;
    for (size_t i = 0; i < self->n_sessions; i++) {
        note_past(self, self->sessions[i], event->writer);
    }
    const bool synced = self->config.durability == RUB_DURABILITY_SYNC;
    for (uint32_t r = first_row(event->row); r < end_row(self, event->row); r++) {
        const size_t at = (size_t)event->writer * self->config.n_rows + r;
        writer->shown[r] = 0;
        writer->durable[r] = synced ? writer->durable[r] : 0;
        for (size_t i = 0; i < self->n_sessions; i++) {
            rub_session_t *session = self->sessions[i];
            session->seen[at] = 0;
            for (size_t j = 0; j < session->n_asks; j++) {
                session->asks[j].shown[at] = 0;
                session->asks[j].durable[at] = synced ? session->asks[j].durable[at] : 0;
            }
            self->operations += 1 + session->n_asks;
        }
    }
    return true;
}

/* Of what was lost; what was acknowledged of it is looked for from the next acknowledgement on. */
static bool find_again(rub_history_t *self, const rub_history_event_t *event)
{
    for (uint32_t r = first_row(event->row); r < end_row(self, event->row); r++) {
        uint64_t *lost =
            is_writer(self, event->writer) ? &self->writers[event->writer].lost[r] : NULL;
        if (!lost || *lost < event->number) {
            return rub_history_refuse(self, RUB_LAW_FORM,
                                      "more pushes of writer %u are sent again than were lost",
                                      event->writer);
        }
        *lost -= event->number;
        self->operations++;
    }
    return true;
}

static bool see_minimum(rub_history_t *self, const rub_history_event_t *event)
{
    const uint32_t shard = event->writer;
    if (shard >= RUB_HISTORY_SHARDS) {
        return rub_history_refuse(self, RUB_LAW_FORM, "shard %u, limit %u", shard,
                                  RUB_HISTORY_SHARDS);
    }
    if (event->number == RUB_HISTORY_UNKNOWN) {
        self->minimums[shard] = 0; /* it came back from a power loss */
        return true;
    }
    if (event->number < self->minimums[shard]) {
        return rub_history_refuse(self, RUB_LAW_MINIMUM,
                                  "the minimum of shard %u falls from %" PRIu64 " to %" PRIu64,
                                  shard, self->minimums[shard], event->number);
    }
    self->minimums[shard] = event->number;
    return true;
}

/* ---- the door ---- */

static bool step_session(rub_history_t *self, const rub_history_event_t *event)
{
    rub_session_t *session = find(self, event->writer, event->epoch);
    if (!session) {
        return rub_history_refuse(self, RUB_LAW_FORM, "session %u.%u does %c and was never opened",
                                  event->writer, event->epoch, (char)event->kind);
    }
    switch (event->kind) {
    case RUB_HISTORY_PUSH:
        return push(self, session, event);
    case RUB_HISTORY_ACK:
        return acknowledge(self, session, event);
    case RUB_HISTORY_CLOCK:
        return move_clock(self, session, event->clock);
    case RUB_HISTORY_ASK:
        return ask(self, session, event);
    case RUB_HISTORY_READ:
        return answer(self, session, event);
    case RUB_HISTORY_DOUBT:
        return doubt(self, session, event->number);
    case RUB_HISTORY_END:
        return end(self, session, event);
    default:
        return rub_history_judge_final(self, event);
    }
}

bool rub_history_step(rub_history_t *self, const rub_history_event_t *event)
{
    if (self->law != RUB_LAW_NONE) {
        return false;
    }
    self->operations++;
    if (event->time_us < self->time_us) {
        return rub_history_refuse(self, RUB_LAW_FORM,
                                  "an event of %" PRIu64 " us comes after one of %" PRIu64 " us",
                                  event->time_us, self->time_us);
    }
    self->time_us = event->time_us;
    switch (event->kind) {
    case RUB_HISTORY_OPEN:
        return open_session(self, event);
    case RUB_HISTORY_LOST:
    case RUB_HISTORY_VERDICT:
        return lose(self, event);
    case RUB_HISTORY_SENT_AGAIN:
        return find_again(self, event);
    case RUB_HISTORY_BACK:
        return go_back(self, event);
    case RUB_HISTORY_MINIMUM:
        return see_minimum(self, event);
    default:
        return step_session(self, event);
    }
}

rub_law_t rub_history_law(const rub_history_t *self)
{
    return self->law;
}

const char *rub_history_sentence(const rub_history_t *self)
{
    return self->sentence;
}

uint64_t rub_history_operations(const rub_history_t *self)
{
    return self->operations;
}

uint64_t rub_history_reads(const rub_history_t *self)
{
    return self->n_reads;
}

uint64_t rub_history_pushes(const rub_history_t *self)
{
    return self->n_pushes;
}
