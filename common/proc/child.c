/* fork and exec with the three things that keep a fleet from leaving anybody behind: a process
 * group of its own, a death signal from the kernel, and waitpid by number.
 *
 * Between fork and exec only async-signal-safe calls are made: the parent has threads (ZeroMQ's,
 * BLAS's), and the child has a copy of their locks. The death signal is set before the parent is
 * looked at again, so a parent that ends in between is noticed. Signals wait while the child still
 * has the parent's handlers, which would only count one that was meant for the child: told to leave
 * before its exec, it ends. */
#include "common/proc/child.h"

#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become(char *const *arguments, int log_fd, int null_fd, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const bool redirected = dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 && dup2(log_fd, 2) >= 0;
    if (redirected) {
        execv(arguments[0], arguments);
    }
    _exit(127);
}

int rub_child_start(rub_child_t *self, char *const *arguments, const char *log_path,
                    rub_error_t *err)
{
    int rc = 0;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd < 0 || null_fd < 0) {
        rc = rub_fail_errno(err, RUB_EIO, errno, "cannot open the log '%s'", log_path);
        goto out;
    }
    const pid_t parent = getpid();
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    const pid_t pid = fork();
    const int fork_errno = errno;
    if (pid == 0) {
        become(arguments, log_fd, null_fd, parent);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        rc = rub_fail_errno(err, RUB_EIO, fork_errno, "cannot start '%s'", arguments[0]);
        goto out;
    }
    *self = (rub_child_t){.pid = pid};
out:
    if (log_fd >= 0) {
        close(log_fd);
    }
    if (null_fd >= 0) {
        close(null_fd);
    }
    return rc;
}

bool rub_child_ended(rub_child_t *self)
{
    int status = 0;
    if (self->pid == 0 || waitpid(self->pid, &status, WNOHANG) != self->pid) {
        return false;
    }
    self->pid = 0;
    self->was_killed = WIFSIGNALED(status);
    self->exit_code = self->was_killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

void rub_child_signal(const rub_child_t *self, int number)
{
    if (self->pid > 0) {
        kill(self->pid, number);
    }
}

void rub_child_kill(rub_child_t *self)
{
    rub_child_signal(self, SIGKILL);
    while (self->pid > 0 && !rub_child_ended(self)) {
        rub_sleep_ms(2); /* a killed process goes at once, or the kernel is stuck with it */
    }
}

void rub_log_last_line(const char *log_path, char *out, size_t out_bytes)
{
    out[0] = 0;
    FILE *in = fopen(log_path, "r");
    if (!in) {
        return;
    }
    char tail[4096];
    size_t n = 0;
    if (fseek(in, 0, SEEK_END) == 0) {
        const long end = ftell(in);
        const long from = end > (long)sizeof tail - 1 ? end - ((long)sizeof tail - 1) : 0;
        if (fseek(in, from, SEEK_SET) == 0) {
            n = fread(tail, 1, sizeof tail - 1, in);
        }
    }
    fclose(in);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\r')) {
        n--;
    }
    tail[n] = 0;
    const char *newline = strrchr(tail, '\n');
    snprintf(out, out_bytes, "%s", newline ? newline + 1 : tail);
}
