/* build/rubato-sim --seeds A..B [--json] | --seed N [--trace]: runs each seed; exit 1 when a law
 * was broken, with the command that repeats the seed. */
#include "common/base/alloc.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fprintf(stderr,
            "usage: rubato-sim --seeds A..B [--json]\n       rubato-sim --seed N [--trace]\n");
    return 2;
}

static bool read_range(const char *text, uint64_t *first, uint64_t *last)
{
    char *end = NULL;
    *first = *last = strtoull(text, &end, 10);
    if (end == text) {
        return false;
    }
    if (*end == '\0') {
        return true;
    }
    if (strncmp(end, "..", 2) != 0 || end[2] < '0' || end[2] > '9') {
        return false;
    }
    *last = strtoull(end + 2, &end, 10);
    return *end == '\0' && *last >= *first;
}

int main(int argc, char **argv)
{
    uint64_t first = 0;
    uint64_t last = 0;
    bool json = false;
    bool trace = false;
    bool given = false;
    for (int i = 1; i < argc; i++) {
        if ((strcmp(argv[i], "--seeds") == 0 || strcmp(argv[i], "--seed") == 0) && i + 1 < argc) {
            given = read_range(argv[++i], &first, &last);
        } else if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else {
            return usage();
        }
    }
    if (!given) {
        return usage();
    }
    rub_sim_t *sim = rub_alloc(sizeof(*sim));
    if (!sim) {
        return 1;
    }
    uint64_t violations = 0;
    uint64_t events = 0;
    uint64_t reads = 0;
    uint64_t crashes = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (!rub_sim_run(sim, seed, trace)) {
            violations++;
            fprintf(stderr,
                    "seed %" PRIu64 ": %s\n  repeat: rubato-sim --seed %" PRIu64 " --trace\n", seed,
                    sim->violation, seed);
        }
        events += sim->n_events;
        reads += sim->n_reads;
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            crashes += sim->shards[s].crashes;
        }
        rub_sim_fini(sim);
    }
    rub_free(sim);
    printf(json ? "{\"seeds\":%" PRIu64 ",\"violations\":%" PRIu64 ",\"events\":%" PRIu64
                  ",\"reads\":%" PRIu64 ",\"shard_crashes\":%" PRIu64 "}\n"
                : "%" PRIu64 " seeds, %" PRIu64 " violations (%" PRIu64 " events, %" PRIu64
                  " reads checked, %" PRIu64 " shard crashes)\n",
           last - first + 1, violations, events, reads, crashes);
    return violations > 0 ? 1 : 0;
}
