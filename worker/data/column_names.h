/* The columns of tables among data files: what they are called. */
#ifndef RUB_COLUMN_NAMES_H
#define RUB_COLUMN_NAMES_H

#include "common/base/arena.h"
#include "worker/data/sparse_set.h"

typedef struct rub_column_names {
    const char **names; /* n, as the first line has them; without one numbers from 1 */
    uint32_t n;
    uint32_t label; /* the label's column, from 0; UINT32_MAX: none of them is it */
    size_t room;
    rub_arena_t texts;
} rub_column_names_t;

/* The columns of the first of the files that the options name. Blocks on it. RUB_EINVAL: the
 * options are wrong, or their format has no columns; RUB_ECONFIG: standard input, which is read
 * once; RUB_EDATA, RUB_ENOMEM. The caller's (rub_column_names_fini), on failure too. */
int rub_column_names_read(const rub_sparse_options_t *options, rub_column_names_t *self,
                          rub_error_t *err);
void rub_column_names_fini(rub_column_names_t *self);

/* One more (bytes of it, copied). RUB_ENOMEM. */
int rub_column_names_add(rub_column_names_t *self, const char *name, size_t bytes,
                         rub_error_t *err);

#endif
