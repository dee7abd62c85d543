/* CSV files, with a header in every second one and words in the last columns; and the same bytes as
 * TSV. Then as examples of a fixed width, read whole and as a stream, which must agree. */
#include "tests/fuzz/sparse_target.h"
#include "worker/data/csv_table.h"
#include "worker/data/dataset.h"

#include <string.h>

static void compare(const rub_dataset_t *dataset, const rub_csv_options_t *options,
                    const char *path)
{
    static float x[RUB_DATASET_WIDTH_LIMIT];
    rub_csv_table_t *table = NULL;
    bool any = true;
    RUB_ASSERT(rub_csv_table_open(options, path, false, &table, NULL) == 0);
    RUB_ASSERT(rub_csv_table_width(table) == dataset->width);
    for (size_t i = 0; i < dataset->n_examples; i++) {
        RUB_ASSERT(rub_csv_table_next(table, 0, x, NULL, &any, NULL) == 0);
        RUB_ASSERT(any);
        RUB_ASSERT(memcmp(x, dataset->floats + i * dataset->width, dataset->width * sizeof *x) ==
                   0);
        RUB_ASSERT(dataset->labels[i] >= 0 && (uint32_t)dataset->labels[i] < dataset->n_classes);
    }
    RUB_ASSERT(rub_csv_table_next(table, 0, x, NULL, &any, NULL) == 0);
    RUB_ASSERT(!any);
    rub_csv_table_close(&table);
}

static void read_dense(const char *format, const uint8_t *data, size_t size)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = format;
    options.features_path = rub_fuzz_file(0, data, size);
    options.limit_bytes = 1 << 20;
    options.csv_header = size % 2 == 0;
    rub_dataset_t *dataset = NULL;
    rub_error_t err = {0};
    if (rub_dataset_open(&options, &dataset, &err) != 0) {
        RUB_ASSERT(!dataset);
        RUB_ASSERT(err.message[0] != '\0');
        return;
    }
    const rub_csv_options_t table = {format, options.csv_label, options.csv_header};
    compare(dataset, &table, options.features_path);
    rub_dataset_close(&dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_dense("csv", data, size);
    read_dense("tsv", data, size);
    (void)sparse_target_run("csv", data, size);
    return sparse_target_run("tsv", data, size);
}
