/* A snapshot for people: for whom it waits, and what an observer that asks for one, or asks again,
 * is told. How it comes to be is in scheduler_snapshot.c; nothing here changes it but the beginning
 * of one that was asked for. The same nonce gets the same snapshot, so asking again is safe. */
#include "common/base/error.h"
#include "scheduler/scheduler_internal.h"

/* ---- for whom it waits ---- */

static void unreached(const rub_scheduler_t *self, uint32_t shard, rub_buf_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    bool any = false;
    for (uint32_t i = 0; i < snapshot->cut.n_ranks && out->bytes < RUB_SNAPSHOT_WAITS_ROOM; i++) {
        const rub_cut_rank_t *cut = &snapshot->cut.ranks[i];
        const rub_rank_report_t *report =
            rub_scheduler_report_of(&self->shards[shard], cut->rank, cut->epoch);
        if (report && report->done < cut->cut) {
            rub_buf_printf(out, "%s rank %u, at clock %llu, cut %llu", any ? "," : "", cut->rank,
                           (unsigned long long)report->done, (unsigned long long)cut->cut);
            any = true;
        }
    }
    if (!any) {
        rub_buf_printf(out, " its part");
    }
}

static void waits_for(const rub_scheduler_t *self, rub_buf_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const bool pinned = snapshot->n_pinned == self->config.n_shards;
    const uint32_t unsaid = pinned && snapshot->state == RUB_SNAPSHOT_PINNING
                                ? rub_scheduler_snapshot_unsaid(self)
                                : UINT32_MAX;
    if (unsaid != UINT32_MAX) {
        rub_buf_printf(out, "rank %u (%s) has not said where its stream can be cut", unsaid,
                       self->ranks[unsaid].who);
    }
    for (uint32_t i = 0; i < self->config.n_shards && out->bytes < RUB_SNAPSHOT_WAITS_ROOM; i++) {
        const char *separator = out->bytes ? "; " : "";
        if (snapshot->state == RUB_SNAPSHOT_PINNING && !snapshot->shards[i].pinned) {
            rub_buf_printf(out, "%sshard %u has not pinned its image", separator, i);
        } else if (snapshot->state == RUB_SNAPSHOT_CUT && !snapshot->shards[i].folded) {
            rub_buf_printf(out, "%sshard %u waits for", separator, i);
            unreached(self, i, out);
        }
    }
    rub_buf_u8(out, 0);
}

void rub_scheduler_snapshot_waits(const rub_scheduler_t *self, char *out, size_t out_bytes)
{
    rub_buf_t names;
    rub_buf_init(&names);
    waits_for(self, &names);
    rub_scheduler_text(out, out_bytes, names.failed ? "" : (const char *)names.data);
    rub_buf_fini(&names);
}

/* ---- observers ---- */

static void describe(const rub_scheduler_t *self, rub_snapshot_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const bool open = rub_scheduler_snapshot_open(self);
    *out = (rub_snapshot_t){.number = snapshot->number,
                            .state = snapshot->state,
                            .code = (uint64_t)-snapshot->failure,
                            .total_bytes = snapshot->total_bytes,
                            .rows = snapshot->rows,
                            .elapsed_ms =
                                (open ? self->now_ms : snapshot->over_ms) - snapshot->opened_ms,
                            .least_cut = snapshot->cut.least,
                            .greatest_cut = snapshot->cut.greatest,
                            .n_parts = snapshot->n_folded,
                            .n_shards = self->config.n_shards};
    if (open) {
        rub_scheduler_snapshot_waits(self, out->sentence, sizeof out->sentence);
    } else {
        rub_scheduler_text(out->sentence, sizeof out->sentence, snapshot->sentence);
    }
    rub_buf_t path;
    rub_buf_init(&path);
    rub_buf_printf(&path, "%s/" RUB_MANIFEST_FOLDER_NAME, self->config.snapshots_dir,
                   (unsigned long long)snapshot->number);
    rub_buf_u8(&path, 0);
    rub_scheduler_text(out->path, sizeof out->path, path.failed ? "" : (const char *)path.data);
    rub_buf_fini(&path);
}

void rub_scheduler_snapshot_note_end(rub_scheduler_t *self)
{
    rub_open_snapshot_t *snapshot = &self->snapshot;
    if (snapshot->reason == RUB_SNAPSHOT_ASKED_FOR) {
        describe(self, &snapshot->answered);
        memcpy(snapshot->answered_nonce, snapshot->nonce, sizeof snapshot->nonce);
    }
}

/* What is known of the snapshot that this nonce asked for, even if the next one has begun since. */
static bool recall(const rub_scheduler_t *self, const uint8_t *nonce, rub_snapshot_t *out)
{
    const rub_open_snapshot_t *snapshot = &self->snapshot;
    const size_t bytes = sizeof snapshot->nonce;
    if (snapshot->state != 0 && snapshot->reason == RUB_SNAPSHOT_ASKED_FOR &&
        memcmp(snapshot->nonce, nonce, bytes) == 0) {
        describe(self, out);
        return true;
    }
    if (snapshot->answered.number > 0 && memcmp(snapshot->answered_nonce, nonce, bytes) == 0) {
        *out = snapshot->answered;
        return true;
    }
    return false;
}

void rub_scheduler_snapshot_ask(rub_scheduler_t *self, rub_caller_t from,
                                const rub_snapshot_ask_t *ask)
{
    rub_error_t err = {0};
    if (ask->nonce_bytes != sizeof ask->nonce) {
        rub_fail(&err, RUB_EPROTO, "SNAPSHOT_ASK with a nonce of %u bytes, exactly 16",
                 ask->nonce_bytes);
        rub_scheduler_refuse(self, from, RUB_MSG_SNAPSHOT_ASK, &err, true);
        return;
    }
    rub_control_t reply = {.type = RUB_MSG_SNAPSHOT};
    if (!recall(self, ask->nonce, &reply.snapshot)) {
        if (rub_scheduler_snapshot_begin(self, RUB_SNAPSHOT_ASKED_FOR, ask->nonce, &err) < 0) {
            rub_scheduler_refuse(self, from, RUB_MSG_SNAPSHOT_ASK, &err, err.code != RUB_EBUSY);
            return;
        }
        describe(self, &reply.snapshot);
    }
    rub_scheduler_say(self, from, &reply);
}
