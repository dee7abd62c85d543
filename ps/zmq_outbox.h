/* What a turn of a shard produces, kept until the journal has what it depends on: the core's
 * effects, and their letting go. The sockets, the store and its threads, which they go to, are its
 * owner's; whoever opens them puts them here.
 *
 * One thread: the shard's. */
#ifndef RUB_ZMQ_OUTBOX_H
#define RUB_ZMQ_OUTBOX_H

#include "common/base/log.h"
#include "common/net/zmq_socket.h"
#include "ps/open_store.h"
#include "ps/peer_lanes.h"
#include "ps/shard.h"
#include "ps/snapshot_thread.h"

typedef struct rub_outbox_send {
    rub_peer_t peer;
    rub_packet_t *packet;
} rub_outbox_send_t;

/* What the core staged in this turn, for the storage thread once the journal is written. */
typedef struct rub_outbox_staged {
    bool is_state;
    uint32_t table, chunk;
    uint64_t lsn, redo_lsn;
    void *bytes;
    size_t n_bytes;
} rub_outbox_staged_t;

typedef struct rub_outbox {
    const rub_log_t *log;
    uint32_t shard;
    rub_socket_t *router, *dealer;
    rub_peer_lanes_t lanes;
    rub_shard_store_t store;
    rub_storage_t *storage;           /* NULL with durability none */
    rub_snapshot_thread_t *snapshots; /* NULL: none can be taken here */
    rub_outbox_send_t *sends;
    size_t n_sends, capacity_sends;
    size_t sends_bytes; /* of all of them; whoever ends turns looks at it */
    rub_buf_t controls; /* {u32 length, bytes} of control messages to the scheduler */
    rub_outbox_staged_t *staged;
    size_t n_staged, capacity_staged;
    uint64_t sync_lsn;
    rub_error_t failure; /* the first one in an effect */
} rub_outbox_t;

void rub_outbox_init(rub_outbox_t *self);
/* Drops what has not left, and the lanes. Sockets, store and threads are the owner's to close. */
void rub_outbox_fini(rub_outbox_t *self);

/* The effects of a core whose context is self. takes_part: in snapshots. */
rub_shard_effects_t rub_outbox_effects(rub_outbox_t *self, bool takes_part);

/* What the turn produced may leave, journal first. On failure nothing has left; the sentence is in
 * self->failure. */
int rub_outbox_let_go(rub_outbox_t *self);

#endif
