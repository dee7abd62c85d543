/* What is learnt: the seam between the training loop, which knows when (epochs, shares, clocks,
 * barriers), and a task, which knows what (its data, its model, its tables).
 *
 * A task is an object that begins with rub_task_t; its kind is a table of functions, and what a run
 * file asks for is opened by rub_workload_open. Examples are whatever the task counts: images, rows
 * of clicks, stretches of a text. The loop calls, for each batch: take, pull, prefetch (sometimes),
 * compute, push. One thread; whatever fails names its cause in err and ends the training. */
#ifndef RUB_TASK_H
#define RUB_TASK_H

#include "common/base/log.h"
#include "common/num/clip.h"
#include "include/rubato.h"

/* Sums over examples, of the training since an epoch's begin or of a validation, which barriers add
 * up over all trainers: the first two are every task's, the others the task's own. */
enum { RUB_SUM_LOSS, RUB_SUM_EXAMPLES, RUB_SUM_OWN, RUB_TASK_SUMS = 7 };

/* A figure that is made of sums: "loss", "accuracy". The loop reports it under its name after a
 * validation, and as train_<name> after an epoch. */
typedef struct rub_measure {
    const char *name; /* static */
    double value;
} rub_measure_t;

#define RUB_TASK_MEASURES_LIMIT 8u
#define RUB_TASK_TABLES_LIMIT 1024u

/* How the job's tables take what is pushed, and how values travel. */
typedef struct rub_update {
    rub_optimizer_kind_t optimizer;
    rub_hyper_t hyper;
    rub_codec_kind_t push_codec, pull_codec;
    bool scales_loss;         /* gradients pass through float16 (worker/train/loss_scale.h) */
    rub_clip_t clip;          /* of what a batch pushes: for the task, before it does */
    uint64_t epochs;          /* of the plan: rub_update_hyper */
    double admit_probability; /* of click models' hashed tables */
    uint32_t admit_count;     /* likewise */
    uint64_t admit_counters;
    rub_eviction_t evict; /* of hashed tables; of what stands beside vectors: rub_update_idle */
} rub_update_t;

/* The eviction of rows that stand beside vectors of the same keys (sums of squares, biases): how
 * long they are says nothing. */
static inline rub_eviction_t rub_update_idle(const rub_update_t *update)
{
    rub_eviction_t evict = update->evict;
    evict.norm = 0;
    return evict;
}

typedef struct rub_task rub_task_t;

typedef struct rub_task_kind {
    /* Reads, together with the other workers, what open has put off; n_examples, n_test and
     * n_parameters count from then on. Before begin. NULL: open has read everything. Blocks. */
    int (*gather)(rub_task_t *self, rub_session_t *session, const rub_log_t *log, rub_error_t *err);
    /* Opens the job's tables (with rub_update_hyper, worker/train/update.h), makes room for batches
     * of up to batch_examples. Blocks as rub_table_open does. */
    int (*begin)(rub_task_t *self, rub_session_t *session, uint64_t batch_examples,
                 rub_error_t *err);
    /* Undoes begin, whatever of it was done; the session still lives. */
    void (*end)(rub_task_t *self);
    void (*close)(rub_task_t *self); /* end was called; frees self */

    /* Puts the training examples into the order of this data epoch: a function of its arguments
     * alone, the same on every worker. */
    int (*order)(rub_task_t *self, uint64_t seed, uint64_t epoch, rub_error_t *err);
    /* Makes the examples at places [first, first + count) of the order the batch. */
    int (*take)(rub_task_t *self, uint64_t first, uint64_t count, rub_error_t *err);
    /* Makes the batch's parameters those for the session's present clock. Blocks until the bound
     * allows. */
    int (*pull)(rub_task_t *self, rub_error_t *err);
    /* The batch at these places is sure to be the next: asks for its parameters, and does not wait.
     */
    int (*prefetch)(rub_task_t *self, uint64_t first, uint64_t count, rub_error_t *err);
    /* Forgets a prefetch. NULL: it is for one clock anyway, and outlives a barrier that leaves the
     * clock where it is. Then order may be called for the next epoch as soon as this one's last
     * batch was taken, and prefetch for its first batch. */
    void (*forget)(rub_task_t *self);
    /* Gradient of the batch's mean loss; adds to sums what the batch was like before. */
    int (*compute)(rub_task_t *self, double sums[RUB_TASK_SUMS], rub_error_t *err);
    /* Clips what compute has left, as the update says, and pushes it. RUB_ENAN: a value is not
     * finite. */
    int (*push)(rub_task_t *self, rub_error_t *err);

    /* Adds test examples [first, last), on parameters of the present clock. Blocks. */
    int (*validate)(rub_task_t *self, uint64_t first, uint64_t last, double sums[RUB_TASK_SUMS],
                    rub_error_t *err);
    /* The last epoch is over and all trainers have met. Adds all of the examples that are measured
     * once, at the end, on parameters of the present clock; or, where shares of n_workers could not
     * be added up exactly, all that was validated. *prefix_p: "test_" or "", before the figures;
     * NULL: there was nothing to do. The member may be NULL. Called as finish is. Blocks. */
    int (*conclude)(rub_task_t *self, uint32_t n_workers, double sums[RUB_TASK_SUMS],
                    const char **prefix_p, rub_error_t *err);
    /* Then: leaves what the run file asks for. NULL:
     * nothing. Called on one rank that lives; when it dies at it, on another one. Blocks. */
    int (*finish)(rub_task_t *self, rub_error_t *err);
    /* The tables that begin opens, in that order; how many. n_workers: of the job. NULL: not known
     * before there is a session. */
    size_t (*tables)(const rub_task_t *self, uint32_t n_workers, uint64_t batch_examples,
                     rub_schema_t schemas[RUB_TASK_TABLES_LIMIT]);
    /* The figures that these sums make; how many. */
    size_t (*measure)(const rub_task_t *self, const double sums[RUB_TASK_SUMS],
                      rub_measure_t measures[RUB_TASK_MEASURES_LIMIT]);
} rub_task_kind_t;

struct rub_task {
    const rub_task_kind_t *kind;
    uint64_t n_examples;     /* of training, >= 1 (before gather: 0, not known) */
    uint64_t n_test;         /* of validation; 0: there is none (before gather: 1, some) */
    bool is_apart;           /* validation data are no test data */
    uint32_t training_sums;  /* sums from this one on are of training alone; 0: none is */
    uint64_t piece_examples; /* the best size of a piece; 0: any */
    uint64_t n_parameters;   /* float32 in all tables; 0: grows with what is seen */
};

static inline void rub_task_close(rub_task_t **self_p)
{
    if (*self_p) {
        (*self_p)->kind->close(*self_p);
        *self_p = NULL;
    }
}

#endif
