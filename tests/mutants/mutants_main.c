/* rubato-sim-mutants [--only NAME [--shrink]] [--seeds N] [--jobs N] [--list]: plants one bug after
 * the other and demands that its killer notices: the simulator within N seeds (the one that its row
 * names, and from 1 on), or the unit test that the row names, built with mutants. Last, the same
 * seeds and the same unit tests run without any, and must all pass.
 *
 * --shrink: the first history that kills it is made smaller, and the smaller one must kill it, too.
 *
 * Each runs in a child of its own: a mutant may break an assertion, or never come back. Exit 1: one
 * survived, or the healthy program fails. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/timing.h"
#include "tests/mutants/mutant_choice.h"
#include "tests/sim/sim.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern rub_mutant_t rub_mutant_chosen;

#define SEEDS 10000u
#define HANG_S 60u /* a seed takes milliseconds */
#define JOBS_LIMIT 64u

/* Shared with the child: where it is, and what it found. */
typedef struct trial {
    uint64_t seed;
    char law[600];
} trial_t;

typedef struct job {
    rub_mutant_t mutant;
    pid_t pid;
    trial_t *trial;
    uint64_t began_ms;
} job_t;

#define PROFILES (SIM_CHAOS + 1)

typedef struct tally {
    uint64_t killed, survived;
    uint64_t greatest_seed[PROFILES]; /* that was needed, of those that were searched for */
    uint64_t hints[RUB_MUTANTS_END];  /* that killed */
    size_t n_hints;
} tally_t;

/* "sim" or "sim:profile"; else a unit test. */
static bool is_sim(const rub_mutant_row_t *row, rub_sim_profile_t *profile)
{
    *profile = SIM_SWARM;
    if (strncmp(row->killer, "sim:", 4) == 0) {
        RUB_ASSERT(rub_sim_read_profile(row->killer + 4, profile));
        return true;
    }
    return strcmp(row->killer, "sim") == 0 || strncmp(row->killer, "sim@", 4) == 0;
}

/* The seed that killed it last time; 0: the row names none. */
static uint64_t hint_of(const rub_mutant_row_t *row)
{
    const uint64_t hint =
        strncmp(row->killer, "sim@", 4) == 0 ? strtoull(row->killer + 4, NULL, 10) : 0;
    RUB_ASSERT(hint <= SEEDS);
    return hint;
}

/* The hint, then all from 1 on: a stale hint costs a seed. */
static void run_seeds(trial_t *trial, rub_sim_profile_t profile, uint64_t hint, uint64_t n_seeds)
{
    rub_sim_t *sim = rub_alloc(sizeof(*sim));
    RUB_ASSERT(sim);
    for (uint64_t n = hint > 0 ? 0 : 1; n <= n_seeds; n++) {
        trial->seed = n > 0 ? n : hint;
        alarm(HANG_S);
        const rub_sim_options_t options = {.seed = trial->seed, .profile = profile};
        const bool fine = rub_sim_run(sim, &options);
        if (!fine) {
            snprintf(trial->law, sizeof(trial->law), "%s", sim->violation);
        }
        rub_sim_fini(sim);
        if (!fine) {
            _exit(1);
        }
    }
    rub_free(sim);
    _exit(0);
}

static void run_unit_test(const char *folder, const rub_mutant_row_t *row, bool planted)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/%s_mutants", folder, row->killer);
    if (planted) {
        setenv("RUBATO_MUTANT", row->name, 1);
    } else {
        unsetenv("RUBATO_MUTANT");
    }
    alarm(HANG_S);
    execl(path, path, (char *)NULL);
    _exit(127);
}

/* What the child says goes nowhere: it may be much, and the violation is in the shared page. An
 * assertion's sentence is caught instead. */
static void quiet(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/rubato-mutant-%ld", (long)getpid());
    const int out = open("/dev/null", O_WRONLY);
    const int err = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || err < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
        _exit(127);
    }
}

static void start(job_t *job, rub_mutant_t mutant, uint64_t n_seeds, const char *folder)
{
    rub_sim_profile_t profile;
    const rub_mutant_row_t *row = rub_mutant_row(mutant);
    job->mutant = mutant;
    job->began_ms = rub_now_ms();
    memset(job->trial, 0, sizeof(*job->trial));
    fflush(stdout);
    job->pid = fork();
    RUB_ASSERT(job->pid >= 0);
    if (job->pid > 0) {
        return;
    }
    quiet();
    if (is_sim(row, &profile)) {
        rub_mutant_chosen = mutant;
        run_seeds(job->trial, profile, hint_of(row), n_seeds);
    } else {
        run_unit_test(folder, row, true);
    }
}

/* The last line of what the child wrote to stderr that is not empty. */
static void read_cry(pid_t pid, char *out, size_t limit)
{
    char path[64];
    char line[300];
    snprintf(path, sizeof(path), "/tmp/rubato-mutant-%ld", (long)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strstr(line, "rubato:") || strstr(line, "error: Failure") || strstr(line, "assert")) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(out, limit, "%s", line);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    unlink(path);
}

static void judge(const job_t *job, int status, tally_t *tally)
{
    const rub_mutant_row_t *row = rub_mutant_row(job->mutant);
    rub_sim_profile_t profile;
    const bool sim = is_sim(row, &profile);
    const double seconds = (double)(rub_now_ms() - job->began_ms) / 1000.0;
    char cry[300] = "";
    read_cry(job->pid, cry, sizeof(cry));
    const char *how = job->trial->law;
    if (WIFSIGNALED(status)) {
        how = WTERMSIG(status) == SIGALRM ? "it never ends" : cry[0] ? cry : "it crashes";
    } else if (!sim) {
        how = cry;
    }
    const bool ran = !WIFEXITED(status) || WEXITSTATUS(status) != 127;
    const bool noticed = ran && (WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    const bool good = noticed && ran;
    tally->killed += noticed;
    tally->survived += !good;
    if (sim && noticed && job->trial->seed == hint_of(row)) {
        tally->hints[tally->n_hints++] = job->trial->seed;
    } else if (sim && noticed && job->trial->seed > tally->greatest_seed[profile]) {
        tally->greatest_seed[profile] = job->trial->seed;
    }
    printf("%-18s %-8s %-11s ", row->name, good ? "killed" : "SURVIVES", row->killer);
    if (sim) {
        printf("seed %-5" PRIu64 " ", job->trial->seed);
    }
    printf("%5.1f s  %.180s\n", seconds, how);
}

/* Runs the mutants first..end-1, jobs at a time. */
static void run_all(rub_mutant_t first, rub_mutant_t end, uint64_t n_seeds, uint32_t n_jobs,
                    const char *folder, tally_t *tally)
{
    job_t jobs[JOBS_LIMIT] = {0};
    trial_t *trials = mmap(NULL, n_jobs * sizeof(*trials), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RUB_ASSERT(trials != MAP_FAILED);
    int next = first;
    uint32_t running = 0;
    while (next < (int)end || running > 0) {
        for (uint32_t j = 0; j < n_jobs && next < (int)end; j++) {
            if (jobs[j].pid == 0) {
                jobs[j].trial = &trials[j];
                start(&jobs[j], (rub_mutant_t)next++, n_seeds, folder);
                running++;
            }
        }
        int status = 0;
        const pid_t pid = wait(&status);
        for (uint32_t j = 0; j < n_jobs; j++) {
            if (jobs[j].pid == pid && pid > 0) {
                judge(&jobs[j], status, tally);
                jobs[j].pid = 0;
                running--;
            }
        }
    }
    munmap(trials, n_jobs * sizeof(*trials));
}

/* Whether a row before this one has the same killer. */
static bool seen_before(rub_mutant_t first, rub_mutant_t mutant)
{
    bool seen = false;
    for (int m = first; m < (int)mutant; m++) {
        seen = seen ||
               strcmp(rub_mutant_row((rub_mutant_t)m)->killer, rub_mutant_row(mutant)->killer) == 0;
    }
    return seen;
}

/* A unit test that always fails would kill them all. */
static void run_healthy_tests(rub_mutant_t first, rub_mutant_t end, const char *folder,
                              tally_t *tally)
{
    rub_sim_profile_t profile;
    for (int m = first; m < (int)end; m++) {
        const rub_mutant_row_t *row = rub_mutant_row((rub_mutant_t)m);
        if (is_sim(row, &profile) || seen_before(first, (rub_mutant_t)m)) {
            continue;
        }
        fflush(stdout);
        const pid_t pid = fork();
        RUB_ASSERT(pid >= 0);
        if (pid == 0) {
            quiet();
            run_unit_test(folder, row, false);
        }
        int status = 0;
        char cry[300] = "";
        RUB_ASSERT(waitpid(pid, &status, 0) == pid);
        read_cry(pid, cry, sizeof(cry));
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("without a mutant: %s fails: %.180s\n", row->killer, cry);
            tally->survived++;
        }
    }
}

static bool is_healthy(rub_sim_t *sim, uint64_t seed, unsigned profile)
{
    const rub_sim_options_t options = {.seed = seed, .profile = (rub_sim_profile_t)profile};
    const bool fine = rub_sim_run(sim, &options);
    if (!fine) {
        char command[300];
        rub_sim_command(&options, command, sizeof(command));
        printf("without a mutant: %s\n  repeat: %s\n", sim->violation, command);
    }
    rub_sim_fini(sim);
    return fine;
}

/* Every n_jobs'th seed from first on, of all profiles, and every n_jobs'th hint. Returns how many
 * broke a law. */
static uint64_t run_healthy_seeds(const tally_t *tally, uint64_t first, uint32_t n_jobs)
{
    rub_sim_t *sim = rub_alloc(sizeof(*sim));
    RUB_ASSERT(sim);
    rub_mutant_chosen = RUB_MUTANT_NONE;
    uint64_t broken = 0;
    for (unsigned profile = 0; profile < PROFILES; profile++) {
        for (uint64_t seed = first; seed <= tally->greatest_seed[profile]; seed += n_jobs) {
            broken += !is_healthy(sim, seed, profile);
        }
    }
    for (size_t i = first - 1; i < tally->n_hints; i += n_jobs) {
        broken += !is_healthy(sim, tally->hints[i], SIM_SWARM);
    }
    rub_free(sim);
    return broken;
}

/* What killed the sick must leave the healthy alone. */
static void run_healthy(tally_t *tally, uint32_t n_jobs)
{
    fflush(stdout);
    for (uint64_t first = 1; first <= n_jobs; first++) {
        const pid_t pid = fork();
        RUB_ASSERT(pid >= 0);
        if (pid == 0) {
            const uint64_t broken = run_healthy_seeds(tally, first, n_jobs);
            fflush(stdout);
            _exit(broken > 0 ? 1 : 0);
        }
    }
    for (uint32_t i = 0; i < n_jobs; i++) {
        int status = 0;
        RUB_ASSERT(wait(&status) > 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            printf("without a mutant: a process of the seeds above ended with status %#x\n",
                   (unsigned)status);
            tally->survived++;
        }
    }
}

/* The first of the seeds that breaks a law; its violation and how long its history is. False: none
 * does. */
static bool find_failure(rub_sim_t *sim, uint64_t n_seeds, rub_sim_options_t *options,
                         char violation[600], uint64_t *n_events_p)
{
    bool fine = true;
    for (options->seed = 1; fine && options->seed <= n_seeds; options->seed++) {
        fine = rub_sim_run(sim, options);
        snprintf(violation, 600, "%s", sim->violation);
        *n_events_p = sim->n_events;
        rub_sim_fini(sim);
    }
    options->seed--;
    return !fine;
}

/* In this process: for bugs that break a law, not an assertion. */
static int shrink(rub_mutant_t mutant, uint64_t n_seeds)
{
    const rub_mutant_row_t *row = rub_mutant_row(mutant);
    rub_sim_options_t options = {.seed = 0};
    char violation[600];
    uint64_t n_events = 0;
    rub_sim_t *sim = rub_alloc(sizeof(*sim));
    RUB_ASSERT(sim);
    rub_mutant_chosen = mutant;
    if (!is_sim(row, &options.profile) ||
        !find_failure(sim, n_seeds, &options, violation, &n_events)) {
        printf("%s: no seed up to %" PRIu64 " kills it\n", row->name, n_seeds);
        rub_free(sim);
        return 1;
    }
    const rub_sim_options_t smaller = rub_sim_shrink(&options, violation);
    rub_sim_run(sim, &smaller);
    const bool good =
        rub_sim_same_law(sim->violation, violation) && sim->n_events < n_events &&
        (smaller.workers > 0 || smaller.shards > 0 || smaller.epochs > 0 || smaller.steps > 0);
    printf("%s: seed %" PRIu64 ", %" PRIu64 " events, %.100s\n%s: %" PRIu64 " events, %.100s\n",
           row->name, options.seed, n_events, violation, good ? "smaller" : "NOT SMALLER",
           sim->n_events, sim->violation);
    rub_sim_fini(sim);
    rub_free(sim);
    return good ? 0 : 1;
}

static int list(void)
{
    for (int m = RUB_MUTANT_NONE + 1; m < RUB_MUTANTS_END; m++) {
        const rub_mutant_row_t *row = rub_mutant_row((rub_mutant_t)m);
        printf("%-18s %-20s %s\n", row->name, row->killer, row->sentence);
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: rubato-sim-mutants [--only NAME [--shrink]] [--seeds N] [--jobs N] [--list]\n");
    return 2;
}

int main(int argc, char **argv)
{
    rub_mutant_t only = RUB_MUTANT_NONE;
    uint64_t n_seeds = SEEDS;
    uint64_t n_jobs = 2;
    bool shrinks = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            return list();
        }
        if (strcmp(argv[i], "--shrink") == 0) {
            shrinks = true;
            continue;
        }
        if (i + 1 == argc) {
            return usage();
        }
        if (strcmp(argv[i], "--only") == 0) {
            only = rub_mutant_of_name(argv[++i]);
        } else if (strcmp(argv[i], "--seeds") == 0) {
            n_seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            n_jobs = strtoull(argv[++i], NULL, 10);
        } else {
            return usage();
        }
    }
    if (only == RUB_MUTANTS_END || n_seeds == 0 || n_jobs < 1 || n_jobs > JOBS_LIMIT ||
        (shrinks && only == RUB_MUTANT_NONE)) {
        return usage();
    }
    if (shrinks) {
        return shrink(only, n_seeds);
    }
    char folder[400];
    snprintf(folder, sizeof(folder), "%s", argv[0]);
    char *slash = strrchr(folder, '/');
    snprintf(slash ? slash : folder, 2, "%s", slash ? "" : ".");
    tally_t tally = {0};
    const rub_mutant_t first = only ? only : (rub_mutant_t)1;
    const rub_mutant_t end = only ? (rub_mutant_t)(only + 1) : RUB_MUTANTS_END;
    run_all(first, end, n_seeds, (uint32_t)n_jobs, folder, &tally);
    run_healthy_tests(first, end, folder, &tally);
    run_healthy(&tally, (uint32_t)n_jobs);
    printf("%" PRIu64 " mutants killed, %" PRIu64 " failures\n", tally.killed, tally.survived);
    return tally.survived > 0 ? 1 : 0;
}
