/* A walk over msgpack bytes before msgpack-c may see them. msgpack-c believes what lengths claim:
 * five bytes can make it ask for 96 GB. Pure; reads every byte at most once, allocates nothing,
 * does not recurse. */
#ifndef RUB_SKIPPER_H
#define RUB_SKIPPER_H

#include "include/rubato.h"

#include <stddef.h>

#define RUB_SKIPPER_DEPTH 8u       /* arrays within arrays */
#define RUB_SKIPPER_ELEMENTS 4096u /* of one array; a map's keys and values both count */

/* Is it one whole msgpack object and nothing behind it, within RUB_CONTROL_LIMIT bytes,
 * RUB_SKIPPER_DEPTH levels, RUB_SKIPPER_ELEMENTS per container, announcing no more elements than
 * bytes are left, without extension types? 0, or RUB_EPROTO naming what it is not, with the offset.
 * data may be NULL when bytes is 0. */
int rub_skipper_check(const void *data, size_t bytes, rub_error_t *err);

#endif
