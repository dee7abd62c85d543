/* What `rubato data` does, each action a file of its own. They return exit codes, and say what is
 * wrong on standard error. */
#ifndef RUB_CLI_DATA_H
#define RUB_CLI_DATA_H

#include "cli/data_parts.h"
#include "common/conf/config.h"
#include "worker/data/dataset.h"
#include "worker/data/sparse_set.h"

/* What to read: the options' format, or the one that the file looks like when none was given.
 * *options_p borrows from the config. RUB_EDATA, RUB_ECONFIG, RUB_ENOMEM. */
int rub_data_options(const rub_config_t *config, const char *words, rub_sparse_options_t *options_p,
                     rub_error_t *err);

/* Passes rc on. Where the format was guessed, the sentence says so: it may be another one. */
int rub_data_taken_for(const rub_config_t *config, const char *format, int rc, rub_error_t *err);

/* `rubato data inspect FILES [LABELS]`: what is in them, to standard output. */
int rub_data_inspect(const rub_config_t *config, rub_error_t *err);
/* `rubato data convert FILES OUT`: the examples as LIBSVM. */
int rub_data_convert(const rub_config_t *config, rub_error_t *err);
/* The same of lines of a label, a tab and a text: bags of words. */
int rub_data_convert_texts(const rub_config_t *config, rub_error_t *err);
/* `rubato data split FILES FOLDER`: examples, dealt at random to train, valid and test. */
int rub_data_split(const rub_config_t *config, rub_error_t *err);
/* Makes the folder of the parts, if it is not there. RUB_ESTORE. */
int rub_data_make_folder(const char *folder, rub_error_t *err);
/* The same of idx and npy, in memory. */
int rub_data_split_arrays(const rub_config_t *config, const char *format,
                          const rub_data_parts_t *parts, rub_error_t *err);

/* idx or npy? */
bool rub_data_are_arrays(const char *format);
/* Reads the first word's examples and the labels of --train-labels, fetched where they are behind
 * an address; blocks. *dataset_p is the caller's. RUB_ECONFIG without labels; what fetching and
 * rub_dataset_open say. */
int rub_data_open_arrays(const rub_config_t *config, const char *format, rub_dataset_t **dataset_p,
                         rub_error_t *err);

#endif
