/* The files that the processes of a fleet wrote, as one history. */
#ifndef RUB_HISTORY_FILES_H
#define RUB_HISTORY_FILES_H

#include "tests/history/history.h"

typedef struct rub_history_files rub_history_files_t;

/* Reads all files into memory; they must begin with the same header. A last line without an end is
 * the event under way of a killed process and is dropped. RUB_EDATA names file and line; RUB_EIO;
 * RUB_ENOMEM. */
int rub_history_files_open(char *const *paths, size_t n_paths, rub_history_files_t **self_p,
                           rub_error_t *err);
void rub_history_files_close(rub_history_files_t **self_p);
const rub_history_config_t *rub_history_files_config(const rub_history_files_t *self);

/* The next event of all files in the order of time; its values live until the next call. What no
 * file says is added: a session whose file just stops was killed there, and what a killed or fenced
 * one pushed behind its last acknowledgement was in doubt from its beginning (when it was shut out,
 * it did not know). False: there is none left, or (err->code < 0) a line makes no sense. */
bool rub_history_files_next(rub_history_files_t *self, rub_history_event_t *event,
                            rub_error_t *err);

#endif
