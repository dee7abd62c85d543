/* Where a process is: its name on the network, and free ports. */
#ifndef RUB_PLACE_H
#define RUB_PLACE_H

#include "include/rubato.h"

#include <stddef.h>
#include <stdint.h>

/* "host:pid" for a process of this host into out (at least 128 bytes); returns out. */
const char *rub_host_pid(int64_t pid, char *out, size_t out_bytes);

/* Where a process keeps or seeks snapshots, into out: snapshots_dir, or when that is empty
 * "snapshots" in run_dir, or in the working directory when that is empty too. Returns out. */
const char *rub_snapshots_folder(const char *snapshots_dir, const char *run_dir, char *out,
                                 size_t out_bytes);

/* A TCP port of this host that nobody holds right now. host: the IPv4 address to try on, or "*".
 * RUB_EIO. */
int rub_port_free(const char *host, uint16_t *port_p, rub_error_t *err);

/* 0 when the port may be bound; RUB_EBUSY names it when somebody holds it. */
int rub_port_check(const char *host, uint16_t port, rub_error_t *err);

#endif
