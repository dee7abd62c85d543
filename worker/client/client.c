/* The client core's doors. It decides what a session says to shards and scheduler and never touches
 * a socket: the driver (session_turn.c) or the simulator steps it with messages and time.
 *
 * Invariant: after every door has returned, everything that may be sent has been sent, and the
 * active operation stands at the last step that the world allows. Design, section 4. */
#include "worker/client/client.h"

#include "common/base/alloc.h"
#include "worker/client/client_internal.h"

#include <string.h>

rub_client_t *rub_client_new(const rub_client_config_t *config, const rub_client_effects_t *effects)
{
    rub_client_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->loans = rub_loan_new(NULL);
    if (!self->loans) {
        rub_free(self);
        return NULL;
    }
    self->config = *config;
    self->effects = *effects;
    self->rank = UINT32_MAX;
    self->piece_last = UINT64_MAX;
    rub_arena_init(&self->scratch);
    rub_arena_init(&self->view_arenas[0]);
    rub_arena_init(&self->view_arenas[1]);
    return self;
}

void rub_client_destroy(rub_client_t **self_p)
{
    rub_client_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    rub_operations_fini(self);
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_link_fini(&self->links[i]);
    }
    rub_free(self->links);
    rub_free(self->tables);
    rub_free(self->outgoing);
    rub_loan_unref(&self->loans);
    rub_codings_fini(self);
    rub_caches_fini(self);
    rub_arena_fini(&self->scratch);
    rub_arena_fini(&self->view_arenas[0]);
    rub_arena_fini(&self->view_arenas[1]);
    rub_free(self);
}

static void move_time(rub_client_t *self, uint64_t now_ms)
{
    if (now_ms > self->now_ms) {
        self->now_ms = now_ms;
    }
}

void rub_client_time(rub_client_t *self, uint64_t now_ms)
{
    move_time(self, now_ms);
}

void rub_client_receive(rub_client_t *self, uint32_t shard, const rub_frame_t *frame,
                        uint64_t now_ms)
{
    move_time(self, now_ms);
    if (self->failure || shard >= self->n_links) {
        return;
    }
    rub_link_receive(self, &self->links[shard], frame);
    rub_operation_advance(self);
}

void rub_client_control(rub_client_t *self, const rub_control_t *message, uint64_t now_ms)
{
    move_time(self, now_ms);
    self->scheduler_heard_ms = self->now_ms;
    if (self->failure) {
        return;
    }
    switch (message->type) {
    case RUB_MSG_JOINED:
        rub_join_joined(self, &message->joined);
        break;
    case RUB_MSG_REFUSED:
        rub_join_refused(self, &message->refused);
        break;
    case RUB_MSG_VIEW:
        rub_join_view(self, &message->view);
        break;
    case RUB_MSG_LEASE_OK:
        rub_join_lease(self, &message->lease_ok);
        break;
    case RUB_MSG_TABLE_OK:
        if (strcmp(message->table_ok.name, self->wanted.schema.name) == 0) {
            self->wanted.id = message->table_ok.id;
            self->wanted.version = message->table_ok.version;
        }
        break;
    case RUB_MSG_PIECE:
        rub_piece_dealt(self, &message->dealt);
        break;
    case RUB_MSG_RELEASE:
        /* Said again until our RESUMED has come: only the first one counts. */
        if (message->release.number == self->barrier_number &&
            self->release_number != self->barrier_number) {
            self->release_number = message->release.number;
            self->release_clock = message->release.clock;
            self->release_version = message->release.version;
            for (uint32_t i = 0; i < self->n_barrier_sums; i++) {
                uint64_t bits = 8 * (i + 1) <= message->release.sums_bytes
                                    ? rub_get_u64(message->release.sums + 8 * (size_t)i)
                                    : 0;
                memcpy(&self->barrier_sums[i], &bits, sizeof(bits));
            }
        }
        break;
    case RUB_MSG_GO:
        self->go_number = message->go.number;
        break;
    case RUB_MSG_LEFT:
        self->left =
            self->left || (message->left.rank == self->rank && message->left.epoch == self->epoch);
        break;
    default: /* a newer scheduler may say what we need not know */
        break;
    }
    rub_operation_advance(self);
}

void rub_client_tick(rub_client_t *self, uint64_t now_ms)
{
    move_time(self, now_ms);
    if (self->failure) {
        return;
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_link_tick(self, &self->links[i]);
    }
    rub_join_tick(self);
    rub_operation_advance(self);
    rub_kept_tell(self);
    rub_notice_tick(self);
    self->ticked_ms = self->now_ms;
}

void rub_client_fail(rub_client_t *self, int code, const char *sentence)
{
    if (!self->failure) {
        self->failure = rub_fail(&self->failure_error, code, "%s", sentence);
    }
}

void rub_client_no_memory(rub_client_t *self)
{
    rub_client_fail(self, RUB_ENOMEM, "session: memory is short in the middle of an operation");
}

uint32_t rub_client_stuck_at(const rub_client_t *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (rub_link_stuck(&self->links[i], now_ms) || rub_link_shut_out(&self->links[i], now_ms)) {
            return i + 1;
        }
    }
    return 0;
}

int rub_client_failure(const rub_client_t *self, rub_error_t *err)
{
    if (!self->failure) {
        return 0;
    }
    return rub_fail(err, self->failure, "%s", self->failure_error.message);
}

int rub_client_usable(const rub_client_t *self, rub_error_t *err)
{
    if (self->failure) {
        return rub_client_failure(self, err);
    }
    if (!self->opened || self->leaving) {
        return rub_fail(err, RUB_EINVAL, "session is %s",
                        self->leaving ? "leaving the job" : "not open yet");
    }
    return 0;
}

int rub_client_may_push(const rub_client_t *self, const char *what, rub_error_t *err)
{
    const int rc = rub_client_usable(self, err);
    if (rc) {
        return rc;
    }
    if (self->config.role == RUB_READER) {
        return rub_fail(err, RUB_EINVAL, "%s: a reader has no stream", what);
    }
    return 0;
}

const rub_client_table_t *rub_client_find_table(const rub_client_t *self, rub_table_t table)
{
    const size_t n = self->view ? self->view->n_tables : 0;
    if (table >= 1 && table <= n && self->tables[table - 1].schema->id == table) {
        return &self->tables[table - 1];
    }
    for (size_t i = 0; i < n; i++) {
        if (self->tables[i].schema->id == table) {
            return &self->tables[i];
        }
    }
    return NULL;
}

const rub_table_view_t *rub_client_table(const rub_client_t *self, rub_table_t table)
{
    const rub_client_table_t *found = rub_client_find_table(self, table);
    return found ? found->schema : NULL;
}

uint32_t rub_client_lease_ms(const rub_client_t *self)
{
    return self->lease_ms;
}

void rub_client_info(const rub_client_t *self, rub_info_t *info)
{
    *info = (rub_info_t){
        .job = self->job,
        .rank = self->rank,
        .epoch = self->epoch,
        .n_workers = self->view ? self->view->n_workers : 0,
        .n_shards = self->n_links,
        .staleness = self->view ? self->view->staleness : 0,
        .seed = self->view ? self->view->seed : 0,
        .clock = self->clock,
        .resumed_clock = self->view ? self->view->resumed_clock : 0,
        .resumed_epoch = self->view ? self->view->resumed_epoch : 0,
        .resumed_batch = self->view ? self->view->resumed_batch : 0,
        .resumed_examples = self->view ? self->view->resumed_examples : 0,
    };
}

void rub_client_count_gap(rub_client_t *self, uint64_t gap)
{
    rub_histogram_add(&self->gaps, gap);
}

void rub_client_stats(const rub_client_t *self, rub_stats_t *stats)
{
    *stats = self->stats;
    stats->cache_bytes = rub_caches_bytes(self);
    stats->max_gap = self->gaps.max;
    stats->p50_gap = rub_histogram_quantile(&self->gaps, 0.5);
    stats->p99_gap = rub_histogram_quantile(&self->gaps, 0.99);
}
