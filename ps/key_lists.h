/* The key lists of one connection: keys that its session has told and may say by their digest
 * (common/wire/key_digest.h).
 *
 * Bounded in bytes by its owner; what was used longest ago gives way. They are a
 * short cut of the wire and nothing more: never in a record, a checkpoint or a snapshot, gone with
 * the connection. A list that went may still be borrowed by records of this turn: it is put on a
 * heap of forgotten ones, which whoever ends turns throws away.
 *
 * Pure; one thread. */
#ifndef RUB_KEY_LISTS_H
#define RUB_KEY_LISTS_H

#include "common/wire/key_digest.h"
#include "ps/table.h"

#include <stdbool.h>

typedef struct rub_key_lists rub_key_lists_t;
typedef struct rub_key_list rub_key_list_t;

rub_key_lists_t *rub_key_lists_new(void); /* NULL when memory is short */
/* All that it has goes to *forgotten_p. NULL is fine. */
void rub_key_lists_destroy(rub_key_lists_t **self_p, rub_key_list_t **forgotten_p);

/* Remembers n keys, copied, as used now. limit_bytes: of all, as rub_key_list_bytes counts; what
 * has to give way goes to *forgotten_p, and a list that is too long alone is not remembered. One
 * that is known is only used; if it is another list of the same digest, that digest is not known
 * any more. Memory that is short forgets it, as if it had not been told. */
void rub_key_lists_tell(rub_key_lists_t *self, const uint8_t *keys, size_t n, size_t limit_bytes,
                        uint64_t now_ms, rub_key_list_t **forgotten_p);
/* The n keys of that digest, used now; NULL: no list of so many is known by it. *found_p: where
 * their rows are remembered. Both are borrowed until the list is thrown away. */
const uint8_t *rub_key_lists_find(rub_key_lists_t *self, const rub_key_digest_t *digest, size_t n,
                                  uint64_t now_ms, rub_found_rows_t **found_p);
/* Those that were used last before that time go to *forgotten_p. */
void rub_key_lists_forget_unused(rub_key_lists_t *self, uint64_t before_ms,
                                 rub_key_list_t **forgotten_p);
size_t rub_key_lists_bytes(const rub_key_lists_t *self); /* NULL: 0 */

/* Frees what was forgotten, and empties the heap. */
void rub_key_lists_throw_away(rub_key_list_t **forgotten_p);

#endif
