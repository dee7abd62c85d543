/* Runs a range of seeds and says what has really happened in them: a simulator whose faults do not
 * happen proves nothing, so --cover fails when a kind of fault, or of answer to one, is missing.
 *
 * Seeds are independent: job j of n takes every n-th, in a process of its own, and sends what it
 * counted through a pipe. */
#include "tests/sim/sim_summary.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct tally {
    uint64_t seeds, violations, differing, events, reads, hash;
    uint64_t counts[SIM_N_ALL];
} tally_t;

static const char *const names[SIM_N_ALL] = {
#define SIM_COUNT_NAME(name, text) text,
    RUB_SIM_COUNTS(SIM_COUNT_NAME)
#undef SIM_COUNT_NAME
};

static void report(const rub_sim_options_t *options, const rub_sim_range_t *range,
                   const char *violation)
{
    char command[400];
    rub_sim_command(options, command, sizeof(command));
    fprintf(stderr, "seed %" PRIu64 ": %s\n  repeat: %s --trace\n", options->seed, violation,
            command);
    if (range->shrink) {
        (void)rub_sim_shrink(options, violation);
    }
}

static void run_seed(rub_sim_t *sim, const rub_sim_options_t *options, const rub_sim_range_t *range,
                     tally_t *tally)
{
    const bool held = rub_sim_run(sim, options);
    tally->seeds++;
    tally->events += sim->n_events;
    tally->reads += sim->n_reads;
    tally->hash ^= rub_sim_hash(sim);
    for (size_t i = 0; i < SIM_N_ALL; i++) {
        tally->counts[i] += sim->counts[i];
    }
    const uint64_t hash = rub_sim_hash(sim);
    char violation[sizeof(sim->violation)];
    memcpy(violation, sim->violation, sizeof(violation));
    rub_sim_fini(sim);
    if (!held) {
        tally->violations++;
        report(options, range, violation);
    }
    if (range->twice) {
        rub_sim_run(sim, options);
        if (rub_sim_hash(sim) != hash) {
            tally->differing++;
            fprintf(stderr, "seed %" PRIu64 ": two runs, two histories\n", options->seed);
        }
        rub_sim_fini(sim);
    }
}

static void run_job(const rub_sim_options_t *options, const rub_sim_range_t *range, unsigned job,
                    tally_t *tally)
{
    rub_sim_t *sim = rub_alloc(sizeof(*sim));
    RUB_ASSERT(sim);
    rub_sim_options_t one = *options;
    for (uint64_t seed = range->first + job; seed <= range->last; seed += range->jobs) {
        one.seed = seed;
        run_seed(sim, &one, range, tally);
    }
    rub_free(sim);
}

static void add(tally_t *sum, const tally_t *part)
{
    sum->seeds += part->seeds;
    sum->violations += part->violations;
    sum->differing += part->differing;
    sum->events += part->events;
    sum->reads += part->reads;
    sum->hash ^= part->hash;
    for (size_t i = 0; i < SIM_N_ALL; i++) {
        sum->counts[i] += part->counts[i];
    }
}

/* False: a job did not come to its end. */
static bool run_jobs(const rub_sim_options_t *options, const rub_sim_range_t *range, tally_t *sum)
{
    int pipes[SIM_JOBS_LIMIT][2];
    pid_t children[SIM_JOBS_LIMIT];
    bool well = true;
    fflush(NULL);
    for (unsigned job = 0; job < range->jobs; job++) {
        if (pipe(pipes[job]) != 0 || (children[job] = fork()) < 0) {
            fprintf(stderr, "rubato-sim: cannot start job %u\n", job);
            _exit(1);
        }
        if (children[job] == 0) {
            tally_t tally = {0};
            run_job(options, range, job, &tally);
            fflush(NULL);
            _exit(write(pipes[job][1], &tally, sizeof(tally)) == (ssize_t)sizeof(tally) ? 0 : 1);
        }
        close(pipes[job][1]);
    }
    for (unsigned job = 0; job < range->jobs; job++) {
        tally_t part = {0};
        int status = 0;
        const bool whole = read(pipes[job][0], &part, sizeof(part)) == (ssize_t)sizeof(part);
        close(pipes[job][0]);
        well = waitpid(children[job], &status, 0) == children[job] && status == 0 && whole && well;
        add(sum, &part);
    }
    if (!well) {
        fprintf(stderr, "rubato-sim: a job did not come to its end\n");
    }
    return well;
}

static void print(const tally_t *tally, bool json)
{
    printf(json ? "{\"seeds\":%" PRIu64 ",\"violations\":%" PRIu64 ",\"events\":%" PRIu64
                  ",\"reads\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\""
                : "%" PRIu64 " seeds, %" PRIu64 " violations (%" PRIu64 " events, %" PRIu64
                  " reads checked, hash %016" PRIx64 ")\n",
           tally->seeds, tally->violations, tally->events, tally->reads, tally->hash);
    for (size_t i = 0; i < SIM_N_ALL; i++) {
        printf(json ? ",\"%s\":%" PRIu64 : "  %-20s %10" PRIu64 "\n", names[i], tally->counts[i]);
    }
    printf(json ? "}\n" : "");
}

static bool covered(const tally_t *tally)
{
    bool all = true;
    for (size_t i = 0; i < SIM_N_ALL; i++) {
        if (tally->counts[i] == 0) {
            fprintf(stderr, "rubato-sim: '%s' never happened in %" PRIu64 " seeds\n", names[i],
                    tally->seeds);
            all = false;
        }
    }
    return all;
}

int rub_sim_range(const rub_sim_options_t *options, const rub_sim_range_t *range)
{
    tally_t tally = {0};
    bool well = true;
    if (range->jobs > 1) {
        well = run_jobs(options, range, &tally);
    } else {
        run_job(options, range, 0, &tally);
    }
    print(&tally, range->json);
    well = well && tally.violations == 0 && tally.differing == 0;
    return well && (!range->cover || covered(&tally)) ? 0 : 1;
}
