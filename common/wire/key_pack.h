/* Sorted lists of keys in few bytes, without loss: the first key, then what lies between each and
 * its predecessor, less one; each as a varint (LEB128: seven bits a byte, the lowest first, the top
 * bit says that more follow). Zeros fill up to a multiple of 8, so that values behind stay aligned.
 * Every list that can be read ascends strictly. Pure; any thread. */
#ifndef RUB_KEY_PACK_H
#define RUB_KEY_PACK_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of n keys (little-endian u64) packed; 0 when that is not less than 8 n: they do not ascend
 * strictly, or lie too far from each other. */
size_t rub_keys_packed_bytes(const uint8_t *keys, size_t n);
/* Writes them; out: that many bytes, not 0. */
void rub_keys_pack(const uint8_t *keys, size_t n, uint8_t *out);
/* Reads n keys from n_bytes of anybody's into out: 8 n bytes. RUB_ESHAPE: these are not n keys and
 * less than 8 zeros; out is undefined then. */
int rub_keys_unpack(const uint8_t *in, size_t n_bytes, size_t n, uint8_t *out);

#endif
