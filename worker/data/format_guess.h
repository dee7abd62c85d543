/* Which format is this? For people who ask what a file is; training is told. */
#ifndef RUB_FORMAT_GUESS_H
#define RUB_FORMAT_GUESS_H

#include "include/rubato.h"

/* The name of the format, as option data_format has it, that the beginning of the first of these
 * files (worker/data/data_files.h) looks like: static. What looks like nothing else is "text".
 * RUB_EDATA, RUB_ENOMEM: it cannot be read. Standard input cannot be guessed at: RUB_ECONFIG.
 * Blocks. */
int rub_format_guess(const char *words, const char **format_p, rub_error_t *err);

/* The same of a beginning in memory: bytes of it. Pure. */
const char *rub_format_of(const char *text, size_t bytes);

#endif
