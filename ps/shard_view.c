/* The scheduler's whole picture of the job, taken as a record: ranks come and go exactly where the
 * VIEW stands in the journal, so that a replay pins the same joiners at the same minimum.
 *
 * A lower generation or version is ignored (an old scheduler learns from our REGISTER which
 * generation there is); the same one is acknowledged again; a VIEW that the journal has no room for
 * is not acknowledged, and comes again. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

static void take_table(rub_shard_t *self, const rub_view_t *view, const rub_table_view_t *schema)
{
    if (schema->id == 0 || schema->id >= RUB_TABLES_LIMIT) {
        RUB_SHARD_NOTICE(self, "table '%s' has number %u, limit %u: ignored", schema->name,
                         schema->id, RUB_TABLES_LIMIT - 1);
        return;
    }
    const size_t want = (size_t)schema->id + 1;
    if (rub_grow(&self->tables, &self->tables_capacity, want, sizeof(rub_ptable_t *)) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    while (self->n_tables < want) {
        self->tables[self->n_tables++] = NULL;
    }
    rub_error_t err = {0};
    rub_ptable_t **table_p = &self->tables[schema->id];
    int rc;
    if (*table_p) {
        rc = rub_ptable_set_hyper(*table_p, schema, &err);
    } else {
        rc = rub_ptable_new(schema, view->seed, self->config.shard, self->config.n_shards, table_p,
                            &err);
        if (rc == 0) {
            rub_ptable_set_recovering(*table_p, !self->opened);
            self->evicts = self->evicts || rub_ptable_evicts(*table_p);
            self->tables_bytes += rub_ptable_memory_bytes(*table_p);
        }
    }
    if (rc == RUB_ENOMEM) {
        rub_shard_fail(self, rc);
    } else if (rc != 0) {
        RUB_SHARD_NOTICE(self, "table '%s' of the view: %s", schema->name, err.message);
    }
}

void rub_shard_take_job(rub_shard_t *self, const rub_view_t *view, const void *encoded,
                        size_t n_bytes)
{
    if (!self->has_view) {
        rub_staleness_set_bound(self->gate, view->staleness); /* for the life of the job */
        self->seed = view->seed;
        self->reduce = view->reduce;
        self->n_workers = view->n_workers;
    }
    self->has_view = true;
    self->job = view->job;
    self->generation = view->generation;
    self->version = view->version;
    rub_buf_reset(&self->view);
    rub_buf_append(&self->view, encoded, n_bytes);
    if (self->view.failed) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < view->n_tables && self->failure == 0; i++) {
        take_table(self, view, &view->tables[i]);
    }
}

/* An epoch has ended: nobody waits for it, nobody hears it, and what it had not finished is not
 * folded. */
static void epoch_is_over(void *context, const rub_member_t *over)
{
    rub_shard_t *self = context;
    rub_staleness_uncount(self->gate, over->rank);
    rub_periods_drop(self->periods, over->rank, over->epoch, over->done);
    rub_member_t *member = rub_members_find(&self->members, over->rank);
    if (member->bound && !RUB_MUTANT(FENCE_FORGOTTEN)) {
        rub_link_t *link = rub_links_find(&self->links, member->peer);
        RUB_ASSERT(link);
        rub_shard_fence(self, link->peer, over->rank, over->epoch);
        rub_shard_unbind(self, link);
    }
    rub_shard_end_postponement(self, member);
}

void rub_shard_apply_view(rub_shard_t *self, const rub_view_t *view, const void *encoded,
                          size_t n_bytes)
{
    self->bound_lsn = self->has_view ? self->bound_lsn : self->lsn;
    rub_shard_take_job(self, view, encoded, n_bytes);
    if (self->failure != 0) {
        return;
    }
    if (rub_members_take_view(&self->members, view, self->lsn, epoch_is_over, self) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    for (size_t i = 0; i < self->members.n; i++) {
        rub_shard_recount(self, &self->members.items[i]);
    }
    rub_shard_changed_counts(self);
}

bool rub_shard_is_bound(const rub_shard_t *self)
{
    return !rub_shard_is_durable(self) || self->synced_lsn >= self->bound_lsn;
}

static void acknowledge(rub_shard_t *self)
{
    self->view_ack_owed = !rub_shard_is_bound(self);
    if (self->view_ack_owed) {
        rub_shard_want_sync(self, false);
        return;
    }
    const rub_control_t answer = {
        .type = RUB_MSG_VIEW_ACK,
        .view_ack = {.generation = self->generation, .version = self->version},
    };
    self->effects.control(self->effects.context, &answer);
}

void rub_shard_view_synced(rub_shard_t *self)
{
    if (self->view_ack_owed) {
        acknowledge(self);
    }
    if (self->register_owed && rub_shard_is_bound(self)) {
        rub_shard_send_register(self);
    }
    rub_shard_answer_hellos(self); /* a joiner may have waited for the VIEW that pins it */
}

int rub_shard_check_view(const rub_view_t *view, rub_error_t *err)
{
    for (uint32_t i = 1; i < view->n_ranks; i++) {
        if (view->ranks[i].rank <= view->ranks[i - 1].rank) {
            return rub_fail(err, RUB_ECORRUPT, "view %llu: rank %u stands behind rank %u",
                            (unsigned long long)view->version, view->ranks[i].rank,
                            view->ranks[i - 1].rank);
        }
    }
    return 0;
}

static bool is_known(const rub_shard_t *self, const rub_view_t *view)
{
    return self->has_view && view->generation == self->generation && view->version == self->version;
}

static bool is_older(const rub_shard_t *self, const rub_view_t *view)
{
    return self->has_view &&
           !(RUB_MUTANT(GENERATION_BLIND) && view->generation < self->generation) &&
           (view->generation < self->generation || view->version < self->version);
}

static void journal_view(rub_shard_t *self, const rub_view_t *view)
{
    const rub_control_t message = {.type = RUB_MSG_VIEW, .view = *view};
    rub_buf_t encoded;
    rub_buf_init(&encoded);
    rub_error_t err = {0};
    if (rub_control_encode(&message, &encoded, &err) != 0) {
        RUB_SHARD_NOTICE(self, "view %llu: %s", (unsigned long long)view->version, err.message);
        goto out;
    }
    if (!rub_shard_has_room(self, encoded.bytes)) {
        goto out; /* not acknowledged: it comes again */
    }
    const void *payload = rub_arena_copy(&self->turn, encoded.data, encoded.bytes);
    rub_span_t *part = rub_arena_alloc(&self->turn, sizeof(*part));
    if (!payload || !part) {
        rub_shard_fail(self, RUB_ENOMEM);
        goto out;
    }
    *part = (rub_span_t){payload, encoded.bytes};
    if (!RUB_MUTANT(VIEW_UNWRITTEN)) {
        rub_shard_append(self, RUB_RECORD_VIEW, part, 1);
    }
    if (self->failure == 0) {
        rub_shard_apply_view(self, view, payload, encoded.bytes);
    }
out:
    rub_buf_fini(&encoded);
}

void rub_shard_on_view(rub_shard_t *self, const rub_view_t *view)
{
    rub_error_t unsound;
    if (rub_shard_check_view(view, &unsound) != 0) {
        RUB_SHARD_NOTICE(self, "%s: ignored", unsound.message);
        return;
    }
    if (self->job != 0 && view->job != self->job) {
        RUB_SHARD_NOTICE(self, "view of job %016llx, this shard holds job %016llx: ignored",
                         (unsigned long long)view->job, (unsigned long long)self->job);
        return;
    }
    if (is_older(self, view)) {
        RUB_SHARD_NOTICE(self,
                         "view %llu of generation %llu is older than view %llu of %llu: ignored",
                         (unsigned long long)view->version, (unsigned long long)view->generation,
                         (unsigned long long)self->version, (unsigned long long)self->generation);
        if (view->generation < self->generation) {
            rub_shard_send_register(self); /* says which generation there is */
        }
        return;
    }
    self->view_seen = true;
    const bool known = is_known(self, view);
    if (!known) {
        journal_view(self, view);
        if (self->failure != 0 || !is_known(self, view)) {
            return;
        }
    }
    self->view_taken = true;
    if (!known) {
        rub_shard_snapshot_generation(self);
        rub_shard_settle(self);
        rub_shard_answer_hellos(self);
        rub_shard_serve_all_behind(self);
        rub_shard_resume_postponed(self);
    }
    acknowledge(self);
}
