/* What fuzz targets share: the entry that libFuzzer and AFL++ call, and bytes as a file. A target
 * is a file fuzz_<target>.c; it must leave nothing behind, since millions of runs share a process.
 * RUB_ASSERT is the oracle. */
#ifndef RUB_FUZZ_H
#define RUB_FUZZ_H

#include "common/base/check.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_FUZZ_FILES 2u

/* Looks at the bytes. 0 always. */
__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a regular file in memory that holds the bytes until the next call with this slot
 * (below RUB_FUZZ_FILES). Static. */
const char *rub_fuzz_file(unsigned slot, const uint8_t *data, size_t size);

/* Reads the input as a list of small numbers: 0 once it has ended. */
typedef struct rub_fuzz_input {
    const uint8_t *at;
    size_t left;
} rub_fuzz_input_t;

static inline uint8_t rub_fuzz_byte(rub_fuzz_input_t *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static inline uint64_t rub_fuzz_u64(rub_fuzz_input_t *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = v << 8 | rub_fuzz_byte(in);
    }
    return v;
}

/* For rub_line_scan: counts whole lines of a format without a heading into *context, a size_t. */
static inline int rub_fuzz_count_line(void *context, const char *text, size_t text_bytes,
                                      bool heading, rub_error_t *err)
{
    size_t *const n_lines = context;
    (void)err;
    RUB_ASSERT(!heading);
    RUB_ASSERT(text[text_bytes] == '\n');
    ++*n_lines;
    return 0;
}

#endif
