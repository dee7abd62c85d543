/* Data options that are addresses (http://, https://, s3://), and where their files are once they
 * were fetched. */
#ifndef RUB_REMOTE_DATA_H
#define RUB_REMOTE_DATA_H

#include "common/conf/config.h"

typedef struct rub_remote_data rub_remote_data_t;

/* Is any of the options that name data files an address? */
bool rub_remote_data_wanted(const rub_config_t *config);

/* Fetches what is not in data_cache yet (worker/data/http_fetch.h, whose errors these are), and
 * says on standard error, as log lines of level warn, how that goes when it lasts. Keeps config.
 * Blocks, for as long as that takes. The caller's, NULL on failure. */
int rub_remote_data_open(const rub_config_t *config, rub_remote_data_t **self_p, rub_error_t *err);
void rub_remote_data_close(rub_remote_data_t **self_p); /* NULL is fine */

/* The configuration with paths in the place of addresses. Lives as long as self. */
const rub_config_t *rub_remote_data_config(const rub_remote_data_t *self);

/* Other words that name data files, with paths in the place of addresses: *words_p, the caller's
 * (rub_free), NULL on failure. Errors and blocking as open. */
int rub_remote_data_fetch(const rub_config_t *config, const char *words, char **words_p,
                          rub_error_t *err);

/* Whatever counts the signals of this process: once it is not 0, fetches end with RUB_EINTR. Before
 * the first of them; nothing ends them otherwise. */
void rub_remote_data_ends_by(const volatile int *interrupted);

/* The folder for what is fetched: data_cache, or "fetched" in the run or working directory. Writes
 * it to out (of out_bytes). RUB_ECONFIG: too long. */
int rub_remote_data_folder(const rub_config_t *config, char *out, size_t out_bytes,
                           rub_error_t *err);

#endif
