/* The alias method: n columns of equal height 1/n, each filled by at most two numbers: its own up
 * to `level`, another one above. Vose's construction pairs columns that lack with numbers that have
 * too much. Rounding leaves some columns at its end whose level is 1 but for the last bits: they
 * are full of themselves. A number without weight is never drawn: its level is 0 and compared with
 * `<`. */
#include "worker/data/alias_table.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

typedef struct column {
    uint64_t level; /* in 1 / 2^32; 2^32: only its own */
    uint32_t other;
} column_t;

struct rub_alias_table {
    size_t n;
    column_t columns[];
};

static uint64_t level_of(double share)
{
    return share >= 1 ? UINT64_C(1) << 32 : (uint64_t)(share * 0x1p32);
}

static void fill(rub_alias_table_t *self, double *shares, uint32_t *stack)
{
    /* The stack holds numbers that lack from its bottom, numbers that have too much from its top.
     */
    size_t n_small = 0;
    size_t first_large = self->n;
    for (size_t i = 0; i < self->n; i++) {
        self->columns[i] = (column_t){.level = UINT64_C(1) << 32, .other = (uint32_t)i};
        if (shares[i] < 1) {
            stack[n_small++] = (uint32_t)i;
        } else {
            stack[--first_large] = (uint32_t)i;
        }
    }
    while (n_small > 0 && first_large < self->n) {
        const uint32_t small = stack[--n_small];
        const uint32_t large = stack[first_large];
        self->columns[small] = (column_t){.level = level_of(shares[small]), .other = large};
        shares[large] -= 1 - shares[small];
        if (shares[large] < 1) {
            first_large++;
            stack[n_small++] = large;
        }
    }
}

rub_alias_table_t *rub_alias_table_new(const double *weights, size_t n)
{
    RUB_ASSERT(n >= 1);
    RUB_ASSERT(n < UINT32_MAX);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weights[i];
    }
    RUB_ASSERT(sum > 0);
    rub_alias_table_t *self = rub_alloc(sizeof *self + n * sizeof(column_t));
    double *shares = rub_alloc(n * sizeof *shares);
    uint32_t *stack = rub_alloc(n * sizeof *stack);
    if (self != NULL && shares != NULL && stack != NULL) {
        self->n = n;
        for (size_t i = 0; i < n; i++) {
            shares[i] = weights[i] * (double)n / sum;
        }
        fill(self, shares, stack);
    } else {
        rub_alias_table_destroy(&self);
    }
    rub_free(shares);
    rub_free(stack);
    return self;
}

void rub_alias_table_destroy(rub_alias_table_t **self_p)
{
    rub_free(*self_p);
    *self_p = NULL;
}

uint32_t rub_alias_table_draw(const rub_alias_table_t *self, uint64_t random)
{
    const uint32_t i = (uint32_t)((random >> 32) * self->n >> 32);
    const column_t *column = &self->columns[i];
    return (random & UINT32_MAX) < column->level ? i : column->other;
}
