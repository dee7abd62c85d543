/* The codecs of less than a byte a value: rows of codec.c's table. Formats and papers: codec.h. */
#ifndef RUB_CODEC_FEW_H
#define RUB_CODEC_FEW_H

#include <stddef.h>
#include <stdint.h>

size_t rub_2bit_bytes(size_t n);
void rub_2bit_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out);
int rub_2bit_decode(const uint8_t *in, size_t n, float *x);

size_t rub_1bit_bytes(size_t n);
void rub_1bit_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out);
int rub_1bit_decode(const uint8_t *in, size_t n, float *x);

size_t rub_topk_bytes(size_t n);
void rub_topk_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out);
int rub_topk_decode(const uint8_t *in, size_t n, float *x);

#endif
