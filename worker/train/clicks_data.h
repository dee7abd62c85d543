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

/* RUB_EDATA: the example has not as many features as there are fields. where: begins the sentence.
 */
int rub_clicks_check_fields(uint32_t n_fields, uint64_t example, uint64_t n_features,
                            const char *where, rub_error_t *err);
/* The same of every example that is in memory. */
int rub_clicks_data_check_fields(const rub_clicks_data_t *self, const rub_config_t *config,
                                 uint32_t n_fields, rub_error_t *err);

#endif
