/* The scheduler's door: its life, and which duty a message goes to.
 *
 * A message can do nothing before start, and nothing a peer sends is fatal: a duty refuses or
 * ignores it. What is fatal is our own: no memory, or a state that could not be committed. After
 * that the caller must stop, because decisions may have been taken that nobody will remember. */
#include "scheduler/scheduler.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

rub_scheduler_t *rub_scheduler_new(const rub_scheduler_config_t *config,
                                   const rub_scheduler_effects_t *effects)
{
    RUB_ASSERT(config->n_workers > 0);
    RUB_ASSERT(config->n_shards > 0);
    rub_scheduler_t *self = rub_calloc(1, sizeof *self);
    if (!self) {
        return NULL;
    }
    self->config = *config;
    self->effects = *effects;
    self->job = config->job;
    self->state = RUB_JOB_GATHERING;
    self->alone_ms = UINT64_MAX;
    self->shards = rub_calloc(config->n_shards, sizeof *self->shards);
    if (!self->shards) {
        rub_scheduler_destroy(&self);
    }
    return self;
}

void rub_scheduler_destroy(rub_scheduler_t **self_p)
{
    rub_scheduler_t *self = *self_p;
    if (!self) {
        return;
    }
    for (uint32_t i = 0; self->shards && i < self->config.n_shards; i++) {
        rub_free(self->shards[i].reports);
        rub_free(self->shards[i].waited_from_ms);
    }
    rub_scheduler_snapshot_fini(self);
    rub_free(self->shards);
    rub_free(self->ranks);
    rub_free(self->readers);
    rub_free(self->tables);
    rub_free(self->waiters);
    rub_free(self->ledger.pieces);
    rub_free(self->ledger.returns);
    rub_free(self->replies);
    rub_free(self->view.ranks);
    rub_free(self->view.tables);
    rub_free(self->view.shards);
    rub_free(self);
    *self_p = NULL;
}

int rub_scheduler_start(rub_scheduler_t *self, uint64_t now_ms)
{
    self->now_ms = now_ms;
    self->generation++;
    self->started_ms = now_ms;
    self->running_from_ms = now_ms; /* of a job that goes on */
    self->stepped_ms = now_ms;
    self->gathering_ms = now_ms;
    self->floor_ms = RUB_MUTANT(LEASE_KEPT) ? 0 : now_ms;
    self->final_ms = now_ms;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        self->shards[i].heard_ms = now_ms;
        self->shards[i].floor_ms = RUB_MUTANT(LEASE_KEPT) ? 0 : now_ms;
    }
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        self->ranks[i].heard_ms = self->ranks[i].held && !RUB_MUTANT(LEASE_KEPT) ? now_ms : 0;
        self->ranks[i].joined_ms = RUB_MUTANT(LEASE_KEPT) ? 0 : now_ms;
    }
    for (size_t i = 0; i < self->ledger.n_returns; i++) {
        self->ledger.returns[i].since_ms = now_ms;
        self->ledger.returns[i].version = self->version + 1;
    }
    int rc = rub_scheduler_first_ranks(self);
    if (rc < 0) {
        return rc;
    }
    rub_scheduler_snapshot_start(self);
    /* A new generation is a new view even when nothing else has changed. */
    rub_scheduler_change(self);
    return rub_scheduler_settle(self);
}

static void dispatch(rub_scheduler_t *self, rub_caller_t from, const rub_control_t *message)
{
    switch (message->type) {
    case RUB_MSG_JOIN:
        rub_scheduler_join(self, from, &message->join);
        break;
    case RUB_MSG_VIEW_ACK:
        rub_scheduler_view_ack(self, from, &message->view_ack);
        break;
    case RUB_MSG_LEASE:
        rub_scheduler_lease(self, from, &message->lease);
        break;
    case RUB_MSG_TABLE:
        rub_scheduler_table(self, from, &message->table_ask);
        break;
    case RUB_MSG_PIECE_ASK:
        rub_scheduler_piece(self, from, &message->piece_ask);
        break;
    case RUB_MSG_BARRIER:
        rub_scheduler_barrier(self, from, &message->barrier);
        break;
    case RUB_MSG_RESUMED:
        rub_scheduler_resumed(self, from, &message->resumed);
        break;
    case RUB_MSG_LEAVE:
        rub_scheduler_leave(self, from, &message->leave);
        break;
    case RUB_MSG_METRIC:
        rub_scheduler_metric(self, &message->metric);
        break;
    case RUB_MSG_REGISTER:
        rub_scheduler_register(self, from, &message->register_shard);
        break;
    case RUB_MSG_REPORT:
        rub_scheduler_report(self, from, &message->report);
        break;
    case RUB_MSG_FINISHED:
        rub_scheduler_finished(self, from, &message->finished);
        break;
    case RUB_MSG_SNAPSHOT_ASK:
        rub_scheduler_snapshot_ask(self, from, &message->snapshot_ask);
        break;
    case RUB_MSG_PINNED:
        rub_scheduler_pinned(self, from, &message->pinned);
        break;
    case RUB_MSG_FOLDED:
        rub_scheduler_folded(self, from, &message->folded);
        break;
    case RUB_MSG_UNFOLDED:
        rub_scheduler_unfolded(self, from, &message->unfolded);
        break;
    case RUB_MSG_STATUS_ASK:
        rub_scheduler_status(self, from, &message->status_ask);
        break;
    case RUB_MSG_DEAD:
        rub_scheduler_dead(self, &message->dead);
        break;
    case RUB_MSG_STOP:
        rub_scheduler_stop(self, &message->stop);
        break;
    default:
        rub_scheduler_complain(self, from, "dropped a %s: it is not for a scheduler",
                               rub_message_name(message->type));
    }
}

/* This process stood still: everybody else may have talked to a wall for as long. Time that nobody
 * could use does not count against anybody. */
static void forgive_pause(rub_scheduler_t *self, uint64_t pause_ms)
{
    rub_scheduler_notice(self, "was paused for %llu ms: every lease starts afresh",
                         (unsigned long long)pause_ms);
    self->floor_ms = self->now_ms;
    self->gathering_ms += pause_ms;
    if (self->alone_ms != UINT64_MAX) {
        self->alone_ms += pause_ms;
    }
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        self->shards[i].floor_ms = self->now_ms;
    }
    for (size_t i = 0; i < self->ledger.n_returns; i++) {
        self->ledger.returns[i].since_ms += pause_ms;
    }
}

/* What comes first behind a pause may be a message as well as a tick. */
static void begin_step(rub_scheduler_t *self, uint64_t now_ms)
{
    RUB_ASSERT(self->generation > 0);
    self->now_ms = now_ms;
    const uint64_t between_ms = rub_scheduler_since(self, self->stepped_ms);
    self->stepped_ms = now_ms;
    self->quiet = false;
    if (between_ms > RUB_PAUSE_MS && between_ms > self->config.lease_ms / 2) {
        forgive_pause(self, between_ms);
    }
}

int rub_scheduler_receive(rub_scheduler_t *self, rub_caller_t from, const rub_control_t *message,
                          uint64_t now_ms)
{
    begin_step(self, now_ms);
    dispatch(self, from, message);
    return rub_scheduler_settle(self);
}

int rub_scheduler_tick(rub_scheduler_t *self, uint64_t now_ms)
{
    begin_step(self, now_ms);
    rub_scheduler_watch(self);
    rub_scheduler_say_waits(self);
    return rub_scheduler_settle(self);
}

static void say_hindered(const rub_scheduler_t *self, rub_caller_t to, const rub_control_t *message)
{
    if (to != 0) {
        self->effects.send(self->effects.context, to, message);
    }
}

void rub_scheduler_say_hindered(const rub_scheduler_t *self, int code, const char *sentence)
{
    rub_control_t message = {.type = RUB_MSG_REFUSED,
                             .refused = {.request = RUB_MSG_LEASE, .code = (uint64_t)-code}};
    const size_t length = strnlen(sentence, sizeof(message.refused.sentence) - 1);
    memcpy(message.refused.sentence, sentence, length);
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        say_hindered(self, self->ranks[i].audience.caller, &message);
    }
    for (uint32_t i = 0; i < self->n_readers; i++) {
        say_hindered(self, self->readers[i].audience.caller, &message);
    }
}

uint32_t rub_scheduler_state(const rub_scheduler_t *self)
{
    return self->state;
}

int rub_scheduler_failure(const rub_scheduler_t *self, const char **sentence_p)
{
    if (sentence_p) {
        *sentence_p = self->sentence;
    }
    return self->failure;
}

const rub_view_t *rub_scheduler_view(const rub_scheduler_t *self)
{
    return &self->view;
}
