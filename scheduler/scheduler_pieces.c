/* Data leases: each example of a data epoch is given to one rank, and comes back when that rank
 * goes.
 *
 * Pieces are dealt in order; a deal is committed before it is told. A rank's pieces end as
 * *finished* when it says so with its next ask. That word is good as long as the rank lives: a
 * crash may take pushes with it that were still in its rings. So when a rank is evicted, what
 * counts is its cursor at the shards, and the least of them; a rank that left in order has flushed,
 * and its word stands. Pieces come back only when every shard reports a view without the rank
 * (nothing of it can be applied any more), or a lease has passed. What comes back gets a new,
 * greater number, so that (data epoch, piece, done) of one rank only ever rises and cursors can be
 * compared. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

static bool unfinished(const rub_ledger_t *ledger)
{
    if (ledger->next_first < ledger->n_examples || ledger->n_returns) {
        return true;
    }
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        if (ledger->pieces[i].state != RUB_LEDGER_FINISHED) {
            return true;
        }
    }
    return false;
}

bool rub_scheduler_pieces_open(const rub_scheduler_t *self)
{
    return self->ledger.begun && unfinished(&self->ledger);
}

void rub_scheduler_pieces_note_missed(rub_scheduler_t *self)
{
    const rub_ledger_t *ledger = &self->ledger;
    bool wait = false;
    for (uint32_t i = 0; i < self->n_ranks && !wait; i++) {
        wait = self->ranks[i].state == RUB_RANK_LIVE && self->ranks[i].waits;
    }
    for (size_t i = 0; wait && i < ledger->n_pieces; i++) {
        const rub_ledger_piece_t *piece = &ledger->pieces[i];
        if (piece->state == RUB_LEDGER_DEALT && piece->rank < self->n_ranks) {
            self->ranks[piece->rank].missed = true;
        }
    }
}

static void begin_epoch(rub_scheduler_t *self, const rub_piece_ask_t *ask)
{
    rub_ledger_t *ledger = &self->ledger;
    uint64_t least = ask->n_examples / RUB_PIECES_LIMIT + 1; /* bounds the ledger */
    rub_scheduler_snapshot_epoch(self);
    ledger->begun = true;
    ledger->data_epoch = ask->data_epoch;
    ledger->n_examples = ask->n_examples;
    ledger->piece_examples = ask->piece_examples > least ? ask->piece_examples : least;
    ledger->next_first = 0;
    ledger->next_number = 0;
    ledger->n_pieces = 0;
    ledger->changed = true;
    rub_scheduler_remember(self);
}

static void finish_piece(rub_scheduler_t *self, const rub_piece_ask_t *ask)
{
    rub_ledger_t *ledger = &self->ledger;
    if (!ledger->begun || ask->data_epoch != ledger->data_epoch) {
        return;
    }
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        rub_ledger_piece_t *piece = &ledger->pieces[i];
        if (piece->state != RUB_LEDGER_DEALT || piece->rank != ask->rank ||
            piece->epoch != ask->epoch) {
            continue;
        }
        /* One thread works on one piece: what it holds besides, it has lost sight of. */
        piece->state = RUB_LEDGER_FINISHED;
        if (piece->number != ask->finished_piece) {
            piece->state = RUB_LEDGER_FREE;
            ledger->dealt_again += piece->count;
            rub_scheduler_notice(self,
                                 "rank %u asked (request %llu) without finishing piece %llu: its "
                                 "%llu examples will be dealt again",
                                 ask->rank, (unsigned long long)ask->request,
                                 (unsigned long long)piece->number,
                                 (unsigned long long)piece->count);
        }
        ledger->changed = true;
        rub_scheduler_remember(self);
    }
}

/* The piece to deal next; NULL: all of them are dealt. */
static rub_ledger_piece_t *next_piece(rub_scheduler_t *self)
{
    rub_ledger_t *ledger = &self->ledger;
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        if (ledger->pieces[i].state == RUB_LEDGER_FREE) {
            ledger->pieces[i].number = ledger->next_number++;
            return &ledger->pieces[i];
        }
    }
    if (ledger->next_first >= ledger->n_examples) {
        return NULL;
    }
    if (rub_grow(&ledger->pieces, &ledger->pieces_capacity, ledger->n_pieces + 1,
                 sizeof *ledger->pieces) < 0) {
        self->fatal = RUB_ENOMEM;
        return NULL;
    }
    uint64_t left = ledger->n_examples - ledger->next_first;
    rub_ledger_piece_t *piece = &ledger->pieces[ledger->n_pieces++];
    *piece = (rub_ledger_piece_t){.number = ledger->next_number++,
                                  .first = ledger->next_first,
                                  .count = left < ledger->piece_examples ? left
                                                                         : ledger->piece_examples};
    ledger->next_first += piece->count;
    return piece;
}

static void deal(rub_scheduler_t *self, const rub_piece_ask_t *ask, rub_dealt_t *dealt)
{
    rub_ledger_t *ledger = &self->ledger;
    *dealt = (rub_dealt_t){
        .request = ask->request, .kind = RUB_DEAL_WAIT, .data_epoch = ask->data_epoch};
    if (self->state != RUB_JOB_RUNNING) {
        return; /* until all are here: who starts first shall not take everything */
    }
    if (!ledger->begun || (ask->data_epoch > ledger->data_epoch && !unfinished(ledger))) {
        begin_epoch(self, ask);
    }
    if (ask->data_epoch > ledger->data_epoch) {
        return;
    }
    if (ask->data_epoch < ledger->data_epoch || !unfinished(ledger)) {
        dealt->kind = RUB_DEAL_END;
        dealt->data_epoch = ledger->data_epoch; /* a late joiner learns where the others are */
        return;
    }
    rub_ledger_piece_t *piece = next_piece(self);
    if (piece) {
        piece->state = RUB_LEDGER_DEALT;
        piece->rank = ask->rank;
        piece->epoch = ask->epoch;
        dealt->kind = RUB_DEAL_PIECE;
        dealt->number = piece->number;
        dealt->first = piece->first;
        dealt->count = piece->count;
    }
}

/* again: it waits already, and need not hear that it still does. */
static void answer(rub_scheduler_t *self, rub_caller_t to, rub_rank_entry_t *rank,
                   const rub_piece_ask_t *ask, bool again)
{
    rub_control_t reply = {.type = RUB_MSG_PIECE};
    deal(self, ask, &reply.dealt);
    rank->waits = reply.dealt.kind == RUB_DEAL_WAIT;
    if (!rank->waits) {
        rank->was_dealt = true;
        rank->dealt = reply.dealt;
        if (!RUB_MUTANT(DEAL_UNSAVED)) {
            rub_scheduler_remember(self);
        }
    }
    if (!rank->waits || !again) {
        rub_scheduler_say(self, to, &reply);
    }
}

static bool refuse_data(rub_scheduler_t *self, rub_caller_t from, const rub_piece_ask_t *ask)
{
    const rub_ledger_t *ledger = &self->ledger;
    if (!ledger->begun || ask->data_epoch != ledger->data_epoch ||
        ask->n_examples == ledger->n_examples) {
        return false;
    }
    rub_error_t err = {0};
    rub_fail(&err, RUB_EDATA, "data epoch %llu has %llu examples, rank %u has %llu",
             (unsigned long long)ledger->data_epoch, (unsigned long long)ledger->n_examples,
             ask->rank, (unsigned long long)ask->n_examples);
    rub_scheduler_refuse(self, from, RUB_MSG_PIECE_ASK, &err, true);
    return true;
}

void rub_scheduler_piece(rub_scheduler_t *self, rub_caller_t from, const rub_piece_ask_t *ask)
{
    if (rub_scheduler_over(self)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_PIECE_ASK);
        return;
    }
    rub_rank_entry_t *rank =
        rub_scheduler_member(self, from, RUB_MSG_PIECE_ASK, ask->rank, ask->epoch);
    if (!rank || refuse_data(self, from, ask)) {
        return;
    }
    if (rank->was_dealt && ask->request <= rank->dealt.request) {
        if (ask->request == rank->dealt.request) {
            const rub_control_t reply = {.type = RUB_MSG_PIECE, .dealt = rank->dealt};
            rub_scheduler_say(self, from, &reply);
        }
        return;
    }
    finish_piece(self, ask);
    rank->ask = *ask;
    rank->ask_caller = from;
    answer(self, from, rank, ask, false);
}

void rub_scheduler_pieces_return(rub_scheduler_t *self, uint32_t rank, uint32_t epoch, bool left)
{
    rub_ledger_t *ledger = &self->ledger;
    bool holds = false;
    for (size_t i = 0; ledger->begun && i < ledger->n_pieces && !holds; i++) {
        const rub_ledger_piece_t *piece = &ledger->pieces[i];
        /* Who leaves in order has nothing to look into but what it had begun. */
        holds =
            piece->rank == rank && piece->epoch == epoch &&
            (piece->state == RUB_LEDGER_DEALT || (piece->state == RUB_LEDGER_FINISHED && !left));
    }
    if (!holds) {
        return;
    }
    if (rub_grow(&ledger->returns, &ledger->returns_capacity, ledger->n_returns + 1,
                 sizeof *ledger->returns) < 0) {
        self->fatal = RUB_ENOMEM;
        return;
    }
    ledger->returns[ledger->n_returns++] = (rub_return_t){.rank = rank,
                                                          .epoch = epoch,
                                                          .left = left ? 1u : 0u,
                                                          .version = self->version + 1,
                                                          .since_ms = self->now_ms};
}

static bool cursor_before(const rub_cursor_t *a, const rub_cursor_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch;
    }
    return a->piece != b->piece ? a->piece < b->piece : a->done < b->done;
}

/* The least cursor over the shards. False: no shard has one, so the program does not use cursors. A
 * shard without one while others have one has applied no period yet. */
static bool least_cursor(const rub_scheduler_t *self, const rub_return_t *back, rub_cursor_t *least)
{
    bool any = false;
    *least = (rub_cursor_t){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        const rub_rank_report_t *report =
            rub_scheduler_report_of(&self->shards[i], back->rank, back->epoch);
        rub_cursor_t cursor = {0, 0, 0};
        if (report && report->cursor_bytes == sizeof cursor) {
            cursor = (rub_cursor_t){rub_get_u64(report->cursor), rub_get_u64(report->cursor + 8),
                                    rub_get_u64(report->cursor + 16)};
            any = true;
        }
        if (cursor_before(&cursor, least)) {
            *least = cursor;
        }
    }
    return any;
}

/* How many examples of the piece every shard has surely got. */
static uint64_t covered(const rub_ledger_t *ledger, const rub_ledger_piece_t *piece,
                        const rub_cursor_t *least)
{
    if (least->epoch != ledger->data_epoch) {
        return least->epoch > ledger->data_epoch ? piece->count : 0;
    }
    if (least->piece != piece->number) {
        return least->piece > piece->number ? piece->count : 0;
    }
    return least->done < piece->count ? least->done : piece->count;
}

static void take_back(rub_scheduler_t *self, const rub_return_t *back)
{
    rub_ledger_t *ledger = &self->ledger;
    rub_cursor_t least;
    bool known = least_cursor(self, back, &least);
    uint64_t again = 0;
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        rub_ledger_piece_t *piece = &ledger->pieces[i];
        if (piece->rank != back->rank || piece->epoch != back->epoch ||
            piece->state == RUB_LEDGER_FREE ||
            (piece->state == RUB_LEDGER_FINISHED && (back->left || !known))) {
            continue;
        }
        uint64_t done = known ? covered(ledger, piece, &least) : 0;
        piece->first += done;
        piece->count -= done;
        piece->state = piece->count ? RUB_LEDGER_FREE : RUB_LEDGER_FINISHED;
        again += piece->count;
    }
    ledger->dealt_again += again;
    ledger->changed = true;
    rub_scheduler_remember(self);
    if (again) {
        rub_scheduler_notice(self,
                             "%llu examples of rank %u (epoch %u) will be dealt again; a period "
                             "that was under way may count twice on some shards",
                             (unsigned long long)again, back->rank, back->epoch);
    }
}

static bool is_final(const rub_scheduler_t *self, const rub_return_t *back)
{
    if (rub_scheduler_since(self, back->since_ms) >= self->config.lease_ms) {
        return true;
    }
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (!self->shards[i].has_report || self->shards[i].report_version < back->version) {
            return false;
        }
    }
    return true;
}

void rub_scheduler_pieces_takeover(rub_scheduler_t *self, uint32_t rank)
{
    rub_ledger_t *ledger = &self->ledger;
    for (size_t i = 0; i < ledger->n_returns;) {
        if (ledger->returns[i].rank == rank) {
            take_back(self, &ledger->returns[i]);
            ledger->returns[i] = ledger->returns[--ledger->n_returns];
        } else {
            i++;
        }
    }
}

void rub_scheduler_pieces_settle(rub_scheduler_t *self)
{
    rub_ledger_t *ledger = &self->ledger;
    for (size_t i = 0; i < ledger->n_returns;) {
        if (is_final(self, &ledger->returns[i])) {
            take_back(self, &ledger->returns[i]);
            ledger->returns[i] = ledger->returns[--ledger->n_returns];
        } else {
            i++;
        }
    }
    /* Answering one may begin a data epoch that another waits for: twice around is enough, asking
     * again mends the rest. */
    for (int turn = 0; turn < 2 && ledger->changed; turn++) {
        ledger->changed = false;
        uint64_t in_vain = UINT64_MAX; /* the data epoch that one asked for and still waits */
        for (uint32_t i = 0; i < self->n_ranks && !rub_scheduler_over(self); i++) {
            rub_rank_entry_t *rank = &self->ranks[i];
            /* What one does not get the next one would not: at a data epoch's end all wait. */
            if (rank->waits && rank->state == RUB_RANK_LIVE && rank->ask.data_epoch != in_vain) {
                answer(self, rank->ask_caller, rank, &rank->ask, true);
                in_vain = rank->waits ? rank->ask.data_epoch : in_vain;
            }
        }
    }
}
