/* Host names and ports.
 *
 * A port that was free a moment ago may be taken the next: who uses rub_port_free must still cope
 * with a failed bind. It is the supervisor's way to fix the scheduler's address before the
 * scheduler runs, so that a restarted scheduler comes back under the same address. The host name is
 * asked from the kernel and not from the resolver, which may block. */
#include "common/proc/place.h"

#include "common/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *rub_host_pid(int64_t pid, char *out, size_t out_bytes)
{
    char host[96] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == 0) {
        strcpy(host, "localhost");
    }
    snprintf(out, out_bytes, "%s:%" PRId64, host, pid);
    return out;
}

const char *rub_snapshots_folder(const char *snapshots_dir, const char *run_dir, char *out,
                                 size_t out_bytes)
{
    if (snapshots_dir[0]) {
        snprintf(out, out_bytes, "%s", snapshots_dir);
    } else {
        snprintf(out, out_bytes, "%s%ssnapshots", run_dir, run_dir[0] ? "/" : "");
    }
    return out;
}

static int try_bind(const char *host, uint16_t port, uint16_t *bound_p)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (strcmp(host, "*") == 0) {
        address.sin_addr.s_addr = htonl(INADDR_ANY);
    } else if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    const int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    socklen_t bytes = sizeof address;
    int failure = 0;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        failure = errno;
    }
    close(fd);
    *bound_p = ntohs(address.sin_port);
    return failure;
}

int rub_port_free(const char *host, uint16_t *port_p, rub_error_t *err)
{
    const int failure = try_bind(host, 0, port_p);
    return failure ? rub_fail_errno(err, RUB_EIO, failure, "no free port on '%s'", host) : 0;
}

int rub_port_check(const char *host, uint16_t port, rub_error_t *err)
{
    uint16_t bound = 0;
    const int failure = try_bind(host, port, &bound);
    return failure ? rub_fail_errno(err, RUB_EBUSY, failure, "port %u on '%s' cannot be bound",
                                    (unsigned)port, host)
                   : 0;
}
