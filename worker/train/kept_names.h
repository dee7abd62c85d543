/* The names that a job's rows have. Words, users and items are numbered as the data have them, and
 * rows are called by numbers; so a job that goes on with other data would train the rows of others.
 * What a run directory keeps of the names is held against the data before that. */
#ifndef RUB_KEPT_NAMES_H
#define RUB_KEPT_NAMES_H

#include "worker/data/vocabulary.h"

#include <stdbool.h>

/* Is the names' file in the run directory of this job? Where nothing was trained yet it may be of
 * another one that was here before. */
bool rub_kept_names_count(const rub_info_t *info);

/* RUB_EDATA: under some number stands another name than was kept. Either may have more names: these
 * have rows of their own, or none. what: "word"; data, path: of names and of kept, for the
 * sentence.
 */
int rub_kept_names_compare(const rub_vocabulary_t *kept, const rub_vocabulary_t *names,
                           const char *what, const char *data, const char *path, rub_error_t *err);

#endif
