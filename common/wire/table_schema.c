/* One list of fields, so that whoever copies or compares schemas does so with all of them: the
 * scheduler when a table is opened that exists, the client when a view comes. Doubles are compared
 * by their bits, so that NaN is itself and -0 is not 0; a count of elements is compared as the
 * integer it is. */
#include "common/wire/table_schema.h"

#include "common/base/error.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct schema_number {
    const char *name;
    double one, other;
} schema_number_t;

static void copy_text(char out[64], const rub_error_t *text)
{
    const size_t length = strnlen(text->message, 63);
    memcpy(out, text->message, length);
    out[length] = '\0';
}

static void write_number(char out[64], const char *name, double value)
{
    rub_error_t text;
    (void)rub_fail(&text, RUB_OK, "%s %.17g", name, value);
    copy_text(out, &text);
}

static void write_count(char out[64], uint64_t n)
{
    rub_error_t text;
    (void)rub_fail(&text, RUB_OK, "%" PRIu64 " elements", n);
    copy_text(out, &text);
}

rub_hyper_t rub_schema_hyper(const rub_table_view_t *schema)
{
    return (rub_hyper_t){
        .lr = schema->lr,
        .momentum = schema->momentum,
        .beta1 = schema->beta1,
        .beta2 = schema->beta2,
        .epsilon = schema->epsilon,
        .weight_decay = schema->weight_decay,
        .rho = schema->rho,
        .l1 = schema->l1,
        .l2 = schema->l2,
        .ftrl_beta = schema->ftrl_beta,
        .schedule = (rub_schedule_kind_t)schema->schedule,
        .warmup_clocks = schema->warmup_clocks,
        .schedule_clocks = schema->schedule_clocks,
        .step_factor = schema->step_factor,
        .lr_end = schema->lr_end,
        .delay = (rub_delay_kind_t)schema->delay,
        .delay_lambda = schema->delay_lambda,
    };
}

void rub_schema_set_hyper(rub_table_view_t *schema, const rub_hyper_t *hyper)
{
    schema->lr = hyper->lr;
    schema->momentum = hyper->momentum;
    schema->beta1 = hyper->beta1;
    schema->beta2 = hyper->beta2;
    schema->epsilon = hyper->epsilon;
    schema->weight_decay = hyper->weight_decay;
    schema->rho = hyper->rho;
    schema->l1 = hyper->l1;
    schema->l2 = hyper->l2;
    schema->ftrl_beta = hyper->ftrl_beta;
    schema->schedule = (uint32_t)hyper->schedule;
    schema->warmup_clocks = hyper->warmup_clocks;
    schema->schedule_clocks = hyper->schedule_clocks;
    schema->step_factor = hyper->step_factor;
    schema->lr_end = hyper->lr_end;
    schema->delay = (uint32_t)hyper->delay;
    schema->delay_lambda = hyper->delay_lambda;
}

rub_eviction_t rub_schema_eviction(const rub_table_view_t *schema)
{
    return (rub_eviction_t){.idle_clocks = schema->evict_idle_clocks,
                            .norm = schema->evict_norm,
                            .sweep_clocks = schema->evict_sweep_clocks};
}

int rub_eviction_check(const rub_eviction_t *evict, uint32_t kind, rub_error_t *err)
{
    if (evict->idle_clocks > RUB_EVICT_IDLE_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "evict.idle_clocks is %" PRIu64 ", at most %" PRIu64,
                        evict->idle_clocks, RUB_EVICT_IDLE_LIMIT);
    }
    if (!isfinite(evict->norm) || evict->norm < 0) {
        return rub_fail(err, RUB_EINVAL, "evict.norm is %g, must be finite and at least 0",
                        evict->norm);
    }
    if (evict->idle_clocks == 0 && evict->norm == 0) {
        return 0;
    }
    if (kind != RUB_HASHED) {
        return rub_fail(err, RUB_EINVAL, "evict: it is dense, rows of hashed tables are evicted");
    }
    if (evict->sweep_clocks == 0 || evict->sweep_clocks > RUB_EVICT_SWEEP_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "evict.sweep_clocks is %" PRIu64 ", 1 to %" PRIu64,
                        evict->sweep_clocks, RUB_EVICT_SWEEP_LIMIT);
    }
    return 0;
}

rub_admission_t rub_schema_admission(const rub_table_view_t *schema)
{
    return (rub_admission_t){.probability = schema->admit_probability,
                             .count = schema->admit_count,
                             .counters = schema->admit_counters};
}

int rub_admission_check(const rub_admission_t *admit, uint32_t kind, rub_error_t *err)
{
    const bool draws = admit->probability > 0 && admit->probability < 1;
    if (!(admit->probability >= 0 && admit->probability <= 1)) {
        return rub_fail(err, RUB_EINVAL, "admit_probability is %g, must be 0 to 1",
                        admit->probability);
    }
    if (admit->count > RUB_ADMIT_COUNT_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "admit_count is %u, must be 0 to %u", admit->count,
                        RUB_ADMIT_COUNT_LIMIT);
    }
    if (kind != RUB_HASHED && (draws || admit->count > 1)) {
        return rub_fail(err, RUB_EINVAL, "%s: it is dense, rows of hashed tables are admitted",
                        draws ? "admit_probability" : "admit_count");
    }
    if (admit->count <= 1) {
        return 0;
    }
    if (draws) {
        return rub_fail(err, RUB_EINVAL,
                        "admit_count is %u and admit_probability %g, rows are admitted by one of "
                        "them",
                        admit->count, admit->probability);
    }
    if (admit->counters < RUB_ADMIT_COUNTERS_LEAST || admit->counters > RUB_ADMIT_COUNTERS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "admit_counters is %" PRIu64 ", %" PRIu64 " to %" PRIu64,
                        admit->counters, RUB_ADMIT_COUNTERS_LEAST, RUB_ADMIT_COUNTERS_LIMIT);
    }
    return 0;
}

void rub_schema_to_view(const rub_schema_t *schema, const rub_hyper_t *hyper,
                        rub_table_view_t *view)
{
    const bool evicts = schema->evict.idle_clocks > 0 || schema->evict.norm > 0;
    const bool counts = schema->admit_count > 1;
    *view = (rub_table_view_t){
        .kind = (uint32_t)schema->kind,
        .elements = schema->kind == RUB_DENSE ? schema->elements : 0,
        .width = schema->kind == RUB_HASHED ? schema->width : 1,
        .optimizer = (uint32_t)schema->optimizer,
        .init = (uint32_t)schema->init,
        .init_scale = schema->init_scale,
        .evict_idle_clocks = schema->evict.idle_clocks,
        .evict_norm = schema->evict.norm,
        .evict_sweep_clocks = evicts ? schema->evict.sweep_clocks : 0,
        .admit_probability = schema->admit_probability < 1 ? schema->admit_probability : 0,
        .admit_count = counts ? schema->admit_count : 0,
        .admit_counters = !counts                       ? 0
                          : schema->admit_counters == 0 ? RUB_ADMIT_COUNTERS
                                                        : schema->admit_counters};
    memcpy(view->name, schema->name, strnlen(schema->name, sizeof(view->name) - 1));
    rub_schema_set_hyper(view, hyper);
}

bool rub_schemas_differ(const rub_table_view_t *one, const rub_table_view_t *other,
                        rub_schema_difference_t *difference)
{
    const bool dense = one->kind == RUB_DENSE;
    const schema_number_t numbers[] = {
        {"kind", one->kind, other->kind},
        {"optimizer", one->optimizer, other->optimizer},
        {"width", dense ? 0 : one->width, dense ? 0 : other->width},
        {"initializer", one->init, other->init},
        {"init_scale", one->init_scale, other->init_scale},
        {"lr", one->lr, other->lr},
        {"momentum", one->momentum, other->momentum},
        {"beta1", one->beta1, other->beta1},
        {"beta2", one->beta2, other->beta2},
        {"epsilon", one->epsilon, other->epsilon},
        {"weight_decay", one->weight_decay, other->weight_decay},
        {"rho", one->rho, other->rho},
        {"l1", one->l1, other->l1},
        {"l2", one->l2, other->l2},
        {"ftrl_beta", one->ftrl_beta, other->ftrl_beta},
        {"schedule", one->schedule, other->schedule},
        {"warmup_clocks", (double)one->warmup_clocks, (double)other->warmup_clocks},
        {"schedule_clocks", (double)one->schedule_clocks, (double)other->schedule_clocks},
        {"step_factor", one->step_factor, other->step_factor},
        {"lr_end", one->lr_end, other->lr_end},
        {"delay", one->delay, other->delay},
        {"delay_lambda", one->delay_lambda, other->delay_lambda},
        {"evict.idle_clocks", (double)one->evict_idle_clocks, (double)other->evict_idle_clocks},
        {"evict.norm", one->evict_norm, other->evict_norm},
        {"evict.sweep_clocks", (double)one->evict_sweep_clocks, (double)other->evict_sweep_clocks},
        {"admit_probability", one->admit_probability, other->admit_probability},
        {"admit_count", one->admit_count, other->admit_count},
        {"admit_counters", (double)one->admit_counters, (double)other->admit_counters},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (memcmp(&numbers[i].one, &numbers[i].other, sizeof(double)) != 0) {
            write_number(difference->one, numbers[i].name, numbers[i].one);
            write_number(difference->other, numbers[i].name, numbers[i].other);
            return true;
        }
    }
    if (dense && one->elements != other->elements) {
        write_count(difference->one, one->elements);
        write_count(difference->other, other->elements);
        return true;
    }
    return false;
}
