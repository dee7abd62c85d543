/* Bytes as a file, for parsers that read files: a memfd, opened again through /proc. Nothing
 * reaches a disk, and there is nothing to remove. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

const char *rub_fuzz_file(unsigned slot, const uint8_t *data, size_t size)
{
    static int fds[RUB_FUZZ_FILES] = {-1, -1};
    static char paths[RUB_FUZZ_FILES][64];
    RUB_ASSERT(slot < RUB_FUZZ_FILES);
    if (fds[slot] < 0) {
        fds[slot] = memfd_create("fuzz", 0);
        RUB_ASSERT(fds[slot] >= 0);
        (void)snprintf(paths[slot], sizeof(paths[slot]), "/proc/self/fd/%d", fds[slot]);
    }
    RUB_ASSERT(ftruncate(fds[slot], 0) == 0);
    RUB_ASSERT(pwrite(fds[slot], data, size, 0) == (ssize_t)size);
    return paths[slot];
}
