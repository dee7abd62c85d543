/* RUB_ASSERT guards what only a bug of ours can break, and stays on in release builds. What a peer,
 * a file or a user can cause is an error (common/base/error.h), never an assert. */
#ifndef RUB_CHECK_H
#define RUB_CHECK_H

#define RUB_ASSERT(condition)                                                                      \
    ((condition) ? (void)0 : rub_assert_failed(#condition, __FILE__, __LINE__, __func__))

/* Prints the broken invariant to stderr and aborts. */
_Noreturn void rub_assert_failed(const char *condition, const char *file, int line,
                                 const char *function);

#define RUB_UNUSED(x) ((void)(x))
#define RUB_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
