/* The data of a job that is made of a snapshot in a simulated world, and its clock: what the new
 * scheduler will deal is what nobody had trained below the cut, no more and no less, and nothing
 * twice. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "scheduler/scheduler_internal.h"
#include "tests/sim/sim.h"

static bool before(const rub_cursor_t *a, const rub_cursor_t *b)
{
    return a->epoch != b->epoch   ? a->epoch < b->epoch
           : a->piece != b->piece ? a->piece < b->piece
                                  : a->done < b->done;
}

/* The least of all parts, as the product takes it. */
static void take_rank(rub_scheduler_cut_t *cut, const rub_part_rank_t *rank, bool first)
{
    const uint64_t done = rank->done < rank->cut ? rank->done : rank->cut;
    cut->done = first || done < cut->done ? done : cut->done;
    if (rank->cursor_bytes == sizeof(rub_cursor_t)) {
        const rub_cursor_t cursor = {rub_get_u64(rank->cursor), rub_get_u64(rank->cursor + 8),
                                     rub_get_u64(rank->cursor + 16)};
        cut->cursor = !cut->has_cursor || before(&cursor, &cut->cursor) ? cursor : cut->cursor;
        cut->has_cursor = true;
    }
}

/* ---- the data ---- */

void rub_sim_restore_trained(rub_sim_t *sim, const rub_sim_actor_t *actor, uint64_t clock,
                             uint64_t examples)
{
    if (examples == 0) {
        return;
    }
    const rub_sim_trained_t trained = {
        .rank = actor->rank,
        .rank_epoch = actor->rank_epoch,
        .clock = clock,
        .data_epoch = actor->cursor.epoch,
        .first = actor->piece_first + actor->cursor.done,
        .count = examples,
    };
    RUB_ASSERT(
        rub_grow(&sim->trained, &sim->trained_capacity, sim->n_trained + 1, sizeof(trained)) == 0);
    sim->trained[sim->n_trained++] = trained;
}

bool rub_sim_restore_is_below(const rub_manifest_t *manifest, const rub_sim_trained_t *trained)
{
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        if (manifest->ranks[i].rank == trained->rank &&
            manifest->ranks[i].epoch == trained->rank_epoch) {
            return trained->clock < manifest->ranks[i].cut;
        }
    }
    return false;
}

/* In a world where nobody ended before its time: who is not in the cut has trained nothing of what
 * it holds. What the power took on one shard of several may be dealt again. */
static void check_data(rub_sim_t *sim, const rub_manifest_t *manifest, const rub_ledger_t *ledger)
{
    uint8_t n_times[SIM_EXAMPLES] = {0};
    if (!ledger->begun || sim->disturbed) {
        return;
    }
    RUB_ASSERT(sim->n_examples <= SIM_EXAMPLES);
    for (size_t i = 0; i < sim->n_trained; i++) {
        const rub_sim_trained_t *trained = &sim->trained[i];
        for (uint64_t e = 0; e < trained->count && trained->data_epoch == ledger->data_epoch &&
                             rub_sim_restore_is_below(manifest, trained);
             e++) {
            n_times[trained->first + e]++;
        }
    }
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        for (uint64_t e = 0; e < ledger->pieces[i].count; e++) {
            n_times[ledger->pieces[i].first + e] += ledger->pieces[i].state == RUB_LEDGER_FREE;
        }
    }
    for (uint64_t e = 0; e < sim->n_examples; e++) {
        const unsigned n = n_times[e] + (e >= ledger->next_first);
        if (n == 0 || (n > 1 && sim->counts[SIM_N_LOST] == 0)) {
            rub_sim_broken(sim,
                           "restore: example %llu of data epoch %llu is %s snapshot %llu's cut and "
                           "in what is dealt behind it",
                           (unsigned long long)e, (unsigned long long)ledger->data_epoch,
                           n == 0 ? "neither below" : "twice below",
                           (unsigned long long)manifest->number);
            return;
        }
    }
}

bool rub_sim_restore_scheduler(rub_sim_t *sim, const rub_manifest_t *manifest,
                               const rub_scheduler_config_t *config, uint64_t *clock_p)
{
    rub_error_t err = {0};
    rub_scheduler_cut_t *cuts = rub_calloc(manifest->n_ranks + 1, sizeof(*cuts));
    rub_scheduler_t *core = rub_scheduler_new(config, &(rub_scheduler_effects_t){0});
    rub_scheduler_place_t place = {0};
    uint64_t again = 0;
    RUB_ASSERT(cuts && core);
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        cuts[i].rank = manifest->ranks[i].rank;
        cuts[i].epoch = manifest->ranks[i].epoch;
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            take_rank(&cuts[i], &rub_sim_part_head(sim->shards[s].part)->ranks[i], s == 0);
        }
    }
    const int rc = rub_scheduler_restore(core, manifest->states, manifest->n_states, cuts,
                                         manifest->n_ranks, &place, &again, &err);
    if (rc != 0) {
        rub_sim_broken(sim, "restore: of snapshot %llu no scheduler can be made: %s",
                       (unsigned long long)manifest->number, err.message);
    } else {
        check_data(sim, manifest, &core->ledger);
    }
    *clock_p = place.clock;
    rub_free(cuts);
    rub_scheduler_destroy(&core);
    return rc == 0 && sim->violation[0] == '\0';
}
