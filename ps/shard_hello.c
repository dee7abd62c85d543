/* Who speaks: HELLO, WELCOME, REHELLO, FENCED, RESYNC.
 *
 * A session is bound to the connection that said HELLO last; what comes from any other is dropped
 * unread, or a frame that lingered in an old connection would be taken for a new one. WELCOME's
 * applied is the point from which the client sends again, and clears what we held against it (a
 * postponement). An epoch that the view does not know yet is kept until the view comes, a joiner's
 * until that view is on the platter; one that it knows to be over is fenced. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "common/wire/grant.h"
#include "ps/shard_internal.h"

void rub_shard_rehello(rub_shard_t *self, rub_peer_t peer)
{
    if (rub_rate_limit_may(&self->links.rehellos, peer, self->now_ms, RUB_REHELLO_MS, NULL)) {
        const rub_header_t header = {.type = RUB_MSG_REHELLO};
        rub_shard_send(self, peer, &header, NULL);
    }
}

void rub_shard_fence(rub_shard_t *self, rub_peer_t peer, uint32_t rank, uint32_t epoch)
{
    const rub_header_t header = {.type = RUB_MSG_FENCED, .seq = rub_rank_epoch(rank, epoch)};
    rub_shard_send(self, peer, &header, NULL);
}

void rub_shard_unbind(rub_shard_t *self, rub_link_t *link)
{
    rub_shard_drop_parked(self, link);
    rub_shard_forget_lists(self, link);
    rub_member_t *member = rub_members_find(&self->members, link->rank);
    if (member && member->bound && member->peer == link->peer) {
        member->bound = false;
        rub_shard_end_postponement(self, member);
    }
    rub_links_remove(&self->links, link);
}

void rub_shard_unreadable(rub_shard_t *self, rub_peer_t peer)
{
    rub_link_t *link = rub_links_find(&self->links, peer);
    if (link) {
        rub_shard_unbind(self, link);
    }
    if (!rub_shard_is_deaf(self, peer)) {
        rub_shard_rehello(self, peer);
    }
}

static rub_link_t *bind_link(rub_shard_t *self, rub_peer_t peer, uint32_t rank, uint32_t epoch)
{
    rub_link_t *link = rub_links_find(&self->links, peer);
    if (link && (link->rank != rank || link->epoch != epoch)) {
        rub_shard_unbind(self, link);
        link = NULL;
    }
    if (!link && self->links.n >= RUB_LINKS_LIMIT) {
        rub_link_t *stalest = rub_links_stalest_reader(&self->links);
        if (stalest) {
            rub_shard_unbind(self, stalest);
        }
    }
    if (!link) {
        link = rub_links_add(&self->links, peer, rank, epoch);
    }
    if (link) {
        rub_shard_forget_lists(self, link); /* WELCOME says that none are known */
        link->heard_ms = self->now_ms;
    } else {
        rub_shard_complain(self, peer, "no place for another session, limit %u", RUB_LINKS_LIMIT);
    }
    return link;
}

static void send_welcome(rub_shard_t *self, const rub_link_t *link, const rub_member_t *member)
{
    uint8_t values[56];
    rub_put_u64(values, rub_shard_window(self));
    rub_put_u64(values + 8, rub_shard_gate_minimum(self));
    rub_put_u32(values + 16, self->config.durability);
    rub_put_u64(values + 20, self->recovered_lsn);
    rub_put_u64(values + 28, self->lost);
    rub_put_u64(values + 36, self->incarnation);
    rub_put_u64(values + 44, rub_shard_lists_share(self, link));
    rub_put_u32(values + 52, self->config.is_in_process ? RUB_GRANT_LAYOUT : 0);
    rub_header_t header = {
        .type = RUB_MSG_WELCOME, .lsn = self->lsn, .value_bytes = sizeof(values)};
    if (member) {
        header.seq = member->applied;
        header.clock = member->done;
        header.mark = rub_shard_is_durable(self) ? member->synced : member->applied;
    }
    rub_shard_send(self, link->peer, &header, values);
}

static void welcome_reader(rub_shard_t *self, rub_peer_t peer)
{
    const rub_link_t *link = bind_link(self, peer, UINT32_MAX, 0);
    if (link) {
        if (RUB_MUTANT(READER_COUNTED)) {
            (void)rub_staleness_count(self->gate, RUB_RANKS_LIMIT - 1,
                                      rub_members_pin(&self->members));
        }
        send_welcome(self, link, NULL);
    }
}

static void welcome_trainer(rub_shard_t *self, rub_peer_t peer, rub_member_t *member)
{
    if (member->bound && member->peer != peer && !RUB_MUTANT(OLD_CONNECTION)) {
        rub_link_t *old = rub_links_find(&self->links, member->peer);
        RUB_ASSERT(old);
        rub_shard_unbind(self, old);
    }
    const rub_link_t *link = bind_link(self, peer, member->rank, member->epoch);
    if (!link) {
        return;
    }
    member->bound = true;
    member->peer = peer;
    rub_shard_end_postponement(self, member);
    send_welcome(self, link, member);
}

static void keep_hello(rub_shard_t *self, const rub_waiting_hello_t *hello)
{
    for (size_t i = 0; i < self->n_hellos; i++) {
        if (self->hellos[i].peer == hello->peer) {
            self->hellos[i] = *hello;
            return;
        }
    }
    if (self->n_hellos == RUB_WAITING_HELLOS_LIMIT) {
        /* The oldest has waited longest for a view that did not come; if it lives, it asks again.
         */
        self->n_hellos--;
        memmove(self->hellos, self->hellos + 1, self->n_hellos * sizeof(*self->hellos));
    }
    if (rub_grow(&self->hellos, &self->hellos_capacity, self->n_hellos + 1,
                 sizeof(*self->hellos)) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    self->hellos[self->n_hellos++] = *hello;
}

/* Whoever speaks first for an epoch speaks for it alone: its nonce is its name. The scheduler gave
 * the epoch to one nonce; another one is a mistake or a forgery. */
static bool is_speaker(rub_shard_t *self, rub_member_t *member, const rub_waiting_hello_t *hello)
{
    if (!member->spoken) {
        member->spoken = true;
        memcpy(member->nonce, hello->nonce, sizeof(member->nonce));
    }
    if (memcmp(member->nonce, hello->nonce, sizeof(member->nonce)) == 0) {
        return true;
    }
    rub_shard_complain(self, hello->peer, "HELLO for rank %u epoch %u, which another session has",
                       hello->rank, hello->epoch);
    return false;
}

/* A joiner is told its pin only once the VIEW that counts it is on the platter. From its WELCOME on
 * it takes part in periods, here and at other shards; if the power then took the VIEW, the others
 * would end periods here without it until the view comes again, and it would be pinned above the
 * clock that it was told: its part in those periods could not be folded any more. Who takes over a
 * place that was kept for it is counted without its VIEW, too. */
static bool is_pinned_for_good(const rub_shard_t *self, const rub_member_t *member)
{
    return !rub_shard_is_durable(self) || self->synced_lsn >= member->entered_lsn ||
           RUB_MUTANT(JOINER_UNSYNCED);
}

/* False: the view does not know that epoch yet, or the platter does not. */
static bool answer_hello(rub_shard_t *self, const rub_waiting_hello_t *hello)
{
    if (!self->has_view) {
        return false;
    }
    if (hello->rank == UINT32_MAX) {
        welcome_reader(self, hello->peer);
        return true;
    }
    rub_member_t *member = rub_members_find(&self->members, hello->rank);
    if (!member || hello->epoch > member->epoch) {
        return false;
    }
    if (hello->epoch < member->epoch || hello->epoch == 0 || member->state == RUB_RANK_GONE ||
        !is_speaker(self, member, hello)) {
        rub_shard_fence(self, hello->peer, hello->rank, hello->epoch);
        return true;
    }
    member->heard_ms = self->now_ms;
    if (!is_pinned_for_good(self, member)) {
        rub_shard_want_sync(self, false);
        return false;
    }
    welcome_trainer(self, hello->peer, member);
    return true;
}

void rub_shard_on_hello(rub_shard_t *self, rub_peer_t peer, const rub_frame_t *frame)
{
    const bool reader = frame->header.lsn == RUB_READER;
    rub_waiting_hello_t hello = {
        .peer = peer,
        .rank = reader ? UINT32_MAX : (uint32_t)(frame->header.seq >> 32),
        .epoch = reader ? 0 : (uint32_t)frame->header.seq,
    };
    if (frame->values_bytes == sizeof(hello.nonce)) {
        memcpy(hello.nonce, frame->values, sizeof(hello.nonce));
    }
    if (self->job != 0 && frame->header.mark != 0 && frame->header.mark != self->job) {
        rub_shard_fence(self, peer, hello.rank,
                        hello.epoch); /* of another job: it shall not wait */
        return;
    }
    if (!answer_hello(self, &hello)) {
        keep_hello(self, &hello);
    }
}

void rub_shard_answer_hellos(rub_shard_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->n_hellos; i++) {
        const rub_waiting_hello_t hello = self->hellos[i];
        if (!answer_hello(self, &hello)) {
            self->hellos[kept++] = hello;
        }
    }
    self->n_hellos = kept;
}

/* ---- after a power loss ---- */

static void tell_lost(rub_shard_t *self, uint32_t rank, uint64_t from, uint64_t to)
{
    const rub_header_t header = {
        .type = RUB_MSG_LOST, .seq = from, .clock = to, .mark = rank, .lsn = self->lsn};
    for (size_t i = 0; i < self->links.n_slots; i++) {
        if (self->links.slots[i]) {
            rub_shard_send(self, self->links.slots[i]->peer, &header, NULL);
        }
    }
}

void rub_shard_on_resync(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    rub_member_t *member = rub_members_find(&self->members, link->rank);
    if (!member || member->bye) {
        return;
    }
    const uint64_t base = frame->header.seq;
    const uint64_t clock = frame->header.clock;
    if (base <= member->applied + 1) {
        rub_shard_owe_ack(self, member); /* nothing is missing, or it was said before */
        return;
    }
    if (clock > RUB_CLOCK_LIMIT || !rub_shard_has_room(self, RUB_RECORD_HEAD_BYTES + 8)) {
        rub_shard_unbind(self, link); /* it says HELLO again after a silence */
        return;
    }
    uint8_t *last = rub_arena_alloc(&self->turn, 8);
    if (!last) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    rub_put_u64(last, base - 1);
    const rub_record_t record = {.rank = member->rank,
                                 .epoch = member->epoch,
                                 .seq = member->applied + 1,
                                 .clock = clock,
                                 .minimum = rub_staleness_minimum(self->gate),
                                 .values = last,
                                 .values_bytes = 8};
    rub_shard_append_stream(self, RUB_RECORD_LOST, &record);
    rub_shard_apply(self, RUB_RECORD_LOST, &record);
    if (self->failure != 0) {
        return;
    }
    RUB_SHARD_NOTICE(self, "rank %u: records %llu to %llu were lost with the power", member->rank,
                     (unsigned long long)record.seq, (unsigned long long)base - 1);
    tell_lost(self, member->rank, record.seq, base - 1);
    rub_shard_owe_ack(self, member);
    rub_shard_settle(self);
}
