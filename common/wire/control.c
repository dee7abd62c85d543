/* Encoding and decoding of the control plane, generated from common/wire/proto.def: for each part
 * and message one function that packs its fields in order and one that reads them. A message is one
 * msgpack array [number, field, ...].
 *
 * Reading: the bounded skipper has passed the bytes before msgpack-c sees them; fields that are
 * missing become zero (an older sender), fields beyond the known are ignored (a newer one), a field
 * of a wrong type or above its limit refuses the message. This is the only file that includes
 * msgpack.h. */
#include "common/wire/control.h"

#include "common/base/error.h"
#include "common/wire/skipper.h"

#include <msgpack.h>

/* ---- how many fields ---- */

#define RUB_FIELD_U32(...) +1
#define RUB_FIELD_U64(...) +1
#define RUB_FIELD_F64(...) +1
#define RUB_FIELD_STR(...) +1
#define RUB_FIELD_BIN(...) +1
#define RUB_FIELD_LIST(...) +1
#define RUB_STRUCT(name, meaning) enum { FIELDS_##name = 0
#define RUB_CONTROL(NAME, name, number, meaning) enum { FIELDS_##name = 1 /* the number */
#define RUB_END(name)                                                                              \
    }                                                                                              \
    ;
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

/* ---- packing ---- */

typedef struct writer {
    msgpack_packer packer;
    const char *over_limit; /* the first field that cannot be packed; NULL: none */
    uint32_t size, limit;   /* of that field */
} writer_t;

/* Remembers the first field above its limit. */
static bool fits(writer_t *out, const char *name, size_t size, uint32_t limit)
{
    if (size > limit && !out->over_limit) {
        out->over_limit = name;
        out->size = (uint32_t)size;
        out->limit = limit;
    }
    return size <= limit;
}

static int write_bytes(void *context, const char *data, size_t bytes)
{
    rub_buf_append(context, data, bytes);
    return 0;
}

static void pack_str(writer_t *out, const char *text, uint32_t limit, const char *name)
{
    const size_t bytes = strnlen(text, limit + 1u); /* limit + 1: not terminated */
    if (!fits(out, name, bytes, limit)) {
        return;
    }
    msgpack_pack_str(&out->packer, bytes);
    msgpack_pack_str_body(&out->packer, text, bytes);
}

static void pack_bin(writer_t *out, const uint8_t *data, uint32_t bytes, uint32_t limit,
                     const char *name)
{
    if (!fits(out, name, bytes, limit)) {
        return;
    }
    msgpack_pack_bin(&out->packer, bytes);
    msgpack_pack_bin_body(&out->packer, data, bytes);
}

#define RUB_FIELD_U32(name, meaning) msgpack_pack_uint32(&out->packer, in->name);
#define RUB_FIELD_U64(name, meaning) msgpack_pack_uint64(&out->packer, in->name);
#define RUB_FIELD_F64(name, meaning) msgpack_pack_double(&out->packer, in->name);
#define RUB_FIELD_STR(name, limit, meaning) pack_str(out, in->name, limit, #name);
#define RUB_FIELD_BIN(name, limit, meaning) pack_bin(out, in->name, in->name##_bytes, limit, #name);
#define RUB_FIELD_LIST(part, name, limit, meaning)                                                 \
    const uint32_t packed_##name = fits(out, #name, in->n_##name, limit) ? in->n_##name : 0;       \
    msgpack_pack_array(&out->packer, packed_##name);                                               \
    for (uint32_t i = 0; i < packed_##name; i++) {                                                 \
        pack_##part(out, &in->name[i]);                                                            \
    }
#define RUB_STRUCT(name, meaning)                                                                  \
    static void pack_##name(writer_t *out, const rub_##name##_t *in)                               \
    {                                                                                              \
        msgpack_pack_array(&out->packer, FIELDS_##name);
#define RUB_CONTROL(NAME, name, number, meaning)                                                   \
    static void pack_##name(writer_t *out, const rub_##name##_t *in)                               \
    {                                                                                              \
        msgpack_pack_array(&out->packer, FIELDS_##name);                                           \
        msgpack_pack_uint32(&out->packer, number);
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

/* ---- reading ---- */

/* What is common to a message and its parts. */
typedef struct reading {
    rub_arena_t *arena;
    const char *bad;      /* the first field that was refused; NULL: none */
    const char *expected; /* what it should have been */
    uint64_t limit;       /* and how large at most; UINT64_MAX: no bound */
    bool no_memory;
} reading_t;

typedef struct fields {
    const msgpack_object *at; /* the next field */
    uint32_t left;
    reading_t *reading;
} fields_t;

static void refuse(reading_t *reading, const char *name, const char *expected, uint64_t limit)
{
    if (!reading->bad) {
        reading->bad = name;
        reading->expected = expected;
        reading->limit = limit;
    }
}

static const msgpack_object *next_field(fields_t *fields)
{
    if (fields->left == 0) {
        return NULL;
    }
    fields->left--;
    return fields->at++;
}

static uint64_t read_unsigned(fields_t *fields, uint64_t limit, const char *name)
{
    const msgpack_object *field = next_field(fields);
    if (!field) {
        return 0;
    }
    if (field->type != MSGPACK_OBJECT_POSITIVE_INTEGER || field->via.u64 > limit) {
        refuse(fields->reading, name, "a natural number", limit);
        return 0;
    }
    return field->via.u64;
}

static double read_number(fields_t *fields, const char *name)
{
    const msgpack_object *field = next_field(fields);
    if (!field) {
        return 0;
    }
    switch (field->type) {
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return field->via.f64;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return (double)field->via.u64;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return (double)field->via.i64;
    default:
        refuse(fields->reading, name, "a number", UINT64_MAX);
        return 0;
    }
}

/* out has limit + 1 bytes and is zeroed. */
static void read_text(fields_t *fields, char *out, size_t limit, const char *name)
{
    const msgpack_object *field = next_field(fields);
    if (!field) {
        return;
    }
    const uint32_t bytes = field->type == MSGPACK_OBJECT_STR ? field->via.str.size : 0;
    if (field->type != MSGPACK_OBJECT_STR || bytes > limit ||
        (bytes > 0 && memchr(field->via.str.ptr, 0, bytes))) {
        refuse(fields->reading, name, "a text without zero bytes", limit);
        return;
    }
    if (bytes > 0) { /* msgpack-c leaves the pointer of an empty text NULL */
        memcpy(out, field->via.str.ptr, bytes);
    }
}

static uint32_t read_bytes(fields_t *fields, uint8_t *out, size_t limit, const char *name)
{
    const msgpack_object *field = next_field(fields);
    if (!field) {
        return 0;
    }
    if (field->type != MSGPACK_OBJECT_BIN || field->via.bin.size > limit) {
        refuse(fields->reading, name, "a byte string", limit);
        return 0;
    }
    if (field->via.bin.size > 0) {
        memcpy(out, field->via.bin.ptr, field->via.bin.size);
    }
    return field->via.bin.size;
}

/* Zeroed room for the list's items, and their objects; NULL and no items when it is missing or
 * refused. */
static void *read_list(fields_t *fields, size_t item_bytes, uint32_t limit, const char *name,
                       const msgpack_object **items_p, uint32_t *n_p)
{
    const msgpack_object *field = next_field(fields);
    *n_p = 0;
    *items_p = NULL;
    if (!field) {
        return NULL;
    }
    if (field->type != MSGPACK_OBJECT_ARRAY || field->via.array.size > limit) {
        refuse(fields->reading, name, "a list", limit);
        return NULL;
    }
    if (field->via.array.size == 0) {
        return NULL;
    }
    void *list = rub_arena_calloc(fields->reading->arena, field->via.array.size, item_bytes);
    fields->reading->no_memory = fields->reading->no_memory || !list;
    *n_p = list ? field->via.array.size : 0;
    *items_p = field->via.array.ptr;
    return list;
}

static fields_t fields_of(fields_t *outer, const msgpack_object *object, const char *name)
{
    fields_t fields = {.reading = outer->reading};
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        fields.at = object->via.array.ptr;
        fields.left = object->via.array.size;
    } else {
        refuse(outer->reading, name, "a list of arrays", UINT64_MAX);
    }
    return fields;
}

#define RUB_FIELD_U32(name, meaning) out->name = (uint32_t)read_unsigned(fields, UINT32_MAX, #name);
#define RUB_FIELD_U64(name, meaning) out->name = read_unsigned(fields, UINT64_MAX, #name);
#define RUB_FIELD_F64(name, meaning) out->name = read_number(fields, #name);
#define RUB_FIELD_STR(name, limit, meaning) read_text(fields, out->name, limit, #name);
#define RUB_FIELD_BIN(name, limit, meaning)                                                        \
    out->name##_bytes = read_bytes(fields, out->name, limit, #name);
#define RUB_FIELD_LIST(part, name, limit, meaning)                                                 \
    const msgpack_object *items_##name = NULL;                                                     \
    out->name =                                                                                    \
        read_list(fields, sizeof(rub_##part##_t), limit, #name, &items_##name, &out->n_##name);    \
    for (uint32_t i = 0; i < out->n_##name; i++) {                                                 \
        fields_t inner = fields_of(fields, &items_##name[i], #name);                               \
        read_##part(&inner, &out->name[i]);                                                        \
    }
#define RUB_STRUCT(name, meaning)                                                                  \
    static void read_##name(fields_t *fields, rub_##name##_t *out)                                 \
    {
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

/* ---- one message ---- */

#define RUB_FIELD_U32(...)
#define RUB_FIELD_U64(...)
#define RUB_FIELD_F64(...)
#define RUB_FIELD_STR(...)
#define RUB_FIELD_BIN(...)
#define RUB_FIELD_LIST(...)
#define RUB_STRUCT(...)
#define RUB_END(...)

static bool pack_message(writer_t *out, const rub_control_t *message)
{
    switch (message->type) {
#define RUB_CONTROL(NAME, name, number, meaning)                                                   \
    case (number):                                                                                 \
        pack_##name(out, &message->name);                                                          \
        return true;
#include "common/wire/proto.def"
#undef RUB_CONTROL
    default:
        return false;
    }
}

static bool read_message(fields_t *fields, rub_control_t *message)
{
    switch (message->type) {
#define RUB_CONTROL(NAME, name, number, meaning)                                                   \
    case (number):                                                                                 \
        read_##name(fields, &message->name);                                                       \
        return true;
#include "common/wire/proto.def"
#undef RUB_CONTROL
    default:
        return false;
    }
}

int rub_control_encode(const rub_control_t *message, rub_buf_t *out, rub_error_t *err)
{
    const size_t before = out->bytes;
    int rc = 0;
    if (out->failed) {
        return rub_fail(err, RUB_ENOMEM, "%s: its buffer has failed before",
                        rub_message_name(message->type));
    }
    writer_t writer = {0};
    msgpack_packer_init(&writer.packer, out, write_bytes);
    if (!pack_message(&writer, message)) {
        rc = rub_fail(err, RUB_EINVAL, "control message: unknown number %u", message->type);
    } else if (writer.over_limit) {
        rc =
            rub_fail(err, RUB_EINVAL, "%s: field '%s' has %u bytes or elements, limit %u",
                     rub_message_name(message->type), writer.over_limit, writer.size, writer.limit);
    } else if (out->failed) {
        rc = rub_fail(err, RUB_ENOMEM, "%s: out of memory", rub_message_name(message->type));
    } else if (out->bytes - before > RUB_CONTROL_LIMIT) {
        rc = rub_fail(err, RUB_ELIMIT, "%s: %zu bytes, limit %u", rub_message_name(message->type),
                      out->bytes - before, RUB_CONTROL_LIMIT);
    }
    if (rc) {
        out->bytes = before;
        out->failed = false;
    }
    return rc;
}

static int fail_field(const reading_t *reading, const rub_control_t *message, rub_error_t *err)
{
    const char *name = rub_message_name(message->type);
    if (reading->limit == UINT64_MAX) {
        return rub_fail(err, RUB_EPROTO, "%s: field '%s' is not %s", name, reading->bad,
                        reading->expected);
    }
    return rub_fail(err, RUB_EPROTO, "%s: field '%s' is not %s, limit %llu", name, reading->bad,
                    reading->expected, (unsigned long long)reading->limit);
}

static int read_object(const msgpack_object *object, rub_arena_t *arena, rub_control_t *message,
                       rub_error_t *err)
{
    reading_t reading = {.arena = arena};
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size == 0) {
        return rub_fail(err, RUB_EPROTO, "control message: not an array that begins with a number");
    }
    fields_t fields = {object->via.array.ptr, object->via.array.size, &reading};
    message->type = (uint32_t)read_unsigned(&fields, UINT32_MAX, "number");
    if (reading.bad || !read_message(&fields, message)) {
        return rub_fail(err, RUB_EPROTO, "control message: unknown number %u", message->type);
    }
    if (reading.no_memory) {
        return rub_fail(err, RUB_ENOMEM, "%s: out of memory", rub_message_name(message->type));
    }
    return reading.bad ? fail_field(&reading, message, err) : 0;
}

int rub_control_decode(const void *data, size_t bytes, rub_arena_t *arena, rub_control_t *message,
                       rub_error_t *err)
{
    memset(message, 0, sizeof(*message));
    int rc = rub_skipper_check(data, bytes, err);
    if (rc) {
        return rc;
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    const msgpack_unpack_return result = msgpack_unpack_next(&unpacked, data, bytes, &offset);
    if (result == MSGPACK_UNPACK_SUCCESS) {
        rc = read_object(&unpacked.data, arena, message, err);
    } else if (result == MSGPACK_UNPACK_NOMEM_ERROR) {
        rc = rub_fail(err, RUB_ENOMEM, "control message: out of memory for %zu bytes", bytes);
    } else {
        rc = rub_fail(err, RUB_EPROTO, "control message: not msgpack");
    }
    msgpack_unpacked_destroy(&unpacked);
    if (rc) {
        memset(message, 0, sizeof(*message)); /* nothing half-read leaves */
    }
    return rc;
}
