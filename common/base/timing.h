/* The operating system's time (a worker's *clock* is something else). Cores never call this: time
 * is passed in. */
#ifndef RUB_TIMING_H
#define RUB_TIMING_H

#include <stddef.h>
#include <stdint.h>

uint64_t rub_now_ms(void); /* monotonic */
uint64_t rub_now_us(void); /* monotonic */
uint64_t rub_now_ns(void); /* monotonic */
double rub_wall_s(void);   /* seconds since 1970, UTC */
void rub_sleep_ms(uint64_t ms);
void rub_sleep_us(uint64_t us); /* a signal ends it sooner */
/* CPU seconds of this process, all threads. */
double rub_cpu_s(void);
/* "2026-11-21T04:05:06.789Z" into out (at least 25 bytes). */
void rub_wall_text(char *out, size_t out_bytes);

#endif
