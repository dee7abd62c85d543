/* A new job out of an old one's snapshot. The shards bring rows as of the cut; here the data is
 * brought to the same point, so that nothing is skipped and nothing below the cut is trained twice.
 *
 * bsp: the clock says it all; the cursors name the batch. Otherwise a cursor says how far its rank
 * had come in which piece, and pieces have rising numbers: whatever a rank had been dealt beyond
 * its cursor comes back, as for a rank that died (scheduler_pieces.c). The list of pieces must be
 * the one of the cut's data epoch: a later state may be in the next one already, which is why a
 * manifest holds several.
 *
 * Invariant: no rank, nonce, lease or barrier of the old job is taken over. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

static int check_same(const rub_scheduler_config_t *want, const rub_scheduler_config_t *have,
                      rub_error_t *err)
{
    if (want->seed != have->seed) {
        return rub_fail(err, RUB_ECONFIG, "the snapshot's job has seed %llu, asked for %llu",
                        (unsigned long long)have->seed, (unsigned long long)want->seed);
    }
    if ((want->staleness == 0) != (have->staleness == 0)) {
        return rub_fail(err, RUB_ECONFIG,
                        "the snapshot's job is %sbsp, asked for %sbsp: data is dealt differently",
                        have->staleness == 0 ? "" : "not ", want->staleness == 0 ? "" : "not ");
    }
    if (want->staleness == 0 && want->reduce != have->reduce) {
        return rub_fail(err, RUB_ECONFIG, "the snapshot's job has reduce %u, asked for %u",
                        have->reduce, want->reduce);
    }
    return 0;
}

static int open_state(const rub_span_t *state, rub_scheduler_t **old_p, rub_error_t *err)
{
    rub_scheduler_config_t config = {0};
    *old_p = NULL;
    int rc = rub_scheduler_state_peek(state->data, state->bytes, &config, err);
    if (rc != 0) {
        return rc;
    }
    *old_p = rub_scheduler_new(&config, &(rub_scheduler_effects_t){0});
    if (!*old_p) {
        return rub_fail(err, RUB_ENOMEM, "no memory to read a scheduler's state");
    }
    return rub_scheduler_load(*old_p, state->data, state->bytes, err);
}

/* False: no rank has a cursor. */
static bool cut_epoch(const rub_scheduler_cut_t *cuts, size_t n_cuts, uint64_t *epoch_p)
{
    bool any = false;
    *epoch_p = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        any = any || cuts[i].has_cursor;
        if (cuts[i].has_cursor && cuts[i].cursor.epoch > *epoch_p) {
            *epoch_p = cuts[i].cursor.epoch;
        }
    }
    return any;
}

/* The state to go on from: the last one whose pieces are of the cut's data epoch. Where nobody has
 * a cursor, the first: what was dealt since had not been begun. Where nothing is dealt, the last.
 */
static int choose(const rub_span_t *states, uint32_t n_states, const rub_scheduler_cut_t *cuts,
                  size_t n_cuts, rub_scheduler_t **old_p, rub_error_t *err)
{
    uint64_t epoch = 0, latest = 0;
    const bool known = cut_epoch(cuts, n_cuts, &epoch);
    bool dealt = false;
    *old_p = NULL;
    if (n_states == 0) {
        return rub_fail(err, RUB_ECORRUPT, "the snapshot holds no state of its scheduler");
    }
    for (uint32_t i = n_states; i-- > 0;) {
        rub_scheduler_t *old = NULL;
        const int rc = open_state(&states[i], &old, err);
        if (rc != 0) {
            rub_scheduler_destroy(&old);
            return rc;
        }
        const bool fits = known ? old->ledger.begun && old->ledger.data_epoch == epoch : i == 0;
        dealt = dealt || old->ledger.begun;
        latest = old->ledger.data_epoch > latest ? old->ledger.data_epoch : latest;
        if (fits || (i == 0 && !dealt)) {
            *old_p = old;
            return 0;
        }
        rub_scheduler_destroy(&old);
    }
    return rub_fail(err, RUB_ECORRUPT,
                    "the cut is in data epoch %llu, of which no state of the scheduler tells "
                    "(the latest is in %llu)",
                    (unsigned long long)epoch, (unsigned long long)latest);
}

static const rub_scheduler_cut_t *cut_of(const rub_scheduler_cut_t *cuts, size_t n_cuts,
                                         const rub_ledger_piece_t *piece)
{
    for (size_t i = 0; i < n_cuts; i++) {
        if (cuts[i].rank == piece->rank && cuts[i].epoch == piece->epoch) {
            return &cuts[i];
        }
    }
    return NULL;
}

/* How many examples of its piece the rank had trained below the cut. */
static uint64_t trained(const rub_ledger_t *ledger, const rub_ledger_piece_t *piece,
                        const rub_scheduler_cut_t *cut)
{
    if (!cut) { /* gone before the cut; what it had called finished was settled then */
        return piece->state == RUB_LEDGER_FINISHED ? piece->count : 0;
    }
    if (!cut->has_cursor || cut->cursor.epoch < ledger->data_epoch ||
        (cut->cursor.epoch == ledger->data_epoch && cut->cursor.piece < piece->number)) {
        return 0;
    }
    if (cut->cursor.epoch > ledger->data_epoch || cut->cursor.piece > piece->number ||
        RUB_MUTANT(CURSOR_IGNORED)) {
        return piece->count;
    }
    return cut->cursor.done < piece->count ? cut->cursor.done : piece->count;
}

static bool returns(const rub_ledger_t *ledger, const rub_ledger_piece_t *piece)
{
    for (size_t i = 0; i < ledger->n_returns; i++) {
        if (ledger->returns[i].rank == piece->rank && ledger->returns[i].epoch == piece->epoch) {
            return ledger->returns[i].left == 0;
        }
    }
    return false;
}

/* Every piece becomes finished or free; *again_p: examples that come back. */
static void deal_again(rub_ledger_t *ledger, const rub_scheduler_cut_t *cuts, size_t n_cuts,
                       uint64_t *again_p)
{
    *again_p = 0;
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        rub_ledger_piece_t *piece = &ledger->pieces[i];
        if (piece->state == RUB_LEDGER_FREE) {
            continue;
        }
        const rub_scheduler_cut_t *cut = cut_of(cuts, n_cuts, piece);
        /* Of a rank whose end is not settled nobody knows what the shards got: once more is better
         * than never. */
        const uint64_t done = !cut && returns(ledger, piece) ? 0 : trained(ledger, piece, cut);
        piece->first += done;
        piece->count -= done;
        piece->state = piece->count ? RUB_LEDGER_FREE : RUB_LEDGER_FINISHED;
        piece->rank = 0;
        piece->epoch = 0;
        *again_p += piece->count;
    }
    ledger->dealt_again += *again_p;
    ledger->n_returns = 0;
}

static uint64_t trained_in_all(const rub_ledger_t *ledger)
{
    uint64_t trained_examples = ledger->next_first;
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        trained_examples -=
            ledger->pieces[i].state == RUB_LEDGER_FREE ? ledger->pieces[i].count : 0;
    }
    return trained_examples;
}

/* bsp: batch `next` of rank r is r behind the first of its period. place: where the old job itself
 * had been resumed, or zeros. */
static void find_place(const rub_scheduler_t *self, const rub_scheduler_cut_t *cuts, size_t n_cuts,
                       rub_scheduler_place_t *place)
{
    for (size_t i = 0; i < n_cuts; i++) {
        const rub_scheduler_cut_t *cut = &cuts[i];
        place->clock = cut->done > place->clock ? cut->done : place->clock;
        if (!cut->has_cursor) {
            continue;
        }
        const uint64_t batch = self->config.staleness == 0 && cut->cursor.piece >= cut->rank
                                   ? cut->cursor.piece - cut->rank
                                   : 0;
        if (cut->cursor.epoch > place->epoch ||
            (cut->cursor.epoch == place->epoch && batch > place->batch)) {
            place->epoch = cut->cursor.epoch;
            place->batch = batch;
        }
    }
}

/* From the first state, which stood when the cut was fixed: no evaluation of what lies below it
 * came later. */
static int take_judge(rub_scheduler_t *self, const rub_span_t *first, rub_error_t *err)
{
    rub_scheduler_t *old = NULL;
    const int rc = open_state(first, &old, err);
    if (rc == 0) {
        rub_scheduler_judge_restore(self, old);
    }
    rub_scheduler_destroy(&old);
    return rc;
}

/* From the latest state, whatever data epoch the cut is in: tables only come, and a part may hold
 * rows of one that was opened while the snapshot was being taken. */
static int take_tables(rub_scheduler_t *self, const rub_span_t *latest, rub_error_t *err)
{
    rub_scheduler_t *old = NULL;
    const int rc = open_state(latest, &old, err);
    if (rc == 0) {
        self->tables = old->tables;
        self->n_tables = old->n_tables;
        self->tables_capacity = old->tables_capacity;
        old->tables = NULL;
    }
    for (uint32_t i = 0; i < self->n_tables; i++) {
        self->tables[i].version = 1; /* the new job's first view holds them all */
    }
    rub_scheduler_destroy(&old);
    return rc;
}

int rub_scheduler_restore(rub_scheduler_t *self, const rub_span_t *states, uint32_t n_states,
                          const rub_scheduler_cut_t *cuts, size_t n_cuts,
                          rub_scheduler_place_t *place_p, uint64_t *again_p, rub_error_t *err)
{
    RUB_ASSERT(self->generation == 0);
    RUB_ASSERT(self->n_tables == 0);
    rub_scheduler_t *old = NULL;
    int rc = choose(states, n_states, cuts, n_cuts, &old, err);
    rc = rc ? rc : check_same(&self->config, &old->config, err);
    rc = rc ? rc : take_tables(self, &states[n_states - 1], err);
    rc = rc ? rc : take_judge(self, &states[0], err);
    if (rc != 0) {
        rub_scheduler_destroy(&old);
        return rc;
    }
    self->ledger = old->ledger;
    old->ledger.pieces = NULL;
    old->ledger.returns = NULL;
    deal_again(&self->ledger, cuts, n_cuts, again_p);
    memcpy(self->metrics, old->metrics, sizeof self->metrics);
    self->n_metrics = old->n_metrics;
    self->resumed = old->resumed; /* a cut right behind it has no cursors yet */
    find_place(self, cuts, n_cuts, &self->resumed);
    self->resumed.examples = self->ledger.begun ? trained_in_all(&self->ledger) : 0;
    if (self->ledger.begun) {
        self->resumed.epoch = self->ledger.data_epoch;
    }
    *place_p = self->resumed;
    rub_scheduler_destroy(&old);
    return 0;
}
