/* A snapshot of a job that has not begun: weights from anywhere as its tables, slots and steps as
 * of new rows, nobody there, nothing trained. What a warm start restores. Writing blocks. */
#ifndef RUB_WARM_SNAPSHOT_H
#define RUB_WARM_SNAPSHOT_H

#include "common/num/weights.h"
#include "common/store/snapshot_manifest.h"
#include "common/wire/control.h"

/* Writes <folder>/shard-0, the only part, and what the manifest is to say of it. schemas: n tables,
 * with their numbers; weights' tables that are not among them are passed over, and tables without
 * weights begin as ever. manifest: job and seed are set. RUB_ECORRUPT: a table of another shape;
 * RUB_ELIMIT: more rows of a table than one shard takes, since there is one part; RUB_ESTORE,
 * RUB_ENOSPC, RUB_ENOMEM. */
int rub_warm_part_write(const char *folder, const rub_manifest_t *manifest,
                        const rub_table_view_t *schemas, uint32_t n_schemas,
                        const rub_weights_t *weights, rub_manifest_part_t *part, rub_error_t *err);

#endif
