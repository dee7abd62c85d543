/* CSV files, with a header in every second one and words in the last columns; and the same bytes as
 * TSV. */
#include "tests/fuzz/sparse_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)sparse_target_run("csv", data, size);
    return sparse_target_run("tsv", data, size);
}
