/* Admission: what changes a shard is a record of one session's stream, and comes in order.
 *
 * seq <= applied: acknowledged again. seq == applied + 1: judged, given to the journal, applied.
 * Above: a hole; on one connection that is a protocol error (or what follows a postponement, which
 * is dropped in silence until the client has read POSTPONED, or KEYS_UNKNOWN). A verdict consumes
 * the seq and is a record itself, so that a replay counts as we did; a postponement consumes
 * nothing and ends with CONTINUE (design, section 4). */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "common/wire/key_pack.h"
#include "ps/shard_internal.h"

enum { POSTPONE = 1 }; /* positive outcome of judging: not now; the code says why */

typedef struct rub_judgement {
    int verdict;  /* 0, a negative code, or POSTPONE */
    int why;      /* of POSTPONE */
    size_t bytes; /* of the record */
} rub_judgement_t;

static rub_record_type_t record_type(uint8_t message)
{
    switch (message) {
    case RUB_MSG_PUSH:
        return RUB_RECORD_PUSH;
    case RUB_MSG_CLOCK:
        return RUB_RECORD_CLOCK;
    case RUB_MSG_IDLE:
        return RUB_RECORD_IDLE;
    case RUB_MSG_RESUME:
        return RUB_RECORD_RESUME;
    default:
        RUB_ASSERT(message == RUB_MSG_BYE);
        return RUB_RECORD_BYE;
    }
}

void rub_shard_owe_ack(rub_shard_t *self, rub_member_t *member)
{
    if (member->ack) {
        return;
    }
    if (rub_grow(&self->acks, &self->acks_capacity, self->n_acks + 1, sizeof(*self->acks)) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    member->ack = true;
    self->acks[self->n_acks++] = member->rank;
}

/* ---- judging: changes nothing ---- */

static rub_judgement_t postpone_for(int why, size_t bytes)
{
    return (rub_judgement_t){.verdict = POSTPONE, .why = why, .bytes = bytes};
}

/* Whether waiting can help against a full house: other periods will be closed before this one is
 * needed. */
static bool may_wait_for_close(const rub_shard_t *self, uint64_t clock)
{
    return rub_shard_is_bsp(self) && clock > rub_staleness_minimum(self->gate) &&
           rub_periods_first_pushed(self->periods) < clock;
}

/* left_bytes: of memory. */
static int check_push(const rub_shard_t *self, const rub_frame_t *frame, const rub_ptable_t *table,
                      const rub_push_view_t *push, size_t bytes, size_t left_bytes)
{
    if (rub_shard_is_bsp(self)) {
        /* the copy that waits for CLOSE, and its values when they are decoded there */
        const bool plain = rub_codec_of_flags(frame->header.flags) == RUB_CODEC_F32;
        const size_t kept = bytes + (plain ? 0 : push->n_values * sizeof(float));
        left_bytes = left_bytes > kept ? left_bytes - kept : 0;
    }
    return left_bytes == 0 ? RUB_ELIMIT : rub_ptable_push_check(table, push, left_bytes, NULL);
}

/* A verdict never depends on key lists, nor on what is kept to compensate delays: a run that is
 * repeated may have others. They give way to rows. */
static int check_memory(rub_shard_t *self, const rub_frame_t *frame, const rub_ptable_t *table,
                        const rub_push_view_t *push, size_t bytes)
{
    int rc = check_push(self, frame, table, push, bytes, rub_shard_memory_left(self));
    if (rc == RUB_ELIMIT && self->lists_bytes + self->seen.bytes + self->seen_sums.bytes > 0) {
        rc = check_push(self, frame, table, push, bytes, rub_shard_memory_for_rows(self));
        if (rc == 0) {
            rub_shard_forget_all_lists(self);
            rub_seen_fini(&self->seen);
            rub_sums_fini(&self->seen_sums);
        }
    }
    return rc;
}

static rub_judgement_t judge_push(rub_shard_t *self, const rub_member_t *member,
                                  const rub_frame_t *frame, size_t bytes)
{
    rub_judgement_t out = {.bytes = bytes};
    out.verdict = rub_member_check_push(member, frame->header.clock);
    if (out.verdict != 0) {
        return out;
    }
    const rub_ptable_t *table = rub_shard_table(self, frame->header.table);
    if (!table) {
        const bool may_come = frame->header.table >= self->n_tables && frame->header.table != 0;
        if (may_come && !member->insist) {
            return postpone_for(RUB_ENOTABLE, bytes);
        }
        out.verdict = RUB_ENOTABLE;
        return out;
    }
    rub_push_view_t push;
    out.verdict = rub_shard_read_push(self, frame, table, &push, NULL);
    if (out.verdict == 0) {
        out.verdict = check_memory(self, frame, table, &push, bytes);
    }
    if (out.verdict == RUB_ELIMIT && may_wait_for_close(self, frame->header.clock)) {
        return postpone_for(RUB_ELIMIT, bytes);
    }
    return out;
}

static rub_judgement_t judge_clock(const rub_shard_t *self, const rub_member_t *member,
                                   const rub_frame_t *frame, size_t bytes)
{
    const int verdict = rub_member_check_clock(member, frame->header.clock, frame->values_bytes);
    if (verdict == 0 && rub_periods_open(self->periods) >= RUB_OPEN_PERIODS_LIMIT &&
        may_wait_for_close(self, frame->header.clock)) {
        return postpone_for(RUB_ELIMIT, bytes);
    }
    return (rub_judgement_t){.verdict = verdict, .bytes = bytes};
}

static rub_judgement_t judge(rub_shard_t *self, const rub_member_t *member,
                             const rub_frame_t *frame)
{
    const size_t bytes = RUB_RECORD_HEAD_BYTES + frame->keys_bytes +
                         (frame->header.type == RUB_MSG_PUSH ? rub_shard_recorded_bytes(self, frame)
                                                             : frame->values_bytes);
    if (!rub_shard_has_room(self, bytes)) {
        return postpone_for(RUB_ENOSPC, bytes);
    }
    rub_judgement_t out = {.bytes = bytes};
    switch (frame->header.type) {
    case RUB_MSG_PUSH:
        return judge_push(self, member, frame, bytes);
    case RUB_MSG_CLOCK:
        return judge_clock(self, member, frame, bytes);
    case RUB_MSG_RESUME:
        out.verdict = rub_member_check_resume(member, frame->header.clock);
        return out;
    default:
        out.verdict = rub_member_check_pause(member, frame->header.clock, frame->values_bytes);
        return out;
    }
}

/* ---- postponements ---- */

void rub_shard_end_postponement(rub_shard_t *self, rub_member_t *member)
{
    if (member->postponed != 0) {
        RUB_ASSERT(self->n_postponed > 0);
        self->n_postponed--;
        member->postponed = 0;
    }
    member->continued = false;
    member->awaits_keys = false;
}

static void postpone(rub_shard_t *self, rub_link_t *link, rub_member_t *member,
                     const rub_frame_t *frame, const rub_judgement_t *judgement)
{
    if (member->postponed == 0) {
        self->n_postponed++;
        member->postponed_ms = self->now_ms;
    }
    if (judgement->why == RUB_ENOSPC && self->full_ms == 0) {
        self->full_ms = self->now_ms ? self->now_ms : 1;
    }
    const bool told = member->postponed == judgement->why && !member->continued;
    member->postponed = judgement->why;
    member->continued = false;
    member->postponed_table = frame->header.table;
    member->postponed_bytes = judgement->bytes;
    if (!told) {
        member->applied += RUB_MUTANT(POSTPONED_TAKEN) ? 1 : 0;
        uint8_t code[4];
        rub_put_u32(code, (uint32_t)judgement->why);
        const rub_header_t header = {
            .type = RUB_MSG_POSTPONED, .seq = frame->header.seq, .value_bytes = sizeof(code)};
        rub_shard_send(self, link->peer, &header, code);
    }
}

static bool may_continue(rub_shard_t *self, rub_member_t *member)
{
    switch (member->postponed) {
    case RUB_ENOSPC:
        return rub_shard_has_room(self, member->postponed_bytes);
    case RUB_ENOTABLE:
        /* Before the first view: the power may have taken the one that has the table. */
        member->insist =
            self->view_taken && self->now_ms - member->postponed_ms >= RUB_TABLE_WAIT_MS;
        return member->insist || member->postponed_table < self->n_tables;
    default:
        return rub_shard_memory_for_rows(self) > member->postponed_bytes ||
               !may_wait_for_close(self, member->done);
    }
}

void rub_shard_resume_postponed(rub_shard_t *self)
{
    if (self->full_ms != 0 && rub_shard_has_room(self, RUB_MESSAGE_LIMIT)) {
        self->full_ms = 0;
    }
    for (size_t i = 0; self->n_postponed > 0 && i < self->members.n; i++) {
        rub_member_t *member = &self->members.items[i];
        if (member->postponed == 0 || member->continued || !member->bound ||
            !may_continue(self, member)) {
            continue;
        }
        member->continued =
            true; /* what was in flight is still dropped, until the right seq comes */
        const rub_header_t header = {.type = RUB_MSG_CONTINUE, .seq = member->applied + 1};
        rub_shard_send(self, member->peer, &header, NULL);
    }
}

/* ---- admission ---- */

static void refuse(rub_shard_t *self, rub_record_t *record, int code)
{
    uint8_t *values = rub_arena_calloc(&self->turn, 1, 8);
    if (!values) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    rub_put_u32(values, (uint32_t)code);
    record->flags = 0;
    record->delay = 0;
    record->n_keys = 0;
    record->keys = NULL;
    record->keys_bytes = 0;
    record->values = values;
    record->values_bytes = 8;
    rub_shard_append_stream(self, RUB_RECORD_REFUSED, record);
    rub_shard_apply(self, RUB_RECORD_REFUSED, record);
}

/* What is journaled of a frame: what its type means and nothing else, so that no frame makes a
 * record that a replay can not read. */
static rub_record_t record_of(const rub_shard_t *self, const rub_member_t *member,
                              const rub_frame_t *frame)
{
    const rub_header_t *header = &frame->header;
    rub_record_t record = {
        .rank = member->rank,
        .epoch = member->epoch,
        .seq = header->seq,
        .clock = header->clock,
        .minimum = rub_staleness_minimum(self->gate),
    };
    if (header->type == RUB_MSG_PUSH) {
        record.flags = header->flags & (RUB_FLAG_RANGE | RUB_FLAG_CODEC);
        record.table = header->table;
        record.delay = rub_shard_delay(self, member, header->clock);
        record.n_keys = header->n_keys;
        record.keys = frame->keys;
        record.keys_bytes = frame->keys_bytes;
    } else if (header->type == RUB_MSG_BYE) {
        record.flags = header->mark == 1 ? RUB_RECORD_DONE : 0;
    } else if (header->type == RUB_MSG_IDLE) {
        record.flags = header->mark == RUB_IDLE_WHOLE ? RUB_RECORD_WHOLE : 0;
    }
    if (header->type != RUB_MSG_RESUME) {
        record.values = frame->values;
        record.values_bytes = frame->values_bytes;
    }
    return record;
}

/* The same message with plain keys, which live as long as the turn, since its record borrows them.
 * Keys that can not be unpacked are none: not as many as the header says, which is a verdict. */
static rub_frame_t unpacked(rub_shard_t *self, const rub_frame_t *frame)
{
    rub_frame_t plain = *frame;
    const size_t n = frame->header.n_keys;
    uint8_t *keys = rub_arena_alloc(&self->turn, 8 * n);
    if (!keys) {
        rub_shard_fail(self, RUB_ENOMEM);
        return plain;
    }
    const int rc = rub_keys_unpack(frame->keys, frame->keys_bytes, n, keys);
    plain.header.flags &= ~(uint32_t)RUB_FLAG_PACKED;
    plain.header.mark = 0;
    plain.keys = keys;
    plain.keys_bytes = rc == 0 ? 8 * n : 0;
    return plain;
}

static void admit(rub_shard_t *self, rub_link_t *link, rub_member_t *member,
                  const rub_frame_t *frame)
{
    const rub_judgement_t judgement = judge(self, member, frame);
    if (judgement.verdict == POSTPONE) {
        postpone(self, link, member, frame, &judgement);
        return;
    }
    if (judgement.verdict == RUB_ENOMEM) {
        rub_shard_fail(self, RUB_ENOMEM); /* our want, not the push's fault: no verdict on it */
        return;
    }
    rub_shard_end_postponement(self, member);
    member->insist = false;
    const rub_header_t *header = &frame->header;
    rub_record_t record = record_of(self, member, frame);
    if (judgement.verdict != 0) {
        refuse(self, &record, judgement.verdict);
    } else {
        rub_record_type_t type = record_type(header->type);
        const rub_record_t received = record;
        if (type == RUB_RECORD_PUSH) {
            rub_shard_compensate(self, &record);
            type = rub_shard_revise(self, &record) ? RUB_RECORD_REVISION : RUB_RECORD_PUSH;
        }
        if (RUB_MUTANT(COMPENSATION_UNWRITTEN) ||
            (RUB_MUTANT(REVISION_UNWRITTEN) && type == RUB_RECORD_REVISION)) {
            rub_shard_append_stream(self, record_type(header->type), &received);
        } else {
            rub_shard_append_stream(self, type, &record);
        }
        rub_shard_apply(self, type, &record);
    }
    if (self->failure != 0) {
        return;
    }
    rub_shard_owe_ack(self, member);
    if (judgement.verdict == 0 && header->type != RUB_MSG_PUSH) {
        rub_shard_settle(self);
    }
    rub_shard_serve_behind(self, link);
}

void rub_shard_on_stream(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    rub_member_t *member = rub_members_find(&self->members, link->rank);
    if (!member) {
        return; /* a reader has no stream */
    }
    const uint64_t seq = frame->header.seq;
    const bool known = seq <= member->applied;
    if (known && !RUB_MUTANT(DEDUPE_OFF)) {
        rub_shard_owe_ack(self, member);
        return;
    }
    if (seq != member->applied + 1 && !known) {
        if (RUB_MUTANT(CLOCK_OUTSIDE) && frame->header.type == RUB_MSG_CLOCK &&
            frame->header.clock > member->done) {
            member->done = frame->header.clock;
            rub_shard_recount(self, member);
        }
        if (member->postponed == 0 && !member->awaits_keys) {
            const rub_peer_t peer = link->peer;
            rub_shard_complain(
                self, peer, "seq %llu of rank %u, expected %llu: it shall say HELLO again",
                (unsigned long long)seq, member->rank, (unsigned long long)member->applied + 1);
            rub_shard_unbind(self, link);
            rub_shard_rehello(self, peer);
        }
        return;
    }
    if (member->state != RUB_RANK_LIVE || self->finishing) {
        return; /* the job, or this rank's part, is over: there is nothing left to change */
    }
    rub_frame_t listed;
    if ((frame->header.flags & RUB_FLAG_DIGEST) != 0) {
        if (!rub_shard_plain_keys(self, link, frame, &listed)) {
            member->awaits_keys = true;
            member->applied += RUB_MUTANT(UNKNOWN_TAKEN) ? 1 : 0;
            return;
        }
        frame = &listed;
    }
    if ((frame->header.flags & RUB_FLAG_PACKED) != 0) {
        const rub_frame_t plain = unpacked(self, frame);
        if (self->failure == 0) {
            admit(self, link, member, &plain);
        }
    } else {
        admit(self, link, member, frame);
    }
    rub_shard_forget_push(self);
}

/* ---- acknowledgements ---- */

/* The last seq that a client may forget: all that is journaled. */
static uint64_t credit_of(rub_shard_t *self, const rub_member_t *member)
{
    rub_kept_push_t *const *kept;
    uint32_t participants;
    uint64_t credit = member->applied;
    if (RUB_MUTANT(CREDIT_AT_FOLD)) {
        const size_t n = rub_periods_pushes(self->periods, member->done, &kept, &participants);
        for (size_t i = n; i > 0; i--) {
            if (kept[i - 1]->record.rank == member->rank && kept[i - 1]->record.seq <= credit) {
                credit = kept[i - 1]->record.seq - 1;
            }
        }
    }
    return credit;
}

static void send_ack(rub_shard_t *self, const rub_member_t *member)
{
    uint8_t values[28];
    rub_put_u64(values, rub_shard_window(self));
    rub_put_u64(values + 8, member->refused);
    rub_put_u64(values + 16, member->refused_seq);
    rub_put_u32(values + 24, (uint32_t)member->refused_code);
    const rub_header_t header = {
        .type = RUB_MSG_ACK,
        .seq = credit_of(self, member),
        .clock = member->done,
        .mark = rub_shard_is_durable(self) ? member->synced : member->applied,
        .lsn = self->lsn,
        .value_bytes = sizeof(values),
    };
    rub_shard_send(self, member->peer, &header, values);
}

/* Not a look at every rank: a turn of a job of thousands hears a few of them. */
void rub_shard_send_acks(rub_shard_t *self)
{
    for (size_t i = 0; i < self->n_acks; i++) {
        rub_member_t *member = rub_members_find(&self->members, self->acks[i]);
        if (member && member->ack) { /* a rank whose epoch ended meanwhile is owed nothing */
            member->ack = false;
            if (member->bound) {
                send_ack(self, member);
            }
        }
    }
    self->n_acks = 0;
}
