/* Control-plane messages: the structs, encoding and decoding that common/wire/proto.def describes.
 * msgpack-c trusts what lengths claim, so a bounded skipper walks the bytes first
 * (common/wire/skipper.h): 64 KiB, depth 8, lists of 4096, no extension types. */
#ifndef RUB_CONTROL_H
#define RUB_CONTROL_H

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/wire/header.h"

#define RUB_FIELD_U32(name, meaning) uint32_t name;
#define RUB_FIELD_U64(name, meaning) uint64_t name;
#define RUB_FIELD_F64(name, meaning) double name;
#define RUB_FIELD_STR(name, limit, meaning) char name[(limit) + 1];
#define RUB_FIELD_BIN(name, limit, meaning)                                                        \
    uint8_t name[limit];                                                                           \
    uint32_t name##_bytes;
#define RUB_FIELD_LIST(part, name, limit, meaning)                                                 \
    rub_##part##_t *name;                                                                          \
    uint32_t n_##name;
#define RUB_STRUCT(name, meaning) typedef struct rub_##name {
#define RUB_CONTROL(NAME, name, number, meaning) typedef struct rub_##name {
#define RUB_END(name)                                                                              \
    }                                                                                              \
    rub_##name##_t;
#include "common/wire/proto.def"
#undef RUB_FIELD_U32
#undef RUB_FIELD_U64
#undef RUB_FIELD_F64
#undef RUB_FIELD_STR
#undef RUB_FIELD_BIN
#undef RUB_FIELD_LIST
#undef RUB_STRUCT
#undef RUB_CONTROL
#undef RUB_END

#define RUB_FIELD_U32(...)
#define RUB_FIELD_U64(...)
#define RUB_FIELD_F64(...)
#define RUB_FIELD_STR(...)
#define RUB_FIELD_BIN(...)
#define RUB_FIELD_LIST(...)
#define RUB_STRUCT(...)
#define RUB_END(...)
#define RUB_CONTROL(NAME, name, number, meaning) RUB_MSG_##NAME = (number),
enum {
#include "common/wire/proto.def"
};
#undef RUB_CONTROL
#define RUB_CONTROL(NAME, name, number, meaning) rub_##name##_t name;
/* One decoded message, or one to encode: type says which member is set. */
typedef struct rub_control {
    uint32_t type; /* RUB_MSG_* */
    union {
#include "common/wire/proto.def"
    };
} rub_control_t;
#undef RUB_FIELD_U32
#undef RUB_FIELD_U64
#undef RUB_FIELD_F64
#undef RUB_FIELD_STR
#undef RUB_FIELD_BIN
#undef RUB_FIELD_LIST
#undef RUB_STRUCT
#undef RUB_CONTROL
#undef RUB_END

/* Appends the message's bytes to out. RUB_ELIMIT above RUB_CONTROL_LIMIT, RUB_EINVAL for an unknown
 * type or a list above its limit, RUB_ENOMEM; out is as it was then. */
int rub_control_encode(const rub_control_t *message, rub_buf_t *out, rub_error_t *err);

/* Reads one message. Lists are allocated in the arena; strings are terminated. RUB_EPROTO names
 * what is wrong: not msgpack, over a limit, unknown number, a field of the wrong type. Safe on any
 * bytes. */
int rub_control_decode(const void *data, size_t bytes, rub_arena_t *arena, rub_control_t *message,
                       rub_error_t *err);

/* Copies a view with its lists into the arena. NULL when memory is short. */
rub_view_t *rub_view_copy(const rub_view_t *view, rub_arena_t *arena);

#endif
