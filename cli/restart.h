/* How fast a supervisor notices a death and starts the successor. */
#ifndef RUB_RESTART_H
#define RUB_RESTART_H

#include <stdint.h>

#define RUB_RESTART_LOOK_MS 50u /* children are looked at so often */
#define RUB_RESTART_WAIT_LIMIT_MS 5000u

#define RUB_RESTART_LONG_LIFE_MS 5000u /* who lived so long does not die at its start */

/* How long to wait before a process is started again, its last life having lasted lived_ms and
 * *short_lives_p lives before it having been short ones, which is brought up to date. At once after
 * a life of some length: what a kill costs is then the recovery alone. Who dies at its start is
 * given more and more time, or it would burn the machine. */
static inline uint64_t rub_restart_wait_ms(uint64_t lived_ms, unsigned *short_lives_p)
{
    if (lived_ms >= RUB_RESTART_LONG_LIFE_MS) {
        *short_lives_p = 0;
        return 0;
    }
    const unsigned earlier = (*short_lives_p)++;
    return earlier < 5 ? UINT64_C(150) << earlier : RUB_RESTART_WAIT_LIMIT_MS;
}

#endif
