/* Reads. A pull is served when its clock may be (ps/staleness) and what its session pushed before
 * is in (its mark); else it is parked: in the gate's heap for the clock, beside it for a seq or for
 * a table that a view will bring.
 *
 * Bounded: a session may park one window's worth of answers. A pull that is asked again under its
 * id replaces the old one; what belongs to a connection goes with it. Who waits is told for whom
 * after a second and every second, so that nothing hangs in silence. The gap of every answer is
 * measured here and can not be above the bound.
 *
 * A session of this process grants its array: then the rows are gathered there, and the answer only
 * says so. Whoever does not want them any more has revoked the grant, and gets an answer that it
 * does not read. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "common/wire/grant.h"
#include "ps/shard_internal.h"

static bool is_reader(const rub_link_t *link)
{
    return link->rank == UINT32_MAX;
}

static void refuse_pull(rub_shard_t *self, const rub_link_t *link, uint64_t id, int code)
{
    uint8_t value[4];
    rub_put_u32(value, (uint32_t)code);
    const rub_header_t header = {
        .type = RUB_MSG_PULL_REFUSED, .seq = id, .value_bytes = sizeof(value)};
    rub_shard_send(self, link->peer, &header, value);
}

/* ---- what is needed ---- */

static uint64_t needed_minimum(const rub_shard_t *self, const rub_link_t *link,
                               const rub_frame_t *frame)
{
    const uint64_t early = RUB_MUTANT(GATE_LOOSE) && frame->header.clock > 0 ? 1 : 0;
    return is_reader(link) ? 0 : rub_staleness_needed(self->gate, frame->header.clock - early);
}

static bool is_behind(const rub_shard_t *self, const rub_link_t *link, const rub_frame_t *frame)
{
    if (!rub_shard_table(self, frame->header.table)) {
        return true;
    }
    const rub_member_t *member = rub_members_find(&self->members, link->rank);
    return member && member->applied < frame->header.mark && !RUB_MUTANT(OWN_WRITES_IGNORED);
}

static bool may_serve(const rub_shard_t *self, uint64_t needed)
{
    const uint64_t minimum = rub_shard_gate_minimum(self);
    return minimum >= needed && !(RUB_MUTANT(GATE_STRICT) && minimum == needed);
}

/* ---- the answer ---- */

/* The codec that a pull asks for; NULL: there is none of that number that may bring weights. */
static const rub_codec_t *codec_of(const rub_frame_t *frame)
{
    const rub_codec_t *codec = rub_codec_find(rub_codec_of_flags(frame->header.flags));
    return codec && codec->for_pulls ? codec : NULL;
}

/* Begins to write into the array of who asks: plain float32, if that is granted still. */
static bool take_grant(const rub_ptable_t *table, const rub_rows_t *rows, const rub_codec_t *codec,
                       rub_grant_t *grant, rub_grant_place_t *place)
{
    const size_t n_rows = rows->is_range ? (size_t)rows->count : rows->n_keys;
    const uint32_t width = rows->is_range ? 1 : rub_ptable_schema(table)->width;
    return grant && codec->number == RUB_CODEC_F32 &&
           rub_grant_take(grant, n_rows, width, rows->is_range, place);
}

static void put_granted(const rub_ptable_t *table, const rub_rows_t *rows,
                        const rub_grant_place_t *place, uint8_t *exists)
{
    if (place->positions) {
        rub_ptable_pull_scattered(table, rows, place->positions, place->values, exists);
    } else {
        rub_ptable_pull(table, rows, place->values, exists);
    }
}

/* The rows as the codec writes them; f32 goes where it belongs at once. RUB_ENOMEM. */
static int put_rows(rub_shard_t *self, const rub_ptable_t *table, const rub_rows_t *rows,
                    const rub_codec_t *codec, uint8_t *out, uint8_t *exists)
{
    if (codec->number == RUB_CODEC_F32) {
        rub_ptable_pull(table, rows, (float *)(void *)out, exists);
        return 0;
    }
    const size_t n = rub_ptable_pull_values(table, rows);
    float *values = rub_arena_alloc(&self->scratch, (n + 1) * sizeof(*values));
    if (!values) {
        return RUB_ENOMEM;
    }
    rub_ptable_pull(table, rows, values, exists);
    codec->encode(values, n, 0, 0, out);
    rub_arena_reset(&self->scratch);
    return 0;
}

static void measure_gap(rub_shard_t *self, const rub_link_t *link, uint64_t clock, uint64_t minimum)
{
    if (is_reader(link)) {
        return;
    }
    const uint64_t gap = clock > minimum ? clock - minimum : 0;
    RUB_ASSERT(gap <= rub_staleness_bound(self->gate));
    rub_histogram_add(&self->gaps, gap);
}

static rub_packet_t *answer_for(const rub_shard_t *self, const rub_link_t *link,
                                const rub_header_t *header)
{
    return self->effects.packet ? self->effects.packet(self->effects.context, link->peer, header,
                                                       header->value_bytes)
                                : rub_packet_new(header, 0, header->value_bytes);
}

static void serve(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    const rub_ptable_t *table = rub_shard_table(self, frame->header.table);
    RUB_ASSERT(table);
    const rub_codec_t *codec = codec_of(frame);
    rub_rows_t rows;
    int rc = codec ? rub_rows_read(frame, &rows, NULL) : RUB_ECODEC;
    if (rc == 0) {
        rc = rub_ptable_pull_check(table, &rows, NULL);
        rows.found =
            rows.is_range ? NULL : rub_shard_found_rows(self, frame->keys, frame->header.table);
    }
    if (rc != 0) {
        refuse_pull(self, link, frame->header.seq, rc);
        return;
    }
    const size_t exists_bytes = rows.is_range ? 0 : ((rows.n_keys + 7) / 8 + 7) / 8 * 8;
    rub_grant_place_t place;
    const bool is_granted = take_grant(table, &rows, codec, frame->grant, &place);
    const size_t rows_bytes =
        is_granted ? 0 : codec->row_bytes(rub_ptable_pull_values(table, &rows));
    const uint64_t minimum = rub_shard_gate_minimum(self);
    const rub_header_t header = {
        .type = RUB_MSG_ROWS,
        .table = frame->header.table,
        .flags = rub_codec_flags(codec->number) | (is_granted ? RUB_FLAG_GRANT : 0),
        .seq = frame->header.seq,
        .clock = frame->header.clock,
        .mark = minimum,
        .lsn = self->change_lsn,
        .value_bytes = (uint32_t)(exists_bytes + rows_bytes),
    };
    rub_packet_t *packet = answer_for(self, link, &header);
    uint8_t *values = packet ? rub_packet_values(packet) : NULL;
    uint8_t *exists = rows.is_range ? NULL : values;
    if (packet) {
        memset(values, 0, exists_bytes);
    }
    if (is_granted) {
        put_granted(table, &rows, &place, exists);
        rub_grant_finish(frame->grant);
        self->granted_bytes += place.n_rows * place.width * sizeof(float);
    }
    if (!packet) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    if (!is_granted && put_rows(self, table, &rows, codec, values + exists_bytes, exists)) {
        rub_packet_unref(&packet);
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    measure_gap(self, link, frame->header.clock, minimum);
    if (!is_reader(link)) {
        rub_shard_note_read(self, link->rank, frame->header.clock);
        rub_shard_note_given(self, link->rank, table, &rows, frame->header.clock);
        rub_shard_note_sums(self, link->rank, table, &rows, frame->header.clock);
    }
    self->pulls++;
    rub_shard_count_answer(self, link, rub_packet_bytes(packet).bytes);
    self->effects.send(self->effects.context, link->peer, packet);
}

uint64_t rub_shard_granted_bytes(const rub_shard_t *self)
{
    return self->granted_bytes;
}

/* ---- parking ---- */

static void unlink_parked(rub_shard_t *self, rub_parked_t *parked)
{
    rub_link_t *link = parked->link;
    if (parked->previous) {
        parked->previous->next = parked->next;
    } else {
        link->parked = parked->next;
    }
    if (parked->next) {
        parked->next->previous = parked->previous;
    }
    link->parked_bytes -= parked->charged_bytes;
    self->parked_bytes -= parked->charged_bytes;
}

static void drop(rub_shard_t *self, rub_parked_t *parked)
{
    if (parked->waiter.place == RUB_NOT_PARKED) {
        RUB_ASSERT(self->n_behind > 0);
        self->n_behind--;
    } else {
        rub_staleness_unpark(self->gate, &parked->waiter);
    }
    unlink_parked(self, parked);
    rub_grant_unref(&parked->frame.grant);
    rub_free(parked);
}

void rub_shard_drop_parked(rub_shard_t *self, rub_link_t *link)
{
    while (link->parked) {
        drop(self, link->parked);
    }
}

static void forget_id(rub_shard_t *self, rub_link_t *link, uint64_t id)
{
    for (rub_parked_t *parked = link->parked; parked; parked = parked->next) {
        if (parked->frame.header.seq == id) {
            drop(self, parked);
            return;
        }
    }
}

/* The answer's bytes count too: they are what a released crowd makes us hold at once. */
static size_t charge_of(const rub_shard_t *self, const rub_frame_t *frame, const rub_rows_t *rows)
{
    const rub_ptable_t *table = rub_shard_table(self, frame->header.table);
    const size_t answer =
        table ? rub_ptable_pull_values(table, rows) * sizeof(float) : RUB_MESSAGE_VALUES;
    return sizeof(rub_parked_t) + frame->keys_bytes + answer;
}

static void park(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame,
                 const rub_rows_t *rows, bool behind)
{
    const size_t charge = charge_of(self, frame, rows);
    if (link->parked_bytes + charge > rub_shard_window(self)) {
        refuse_pull(self, link, frame->header.seq, RUB_ELIMIT);
        return;
    }
    rub_parked_t *parked = rub_alloc(sizeof(*parked) + frame->keys_bytes);
    if (!parked) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    *parked = (rub_parked_t){
        .waiter = {.needed = needed_minimum(self, link, frame), .place = RUB_NOT_PARKED},
        .link = link,
        .next = link->parked,
        .frame = *frame,
        .charged_bytes = charge,
        .since_ms = self->now_ms,
        .warned_ms = self->now_ms,
    };
    memcpy(parked->keys, frame->keys, frame->keys_bytes);
    parked->frame.keys = parked->keys;
    parked->frame.values = NULL;
    parked->frame.values_bytes = 0;
    if (frame->grant) {
        rub_grant_ref(frame->grant);
    }
    if (link->parked) {
        link->parked->previous = parked;
    }
    link->parked = parked;
    link->parked_bytes += charge;
    self->parked_bytes += charge;
    if (behind) {
        self->n_behind++;
    } else if (rub_staleness_park(self->gate, &parked->waiter) != 0) {
        self->n_behind++; /* so that drop finds it where it is */
        rub_shard_fail(self, RUB_ENOMEM);
    }
}

/* ---- requests ---- */

void rub_shard_on_pull(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    const uint64_t id = frame->header.seq;
    forget_id(self, link, id);
    rub_frame_t listed;
    if ((frame->header.flags & RUB_FLAG_DIGEST) != 0) {
        if (!rub_shard_plain_keys(self, link, frame, &listed)) {
            return;
        }
        frame = &listed;
    }
    rub_rows_t rows;
    int rc = codec_of(frame) ? rub_rows_read(frame, &rows, NULL) : RUB_ECODEC;
    const rub_ptable_t *table = rub_shard_table(self, frame->header.table);
    if (rc == 0 && table) {
        rc = rub_ptable_pull_check(table, &rows, NULL);
    } else if (rc == 0 && (frame->header.table < self->n_tables || frame->header.table == 0)) {
        rc = RUB_ENOTABLE;
    }
    if (rc != 0) {
        refuse_pull(self, link, id, rc);
        return;
    }
    const bool behind = is_behind(self, link, frame);
    if (behind || !may_serve(self, needed_minimum(self, link, frame))) {
        park(self, link, frame, &rows, behind);
    } else {
        serve(self, link, frame);
    }
}

void rub_shard_on_cancel(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    forget_id(self, link, frame->header.seq);
}

/* ---- release ---- */

static void serve_parked(rub_shard_t *self, rub_parked_t *parked)
{
    unlink_parked(self, parked);
    serve(self, parked->link, &parked->frame);
    rub_grant_unref(&parked->frame.grant);
    rub_free(parked);
}

void rub_shard_serve_ready(rub_shard_t *self)
{
    while (self->failure == 0) {
        rub_waiter_t *waiter = rub_staleness_pop(self->gate, rub_shard_gate_minimum(self));
        if (!waiter) {
            break;
        }
        serve_parked(
            self,
            (rub_parked_t *)(void *)waiter); /* its seq and table were there when it was parked */
    }
}

void rub_shard_serve_behind(rub_shard_t *self, rub_link_t *link)
{
    if (self->n_behind == 0) {
        return;
    }
    rub_parked_t *next;
    for (rub_parked_t *parked = link->parked; parked && self->failure == 0; parked = next) {
        next = parked->next;
        if (parked->waiter.place != RUB_NOT_PARKED || is_behind(self, link, &parked->frame)) {
            continue;
        }
        self->n_behind--;
        parked->waiter.needed = needed_minimum(self, link, &parked->frame);
        if (may_serve(self, parked->waiter.needed)) {
            serve_parked(self, parked);
        } else if (rub_staleness_park(self->gate, &parked->waiter) != 0) {
            self->n_behind++;
            rub_shard_fail(self, RUB_ENOMEM);
        }
    }
}

void rub_shard_serve_all_behind(rub_shard_t *self)
{
    for (size_t i = 0; self->n_behind > 0 && i < self->links.n_slots; i++) {
        if (self->links.slots[i]) {
            rub_shard_serve_behind(self, self->links.slots[i]);
        }
    }
}

/* ---- for whom ---- */

static void send_waiting(rub_shard_t *self, const rub_parked_t *parked)
{
    uint32_t ranks[RUB_WAITING_RANKS_LIMIT];
    uint8_t values[4 * RUB_WAITING_RANKS_LIMIT];
    const size_t n =
        rub_staleness_laggards(self->gate, parked->waiter.needed, ranks, RUB_WAITING_RANKS_LIMIT);
    for (size_t i = 0; i < n; i++) {
        rub_put_u32(values + 4 * i, ranks[i]);
    }
    const rub_header_t header = {.type = RUB_MSG_WAITING,
                                 .seq = parked->frame.header.seq,
                                 .mark = rub_shard_gate_minimum(self),
                                 .value_bytes = (uint32_t)(4 * n)};
    rub_shard_send(self, parked->link->peer, &header, values);
}

static void warn_link(rub_shard_t *self, rub_link_t *link)
{
    rub_parked_t *next;
    for (rub_parked_t *parked = link->parked; parked; parked = next) {
        next = parked->next;
        const bool no_table = !rub_shard_table(self, parked->frame.header.table);
        /* Before the first view: the power may have taken the one that has the table. */
        if (no_table && self->view_taken && self->now_ms - parked->since_ms >= RUB_TABLE_WAIT_MS) {
            refuse_pull(self, link, parked->frame.header.seq, RUB_ENOTABLE);
            drop(self, parked);
        } else if (self->now_ms - parked->warned_ms >= RUB_WAITING_MS) {
            parked->warned_ms = self->now_ms;
            send_waiting(self, parked);
        }
    }
}

void rub_shard_warn_parked(rub_shard_t *self)
{
    if (self->parked_bytes == 0) {
        return;
    }
    for (size_t i = 0; i < self->links.n_slots; i++) {
        if (self->links.slots[i]) {
            warn_link(self, self->links.slots[i]);
        }
    }
}
