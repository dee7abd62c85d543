/* Decimal numbers: what our scanner reads is what strtod reads, but for the words and the
 * hexadecimal that it does not read. */
#include "common/base/decimal.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    if (size >= sizeof(text) || memchr(data, 0, size)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    double value = 7;
    const char *const behind = rub_decimal_scan(text, &value);
    char *end = NULL;
    const double expected = strtod(text, &end);
    if (!behind) {
        RUB_ASSERT(value == 7);
        return 0;
    }
    if (*behind == 'x' || *behind == 'X') {
        return 0;
    }
    RUB_ASSERT(behind == end);
    RUB_ASSERT(memcmp(&value, &expected, sizeof(value)) == 0);
    return 0;
}
