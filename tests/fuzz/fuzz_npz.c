/* Archives of NumPy: one member, read to its end in small steps. */
#include "common/base/error.h"
#include "common/tensor/zip_archive.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_zip_archive_t *archive = NULL;
    const rub_zip_entry_t *entries = NULL;
    rub_error_t err = {0};
    uint8_t read[61];
    size_t n = 0;
    int rc = rub_zip_archive_open(rub_fuzz_file(0, data, size), &archive, &err);
    RUB_ASSERT((rc == 0) == (archive != NULL));
    if (rc == 0) {
        entries = rub_zip_archive_entries(archive, &n);
        rc = n == 0 ? rub_fail(&err, RUB_EDATA, "no members")
                    : rub_zip_archive_begin(archive, &entries[size % n], &err);
    }
    for (size_t i = 0; rc == 0 && i < 2000; i++) {
        rc = rub_zip_archive_read(archive, read, i % sizeof(read), &err);
    }
    rc = rc ? rc : rub_zip_archive_expect_end(archive, &err);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    rub_zip_archive_close(&archive);
    return 0;
}
