/* Many seeds: on several processes, counted together. */
#ifndef RUB_SIM_SUMMARY_H
#define RUB_SIM_SUMMARY_H

#include "tests/sim/sim.h"

#define SIM_JOBS_LIMIT 64u

typedef struct rub_sim_range {
    uint64_t first, last; /* seeds, inclusive */
    unsigned jobs;
    bool given, json, twice, cover, shrink;
} rub_sim_range_t;

/* Runs them all, prints the summary. Returns the exit code: 0; 1: a law was broken, or two
 * histories of one seed differ, or (cover) something never happened. */
int rub_sim_range(const rub_sim_options_t *options, const rub_sim_range_t *range);

#endif
