/* Raising errors. The type and the codes are public (include/rubato.h, rubato_errors.def).
 *
 * int rc everywhere: 0 fine; negative: failure, pass it on; positive: an outcome the callee
 * documents and the caller must handle. Sentences name subject, fact and bound; lower case; no full
 * stop. */
#ifndef RUB_ERROR_H
#define RUB_ERROR_H

#include "include/rubato.h"

#include <stdarg.h>

/* Fills err (may be NULL) with the sentence and returns code. */
int rub_fail(rub_error_t *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int rub_vfail(rub_error_t *err, int code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* As rub_fail, and appends ": " and the text of the C library's errno value. */
int rub_fail_errno(rub_error_t *err, int code, int errno_value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of err's sentence (err may be NULL), makes code its code and returns
 * code: rc as it was, or what the failure below means up here. Once per layer. */
int rub_wrap(rub_error_t *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The process exit code that belongs to an error code (0 for 0, 1 for unknown ones). */
int rub_error_exit_code(int code);

#endif
