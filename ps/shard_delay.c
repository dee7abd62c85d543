/* How late a push is: what its gradient could not know, because it ended between the pull and the
 * push. Counted here, where both are seen, in periods of other ranks; a shard that has come back
 * does not remember the pull, and takes the push for punctual.
 *
 * None of this decides anything before it stands in the push's record: a replay reads the delay
 * there, and what was counted is of this process alone. */
#include "ps/shard_internal.h"

static uint64_t ended_by_others(const rub_shard_t *self, const rub_member_t *member)
{
    return self->n_ended - member->n_ended;
}

void rub_shard_note_read(rub_shard_t *self, uint32_t rank, uint64_t clock)
{
    rub_member_t *member = rub_members_find(&self->members, rank);
    if (!member || (member->reads[clock % RUB_READS_KEPT].made &&
                    member->reads[clock % RUB_READS_KEPT].clock == clock)) {
        return;
    }
    member->reads[clock % RUB_READS_KEPT].made = true;
    member->reads[clock % RUB_READS_KEPT].clock = clock;
    member->reads[clock % RUB_READS_KEPT].n_others = ended_by_others(self, member);
}

uint16_t rub_shard_delay(const rub_shard_t *self, const rub_member_t *member, uint64_t clock)
{
    const size_t at = clock % RUB_READS_KEPT;
    if (rub_shard_is_bsp(self) || !member->reads[at].made || member->reads[at].clock != clock) {
        return 0;
    }
    const uint64_t delay = ended_by_others(self, member) - member->reads[at].n_others;
    return delay < UINT16_MAX ? (uint16_t)delay : UINT16_MAX;
}
