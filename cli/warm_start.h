/* `rubato train --init MODEL`: a new job whose tables begin with the weights of another one. */
#ifndef RUB_WARM_START_H
#define RUB_WARM_START_H

#include "common/conf/config.h"

#define RUB_INIT_FOLDER "init" /* in the run directory: the snapshot that the run began from */

/* Makes the snapshot <run_dir>/init/000001 of a job that has not begun, out of config->init: a run
 * directory, a snapshot, or a file (cli/warm_file.h). Its folder into
 * out (PATH_MAX bytes). Says on `people` what begins with what. Reads the training data, which say
 * how large the tables are. RUB_ECONFIG: a table that the model does not have, or of another shape;
 * RUB_EDATA: the file is malformed; RUB_ECORRUPT, RUB_ESTORE, RUB_ENOMEM. Blocks. */
int rub_warm_start(const rub_config_t *config, const char *run_dir, FILE *people, char *out,
                   rub_error_t *err);

#endif
