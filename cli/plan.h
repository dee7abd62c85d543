/* What can be said of a run before it exists: its data, its address. train refuses on it, doctor
 * reports it. */
#ifndef RUB_PLAN_H
#define RUB_PLAN_H

#include "common/conf/config.h"

/* The files are there, and hold a data set that the model can be built for (data sets above 256 MiB
 * on disk are not read). *parameters_p (may be NULL): float32 of the model; 0: not known. Blocks on
 * files. RUB_ECONFIG, RUB_EDATA, RUB_EINVAL, RUB_ENOMEM. */
int rub_plan_check_data(const rub_config_t *config, uint64_t *parameters_p, rub_error_t *err);

/* What the options allow one by one but not together. RUB_ECONFIG names the option and what it
 * would need. */
int rub_plan_check_options(const rub_config_t *config, rub_error_t *err);

/* Splits "tcp://host:port": the host's bytes go to host, terminated. RUB_ECONFIG names what is
 * missing. */
int rub_plan_address(const char *address, char host[128], uint16_t *port_p, rub_error_t *err);

#endif
