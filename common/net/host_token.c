/* The kernel's boot id: random, made at each boot, readable by everybody, the same in every
 * container. A host's name or address would not do: names are given twice, and an address may lead
 * through a tunnel. */
#include "common/net/host_token.h"

#include "include/rubato.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

enum { TEXT_BYTES = 36 }; /* 8-4-4-4-12 hexadecimal digits */

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rub_host_token(uint8_t out[RUB_HOST_TOKEN_BYTES])
{
    char text[TEXT_BYTES];
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return RUB_EIO;
    }
    const ssize_t n = read(fd, text, sizeof(text));
    (void)close(fd);
    size_t digits = 0;
    for (ssize_t i = 0; n == TEXT_BYTES && i < n && digits < 2 * (size_t)RUB_HOST_TOKEN_BYTES;
         i++) {
        const int value = digit(text[i]);
        if (value >= 0) {
            out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] | value : value << 4);
            digits++;
        }
    }
    return digits == 2 * (size_t)RUB_HOST_TOKEN_BYTES ? 0 : RUB_EIO;
}
