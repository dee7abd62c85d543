/* The talk with one shard. DOWN (no address yet) -> HELLO (said, nothing else may be sent) -> UP
 * (WELCOME gave the resend point), and POSTPONED (the shard takes no records for now). Any doubt
 * leads back to HELLO: a new address, a REHELLO, or a second of silence while something is
 * outstanding. HELLO is idempotent and WELCOME is always believed: on one connection
 * acknowledgements never go back, so a repeated WELCOME can only cause repeated records, which the
 * shard drops by seq, never a hole.
 *
 * There is no resend timer. Design, section 4 (one stream per session and shard; acks; rollback).
 */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

static bool outstanding(const rub_link_t *link)
{
    return link->ring.n > 0 || link->open_requests > 0;
}

rub_packet_t *rub_link_packet(const rub_client_t *self, uint32_t shard, const rub_header_t *header,
                              size_t keys_bytes, rub_lent_t lent)
{
    rub_packet_t *packet = NULL;
    if (lent.grant) {
        return rub_grant_packet(lent.grant, header, keys_bytes);
    }
    if (self->effects.packet) {
        packet = self->effects.packet(self->effects.context, shard, header, keys_bytes);
    }
    if (packet) {
        return packet;
    }
    if (!lent.loan || RUB_HEADER_BYTES + keys_bytes + header->value_bytes <= RUB_INLINE_LIMIT) {
        return rub_packet_new(header, keys_bytes, header->value_bytes);
    }
    const rub_packet_loan_t loan = rub_loan_of(lent.loan, lent.values);
    packet = rub_packet_new_lent(header, keys_bytes, header->value_bytes, &loan);
    if (packet) {
        rub_loan_take(lent.loan);
    }
    return packet;
}

void rub_link_send(rub_client_t *self, rub_link_t *link, rub_packet_t *packet)
{
    link->said_ms = self->now_ms;
    rub_keys_sent(link, packet);
    self->effects.send(self->effects.context, link->shard, packet);
}

static void send_bare(rub_client_t *self, rub_link_t *link, const rub_header_t *header,
                      const void *values)
{
    rub_packet_t *packet = rub_packet_new(header, 0, header->value_bytes);
    if (!packet) {
        return; /* as if the network had lost it: the timers repeat it */
    }
    if (values) {
        memcpy(rub_packet_values(packet), values, header->value_bytes);
    }
    rub_link_send(self, link, packet);
}

void rub_link_connect(rub_client_t *self, rub_link_t *link, const char *address)
{
    if (link->welcomed) {
        link->lost_connection = true;
    }
    memset(link->address, 0, sizeof(link->address));
    memcpy(link->address, address, strnlen(address, sizeof(link->address) - 1));
    self->effects.connect(self->effects.context, link->shard, link->address);
    link->hello_wait_ms = RUB_HELLO_FIRST_MS;
    rub_link_hello(self, link);
}

void rub_link_hello(rub_client_t *self, rub_link_t *link)
{
    if (link->state != RUB_LINK_HELLO) {
        link->state = RUB_LINK_HELLO;
        link->down_ms = self->now_ms;
        link->noticed_ms = 0;
        link->hello_wait_ms = RUB_HELLO_FIRST_MS;
    }
    const bool reader = self->config.role == RUB_READER;
    const rub_header_t header = {
        .type = RUB_MSG_HELLO,
        .seq = reader ? rub_rank_epoch(UINT32_MAX, 0) : rub_rank_epoch(self->rank, self->epoch),
        .clock = self->clock,
        .mark = self->job,
        .lsn = (uint64_t)self->config.role,
        .value_bytes = sizeof(self->config.nonce),
    };
    send_bare(self, link, &header, self->config.nonce);
    link->hello_ms = self->now_ms;
}

static void fail_link(rub_client_t *self, const rub_link_t *link, int code, const char *fact)
{
    rub_error_t line;
    rub_fail(&line, code, "shard %u at %s: %s", link->shard, link->address, fact);
    rub_client_fail(self, code, line.message);
}

/* The shard came back with less than it had acknowledged: its host lost power, or it keeps nothing.
 * What is in the ring goes on from here; what was before is lost, and everybody hears of it. */
static void resync(rub_client_t *self, rub_link_t *link, uint64_t applied)
{
    rub_error_t line;
    rub_fail(&line, RUB_ELOST, "shard %u lost acknowledged records %llu to %llu of this session",
             link->shard, (unsigned long long)applied + 1,
             (unsigned long long)(link->ring.base - 1));
    rub_client_say(self, &line);
    const rub_header_t header = {
        .type = RUB_MSG_RESYNC,
        .seq = link->ring.base,
        .clock = RUB_MUTANT(RESYNC_NO_CLOCK) ? 0 : link->ring.base_clock,
    };
    send_bare(self, link, &header, NULL);
}

/* done(u) at the end of our stream is the shard's to say: IDLE may have ended a period, RESUME
 * pins. */
static void learn_done(rub_link_t *link, uint64_t applied, uint64_t done)
{
    if (applied == rub_ring_last(&link->ring) && done > link->done) {
        link->done = done;
    }
}

/* The shard has not got our RESUME, or has lost it with the power: it pins anew, perhaps lower than
 * before. What is certain is the clock that the RESUME itself carries. */
static void unlearn_pin(rub_link_t *link, uint64_t applied)
{
    if (applied < link->resumed && link->resumed >= link->ring.base) {
        link->done = rub_packet_header(rub_ring_at(&link->ring, link->resumed))->clock;
    }
}

/* What an incarnation came back with, and what it has lost. Readers, and sessions that were not
 * connected when LOST was said, hear of it here. */
static void learn_losses(rub_client_t *self, rub_link_t *link, uint64_t recovered_lsn,
                         uint64_t lost)
{
    rub_error_t line;
    const bool of_before = (link->seen_lsn ^ link->incarnation << 40) >> 40 != 0;
    if (link->seen_lsn > recovered_lsn && of_before) {
        self->stats.rollbacks++;
        rub_fail(&line, RUB_ELOST,
                 "shard %u came back with less than this session has read there: the rows may hold "
                 "pushes that are lost",
                 link->shard);
        rub_client_say(self, &line);
        link->seen_lsn = recovered_lsn;
    }
    if (lost > link->lost) {
        self->stats.lost += lost - link->lost;
        if (link->welcomed) {
            rub_fail(&line, RUB_ELOST, "shard %u has lost %llu acknowledged records with the power",
                     link->shard, (unsigned long long)(lost - link->lost));
            rub_client_say(self, &line);
        }
        link->lost = lost;
    }
}

static void on_welcome(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    const uint64_t applied = frame->header.seq;
    if (frame->values_bytes < 20) {
        fail_link(self, link, RUB_EPROTO, "its WELCOME is too short");
        return;
    }
    if (applied > rub_ring_last(&link->ring)) {
        fail_link(self, link, RUB_EPROTO, "its WELCOME acknowledges more than was ever sent");
        return;
    }
    link->window = rub_get_u64(frame->values);
    link->durability = rub_get_u32(frame->values + 16);
    const uint64_t incarnation =
        frame->values_bytes >= 44 ? rub_get_u64(frame->values + 36) : frame->header.lsn >> 40;
    if (link->welcomed && (link->lost_connection || link->incarnation != incarnation)) {
        self->stats.reconnects++;
        if (self->now_ms - link->down_ms >= RUB_NOTICE_FIRST_MS) {
            rub_error_t line;
            rub_fail(&line, RUB_OK, "shard %u at %s is back after %.1f s", link->shard,
                     link->address, (double)(self->now_ms - link->down_ms) / 1000.0);
            rub_client_say(self, &line);
        }
    }
    if (link->incarnation != incarnation) {
        rub_caches_forget(self); /* it may have come back with less than it had */
    }
    link->lost_connection = false;
    link->incarnation = incarnation;
    link->takes_grants = rub_address_is_in_process(link->address) && frame->values_bytes >= 56 &&
                         rub_get_u32(frame->values + 52) == RUB_GRANT_LAYOUT;
    if (frame->values_bytes >= 44) {
        learn_losses(self, link, rub_get_u64(frame->values + 20), rub_get_u64(frame->values + 28));
    }
    link->welcomed = true;
    link->state = RUB_LINK_UP;
    unlearn_pin(link, applied);
    if (applied + 1 < link->ring.base) {
        resync(self, link, applied);
        rub_stream_rewind(link, link->ring.base - 1);
        if (link->idle && link->ring.n == 0) {
            rub_stream_idle_again(self, link); /* else everybody would wait for us there */
        }
    } else {
        learn_done(link, applied, frame->header.clock);
        /* Everything behind applied counts as not sent; then the safe part of the rest may go. */
        rub_stream_rewind(link, applied);
        /* What had been synced there still is. */
        rub_stream_acknowledge(self, link, applied, frame->header.mark);
    }
    rub_keys_begin(self, link, frame->values_bytes >= 52 ? rub_get_u64(frame->values + 44) : 0);
    link->asked_ms = self->now_ms;
    rub_stream_pump(self, link);
    rub_request_again(self, link);
}

static uint64_t count_pushes(const rub_link_t *link, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (uint64_t seq = from; seq <= to; seq++) {
        n += rub_packet_header(rub_ring_at(&link->ring, seq))->type == RUB_MSG_PUSH;
    }
    return n;
}

/* Verdicts are the shard's count over this stream. The first is told; a long unbroken row means
 * divergence. */
static void on_verdicts(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame,
                        uint64_t n_pushes)
{
    const uint64_t refused = rub_get_u64(frame->values + 8);
    const uint64_t more = refused > link->refused ? refused - link->refused : 0;
    link->refused = refused;
    if (more == 0) {
        link->refused_in_a_row = n_pushes > 0 ? 0 : link->refused_in_a_row;
        return;
    }
    const int32_t code = (int32_t)rub_get_u32(frame->values + 24);
    rub_error_t line;
    if (self->stats.refused == 0) {
        rub_fail(&line, code, "shard %u refused push %llu of this session: %s", link->shard,
                 (unsigned long long)rub_get_u64(frame->values + 16), rub_error_name(code));
        rub_client_say(self, &line);
    }
    self->stats.refused += more;
    self->stats.last_refusal = code;
    link->refused_in_a_row = more >= n_pushes ? link->refused_in_a_row + more : 1;
    if (link->refused_in_a_row >= RUB_REFUSED_IN_A_ROW && !self->leaving) {
        rub_fail(&line, RUB_EDIVERGED, "%llu pushes in a row were refused, the last one for %s",
                 (unsigned long long)link->refused_in_a_row, rub_error_name(code));
        fail_link(self, link, RUB_EDIVERGED, line.message);
    }
}

static void on_ack(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    if (link->state == RUB_LINK_HELLO || link->state == RUB_LINK_DOWN) {
        return; /* of the connection before; WELCOME will say it again */
    }
    const uint64_t applied = frame->header.seq;
    if (applied > rub_ring_last(&link->ring)) {
        fail_link(self, link, RUB_EPROTO, "it acknowledges more than was ever sent");
        return;
    }
    if (frame->values_bytes < 28) {
        fail_link(self, link, RUB_EPROTO, "its ACK is too short");
        return;
    }
    link->window = rub_get_u64(frame->values);
    const uint64_t before = link->applied;
    link->postponed_ms = applied >= link->postponed_seq ? 0 : link->postponed_ms;
    const uint64_t n_pushes = applied > before ? count_pushes(link, before + 1, applied) : 0;
    on_verdicts(self, link, frame, n_pushes);
    learn_done(link, applied, frame->header.clock);
    rub_stream_acknowledge(self, link, applied > before ? applied : before, frame->header.mark);
    rub_stream_ask_sync(self, link);
    rub_stream_pump(self, link);
}

static void on_postponed(const rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    if (link->state != RUB_LINK_UP) {
        return;
    }
    link->state = RUB_LINK_POSTPONED;
    if (link->postponed_ms == 0) { /* said again after every HELLO */
        link->postponed_ms = self->now_ms ? self->now_ms : 1;
        link->postponed_noticed_ms = 0;
    }
    link->postponed_seq = frame->header.seq;
    link->postponed = frame->values_bytes >= 4 ? (int32_t)rub_get_u32(frame->values) : RUB_EBUSY;
}

static void on_continue(rub_client_t *self, rub_link_t *link, uint64_t seq)
{
    if (link->state != RUB_LINK_POSTPONED && link->state != RUB_LINK_UP) {
        return;
    }
    link->state = RUB_LINK_UP;
    if (seq > link->applied && seq <= link->sent) {
        /* From seq on nothing was consumed. What lies between applied and seq is on its way to be
         * acknowledged. */
        rub_stream_take_back(link, seq);
    }
    rub_stream_pump(self, link);
}

static void on_lost(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    rub_error_t line;
    rub_fail(&line, RUB_ELOST, "shard %u lost acknowledged records %llu to %llu of rank %llu",
             link->shard, (unsigned long long)frame->header.seq,
             (unsigned long long)frame->header.clock, (unsigned long long)frame->header.mark);
    rub_client_say(self, &line);
    const uint64_t n = frame->header.clock - frame->header.seq + 1;
    link->lost += n;
    self->stats.lost += n;
}

void rub_link_receive(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    link->heard_ms = self->now_ms;
    switch (frame->header.type) {
    case RUB_MSG_WELCOME:
        on_welcome(self, link, frame);
        break;
    case RUB_MSG_ACK:
        on_ack(self, link, frame);
        break;
    case RUB_MSG_ROWS:
        rub_request_rows(self, link, frame);
        break;
    case RUB_MSG_PULL_REFUSED:
        rub_request_refused(self, link, frame);
        break;
    case RUB_MSG_WAITING:
        rub_request_waiting(self, link, frame);
        break;
    case RUB_MSG_POSTPONED:
        on_postponed(self, link, frame);
        break;
    case RUB_MSG_CONTINUE:
        on_continue(self, link, frame->header.seq);
        break;
    case RUB_MSG_KEYS_UNKNOWN:
        rub_keys_unknown(self, link, frame);
        break;
    case RUB_MSG_REHELLO:
        /* One HELLO is enough: a REHELLO that comes while one is on its way was caused by what went
         * before it. */
        if (link->state != RUB_LINK_HELLO) {
            link->lost_connection = true;
            rub_link_hello(self, link);
        }
        break;
    case RUB_MSG_FENCED:
        if (self->config.role == RUB_TRAINER &&
            frame->header.seq == rub_rank_epoch(self->rank, self->epoch)) {
            if (rub_leave_is_safe(self)) {
                break; /* a shard sees our own leaving; the scheduler knows whether it was that */
            }
            fail_link(self, link, RUB_EFENCED, "this epoch of the rank is over");
        }
        break;
    case RUB_MSG_LOST:
        on_lost(self, link, frame);
        break;
    default:
        break;
    }
}

/* A shard that says WAITING every second is not silent, and may still never have seen a record: one
 * that it could not read, damaged under way, leaves no hole to complain of when nothing follows. */
static bool is_unmoved(rub_link_t *link, uint64_t now_ms)
{
    if (link->state != RUB_LINK_UP || link->sent <= link->applied ||
        link->applied != link->moved_to) {
        link->moved_to = link->applied;
        link->moved_ms = now_ms;
    }
    return now_ms - link->moved_ms >= RUB_UNMOVED_MS;
}

/* A pull that is parked was asked for once, and who stands in a barrier asks no shard for anything:
 * if all keep silent while they wait, a shard that one of them is parted from hears nobody, and
 * nobody can tell the one that is missing from those who wait for it (design, section 4: eviction).
 * A CANCEL of an id that is never given says no more than that we are there. */
static void say_alive(rub_client_t *self, rub_link_t *link)
{
    const bool short_lease = self->lease_ms > 0 && self->lease_ms / 4 < RUB_ALIVE_EVERY_MS;
    const uint64_t every_ms = short_lease ? self->lease_ms / 4 : RUB_ALIVE_EVERY_MS;
    if (self->config.role == RUB_TRAINER && self->now_ms - link->said_ms >= every_ms &&
        !RUB_MUTANT(SILENT_WAIT)) {
        const rub_header_t header = {.type = RUB_MSG_CANCEL, .seq = RUB_NO_REQUEST};
        send_bare(self, link, &header, NULL);
    }
}

void rub_link_tick(rub_client_t *self, rub_link_t *link)
{
    const uint64_t now_ms = self->now_ms;
    if (link->state == RUB_LINK_DOWN) {
        return;
    }
    if (link->state == RUB_LINK_HELLO) {
        if (now_ms - link->hello_ms >= link->hello_wait_ms) {
            link->hello_wait_ms *= 2;
            if (link->hello_wait_ms > RUB_HELLO_LAST_MS) {
                link->hello_wait_ms = RUB_HELLO_LAST_MS;
            }
            rub_link_hello(self, link);
        }
        return;
    }
    rub_request_tick(self, link);
    rub_stream_ask_sync(self, link);
    if (rub_link_stuck(link, now_ms)) {
        rub_link_hello(self, link);
    } else if (is_unmoved(link, now_ms)) {
        link->moved_ms = now_ms;
        link->lost_connection = true; /* WELCOME says what is to be sent again */
        rub_link_hello(self, link);
    } else {
        say_alive(self, link);
    }
}

bool rub_link_stuck(const rub_link_t *link, uint64_t now_ms)
{
    const uint64_t since_ms = link->heard_ms > link->asked_ms ? link->heard_ms : link->asked_ms;
    /* Records are acknowledged within a turn; a pull may be parked, and is told so only every
     * second. Asking earlier would park it anew each time, and nobody would ever hear for whom it
     * waits. */
    const uint64_t limit_ms = link->ring.n > 0 ? RUB_SILENCE_MS : RUB_PULL_SILENCE_MS;
    return outstanding(link) && now_ms - since_ms >= limit_ms;
}

bool rub_link_shut_out(const rub_link_t *link, uint64_t now_ms)
{
    return link->state == RUB_LINK_HELLO && !link->welcomed &&
           now_ms - link->down_ms >= RUB_SILENCE_MS;
}

void rub_link_fini(rub_link_t *link)
{
    rub_ring_fini(&link->ring);
    rub_told_lists_destroy(&link->told);
    rub_free(link->requests);
    rub_free(link->lanes);
}
