/* The supervisor of `rubato train`.
 *
 * One zloop, two sources: a timer of 50 ms (children, signals, deadlines; every fourth time the
 * scheduler is asked for the job's status), and the scheduler's answers. The supervisor decides
 * nothing about the job; it starts processes, reports a death to the scheduler before it starts the
 * successor, and ends everybody. A process that was killed or told to leave is started again, and
 * so is a worker that was evicted (it stood still for a lease); one that ended with a sentence of
 * its own would only say it again, so its exit code becomes the run's.
 *
 * Phases: RUNNING until the job is over; ASKING, one second in which the scheduler may explain why
 * a member gave up; ENDING, in which all are to leave: asked at once, told by SIGTERM after
 * grace_ms, or 3 s after a scheduler that can let nobody go any more, and killed 2 s later. Nobody
 * is started in ENDING. A second Ctrl-C kills at once. Invariant: rub_fleet_fini has run before
 * rub_supervisor_run returns. */
#include "cli/supervisor.h"

#include "cli/fleet.h"
#include "cli/metrics_log.h"
#include "cli/restart.h"
#include "cli/status_link.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <czmq.h>
#include <signal.h>
#include <string.h>

#define RUB_TICK_MS RUB_RESTART_LOOK_MS
#define RUB_TICKS_PER_ASK 4u
#define RUB_SILENCE_MS 5000u
#define RUB_EXPLAIN_MS 1000u
#define RUB_KILL_AFTER_MS 2000u
#define RUB_FAILED_GRACE_MS                                                                        \
    3000u /* a failed job has no work left to wait for; what was acknowledged is journaled */
#define RUB_DEATH_TELLINGS 5u
#define RUB_HEARD_MS 500u /* silence of a scheduler that is there */
#define RUB_LET_GO_MS 2000u
#define RUB_WAIT_SAY_MS 2000u    /* a wait shorter than this is not worth a line */
#define RUB_WAIT_AGAIN_MS 10000u /* the same wait is said again */

#define RUB_ROLE(role) (1u << RUB_MEMBER_##role)

typedef enum { RUNNING, ASKING, ENDING } phase_t;

typedef struct supervisor {
    const rub_config_t *config;
    rub_fleet_t fleet;
    rub_status_link_t *link;
    rub_progress_show_t *people;
    rub_metrics_log_t metrics;
    rub_outcome_t *outcome;
    phase_t phase;
    unsigned ticks;
    uint64_t started_ms, heard_ms, trained_from_ms, trained_to_ms, workers_gone_ms;
    uint64_t phase_ms;                     /* when the phase began */
    bool over;                             /* the job is done or failed: the scheduler may leave */
    uint64_t leaderless_ms, terminated_ms; /* 0: not yet */
    bool silence_said, interrupted;
    bool met; /* our own scheduler has answered */
    bool all_gone;
    char waits_said[256]; /* without its digits */
    uint64_t waits_from_ms, waits_said_ms;
} supervisor_t;

void rub_outcome_init(rub_outcome_t *self)
{
    *self = (rub_outcome_t){0};
    rub_tally_init(&self->tally);
}

void rub_outcome_fini(rub_outcome_t *self)
{
    rub_tally_fini(&self->tally);
}

static void enter(supervisor_t *self, phase_t phase, uint64_t now_ms)
{
    self->phase = phase;
    self->phase_ms = now_ms;
}

/* The first reason stays: what follows is its consequence. */
static void blame(supervisor_t *self, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void blame(supervisor_t *self, int exit_code, const char *format, ...)
{
    if (self->outcome->exit_code != 0) {
        return;
    }
    self->outcome->exit_code = exit_code;
    va_list list;
    va_start(list, format);
    vsnprintf(self->outcome->reason, sizeof self->outcome->reason, format, list);
    va_end(list);
}

static void fail(supervisor_t *self, const rub_error_t *err, uint64_t now_ms)
{
    blame(self, rub_error_exit_code(err->code), "%s", err->message);
    enter(self, ENDING, now_ms);
}

/* ---- the scheduler's answers ---- */

/* Before all have come: what workers that have not may be waiting for, as the last lines of their
 * logs say, when these are warnings. */
static const char *warnings(const supervisor_t *self, char *out, size_t out_bytes)
{
    static const char mark[] = " warn ";
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < self->fleet.n_members && self->trained_from_ms == 0; i++) {
        const rub_member_t *member = &self->fleet.members[i];
        char line[300] = "";
        if (member->role == RUB_MEMBER_WORKER && !member->finished) {
            rub_log_last_line(member->log_path, line, sizeof line);
        }
        const char *at = strstr(line, mark);
        at = at ? at + strlen(mark) + strspn(at + strlen(mark), " ") : NULL; /* levels are padded */
        if (at && used + 1 < out_bytes) {
            used += (size_t)snprintf(out + used, out_bytes - used, "; %s: %s", member->name, at);
        }
    }
    return out;
}

/* For whom the scheduler waits: said when it lasts, again when the sentence changes in more than
 * its numbers. */
static void note_waits(supervisor_t *self, uint64_t now_ms)
{
    const rub_tally_t *tally = &self->outcome->tally;
    if (tally->state >= RUB_JOB_FINISHING || !tally->reason[0]) {
        self->waits_from_ms = 0;
        self->waits_said[0] = 0;
        return;
    }
    self->waits_from_ms = self->waits_from_ms ? self->waits_from_ms : now_ms;
    if (now_ms - self->waits_from_ms < RUB_WAIT_SAY_MS) {
        return;
    }
    char words[sizeof tally->reason];
    size_t n = 0;
    for (const char *p = tally->reason; *p; p++) {
        words[n] = *p;
        n += *p < '0' || *p > '9';
    }
    words[n] = 0;
    if (strcmp(words, self->waits_said) != 0 || now_ms - self->waits_said_ms >= RUB_WAIT_AGAIN_MS) {
        snprintf(self->waits_said, sizeof self->waits_said, "%s", words);
        self->waits_said_ms = now_ms;
        char more[600];
        rub_progress_show_say(self->people, "scheduler: %s%s", tally->reason,
                              warnings(self, more, sizeof more));
    }
}

static void note_job_state(supervisor_t *self, uint64_t now_ms)
{
    const rub_tally_t *tally = &self->outcome->tally;
    if (tally->state == RUB_JOB_RUNNING && self->trained_from_ms == 0) {
        self->trained_from_ms = now_ms;
    }
    if (tally->state >= RUB_JOB_FINISHING && self->trained_to_ms == 0) {
        self->trained_to_ms = now_ms;
    }
    note_waits(self, now_ms);
    if (tally->state != RUB_JOB_DONE && tally->state != RUB_JOB_FAILED) {
        return;
    }
    if (!self->over && tally->state == RUB_JOB_FAILED) {
        /* In ENDING the failure is the echo of our own STOP. What a member said of its data,
         * configuration or disk explains more than the job's end does, too. */
        const int own = self->outcome->exit_code;
        if (self->phase != ENDING && own != 2 && own != 4 && own != 74) {
            self->outcome->exit_code = 0;
        }
        char more[600];
        blame(self, tally->code ? rub_error_exit_code(tally->code) : 1, "%s%s",
              tally->reason[0] ? tally->reason : "the job failed",
              warnings(self, more, sizeof more));
    } else if (!self->over && tally->state == RUB_JOB_DONE && self->phase == ASKING) {
        self->outcome->exit_code = 0; /* whoever gave up, all the work was done */
    }
    self->over = true;
    if (self->phase != ENDING) {
        enter(self, ENDING, now_ms);
    }
}

/* Ps and workers come once our own scheduler is known to listen: what would join another one's job
 * in its place is never started. */
static int start_rest(supervisor_t *self, rub_error_t *err)
{
    for (size_t i = 1; i < self->fleet.n_members; i++) {
        const int rc = rub_fleet_start(&self->fleet, &self->fleet.members[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* The recent rate; of a training that is over before there were two looks at it, the whole one's.
 */
static double rate_per_s(const supervisor_t *self)
{
    const rub_tally_t *tally = &self->outcome->tally;
    const double recent = rub_rate_per_s(&self->people->rate);
    return recent > 0 || tally->running_ms == 0
               ? recent
               : (double)tally->examples * 1000 / (double)tally->running_ms;
}

static int on_status(zloop_t *loop, zsock_t *reader, void *argument)
{
    (void)loop, (void)reader;
    supervisor_t *self = argument;
    const uint64_t now_ms = rub_now_ms();
    const rub_status_t *status = NULL;
    rub_error_t err = {0};
    int rc;
    while ((rc = rub_status_link_next(self->link, &status, &err)) == 0) {
        if (strcmp(status->who, self->fleet.members[0].who) != 0) {
            continue; /* another run's scheduler has our port: its job is none of our business */
        }
        if (!self->met) {
            self->met = true;
            rc = self->phase == RUNNING ? start_rest(self, &err) : 0;
            if (rc != 0) {
                break;
            }
        }
        rc = rub_tally_update(&self->outcome->tally, status, &err);
        if (rc != 0) {
            break;
        }
        self->heard_ms = now_ms;
        self->silence_said = false;
        note_job_state(self, now_ms);
    }
    if (rc < 0 && self->phase != ENDING) {
        fail(self, &err, now_ms);
    }
    const double now_s = (double)(now_ms - self->started_ms) / 1000;
    rub_progress_show_update(self->people, &self->outcome->tally, self->config->epochs, now_s,
                             self->config->progress);
    rub_metrics_log_add(&self->metrics, &self->outcome->tally, rate_per_s(self), now_s, self->over);
    return 0;
}

/* ---- members that end ---- */

/* Refused in mid-run: its rank was given up, and a new process gets it back. */
static bool was_evicted(const supervisor_t *self, const rub_member_t *member)
{
    return member->role == RUB_MEMBER_WORKER && !member->child.was_killed &&
           member->child.exit_code == rub_error_exit_code(RUB_EFENCED) &&
           self->outcome->tally.state == RUB_JOB_RUNNING;
}

static bool worth_a_restart(const supervisor_t *self, const rub_member_t *member)
{
    const rub_child_t *child = &member->child;
    const bool told_to_leave = child->exit_code == 130 || child->exit_code == 143;
    const bool left_early = child->exit_code == 0 && member->role != RUB_MEMBER_WORKER;
    return child->was_killed || told_to_leave || left_early || was_evicted(self, member);
}

/* "signal 9" or "exit code 1" into out; returns out. */
static const char *ended_how(const rub_child_t *child, char out[32])
{
    snprintf(out, 32, "%s %d", child->was_killed ? "signal" : "exit code",
             child->exit_code - (child->was_killed ? 128 : 0));
    return out;
}

/* Plans the successor's start. Whoever left with 0 may have been let go, and who was refused may
 * have met a job that has failed, by a scheduler whose word has not reached us yet: there the wait
 * is long enough for it to come, and then nobody is started. */
static void plan_restart(supervisor_t *self, rub_member_t *member, uint64_t now_ms)
{
    const bool lost =
        member->role == RUB_MEMBER_PS && self->config->durability == RUB_DURABILITY_NONE;
    const bool was_let_go = member->child.exit_code == 0;
    if (!was_let_go && (lost || self->outcome->restarts >= self->config->restarts_limit)) {
        char how[32];
        blame(self, lost ? rub_error_exit_code(RUB_EPEER) : 1,
              lost ? "%s ended (%s), and with durability none its tables are gone"
                   : "%s ended (%s), and restarts_limit is reached",
              member->name, ended_how(&member->child, how));
        enter(self, ENDING, now_ms);
        return;
    }
    const uint64_t backoff_ms =
        rub_restart_wait_ms(now_ms - member->started_ms, &member->short_lives);
    const bool awaits_word = was_let_go || was_evicted(self, member);
    member->start_due_ms = now_ms + (awaits_word ? RUB_LET_GO_MS : backoff_ms);
    if (member->role != RUB_MEMBER_SCHEDULER) {
        snprintf(member->dead_who, sizeof member->dead_who, "%s", member->who);
        member->dead_tellings = RUB_DEATH_TELLINGS;
        rub_status_link_dead(self->link, member->who);
    }
}

static void start_again(supervisor_t *self, rub_member_t *member, uint64_t now_ms)
{
    const rub_child_t ended = member->child;
    rub_error_t err = {0};
    char how[32];
    self->outcome->restarts++;
    rub_progress_show_say(
        self->people, "%s ended (%s) and is started again (restart %u of at most %u)", member->name,
        ended_how(&ended, how), self->outcome->restarts, (unsigned)self->config->restarts_limit);
    if (rub_fleet_start(&self->fleet, member, &err) != 0) {
        fail(self, &err, now_ms);
    }
}

static void on_member_ended(supervisor_t *self, rub_member_t *member, uint64_t now_ms)
{
    if (self->phase == RUNNING && worth_a_restart(self, member)) {
        plan_restart(self, member, now_ms);
        return;
    }
    member->finished = true;
    if (self->phase == RUNNING && member->child.exit_code != 0) {
        char line[300];
        rub_log_last_line(member->log_path, line, sizeof line);
        blame(self, member->child.exit_code, "%s ended with exit code %d: %s", member->name,
              member->child.exit_code, line[0] ? line : "its log is empty");
        enter(self, ASKING, now_ms);
    }
}

static void reap(supervisor_t *self, uint64_t now_ms)
{
    for (rub_member_t *member; (member = rub_fleet_ended(&self->fleet));) {
        on_member_ended(self, member, now_ms);
    }
    for (size_t i = 0; i < self->fleet.n_members && self->phase == RUNNING; i++) {
        rub_member_t *member = &self->fleet.members[i];
        if (member->start_due_ms != 0 && now_ms >= member->start_due_ms) {
            start_again(self, member, now_ms);
        }
    }
}

/* ---- time ---- */

static void watch_silence(supervisor_t *self, uint64_t now_ms)
{
    const uint64_t silent_ms = now_ms - self->heard_ms;
    if (silent_ms >= RUB_SILENCE_MS && !self->silence_said) {
        self->silence_said = true;
        rub_progress_show_say(self->people, "no word from the scheduler for %u s; its log is %s",
                              RUB_SILENCE_MS / 1000, self->fleet.members[0].log_path);
    }
    if (silent_ms >= self->config->join_timeout_ms) {
        blame(self, rub_error_exit_code(RUB_EPEER), "no word from the scheduler for %.1f s",
              (double)silent_ms / 1000);
        enter(self, ENDING, now_ms);
        return;
    }
    bool workers_finished = true;
    for (size_t i = 0; i < self->fleet.n_members; i++) {
        const rub_member_t *member = &self->fleet.members[i];
        workers_finished &= member->role != RUB_MEMBER_WORKER || member->finished;
    }
    self->workers_gone_ms = !workers_finished       ? 0
                            : self->workers_gone_ms ? self->workers_gone_ms
                                                    : now_ms;
    if (workers_finished && now_ms - self->workers_gone_ms >= self->config->join_timeout_ms) {
        blame(self, rub_error_exit_code(RUB_EPEER),
              "all workers have ended but the job is not over after %.0f s",
              (double)self->config->join_timeout_ms / 1000);
        enter(self, ENDING, now_ms);
    }
}

static void watch_signals(supervisor_t *self, uint64_t now_ms)
{
    const int count = *rub_signals_count();
    if (count > 0 && !self->interrupted) {
        self->interrupted = true;
        rub_progress_show_say(self->people,
                              "interrupted: workers drain, ps checkpoint; once more to leave now");
        if (!self->over) {
            self->outcome->exit_code = 0;
            blame(self, rub_signals_exit_code(), "interrupted");
        }
        if (self->met) {
            rub_status_link_stop(self->link, "interrupted");
        }
        rub_fleet_signal(&self->fleet, RUB_ROLE(WORKER), SIGTERM);
        enter(self, ENDING, now_ms);
    }
    if (count > 1) {
        rub_fleet_signal(&self->fleet, RUB_EVERY_ROLE, SIGKILL);
    }
}

static const char *names_of_running(const supervisor_t *self, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < self->fleet.n_members && used < out_bytes; i++) {
        const rub_member_t *member = &self->fleet.members[i];
        if (member->child.pid > 0) {
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "",
                                     member->name);
        }
    }
    return out;
}

static void press_to_leave(supervisor_t *self, uint64_t now_ms)
{
    const bool failed = self->outcome->exit_code != 0 && !self->interrupted;
    const rub_child_t *scheduler = &self->fleet.members[0].child;
    uint64_t grace_ms = self->config->grace_ms;
    if (failed && grace_ms > RUB_FAILED_GRACE_MS) {
        grace_ms = RUB_FAILED_GRACE_MS;
    }
    uint64_t due_ms = self->phase_ms + grace_ms;
    if (scheduler->pid == 0 && (scheduler->was_killed || self->interrupted)) {
        /* Whom it did not let go, a ps that had not found it yet say, nobody will. */
        self->leaderless_ms = self->leaderless_ms ? self->leaderless_ms : now_ms;
        const uint64_t leaderless_due_ms = self->leaderless_ms + RUB_FAILED_GRACE_MS;
        due_ms = leaderless_due_ms < due_ms ? leaderless_due_ms : due_ms;
    }
    if (now_ms >= due_ms && self->terminated_ms == 0) {
        char names[200];
        self->terminated_ms = now_ms;
        rub_progress_show_say(self->people, "after %.0f s these have not left and are told to: %s",
                              (double)(now_ms - self->phase_ms) / 1000,
                              names_of_running(self, names, sizeof names));
        rub_fleet_signal(&self->fleet, RUB_EVERY_ROLE, SIGTERM);
    }
    if (self->terminated_ms != 0 && now_ms - self->terminated_ms >= RUB_KILL_AFTER_MS) {
        rub_fleet_signal(&self->fleet, RUB_EVERY_ROLE, SIGKILL);
    }
}

/* A few times over, because there is no answer; while the scheduler is away itself, nobody counts.
 */
static void tell_deaths(supervisor_t *self)
{
    const bool heard = rub_now_ms() - self->heard_ms < RUB_HEARD_MS;
    for (size_t i = 0; i < self->fleet.n_members; i++) {
        rub_member_t *member = &self->fleet.members[i];
        if (member->dead_tellings > 0) {
            member->dead_tellings -= heard;
            rub_status_link_dead(self->link, member->dead_who);
        }
    }
}

static void speak(supervisor_t *self)
{
    if (!self->met) {
        rub_status_link_ask(self->link, false);
        return;
    }
    tell_deaths(self);
    if (self->phase == ENDING && !self->over) {
        rub_status_link_stop(self->link, self->outcome->reason);
    }
    rub_status_link_ask(self->link, self->over);
}

/* -1 ends the loop. */
static int on_tick(zloop_t *loop, int timer, void *argument)
{
    (void)loop, (void)timer;
    supervisor_t *self = argument;
    const uint64_t now_ms = rub_now_ms();
    reap(self, now_ms);
    watch_signals(self, now_ms);
    if (self->phase == RUNNING) {
        watch_silence(self, now_ms);
    } else if (self->phase == ASKING && now_ms - self->phase_ms >= RUB_EXPLAIN_MS) {
        enter(self, ENDING, now_ms);
    } else if (self->phase == ENDING) {
        press_to_leave(self, now_ms);
    }
    if (!self->met || self->ticks++ % RUB_TICKS_PER_ASK == 0) {
        speak(self);
    }
    self->all_gone = self->phase == ENDING && rub_fleet_running(&self->fleet, RUB_EVERY_ROLE) == 0;
    return self->all_gone ? -1 : 0;
}

/* ---- the whole ---- */

static void run_loop(supervisor_t *self)
{
    zloop_t *loop = zloop_new();
    zsock_t *socket = rub_status_link_socket(self->link);
    zloop_set_nonstop(loop, true);
    zloop_timer(loop, RUB_TICK_MS, 0, on_tick, self);
    zloop_reader(loop, socket, on_status, self);
    zloop_reader_set_tolerant(loop, socket);
    while (!self->all_gone) {
        zloop_start(loop); /* ends when a signal interrupts its poll, too */
    }
    zloop_destroy(&loop);
}

void rub_supervisor_run(const rub_config_t *config, const rub_run_folder_t *folder,
                        rub_progress_show_t *people, rub_outcome_t *outcome)
{
    const uint64_t now_ms = rub_now_ms();
    supervisor_t self = {.config = config,
                         .people = people,
                         .outcome = outcome,
                         .started_ms = now_ms,
                         .heard_ms = now_ms};
    rub_error_t err = {0};
    int rc = rub_metrics_log_open(&self.metrics, folder, &err);
    rc = rc ? rc : rub_fleet_init(&self.fleet, config, folder, &err);
    rc = rc ? rc : rub_status_link_open(config->scheduler, &self.link, &err);
    rc = rc ? rc : rub_fleet_start(&self.fleet, &self.fleet.members[0], &err);
    if (rc == 0) {
        run_loop(&self);
    } else {
        fail(&self, &err, now_ms);
    }
    rub_fleet_fini(&self.fleet);
    rub_status_link_close(&self.link);
    rub_metrics_log_close(&self.metrics);
    const uint64_t end_ms = rub_now_ms();
    /* As often as we asked: a short training lies between two answers. */
    const uint64_t to_ms = self.trained_to_ms ? self.trained_to_ms : end_ms;
    const uint64_t seen_ms = self.trained_from_ms ? to_ms - self.trained_from_ms : 0;
    const uint64_t running_ms = outcome->tally.running_ms;
    outcome->training_s = (double)(running_ms ? running_ms : seen_ms) / 1000;
    outcome->total_s = (double)(end_ms - self.started_ms) / 1000;
}
