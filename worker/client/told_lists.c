/* Notes stand in sets of four, chosen by the digest's low bits, so that one look-up costs one or
 * two lines of memory and the whole is bounded without a list. A told note keeps its keys: a
 * message that was said by digest and must be said again needs them, and a list is only said by its
 * digest when it is that one, key by key: rows do not depend on how good the digest is. Invariant:
 * told_bytes is the sum over notes with a list. */
#include "worker/client/told_lists.h"

#include "common/base/alloc.h"

#include <string.h>

enum {
    SETS = 512,
    WAYS = 4,
    LOOKS = 64 /* notes that are looked at for one that gives way */
};

typedef struct note {
    rub_key_digest_t digest;
    size_t n;
    uint64_t used;      /* 0: free */
    rub_packet_t *list; /* NULL: not told */
} note_t;

struct rub_told_lists {
    uint64_t now; /* uses so far */
    size_t told_bytes;
    size_t hand; /* where the next look for one that gives way begins */
    note_t notes[SETS * WAYS];
};

rub_told_lists_t *rub_told_lists_new(void)
{
    return rub_calloc(1, sizeof(rub_told_lists_t));
}

static void untell(rub_told_lists_t *self, note_t *note)
{
    if (note->list) {
        self->told_bytes -= rub_key_list_bytes(note->n);
        rub_packet_unref(&note->list);
    }
}

void rub_told_lists_destroy(rub_told_lists_t **self_p)
{
    rub_told_lists_t *self = *self_p;
    *self_p = NULL;
    for (size_t i = 0; self && i < SETS * WAYS; i++) {
        untell(self, &self->notes[i]);
    }
    rub_free(self);
}

static note_t *find(rub_told_lists_t *self, const rub_key_digest_t *digest, size_t n)
{
    note_t *set = &self->notes[digest->words[0] % SETS * WAYS];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].used && set[i].n == n && rub_key_digest_equal(&set[i].digest, digest)) {
            return &set[i];
        }
    }
    return NULL;
}

/* In the place of the set's oldest, and rather of one that is not told. */
static void take_note(rub_told_lists_t *self, const rub_key_digest_t *digest, size_t n)
{
    note_t *set = &self->notes[digest->words[0] % SETS * WAYS];
    note_t *worst = &set[0];
    for (size_t i = 1; i < WAYS; i++) {
        const bool same = !set[i].list == !worst->list;
        if (same ? set[i].used < worst->used : !set[i].list) {
            worst = &set[i];
        }
    }
    untell(self, worst);
    *worst = (note_t){.digest = *digest, .n = n, .used = self->now};
}

/* Room for a list whose use before this one was at `before`. */
static bool make_room(rub_told_lists_t *self, size_t bytes, size_t limit_bytes, uint64_t before)
{
    for (size_t i = 0; i < LOOKS && self->told_bytes + bytes > limit_bytes; i++) {
        note_t *note = &self->notes[self->hand];
        self->hand = (self->hand + 1) % (SETS * WAYS);
        if (note->list && note->used < before) {
            untell(self, note);
        }
    }
    return self->told_bytes + bytes <= limit_bytes;
}

rub_keys_form_t rub_told_lists_form(rub_told_lists_t *self, const uint64_t *keys, size_t n,
                                    size_t limit_bytes, rub_key_digest_t *digest,
                                    rub_packet_t **list_p)
{
    *digest = rub_key_digest_of((const uint8_t *)keys, n);
    self->now++;
    note_t *note = find(self, digest, n);
    if (!note) {
        take_note(self, digest, n);
        return RUB_KEYS_SAY;
    }
    const uint64_t before = note->used;
    note->used = self->now;
    if (note->list && memcmp(rub_packet_keys(note->list), keys, 8 * n) != 0) {
        return RUB_KEYS_SAY; /* two lists with one digest: this one is always said */
    }
    if (note->list) {
        *list_p = note->list;
        return RUB_KEYS_BY_DIGEST;
    }
    return make_room(self, rub_key_list_bytes(n), limit_bytes, before) ? RUB_KEYS_TELL
                                                                       : RUB_KEYS_SAY;
}

void rub_told_lists_told(rub_told_lists_t *self, const rub_packet_t *packet, size_t limit_bytes)
{
    const rub_frame_t frame = rub_packet_frame(packet);
    const size_t n = frame.header.n_keys;
    const rub_key_digest_t digest = rub_key_digest_of(frame.keys, n);
    note_t *note = find(self, &digest, n);
    if (!note || note->list || self->told_bytes + rub_key_list_bytes(n) > limit_bytes) {
        return;
    }
    const rub_header_t header = {.type = RUB_MSG_PULL, .n_keys = frame.header.n_keys};
    note->list = rub_packet_new(&header, frame.keys_bytes, 0);
    if (note->list) {
        memcpy(rub_packet_keys(note->list), frame.keys, frame.keys_bytes);
        self->told_bytes += rub_key_list_bytes(n);
    }
}

void rub_told_lists_forget(rub_told_lists_t *self, const rub_key_digest_t *digest)
{
    note_t *note = digest ? NULL : self->notes;
    for (size_t i = 0; note && i < SETS * WAYS; i++) {
        untell(self, &note[i]);
    }
    for (size_t i = 0; digest && i < WAYS; i++) {
        note = &self->notes[digest->words[0] % SETS * WAYS + i];
        if (note->used && rub_key_digest_equal(&note->digest, digest)) {
            untell(self, note);
        }
    }
}
