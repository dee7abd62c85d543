/* The loops of codecs that vector registers help, once for each instruction set, all compiled from
 * the same lines (codec_loops_source.h) as loops.h's are: every set gives the same bits. Private to
 * common/num and its tests. */
#ifndef RUB_CODEC_LOOPS_H
#define RUB_CODEC_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#define RUB_CODEC_LANES 8 /* partial sums: value i belongs to sum i % RUB_CODEC_LANES */

typedef struct rub_codec_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    void (*to_bf16)(const float *x, size_t n, uint8_t *out);
    void (*from_bf16)(const uint8_t *in, size_t n, float *x);
    void (*to_f16)(const float *x, size_t n, uint8_t *out);
    void (*from_f16)(const uint8_t *in, size_t n, float *x);
    /* The bits of the greatest |x|: any NaN is greater than infinity, which is greater than all. */
    uint32_t (*greatest)(const float *x, size_t n);
    /* q = floor(x / scale + u), u in [0, 1) from Philox(seed, stream, 0..), kept in -127..127. */
    void (*to_int8)(const float *x, size_t n, float scale, uint64_t seed, uint64_t stream,
                    uint8_t *out);
    void (*from_int8)(const uint8_t *in, size_t n, float scale, float *x);
    /* 1bit: a bit for each value >= 0 into (n + 7) / 8 bytes; their values are added to above[],
     * the others' to below[]. Returns how many. */
    size_t (*to_1bit)(const float *x, size_t n, uint8_t *out, double *above, double *below);
    void (*from_1bit)(const uint8_t *in, size_t n, float above, float below, float *x);
    /* 2bit: |x| is added to sums[]; then two bits for each value, x < 0 and |x| > border, into
     * (n + 3) / 4 bytes, and |x| to low[] or high[]. Returns how many are above. */
    void (*sum_sizes)(const float *x, size_t n, double *sums);
    size_t (*to_2bit)(const float *x, size_t n, double border, uint8_t *out, double *low,
                      double *high);
    void (*from_2bit)(const uint8_t *in, size_t n, float low, float high, float *x);
    /* topk: how many |x| have bits of at least size, below 2^31; n below 2^32. */
    size_t (*count_from)(const float *x, size_t n, uint32_t size);
    /* The same as a bit for each of at most 64 values, the first one's lowest. */
    uint64_t (*mask_from)(const float *x, size_t n, uint32_t size);
} rub_codec_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_codec_loops_t *rub_codec_loops(void);
/* All that this CPU runs, plain first; NULL behind the last. */
const rub_codec_loops_t *rub_codec_loops_at(size_t i);

#endif
