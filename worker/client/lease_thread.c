/* A worker in a long BLAS call is not dead: its leases are renewed here. The thread owns its socket
 * from open to close, waits in poll on that socket and on an event that means "stop", and touches
 * nothing of the session. Counters are relaxed atomics: they are for people and for the lease, and
 * no order between them matters. */
#include "worker/client/lease_thread.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LEASE_EVERY_MS = 1000, LEASES_EACH = 4, CONNECTING_MS = 20 };

struct rub_lease_thread {
    rub_net_t *net;
    char *scheduler;
    rub_lease_identity_t identity;
    pthread_t thread;
    int stop_fd;
    atomic_uint_least64_t clock, epoch, step, examples, total_examples, loss_bits;
    atomic_uint_least64_t pull_wait_us, push_wait_us, meet_wait_us;
    atomic_uint_least64_t answers, generation, version;
    atomic_uint state, stuck_at;
    uint64_t answers_taken; /* by the session's thread */
};

void rub_lease_thread_read(rub_lease_thread_t *self, rub_lease_t *lease)
{
    const uint64_t bits = atomic_load(&self->loss_bits);
    *lease = (rub_lease_t){.job = self->identity.job,
                           .rank = self->identity.rank,
                           .epoch = self->identity.epoch,
                           .clock = atomic_load(&self->clock),
                           .data_epoch = atomic_load(&self->epoch),
                           .step = atomic_load(&self->step),
                           .examples = atomic_load(&self->examples),
                           .total_examples = atomic_load(&self->total_examples),
                           .stuck_at = atomic_load(&self->stuck_at),
                           .pull_wait_us = atomic_load(&self->pull_wait_us),
                           .push_wait_us = atomic_load(&self->push_wait_us),
                           .meet_wait_us = atomic_load(&self->meet_wait_us)};
    memcpy(&lease->loss, &bits, sizeof(bits));
}

static int send_lease(rub_lease_thread_t *self, rub_socket_t *socket, rub_buf_t *encoded)
{
    rub_control_t message = {.type = RUB_MSG_LEASE};
    rub_lease_thread_read(self, &message.lease);
    rub_buf_reset(encoded);
    const int rc = rub_control_encode(&message, encoded, NULL);
    return rc ? rc : rub_socket_send_bytes(socket, 0, encoded->data, encoded->bytes);
}

static void take_answers(rub_lease_thread_t *self, rub_socket_t *socket, rub_arena_t *arena)
{
    rub_received_t received;
    while (rub_socket_receive(socket, &received) == 0) {
        rub_control_t message;
        rub_arena_reset(arena);
        if (received.n_parts == 1 &&
            rub_control_decode(received.parts[0].data, received.parts[0].bytes, arena, &message,
                               NULL) == 0 &&
            message.type == RUB_MSG_LEASE_OK) {
            atomic_store(&self->generation, message.lease_ok.generation);
            atomic_store(&self->version, message.lease_ok.version);
            atomic_store(&self->state, message.lease_ok.state);
            atomic_fetch_add(&self->answers, 1);
        }
        rub_received_release(&received);
    }
}

/* A session whose other words are few (it is parked, it computes) must not look silent between two
 * leases, however short the job's lease is. */
static uint64_t every_ms(const rub_lease_thread_t *self)
{
    const uint64_t ms = self->identity.lease_ms / LEASES_EACH;
    return ms > 0 && ms < LEASE_EVERY_MS ? ms : LEASE_EVERY_MS;
}

static void *run(void *context)
{
    rub_lease_thread_t *self = context;
    rub_socket_t *socket = NULL;
    rub_buf_t encoded;
    rub_arena_t arena;
    rub_buf_init(&encoded);
    rub_arena_init(&arena);
    /* Without a socket no lease is renewed and the scheduler will say so to the session; there is
     * nobody to tell here. */
    if (rub_socket_open(self->net, RUB_SOCKET_DEALER, &socket, NULL) == 0 &&
        rub_socket_connect(socket, self->scheduler, NULL) == 0) {
        uint64_t next_ms = 0;
        for (;;) {
            const uint64_t now_ms = rub_now_ms();
            if (now_ms >= next_ms) {
                const bool sent = send_lease(self, socket, &encoded) == 0;
                next_ms = now_ms + (sent ? every_ms(self) : CONNECTING_MS);
            }
            rub_poll_t items[] = {{.socket = socket}, {.fd = self->stop_fd}};
            rub_socket_poll(items, 2, next_ms - now_ms);
            if (items[1].readable) {
                break;
            }
            take_answers(self, socket, &arena);
        }
    }
    rub_socket_close(&socket, 0);
    rub_arena_fini(&arena);
    rub_buf_fini(&encoded);
    return NULL;
}

/* The new thread inherits a full mask, so that the program's signals find the program's threads. */
static int start(rub_lease_thread_t *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(&self->thread, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int rub_lease_thread_open(rub_net_t *net, const char *scheduler,
                          const rub_lease_identity_t *identity, rub_lease_thread_t **self_p,
                          rub_error_t *err)
{
    int rc = 0;
    rub_lease_thread_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "lease thread: memory is short");
    }
    self->net = net;
    self->identity = *identity;
    self->stop_fd = -1;
    self->scheduler = rub_strdup(scheduler);
    if (!self->scheduler) {
        rc = rub_fail(err, RUB_ENOMEM, "lease thread: memory is short");
        goto out;
    }
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->stop_fd < 0) {
        rc = rub_fail_errno(err, RUB_EIO, errno, "lease thread: no event");
        goto out;
    }
    const int started = start(self);
    if (started != 0) {
        rc = rub_fail_errno(err, RUB_EIO, started, "lease thread: cannot start");
        goto out;
    }
    *self_p = self;
    return 0;
out:
    if (self->stop_fd >= 0) {
        close(self->stop_fd);
    }
    rub_free(self->scheduler);
    rub_free(self);
    return rc;
}

void rub_lease_thread_close(rub_lease_thread_t **self_p)
{
    rub_lease_thread_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    const uint64_t one = 1;
    ssize_t written = 0;
    do {
        written = write(self->stop_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    pthread_join(self->thread, NULL);
    close(self->stop_fd);
    rub_free(self->scheduler);
    rub_free(self);
}

void rub_lease_thread_progress(rub_lease_thread_t *self, const rub_progress_t *progress)
{
    uint64_t bits;
    memcpy(&bits, &progress->loss, sizeof(bits));
    atomic_store_explicit(&self->epoch, progress->epoch, memory_order_relaxed);
    atomic_store_explicit(&self->step, progress->step, memory_order_relaxed);
    atomic_store_explicit(&self->examples, progress->examples, memory_order_relaxed);
    atomic_store_explicit(&self->total_examples, progress->total_examples, memory_order_relaxed);
    atomic_store_explicit(&self->loss_bits, bits, memory_order_relaxed);
}

void rub_lease_thread_clock(rub_lease_thread_t *self, uint64_t clock)
{
    atomic_store_explicit(&self->clock, clock, memory_order_relaxed);
}

void rub_lease_thread_stuck(rub_lease_thread_t *self, uint32_t stuck_at)
{
    atomic_store_explicit(&self->stuck_at, stuck_at, memory_order_relaxed);
}

void rub_lease_thread_waited(rub_lease_thread_t *self, const rub_stats_t *stats)
{
    atomic_store_explicit(&self->pull_wait_us, stats->pull_wait_us, memory_order_relaxed);
    atomic_store_explicit(&self->push_wait_us, stats->push_wait_us, memory_order_relaxed);
    atomic_store_explicit(&self->meet_wait_us, stats->meet_wait_us, memory_order_relaxed);
}

bool rub_lease_thread_heard(rub_lease_thread_t *self, rub_lease_ok_t *lease)
{
    const uint64_t answers = atomic_load(&self->answers);
    if (answers == self->answers_taken) {
        return false;
    }
    self->answers_taken = answers;
    *lease = (rub_lease_ok_t){.generation = atomic_load(&self->generation),
                              .version = atomic_load(&self->version),
                              .state = atomic_load(&self->state)};
    return true;
}
