/* The operating system's time, for edges only: cores get `now` as an argument, so that the
 * simulator can turn it.
 *
 * Durations and deadlines use the monotonic clock, which no administrator sets back; wall time is
 * for people and log lines. clock_gettime with these clocks cannot fail on Linux, hence no error to
 * report. */
#include "common/base/timing.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t rub_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t rub_now_us(void)
{
    return rub_now_ns() / 1000;
}

uint64_t rub_now_ms(void)
{
    return rub_now_ns() / 1000000;
}

double rub_wall_s(void)
{
    return (double)read_ns(CLOCK_REALTIME) * 1e-9;
}

double rub_cpu_s(void)
{
    return (double)read_ns(CLOCK_PROCESS_CPUTIME_ID) * 1e-9;
}

void rub_sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        /* a signal came: sleep the rest */
    }
}

void rub_sleep_us(uint64_t us)
{
    const struct timespec whole = {.tv_sec = (time_t)(us / 1000000),
                                   .tv_nsec = (long)(us % 1000000) * 1000L};
    (void)nanosleep(&whole, NULL);
}

void rub_wall_text(char *out, size_t out_bytes)
{
    const uint64_t now_ms = read_ns(CLOCK_REALTIME) / 1000000;
    const time_t seconds = (time_t)(now_ms / 1000);
    char text[24] = "";
    struct tm utc;
    if (gmtime_r(&seconds, &utc) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    (void)snprintf(out, out_bytes, "%s.%03uZ", text, (unsigned)(now_ms % 1000));
}
