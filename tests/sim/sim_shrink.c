/* A failing seed, made smaller: leave out one fault at a time, then a worker, a shard, an epoch, a
 * few steps, the guests, as long as the same law still breaks. Every fault keeps its number, its
 * time and its target when another one goes, but the history between them changes: the result is a
 * smaller failure of the same law, not always the same one. Greedy, to a fixed point (Zeller and
 * Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002, one at a time). */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

void rub_sim_command(const rub_sim_options_t *options, char *out, size_t out_bytes)
{
    static const char *const profiles[] = {"swarm", "quiet", "network", "power", "pause", "chaos"};
    rub_buf_t text;
    rub_buf_init(&text);
    rub_buf_printf(&text, "rubato-sim --seed %" PRIu64, options->seed);
    if (options->profile != SIM_SWARM) {
        rub_buf_printf(&text, " --profile %s", profiles[options->profile]);
    }
    const char *between = " --without ";
    for (unsigned kind = 0; rub_sim_fault_name(kind); kind++) {
        if ((options->without >> kind) & 1) {
            rub_buf_printf(&text, "%s%s", between, rub_sim_fault_name(kind));
            between = ",";
        }
    }
    between = " --only-faults ";
    for (unsigned i = 0; i < SIM_FAULTS; i++) {
        if ((options->only_faults >> i) & 1) {
            rub_buf_printf(&text, "%s%u", between, i);
            between = ",";
        }
    }
    const struct {
        const char *name;
        uint32_t value;
    } sizes[] = {{"workers", options->workers},
                 {"shards", options->shards},
                 {"epochs", options->epochs},
                 {"steps", options->steps}};
    for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
        if (sizes[i].value > 0) {
            rub_buf_printf(&text, " --%s %u", sizes[i].name, sizes[i].value);
        }
    }
    rub_buf_printf(&text, "%s", options->no_guests ? " --no-guests" : "");
    rub_buf_u8(&text, 0);
    RUB_ASSERT(!text.failed);
    snprintf(out, out_bytes, "%s", (const char *)text.data);
    rub_buf_fini(&text);
}

typedef struct shrink {
    rub_sim_t *sim;
    const char *violation;
    rub_sim_options_t best;
    unsigned runs;
} shrink_t;

/* "bsp", "liveness", ...: what stands before the colon; else the whole sentence's beginning. */
static void law_of(const char *violation, char law[64])
{
    const size_t length = strcspn(violation, ":");
    snprintf(law, 64, "%.*s", (int)(length < 40 ? length : 12), violation);
}

bool rub_sim_same_law(const char *violation, const char *other)
{
    char a[64], b[64];
    law_of(violation, a);
    law_of(other, b);
    return violation[0] != '\0' && strcmp(a, b) == 0;
}

/* Keeps the candidate if it breaks the same law. */
static bool try(shrink_t *self, rub_sim_options_t candidate)
{
    self->runs++;
    rub_sim_run(self->sim, &candidate);
    const bool same = rub_sim_same_law(self->sim->violation, self->violation);
    rub_sim_fini(self->sim);
    if (same) {
        self->best = candidate;
    }
    return same;
}

static bool drop_faults(shrink_t *self)
{
    bool smaller = false;
    for (unsigned i = 0; i < SIM_FAULTS; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        rub_sim_options_t candidate = self->best;
        candidate.only_faults &= ~bit;
        /* An empty mask would mean all of them: the last one stays. */
        if ((self->best.only_faults & bit) && candidate.only_faults) {
            smaller = try(self, candidate) || smaller;
        }
    }
    return smaller;
}

static bool lower(shrink_t *self, size_t offset, uint32_t now)
{
    bool smaller = false;
    for (uint32_t value = 1; value < now && !smaller; value++) {
        rub_sim_options_t candidate = self->best;
        memcpy((char *)&candidate + offset, &value, sizeof(value));
        smaller = try(self, candidate);
    }
    return smaller;
}

static bool drop_people(shrink_t *self)
{
    rub_sim_run(self->sim, &self->best);
    const rub_sim_scenario_t scenario = self->sim->scenario;
    rub_sim_fini(self->sim);
    rub_sim_options_t candidate = self->best;
    candidate.no_guests = true;
    bool smaller = !self->best.no_guests && scenario.n_joiners + scenario.n_readers > 0 &&
                   try(self, candidate);
    smaller = lower(self, offsetof(rub_sim_options_t, workers), scenario.n_workers) || smaller;
    smaller = lower(self, offsetof(rub_sim_options_t, shards), scenario.n_shards) || smaller;
    smaller = lower(self, offsetof(rub_sim_options_t, epochs), scenario.n_epochs) || smaller;
    return lower(self, offsetof(rub_sim_options_t, steps), scenario.n_steps) || smaller;
}

rub_sim_options_t rub_sim_shrink(const rub_sim_options_t *options, const char *violation)
{
    shrink_t self = {.sim = rub_alloc(sizeof(*self.sim)), .best = *options, .violation = violation};
    char command[400];
    RUB_ASSERT(self.sim);
    self.best.trace = false;
    if (self.best.only_faults == 0) {
        rub_sim_run(self.sim, &self.best);
        const size_t n = self.sim->scenario.n_faults;
        rub_sim_fini(self.sim);
        self.best.only_faults = n >= SIM_FAULTS ? UINT64_MAX : (UINT64_C(1) << n) - 1;
    }
    while (drop_faults(&self) || drop_people(&self)) {
    }
    rub_sim_command(&self.best, command, sizeof(command));
    fprintf(stderr, "  smaller (%u runs): %s --trace\n", self.runs, command);
    rub_free(self.sim);
    return self.best;
}
