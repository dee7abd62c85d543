/* The worker's loop: batch -> pull (prefetch the next) -> gradient -> push -> clock; at an epoch's
 * end all meet in a barrier, each validates its share of the test set on the same parameters, and a
 * second barrier adds the shares up. The two barriers make the validation exact under every
 * staleness bound: between them nobody pushes. */
#include "worker/train/training.h"

#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/data/batch.h"
#include "worker/data/order.h"
#include "worker/train/parameters.h"
#include "worker/train/share.h"

#include <math.h>

#define LOSS_MEMORY 0.98        /* of the running loss, per batch */
#define EVALUATE_EXAMPLES 1024u /* sliced at once in validation */

typedef struct training {
    rub_session_t *session;
    rub_model_t *model;
    const rub_training_plan_t *plan;
    const rub_log_t *log;
    rub_parameters_t *parameters;
    rub_order_t *order;
    rub_batch_t *batch, *test_batch;
    rub_share_t share;
    rub_progress_t progress;
    uint64_t train_us; /* spent on batches, not on barriers and validation */
    double running_loss;
    double epoch_loss, epoch_correct, epoch_examples;
} training_t;

static void note_batch(training_t *self, double mean_loss, uint64_t count)
{
    rub_progress_t *progress = &self->progress;
    self->running_loss = progress->step == 0
                             ? mean_loss
                             : LOSS_MEMORY * self->running_loss + (1 - LOSS_MEMORY) * mean_loss;
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

static int train_batch(training_t *self, uint64_t first, uint64_t count, rub_error_t *err)
{
    double loss = 0;
    size_t correct = 0;
    const uint64_t filled_from_us = rub_now_us();
    int rc = rub_batch_fill(self->batch, self->plan->train, self->order, first, count, err);
    const uint64_t filled_us = rub_now_us() - filled_from_us;
    rc = rc ? rc : rub_parameters_pull(self->parameters, err);
    if (rc == 0 && self->plan->prefetch && rub_share_has_more(&self->share)) {
        rc = rub_parameters_prefetch(self->parameters, err);
    }
    const uint64_t computed_from_us = rub_now_us();
    rc = rc ? rc
            : rub_model_gradient(self->model, rub_parameters_current(self->parameters),
                                 self->batch->x, self->batch->labels, count,
                                 rub_parameters_gradients(self->parameters), &loss, &correct, err);
    if (rc) {
        return rc;
    }
    if (!isfinite(loss)) {
        return rub_fail(err, RUB_EDIVERGED,
                        "the loss of batch %llu in epoch %llu is not finite; try a smaller lr",
                        (unsigned long long)self->progress.step,
                        (unsigned long long)self->progress.epoch);
    }
    rest(self, filled_us + rub_now_us() - computed_from_us);
    rc = rub_parameters_push(self->parameters, err);
    if (rc == RUB_ENAN) {
        return rub_wrap(err, RUB_EDIVERGED, "training diverged in epoch %llu",
                        (unsigned long long)self->progress.epoch);
    }
    if (rc) {
        return rc;
    }
    const rub_cursor_t cursor = rub_share_cursor(&self->share);
    rc = rub_clock(self->session, &cursor, sizeof(cursor), err);
    self->epoch_loss += loss;
    self->epoch_correct += (double)correct;
    self->epoch_examples += (double)count;
    note_batch(self, loss / (double)count, count);
    return rc;
}

static int train_epoch(training_t *self, uint64_t epoch, rub_error_t *err)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    rub_order_shuffle(self->order, info.seed, epoch);
    self->progress.epoch = epoch;
    self->epoch_loss = self->epoch_correct = self->epoch_examples = 0;
    const int begun = rub_share_begin(&self->share, epoch, err);
    if (begun) {
        return begun;
    }
    for (;;) {
        uint64_t first = 0;
        uint64_t count = 0;
        const uint64_t began_us = rub_now_us();
        const double speed =
            self->train_us > 0 ? (double)self->progress.examples * 1e6 / (double)self->train_us : 0;
        int rc = rub_share_next(&self->share, speed, &first, &count, err);
        if (rc || count == 0) {
            return rc;
        }
        rc = train_batch(self, first, count, err);
        if (rc) {
            return rc;
        }
        self->train_us += rub_now_us() - began_us;
    }
}

/* Loss and hits over [first, last) of the test set; *n_p: how many. */
static int evaluate(training_t *self, uint64_t first, uint64_t last, double sums[3],
                    rub_error_t *err)
{
    while (first < last) {
        const uint64_t left = last - first;
        const size_t count = left < EVALUATE_EXAMPLES ? (size_t)left : EVALUATE_EXAMPLES;
        double loss = 0;
        size_t correct = 0;
        int rc = rub_batch_fill(self->test_batch, self->plan->test, NULL, first, count, err);
        rc = rc ? rc
                : rub_model_evaluate(self->model, rub_parameters_current(self->parameters),
                                     self->test_batch->x, self->test_batch->labels, count, &loss,
                                     &correct, err);
        if (rc) {
            return rc;
        }
        sums[0] += loss;
        sums[1] += (double)correct;
        sums[2] += (double)count;
        first += count;
    }
    return 0;
}

/* n_here: trainers in the barrier. When all W are here each takes its share; when some are gone,
 * each takes all, and the mean over all of them is the same. */
static int validate(training_t *self, double n_here, double sums[3], rub_error_t *err)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    const uint64_t n = self->plan->test->n_examples;
    const bool shared = n_here == (double)info.n_workers && info.rank < info.n_workers;
    const uint64_t first = shared ? n * info.rank / info.n_workers : 0;
    const uint64_t last = shared ? n * (info.rank + 1) / info.n_workers : n;
    const int rc = rub_parameters_pull(self->parameters, err);
    return rc ? rc : evaluate(self, first, last, sums, err);
}

static int report(training_t *self, const char *name, double value, rub_error_t *err)
{
    return rub_metric(self->session, name, value, err);
}

/* What the trainers add up in a barrier. The scheduler matches barriers by who stands there, and a
 * rank that is started anew may come to an epoch's first barrier while the others stand in its
 * second: so each adds to the numbers of its own barrier only. */
enum { LOSS, CORRECT, EXAMPLES, TRAINED, TEST_LOSS, TEST_CORRECT, TEST_EXAMPLES, TESTED, N_SUMS };

/* After the first barrier: each validates its share, the second adds the shares up. */
static int validate_together(training_t *self, double n_here, double train_loss, rub_error_t *err)
{
    double sums[N_SUMS] = {[TESTED] = 1};
    int rc = validate(self, n_here, sums + TEST_LOSS, err);
    rc = rc ? rc : rub_barrier(self->session, sums, N_SUMS, err);
    if (rc) {
        return rc;
    }
    const double seen = sums[TEST_EXAMPLES] > 0 ? sums[TEST_EXAMPLES] : 1;
    const double loss = sums[TEST_LOSS] / seen;
    const double accuracy = sums[TEST_CORRECT] / seen;
    rub_log(self->log, RUB_LOG_INFO,
            "epoch %llu: training loss %.4f, test loss %.4f, test accuracy %.4f",
            (unsigned long long)self->progress.epoch + 1, train_loss, loss, accuracy);
    rc = report(self, "loss", loss, err);
    return rc ? rc : report(self, "accuracy", accuracy, err);
}

static int end_epoch(training_t *self, rub_error_t *err)
{
    double sums[N_SUMS] = {[LOSS] = self->epoch_loss,
                           [CORRECT] = self->epoch_correct,
                           [EXAMPLES] = self->epoch_examples,
                           [TRAINED] = 1};
    rub_parameters_forget(self->parameters);
    int rc = rub_barrier(self->session, sums, N_SUMS, err);
    if (rc || sums[TESTED] > 0) {
        return rc; /* the others have validated this epoch without us */
    }
    const double examples = sums[EXAMPLES] > 0 ? sums[EXAMPLES] : 1;
    const double train_loss = sums[LOSS] / examples;
    if (sums[EXAMPLES] > 0) { /* else the job went on from this epoch's very end */
        rc = report(self, "train_loss", train_loss, err);
        rc = rc ? rc : report(self, "train_accuracy", sums[CORRECT] / examples, err);
    }
    if (rc) {
        return rc;
    }
    return self->plan->test ? validate_together(self, sums[TRAINED], train_loss, err) : 0;
}

static int prepare(training_t *self, rub_error_t *err)
{
    const rub_training_plan_t *plan = self->plan;
    self->order = rub_order_new(plan->train->n_examples);
    self->batch = rub_batch_new((size_t)plan->batch_examples, plan->train->width);
    self->test_batch = plan->test ? rub_batch_new(EVALUATE_EXAMPLES, plan->test->width) : NULL;
    if (!self->order || !self->batch || (plan->test && !self->test_batch)) {
        return rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %llu examples",
                        (unsigned long long)plan->batch_examples);
    }
    rub_share_init(&self->share, self->session, plan->train->n_examples, plan->batch_examples,
                   plan->piece_examples);
    const uint64_t all = plan->epochs * plan->train->n_examples;
    const uint64_t before = rub_share_trained_before(&self->share);
    self->progress.total_examples = all > before ? all - before : 0;
    rub_session_progress(self->session, &self->progress);
    return rub_parameters_open(self->session, self->model, plan->optimizer, &plan->hyper,
                               plan->codec, plan->pull_codec, &self->parameters, err);
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

int rub_training_run(rub_session_t *session, rub_model_t *model, const rub_training_plan_t *plan,
                     const rub_log_t *log, rub_error_t *err)
{
    training_t self = {.session = session, .model = model, .plan = plan, .log = log};
    uint64_t epoch = 0;
    int rc = prepare(&self, err);
    rc = rc ? rc : begin(&self, &epoch, err);
    while (epoch < plan->epochs && rc == 0) {
        rc = train_epoch(&self, epoch, err);
        const uint64_t dealt_now = rub_share_epoch(&self.share);
        if (rc == 0 && dealt_now > epoch) {
            epoch = dealt_now; /* a late joiner: that epoch is over, go where the others are */
            continue;
        }
        rc = rc ? rc : end_epoch(&self, err);
        epoch++;
    }
    rub_parameters_close(&self.parameters);
    rub_order_destroy(&self.order);
    rub_batch_destroy(&self.batch);
    rub_batch_destroy(&self.test_batch);
    return rc;
}
