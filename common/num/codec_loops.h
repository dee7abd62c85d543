/* The loops of codecs that vector registers help, once for each instruction set, all compiled from
 * the same lines (codec_loops_source.h) as loops.h's are: every set gives the same bits. Private to
 * common/num and its tests. */
#ifndef RUB_CODEC_LOOPS_H
#define RUB_CODEC_LOOPS_H

#include <stddef.h>
#include <stdint.h>

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
} rub_codec_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_codec_loops_t *rub_codec_loops(void);
/* All that this CPU runs, plain first; NULL behind the last. */
const rub_codec_loops_t *rub_codec_loops_at(size_t i);

#endif
