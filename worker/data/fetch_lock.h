/* One process fetches a file, the others of its host wait for it. The lock is the kernel's, on a
 * file beside the one to come: it goes with the process, however that ends, and whoever waits takes
 * over. The file says who has it. One thread; blocks. */
#ifndef RUB_FETCH_LOCK_H
#define RUB_FETCH_LOCK_H

#include "worker/data/http_fetch.h"

/* Takes the lock on path, made if it is missing. Waits as long as another process has it and
 * `part`, which is what that one writes, changes at least once in options->wait_ms; options->say
 * hears whom it waits for, at once and then every quiet_ms. *fd_p is for rub_fetch_lock_release.
 * RUB_EDATA names the holder, and how far the part is: nothing has come for so long; RUB_ESTORE:
 * path cannot be made. */
int rub_fetch_lock_take(const char *path, const char *part, const rub_http_options_t *options,
                        int *fd_p, rub_error_t *err);
/* Removes the file and lets go. fd below 0 is fine. */
void rub_fetch_lock_release(const char *path, int fd);

#endif
