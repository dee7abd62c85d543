/* Control messages: any bytes are read or refused; what was read is encoded to bytes that mean the
 * same. */
#include "common/wire/control.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rub_arena_t arena;
    static rub_buf_t first, second;
    static rub_control_t message, again;
    rub_error_t err;
    rub_arena_reset(&arena);
    if (rub_control_decode(data, size, &arena, &message, &err) != 0) {
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    rub_buf_reset(&first);
    rub_buf_reset(&second);
    if (rub_control_encode(&message, &first, &err) == 0) { /* else: it grew above the limit */
        RUB_ASSERT(rub_control_decode(first.data, first.bytes, &arena, &again, &err) == 0);
        RUB_ASSERT(rub_control_encode(&again, &second, &err) == 0);
        RUB_ASSERT(first.bytes == second.bytes);
        RUB_ASSERT(memcmp(first.data, second.data, first.bytes) == 0);
    }
    return 0;
}
