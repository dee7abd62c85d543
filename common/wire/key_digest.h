/* What stands for the keys of a message that came before: sixteen bytes instead of eight a key.
 *
 * A session tells a shard a list of keys once (RUB_FLAG_REMEMBER) and says its digest from then on
 * (RUB_FLAG_DIGEST); a shard that does not know it says KEYS_UNKNOWN, and the keys come again. Each
 * session's lists are its own: who makes two lists with one digest harms nobody else. The digest
 * depends on every key and its place. Pinned: both ends compute it. Pure; any thread. */
#ifndef RUB_KEY_DIGEST_H
#define RUB_KEY_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define RUB_KEY_DIGEST_BYTES 16u
/* What a list counts beside its keys where lists are bounded in bytes, at both ends: much, so that
 * they are not many. */
#define RUB_KEY_LIST_OVERHEAD 256u

typedef struct rub_key_digest {
    uint64_t words[2];
} rub_key_digest_t;

/* keys: n little-endian u64, at any address. */
rub_key_digest_t rub_key_digest_of(const uint8_t *keys, size_t n);
/* As it stands on the wire: both words, little-endian. */
void rub_key_digest_write(const rub_key_digest_t *self, uint8_t out[RUB_KEY_DIGEST_BYTES]);
rub_key_digest_t rub_key_digest_read(const uint8_t in[RUB_KEY_DIGEST_BYTES]);

static inline int rub_key_digest_equal(const rub_key_digest_t *a, const rub_key_digest_t *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

static inline size_t rub_key_list_bytes(size_t n)
{
    return 12 * n + RUB_KEY_LIST_OVERHEAD; /* the keys, and where their rows lie */
}

#endif
