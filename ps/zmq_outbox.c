/* A turn's sends, chunks and words to the scheduler wait here while the core is stepped, because
 * what they say may depend on records that are only in memory yet.
 *
 * Invariant: nothing leaves before what it depends on is in the journal; if that write fails, the
 * turn's sends are never sent and the process ends with 74. */
#include "ps/zmq_outbox.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

void rub_outbox_init(rub_outbox_t *self)
{
    *self = (rub_outbox_t){.store = {.lock_fd = -1}};
    rub_buf_init(&self->controls);
}

void rub_outbox_fini(rub_outbox_t *self)
{
    for (size_t i = 0; i < self->n_sends; i++) {
        rub_packet_unref(&self->sends[i].packet);
    }
    for (size_t i = 0; i < self->n_staged; i++) {
        rub_free(self->staged[i].bytes);
    }
    rub_peer_lanes_fini(&self->lanes);
    rub_buf_fini(&self->controls);
    rub_free(self->sends);
    rub_free(self->staged);
}

/* ---- effects ---- */

static int effect_journal(void *context, uint64_t lsn, rub_record_type_t type,
                          const rub_span_t *parts, size_t n_parts)
{
    rub_outbox_t *self = context;
    return rub_journal_append(self->store.journal, lsn, (uint8_t)type, parts, n_parts,
                              &self->failure);
}

static size_t effect_journal_room(void *context)
{
    const rub_outbox_t *self = context;
    return self->store.journal ? rub_journal_room(self->store.journal) : SIZE_MAX;
}

/* A send that finds no memory is dropped like one to a peer that is gone: the protocol asks again.
 */
static void effect_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    rub_outbox_t *self = context;
    if (rub_grow(&self->sends, &self->capacity_sends, self->n_sends + 1, sizeof(*self->sends)) !=
        0) {
        rub_packet_unref(&packet);
        return;
    }
    self->sends[self->n_sends++] = (rub_outbox_send_t){peer, packet};
    self->sends_bytes += rub_packet_bytes(packet).bytes;
}

static rub_packet_t *effect_packet(void *context, rub_peer_t peer, const rub_header_t *header,
                                   size_t values_bytes)
{
    rub_outbox_t *self = context;
    return rub_peer_lanes_packet(&self->lanes, peer, header, values_bytes);
}

static uint64_t effect_lanes(void *context)
{
    const rub_outbox_t *self = context;
    return self->lanes.n;
}

static uint64_t effect_unread(void *context, rub_peer_t peer)
{
    const rub_outbox_t *self = context;
    return rub_socket_unread(self->router, peer);
}

static void effect_control(void *context, const rub_control_t *message)
{
    rub_outbox_t *self = context;
    const size_t at = self->controls.bytes;
    rub_buf_u32(&self->controls, 0);
    rub_error_t err = {0};
    if (self->controls.failed || rub_control_encode(message, &self->controls, &err) != 0) {
        rub_log(self->log, RUB_LOG_WARN, "cannot tell the scheduler %s: %s",
                rub_message_name(message->type), err.message);
        self->controls.bytes = at;
        self->controls.failed = false;
        return;
    }
    rub_put_u32(self->controls.data + at, (uint32_t)(self->controls.bytes - at - 4));
}

static int push_staged(rub_outbox_t *self, const rub_outbox_staged_t *staged)
{
    if (rub_grow(&self->staged, &self->capacity_staged, self->n_staged + 1, sizeof(*staged)) != 0) {
        rub_free(staged->bytes);
        return rub_fail(&self->failure, RUB_ENOMEM, "no memory for a checkpoint");
    }
    self->staged[self->n_staged++] = *staged;
    return 0;
}

static int effect_stage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn,
                              void *bytes, size_t n_bytes)
{
    return push_staged(
        context,
        &(rub_outbox_staged_t){
            .table = table, .chunk = chunk, .lsn = lsn, .bytes = bytes, .n_bytes = n_bytes});
}

static int effect_stage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed,
                              const void *state, size_t n_bytes)
{
    rub_outbox_t *self = context;
    void *copy = rub_alloc(n_bytes + 1);
    if (!copy) {
        return rub_fail(&self->failure, RUB_ENOMEM, "no memory for a checkpoint");
    }
    memcpy(copy, state, n_bytes);
    return push_staged(self, &(rub_outbox_staged_t){.is_state = true,
                                                    .lsn = lsn_needed,
                                                    .redo_lsn = redo_lsn,
                                                    .bytes = copy,
                                                    .n_bytes = n_bytes});
}

static void effect_sync(void *context, uint64_t lsn)
{
    rub_outbox_t *self = context;
    self->sync_lsn = lsn > self->sync_lsn ? lsn : self->sync_lsn;
}

static void effect_pin(void *context, uint64_t number)
{
    const rub_outbox_t *self = context;
    rub_snapshot_thread_pin(self->snapshots, number);
}

static void effect_fold(void *context, const rub_shard_fold_t *order)
{
    const rub_outbox_t *self = context;
    rub_snapshot_thread_fold(self->snapshots, order);
}

static void effect_unpin(void *context, uint64_t number, bool keep)
{
    const rub_outbox_t *self = context;
    if (self->snapshots) {
        rub_snapshot_thread_unpin(self->snapshots, number, keep);
    }
}

static void effect_notice(void *context, const char *sentence)
{
    const rub_outbox_t *self = context;
    rub_log(self->log, RUB_LOG_INFO, "shard %u: %s", self->shard, sentence);
}

rub_shard_effects_t rub_outbox_effects(rub_outbox_t *self, bool takes_part)
{
    return (rub_shard_effects_t){
        .context = self,
        .journal = effect_journal,
        .journal_room = effect_journal_room,
        .send = effect_send,
        .packet = effect_packet,
        .lanes = effect_lanes,
        .unread = effect_unread,
        .control = effect_control,
        .stage_chunk = effect_stage_chunk,
        .stage_state = effect_stage_state,
        .sync = effect_sync,
        .pin = takes_part ? effect_pin : NULL,
        .fold = effect_fold,
        .unpin = effect_unpin,
        .notice = effect_notice,
    };
}

/* ---- letting go ---- */

/* rc: of a send through that peer's connection. One that is over takes a lane's large messages and
 * knocks with it, while small ones still come and go through the boxes, and its session would
 * notice by a silence at most: so it is told, in its box, that it has to say HELLO. */
static void note_sent(rub_outbox_t *self, rub_peer_t peer, int rc)
{
    const rub_header_t header = {.type = RUB_MSG_REHELLO};
    uint8_t bytes[RUB_HEADER_BYTES];
    bool knock = false; /* there is nothing to knock through */
    if (rc == 0) {
        rub_peer_lanes_sent(&self->lanes, peer);
    } else {
        rub_header_write(&header, bytes);
        (void)rub_peer_lanes_put(&self->lanes, peer, bytes, sizeof(bytes), &knock);
    }
}

/* Through the connection; takes the packet. */
static void send_through(rub_outbox_t *self, rub_peer_t peer, rub_packet_t *packet)
{
    note_sent(self, peer, rub_socket_send(self->router, peer, packet));
}

/* Who is welcome is told our host: it may offer a lane then. */
static void send_host(rub_outbox_t *self, rub_peer_t peer, const rub_packet_t *welcome)
{
    const rub_frame_t frame = rub_packet_frame(welcome);
    rub_packet_t *host = rub_peer_lanes_host(&self->lanes, rub_get_u64(frame.values));
    if (host) {
        send_through(self, peer, host);
    }
}

static void knock(rub_outbox_t *self, rub_peer_t peer)
{
    const rub_header_t header = {.type = RUB_MSG_KNOCK};
    uint8_t bytes[RUB_HEADER_BYTES];
    rub_header_write(&header, bytes);
    note_sent(self, peer, rub_socket_send_bytes(self->router, peer, bytes, sizeof(bytes)));
}

/* Through the peer's box; false: it has none, or the message is none for it. */
static bool put(rub_outbox_t *self, rub_peer_t peer, const void *bytes, size_t n_bytes)
{
    bool wake = false;
    const bool there = rub_peer_lanes_put(&self->lanes, peer, bytes, n_bytes, &wake);
    if (wake) {
        knock(self, peer);
    }
    return there;
}

static void send_one(rub_outbox_t *self, rub_peer_t peer, rub_packet_t *packet)
{
    uint8_t slot[RUB_SLOT_MESSAGE_BYTES];
    if (rub_peer_lanes_hand_over(&self->lanes, peer, packet, slot)) {
        if (!put(self, peer, slot, sizeof(slot))) {
            note_sent(self, peer, rub_socket_send_bytes(self->router, peer, slot, sizeof(slot)));
        }
        rub_packet_unref(&packet);
        return;
    }
    const rub_span_t whole = rub_packet_bytes(packet);
    if (put(self, peer, whole.data, whole.bytes)) {
        rub_packet_unref(&packet);
        return;
    }
    rub_packet_t *welcome =
        rub_packet_header(packet)->type == RUB_MSG_WELCOME ? rub_packet_ref(packet) : NULL;
    send_through(self, peer, packet);
    if (welcome) {
        send_host(self, peer, welcome);
        rub_packet_unref(&welcome);
    }
}

static void send_all(rub_outbox_t *self)
{
    for (size_t i = 0; i < self->n_sends; i++) {
        send_one(self, self->sends[i].peer, self->sends[i].packet);
    }
    self->n_sends = 0;
    self->sends_bytes = 0;
    for (size_t at = 0; at < self->controls.bytes;) {
        const uint32_t bytes = rub_get_u32(self->controls.data + at);
        (void)rub_socket_send_bytes(self->dealer, 0, self->controls.data + at + 4, bytes);
        at += 4 + bytes;
    }
    rub_buf_reset(&self->controls);
}

static int stage_all(rub_outbox_t *self)
{
    int rc = 0;
    size_t i = 0;
    for (; i < self->n_staged && !rc; i++) {
        const rub_outbox_staged_t *s = &self->staged[i];
        rc = s->is_state
                 ? rub_storage_state(self->storage, s->redo_lsn, s->lsn, s->bytes, s->n_bytes)
                 : rub_storage_chunk(self->storage, s->table, s->chunk, s->lsn, s->bytes,
                                     s->n_bytes);
    }
    for (; i < self->n_staged; i++) {
        rub_free(self->staged[i].bytes);
    }
    self->n_staged = 0;
    return rc ? rub_fail(&self->failure, rc, "no memory for a checkpoint") : 0;
}

int rub_outbox_let_go(rub_outbox_t *self)
{
    if (self->storage) {
        int rc = rub_journal_write(self->store.journal, &self->failure);
        rc = rc ? rc : stage_all(self);
        if (rc) {
            return rc;
        }
        if (self->sync_lsn > 0) {
            rub_storage_sync(self->storage, self->sync_lsn);
            self->sync_lsn = 0;
        }
        if (rub_journal_wants_segment(self->store.journal)) {
            rub_storage_prepare(self->storage);
        }
        if (self->snapshots) {
            rub_snapshot_thread_go(self->snapshots);
        }
    }
    send_all(self);
    return 0;
}
