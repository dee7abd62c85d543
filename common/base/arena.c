/* Bump allocation.
 *
 * A turn of a reactor needs many small things that all die together. Blocks form a list, newest
 * first; only the newest is bumped. Each block is at least twice as large as the one before, so
 * after a few turns reset keeps one block that holds a whole turn and malloc is not called any
 * more. Invariant: used_bytes is a multiple of 16 and at most the newest block's capacity, so what
 * is handed out is 16-byte aligned.
 *
 * Under AddressSanitizer the unused part of a block is poisoned: reading past an item, or an item
 * after reset, is found there although the memory is still ours. */
#include "common/base/arena.h"

#include "common/base/alloc.h"

#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, bytes) ASAN_POISON_MEMORY_REGION((p), (bytes))
#define UNPOISON(p, bytes) ASAN_UNPOISON_MEMORY_REGION((p), (bytes))
#else
#define POISON(p, bytes) ((void)(p), (void)(bytes))
#define UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif

enum { ALIGNMENT = 16, FIRST_BLOCK_BYTES = 4096 };

struct rub_arena_block {
    struct rub_arena_block *older;
    size_t capacity;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

void rub_arena_init(rub_arena_t *self)
{
    *self = (rub_arena_t){0};
}

/* Frees the list from block on. */
static void free_blocks(rub_arena_block_t *block)
{
    while (block != NULL) {
        rub_arena_block_t *older = block->older;
        UNPOISON(block->bytes, block->capacity);
        rub_free(block);
        block = older;
    }
}

void rub_arena_fini(rub_arena_t *self)
{
    free_blocks(self->blocks);
    *self = (rub_arena_t){0};
}

/* Puts a block in front that holds at least want bytes; false when memory is short. */
static int add_block(rub_arena_t *self, size_t want)
{
    size_t capacity = FIRST_BLOCK_BYTES;
    if (self->blocks != NULL && self->blocks->capacity <= SIZE_MAX / 4) {
        capacity = 2 * self->blocks->capacity;
    }
    if (capacity < want) {
        capacity = want;
    }
    rub_arena_block_t *block = rub_alloc_aligned(ALIGNMENT, sizeof(*block) + capacity);
    if (block == NULL) {
        return 0;
    }
    block->older = self->blocks;
    block->capacity = capacity;
    POISON(block->bytes, block->capacity);
    self->blocks = block;
    self->used_bytes = 0;
    return 1;
}

void *rub_arena_alloc(rub_arena_t *self, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    const size_t taken = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (self->blocks == NULL || taken > self->blocks->capacity - self->used_bytes) {
        if (!add_block(self, taken)) {
            return NULL;
        }
    }
    uint8_t *p = self->blocks->bytes + self->used_bytes;
    self->used_bytes += taken;
    UNPOISON(p, bytes);
    return p;
}

void *rub_arena_calloc(rub_arena_t *self, size_t count, size_t item_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        return NULL;
    }
    void *p = rub_arena_alloc(self, bytes);
    return p == NULL ? NULL : memset(p, 0, bytes);
}

void *rub_arena_copy(rub_arena_t *self, const void *data, size_t bytes)
{
    void *p = rub_arena_alloc(self, bytes);
    if (p != NULL && bytes > 0) {
        memcpy(p, data, bytes);
    }
    return p;
}

char *rub_arena_strdup(rub_arena_t *self, const char *text)
{
    return rub_arena_copy(self, text, strlen(text) + 1);
}

void rub_arena_reset(rub_arena_t *self)
{
    rub_arena_block_t *newest = self->blocks; /* the largest, since blocks only grow */
    self->used_bytes = 0;
    if (newest != NULL) {
        free_blocks(newest->older);
        newest->older = NULL;
        POISON(newest->bytes, newest->capacity);
    }
}
