/* A child process: started with its output in a log file, tied to its parent's life, and reaped. */
#ifndef RUB_CHILD_H
#define RUB_CHILD_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct rub_child {
    pid_t pid;       /* 0: not running */
    int exit_code;   /* of the last end: its exit code; 128 + number when a signal ended it */
    bool was_killed; /* a signal ended it */
} rub_child_t;

/* Starts arguments[0] (a path) with the arguments (NULL at the end). Standard output and error are
 * appended to log_path, standard input is empty. The child stands in a process group of its own, so
 * that a terminal's Ctrl-C reaches the parent alone, and the kernel kills it when the thread that
 * started it ends, however that happens. RUB_EIO: the log cannot be opened or the process not made;
 * exec's failure shows as exit code 127. */
int rub_child_start(rub_child_t *self, char *const *arguments, const char *log_path,
                    rub_error_t *err);

/* True once when the child has ended since the last call: pid is 0 then and exit_code set. Never
 * blocks. */
bool rub_child_ended(rub_child_t *self);

/* Sends the signal if the child is running. */
void rub_child_signal(const rub_child_t *self, int number);

/* SIGKILL if the child is running, and waits until it is gone; exit_code is set then. */
void rub_child_kill(rub_child_t *self);

/* Copies the last line of the log that is not empty into out, without its line end; "" when there
 * is none. */
void rub_log_last_line(const char *log_path, char *out, size_t out_bytes);

#endif
