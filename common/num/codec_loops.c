/* Which of the compiled codec loops this CPU runs; see loops.c. */
#include "common/num/codec_loops.h"

extern const rub_codec_loops_t rub_codec_loops_plain;
#ifdef __x86_64__
extern const rub_codec_loops_t rub_codec_loops_avx2, rub_codec_loops_avx512;

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

const rub_codec_loops_t *rub_codec_loops(void)
{
#ifdef __x86_64__
    return has_avx512()                     ? &rub_codec_loops_avx512
           : __builtin_cpu_supports("avx2") ? &rub_codec_loops_avx2
                                            : &rub_codec_loops_plain;
#else
    return &rub_codec_loops_plain;
#endif
}

const rub_codec_loops_t *rub_codec_loops_at(size_t i)
{
    if (i == 0) {
        return &rub_codec_loops_plain;
    }
#ifdef __x86_64__
    if (i == 1 && __builtin_cpu_supports("avx2")) {
        return &rub_codec_loops_avx2;
    }
    if (i == 2 && has_avx512()) {
        return &rub_codec_loops_avx512;
    }
#endif
    return NULL;
}
