/* Seeds of control messages with every field set, and one element in every list: made from
 * common/wire/proto.def, so that a field that is appended there is in the corpus once it is made
 * again. A message of zeros and empty lists tells a fuzzer little of what lies within. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/wire/control.h"
#include "tests/fuzz/corpus_files.h"

#include <stdio.h>

/* Numbers of different sizes, as msgpack writes them in different lengths. */
static uint64_t next_number(void)
{
    static const uint64_t sizes[] = {1, 200, 70000, UINT64_C(1) << 33, UINT64_MAX};
    static size_t at;
    return sizes[at++ % RUB_COUNT_OF(sizes)];
}

#define RUB_FIELD_U32(name, meaning) out->name = (uint32_t)next_number();
#define RUB_FIELD_U64(name, meaning) out->name = next_number();
#define RUB_FIELD_F64(name, meaning) out->name = 1.0 / (double)next_number();
#define RUB_FIELD_STR(name, limit, meaning)                                                        \
    (void)snprintf(out->name, sizeof(out->name), "tcp://%s:1", #name);
#define RUB_FIELD_BIN(name, limit, meaning)                                                        \
    memset(out->name, 0x5a, limit);                                                                \
    out->name##_bytes = (limit);
#define RUB_FIELD_LIST(part, name, limit, meaning)                                                 \
    out->name = rub_arena_calloc(arena, 1, sizeof(*out->name));                                    \
    RUB_ASSERT(out->name);                                                                         \
    out->n_##name = 1;                                                                             \
    fill_##part(out->name, arena);
#define RUB_STRUCT(name, meaning)                                                                  \
    static void fill_##name(rub_##name##_t *out, rub_arena_t *arena)                               \
    {                                                                                              \
        (void)arena;
#define RUB_CONTROL(NAME, name, number, meaning) RUB_STRUCT(name, meaning)
#define RUB_END(name) }
/* clang-format off */
#include "common/wire/proto.def"
/* clang-format on */
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

void rub_corpus_make_full_control(void)
{
    rub_arena_t arena;
    rub_buf_t out;
    rub_arena_init(&arena);
    rub_buf_init(&out);
#define RUB_CONTROL(NAME, name, number, meaning)                                                   \
    {                                                                                              \
        rub_control_t message = {.type = RUB_MSG_##NAME};                                          \
        fill_##name(&message.name, &arena);                                                        \
        RUB_ASSERT(rub_control_encode(&message, &out, NULL) == 0);                                 \
        rub_corpus_save_buf("decode_control", "full-" #NAME, &out);                                \
        rub_arena_reset(&arena);                                                                   \
    }
#include "common/wire/proto.def"
#undef RUB_CONTROL
    rub_buf_fini(&out);
    rub_arena_fini(&arena);
}
