/* Training data that come through standard input: kept in the run directory, for all workers, all
 * epochs and who is started again. */
#ifndef RUB_PIPED_DATA_H
#define RUB_PIPED_DATA_H

#include "cli/run_folder.h"

#include <stdio.h>

/* Is train_file "-"? */
bool rub_piped_data_wanted(const rub_config_t *config);

/* Copies standard input to its end, as it comes, to a file of the run directory that is not there
 * yet, and has train_file name that. Tells people about it. Blocks until whoever writes there is
 * done. RUB_EDATA: standard input is not open, cannot be read, or is empty; RUB_ENOSPC, RUB_ESTORE:
 * the copy cannot be written; RUB_EINTR: a signal came. After a failure there is no copy. */
int rub_piped_data_take(const rub_run_folder_t *folder, rub_config_t *config, FILE *people,
                        rub_error_t *err);
/* Removes the copy that was taken, when nothing came of the run. Errors are passed over. */
void rub_piped_data_drop(const rub_run_folder_t *folder);

#endif
