/* Evaluations of the model: which one is the best, whether its snapshot is kept, and when to stop.
 *
 * Trainers measure the model together and tell the value in a barrier. Judged is here, once for
 * all: the answer is part of the state that is committed and of the view, so nobody who dies, joins
 * late or is restored from a snapshot can come to another one. The barrier is the place where the
 * weights that were measured are the weights: nobody pushes. So the snapshot of the best evaluation
 * is begun while all stand there, and they are released once its cut is fixed: every rank rests,
 * hence every cut is where its rank stands, and the snapshot holds what was measured. Folding goes
 * on behind the release, and behind the training's end.
 *
 * Early stopping with patience: Prechelt, "Early Stopping - But When?", 1998. One best snapshot is
 * kept: the one before goes once the new one is whole. One that is being taken for another reason
 * gives way, since its ranks would have to go on; who asked for it is told to ask again. */
#include "scheduler/scheduler_internal.h"

#include <math.h>

/* The rank that tells the latest evaluation; NULL: this is a barrier of another kind. */
static const rub_rank_entry_t *teller(const rub_scheduler_t *self)
{
    const rub_rank_entry_t *found = NULL;
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        const rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state == RUB_RANK_LIVE && rank->stand == RUB_STAND_ENTERED &&
            rank->evaluation > (found ? found->evaluation : 0) && isfinite(rank->value)) {
            found = rank;
        }
    }
    return found;
}

static void judge(rub_scheduler_t *self, const rub_rank_entry_t *told)
{
    rub_judge_t *judge = &self->judge;
    judge->evaluation = told->evaluation;
    judge->tried = false;
    memcpy(judge->metric, told->metric, sizeof judge->metric);
    if (judge->best.evaluation == 0 || told->value > judge->best.value) {
        judge->best = (rub_judged_t){.evaluation = told->evaluation, .value = told->value};
        judge->n_worse = 0;
    } else {
        judge->n_worse++;
    }
    if (told->patience > 0 && judge->n_worse >= told->patience && judge->stopped == 0) {
        judge->stopped = told->evaluation;
        rub_scheduler_notice(self,
                             "evaluation %llu: none of the last %llu was better than number %llu; "
                             "the training stops",
                             (unsigned long long)judge->evaluation,
                             (unsigned long long)judge->n_worse,
                             (unsigned long long)judge->best.evaluation);
    }
    rub_scheduler_change(self);
}

static void begin_snapshot(rub_scheduler_t *self)
{
    rub_judge_t *judge = &self->judge;
    rub_error_t err = {0};
    judge->tried = true;
    if (rub_scheduler_snapshot_open(self)) {
        rub_scheduler_snapshot_give_up(self, RUB_EBUSY,
                                       "the best evaluation's is taken instead; ask again");
    }
    if (rub_scheduler_snapshot_begin(self, RUB_SNAPSHOT_OF_THE_BEST, NULL, &err) < 0) {
        rub_scheduler_notice(self, "no snapshot of evaluation %llu: %s",
                             (unsigned long long)judge->best.evaluation, err.message);
        return;
    }
    judge->best.number = self->snapshot.number;
    rub_buf_t path;
    rub_buf_init(&path);
    rub_buf_printf(&path, "%s/" RUB_MANIFEST_FOLDER_NAME, self->config.snapshots_dir,
                   (unsigned long long)self->snapshot.number);
    rub_buf_u8(&path, 0);
    rub_scheduler_text(judge->best.path, sizeof judge->best.path,
                       path.failed ? "" : (const char *)path.data);
    rub_buf_fini(&path);
}

bool rub_scheduler_judge_open(const rub_scheduler_t *self)
{
    return rub_scheduler_snapshot_open(self) && self->snapshot.reason == RUB_SNAPSHOT_OF_THE_BEST &&
           self->snapshot.number == self->judge.best.number;
}

bool rub_scheduler_judge_holds(rub_scheduler_t *self)
{
    rub_judge_t *judge_of = &self->judge;
    const rub_rank_entry_t *told = teller(self);
    if (!told) {
        return false;
    }
    if (told->evaluation > judge_of->evaluation) {
        judge(self, told);
    }
    /* Also after a restart of this process, which gave up what was being taken: the weights are
     * still those. */
    if (told->keep && told->evaluation == judge_of->best.evaluation && !judge_of->tried &&
        judge_of->kept.evaluation != told->evaluation) {
        begin_snapshot(self);
    }
    return rub_scheduler_judge_open(self) && self->snapshot.state == RUB_SNAPSHOT_PINNING;
}

void rub_scheduler_judge_keep(rub_scheduler_t *self, uint64_t number)
{
    rub_judge_t *judge_of = &self->judge;
    if (self->snapshot.reason != RUB_SNAPSHOT_OF_THE_BEST || number != judge_of->best.number) {
        return;
    }
    if (judge_of->kept.number > 0) {
        rub_scheduler_snapshot_replace(self, judge_of->kept.number);
    }
    judge_of->kept = judge_of->best;
}

void rub_scheduler_judge_tell(const rub_scheduler_t *self, rub_status_t *status)
{
    const rub_judge_t *judge_of = &self->judge;
    status->evaluation = judge_of->evaluation;
    status->best_evaluation = judge_of->best.evaluation;
    status->best_value = judge_of->best.value;
    status->kept_evaluation = judge_of->kept.evaluation;
    status->kept_value = judge_of->kept.value;
    rub_scheduler_text(status->kept_path, sizeof status->kept_path, judge_of->kept.path);
    status->stopped = judge_of->stopped;
    memcpy(status->metric, judge_of->metric, sizeof judge_of->metric);
}

/* ---- across restarts and snapshots ---- */

static void write_judged(rub_buf_t *out, const rub_judged_t *judged)
{
    rub_buf_u64(out, judged->evaluation);
    rub_buf_f64(out, judged->value);
    rub_buf_u64(out, judged->number);
    rub_buf_str(out, judged->path);
}

static void read_judged(rub_reader_t *in, rub_judged_t *judged)
{
    judged->evaluation = rub_read_u64(in);
    judged->value = rub_read_f64(in);
    judged->number = rub_read_u64(in);
    rub_read_str(in, judged->path, sizeof judged->path);
}

void rub_scheduler_judge_write_state(const rub_scheduler_t *self, rub_buf_t *out)
{
    rub_buf_u64(out, self->judge.evaluation);
    rub_buf_u64(out, self->judge.stopped);
    rub_buf_u64(out, self->judge.n_worse);
    rub_buf_str(out, self->judge.metric);
    write_judged(out, &self->judge.best);
    write_judged(out, &self->judge.kept);
}

void rub_scheduler_judge_read_state(rub_scheduler_t *self, rub_reader_t *in)
{
    self->judge.evaluation = rub_read_u64(in);
    self->judge.stopped = rub_read_u64(in);
    self->judge.n_worse = rub_read_u64(in);
    rub_read_str(in, self->judge.metric, sizeof self->judge.metric);
    read_judged(in, &self->judge.best);
    read_judged(in, &self->judge.kept);
}

void rub_scheduler_judge_restore(rub_scheduler_t *self, const rub_scheduler_t *old)
{
    self->judge = old->judge;
    /* The state lies in a whole snapshot: if it was the best one's, that one is kept. */
    if (old->judge.best.number > 0 && old->judge.best.number == old->snapshot.number) {
        self->judge.kept = old->judge.best;
    }
    self->judge.best.number = 0; /* of another job: never ours to remove */
    self->judge.kept.number = 0;
    self->judge.stopped = 0; /* whoever goes on wants to go on */
    self->judge.tried = false;
}
