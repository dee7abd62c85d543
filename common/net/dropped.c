/* Looked at in every turn of a loop, so what nearly never differs is compared first. */
#include "common/net/dropped.h"

#include "common/base/rate_limit.h"
#include "common/base/timing.h"

#include <inttypes.h>

void rub_dropped_tell(rub_dropped_t *self, const rub_socket_t *socket, const char *whose,
                      const rub_log_t *log)
{
    const uint64_t dropped = rub_socket_dropped(socket);
    if (dropped == self->told) {
        return;
    }
    const uint64_t now_ms = rub_now_ms();
    if (self->told > 0 && now_ms - self->told_ms < RUB_COMPLAIN_EVERY_MS) {
        return;
    }
    rub_log(log, RUB_LOG_WARN,
            "%sdropped %" PRIu64 " messages of more than %u parts, or of peers that chose their "
            "own routing id; %" PRIu64 " so far",
            whose, dropped - self->told, RUB_RECEIVED_PARTS, dropped);
    *self = (rub_dropped_t){dropped, now_ms};
}
