/* How fast a supervisor notices a death and starts the successor. */
#ifndef RUB_RESTART_H
#define RUB_RESTART_H

#include <stdint.h>

#define RUB_RESTART_LOOK_MS 50u /* children are looked at so often */
#define RUB_RESTART_WAIT_LIMIT_MS 5000u

/* How long to wait before a process is started again when `earlier` restarts came before: at once
 * would burn the machine when it dies at its start. */
static inline uint64_t rub_restart_wait_ms(unsigned earlier)
{
    return earlier < 5 ? UINT64_C(150) << earlier : RUB_RESTART_WAIT_LIMIT_MS;
}

#endif
