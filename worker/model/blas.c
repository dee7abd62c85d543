/* What is asked of OpenBLAS as a whole: its threads, and its name for the record.
 *
 * Why: OpenBLAS picks kernels by processor at run time and splits sums over its threads; both
 * change the last bits of a gradient. A fleet runs one thread per worker, and every result says
 * which core computed it. */
#include "common/base/check.h"
#include "worker/model/model.h"

#include <cblas.h>
#include <stdio.h>

void rub_model_threads(unsigned n)
{
    RUB_ASSERT(n >= 1);
    openblas_set_num_threads((int)n);
}

void rub_model_blas(char *out, size_t out_bytes)
{
    const int n = openblas_get_num_threads();
    snprintf(out, out_bytes, "%s, core %s, %d thread%s", openblas_get_config(),
             openblas_get_corename(), n, n == 1 ? "" : "s");
}
