/* Bump allocation for what lives as long as one request or one turn: no free per item; reset gives
 * all back. */
#ifndef RUB_ARENA_H
#define RUB_ARENA_H

#include <stddef.h>

typedef struct rub_arena_block rub_arena_block_t;
typedef struct rub_arena {
    rub_arena_block_t *blocks; /* newest first */
    size_t used_bytes;         /* of the newest block */
} rub_arena_t;

void rub_arena_init(rub_arena_t *self);
void rub_arena_fini(rub_arena_t *self);

/* 16-byte aligned, uninitialised; NULL when memory is short. Valid until reset or fini. */
void *rub_arena_alloc(rub_arena_t *self, size_t bytes);
void *rub_arena_calloc(rub_arena_t *self, size_t count, size_t item_bytes);
void *rub_arena_copy(rub_arena_t *self, const void *data, size_t bytes);
char *rub_arena_strdup(rub_arena_t *self, const char *text);

/* Gives everything back; keeps the largest block for the next turn. */
void rub_arena_reset(rub_arena_t *self);

#endif
