/* Whose turn it is. What was made ready counts only for the very stretch and epoch that is taken:
 * data that was dealt anew meanwhile is filled anew. */
#include "worker/train/batch_turns.h"

bool rub_batch_turns_take(rub_batch_turns_t *self, uint64_t first, uint64_t count)
{
    const rub_stretch_t *next = &self->holds[1 - self->current];
    if (next->epoch == self->epoch && next->first == first && next->count == count) {
        self->current = 1 - self->current;
        return true;
    }
    self->holds[self->current] = (rub_stretch_t){self->epoch, first, count};
    return false;
}

unsigned rub_batch_turns_ahead(rub_batch_turns_t *self, uint64_t first, uint64_t count)
{
    const unsigned ahead = 1 - self->current;
    self->holds[ahead] = (rub_stretch_t){self->epoch, first, count};
    return ahead;
}
