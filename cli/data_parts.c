/* Draws are Philox's at (seed, "split", number): no state, so whoever wants to know what becomes of
 * an example need not have dealt those before it. */
#include "cli/data_parts.h"

#include "common/base/error.h"
#include "common/base/rng.h"

#include <stdlib.h>

#define SPLIT_STREAM (UINT64_C(0x73706c6974) << 16) /* "split" in ASCII */

static const char *const names[RUB_DATA_PARTS] = {"train", "valid", "test"};

int rub_data_parts_read(const rub_config_t *config, rub_data_parts_t *self, rub_error_t *err)
{
    const char *at = config->parts;
    double sum = 0;
    size_t n = 0;
    self->seed = config->seed;
    while (n < RUB_DATA_PARTS) {
        char *behind = NULL;
        const double part = strtod(at, &behind);
        if (behind == at || !(part >= 0 && part <= 1)) {
            break;
        }
        sum += part;
        self->ends[n++] = sum;
        at = behind;
        if (*at != ',') {
            break;
        }
        at++;
    }
    if (*at != '\0' || n == 0 || sum < 1 - 1e-9 || sum > 1 + 1e-9) {
        return rub_fail(err, RUB_ECONFIG,
                        "parts: '%s', expected up to %d numbers with commas between, whose sum is "
                        "1",
                        config->parts, RUB_DATA_PARTS);
    }
    for (size_t i = n - 1; i < RUB_DATA_PARTS; i++) {
        self->ends[i] = 1;
    }
    return 0;
}

const char *rub_data_part_name(size_t part)
{
    return names[part];
}

bool rub_data_parts_wants(const rub_data_parts_t *self, size_t part)
{
    return self->ends[part] > (part > 0 ? self->ends[part - 1] : 0);
}

size_t rub_data_parts_deal(const rub_data_parts_t *self, uint64_t number)
{
    uint32_t words[4];
    rub_philox(self->seed, SPLIT_STREAM, number, words);
    const double drawn = (double)words[0] * 0x1p-32;
    size_t part = 0;
    while (part + 1 < RUB_DATA_PARTS && drawn >= self->ends[part]) {
        part++;
    }
    return part;
}
