/* Copies memory that nobody will look at again soon: what goes to a file must not push out of the
 * caches what the next message needs.
 *
 * Where the processor has stores that bypass the caches (x86-64) they are used; elsewhere this is
 * memcpy. */
#ifndef RUB_COPY_THROUGH_H
#define RUB_COPY_THROUGH_H

#include <stddef.h>

/* Copies bytes that do not overlap, with any alignment. Other threads, and whoever looks at a
 * shared mapping after this process was killed, see them once rub_copy_through_end was called by
 * the same thread. */
void rub_copy_through(void *to, const void *from, size_t bytes);
void rub_copy_through_end(void);

#endif
