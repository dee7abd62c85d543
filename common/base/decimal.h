/* Decimal numbers in text, as data files have them by the hundred million: read without locale,
 * without errno and, for nearly all of them, without the C library. Pure; any thread.
 *
 * The text must end in a byte that no number has (a line's '\n', a zero) before memory ends. */
#ifndef RUB_DECIMAL_H
#define RUB_DECIMAL_H

#include <stdint.h>

/* Reads [+-]digits[.digits][e[+-]digits], with a digit before or behind the point. Returns the byte
 * behind the number, NULL when text does not begin with one (*value_p is unchanged then).
 * *value_p: the float64 nearest to it, to even between two: what strtod gives; infinite above the
 * greatest. No hexadecimal, no words (inf, nan). */
const char *rub_decimal_scan(const char *text, double *value_p);

/* Reads digits. Returns the byte behind them, NULL when there is none or the number is above the
 * limit (*value_p is unchanged then). */
const char *rub_decimal_scan_u64(const char *text, uint64_t limit, uint64_t *value_p);

#endif
