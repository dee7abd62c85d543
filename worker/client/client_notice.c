/* Sentences: on whom an operation waits, and what people should hear before it becomes an error. It
 * never hangs in silence: a missing shard or a parked pull is named after three seconds, then every
 * ten.
 *
 * rub_fail is used as the formatter: the core has no stdio. */
#include "worker/client/client_internal.h"

#include <string.h>

void rub_client_say(rub_client_t *self, const rub_error_t *line)
{
    if (self->effects.notice) {
        self->effects.notice(self->effects.context, line->message);
    }
}

static double seconds_since(const rub_client_t *self, uint64_t then_ms)
{
    return then_ms < self->now_ms ? (double)(self->now_ms - then_ms) / 1000.0 : 0.0;
}

/* Postponed, and the shard itself is in reach. */
static bool takes_nothing(const rub_link_t *link)
{
    return link->postponed_ms != 0 &&
           (link->state == RUB_LINK_UP || link->state == RUB_LINK_POSTPONED);
}

static const char *postponed_words(int code)
{
    return code == RUB_ENOSPC ? "its disk is full"
           : code == RUB_ELIMIT
               ? "its memory limit is reached until others have ended their periods"
           : code == RUB_ENOTABLE ? "it does not know the table yet"
                                  : rub_error_name(code);
}

void rub_notice_link(const rub_client_t *self, const rub_link_t *link, rub_error_t *line)
{
    if (link->state == RUB_LINK_DOWN) {
        rub_fail(line, 0, "shard %u, which has not come yet", link->shard);
    } else if (takes_nothing(link)) {
        rub_fail(line, 0, "shard %u at %s, which takes no pushes for now: %s", link->shard,
                 link->address, postponed_words(link->postponed));
    } else if (link->heard_ms == 0) {
        rub_fail(line, 0, "shard %u at %s, not heard yet", link->shard, link->address);
    } else {
        rub_fail(line, 0, "shard %u at %s, silent for %.1f s", link->shard, link->address,
                 seconds_since(self, link->heard_ms));
    }
}

static bool out_of_reach(const rub_link_t *link)
{
    return link->state == RUB_LINK_DOWN || link->state == RUB_LINK_HELLO;
}

/* Appends ", n" to a list of numbers in line. */
static void add_number(rub_error_t *line, uint32_t number)
{
    rub_error_t before = *line;
    rub_fail(line, 0, "%s%s%u", before.message, before.message[0] ? ", " : "", number);
}

static void pull_waits_for(const rub_client_t *self, const rub_pull_t *pull, rub_error_t *line)
{
    for (uint32_t i = 0; i < pull->n_routes; i++) {
        const rub_link_t *link = &self->links[pull->routes[i].shard];
        if (out_of_reach(link)) {
            rub_notice_link(self, link, line);
            return;
        }
    }
    if (pull->n_waiting == 0) {
        rub_fail(line, 0, "the answer of shard %u", pull->n_routes ? pull->routes[0].shard : 0);
        return;
    }
    rub_error_t ranks = {0};
    for (uint32_t i = 0; i < pull->n_waiting; i++) {
        add_number(&ranks, pull->waiting_ranks[i]);
    }
    const uint64_t bound = self->view->staleness;
    rub_fail(line, 0, "rank%s %s on shard %u (minimum %llu, needed %llu)",
             pull->n_waiting > 1 ? "s" : "", ranks.message, pull->waiting_shard,
             (unsigned long long)pull->waiting_minimum,
             (unsigned long long)(pull->stamp > bound ? pull->stamp - bound : 0));
}

static void link_waits_for(const rub_client_t *self, const rub_link_t *link, uint64_t target,
                           rub_error_t *line)
{
    if (out_of_reach(link) || takes_nothing(link)) {
        rub_notice_link(self, link, line);
        return;
    }
    rub_fail(line, 0, "shard %u to acknowledge record %llu (it has %llu, %llu on disk)",
             link->shard, (unsigned long long)target, (unsigned long long)link->applied,
             (unsigned long long)link->synced);
}

/* The first shard whose acknowledgement is missing. */
static void stream_waits_for(const rub_client_t *self, const uint64_t *targets, rub_error_t *line)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        const rub_link_t *link = &self->links[i];
        const uint64_t target = targets ? targets[i] : rub_ring_last(&link->ring);
        if (link->acked < target || (!targets && link->ring.n > 0)) {
            link_waits_for(self, link, target, line);
            return;
        }
    }
    rub_fail(line, 0, "nothing");
}

/* A session hears from its scheduler every second, because its lease is answered. */
static bool scheduler_is_silent(const rub_client_t *self, uint64_t for_ms)
{
    return self->joined && self->now_ms - self->scheduler_heard_ms >= for_ms;
}

/* It has just said that it can answer nobody, and why. */
static bool scheduler_is_hindered(const rub_client_t *self)
{
    return self->hindered_ms != 0 && self->now_ms - self->hindered_ms < RUB_NOTICE_FIRST_MS;
}

static void scheduler_silence(const rub_client_t *self, rub_error_t *line)
{
    rub_fail(line, 0, "the scheduler, silent for %.1f s",
             seconds_since(self, self->scheduler_heard_ms));
}

/* The shard whose ring is full; if none is, as for a flush. */
static void room_waits_for(const rub_client_t *self, rub_error_t *line)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        const rub_link_t *link = &self->links[i];
        if (link->ring.used_bytes >= self->config.ring_limit_bytes) {
            link_waits_for(self, link, rub_ring_last(&link->ring), line);
            return;
        }
    }
    stream_waits_for(self, NULL, line);
}

static void join_waits_for(const rub_client_t *self, rub_error_t *line)
{
    if (!self->joined) {
        if (self->last_refusal.message[0]) {
            rub_fail(line, 0, "the scheduler, which says: %s", self->last_refusal.message);
        } else {
            rub_fail(line, 0, "the scheduler, which has not answered");
        }
        return;
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (!self->links[i].welcomed) {
            rub_notice_link(self, &self->links[i], line);
            return;
        }
    }
    rub_fail(line, 0, "the scheduler's view of the job");
}

static void others(const rub_client_t *self, rub_error_t *line)
{
    rub_error_t ranks = {0};
    for (uint32_t i = 0; i < self->view->n_ranks; i++) {
        const rub_rank_view_t *rank = &self->view->ranks[i];
        if (rank->state == RUB_RANK_LIVE && rank->rank != self->rank) {
            add_number(&ranks, rank->rank);
        }
    }
    rub_fail(line, 0, "%s%s", ranks.message[0] ? "the other live ranks: " : "the scheduler",
             ranks.message);
}

void rub_client_waits_for(const rub_client_t *self, rub_handle_t handle, uint64_t now_ms, char *out,
                          size_t out_bytes)
{
    RUB_UNUSED(now_ms);
    rub_error_t line = {0};
    rub_operation_t *op = rub_operation_find(self, handle);
    if (handle == 0 && self->opened) {
        room_waits_for(self, &line);
    } else if (!op) {
        rub_fail(&line, 0, "nothing");
    } else if (op->kind == RUB_OP_PULL) {
        pull_waits_for(self, (const rub_pull_t *)op, &line);
    } else if (rub_client_awaits_loan(self, handle)) {
        rub_fail(&line, 0, "a connection to let go of the array that was lent to it");
    } else if (op->kind == RUB_OP_ACKED) {
        stream_waits_for(self, ((const rub_acked_t *)op)->targets, &line);
    } else if (op->kind == RUB_OP_JOIN) {
        join_waits_for(self, &line);
    } else if (!rub_stream_all_applied(self)) {
        stream_waits_for(self, NULL, &line);
    } else if (scheduler_is_silent(self, RUB_NOTICE_FIRST_MS)) {
        scheduler_silence(self, &line);
    } else if (scheduler_is_hindered(self)) {
        rub_fail(&line, 0, "the scheduler: %s", self->hindrance.message);
    } else if (op->kind == RUB_OP_BARRIER || op->kind == RUB_OP_PIECE) {
        others(self, &line);
    } else {
        rub_fail(&line, 0, "the scheduler%s%s", self->last_refusal.message[0] ? ": " : "",
                 self->last_refusal.message);
    }
    if (out_bytes > 0) {
        const size_t bytes = strnlen(line.message, out_bytes - 1);
        memcpy(out, line.message, bytes);
        out[bytes] = '\0';
    }
}

static bool due(const rub_client_t *self, uint64_t since_ms, uint64_t *noticed_ms)
{
    if (self->now_ms - since_ms < RUB_NOTICE_FIRST_MS ||
        (*noticed_ms != 0 && self->now_ms - *noticed_ms < RUB_NOTICE_EVERY_MS)) {
        return false;
    }
    *noticed_ms = self->now_ms;
    return true;
}

static void notice_pulls(rub_client_t *self)
{
    for (size_t i = self->ops_head; i < self->n_ops; i++) {
        rub_operation_t *op = self->ops[i];
        if (op->kind != RUB_OP_PULL || op->ended) {
            continue;
        }
        rub_pull_t *pull = (rub_pull_t *)op;
        if (due(self, pull->issued_ms, &pull->noticed_ms)) {
            const rub_client_table_t *table = rub_client_find_table(self, pull->table);
            rub_error_t whom, line;
            pull_waits_for(self, pull, &whom);
            rub_fail(&line, 0, "pull of '%s' has waited %.1f s for %s",
                     table ? table->schema->name : "?", seconds_since(self, pull->issued_ms),
                     whom.message);
            rub_client_say(self, &line);
        }
        return; /* the oldest speaks for all */
    }
}

/* Fate sharing: without a scheduler nobody deals data, lets barriers go or ends the job. A tick
 * much later than the one before means that we did not run, or that the caller computed: then
 * nobody's silence is known, and it counts from now. */
static void judge_scheduler(rub_client_t *self)
{
    if (self->now_ms - self->ticked_ms >= RUB_PAUSE_MS) {
        self->scheduler_heard_ms = self->now_ms;
    }
    rub_error_t whom, line;
    scheduler_silence(self, &whom);
    if (self->config.grace_ms > 0 && scheduler_is_silent(self, self->config.grace_ms)) {
        rub_fail(&line, RUB_EPEER, "no word from %s: given up", whom.message);
        rub_client_fail(self, RUB_EPEER, line.message);
    } else if (scheduler_is_silent(self, RUB_NOTICE_FIRST_MS) &&
               due(self, self->scheduler_heard_ms, &self->scheduler_noticed_ms)) {
        rub_fail(&line, 0, "waiting for %s", whom.message);
        rub_client_say(self, &line);
    }
}

void rub_notice_tick(rub_client_t *self)
{
    judge_scheduler(self);
    /* Who is named already explains the rest; who is not yet does not. */
    bool named = scheduler_is_silent(self, RUB_NOTICE_FIRST_MS);
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_link_t *link = &self->links[i];
        if ((out_of_reach(link) && due(self, link->down_ms, &link->noticed_ms)) ||
            (takes_nothing(link) && due(self, link->postponed_ms, &link->postponed_noticed_ms))) {
            rub_error_t whom, line;
            rub_notice_link(self, link, &whom);
            rub_fail(&line, 0, "waiting for %s", whom.message);
            rub_client_say(self, &line);
        }
        named = named || (out_of_reach(link) && link->noticed_ms != 0) ||
                (takes_nothing(link) && link->postponed_noticed_ms != 0);
    }
    if (self->n_pulls_open > 0 && !named) {
        notice_pulls(self);
    }
    if (self->full && !named && due(self, self->full_ms, &self->full_noticed_ms)) {
        rub_error_t whom, line;
        room_waits_for(self, &whom);
        rub_fail(&line, 0, "pushes have waited %.1f s for %s", seconds_since(self, self->full_ms),
                 whom.message);
        rub_client_say(self, &line);
    }
    if (self->active && !named && due(self, self->started_ms, &self->active_noticed_ms)) {
        rub_error_t line;
        char whom[400];
        rub_client_waits_for(self, self->active->handle, self->now_ms, whom, sizeof(whom));
        rub_fail(&line, 0, "waiting for %s", whom);
        rub_client_say(self, &line);
    }
}
