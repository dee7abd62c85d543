/* Memory that two processes of one host share: an anonymous file (memfd) that one makes and the
 * other finds as /proc/PID/fd/N. It has no name anywhere, so nothing is left behind, however its
 * processes end.
 *
 * The maker seals its size before anybody sees it; who attaches takes nothing but a memfd with
 * those seals, of the announced size: a mapping can then never end in SIGBUS, whatever the peer
 * does. A child that one of them forks has not got the mapping. What the memory holds is another
 * matter: the peer may change every byte at any time.
 *
 * One thread at a time. */
#ifndef RUB_SHARED_SEGMENT_H
#define RUB_SHARED_SEGMENT_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rub_segment rub_shared_segment_t;

/* Zeroed, sealed, mapped for reading and writing. bytes: a multiple of 4096; memory is taken as it
 * is touched. RUB_ENOMEM; RUB_EIO: no descriptor left, a kernel (or a sandbox) without memfd, or
 * files are limited to less (ulimit -f). */
int rub_shared_segment_create(size_t bytes, rub_shared_segment_t **self_p, rub_error_t *err);
/* Maps the segment that process pid made and knows as descriptor fd. Opens no device, pipe or file
 * of a disk, whatever stands there. RUB_EREFUSED: not there, not ours to open, no sealed memfd, or
 * not of that size; the sentence says which. RUB_ENOMEM. */
int rub_shared_segment_attach(uint64_t pid, uint32_t fd, size_t bytes,
                              rub_shared_segment_t **self_p, rub_error_t *err);
void rub_shared_segment_close(rub_shared_segment_t **self_p); /* NULL is fine */

uint8_t *rub_shared_segment_bytes(rub_shared_segment_t *self);
uint32_t
rub_shared_segment_descriptor(const rub_shared_segment_t *self); /* what a peer attaches by */
/* [offset, offset + bytes), multiples of 4096, is read only here from now on. RUB_EIO. */
int rub_shared_segment_protect(rub_shared_segment_t *self, size_t offset, size_t bytes);
/* Of an attached one: its maker has let go of it, or is dead, whatever children it has forked. */
bool rub_shared_segment_is_orphaned(const rub_shared_segment_t *self);

#endif
