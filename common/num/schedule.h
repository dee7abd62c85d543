/* The learning rate as a function of the clock. A shard steps a push with the rate of the clock
 * that stands in its record (under bsp: of the period that is closed), so a replay of the journal
 * uses the same rates, and two workers that are some clocks apart have two. Pure; the same bits on
 * every host: +, -, *, / and sqrt alone, in float64. */
#ifndef RUB_SCHEDULE_H
#define RUB_SCHEDULE_H

#include "include/rubato.h"

/* Most clocks of a warm-up or schedule: float64 counts them exactly. */
#define RUB_SCHEDULE_CLOCKS_LIMIT UINT64_C(1000000000000)

/* Whether the rate is lr at every clock, however late. */
bool rub_schedule_is_constant(const rub_hyper_t *hyper);

/* The rate at that clock; hyper: checked. In the first w = warmup_clocks it is lr (clock + 1) / w.
 * Then, with t = clock - w, T = schedule_clocks and u = min(t / T, 1):
 *   constant      lr
 *   step          lr step_factor^floor(t / T)
 *   cosine        lr_end + (lr - lr_end) (1 + cos(pi u)) / 2     (Loshchilov & Hutter, ICLR 2017)
 *   linear        lr + (lr_end - lr) u
 *   inverse_sqrt  lr sqrt(max(w, 1) / (clock + 1))               (Vaswani et al., NeurIPS 2017)
 *   inverse       lr / (1 + t / T)                               (Robbins & Monro 1951) */
double rub_schedule_rate(const rub_hyper_t *hyper, uint64_t clock);

/* The rate of a push of that clock that is so late: rub_schedule_rate, divided by delay where that
 * is more than 1 and the hyper-parameters ask for it. */
double rub_delayed_rate(const rub_hyper_t *hyper, uint64_t clock, uint32_t delay);

/* Refuses (RUB_EINVAL) a schedule that does not exist, one with more clocks than
 * RUB_SCHEDULE_CLOCKS_LIMIT, step, cosine, linear and inverse without schedule_clocks, and a
 * step_factor or lr_end that is not finite or below 0; and a delay that does not exist, or a
 * delay_lambda like that. */
int rub_schedule_check(const rub_hyper_t *hyper, rub_error_t *err);

/* Refuses (RUB_EINVAL) compensation for a table of another kind (rub_table_kind_t) than dense: the
 * weights that each rank was given are kept of those alone. */
int rub_delay_check(uint32_t kind, const rub_hyper_t *hyper, rub_error_t *err);

/* Zeroes what this schedule does not use. Changes no rate. */
void rub_schedule_trim(rub_hyper_t *hyper);

#endif
