/* A running shard: one thread with its ROUTER, its DEALER to the scheduler, its store and its core,
 * from opening the store to leaving. Everything blocks on nothing but poll; the storage thread does
 * the waiting for disks. */
#ifndef RUB_ZMQ_SHARD_H
#define RUB_ZMQ_SHARD_H

#include "common/base/log.h"
#include "common/net/zmq_socket.h"
#include "ps/shard.h"

#include <stdatomic.h>

typedef struct rub_shard_run {
    rub_shard_config_t core;   /* address is filled in when the real port is known */
    const char *listen;        /* "tcp://host:port"; port 0: a free one */
    const char *advertise;     /* host or host:port that others use; "": the one of listen */
    const char *scheduler;     /* "tcp://host:port" */
    const char *store_dir;     /* its shard-<k> is used; not touched with durability none */
    const char *snapshots_dir; /* where snapshots go; "": this shard takes part in none */
    size_t segment_bytes;
    bool lanes;                  /* values of peers on this host may come through shared memory */
    bool keep_journal;           /* segments behind the redo point are kept, not recycled */
    uint64_t join_timeout_ms;    /* for the first word of the scheduler */
    uint64_t grace_ms;           /* for a scheduler that has gone; and for draining */
    const volatile int *signals; /* how many came: 1 drains, 2 leaves now */
    const atomic_int *halt;      /* non-zero: another shard of this process failed; leave now */
    const rub_log_t *log;
} rub_shard_run_t;

/* Runs the shard in the calling thread until it may leave. 0: the scheduler said so. RUB_EINTR: a
 * signal, after draining. RUB_ECANCELLED: halt. RUB_EREFUSED, RUB_EHELD; RUB_EPEER names the
 * scheduler; RUB_ECONFIG: the address is taken; RUB_ESTORE, RUB_ENOSPC, RUB_ECORRUPT, RUB_ENOMEM.
 */
int rub_shard_run(rub_net_t *net, const rub_shard_run_t *run, rub_error_t *err);

#endif
