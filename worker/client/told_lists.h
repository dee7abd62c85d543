/* Which lists of keys one shard has been told on this connection, and which came before without
 * having been told (common/wire/key_digest.h): what decides how the keys of a message travel.
 *
 * A list that comes for the first time is only noted, by its digest. When it comes again it is
 * worth telling; from then on its digest stands for it. Bounded: so many noted, and told ones by
 * bytes. When these are full, one that was last used before the newcomer's last use gives way, and
 * if there is none nearby the newcomer is not told: keys that go round in more lists than there is
 * room for do not throw each other out.
 *
 * Pure; one thread. */
#ifndef RUB_TOLD_LISTS_H
#define RUB_TOLD_LISTS_H

#include "common/wire/key_digest.h"
#include "common/wire/packet.h"

typedef struct rub_told_lists rub_told_lists_t;

typedef enum {
    RUB_KEYS_SAY,      /* plain */
    RUB_KEYS_TELL,     /* plain, with RUB_FLAG_REMEMBER */
    RUB_KEYS_BY_DIGEST /* told: the digest is enough */
} rub_keys_form_t;

rub_told_lists_t *rub_told_lists_new(void); /* NULL when memory is short */
void rub_told_lists_destroy(rub_told_lists_t **self_p);

/* The form of these n keys, used now. limit_bytes: of what is told, as rub_key_list_bytes counts.
 * *list_p: with RUB_KEYS_BY_DIGEST the packet that has the plain keys, borrowed. */
rub_keys_form_t rub_told_lists_form(rub_told_lists_t *self, const uint64_t *keys, size_t n,
                                    size_t limit_bytes, rub_key_digest_t *digest,
                                    rub_packet_t **list_p);
/* A message with RUB_FLAG_REMEMBER is on its way. Nothing happens when memory is short. */
void rub_told_lists_told(rub_told_lists_t *self, const rub_packet_t *packet, size_t limit_bytes);
/* The shard does not know that one (NULL: any) any more. It will be told again. */
void rub_told_lists_forget(rub_told_lists_t *self, const rub_key_digest_t *digest);

#endif
