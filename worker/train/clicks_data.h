/* What click models learn from: the training data, what is validated on and what is tested on, as
 * the configuration names them. Blocks on files. */
#ifndef RUB_CLICKS_DATA_H
#define RUB_CLICKS_DATA_H

#include "common/conf/config.h"
#include "worker/data/sparse_source.h"
#include "worker/train/column_tables.h"

typedef struct rub_clicks_data {
    rub_sparse_options_t options;
    rub_column_tables_t columns; /* of the training data: the others must have them, too */
    /* valid: what is validated on after an epoch; without examples: test is. test: then measured
     * once, at the end; without examples: none given. */
    rub_sparse_source_t train, valid, test;
} rub_clicks_data_t;

/* Opens train_file, valid_file (or what is held out) and test_file. Keeps config, update and self,
 * which does not move, until close. The caller's (rub_clicks_data_close), also on failure.
 * RUB_EDATA, RUB_ECONFIG, RUB_ENOMEM. */
int rub_clicks_data_open(const rub_config_t *config, const rub_update_t *update,
                         rub_clicks_data_t *self, rub_error_t *err);
void rub_clicks_data_close(rub_clicks_data_t *self); /* zeros are fine */

/* What is validated on after an epoch; borrowed. */
rub_sparse_source_t *rub_clicks_data_validated(rub_clicks_data_t *self);

/* How the configuration reads a file of examples; no column has keys of its own. Keeps both. */
void rub_clicks_options(const rub_config_t *config, const char *path,
                        rub_sparse_options_t *options);

/* How many features every example of a deep model has; 0: not known. */
uint32_t rub_clicks_fields(const rub_config_t *config);

#endif
