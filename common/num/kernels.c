/* The doors to the float32 loops that shards and clients share (loops_source.h). */
#include "common/num/kernels.h"

#include "common/num/loops.h"

bool rub_all_finite(const float *x, size_t n)
{
    return rub_loops()->all_finite(x, n);
}

void rub_add_into(float *into, const float *x, size_t n)
{
    rub_loops()->add_into(into, x, n);
}

void rub_scale(float *x, size_t n, float factor)
{
    rub_loops()->scale(x, n, factor);
}
