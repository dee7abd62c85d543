/* The bounded skipper.
 *
 * `open[0..depth)` holds how many elements are still to come in each open container; `owed` is
 * their sum. Every element takes at least one byte, so as soon as owed exceeds the bytes left the
 * message is a lie, and what msgpack-c allocates afterwards is bounded by the message's real size,
 * not by its claims. The stack has a fixed size and the loop takes one object head per turn, so no
 * input can make it deep or slow. Reference: the msgpack specification (format overview),
 * github.com/msgpack/msgpack/blob/master/spec.md. */
#include "common/wire/skipper.h"

#include "common/base/error.h"
#include "common/wire/header.h"

typedef struct walk {
    const uint8_t *data;
    size_t at, bytes;
    uint32_t open[RUB_SKIPPER_DEPTH];
    size_t depth;
    size_t owed;
    rub_error_t *err;
} walk_t;

/* What an object's first byte says: how wide its length field is, or what is inside without one. */
typedef enum kind { PLAIN, BYTES, CONTAINER, FORBIDDEN } kind_t;
typedef struct head {
    kind_t kind;
    unsigned length_bytes; /* of the length field that follows; 0: `length` holds already */
    uint32_t length;       /* payload bytes of PLAIN and BYTES; elements of CONTAINER */
    uint32_t per_element;  /* 2 for maps */
} head_t;

/* First bytes 0xc0..0xdf, in order. 0xc1 is reserved; 0xc7..0xc9 and 0xd4..0xd8 are extensions. */
static const head_t HEADS[32] = {
    {PLAIN, 0, 0, 0},     {FORBIDDEN, 0, 0, 0}, {PLAIN, 0, 0, 0},     {PLAIN, 0, 0, 0},
    {BYTES, 1, 0, 0},     {BYTES, 2, 0, 0},     {BYTES, 4, 0, 0},     {FORBIDDEN, 0, 0, 0},
    {FORBIDDEN, 0, 0, 0}, {FORBIDDEN, 0, 0, 0}, {PLAIN, 0, 4, 0},     {PLAIN, 0, 8, 0},
    {PLAIN, 0, 1, 0},     {PLAIN, 0, 2, 0},     {PLAIN, 0, 4, 0},     {PLAIN, 0, 8, 0},
    {PLAIN, 0, 1, 0},     {PLAIN, 0, 2, 0},     {PLAIN, 0, 4, 0},     {PLAIN, 0, 8, 0},
    {FORBIDDEN, 0, 0, 0}, {FORBIDDEN, 0, 0, 0}, {FORBIDDEN, 0, 0, 0}, {FORBIDDEN, 0, 0, 0},
    {FORBIDDEN, 0, 0, 0}, {BYTES, 1, 0, 0},     {BYTES, 2, 0, 0},     {BYTES, 4, 0, 0},
    {CONTAINER, 2, 0, 1}, {CONTAINER, 4, 0, 1}, {CONTAINER, 2, 0, 2}, {CONTAINER, 4, 0, 2},
};

static head_t head_of(uint8_t first)
{
    if (first <= 0x7f || first >= 0xe0) {
        return (head_t){.kind = PLAIN}; /* fixint */
    }
    if (first <= 0x8f) {
        return (head_t){.kind = CONTAINER, .length = first & 0x0f, .per_element = 2}; /* fixmap */
    }
    if (first <= 0x9f) {
        return (head_t){.kind = CONTAINER, .length = first & 0x0f, .per_element = 1}; /* fixarray */
    }
    if (first <= 0xbf) {
        return (head_t){.kind = BYTES, .length = first & 0x1f}; /* fixstr */
    }
    return HEADS[first - 0xc0];
}

static int fail_short(walk_t *w)
{
    return rub_fail(w->err, RUB_EPROTO, "control message ends inside an object at byte %zu of %zu",
                    w->at, w->bytes);
}

/* Reads the big-endian length behind the first byte. */
static int read_length(walk_t *w, head_t *head)
{
    if (w->bytes - w->at < head->length_bytes) {
        return fail_short(w);
    }
    for (unsigned i = 0; i < head->length_bytes; i++) {
        head->length = head->length << 8 | w->data[w->at + i];
    }
    w->at += head->length_bytes;
    return RUB_OK;
}

static int enter(walk_t *w, const head_t *head)
{
    const uint64_t elements = (uint64_t)head->length * head->per_element;
    if (elements > RUB_SKIPPER_ELEMENTS) {
        return rub_fail(w->err, RUB_EPROTO,
                        "control message has a list of %llu elements at byte %zu, limit %u",
                        (unsigned long long)elements, w->at, RUB_SKIPPER_ELEMENTS);
    }
    if (w->depth == RUB_SKIPPER_DEPTH) {
        return rub_fail(w->err, RUB_EPROTO, "control message is deeper than %u levels at byte %zu",
                        RUB_SKIPPER_DEPTH, w->at);
    }
    w->owed += (size_t)elements;
    if (w->owed > w->bytes - w->at) {
        return rub_fail(w->err, RUB_EPROTO,
                        "control message announces %zu more elements at byte %zu, %zu bytes left",
                        w->owed, w->at, w->bytes - w->at);
    }
    w->open[w->depth++] = (uint32_t)elements;
    return RUB_OK;
}

/* Passes over one object, or into one container. */
static int step(walk_t *w)
{
    if (w->at == w->bytes) {
        return fail_short(w);
    }
    const uint8_t first = w->data[w->at];
    head_t head = head_of(first);
    if (head.kind == FORBIDDEN) {
        return rub_fail(w->err, RUB_EPROTO, "control message has type byte 0x%02x at byte %zu",
                        first, w->at);
    }
    w->at++;
    const int rc = read_length(w, &head);
    if (rc != 0) {
        return rc;
    }
    if (head.kind == CONTAINER) {
        return enter(w, &head);
    }
    if (head.length > w->bytes - w->at) {
        return fail_short(w);
    }
    w->at += head.length;
    return RUB_OK;
}

int rub_skipper_check(const void *data, size_t bytes, rub_error_t *err)
{
    walk_t w = {.data = data, .bytes = bytes, .err = err};
    if (bytes > RUB_CONTROL_LIMIT) {
        return rub_fail(err, RUB_EPROTO, "control message of %zu bytes, limit %u", bytes,
                        RUB_CONTROL_LIMIT);
    }
    int rc = step(&w);
    while (rc == 0) {
        while (w.depth > 0 && w.open[w.depth - 1] == 0) {
            w.depth--;
        }
        if (w.depth == 0) {
            break;
        }
        w.open[w.depth - 1]--;
        w.owed--;
        rc = step(&w);
    }
    if (rc == 0 && w.at != bytes) {
        rc = rub_fail(err, RUB_EPROTO, "control message ends at byte %zu, %zu bytes came", w.at,
                      bytes);
    }
    return rc;
}
