/* Signals become two integers.
 *
 * A handler can only speak through static storage, so this file has the only mutable globals of the
 * tree: a count and the first signal's number. It does nothing else, so that the program's own loop
 * decides in which order things end. CZMQ would install handlers of its own with its first socket;
 * zsys_handler_set(NULL) tells it not to. */
#include "common/proc/signals.h"

#include <czmq.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OF_STORE = 74 };

static volatile sig_atomic_t first_signal;
static volatile int signal_count;
static volatile sig_atomic_t exits_at;

static void on_signal(int number)
{
    if (signal_count == 0) {
        first_signal = number;
    }
    signal_count = signal_count + 1;
    if (signal_count >= exits_at) {
        _exit(128 + number);
    }
}

void rub_signals_install(bool second_exits)
{
    exits_at = second_exits ? 2 : 3;
    zsys_handler_set(NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    /* Whoever started us may ignore it, which passes to us: the kernel would then not keep how our
     * children ended, and nobody would ever see that they have. */
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, NULL);
}

static void on_bus_error(int number)
{
    static const char sentence[] =
        "a mapped file of the store can not be read or written (SIGBUS): its disk failed, or "
        "somebody shortened the file\n";
    (void)number;
    const ssize_t n = write(STDERR_FILENO, sentence, sizeof(sentence) - 1);
    (void)n;
    _exit(EXIT_OF_STORE);
}

void rub_signals_install_for_store(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_bus_error;
    sigaction(SIGBUS, &action, NULL);
}

const volatile int *rub_signals_count(void)
{
    return &signal_count;
}

int rub_signals_exit_code(void)
{
    return signal_count > 0 ? 128 + (int)first_signal : 0;
}
