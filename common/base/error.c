/* Errors: a code from one table and a sentence.
 *
 * The table (include/rubato_errors.def) is expanded here into names and exit codes and nowhere is
 * it repeated by hand. Sentences are built in a local buffer first, so that an argument may point
 * into the err being filled; what does not fit is cut, always terminated. Also home of the
 * library's version, which belongs to no other noun. */
#include "common/base/error.h"

#include "common/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct error_row {
    int code;
    int exit_code;
    const char *name;
} error_row_t;

#define RUB_ERROR(name, number, exit_code, text) {name, exit_code, #name},
static const error_row_t ERRORS[] = {
    {RUB_OK, 0, "RUB_OK"},
#include "include/rubato_errors.def"
};
#undef RUB_ERROR

static const error_row_t *error_row(int code)
{
    for (size_t i = 0; i < RUB_COUNT_OF(ERRORS); i++) {
        if (ERRORS[i].code == code) {
            return &ERRORS[i];
        }
    }
    return NULL;
}

const char *rub_error_name(int code)
{
    const error_row_t *row = error_row(code);
    return row == NULL ? "?" : row->name;
}

int rub_error_exit_code(int code)
{
    const error_row_t *row = error_row(code);
    return row == NULL ? 1 : row->exit_code;
}

const char *rub_version(void)
{
    return RUBATO_VERSION;
}

/* Copies as much of text as fits behind the first `at` bytes of err's message; returns the new
 * length. */
static size_t add_text(rub_error_t *err, size_t at, const char *text)
{
    const size_t room = sizeof(err->message) - 1 - at;
    const size_t length = strnlen(text, room);
    memcpy(err->message + at, text, length);
    err->message[at + length] = '\0';
    return at + length;
}

int rub_vfail(rub_error_t *err, int code, const char *format, va_list arguments)
{
    if (err != NULL) {
        char sentence[sizeof(err->message)];
        (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
        err->code = code;
        (void)add_text(err, 0, sentence);
    }
    return code;
}

int rub_fail(rub_error_t *err, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)rub_vfail(err, code, format, arguments);
    va_end(arguments);
    return code;
}

int rub_fail_errno(rub_error_t *err, int code, int errno_value, const char *format, ...)
{
    if (err != NULL) {
        char sentence[sizeof(err->message)];
        char reason[128];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
        va_end(arguments);
        err->code = code;
        size_t at = add_text(err, 0, sentence);
        at = add_text(err, at, ": ");
        (void)add_text(err, at, strerror_r(errno_value, reason, sizeof(reason)));
    }
    return code;
}

int rub_wrap(rub_error_t *err, int code, const char *format, ...)
{
    if (err == NULL) {
        return code;
    }
    char context[sizeof(err->message)];
    char sentence[sizeof(err->message)];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(context, sizeof(context), format, arguments);
    va_end(arguments);
    memcpy(sentence, err->message, sizeof(sentence));
    sentence[sizeof(sentence) - 1] = '\0';
    size_t at = add_text(err, 0, context);
    at = add_text(err, at, ": ");
    (void)add_text(err, at, sentence);
    err->code = code;
    return code;
}

_Noreturn void rub_assert_failed(const char *condition, const char *file, int line,
                                 const char *function)
{
    (void)fprintf(stderr, "rubato: broken invariant: %s (%s, %s:%d)\n", condition, function, file,
                  line);
    abort();
}
