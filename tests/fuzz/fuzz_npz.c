/* Archives of NumPy: the member "x", read to its end in small steps. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/npz_member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_npz_member_t *member = NULL;
    rub_error_t err = {0};
    uint8_t read[61];
    int rc =
        rub_npz_member_open(rub_fuzz_file(0, data, size), size % 3 ? "x" : NULL, &member, &err);
    RUB_ASSERT((rc == 0) == (member != NULL));
    for (size_t i = 0; rc == 0 && i < 2000; i++) {
        rc = rub_npz_member_read(member, read, i % sizeof(read), &err);
    }
    rc = rc ? rc : rub_npz_member_expect_end(member, &err);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    rub_npz_member_close(&member);
    return 0;
}
