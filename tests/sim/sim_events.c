/* Virtual time: a heap of events, and the seed that everything random is drawn from. Two events at
 * one time fire in the order in which they were planned, so a history depends on the seed alone. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

static bool before(const rub_sim_event_t *a, const rub_sim_event_t *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(rub_sim_event_t *a, rub_sim_event_t *b)
{
    const rub_sim_event_t kept = *a;
    *a = *b;
    *b = kept;
}

void rub_sim_after(rub_sim_t *sim, uint64_t delay_us, rub_sim_fire_t fire, void *subject,
                   uint64_t argument)
{
    if (sim->over) {
        return;
    }
    RUB_ASSERT(rub_grow(&sim->heap, &sim->heap_capacity, sim->n_heap + 1, sizeof(*sim->heap)) == 0);
    size_t i = sim->n_heap++;
    sim->heap[i] = (rub_sim_event_t){.at_us = sim->now_us + delay_us,
                                     .order = sim->order++,
                                     .fire = fire,
                                     .subject = subject,
                                     .argument = argument};
    while (i > 0 && before(&sim->heap[i], &sim->heap[(i - 1) / 2])) {
        swap(&sim->heap[i], &sim->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

bool rub_sim_next(rub_sim_t *sim)
{
    if (sim->n_heap == 0) {
        return false;
    }
    const rub_sim_event_t event = sim->heap[0];
    sim->heap[0] = sim->heap[--sim->n_heap];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < sim->n_heap; child++) {
            least = before(&sim->heap[child], &sim->heap[least]) ? child : least;
        }
        if (least == i) {
            break;
        }
        swap(&sim->heap[i], &sim->heap[least]);
        i = least;
    }
    sim->now_us = event.at_us;
    sim->n_events++;
    event.fire(sim, event.subject, event.argument);
    return true;
}

uint64_t rub_sim_between(rub_sim_t *sim, uint64_t low, uint64_t high)
{
    return low + rub_rng_below(&sim->rng, high - low + 1);
}

bool rub_sim_chance(rub_sim_t *sim, unsigned percent)
{
    return rub_rng_below(&sim->rng, 100) < percent;
}

void rub_sim_trace(rub_sim_t *sim, const char *format, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (const char *at = line; *at != '\0'; at++) {
        sim->trace_hash = (sim->trace_hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    if (sim->options.trace) {
        printf("%10.3f ms  %s\n", (double)sim->now_us / 1000.0, line);
    }
}

uint64_t rub_sim_hash(const rub_sim_t *sim)
{
    uint64_t hash = sim->trace_hash;
    const uint64_t numbers[] = {sim->now_us, sim->order, sim->n_events, sim->rng.counter};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        hash = (hash ^ numbers[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}
