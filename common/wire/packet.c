/* Counted message memory. The 48 bytes of header and the 8-byte keys leave the values 8-byte
 * aligned behind them, so a small message is sent as it lies (one frame) and a large one as three
 * views of the same bytes. Lent values are the third view of a large one. */
#include "common/wire/packet.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <stdatomic.h>
#include <string.h>

struct rub_packet {
    atomic_uint references;
    rub_header_t header;
    size_t keys_bytes;
    size_t values_bytes;
    bool placed, handed_over, lent;
    rub_packet_place_t place;
    rub_packet_loan_t loan;
    rub_packet_t *list;  /* what its keys stand for; NULL: they are plain */
    rub_packet_t *brief; /* in a place; this one says it in full. Or NULL */
    uint8_t *bytes;      /* own, or the place's */
    _Alignas(16) uint8_t own[];
};

static void set_up(rub_packet_t *self, const rub_header_t *header, size_t keys_bytes,
                   size_t values_bytes)
{
    atomic_init(&self->references, 1);
    self->keys_bytes = keys_bytes;
    self->values_bytes = values_bytes;
    self->lent = false;
    self->list = NULL;
    self->brief = NULL;
    rub_packet_set_header(self, header);
}

rub_packet_t *rub_packet_new(const rub_header_t *header, size_t keys_bytes, size_t values_bytes)
{
    RUB_ASSERT(keys_bytes % 8 == 0);
    RUB_ASSERT(header->value_bytes == values_bytes);
    rub_packet_t *self = rub_alloc(sizeof(*self) + RUB_HEADER_BYTES + keys_bytes + values_bytes);
    if (!self) {
        return NULL;
    }
    self->placed = false;
    self->bytes = self->own;
    set_up(self, header, keys_bytes, values_bytes);
    return self;
}

rub_packet_t *rub_packet_new_at(const rub_header_t *header, size_t keys_bytes, size_t values_bytes,
                                const rub_packet_place_t *place)
{
    RUB_ASSERT(keys_bytes % 8 == 0);
    RUB_ASSERT(header->value_bytes == values_bytes);
    rub_packet_t *self = rub_alloc(sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->placed = true;
    self->handed_over = false;
    self->place = *place;
    self->bytes = place->bytes;
    set_up(self, header, keys_bytes, values_bytes);
    return self;
}

rub_packet_t *rub_packet_new_lent(const rub_header_t *header, size_t keys_bytes,
                                  size_t values_bytes, const rub_packet_loan_t *loan)
{
    RUB_ASSERT(keys_bytes % 8 == 0);
    RUB_ASSERT(header->value_bytes == values_bytes);
    rub_packet_t *self = rub_alloc(sizeof(*self) + RUB_HEADER_BYTES + keys_bytes);
    if (!self) {
        return NULL;
    }
    self->placed = false;
    self->bytes = self->own;
    set_up(self, header, keys_bytes, values_bytes);
    self->lent = true;
    self->loan = *loan;
    return self;
}

bool rub_packet_is_lent(const rub_packet_t *self)
{
    return self->lent;
}

const rub_packet_place_t *rub_packet_place(const rub_packet_t *self)
{
    return self->placed ? &self->place : NULL;
}

void rub_packet_hand_over(rub_packet_t *self)
{
    self->handed_over = true;
}

rub_packet_t *rub_packet_ref(rub_packet_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

void rub_packet_unref(rub_packet_t **self_p)
{
    rub_packet_t *self = *self_p;
    *self_p = NULL;
    if (self && atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1) {
        if (self->placed) {
            self->place.release(self->place.context, self->bytes, self->handed_over);
        }
        if (self->lent) {
            self->loan.release(self->loan.context);
        }
        if (self->list) {
            rub_packet_unref(&self->list);
        }
        if (self->brief) {
            rub_packet_unref(&self->brief);
        }
        rub_free(self);
    }
}

const rub_header_t *rub_packet_header(const rub_packet_t *self)
{
    return &self->header;
}

void rub_packet_set_header(rub_packet_t *self, const rub_header_t *header)
{
    self->header = *header;
    rub_header_write(header, self->bytes);
}

uint8_t *rub_packet_keys(rub_packet_t *self)
{
    return self->bytes + RUB_HEADER_BYTES;
}

uint8_t *rub_packet_values(rub_packet_t *self)
{
    RUB_ASSERT(!self->lent);
    return self->bytes + RUB_HEADER_BYTES + self->keys_bytes;
}

static const uint8_t *values_of(const rub_packet_t *self)
{
    return self->lent ? self->loan.values : self->bytes + RUB_HEADER_BYTES + self->keys_bytes;
}

void rub_packet_stand_for(rub_packet_t *self, rub_packet_t *list)
{
    RUB_ASSERT(!self->list);
    RUB_ASSERT(!list->list);
    RUB_ASSERT(list->keys_bytes == 8 * (size_t)self->header.n_keys);
    self->list = rub_packet_ref(list);
}

bool rub_packet_is_short(const rub_packet_t *self)
{
    return self->list != NULL;
}

static void release_brief(void *brief)
{
    rub_packet_t *packet = brief;
    rub_packet_unref(&packet);
}

rub_packet_t *rub_packet_in_full(rub_packet_t *self)
{
    RUB_ASSERT(self->list);
    rub_header_t header = self->header;
    header.flags &= ~(uint32_t)RUB_FLAG_DIGEST;
    const size_t keys_bytes = self->list->keys_bytes;
    const rub_packet_loan_t loan = {
        .values = values_of(self), .release = release_brief, .context = self};
    rub_packet_t *full = self->lent
                             ? rub_packet_new_lent(&header, keys_bytes, self->values_bytes, &loan)
                             : rub_packet_new(&header, keys_bytes, self->values_bytes);
    if (!full) {
        return NULL;
    }
    memcpy(rub_packet_keys(full), rub_packet_keys(self->list), keys_bytes);
    if (self->lent) {
        rub_packet_ref(self);
    } else {
        full->brief = self->placed ? rub_packet_ref(self) : NULL;
        if (self->values_bytes > 0) {
            memcpy(rub_packet_values(full), values_of(self), self->values_bytes);
        }
    }
    return full;
}

size_t rub_packet_full_bytes(const rub_packet_t *self)
{
    const size_t keys_bytes = self->list ? self->list->keys_bytes : self->keys_bytes;
    return RUB_HEADER_BYTES + keys_bytes + self->values_bytes;
}

size_t rub_packet_size(const rub_packet_t *self)
{
    return RUB_HEADER_BYTES + self->keys_bytes + self->values_bytes;
}

rub_span_t rub_packet_bytes(const rub_packet_t *self)
{
    RUB_ASSERT(!self->lent);
    return (rub_span_t){self->bytes, rub_packet_size(self)};
}

size_t rub_packet_parts(const rub_packet_t *self, rub_span_t parts[3])
{
    if (!self->lent) {
        parts[0] = rub_packet_bytes(self);
        return 1;
    }
    parts[0] = (rub_span_t){self->bytes, RUB_HEADER_BYTES};
    parts[1] = (rub_span_t){self->bytes + RUB_HEADER_BYTES, self->keys_bytes};
    parts[2] = (rub_span_t){values_of(self), self->values_bytes};
    return 3;
}

rub_frame_t rub_packet_frame(const rub_packet_t *self)
{
    return (rub_frame_t){
        .header = self->header,
        .keys = self->bytes + RUB_HEADER_BYTES,
        .keys_bytes = self->keys_bytes,
        .values = values_of(self),
        .values_bytes = self->values_bytes,
    };
}
