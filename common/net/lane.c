/* Slots of one size, and the lowest free one first: what was used last is still in the caches, and
 * memory that was never needed is never touched. (A ring would walk through all of it, out of every
 * cache.) Which slots are free is a set of bits that is changed by single atomic operations, since
 * libzmq may release a packet of ours from its own thread, and since the pull slots' set lies in
 * the segment, where the client gives and the shard takes.
 *
 * Invariant: the shard touches nothing outside the segment, whatever the segment says: slots are
 * numbers below counts that it keeps for itself. */
#include "common/net/lane.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/rng.h"
#include "common/net/shared_segment.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x3330656e616c7572) /* "rulane03" */
#define HEAD_BYTES 4096u
#define WORDS (RUB_LANE_PUSH_SLOTS_MOST / 64)

_Static_assert(RUB_LANE_PULL_SLOTS_MOST <= RUB_LANE_PUSH_SLOTS_MOST, "WORDS are enough for both");

/* At the segment's beginning. */
typedef struct head {
    uint64_t magic;
    uint8_t token[16];
    _Alignas(64) _Atomic uint64_t pull_free[WORDS];
} head_t;

_Static_assert(sizeof(head_t) <= HEAD_BYTES, "the head has its own page");

struct rub_lane {
    atomic_uint references; /* the owner's, and one for each packet */
    rub_shared_segment_t *segment;
    uint32_t number;
    bool attached;                     /* the shard's end */
    uint32_t n_push, n_pull;           /* as agreed; never read from the segment */
    _Atomic uint64_t push_free[WORDS]; /* of the client's end */
    rub_post_t out, in;
};

/* ---- the offer ---- */

void rub_lane_offer_write(const rub_lane_offer_t *offer, uint8_t out[RUB_LANE_OFFER_BYTES])
{
    rub_put_u64(out, offer->pid);
    rub_put_u32(out + 8, offer->descriptor);
    rub_put_u32(out + 12, offer->n_push);
    rub_put_u32(out + 16, offer->n_pull);
    memcpy(out + 20, offer->token, sizeof(offer->token));
}

int rub_lane_offer_read(const rub_frame_t *frame, rub_lane_offer_t *offer, rub_error_t *err)
{
    if (frame->values_bytes != RUB_LANE_OFFER_BYTES) {
        return rub_fail(err, RUB_EPROTO, "LANE of %zu bytes, expected %u", frame->values_bytes,
                        RUB_LANE_OFFER_BYTES);
    }
    *offer = (rub_lane_offer_t){.number = (uint32_t)frame->header.seq,
                                .pid = rub_get_u64(frame->values),
                                .descriptor = rub_get_u32(frame->values + 8),
                                .n_push = rub_get_u32(frame->values + 12),
                                .n_pull = rub_get_u32(frame->values + 16)};
    memcpy(offer->token, frame->values + 20, sizeof(offer->token));
    return 0;
}

static size_t size_of(const rub_lane_offer_t *offer)
{
    return HEAD_BYTES + ((size_t)offer->n_push + offer->n_pull) * RUB_LANE_SLOT_BYTES +
           2 * RUB_POST_BOX_BYTES;
}

/* ---- life ---- */

static head_t *head_of(const rub_lane_t *self)
{
    return (head_t *)(void *)rub_shared_segment_bytes(self->segment);
}

static void fill(_Atomic uint64_t *words, uint32_t n)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        const uint32_t left = n > 64 * i ? n - 64 * i : 0;
        atomic_store(&words[i], left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1);
    }
}

/* The client's messages go through the first box. */
static void open_boxes(rub_lane_t *self)
{
    uint8_t *boxes = rub_shared_segment_bytes(self->segment) + HEAD_BYTES +
                     ((size_t)self->n_push + self->n_pull) * RUB_LANE_SLOT_BYTES;
    rub_post_open(&self->out, boxes + (self->attached ? RUB_POST_BOX_BYTES : 0));
    rub_post_open(&self->in, boxes + (self->attached ? 0 : RUB_POST_BOX_BYTES));
}

static rub_lane_t *lane_of(const rub_lane_offer_t *offer)
{
    rub_lane_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        atomic_init(&self->references, 1);
        self->number = offer->number;
        self->n_push = offer->n_push;
        self->n_pull = offer->n_pull;
    }
    return self;
}

int rub_lane_create(rub_lane_offer_t *offer, rub_lane_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    RUB_ASSERT(offer->n_push >= 1);
    RUB_ASSERT(offer->n_push <= RUB_LANE_PUSH_SLOTS_MOST);
    RUB_ASSERT(offer->n_pull >= 1);
    RUB_ASSERT(offer->n_pull <= RUB_LANE_PULL_SLOTS_MOST);
    if (rub_random_nonce(offer->token) != 0) {
        return rub_fail(err, RUB_EIO, "the system has no random numbers");
    }
    rub_lane_t *self = lane_of(offer);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a lane");
    }
    const int rc = rub_shared_segment_create(size_of(offer), &self->segment, err);
    if (rc) {
        rub_lane_close(&self);
        return rc;
    }
    head_t *head = head_of(self);
    head->magic = MAGIC;
    memcpy(head->token, offer->token, sizeof(head->token));
    fill(head->pull_free, self->n_pull);
    fill(self->push_free, self->n_push);
    open_boxes(self);
    offer->pid = (uint64_t)getpid();
    offer->descriptor = rub_shared_segment_descriptor(self->segment);
    *self_p = self;
    return 0;
}

static int check_offer(const rub_lane_offer_t *offer, rub_error_t *err)
{
    if (offer->n_push == 0 || offer->n_push > RUB_LANE_PUSH_SLOTS_MOST || offer->n_pull == 0 ||
        offer->n_pull > RUB_LANE_PULL_SLOTS_MOST) {
        return rub_fail(err, RUB_EREFUSED, "a lane of %u push and %u pull slots, at most %u and %u",
                        offer->n_push, offer->n_pull, RUB_LANE_PUSH_SLOTS_MOST,
                        RUB_LANE_PULL_SLOTS_MOST);
    }
    return 0;
}

int rub_lane_attach(const rub_lane_offer_t *offer, rub_lane_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    int rc = check_offer(offer, err);
    if (rc) {
        return rc;
    }
    rub_lane_t *self = lane_of(offer);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a lane");
    }
    self->attached = true;
    rc = rub_shared_segment_attach(offer->pid, offer->descriptor, size_of(offer), &self->segment,
                                   err);
    if (!rc && (head_of(self)->magic != MAGIC ||
                memcmp(head_of(self)->token, offer->token, sizeof(offer->token)) != 0)) {
        rc = rub_fail(err, RUB_EREFUSED, "the segment there is not the one that was offered");
    }
    /* Nobody writes them here; a mistake of ours shall not hide in a peer's memory. */
    if (!rc && rub_shared_segment_protect(self->segment, HEAD_BYTES,
                                          (size_t)self->n_push * RUB_LANE_SLOT_BYTES) != 0) {
        rc = rub_fail(err, RUB_EREFUSED, "the push slots can not be made read-only");
    }
    if (rc) {
        rub_lane_close(&self);
        return rc;
    }
    open_boxes(self);
    *self_p = self;
    return 0;
}

void rub_lane_close(rub_lane_t **self_p)
{
    rub_lane_t *self = *self_p;
    *self_p = NULL;
    if (self && atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1) {
        rub_shared_segment_close(&self->segment);
        rub_free(self);
    }
}

rub_lane_t *rub_lane_ref(rub_lane_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

uint32_t rub_lane_number(const rub_lane_t *self)
{
    return self->number;
}

bool rub_lane_is_orphaned(const rub_lane_t *self)
{
    return rub_shared_segment_is_orphaned(self->segment);
}

/* ---- slots ---- */

static uint8_t *push_slots(const rub_lane_t *self)
{
    return rub_shared_segment_bytes(self->segment) + HEAD_BYTES;
}

static uint8_t *pull_slots(const rub_lane_t *self)
{
    return push_slots(self) + (size_t)self->n_push * RUB_LANE_SLOT_BYTES;
}

/* Those that this end writes: which are free, where the first one is, how many there are. */
static _Atomic uint64_t *own_free(rub_lane_t *self)
{
    return self->attached ? head_of(self)->pull_free : self->push_free;
}

static uint8_t *own_slots(const rub_lane_t *self)
{
    return self->attached ? pull_slots(self) : push_slots(self);
}

static uint32_t n_own(const rub_lane_t *self)
{
    return self->attached ? self->n_pull : self->n_push;
}

/* The lowest free slot below n; false: none. */
static bool take_slot(_Atomic uint64_t *words, uint32_t n, uint32_t *slot_p)
{
    for (uint32_t i = 0; 64 * i < n; i++) {
        uint64_t seen = atomic_load_explicit(&words[i], memory_order_relaxed);
        while (seen != 0) {
            const uint32_t bit = (uint32_t)__builtin_ctzll(seen);
            const uint64_t mask = UINT64_C(1) << bit;
            if (64 * i + bit >= n) {
                break; /* a bit that nobody may set */
            }
            if (atomic_fetch_and_explicit(&words[i], ~mask, memory_order_acquire) & mask) {
                *slot_p = 64 * i + bit;
                return true;
            }
            seen &= ~mask;
        }
    }
    return false;
}

static void give_slot(_Atomic uint64_t *words, uint32_t slot)
{
    atomic_fetch_or_explicit(&words[slot / 64], UINT64_C(1) << slot % 64, memory_order_release);
}

static void release_slot(void *context, uint8_t *bytes, bool handed_over)
{
    rub_lane_t *self = context;
    if (!handed_over) {
        give_slot(own_free(self),
                  (uint32_t)((size_t)(bytes - own_slots(self)) / RUB_LANE_SLOT_BYTES));
    }
    rub_lane_close(&self);
}

rub_packet_t *rub_lane_packet(rub_lane_t *self, const rub_header_t *header, size_t keys_bytes,
                              size_t values_bytes)
{
    const size_t bytes = RUB_HEADER_BYTES + keys_bytes + values_bytes;
    uint32_t slot = 0;
    if (bytes <= RUB_INLINE_LIMIT || bytes > RUB_LANE_SLOT_BYTES ||
        !take_slot(own_free(self), n_own(self), &slot)) {
        return NULL;
    }
    const rub_packet_place_t place = {.bytes = own_slots(self) + (size_t)slot * RUB_LANE_SLOT_BYTES,
                                      .release = release_slot,
                                      .context = self};
    rub_packet_t *packet = rub_packet_new_at(header, keys_bytes, values_bytes, &place);
    if (!packet) {
        give_slot(own_free(self), slot);
        return NULL;
    }
    (void)rub_lane_ref(self);
    return packet;
}

bool rub_lane_holds(const rub_lane_t *self, const rub_packet_t *packet, uint32_t *slot_p)
{
    const rub_packet_place_t *place = rub_packet_place(packet);
    if (!place || place->context != self) {
        return false;
    }
    *slot_p = (uint32_t)((size_t)(place->bytes - own_slots(self)) / RUB_LANE_SLOT_BYTES);
    return true;
}

/* ---- reading ---- */

/* The other end's slot, if it can hold that frame; NULL: refused. */
static const uint8_t *find_slot(const rub_lane_t *self, uint32_t slot, const rub_frame_t *frame,
                                rub_error_t *err)
{
    const uint32_t n = self->attached ? self->n_push : self->n_pull;
    const size_t bytes = RUB_HEADER_BYTES + frame->keys_bytes + frame->values_bytes;
    if (slot >= n || bytes > RUB_LANE_SLOT_BYTES) {
        (void)rub_fail(err, RUB_EPROTO, "%s of %zu bytes in slot %u; there are %u of %u bytes",
                       rub_message_name(frame->header.type), bytes, slot, n, RUB_LANE_SLOT_BYTES);
        return NULL;
    }
    return (self->attached ? push_slots(self) : pull_slots(self)) +
           (size_t)slot * RUB_LANE_SLOT_BYTES;
}

/* Keys and values behind a header that says the same as the message did. */
static int lay(const uint8_t *bytes, uint32_t slot, rub_frame_t *frame, rub_error_t *err)
{
    uint8_t expected[RUB_HEADER_BYTES];
    rub_header_write(&frame->header, expected);
    if (memcmp(bytes, expected, sizeof(expected)) != 0) {
        return rub_fail(err, RUB_EPROTO, "%s %llu is not what slot %u holds",
                        rub_message_name(frame->header.type), (unsigned long long)frame->header.seq,
                        slot);
    }
    frame->keys = bytes + RUB_HEADER_BYTES;
    frame->values = frame->keys + frame->keys_bytes;
    return 0;
}

int rub_lane_open(const rub_lane_t *self, uint32_t slot, rub_frame_t *frame, rub_error_t *err)
{
    const uint8_t *bytes = find_slot(self, slot, frame, err);
    return bytes ? lay(bytes, slot, frame, err) : RUB_EPROTO;
}

int rub_lane_copy(const rub_lane_t *self, uint32_t slot, uint8_t *room, rub_frame_t *frame,
                  rub_error_t *err)
{
    const uint8_t *bytes = find_slot(self, slot, frame, err);
    if (!bytes) {
        return RUB_EPROTO;
    }
    memcpy(room, bytes, RUB_HEADER_BYTES + frame->keys_bytes + frame->values_bytes);
    return lay(room, slot, frame, err);
}

void rub_lane_done(rub_lane_t *self, uint32_t slot)
{
    if (slot < self->n_pull) {
        give_slot(head_of(self)->pull_free, slot);
    }
}

rub_post_t *rub_lane_out(rub_lane_t *self)
{
    return &self->out;
}

rub_post_t *rub_lane_in(rub_lane_t *self)
{
    return &self->in;
}
