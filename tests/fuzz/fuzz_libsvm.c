/* LIBSVM files, plain or gzip. */
#include "tests/fuzz/sparse_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return sparse_target_run("libsvm", data, size);
}
