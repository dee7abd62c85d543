/* SIGINT and SIGTERM as a flag to poll: the first asks to stop in order, the second to leave now.
 * For programs only; the library never touches signals. */
#ifndef RUB_SIGNALS_H
#define RUB_SIGNALS_H

#include <stdbool.h>

/* Installs the handlers, ignores SIGPIPE, hears of children again (SIGCHLD as it is by default,
 * even if it was ignored), and keeps CZMQ from installing its own. second_exits: the second signal
 * ends the process from within the handler, with 128 + its number; otherwise the third does, and
 * the second is only counted (a supervisor has children to end first). Call once, at the start of a
 * program. */
void rub_signals_install(bool second_exits);

/* For a program that maps its store's files: a page of them that the disk can not give or take
 * raises SIGBUS. From here on that is a sentence on standard error and exit 74, as for any failure
 * of the store, instead of a dead process without one. */
void rub_signals_install_for_store(void);

/* How many signals came: 0, 1, 2. Non-zero ends waits: give it to rub_options_t.interrupted. Valid
 * for ever. */
const volatile int *rub_signals_count(void);

/* The exit code for the first signal: 130 for SIGINT, 143 for SIGTERM; 0 when none came. */
int rub_signals_exit_code(void);

#endif
