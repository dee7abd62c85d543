/* Which host this is, as far as sharing memory goes: 16 bytes that are the same for every process
 * since the kernel was booted, and for no other host. Equal tokens are worth a try and prove
 * nothing: containers of one host have the same and may be walled off from each other. */
#ifndef RUB_HOST_TOKEN_H
#define RUB_HOST_TOKEN_H

#include <stdint.h>

#define RUB_HOST_TOKEN_BYTES 16u

/* 0, or RUB_EIO: this host does not say; then it shares memory with nobody. Reads a file of /proc.
 */
int rub_host_token(uint8_t out[RUB_HOST_TOKEN_BYTES]);

#endif
