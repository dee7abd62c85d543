/* Which examples are held out of training: a draw for each, by seed and number, so that everybody
 * agrees without asking, and nothing has to be split beforehand. Pure. */
#ifndef RUB_HELD_OUT_H
#define RUB_HELD_OUT_H

#include "common/base/rng.h"

#include <stdbool.h>

#define RUB_HELD_OUT_STREAM (UINT64_C(0x68656c64) << 24) /* "held" in ASCII */

/* Is example `number` among the `part` (0 to 1) of them that is held out? */
static inline bool rub_held_out(double part, uint64_t seed, uint64_t number)
{
    uint32_t drawn[4];
    rub_philox(seed, RUB_HELD_OUT_STREAM, number, drawn);
    return (double)drawn[0] * 0x1p-32 < part;
}

#endif
