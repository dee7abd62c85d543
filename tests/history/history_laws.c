/* What a read may hold. For each row of each writer: at least what its clock, its own session, an
 * acknowledgement or an earlier answer promise; at most what was pushed, by epochs that may still
 * be heard; in bsp exactly the periods before its clock. Rows of one message are equal.
 *
 * References: Ho et al. 2013 (SSP and read-my-writes); Terry et al. 1994 (monotonic reads); a row
 * lives in one shard, so the order in which it is read is real time (Herlihy & Wing 1990), which
 * `regression` and `durability` use: a pull that is asked after something was shown or acknowledged
 * must hold it. */
#include "common/base/check.h"
#include "tests/history/history_internal.h"

#include <inttypes.h>

/* What a row must hold at least, and why; the first of equal reasons wins. */
typedef struct bound {
    double least;
    rub_law_t law;
} bound_t;

static void raise_to(bound_t *bound, double least, uint64_t lost, rub_law_t law)
{
    least -= (double)lost;
    if (least > bound->least) {
        *bound = (bound_t){least, law};
    }
}

static bool is_writer(const rub_history_t *self, const rub_session_t *session)
{
    return session->writer < self->config.n_writers;
}

uint64_t rub_history_past(const rub_history_t *self, uint64_t stamp)
{
    const uint64_t s = self->config.staleness;
    return stamp == RUB_HISTORY_UNKNOWN || s == RUB_ASYNC || stamp < s ? 0 : stamp - s;
}

static bool is_exact(const rub_history_t *self, const rub_ask_t *ask)
{
    return self->config.staleness == 0 && ask->stamp != RUB_HISTORY_UNKNOWN;
}

/* Acknowledged by the writer's earlier sessions, and pushed by this one before it asked. */
static double own_least(const rub_history_t *self, const rub_session_t *session,
                        const rub_ask_t *ask)
{
    const rub_writer_t *writer = &self->writers[session->writer];
    const uint64_t heard =
        session->acked < session->doubt_from ? session->acked : session->doubt_from;
    return (double)(writer->acked - heard + ask->own);
}

static bool judge_least(rub_history_t *self, const rub_session_t *reader, const rub_ask_t *ask,
                        uint32_t w, uint32_t r, double value, const rub_tally_t *past)
{
    const rub_writer_t *writer = &self->writers[w];
    const size_t at = (size_t)w * self->config.n_rows + r;
    bound_t bound = {0, RUB_LAW_NONE};
    /* A pull that the power overtook may have been answered before: clocks have gone back since,
     * and what was pushed below its own then, it need not hold. */
    const uint64_t certain = past && past->certain < ask->past[w] ? past->certain : ask->past[w];
    if (is_exact(self, ask)) {
        raise_to(&bound, (double)certain, writer->lost[r], RUB_LAW_BSP);
    } else {
        if (past) {
            raise_to(&bound, (double)certain, writer->lost[r], RUB_LAW_SSP);
        }
        if (w == reader->writer && self->config.staleness != 0) {
            raise_to(&bound, own_least(self, reader, ask), writer->lost[r], RUB_LAW_OWN);
        }
        if (self->config.staleness != 0) {
            raise_to(&bound, (double)ask->durable[at], 0, RUB_LAW_DURABILITY);
        }
    }
    raise_to(&bound, (double)reader->seen[at], 0, RUB_LAW_MONOTONIC);
    raise_to(&bound, (double)ask->shown[at], 0, RUB_LAW_REGRESSION);
    return value >= bound.least ||
           rub_history_refuse(self, bound.law,
                              "session %u.%u read %g in row %u of writer %u at clock %" PRId64
                              ", at least %g must be there",
                              reader->writer, reader->epoch, value, r, w, (int64_t)ask->stamp,
                              bound.least);
}

static bool judge_most(rub_history_t *self, const rub_session_t *reader, const rub_ask_t *ask,
                       uint32_t w, uint32_t r, double value, const rub_tally_t *past)
{
    const rub_writer_t *writer = &self->writers[w];
    rub_law_t law = RUB_LAW_DOUBLED;
    double most = (double)writer->issued;
    /* What the power overtook may have been answered before it, with what an older epoch pushed and
     * the power then took: the new epoch has never seen that. */
    if (writer->fence_epoch != 0 && !ask->stale &&
        (double)writer->fence[r] + (double)writer->fence_issued < most) {
        most = (double)writer->fence[r] + (double)writer->fence_issued;
        law = RUB_LAW_FENCING;
    }
    if (is_exact(self, ask) && (double)(past->certain + past->doubt) < most) {
        most = (double)(past->certain + past->doubt);
        law = value > (double)writer->issued ? RUB_LAW_DOUBLED : RUB_LAW_BSP;
    }
    return value <= most ||
           rub_history_refuse(self, law,
                              "session %u.%u read %g in row %u of writer %u at clock %" PRId64
                              ", at most %g may be there",
                              reader->writer, reader->epoch, value, r, w, (int64_t)ask->stamp,
                              most);
}

/* Rows that every push carries in one message. */
static bool judge_groups(rub_history_t *self, const rub_session_t *reader, uint32_t w,
                         const float *values)
{
    uint16_t first[256] = {0}; /* row + 1 of each group */
    const rub_history_config_t *config = &self->config;
    for (uint32_t r = 0; config->grouped && r < config->n_rows; r++) {
        const uint8_t group = config->groups[r];
        if (first[group] == 0) {
            first[group] = (uint16_t)(r + 1);
        }
        const uint32_t other = first[group] - 1u;
        if (values[r] > values[other] || values[r] < values[other]) {
            return rub_history_refuse(self, RUB_LAW_ATOMICITY,
                                      "session %u.%u read %g and %g in rows %u and %u of writer "
                                      "%u, which every push changes together",
                                      reader->writer, reader->epoch, (double)values[other],
                                      (double)values[r], other, r, w);
        }
    }
    return true;
}

static void remember(rub_history_t *self, rub_session_t *reader, uint32_t w, const float *values)
{
    rub_writer_t *writer = &self->writers[w];
    float *seen = reader->seen + (size_t)w * self->config.n_rows;
    for (uint32_t r = 0; r < self->config.n_rows; r++) {
        seen[r] = values[r];
        if (values[r] > writer->shown[r]) {
            writer->shown[r] = values[r];
        }
    }
}

static size_t pushes_below(const rub_session_t *session, uint64_t clock)
{
    size_t n = session->n_pushes;
    while (n > 0 && session->stamps[n - 1] >= clock) {
        n--;
    }
    return n;
}

/* A new epoch has its first answer: from here on older ones are shut out, so their share can only
 * be what is in this answer. In bsp periods that they had ended may still be folded. */
static void raise_fence(rub_history_t *self, const rub_session_t *session, const rub_ask_t *ask,
                        const float *values)
{
    rub_writer_t *writer = &self->writers[session->writer];
    if (session != writer->last || session->epoch <= writer->fence_epoch || session->epoch == 0) {
        return;
    }
    const bool exact = is_exact(self, ask);
    uint64_t later = 0; /* pushes of older epochs that a fold may still bring */
    for (uint64_t clock = ask->stamp; exact && clock < writer->n_clocks; clock++) {
        later += writer->clocks[clock].certain + writer->clocks[clock].doubt;
        self->operations++;
    }
    const uint64_t own = exact ? pushes_below(session, ask->stamp) : ask->own;
    const uint64_t own_later = exact ? session->n_pushes - own : 0;
    for (uint32_t r = 0; r < self->config.n_rows; r++) {
        writer->fence[r] = values[r] - (float)own + (float)(later - own_later);
    }
    writer->fence_epoch = session->epoch;
    writer->fence_issued = session->n_pushes;
}

bool rub_history_judge_read(rub_history_t *self, rub_session_t *reader, const rub_ask_t *ask,
                            const rub_history_event_t *event)
{
    const uint32_t n_rows = self->config.n_rows;
    const uint64_t past_clock = rub_history_past(self, ask->stamp);
    self->n_reads++;
    if (event->gap != RUB_HISTORY_UNKNOWN && ask->stamp != RUB_HISTORY_UNKNOWN &&
        event->gap > self->config.staleness) {
        return rub_history_refuse(
            self, RUB_LAW_GAP,
            "session %u.%u was answered with a gap of %" PRIu64 ", the bound is %" PRIu64,
            reader->writer, reader->epoch, event->gap, self->config.staleness);
    }
    for (uint32_t w = 0; w < self->config.n_writers; w++) {
        const float *values = event->values + (size_t)w * n_rows;
        const bool bounded =
            ask->stamp != RUB_HISTORY_UNKNOWN && self->config.staleness != RUB_ASYNC;
        const rub_tally_t *past = bounded ? rub_history_tally(self, reader, w, past_clock) : NULL;
        for (uint32_t r = 0; r < n_rows; r++) {
            self->operations++;
            if (!judge_most(self, reader, ask, w, r, (double)values[r], past) ||
                !judge_least(self, reader, ask, w, r, (double)values[r], past)) {
                return false;
            }
        }
        if (!judge_groups(self, reader, w, values)) {
            return false;
        }
        if (!ask->stale) {
            remember(self, reader, w, values);
        }
    }
    if (is_writer(self, reader) && !ask->stale) {
        raise_fence(self, reader, ask, event->values + (size_t)reader->writer * n_rows);
    }
    if (!ask->stale && past_clock > self->shown_clock) {
        self->shown_clock = past_clock;
    }
    return true;
}

bool rub_history_judge_final(rub_history_t *self, const rub_history_event_t *event)
{
    const uint32_t n_rows = self->config.n_rows;
    for (uint32_t w = 0; w < self->config.n_writers; w++) {
        const rub_writer_t *writer = &self->writers[w];
        if (writer->last && !writer->last->ended) {
            continue; /* what it has under way may be there or not */
        }
        for (uint32_t r = 0; r < n_rows; r++) {
            const double value = (double)event->values[(size_t)w * n_rows + r];
            const double most = (double)writer->issued;
            const double least = (double)writer->certain - (double)writer->lost[r];
            self->operations++;
            if (!(value <= most && value >= least)) { /* nor may it be NaN */
                return rub_history_refuse(
                    self, value > most ? RUB_LAW_DOUBLED : RUB_LAW_LOST,
                    "at the end row %u of writer %u holds %g, of %g pushes at least %g must be "
                    "there",
                    r, w, value, most, least);
            }
        }
    }
    return true;
}
