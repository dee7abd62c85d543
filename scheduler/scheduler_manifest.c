/* What a snapshot says of the job besides its shards' parts: the manifest, without which a folder
 * is no snapshot.
 *
 * The scheduler's state goes in as it is when the cut is fixed, as it was before the last data
 * epoch that had begun by then, before each one that begins after that, and at the end: whoever
 * restores takes the one of the cut's data epoch, since a ledger of pieces is of one data epoch.
 * When ranks rest at the end of an epoch while the shards are pinned, that is the one before. Until
 * then the states are kept beside the snapshot. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

static int write_state(rub_scheduler_t *self, rub_buf_t *out, rub_error_t *err)
{
    self->snapshot.noting = true;
    const int rc = rub_scheduler_state_write(self, out);
    self->snapshot.noting = false;
    return rc < 0 ? rub_fail(err, RUB_ENOMEM, "no memory for the scheduler's state") : 0;
}

void rub_scheduler_manifest_note_epoch(rub_scheduler_t *self)
{
    rub_buf_t *state = &self->snapshot.before_epoch;
    rub_buf_reset(state);
    if (RUB_MUTANT(EPOCH_UNNOTED) || write_state(self, state, NULL) != 0) {
        rub_buf_reset(state); /* a cut that needs it is refused when it is restored */
    }
}

void rub_scheduler_manifest_write_state(const rub_scheduler_t *self, rub_buf_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const size_t n_bytes = snapshot->noting ? 0 : snapshot->before_epoch.bytes;
    rub_buf_u32(out, (uint32_t)n_bytes);
    rub_buf_append(out, snapshot->before_epoch.data, n_bytes);
}

void rub_scheduler_manifest_read_state(rub_scheduler_t *self, rub_reader_t *in)
{
    const uint32_t n_bytes = rub_read_u32(in);
    const void *bytes = rub_read_bytes(in, n_bytes);
    if (bytes) {
        rub_buf_append(&self->snapshot.before_epoch, bytes, n_bytes);
    }
}

int rub_scheduler_manifest_note_cut(rub_scheduler_t *self, rub_error_t *err)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    const int rc = rub_scheduler_manifest_note(self, err);
    if (rc != 0 || snapshot->before_epoch.bytes == 0) {
        return rc;
    }
    rub_buf_t *state = &snapshot->states[snapshot->n_states++];
    rub_buf_init(state);
    rub_buf_append(state, snapshot->before_epoch.data, snapshot->before_epoch.bytes);
    return state->failed ? rub_fail(err, RUB_ENOMEM, "no memory for the scheduler's state") : 0;
}

int rub_scheduler_manifest_note(rub_scheduler_t *self, rub_error_t *err)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->n_states >= RUB_SNAPSHOT_STATES_LIMIT) {
        return rub_fail(err, RUB_ELIMIT,
                        "%u data epochs have begun before all ranks came to the "
                        "cut",
                        snapshot->n_states);
    }
    rub_buf_t *state = &snapshot->states[snapshot->n_states];
    rub_buf_init(state);
    const int rc = write_state(self, state, err);
    if (rc != 0) {
        rub_buf_fini(state);
        return rc;
    }
    snapshot->n_states++;
    return 0;
}

int rub_scheduler_manifest_write(rub_scheduler_t *self, rub_error_t *err)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    const rub_scheduler_config_t *config = &self->config;
    rub_manifest_rank_t *ranks = rub_calloc(snapshot->cut.n_ranks + 1u, sizeof *ranks);
    rub_span_t states[RUB_SNAPSHOT_STATES_LIMIT];
    if (!ranks) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a manifest");
    }
    for (uint32_t i = 0; i < snapshot->cut.n_ranks; i++) {
        const rub_cut_rank_t *cut = &snapshot->cut.ranks[i];
        ranks[i] = (rub_manifest_rank_t){.rank = cut->rank, .epoch = cut->epoch, .cut = cut->cut};
    }
    for (uint32_t i = 0; i < snapshot->n_states; i++) {
        states[i] = (rub_span_t){snapshot->states[i].data, snapshot->states[i].bytes};
    }
    rub_manifest_t manifest = {
        .number = snapshot->number,
        .job = self->job,
        .n_workers = config->n_workers,
        .n_shards = config->n_shards,
        .staleness = config->staleness,
        .reduce = config->reduce,
        .seed = config->seed,
        .parts = snapshot->parts,
        .ranks = ranks,
        .n_ranks = snapshot->cut.n_ranks,
        .states = states,
        .n_states = snapshot->n_states,
    };
    const int rc = self->effects.snapshot_write(self->effects.context, &manifest,
                                                rub_scheduler_since(self, snapshot->cut_ms), err);
    rub_free(ranks);
    return rc;
}

void rub_scheduler_manifest_forget(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    for (uint32_t i = 0; i < snapshot->n_states; i++) {
        rub_buf_fini(&snapshot->states[i]);
    }
    snapshot->n_states = 0;
}
