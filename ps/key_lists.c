/* Digests are looked up in a small table of chains: they are as good as random, so their low bits
 * choose the chain. They are no proof: lists of one digest can be made on purpose, and a session
 * may have to send what others chose. It tells only one of them at a time, but what it has told
 * before may still be on its way by the digest: once two were told, the digest stands for neither.
 * All lists also stand in a ring by last use, whose head is next to use and whose tail goes first.
 * Invariant: bytes is the sum over the ring. */
#include "ps/key_lists.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"

#include <stdint.h>
#include <string.h>

enum { CHAINS = 256 };

struct rub_key_list {
    rub_key_list_t *chained;       /* in its chain, or on the heap of forgotten ones */
    rub_key_list_t *newer, *older; /* in the ring; both: itself when alone */
    rub_key_digest_t digest;
    uint64_t used_ms;
    bool doubtful;          /* another list of that digest was told too: it stands for neither */
    rub_found_rows_t found; /* its rows stand behind the keys */
    size_t n;
    _Alignas(8) uint8_t keys[];
};

struct rub_key_lists {
    size_t bytes;
    rub_key_list_t *newest;
    rub_key_list_t *chains[CHAINS];
};

rub_key_lists_t *rub_key_lists_new(void)
{
    return rub_calloc(1, sizeof(rub_key_lists_t));
}

static rub_key_list_t **chain_of(rub_key_lists_t *self, const rub_key_digest_t *digest)
{
    return &self->chains[digest->words[0] % CHAINS];
}

static void enter_ring(rub_key_lists_t *self, rub_key_list_t *list)
{
    list->newer = list->older = list;
    if (self->newest) {
        list->older = self->newest;
        list->newer = self->newest->newer; /* the oldest */
        list->older->newer = list;
        list->newer->older = list;
    }
    self->newest = list;
}

static void leave_ring(rub_key_lists_t *self, rub_key_list_t *list)
{
    if (self->newest == list) {
        self->newest = list->older == list ? NULL : list->older;
    }
    list->older->newer = list->newer;
    list->newer->older = list->older;
}

static void forget(rub_key_lists_t *self, rub_key_list_t *list, rub_key_list_t **forgotten_p)
{
    rub_key_list_t **at = chain_of(self, &list->digest);
    while (*at != list) {
        RUB_ASSERT(*at);
        at = &(*at)->chained;
    }
    *at = list->chained;
    leave_ring(self, list);
    self->bytes -= rub_key_list_bytes(list->n);
    list->chained = *forgotten_p;
    *forgotten_p = list;
}

void rub_key_lists_destroy(rub_key_lists_t **self_p, rub_key_list_t **forgotten_p)
{
    rub_key_lists_t *self = *self_p;
    *self_p = NULL;
    while (self && self->newest) {
        forget(self, self->newest, forgotten_p);
    }
    rub_free(self);
}

/* NULL: none of so many keys is known. */
static rub_key_list_t *use(rub_key_lists_t *self, const rub_key_digest_t *digest, size_t n,
                           uint64_t now_ms)
{
    rub_key_list_t *list = *chain_of(self, digest);
    while (list && (!rub_key_digest_equal(&list->digest, digest) || list->n != n)) {
        list = list->chained;
    }
    if (list) {
        list->used_ms = now_ms;
        leave_ring(self, list);
        enter_ring(self, list);
    }
    return list;
}

const uint8_t *rub_key_lists_find(rub_key_lists_t *self, const rub_key_digest_t *digest, size_t n,
                                  uint64_t now_ms, rub_found_rows_t **found_p)
{
    rub_key_list_t *list = use(self, digest, n, now_ms);
    if (!list && RUB_MUTANT(LIST_OF_ANOTHER) && self->newest && self->newest->n == n) {
        list = self->newest;
    }
    if (!list || list->doubtful) {
        return NULL;
    }
    *found_p = &list->found;
    return list->keys;
}

void rub_key_lists_tell(rub_key_lists_t *self, const uint8_t *keys, size_t n, size_t limit_bytes,
                        uint64_t now_ms, rub_key_list_t **forgotten_p)
{
    const rub_key_digest_t digest = rub_key_digest_of(keys, n);
    rub_key_list_t *list = use(self, &digest, n, now_ms);
    if (list) {
        list->doubtful = list->doubtful || memcmp(list->keys, keys, 8 * n) != 0;
        return;
    }
    if (rub_key_list_bytes(n) > limit_bytes) {
        return;
    }
    list = rub_alloc(sizeof(*list) + (sizeof(uint64_t) + sizeof(uint32_t)) * n);
    if (!list) {
        return;
    }
    list->digest = digest;
    list->n = n;
    list->used_ms = now_ms;
    list->doubtful = false;
    memcpy(list->keys, keys, 8 * n);
    list->found = (rub_found_rows_t){.rows = (uint32_t *)(void *)(list->keys + 8 * n)};
    self->bytes += rub_key_list_bytes(n);
    while (self->newest && self->bytes > limit_bytes) {
        forget(self, self->newest->newer, forgotten_p);
    }
    list->chained = *chain_of(self, &digest);
    *chain_of(self, &digest) = list;
    enter_ring(self, list);
}

void rub_key_lists_forget_unused(rub_key_lists_t *self, uint64_t before_ms,
                                 rub_key_list_t **forgotten_p)
{
    while (self->newest && self->newest->newer->used_ms < before_ms) {
        forget(self, self->newest->newer, forgotten_p);
    }
}

size_t rub_key_lists_bytes(const rub_key_lists_t *self)
{
    return self ? self->bytes : 0;
}

void rub_key_lists_throw_away(rub_key_list_t **forgotten_p)
{
    while (*forgotten_p) {
        rub_key_list_t *list = *forgotten_p;
        *forgotten_p = list->chained;
        rub_free(list);
    }
}
