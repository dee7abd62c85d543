/* A ps that listens on every interface has to tell the others one address. The host's name is the
 * best one: it means the same on every host, and outlives an address. But a name that the resolver
 * of its own host does not know, as in a fresh container or chroot, is known to nobody, and the
 * workers would wait for it in vain. There the way to the scheduler says which of our addresses the
 * others can use: a connected UDP socket has one, and no packet is sent for it. Like the sockets of
 * the fleet it looks at IPv4 alone. */
#include "common/proc/known_host.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* NULL: not known. The caller frees it with freeaddrinfo. */
static struct addrinfo *resolve(const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}

/* Our side of a socket that is connected to peer, as a number; 0: out is written. */
static int own_side(const struct addrinfo *peer, char *out, size_t out_bytes)
{
    struct sockaddr_in own;
    socklen_t bytes = sizeof(own);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = -1;
    if (fd >= 0) {
        if (connect(fd, peer->ai_addr, peer->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &bytes) == 0) {
            rc = getnameinfo((const struct sockaddr *)&own, bytes, out, (socklen_t)out_bytes, NULL,
                             0, NI_NUMERICHOST);
        }
        close(fd);
    }
    return rc;
}

rub_known_host_t rub_known_host(const char *name, const char *scheduler, char *out,
                                size_t out_bytes)
{
    struct addrinfo *found = resolve(name, NULL);
    (void)snprintf(out, out_bytes, "%s", name);
    if (found) {
        freeaddrinfo(found);
        return RUB_KNOWN_BY_NAME;
    }
    const char *host = strncmp(scheduler, "tcp://", 6) == 0 ? scheduler + 6 : scheduler;
    const char *port = strrchr(host, ':');
    char peer[256];
    if (!port || (size_t)(port - host) >= sizeof(peer)) {
        return RUB_NOT_KNOWN;
    }
    (void)snprintf(peer, sizeof(peer), "%.*s", (int)(port - host), host);
    found = resolve(peer, port + 1);
    if (!found) {
        return RUB_NOT_KNOWN;
    }
    const int rc = own_side(found, out, out_bytes);
    freeaddrinfo(found);
    if (rc != 0) {
        (void)snprintf(out, out_bytes, "%s", name);
        return RUB_NOT_KNOWN;
    }
    return RUB_KNOWN_BY_ADDRESS;
}
