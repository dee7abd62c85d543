/* A shard's table in the measuring process, without wire or journal. */
#ifndef RUB_BENCH_TABLE_H
#define RUB_BENCH_TABLE_H

#include "ps/table.h"

/* A shard's table in this process, "measured", all of it in shard 0, with the optimizer's usual
 * hyper-parameters. elements: of a dense one; width: of a hashed one's rows. init_scale: 0 starts
 * rows at zero, above 0 from that uniform distribution. The caller destroys it. Errors as
 * rub_ptable_new. */
int rub_bench_table_new(rub_table_kind_t kind, uint64_t elements, uint32_t width,
                        rub_optimizer_kind_t optimizer, double init_scale, rub_ptable_t **table_p,
                        rub_error_t *err);

#endif
