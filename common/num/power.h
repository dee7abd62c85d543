/* Powers with the same bits on every host, which libm does not promise. */
#ifndef RUB_POWER_H
#define RUB_POWER_H

#include <stdint.h>

/* base to the exponent, by squaring: as many products as the exponent has bits, and as many again.
 */
static inline double rub_power(double base, uint64_t exponent)
{
    double result = 1.0;
    while (exponent > 0) {
        if (exponent & 1) {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    return result;
}

#endif
