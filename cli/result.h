/* What came of a run, for machines (result.json) and for people (the last lines). */
#ifndef RUB_RESULT_H
#define RUB_RESULT_H

#include "cli/run_folder.h"
#include "cli/supervisor.h"

#include <jansson.h>

/* A new reference. Numbers that are not finite are null. */
json_t *rub_json_number(double value);
json_t *rub_json_metrics(const rub_tally_t *tally); /* {"accuracy": 0.88, ...} */

/* How long the workers' calls stood waiting, seconds over all ranks: {"pull": .., "push": ..,
 * "meet": ..}; a new reference. */
json_t *rub_json_waits(const rub_tally_t *tally);

/* The object of result.json; a new reference, NULL when memory is short. */
json_t *rub_result_json(const rub_config_t *config, const char *run_dir,
                        const rub_outcome_t *outcome);

/* Writes result.json into the folder. RUB_ESTORE. */
int rub_result_save(const rub_run_folder_t *folder, json_t *result, rub_error_t *err);

/* Accuracy, time, the run directory, and what to try next; or why it ended and where the logs are.
 */
void rub_result_tell(const rub_config_t *config, const rub_run_folder_t *folder,
                     const rub_outcome_t *outcome, FILE *out);

#endif
