/* Which of the compiled distance loops this CPU runs (isa.h). */
#include "common/num/distance_loops.h"

#include "common/base/check.h"
#include "common/num/isa.h"

extern const rub_distance_loops_t rub_distance_loops_plain;
#ifdef __x86_64__
extern const rub_distance_loops_t rub_distance_loops_avx2, rub_distance_loops_avx512;
#endif

static const rub_distance_loops_t *const compiled[] = {
    [RUB_ISA_PLAIN] = &rub_distance_loops_plain,
#ifdef __x86_64__
    [RUB_ISA_AVX2] = &rub_distance_loops_avx2,
    [RUB_ISA_AVX512] = &rub_distance_loops_avx512,
#endif
};

const rub_distance_loops_t *rub_distance_loops(void)
{
    return compiled[rub_isa_best()];
}

const rub_distance_loops_t *rub_distance_loops_at(size_t i)
{
    return i < RUB_COUNT_OF(compiled) && rub_isa_runs((rub_isa_t)i) ? compiled[i] : NULL;
}
