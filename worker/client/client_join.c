/* Getting a place in the job, and keeping the picture of it. JOIN is repeated under the same nonce
 * until JOINED or a final refusal; then the scheduler pushes whole views, and the newest is the
 * truth: addresses make connections, a newer epoch of our rank or GONE ends the session, a failed
 * job ends it too.
 *
 * A trainer that joins late starts at J, the greatest of the minima at which the shards have pinned
 * it, and says CLOCK(J) first on every shard, so that no minimum ever falls (design, section 4: who
 * is counted). */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "common/wire/table_schema.h"
#include "worker/client/client_internal.h"

#include <string.h>

enum { STEP_JOIN, STEP_VIEW, STEP_WELCOMES };

static void send_join(rub_client_t *self)
{
    rub_control_t message = {.type = RUB_MSG_JOIN};
    memcpy(message.join.nonce, self->config.nonce, sizeof(self->config.nonce));
    message.join.nonce_bytes = sizeof(self->config.nonce);
    message.join.role = (uint32_t)self->config.role;
    message.join.wanted_rank = self->config.rank < 0 ? UINT32_MAX : (uint32_t)self->config.rank;
    memcpy(message.join.who, self->config.who, sizeof(message.join.who) - 1);
    self->effects.control(self->effects.context, &message);
}

int rub_client_join(rub_client_t *self, uint64_t now_ms, rub_handle_t *handle_p, rub_error_t *err)
{
    if (self->failure) {
        return rub_client_failure(self, err);
    }
    if (self->joined) {
        return rub_fail(err, RUB_EINVAL, "session has joined already");
    }
    if (now_ms > self->now_ms) {
        self->now_ms = now_ms;
    }
    const int rc = rub_operation_start(self, RUB_OP_JOIN, handle_p, err);
    rub_operation_advance(self);
    return rc;
}

void rub_join_joined(rub_client_t *self, const rub_joined_t *joined)
{
    if (self->joined) {
        return; /* the answer to a repeated JOIN */
    }
    self->joined = true;
    self->job = joined->job;
    self->generation = joined->generation;
    self->rank = joined->rank;
    self->epoch = joined->epoch;
    self->lease_ms = joined->lease_ms;
}

void rub_join_refused(rub_client_t *self, const rub_refused_t *refused)
{
    const int code = refused->code > 0 && refused->code < 1000 ? -(int)refused->code : RUB_EREFUSED;
    if (self->joined && !refused->final && refused->request == RUB_MSG_LEASE) {
        /* No answer to anything: it must not outlive its cause as one. */
        rub_fail(&self->hindrance, code, "%s", refused->sentence);
        self->hindered_ms = self->now_ms ? self->now_ms : 1;
        return;
    }
    rub_fail(&self->last_refusal, code, "%s", refused->sentence);
    static const uint32_t ANSWERS[] = {
        [RUB_OP_JOIN] = RUB_MSG_JOIN,       [RUB_OP_TABLE] = RUB_MSG_TABLE,
        [RUB_OP_BARRIER] = RUB_MSG_BARRIER, [RUB_OP_PIECE] = RUB_MSG_PIECE_ASK,
        [RUB_OP_LEAVE] = RUB_MSG_LEAVE,
    };
    rub_operation_t *op = self->active;
    if (!refused->final) {
        return;
    }
    if (self->joined && refused->request == RUB_MSG_JOIN) {
        /* JOIN said again, only to be known: whoever is refused now has no place in the job. But
         * who has finished and was given up before its LEAVE came has not left: nobody knows that
         * its work is done. (Who is done is answered by LEFT.) */
        const bool given_up = code == RUB_EFENCED || code == RUB_EHELD;
        if (self->leaving && !(self->leave_done && given_up)) {
            self->left = true;
        } else {
            rub_client_fail(self, code, refused->sentence);
        }
        return;
    }
    if (op && ANSWERS[op->kind] == refused->request) {
        rub_operation_end(self, op, code, refused->sentence);
    }
}

/* Links are made once: the number of shards is fixed for the life of a job. */
static int make_links(rub_client_t *self, uint32_t n)
{
    rub_link_t *links = rub_calloc(n, sizeof(*links));
    if (!links) {
        return RUB_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        links[i].shard = i;
        links[i].ring.base = 1;
        links[i].request_base = 1;
        links[i].window = RUB_WINDOW_FIRST_BYTES;
        links[i].down_ms = self->now_ms;
    }
    self->links = links;
    self->n_links = n;
    return 0;
}

static int index_tables(rub_client_t *self, const rub_view_t *view, rub_error_t *err)
{
    if (rub_grow(&self->tables, &self->table_capacity, view->n_tables, sizeof(*self->tables))) {
        return rub_fail(err, RUB_ENOMEM, "view: memory is short");
    }
    for (uint32_t i = 0; i < view->n_tables; i++) {
        const rub_table_view_t *schema = &view->tables[i];
        if (schema->kind == RUB_HASHED && (schema->width < 1 || schema->width > RUB_WIDTH_LIMIT)) {
            return rub_fail(err, RUB_EPROTO, "view: table '%s' has width %u", schema->name,
                            schema->width);
        }
        self->tables[i].schema = schema;
        const int rc = rub_placement_init(&self->tables[i].placement, schema, self->n_links, err);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static void judge_rank(rub_client_t *self)
{
    if (self->config.role == RUB_READER) {
        return;
    }
    for (uint32_t i = 0; i < self->view->n_ranks; i++) {
        const rub_rank_view_t *rank = &self->view->ranks[i];
        if (rank->rank != self->rank || rank->epoch < self->epoch) {
            continue;
        }
        if (rank->epoch == self->epoch && rank->state == RUB_RANK_LIVE) {
            continue;
        }
        /* Our own leaving is seen here too, perhaps before LEFT arrives. But who has finished and
         * is GONE was given up before its LEAVE came: nobody knows that its work is done. */
        const bool as_asked =
            !self->leave_done || (rank->epoch == self->epoch && rank->state == RUB_RANK_DONE);
        if (self->leaving && as_asked && self->active && self->active->kind == RUB_OP_LEAVE) {
            self->left = true;
            continue;
        }
        rub_error_t line;
        rub_fail(&line, RUB_EFENCED, "rank %u epoch %u is over: the scheduler has given it up",
                 self->rank, self->epoch);
        rub_client_fail(self, RUB_EFENCED, line.message);
    }
}

static void judge_job(rub_client_t *self)
{
    const uint32_t state = self->view->state;
    if (state != RUB_JOB_DONE && state != RUB_JOB_FAILED) {
        return;
    }
    if (self->leaving) {
        self->left = true;
        return;
    }
    if (state == RUB_JOB_DONE) {
        rub_client_fail(self, RUB_EREFUSED, "the job is over");
        return;
    }
    /* Whoever only met the end of a job goes on with "try again" when a peer was missing; another
     * rank's own trouble is not this one's. */
    const int code = self->view->code == (uint64_t)-RUB_EPEER ? RUB_EPEER : RUB_EREFUSED;
    rub_error_t line;
    rub_fail(&line, code, "the job has failed%s%s", self->view->reason[0] ? ": " : "",
             self->view->reason);
    rub_client_fail(self, code, line.message);
}

static void connect_shards(rub_client_t *self)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        const rub_shard_view_t *shard = &self->view->shards[i];
        rub_link_t *link = &self->links[i];
        if (shard->address[0] == '\0') {
            continue;
        }
        if (strcmp(shard->address, link->address) != 0) {
            rub_link_connect(self, link, shard->address);
        } else if (link->state == RUB_LINK_UP && shard->incarnation > link->incarnation) {
            link->lost_connection = true;
            rub_link_hello(self, link); /* the same place, another process */
        }
    }
}

void rub_join_view(rub_client_t *self, const rub_view_t *view)
{
    if (!self->joined || view->job != self->job) {
        return;
    }
    const bool newer = !self->view || view->version > self->view->version ||
                       view->generation > self->view->generation;
    if (!newer || (self->view && view->generation < self->view->generation)) {
        rub_kept_acknowledge(self, view->generation, view->version);
        return;
    }
    rub_error_t line;
    if (view->n_shards < 1 || view->n_shards > RUB_SHARDS_LIMIT ||
        (self->n_links && view->n_shards != self->n_links)) {
        rub_fail(&line, RUB_EPROTO, "view: %u shards, expected %u", view->n_shards, self->n_links);
        rub_client_fail(self, RUB_EPROTO, line.message);
        return;
    }
    int rc = rub_table_check_view(self, view, &line);
    if (rc) {
        rub_client_fail(self, rc, line.message);
        return;
    }
    rub_arena_t *arena = &self->view_arenas[1 - self->view_arena];
    rub_arena_reset(arena);
    rub_view_t *copy = rub_view_copy(view, arena);
    if (!copy || (!self->links && make_links(self, view->n_shards))) {
        return; /* not acknowledged: it comes again */
    }
    rc = index_tables(self, copy, &line);
    if (rc) {
        rub_client_fail(self, rc, line.message);
        return;
    }
    rub_caches_view(self, self->view, copy);
    self->view = copy;
    self->view_arena = 1 - self->view_arena;
    self->generation = view->generation;
    rub_kept_acknowledge(self, view->generation, view->version);
    judge_rank(self);
    judge_job(self);
    if (!self->failure) {
        connect_shards(self);
    }
}

void rub_join_lease(rub_client_t *self, const rub_lease_ok_t *lease)
{
    if (self->config.role == RUB_TRAINER && lease->state == RUB_RANK_GONE && !self->leaving) {
        rub_error_t line;
        rub_fail(&line, RUB_EFENCED, "rank %u epoch %u was evicted: its lease ran out", self->rank,
                 self->epoch);
        rub_client_fail(self, RUB_EFENCED, line.message);
        return;
    }
    self->rumoured_version = lease->version;
    self->rumoured_generation = lease->generation;
}

/* A scheduler remembers its trainers, and after a restart hears of them by their leases; of readers
 * it knows nothing. A reader that asks is told the view's number, so that it misses neither a
 * change nor the job's end, and knows that the scheduler lives. */
static void ask_for_news(rub_client_t *self)
{
    const rub_control_t message = {.type = RUB_MSG_LEASE,
                                   .lease = {.job = self->job, .rank = UINT32_MAX}};
    if (self->config.role == RUB_READER &&
        self->now_ms - self->reader_asked_ms >= RUB_READER_ASKS_MS) {
        self->reader_asked_ms = self->now_ms;
        self->effects.control(self->effects.context, &message);
    }
}

/* The scheduler pushes the view by itself to those it knows. It may have been restarted and know
 * nobody, or the view may have been lost with a connection: while a shard is out of reach, or a
 * newer view is rumoured, JOIN (same nonce, same answer) makes us known and VIEW_ACK of version 0
 * says that we have none. */
void rub_join_tick(rub_client_t *self)
{
    if (!self->joined) {
        return;
    }
    ask_for_news(self);
    bool wanted = !self->view || self->rumoured_version > self->view->version ||
                  self->rumoured_generation > self->view->generation;
    for (uint32_t i = 0; i < self->n_links && !wanted; i++) {
        const rub_link_t *link = &self->links[i];
        wanted = (link->state == RUB_LINK_DOWN || link->state == RUB_LINK_HELLO) &&
                 self->now_ms - link->down_ms >= RUB_SILENCE_MS;
    }
    if (!wanted) {
        self->view_asked_ms = self->now_ms;
    } else if (self->now_ms - self->view_asked_ms >= RUB_VIEW_EVERY_MS) {
        self->view_asked_ms = self->now_ms;
        send_join(self);
        rub_kept_acknowledge(self, 0, 0);
    }
}

static bool all_welcomed(const rub_client_t *self)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (!self->links[i].welcomed) {
            return false;
        }
    }
    return true;
}

void rub_join_advance(rub_client_t *self)
{
    if (self->step == STEP_JOIN) {
        if (!self->joined) {
            if (rub_operation_due(self, RUB_JOIN_EVERY_MS)) {
                send_join(self);
            }
            return;
        }
        rub_operation_step(self, STEP_VIEW);
    }
    if (self->step == STEP_VIEW) {
        if (!self->view) {
            return;
        }
        rub_operation_step(self, STEP_WELCOMES);
    }
    if (!all_welcomed(self)) {
        return;
    }
    self->opened = true;
    const uint64_t start =
        RUB_MUTANT(JOINER_LOCAL) ? self->links[0].done : rub_stream_maximum(self);
    if (self->config.role == RUB_TRAINER && start > 0 && rub_stream_catch_up(self, start, true)) {
        rub_client_no_memory(self);
        return;
    }
    rub_operation_end(self, self->active, 0, NULL);
}
