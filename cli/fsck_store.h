/* What there is to say of one store. */
#ifndef RUB_FSCK_STORE_H
#define RUB_FSCK_STORE_H

#include <jansson.h>

/* Looks at the store in folder (ps/check_shard_store.h, scheduler/check_scheduler_store.h) while
 * nobody else can open it. The caller's object: store, kind (shard, scheduler), title and lines for
 * people, numbers, faults (sentences), verdict (clean, damaged, in use, ...), exit_code. NULL when
 * memory is short. May die of what it finds; call it in a process of its own. */
json_t *rub_fsck_store(const char *folder);

#endif
