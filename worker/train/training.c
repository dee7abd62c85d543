/* The worker's loop: take a batch -> pull (prefetch the next) -> compute -> push -> clock; at an
 * epoch's end all meet in a barrier, each validates its share of the test set on the same
 * parameters, and a second barrier adds the shares up. The two barriers make the validation exact
 * under every staleness bound: between them nobody pushes. Where validations are judged a third one
 * follows, in which all tell the same figure and hear whether to go on (rub_judge); the snapshot of
 * the best weights is cut while they stand there. */
#include "worker/train/training.h"

#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/train/share.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOSS_MEMORY 0.98 /* of the running loss, per batch */

typedef struct training {
    rub_session_t *session;
    rub_task_t *task;
    const rub_training_plan_t *plan;
    const rub_log_t *log;
    rub_share_t share;
    rub_progress_t progress;
    uint64_t train_us; /* spent on batches, not on barriers and validation */
    double running_loss;
    bool has_loss;    /* some batch had one */
    bool is_arranged; /* the task's examples are, in the order of arranged_epoch */
    uint64_t arranged_epoch;
    double epoch_sums[RUB_TASK_SUMS];
} training_t;

/* A batch may count no examples, as one whose words were all sampled away: it has no mean loss. */
static void note_batch(training_t *self, const double sums[RUB_TASK_SUMS], uint64_t count)
{
    rub_progress_t *progress = &self->progress;
    if (sums[RUB_SUM_EXAMPLES] > 0) {
        const double mean = sums[RUB_SUM_LOSS] / sums[RUB_SUM_EXAMPLES];
        self->running_loss =
            self->has_loss ? LOSS_MEMORY * self->running_loss + (1 - LOSS_MEMORY) * mean : mean;
        self->has_loss = true;
    }
    progress->loss = self->running_loss;
    progress->step++;
    progress->examples += count;
    rub_session_progress(self->session, progress);
}

/* Experiments with slow workers: sleeps after a batch's computing as the plan's pace says. */
static void rest(const training_t *self, uint64_t computed_us)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    const uint64_t us =
        rub_pace_rest_us(&self->plan->pace, info.rank, info.n_workers, info.clock, computed_us);
    if (us > 0) {
        rub_sleep_us(us);
    }
}

/* Puts the examples into the order of a data epoch, unless they are. */
static int arrange(training_t *self, uint64_t epoch, rub_error_t *err)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    if (self->is_arranged && self->arranged_epoch == epoch) {
        return 0;
    }
    self->is_arranged = true;
    self->arranged_epoch = epoch;
    return self->task->kind->order(self->task, info.seed, epoch, err);
}

/* Asks for the next batch's parameters if that batch is known; also across an epoch's end, where
 * these are good for as long as the clock stays: the barrier then costs no pull. */
static int prefetch(training_t *self, rub_error_t *err)
{
    const rub_task_kind_t *kind = self->task->kind;
    const uint64_t next_epoch = self->progress.epoch + 1;
    uint64_t first = 0, count = 0;
    if (!self->plan->prefetch) {
        return 0;
    }
    if (rub_share_peek(&self->share, &first, &count)) {
        return kind->prefetch(self->task, first, count, err);
    }
    if (kind->forget || next_epoch >= self->plan->epochs ||
        !rub_share_peek_beyond(&self->share, &first, &count)) {
        return 0;
    }
    const int rc = arrange(self, next_epoch, err);
    return rc ? rc : kind->prefetch(self->task, first, count, err);
}

static int train_batch(training_t *self, uint64_t first, uint64_t count, rub_error_t *err)
{
    const rub_task_kind_t *kind = self->task->kind;
    double sums[RUB_TASK_SUMS] = {0};
    const uint64_t taken_from_us = rub_now_us();
    int rc = kind->take(self->task, first, count, err);
    const uint64_t taken_us = rub_now_us() - taken_from_us;
    rc = rc ? rc : kind->pull(self->task, err);
    rc = rc ? rc : prefetch(self, err);
    const uint64_t computed_from_us = rub_now_us();
    rc = rc ? rc : kind->compute(self->task, sums, err);
    if (rc) {
        return rc;
    }
    if (!isfinite(sums[RUB_SUM_LOSS])) {
        return rub_fail(err, RUB_EDIVERGED,
                        "the loss of batch %llu in epoch %llu is not finite; try a smaller lr",
                        (unsigned long long)self->progress.step,
                        (unsigned long long)self->progress.epoch);
    }
    rest(self, taken_us + rub_now_us() - computed_from_us);
    rc = kind->push(self->task, err);
    if (rc == RUB_ENAN) {
        return rub_wrap(err, RUB_EDIVERGED, "training diverged in epoch %llu",
                        (unsigned long long)self->progress.epoch);
    }
    if (rc) {
        return rc;
    }
    const rub_cursor_t cursor = rub_share_cursor(&self->share);
    rc = rub_clock(self->session, &cursor, sizeof(cursor), err);
    for (size_t i = 0; i < RUB_TASK_SUMS; i++) {
        self->epoch_sums[i] += sums[i];
    }
    note_batch(self, sums, count);
    return rc;
}

static int train_epoch(training_t *self, uint64_t epoch, rub_error_t *err)
{
    self->progress.epoch = epoch;
    memset(self->epoch_sums, 0, sizeof(self->epoch_sums));
    int rc = arrange(self, epoch, err);
    rc = rc ? rc : rub_share_begin(&self->share, epoch, err);
    while (rc == 0) {
        uint64_t first = 0;
        uint64_t count = 0;
        const uint64_t began_us = rub_now_us();
        const double speed =
            self->train_us > 0 ? (double)self->progress.examples * 1e6 / (double)self->train_us : 0;
        rc = rub_share_next(&self->share, speed, &first, &count, err);
        if (rc || count == 0) {
            break;
        }
        rc = arrange(self, epoch, err); /* the last batch was not the last after all */
        rc = rc ? rc : train_batch(self, first, count, err);
        self->train_us += rub_now_us() - began_us;
    }
    return rc;
}

/* What the trainers add up in a barrier: their sums over training examples, how many have trained,
 * sums over test examples, how many have validated. The scheduler matches barriers by who stands
 * there, and a rank that is started anew may come to an epoch's first barrier while the others
 * stand in its second: so each adds to the numbers of its own barrier only. */
enum { TRAINED = RUB_TASK_SUMS, TEST, TESTED = TEST + RUB_TASK_SUMS, N_SUMS };

/* More than trainers in any barrier: added to TRAINED by who has left the files of the end. */
#define HAS_LEFT_FILES ((double)(1 << 20))

/* n_here: trainers in the barrier. When all W are here each takes its share; when some are gone,
 * each takes all, and the mean over all of them is the same. */
static int validate(training_t *self, double n_here, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    const uint64_t n = self->task->n_test;
    const bool shared = n_here == (double)info.n_workers && info.rank < info.n_workers;
    const uint64_t first = shared ? n * info.rank / info.n_workers : 0;
    const uint64_t last = shared ? n * (info.rank + 1) / info.n_workers : n;
    return self->task->kind->validate(self->task, first, last, sums, err);
}

/* Reports the figures of these sums, and appends them to a line of the log. */
static int report(training_t *self, const char *prefix, const char *what,
                  const double sums[RUB_TASK_SUMS], char line[200], rub_error_t *err)
{
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    const size_t n = self->task->kind->measure(self->task, sums, measures);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        char name[64];
        const size_t used = strlen(line);
        snprintf(name, sizeof(name), "%s%s", prefix, measures[i].name);
        snprintf(line + used, 200 - used, "%s%s %s %.4f", used ? ", " : "", what, measures[i].name,
                 measures[i].value);
        rc = rub_metric(self->session, name, measures[i].value, err);
    }
    return rc;
}

/* Everybody has the same sums, so everybody tells the same. */
static int judge(training_t *self, const double test[RUB_TASK_SUMS], rub_error_t *err)
{
    const rub_validation_t *validation = &self->plan->validation;
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    double sums[N_SUMS] = {[TESTED] = 1};
    rub_score_t score;
    if (!validation->metric[0]) {
        return 0;
    }
    const size_t n = self->task->kind->measure(self->task, test, measures);
    int rc = rub_validation_score(validation, self->progress.epoch + 1, measures, n, &score, err);
    rc = rc ? rc : rub_judge(self->session, &score, sums, N_SUMS, err);
    const uint64_t stopped = rub_stopped(self->session);
    if (rc == 0 && stopped > 0) {
        rub_log(self->log, RUB_LOG_INFO,
                "epoch %llu: the %s has not improved for %llu validations; training stops",
                (unsigned long long)stopped, validation->metric,
                (unsigned long long)validation->patience);
    }
    return rc;
}

/* After the first barrier: each validates its share, the second adds the shares up. */
static int validate_together(training_t *self, double n_here, char line[200], rub_error_t *err)
{
    double sums[N_SUMS] = {[TESTED] = 1};
    int rc = validate(self, n_here, sums + TEST, err);
    rc = rc ? rc : rub_barrier(self->session, sums, N_SUMS, err);
    rc =
        rc ? rc : report(self, "", self->task->is_apart ? "valid" : "test", sums + TEST, line, err);
    return rc ? rc : judge(self, sums + TEST, err);
}

static int end_epoch(training_t *self, rub_error_t *err)
{
    char line[200] = "";
    double sums[N_SUMS] = {[TRAINED] = 1};
    memcpy(sums, self->epoch_sums, sizeof(self->epoch_sums));
    const uint64_t ended = self->progress.epoch + 1;
    const bool due = ended % self->plan->validate_every == 0 || ended == self->plan->epochs;
    if (self->task->kind->forget) {
        self->task->kind->forget(self->task);
    }
    /* What codecs keep back belongs to the weights that are measured, and kept as the best ones. */
    int rc = due && self->plan->validation.keep ? rub_push_kept(self->session, err) : 0;
    rc = rc ? rc : rub_barrier(self->session, sums, N_SUMS, err);
    if (rc == 0 && sums[TEST + RUB_SUM_EXAMPLES] > 0) {
        return judge(self, sums + TEST, err); /* the others have validated this epoch without us */
    }
    if (rc || sums[TESTED] > 0) {
        return rc; /* and have told already what they found */
    }
    if (sums[RUB_SUM_EXAMPLES] > 0) { /* else the job went on from this epoch's very end */
        rc = report(self, "train_", "training", sums, line, err);
    }
    if (rc == 0 && self->task->n_test > 0 && due) {
        rc = validate_together(self, sums[TRAINED], line, err);
    }
    if (rc == 0 && line[0]) {
        rub_log(self->log, RUB_LOG_INFO, "epoch %llu: %s",
                (unsigned long long)self->progress.epoch + 1, line);
    }
    return rc;
}

static int prepare(training_t *self, rub_error_t *err)
{
    const rub_training_plan_t *plan = self->plan;
    const uint64_t n = self->task->n_examples;
    rub_share_init(&self->share, self->session, n, plan->batch_examples,
                   plan->piece_examples > 0 ? plan->piece_examples : self->task->piece_examples);
    const uint64_t all = plan->epochs * n;
    const uint64_t before = rub_share_trained_before(&self->share);
    self->progress.total_examples = all > before ? all - before : 0;
    rub_session_progress(self->session, &self->progress);
    return self->task->kind->begin(self->task, self->session, plan->batch_examples, err);
}

/* Where a rank begins that takes the place of a dead one. At an epoch's end the others wait in the
 * barrier for it. */
static int begin(training_t *self, uint64_t *epoch_p, rub_error_t *err)
{
    bool over = false;
    rub_info_t info;
    rub_session_info(self->session, &info);
    *epoch_p = rub_share_stands(&self->share, &over);
    if (self->share.dealt_by_rank && info.clock > 0) {
        rub_log(self->log, RUB_LOG_INFO, "begins where the job is: %s of data epoch %llu",
                over ? "at the end" : "in the middle", (unsigned long long)*epoch_p + 1);
    }
    if (!over) {
        return 0;
    }
    self->progress.epoch = (*epoch_p)++;
    return end_epoch(self, err);
}

/* Who does it may need long, and nobody else has anything to do: a wait that ended at its deadline
 * goes on, as long as the scheduler takes the one that is missing for alive. */
static int meet_at_last(training_t *self, double sums[N_SUMS], rub_error_t *err)
{
    int rc = RUB_ETIMEOUT;
    while (rc == RUB_ETIMEOUT) {
        rc = rub_barrier(self->session, sums, N_SUMS, err);
    }
    return rc;
}

/* What the rank whose turn it is has measured at the end stands in the barrier's sums, with the
 * prefix of its figures where TESTED counts otherwise: everybody reports the same, since the last
 * report of a name is the one that counts. */
enum { SAME_NAMES = 1, TEST_NAMES = 2 };

static int conclude(training_t *self, uint32_t n_workers, double sums[N_SUMS], rub_error_t *err)
{
    const rub_task_kind_t *kind = self->task->kind;
    const char *prefix = NULL;
    const int rc =
        kind->conclude ? kind->conclude(self->task, n_workers, sums + TEST, &prefix, err) : 0;
    sums[TESTED] = !prefix ? 0 : prefix[0] ? TEST_NAMES : SAME_NAMES;
    return rc;
}

static int report_conclusion(training_t *self, const double sums[N_SUMS], rub_error_t *err)
{
    const bool test = sums[TESTED] == TEST_NAMES;
    char line[200] = "";
    if (sums[TESTED] == 0) {
        return 0;
    }
    const int rc = report(self, test ? "test_" : "",
                          test || !self->task->is_apart ? "test" : "valid", sums + TEST, line, err);
    rub_log(self->log, RUB_LOG_INFO, "at the end, by one rank alone: %s", line);
    return rc;
}

/* It is for the lowest rank that lives to leave files, and nobody knows which one that is. So it is
 * rank 0's turn first, then the next one's, and so on, until a barrier tells that it was done: who
 * has died, also while it wrote, does not stand in it. */
static int leave_files(training_t *self, rub_error_t *err)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    double done = 0;
    int rc = 0;
    for (uint32_t turn = 0; rc == 0 && done < HAS_LEFT_FILES; turn++) {
        double sums[N_SUMS] = {0};
        if (turn == info.rank) {
            rc = conclude(self, info.n_workers, sums, err);
            rc = rc || !self->task->kind->finish ? rc : self->task->kind->finish(self->task, err);
            sums[TRAINED] = HAS_LEFT_FILES;
        }
        rc = rc ? rc : meet_at_last(self, sums, err);
        done = sums[TRAINED];
        rc = rc || done < HAS_LEFT_FILES ? rc : report_conclusion(self, sums, err);
    }
    return rc;
}

int rub_training_run(rub_session_t *session, rub_task_t *task, const rub_training_plan_t *plan,
                     const rub_log_t *log, rub_error_t *err)
{
    training_t self = {.session = session, .task = task, .plan = plan, .log = log};
    uint64_t epoch = 0;
    int rc = task->kind->gather ? task->kind->gather(task, session, log, err) : 0;
    rc = rc ? rc : prepare(&self, err);
    rc = rc ? rc : begin(&self, &epoch, err);
    while (epoch < plan->epochs && rc == 0 && rub_stopped(session) == 0) {
        rc = train_epoch(&self, epoch, err);
        const uint64_t dealt_now = rub_share_epoch(&self.share);
        if (rc == 0 && dealt_now > epoch) {
            epoch = dealt_now; /* a late joiner: that epoch is over, go where the others are */
            continue;
        }
        rc = rc ? rc : end_epoch(&self, err);
        epoch++;
    }
    if (rc == 0 && (task->kind->finish || task->kind->conclude)) {
        rc = leave_files(&self, err);
    }
    task->kind->end(task);
    return rc;
}
