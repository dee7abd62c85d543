/* Data messages as they come off a socket: one frame, or three cut where the first byte says. What
 * is read lies within what came, and is written back to the same header. Grants are none of a
 * wire's; within a process one lies in the message, or there is none. */
#include "common/wire/grant.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_in_process(const rub_span_t *parts, size_t n_parts, const rub_frame_t *plain)
{
    rub_frame_t frame;
    const int rc = rub_frame_read_in_process(parts, n_parts, &frame, NULL);
    if (plain) { /* a wire's messages mean the same */
        RUB_ASSERT(rc == 0);
        uint8_t headers[2][RUB_HEADER_BYTES];
        rub_header_write(&frame.header, headers[0]);
        rub_header_write(&plain->header, headers[1]);
        RUB_ASSERT(memcmp(headers[0], headers[1], RUB_HEADER_BYTES) == 0);
        RUB_ASSERT(frame.keys == plain->keys);
        RUB_ASSERT(frame.values == plain->values);
    }
    if (rc != 0 || !frame.grant) {
        RUB_ASSERT(!frame.grant);
        return;
    }
    RUB_ASSERT(n_parts == 3);
    RUB_ASSERT((const void *)frame.grant == parts[2].data);
    RUB_ASSERT(frame.header.type == RUB_MSG_PULL);
    RUB_ASSERT(frame.values_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_span_t parts[3] = {{data + 1, size > 0 ? size - 1 : 0}};
    size_t n_parts = 1;
    if (size > 1 + RUB_HEADER_BYTES && data[0] > 0) {
        const size_t left = size - 1 - RUB_HEADER_BYTES;
        const size_t keys = left * data[0] / 256 / 8 * 8;
        parts[0].bytes = RUB_HEADER_BYTES;
        parts[1] = (rub_span_t){data + 1 + RUB_HEADER_BYTES, keys};
        parts[2] = (rub_span_t){data + 1 + RUB_HEADER_BYTES + keys, left - keys};
        n_parts = 3;
    }
    rub_frame_t frame;
    rub_error_t err;
    if (size == 0 || rub_frame_read(parts, n_parts, &frame, &err) != 0) {
        check_in_process(parts, n_parts, NULL);
        return 0;
    }
    check_in_process(parts, n_parts, &frame);
    RUB_ASSERT(!frame.grant);
    RUB_ASSERT((frame.header.flags & RUB_FLAG_GRANT) == 0);
    RUB_ASSERT(frame.keys_bytes == rub_header_keys_bytes(&frame.header));
    RUB_ASSERT(frame.values_bytes == frame.header.value_bytes);
    RUB_ASSERT(frame.keys_bytes == 0 || frame.keys + frame.keys_bytes <= data + size);
    RUB_ASSERT(frame.values_bytes == 0 || frame.values + frame.values_bytes <= data + size);
    uint8_t header[RUB_HEADER_BYTES];
    rub_header_write(&frame.header, header);
    RUB_ASSERT(memcmp(header, data + 1, 2) == 0);
    RUB_ASSERT(memcmp(header + 4, data + 5, RUB_HEADER_BYTES - 4) == 0);
    return 0;
}
