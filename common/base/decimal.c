/* Reading decimal numbers.
 *
 * Why: strtod costs 50 to 100 ns a number, more than all else that is done with it; a data set has
 * forty of them in a row. Idea (Clinger, "How to read floating point numbers accurately", PLDI
 * 1990, the fast path): digits that make an integer up to 2^53 are exact in float64, and so are
 * powers of ten up to 10^22; one multiplication or division of two exact numbers rounds once, so
 * the result is the nearest. Numbers that people and programs write are like that; what is longer
 * goes to strtod. Invariant: the result is strtod's for every number that is read (held to by a
 * test). Multiplications must be in float64, not wider: true of SSE2 and of every 64-bit host. */
#include "common/base/decimal.h"

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(FLT_EVAL_METHOD == 0, "float64 products must not be wider");

#define EXACT_DIGITS 19 /* so many always go into 64 bits */
#define EXACT_LIMIT (UINT64_C(1) << 53)
#define EXPONENT_LIMIT 100000 /* beyond it, all is zero or infinite; far from overflow */

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#define POWERS_GREATEST 22

static inline bool is_digit(char c)
{
    return (unsigned)(c - '0') <= 9;
}

/* Behind "e": the exponent is added to *exponent_p. NULL when no digit follows: then the number
 * ends before the "e". */
static const char *scan_exponent(const char *at, int64_t *exponent_p)
{
    const bool negative = *at == '-';
    at += negative || *at == '+';
    if (!is_digit(*at)) {
        return NULL;
    }
    int64_t exponent = 0;
    for (; is_digit(*at); at++) {
        exponent = exponent < EXPONENT_LIMIT ? exponent * 10 + (*at - '0') : exponent;
    }
    *exponent_p += negative ? -exponent : exponent;
    return at;
}

const char *rub_decimal_scan(const char *text, double *value_p)
{
    const char *at = text;
    const bool negative = *at == '-';
    at += negative || *at == '+';
    uint64_t digits = 0; /* wraps when there are many: then they do not count */
    int64_t exponent = 0;
    const char *const first = at;
    for (; is_digit(*at); at++) {
        digits = digits * 10 + (uint64_t)(*at - '0');
    }
    ptrdiff_t n_digits = at - first;
    if (*at == '.') {
        const char *const point = ++at;
        for (; is_digit(*at); at++) {
            digits = digits * 10 + (uint64_t)(*at - '0');
        }
        n_digits += at - point;
        exponent = point - at;
    }
    if (n_digits == 0) {
        return NULL;
    }
    if ((*at | 0x20) == 'e') {
        const char *const behind = scan_exponent(at + 1, &exponent);
        at = behind != NULL ? behind : at;
    }
    if (n_digits > EXACT_DIGITS || digits > EXACT_LIMIT || exponent < -POWERS_GREATEST ||
        exponent > POWERS_GREATEST) {
        *value_p = strtod(text, NULL);
        return at;
    }
    const double value =
        exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
    *value_p = negative ? -value : value;
    return at;
}

const char *rub_decimal_scan_u64(const char *text, uint64_t limit, uint64_t *value_p)
{
    const char *at = text;
    uint64_t value = 0;
    for (; is_digit(*at); at++) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (value > (limit - digit) / 10 || digit > limit) {
            return NULL;
        }
        value = value * 10 + digit;
    }
    if (at == text) {
        return NULL;
    }
    *value_p = value;
    return at;
}
