/* Which of the compiled loops this CPU runs. The compiler's run-time library has asked the CPU
 * before main; looking at its answer is a load and a test, so nothing is kept here. */
#include "common/num/loops.h"

extern const rub_loops_t rub_loops_plain;
#ifdef __x86_64__
extern const rub_loops_t rub_loops_avx2, rub_loops_avx512;

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}
#endif

const rub_loops_t *rub_loops(void)
{
#ifdef __x86_64__
    return has_avx512()                     ? &rub_loops_avx512
           : __builtin_cpu_supports("avx2") ? &rub_loops_avx2
                                            : &rub_loops_plain;
#else
    return &rub_loops_plain;
#endif
}

const rub_loops_t *rub_loops_at(size_t i)
{
    if (i == 0) {
        return &rub_loops_plain;
    }
#ifdef __x86_64__
    if (i == 1 && __builtin_cpu_supports("avx2")) {
        return &rub_loops_avx2;
    }
    if (i == 2 && has_avx512()) {
        return &rub_loops_avx512;
    }
#endif
    return NULL;
}
