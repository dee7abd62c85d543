/* Keeping a view longer than the message it came in.
 *
 * A decoded view's lists live in the arena of one turn; whoever keeps the view copies it into an
 * arena of its own, lists included, so that old and new can be compared and the old be dropped
 * whole. */
#include "common/wire/control.h"

static bool copy_list(rub_arena_t *arena, const void *items, uint32_t n, size_t item_bytes,
                      void **copy_p)
{
    *copy_p = NULL;
    if (n == 0) {
        return true;
    }
    size_t bytes;
    if (__builtin_mul_overflow((size_t)n, item_bytes, &bytes)) {
        return false;
    }
    *copy_p = rub_arena_copy(arena, items, bytes);
    return *copy_p != NULL;
}

rub_view_t *rub_view_copy(const rub_view_t *view, rub_arena_t *arena)
{
    void *ranks;
    void *tables;
    void *shards;
    rub_view_t *copy = rub_arena_copy(arena, view, sizeof(*view));
    if (copy == NULL ||
        !copy_list(arena, view->ranks, view->n_ranks, sizeof(*view->ranks), &ranks) ||
        !copy_list(arena, view->tables, view->n_tables, sizeof(*view->tables), &tables) ||
        !copy_list(arena, view->shards, view->n_shards, sizeof(*view->shards), &shards)) {
        return NULL;
    }
    copy->ranks = ranks;
    copy->tables = tables;
    copy->shards = shards;
    return copy;
}
