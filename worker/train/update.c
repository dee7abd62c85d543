/* A clock is one batch of one worker, so a training's length in clocks follows from its data, its
 * batches and the number of workers, which the session knows. A shard only sees the number, and
 * keeps it in its snapshots. */
#include "worker/train/update.h"

/* The values that Zheng et al. trained with, unless it is said. */
static double lambda_of(const rub_config_t *config)
{
    const double lambda = config->delay == RUB_DELAY_ADAPTS ? 2.0 : 0.04;
    return config->delay_lambda > 0 ? config->delay_lambda : lambda;
}

static rub_hyper_t hyper_of(const rub_config_t *config)
{
    return (rub_hyper_t){
        .lr = config->lr,
        .momentum = config->momentum,
        .beta1 = config->beta1,
        .beta2 = config->beta2,
        .epsilon = config->epsilon,
        .weight_decay = config->weight_decay,
        .rho = config->rho,
        .l1 = config->l1,
        .l2 = config->l2,
        .ftrl_beta = config->ftrl_beta,
        .schedule = (rub_schedule_kind_t)config->schedule,
        .warmup_clocks = config->warmup_clocks,
        .schedule_clocks = config->schedule_clocks,
        .step_factor = config->step_factor,
        .lr_end = config->lr_end,
        .delay = (rub_delay_kind_t)config->delay,
        .delay_lambda = lambda_of(config),
    };
}

rub_update_t rub_update_read(const rub_config_t *config)
{
    return (rub_update_t){.optimizer = (rub_optimizer_kind_t)config->optimizer,
                          .hyper = hyper_of(config),
                          .push_codec = (rub_codec_kind_t)config->codec,
                          .pull_codec = (rub_codec_kind_t)config->pull_codec,
                          .clip = {.value = config->clip_value, .norm = config->clip_norm},
                          .epochs = config->epochs,
                          .admit_probability = config->admit_probability,
                          .admit_count = (uint32_t)config->admit_count,
                          .admit_counters = config->admit_counters,
                          .evict = {.idle_clocks = config->evict_idle,
                                    .norm = config->evict_norm,
                                    .sweep_clocks = config->evict_sweep}};
}

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

uint64_t rub_update_length(const rub_update_t *update, uint32_t n_workers, uint64_t n_examples,
                           uint64_t batch_examples)
{
    const rub_hyper_t *hyper = &update->hyper;
    if (!ends_with_training(hyper)) {
        return hyper->schedule_clocks;
    }
    const uint64_t batches = divide_up(n_examples, batch_examples);
    const uint64_t clocks = update->epochs * divide_up(batches, n_workers);
    return clocks > hyper->warmup_clocks ? clocks - hyper->warmup_clocks : 1;
}

/* All tables of a training have one schedule: the first tells. False: there is none, or it has
 * another one, and what is asked for will be refused by name. */
static bool goes_on(const rub_session_t *session, rub_schedule_kind_t schedule, uint64_t *length_p)
{
    rub_info_t info;
    rub_schema_t first;
    rub_session_info(session, &info);
    if (info.resumed_clock == 0 || rub_table_schema(session, 1, &first, NULL) != 0 ||
        first.hyper.schedule != schedule) {
        return false;
    }
    *length_p = first.hyper.schedule_clocks;
    return true;
}

rub_hyper_t rub_update_hyper(const rub_update_t *update, const rub_session_t *session,
                             uint64_t n_examples, uint64_t batch_examples)
{
    rub_info_t info;
    rub_hyper_t hyper = update->hyper;
    rub_session_info(session, &info);
    if (!ends_with_training(&hyper) || !goes_on(session, hyper.schedule, &hyper.schedule_clocks)) {
        hyper.schedule_clocks =
            rub_update_length(update, info.n_workers, n_examples, batch_examples);
    }
    return hyper;
}
