/* Every frame costs one look-up here, so this is a plain open-addressing table of pointers; links
 * stand still in memory because parked pulls point back at them. Removal shifts the cluster back,
 * so there are no tombstones to pile up over months of reconnects. */
#include "ps/links.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"

enum { FIRST_SLOTS = 64 };

void rub_links_init(rub_links_t *self)
{
    *self = (rub_links_t){.slots = NULL};
}

void rub_links_fini(rub_links_t *self)
{
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i]) {
            RUB_ASSERT(!self->slots[i]->parked);
            RUB_ASSERT(!self->slots[i]->lists);
            rub_free(self->slots[i]);
        }
    }
    rub_free(self->slots);
    *self = (rub_links_t){.slots = NULL};
}

static size_t home_of(const rub_links_t *self, uint64_t peer)
{
    return (size_t)rub_mix64(peer) & (self->n_slots - 1);
}

static size_t find_slot(const rub_links_t *self, uint64_t peer)
{
    size_t at = home_of(self, peer);
    while (self->slots[at] && self->slots[at]->peer != peer) {
        at = (at + 1) & (self->n_slots - 1);
    }
    return at;
}

rub_link_t *rub_links_find(const rub_links_t *self, uint64_t peer)
{
    return self->n_slots == 0 ? NULL : self->slots[find_slot(self, peer)];
}

static bool make_room(rub_links_t *self)
{
    if (2 * (self->n + 1) <= self->n_slots) {
        return true;
    }
    rub_links_t grown = *self;
    grown.n_slots = self->n_slots == 0 ? FIRST_SLOTS : 2 * self->n_slots;
    grown.slots = rub_calloc(grown.n_slots, sizeof(rub_link_t *));
    if (!grown.slots) {
        return false;
    }
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i]) {
            grown.slots[find_slot(&grown, self->slots[i]->peer)] = self->slots[i];
        }
    }
    rub_free(self->slots);
    self->slots = grown.slots;
    self->n_slots = grown.n_slots;
    return true;
}

rub_link_t *rub_links_add(rub_links_t *self, uint64_t peer, uint32_t rank, uint32_t epoch)
{
    if (self->n >= RUB_LINKS_LIMIT || !make_room(self)) {
        return NULL;
    }
    rub_link_t *link = rub_calloc(1, sizeof(*link));
    if (!link) {
        return NULL;
    }
    link->peer = peer;
    link->rank = rank;
    link->epoch = epoch;
    const size_t at = find_slot(self, peer);
    RUB_ASSERT(!self->slots[at]);
    self->slots[at] = link;
    self->n++;
    self->n_trainers += rank != UINT32_MAX ? 1 : 0;
    return link;
}

void rub_links_remove(rub_links_t *self, rub_link_t *link)
{
    RUB_ASSERT(!link->parked);
    RUB_ASSERT(!link->lists);
    size_t hole = find_slot(self, link->peer);
    RUB_ASSERT(self->slots[hole] == link);
    const size_t mask = self->n_slots - 1;
    for (size_t at = (hole + 1) & mask; self->slots[at]; at = (at + 1) & mask) {
        const size_t home = home_of(self, self->slots[at]->peer);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            self->slots[hole] = self->slots[at];
            hole = at;
        }
    }
    self->slots[hole] = NULL;
    self->n--;
    self->n_trainers -= link->rank != UINT32_MAX ? 1 : 0;
    rub_free(link);
}

rub_link_t *rub_links_stalest_reader(const rub_links_t *self)
{
    rub_link_t *stalest = NULL;
    for (size_t i = 0; i < self->n_slots; i++) {
        rub_link_t *link = self->slots[i];
        if (link && link->rank == UINT32_MAX && (!stalest || link->heard_ms < stalest->heard_ms)) {
            stalest = link;
        }
    }
    return stalest;
}
