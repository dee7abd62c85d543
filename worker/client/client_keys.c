/* How the keys of a message travel: in full, or as the sixteen bytes of their digest, once the
 * shard has been told them on this connection (common/wire/key_digest.h).
 *
 * Only a shard whose WELCOME grants room for lists is spoken to like that, and only of lists long
 * enough. Told counts from the moment at which the message is sent, because a push may wait in its
 * ring while a pull overtakes it. With a new WELCOME nothing is told any more: whatever was made
 * short before goes out in full. A digest that the shard has forgotten comes back as KEYS_UNKNOWN;
 * nothing was consumed, and the message is said again, a push with all that follows it. It says
 * what is granted now, which falls when sessions join. */
#include "worker/client/client_internal.h"

#include <string.h>

/* Of what a session keeps of the lists that it has told, at all shards together. */
#define TOLD_BYTES ((size_t)64 << 20)

rub_packet_t *rub_keyed_packet(rub_client_t *self, uint32_t shard, const rub_header_t *header,
                               const uint64_t *keys, rub_lent_t lent)
{
    rub_link_t *link = &self->links[shard];
    rub_header_t head = *header;
    rub_key_digest_t digest;
    rub_packet_t *list = NULL;
    rub_keys_form_t form = RUB_KEYS_SAY;
    const uint32_t least = self->config.list_least_keys;
    if (link->lists_limit > 0 && least > 0 && head.n_keys >= least) {
        link->told = link->told ? link->told : rub_told_lists_new();
        form = link->told ? rub_told_lists_form(link->told, keys, head.n_keys, link->lists_limit,
                                                &digest, &list)
                          : RUB_KEYS_SAY;
    }
    head.flags |= form == RUB_KEYS_TELL        ? RUB_FLAG_REMEMBER
                  : form == RUB_KEYS_BY_DIGEST ? RUB_FLAG_DIGEST
                                               : 0;
    const size_t keys_bytes = list ? RUB_KEY_DIGEST_BYTES : 8 * (size_t)head.n_keys;
    rub_packet_t *packet = rub_link_packet(self, shard, &head, keys_bytes, lent);
    if (packet && list) {
        rub_key_digest_write(&digest, rub_packet_keys(packet));
        rub_packet_stand_for(packet, list);
    } else if (packet && keys_bytes > 0) {
        memcpy(rub_packet_keys(packet), keys, keys_bytes);
    }
    return packet;
}

void rub_keys_sent(const rub_link_t *link, const rub_packet_t *packet)
{
    if ((rub_packet_header(packet)->flags & RUB_FLAG_REMEMBER) != 0 && link->told) {
        rub_told_lists_told(link->told, packet, link->lists_limit);
    }
}

/* Short memory leaves it short: it will be asked for again. */
static void make_full(rub_packet_t **packet_p)
{
    rub_packet_t *full = rub_packet_is_short(*packet_p) ? rub_packet_in_full(*packet_p) : NULL;
    if (full) {
        rub_packet_unref(packet_p);
        *packet_p = full;
    }
}

static void fill_ring(rub_link_t *link, uint64_t from)
{
    for (uint64_t seq = from; link->ring.n > 0 && seq <= rub_ring_last(&link->ring); seq++) {
        make_full(rub_ring_place(&link->ring, seq));
    }
}

/* Our order of use and the shard's differ a little: what it may forget first must not be what we
 * still say. */
static size_t limit_of(const rub_client_t *self, uint64_t grant_bytes)
{
    const uint64_t most = grant_bytes / 4 * 3;
    const size_t share = TOLD_BYTES / self->n_links;
    return most < share ? (size_t)most : share;
}

void rub_keys_begin(const rub_client_t *self, rub_link_t *link, uint64_t grant_bytes)
{
    link->lists_limit = limit_of(self, grant_bytes);
    if (!link->told) {
        return;
    }
    rub_told_lists_forget(link->told, NULL);
    fill_ring(link, link->applied + 1 > link->ring.base ? link->applied + 1 : link->ring.base);
    for (size_t i = 0; i < link->n_requests; i++) {
        rub_part_t *part = rub_request_part(link, link->request_base + i);
        if (part) {
            make_full(&part->packet);
        }
    }
}

static void ask_again(rub_client_t *self, rub_link_t *link, uint64_t id)
{
    rub_part_t *part = rub_request_part(link, id);
    if (!part) {
        return;
    }
    if (rub_packet_is_short(part->packet) && link->told) {
        const rub_frame_t frame = rub_packet_frame(part->packet);
        const rub_key_digest_t digest = rub_key_digest_read(frame.keys);
        rub_told_lists_forget(link->told, &digest);
        make_full(&part->packet);
    }
    rub_link_send(self, link, rub_packet_ref(part->packet));
}

void rub_keys_unknown(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    const uint64_t seq = frame->header.seq;
    if (link->state != RUB_LINK_UP && link->state != RUB_LINK_POSTPONED) {
        return; /* of the connection before */
    }
    if (frame->values_bytes >= 8) { /* or we would tell for ever what has no room any more */
        link->lists_limit = limit_of(self, rub_get_u64(frame->values));
    }
    if (frame->header.mark == RUB_MSG_PULL) {
        ask_again(self, link, seq);
        return;
    }
    if (seq <= link->applied || seq > link->sent) {
        return; /* it has come again since */
    }
    if (link->told) {
        rub_told_lists_forget(link->told, NULL); /* one round trip for all of them, not for each */
    }
    fill_ring(link, seq);
    rub_stream_take_back(link, seq);
    rub_stream_pump(self, link);
}
