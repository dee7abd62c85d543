/* What `rubato bench store` measures: the same table for speed and for memory, so that the two
 * figures belong together. */
#include "cli/bench_table.h"

#include "common/num/optimizer.h"

#include <stdio.h>

int rub_bench_table_new(rub_table_kind_t kind, uint64_t elements, uint32_t width,
                        rub_optimizer_kind_t optimizer, double init_scale, rub_ptable_t **table_p,
                        rub_error_t *err)
{
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    rub_table_view_t schema = {
        .id = 1,
        .kind = kind,
        .width = kind == RUB_DENSE ? 0 : width,
        .elements = kind == RUB_DENSE ? elements : 0,
        .optimizer = optimizer,
        .init = init_scale > 0 ? RUB_INIT_UNIFORM : RUB_INIT_ZEROS,
        .init_scale = init_scale,
        .lr = hyper.lr,
        .momentum = hyper.momentum,
        .beta1 = hyper.beta1,
        .beta2 = hyper.beta2,
        .epsilon = hyper.epsilon,
    };
    snprintf(schema.name, sizeof(schema.name), "measured");
    return rub_ptable_new(&schema, 1, 0, 1, table_p, err);
}
