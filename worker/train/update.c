/* A clock is one batch of one worker, so a training's length in clocks follows from its data, its
 * batches and the number of workers, which the session knows. A shard only sees the number. */
#include "worker/train/update.h"

static bool ends_with_training(const rub_hyper_t *hyper)
{
    const bool falls =
        hyper->schedule == RUB_SCHEDULE_COSINE || hyper->schedule == RUB_SCHEDULE_LINEAR;
    return falls && hyper->schedule_clocks == 0;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

rub_hyper_t rub_update_hyper(const rub_update_t *update, uint32_t n_workers, uint64_t n_examples,
                             uint64_t batch_examples)
{
    rub_hyper_t hyper = update->hyper;
    if (ends_with_training(&hyper)) {
        const uint64_t batches = divide_up(n_examples, batch_examples);
        const uint64_t clocks = update->epochs * divide_up(batches, n_workers);
        hyper.schedule_clocks = clocks > hyper.warmup_clocks ? clocks - hyper.warmup_clocks : 1;
    }
    return hyper;
}
