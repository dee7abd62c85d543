/* The checksum of everything that is stored. Part of stored data: pinned for ever. */
#ifndef RUB_CRC32C_H
#define RUB_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli; RFC 3720, B.4), continued from crc (0 to start). The fastest way that the
 * processor has: AVX-512, SSE4.2, a table. */
uint32_t rub_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same, and copies the bytes past the caches as rub_copy_through does, which has to be ended
 * likewise: in one passage, for what goes to a file. They do not overlap. */
uint32_t rub_crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes);

/* All ways that this processor has, the table first; NULL behind the last. For tests. */
typedef uint32_t (*rub_crc32c_way_t)(uint32_t crc, const void *data, size_t bytes);
rub_crc32c_way_t rub_crc32c_way(size_t i);

#endif
