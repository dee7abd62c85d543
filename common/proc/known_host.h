/* By which name others find this host. */
#ifndef RUB_KNOWN_HOST_H
#define RUB_KNOWN_HOST_H

#include <stddef.h>

typedef enum rub_known_host {
    RUB_KNOWN_BY_NAME,
    RUB_KNOWN_BY_ADDRESS, /* the resolver does not know the name */
    RUB_NOT_KNOWN /* nor does a route lead to the scheduler: the name is told all the same */
} rub_known_host_t;

/* Into out (out_bytes; a longer one is cut): name, this host's, when the resolver has an IPv4
 * address for it; otherwise this host's IPv4 address on the way to scheduler (tcp://host:port), and
 * when there is none, name. Sends nothing to the scheduler. Blocks for as long as the resolver
 * does. Any thread. */
rub_known_host_t rub_known_host(const char *name, const char *scheduler, char *out,
                                size_t out_bytes);

#endif
