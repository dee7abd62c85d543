/* What users write, as a program that never blocks. A trainer pulls the whole ledger, computes,
 * pushes +1 to its own rows, ends its period, meets the others in a barrier at each epoch's end,
 * reads the ledger a last time, leaves. A joiner does a few periods and leaves; a reader only
 * looks.
 *
 * Each actor steps its program after whatever its client core has heard; an operation that is under
 * way leaves the program where it stands. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <math.h>

enum stage {
    JOIN,
    TABLE,
    EMBERS,
    EPOCH,
    PIECE,
    DEALT,
    PULL,
    PULLED,
    GIVEN,
    COMPUTED,
    PUSH,
    CLOCK,
    PAUSE,
    PAUSED,
    RESUME,
    STEPPED,
    BARRIER,
    MET,
    LAST_PULL,
    LAST_PULLED,
    LEAVE,
    LEFT,
    ENDED
};

uint32_t rub_sim_ledger_rows(const rub_sim_t *sim)
{
    return sim->n_actors * SIM_KEYS;
}

bool rub_sim_actor_is_through(const rub_sim_actor_t *actor)
{
    return actor->stage >= LAST_PULL;
}

static bool was_given_up(const rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    return actor->life > 1 || sim->evicted_epoch[actor->actor] > 0;
}

/* Failures that a run with faults may bring, and how the program goes on. True: it was one. */
static bool expected(rub_sim_t *sim, rub_sim_actor_t *actor, int rc)
{
    if (rc == RUB_EHELD && actor->life > 1) {
        rub_sim_actor_again(sim, actor);
        return true;
    }
    if (rc == RUB_EFENCED && actor->kind != SIM_READER) {
        rub_sim_actor_fenced(sim, actor);
        return true;
    }
    /* Who was given up may find that the others have done it all; a late joiner or reader that
     * the job is over. */
    const bool too_late = rc == RUB_EREFUSED && was_given_up(sim, actor);
    if (actor->kind != SIM_TRAINER || too_late || sim->doomed) {
        actor->stage = ENDED;
        return true;
    }
    return false;
}

/* One operation ended? Handles are forgotten by the core when they have. */
static bool ended(rub_sim_t *sim, rub_sim_actor_t *actor, rub_handle_t *handle)
{
    rub_error_t err = {0};
    const int rc = rub_client_poll(actor->core, *handle, &err);
    if (rc == RUB_CLIENT_WAIT) {
        return false;
    }
    *handle = 0;
    if (rc < 0 && !expected(sim, actor, rc)) {
        rub_sim_broken(sim, "actor %u fails in stage %u: %s", actor->actor, actor->stage,
                       err.message);
    }
    return rc == 0;
}

static bool begun(rub_sim_t *sim, rub_sim_actor_t *actor, int rc, const rub_error_t *err)
{
    if (rc < 0 && !expected(sim, actor, rc)) {
        rub_sim_broken(sim, "actor %u may not begin stage %u: %s", actor->actor, actor->stage,
                       err->message);
    }
    return rc == 0;
}

static bool ask_ledger(rub_sim_t *sim, rub_sim_actor_t *actor, uint32_t ahead, rub_handle_t *handle)
{
    rub_error_t err = {0};
    const int i = ahead ? 1 : 0;
    rub_client_pull_t pull = {.table = actor->table, .ahead = ahead, .values = actor->raw[i]};
    rub_sim_give(sim, actor, i);
    if (sim->scenario.dense) {
        pull.n = (size_t)sim->n_actors * RUB_BLOCK;
    } else {
        pull.keys = actor->keys;
        pull.n = rub_sim_ledger_rows(sim);
    }
    rub_client_time(actor->core, rub_sim_local_ms(sim, &actor->process));
    return begun(sim, actor, rub_client_pull(actor->core, &pull, handle, &err), &err);
}

/* A timed ledger takes gradients of -1 at a rate of 1 + min(clock, 64) / 65536, by a linear
 * schedule: whole numbers count pushes, and what is behind the point tells their clocks, exactly,
 * since float32 holds 24 bits and nobody pushes 256 times. */
enum { TIMED_CLOCKS = 64 };
#define TIMED_SHARE (1.0 / 65536)

float rub_sim_count_of(float value)
{
    return floorf(value);
}

/* Whether what a shard has of this actor is, row by row, the first of its pushes, and comes
 * unrounded: nothing was lost, refused or left behind by a life before. */
static bool knows_clocks(const rub_sim_t *sim, const rub_sim_actor_t *owner)
{
    return sim->scenario.timed && sim->scenario.pull_codec == RUB_CODEC_F32 &&
           !sim->scenario.poison && !sim->doomed && sim->counts[SIM_N_LOST_RECORDS] == 0 &&
           owner->life == 1 && sim->evicted_epoch[owner->actor] == 0;
}

static void check_clocks(rub_sim_t *sim, const rub_sim_actor_t *owner, uint32_t key, float value)
{
    const double count = (double)rub_sim_count_of(value);
    double clocks = 0;
    for (size_t i = 0; i < owner->n_pushes && (double)i < count; i++) {
        const uint64_t clock = owner->pushes[i].clock;
        clocks += (double)(clock < TIMED_CLOCKS ? clock : TIMED_CLOCKS);
    }
    sim->counts[SIM_N_TIMED_VALUES]++;
    if ((double)value != count + clocks * TIMED_SHARE) {
        rub_sim_broken(sim,
                       "row %u of actor %u was stepped at the rates of other clocks: %g pushes of "
                       "clocks that add up to %g, expected %g",
                       key, owner->actor, count, ((double)value - count) / TIMED_SHARE, clocks);
    }
}

/* The ledger as [actor][key], wherever it is stored: how many pushes each row has. */
static void read_ledger(rub_sim_t *sim, const float *raw, float *values)
{
    static const uint32_t sample[SIM_KEYS] = {0, 1, RUB_BLOCK / 2, RUB_BLOCK - 1};
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        for (uint32_t k = 0; k < SIM_KEYS; k++) {
            const float value =
                sim->scenario.dense ? raw[a * RUB_BLOCK + sample[k]] : raw[a * SIM_KEYS + k];
            if (knows_clocks(sim, &sim->actors[a])) {
                check_clocks(sim, &sim->actors[a], k, value);
            }
            values[a * SIM_KEYS + k] = rub_sim_count_of(value);
        }
    }
}

static void take_rank(rub_sim_actor_t *actor)
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    actor->rank = info.rank;
    actor->rank_epoch = info.epoch;
}

static void say(rub_sim_t *sim, const rub_sim_actor_t *actor, rub_history_kind_t kind,
                uint64_t number, uint64_t clock)
{
    rub_sim_tell_session(sim, actor,
                         (rub_history_event_t){.kind = kind, .number = number, .clock = clock});
}

static uint64_t clock_of(const rub_sim_actor_t *actor)
{
    rub_info_t info;
    rub_client_info(actor->core, &info);
    return info.clock;
}

static bool push_one(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    float ones[RUB_BLOCK];
    const float one = sim->scenario.timed ? -1 : 1;
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        ones[i] = one;
    }
    rub_error_t err = {0};
    rub_sim_lent_t *lent = rub_sim_lend(sim, actor, one);
    rub_client_push_t push = {
        .table = actor->table, .values = lent ? lent->values : ones, .lend = lent != NULL};
    if (sim->scenario.dense) {
        push.first = (uint64_t)actor->actor * RUB_BLOCK;
        push.n = RUB_BLOCK;
    } else {
        push.keys = actor->keys + (size_t)actor->actor * SIM_KEYS;
        push.n = SIM_KEYS;
    }
    RUB_ASSERT(actor->n_pushes < SIM_PUSHES);
    rub_handle_t *handle = &actor->handles[actor->n_pushes];
    if (!begun(sim, actor, rub_client_push(actor->core, &push, handle, &err), &err)) {
        return false;
    }
    if (lent) {
        lent->is_out = true;
        lent->push = actor->n_pushes;
    }
    actor->pushes[actor->n_pushes++] = (rub_sim_push_t){
        .clock = clock_of(actor), .life = actor->life, .rank_epoch = actor->rank_epoch};
    say(sim, actor, RUB_HISTORY_PUSH, actor->n_pushes - actor->life_pushes, clock_of(actor));
    return true;
}

static int open_ledger(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "ledger";
    schema.kind = sim->scenario.dense ? RUB_DENSE : RUB_HASHED;
    schema.elements = sim->scenario.dense ? (uint64_t)sim->n_actors * RUB_BLOCK : 0;
    schema.width = sim->scenario.dense ? 0 : 1;
    schema.optimizer = sim->scenario.timed ? RUB_SGD : RUB_ADD;
    if (sim->scenario.timed) {
        schema.hyper.lr = 1;
        schema.hyper.lr_end = 1 + TIMED_CLOCKS * TIMED_SHARE;
        schema.hyper.schedule = RUB_SCHEDULE_LINEAR;
        schema.hyper.schedule_clocks = TIMED_CLOCKS;
        if (sim->scenario.dense) { /* all but what it adds, which would not be whole numbers */
            schema.hyper.delay = RUB_DELAY_COMPENSATES;
            schema.hyper.delay_lambda = 1e-30;
        }
    }
    return rub_client_table_open(actor->core, &schema, &actor->waiting, err);
}

static bool trainers_ended(const rub_sim_t *sim)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        if (sim->actors[a].kind == SIM_TRAINER && !sim->actors[a].ended) {
            return false;
        }
    }
    return true;
}

/* Changes when anybody pushes; once somebody is a barrier behind the others, also when anybody is
 * through. */
static uint64_t stir_of(const rub_sim_t *sim)
{
    uint64_t stir = 0;
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        const rub_sim_actor_t *actor = &sim->actors[a];
        stir += actor->n_pushes * (SIM_ACTORS + 1);
        stir += sim->disturbed && rub_sim_actor_is_through(actor);
    }
    return stir;
}

static void take_piece(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const rub_piece_t *piece = rub_client_piece_result(actor->core);
    if (piece->kind == RUB_PIECE_END) {
        actor->stage = BARRIER;
        return;
    }
    for (uint64_t i = piece->first; i < piece->first + piece->count; i++) {
        RUB_ASSERT(i < sim->n_examples);
        if (++sim->dealt[actor->epoch * sim->n_examples + i] > 1 && !sim->disturbed) {
            rub_sim_broken(sim, "example %llu of data epoch %u is dealt twice",
                           (unsigned long long)i, actor->epoch);
        }
    }
    actor->cursor = (rub_cursor_t){actor->epoch, piece->number, 0};
    actor->piece_first = piece->first;
    actor->piece_left = piece->count;
    actor->steps_left = (uint32_t)((piece->count + 7) / 8);
    actor->stage = PULL;
}

/* Some meet the others, or leave, without having ended their last period: that ends it. */
static bool stops_in_a_period(rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    return sim->scenario.open_ends && !sim->scenario.pieces && actor->steps_left == 1 &&
           rub_sim_chance(sim, 50);
}

static void compute(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    actor->pushes_left = (uint32_t)rub_sim_between(sim, 0, 2);
    actor->stage = COMPUTED;
    rub_sim_actor_compute(sim, actor, actor->compute_us);
}

/* One step of the program. False: it waits. */
static bool advance(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_error_t err = {0};
    const rub_sim_scenario_t *scenario = &sim->scenario;
    float values[SIM_ACTORS * SIM_KEYS];
    switch ((enum stage)actor->stage) {
    case JOIN:
        if (actor->waiting == 0 &&
            !begun(sim, actor,
                   rub_client_join(actor->core, rub_sim_local_ms(sim, &actor->process),
                                   &actor->waiting, &err),
                   &err)) {
            return false;
        }
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        take_rank(actor);
        say(sim, actor, RUB_HISTORY_OPEN, 0, clock_of(actor));
        actor->stage = TABLE;
        return begun(sim, actor, open_ledger(sim, actor, &err), &err);
    case TABLE:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->table = 1; /* the job's first table */
        actor->stage = scenario->embers ? EMBERS : EPOCH;
        if (scenario->embers && !begun(sim, actor, rub_sim_embers_open(sim, actor, &err), &err)) {
            return false;
        }
        return begun(sim, actor,
                     rub_client_table_codec(actor->core, actor->table, scenario->codec,
                                            scenario->pull_codec, &err),
                     &err) &&
               begun(sim, actor, rub_sim_keeper_begin(sim, actor, &err), &err);
    case EMBERS:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->stage = EPOCH;
        return true;
    case EPOCH:
        if (actor->kind == SIM_TRAINER && actor->epoch == scenario->n_epochs) {
            actor->stage = LAST_PULL;
            rub_sim_tell_session(sim, actor, (rub_history_event_t){.kind = RUB_HISTORY_END});
            return true;
        }
        actor->steps_left = scenario->uneven
                                ? (uint32_t)rub_sim_between(sim, 1, 2 * scenario->n_steps)
                                : scenario->n_steps;
        actor->stage = scenario->pieces && actor->kind == SIM_TRAINER ? PIECE : PULL;
        return true;
    case PIECE:
        actor->stage = DEALT;
        return begun(
            sim, actor,
            rub_client_piece(actor->core, actor->epoch, sim->n_examples, 24, &actor->waiting, &err),
            &err);
    case DEALT:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        take_piece(sim, actor);
        return true;
    case PULL:
        if (actor->kind == SIM_READER && trainers_ended(sim)) {
            actor->stage = ENDED;
            return true;
        }
        actor->stage = PULLED;
        if (actor->prefetching) {
            float *swap = actor->raw[0];
            actor->raw[0] = actor->raw[1];
            actor->raw[1] = swap;
            actor->is_own[1] = actor->is_own[0];
            actor->is_own[0] = false;
            actor->pull = actor->prefetch;
            actor->pull_stamp = actor->prefetch_stamp;
            actor->pull_id = actor->prefetch_id;
            actor->prefetching = false;
            return true;
        }
        actor->pull_stamp = actor->kind == SIM_READER ? UINT64_MAX : clock_of(actor);
        actor->pull_id = ++actor->asks;
        say(sim, actor, RUB_HISTORY_ASK, actor->pull_id, actor->pull_stamp);
        rub_sim_keeper_asks(sim, actor);
        return ask_ledger(sim, actor, 0, &actor->pull);
    case PULLED:
        if (rub_sim_gives_up(sim, actor)) {
            actor->stage = actor->pull ? PULLED : PULL;
            rub_sim_actor_compute(sim, actor, 20000);
            return false;
        }
        if (!ended(sim, actor, &actor->pull)) {
            return false;
        }
        read_ledger(sim, actor->raw[0], values);
        rub_sim_take_back(sim, actor, 0);
        if (rub_sim_keeper_tells(sim, actor)) {
            rub_sim_tell_read(sim, actor, values);
        }
        if (actor->kind == SIM_READER) {
            actor->stage = PULL;
            rub_sim_actor_compute(sim, actor, 20000);
            return false;
        }
        if (scenario->prefetch && actor->steps_left > 1 && rub_sim_chance(sim, 80)) {
            actor->prefetching = true;
            actor->prefetch_stamp = clock_of(actor) + 1;
            actor->prefetch_id = ++actor->asks;
            say(sim, actor, RUB_HISTORY_ASK, actor->prefetch_id, actor->prefetch_stamp);
            if (!ask_ledger(sim, actor, 1, &actor->prefetch)) {
                return false;
            }
        }
        if (rub_sim_embers_revise(sim)) {
            actor->stage = GIVEN;
            return begun(sim, actor, rub_sim_embers_pull(sim, actor, &err), &err);
        }
        compute(sim, actor);
        return false;
    case GIVEN:
        if (ended(sim, actor, &actor->waiting)) {
            compute(sim, actor);
        }
        return false;
    case COMPUTED:
        actor->stage = PUSH;
        if (actor->pushes_left == 0) {
            const uint64_t examples = actor->piece_left < 8 ? actor->piece_left : 8;
            rub_sim_restore_trained(sim, actor, clock_of(actor), examples);
            actor->cursor.done += examples;
            actor->piece_left -= examples;
            actor->stage = stops_in_a_period(sim, actor) ? STEPPED : CLOCK;
        }
        return true;
    case PUSH:
        if (scenario->embers && !begun(sim, actor, rub_sim_embers_push(sim, actor, &err), &err)) {
            return false;
        }
        if (!push_one(sim, actor)) {
            return false;
        }
        actor->pushes_left--;
        actor->stage = COMPUTED;
        return true;
    case CLOCK:
        if (!begun(sim, actor,
                   rub_client_clock(actor->core, scenario->pieces ? &actor->cursor : NULL,
                                    scenario->pieces ? sizeof(actor->cursor) : 0, &err),
                   &err)) {
            return false;
        }
        actor->stage =
            scenario->pauses && !actor->prefetching && rub_sim_chance(sim, 10) ? PAUSE : STEPPED;
        return true;
    case PAUSE:
        actor->stage = PAUSED;
        return begun(sim, actor, rub_client_pause(actor->core, &actor->waiting, &err), &err);
    case PAUSED:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->stage = RESUME;
        rub_sim_actor_compute(sim, actor, 10 * actor->compute_us);
        return false;
    case RESUME:
        if (actor->waiting == 0 &&
            !begun(sim, actor, rub_client_resume(actor->core, &actor->waiting, &err), &err)) {
            return false;
        }
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->stage = STEPPED;
        return true;
    case STEPPED:
        actor->steps_left--;
        actor->stage = actor->steps_left > 0       ? PULL
                       : actor->kind == SIM_JOINER ? LEAVE
                       : scenario->pieces          ? PIECE
                                                   : BARRIER;
        return true;
    case BARRIER: {
        const double sums[2] = {1, actor->actor};
        const rub_score_t score = {.evaluation = actor->epoch + 1,
                                   .value = (double)((sim->options.seed + 3 * actor->epoch) % 5),
                                   .keep = true};
        const bool judges = sim->options.seed % 3 == 0; /* else the barrier is a plain one */
        actor->stage = MET;
        return begun(
            sim, actor,
            rub_client_judge(actor->core, judges ? &score : NULL, sums, 2, &actor->waiting, &err),
            &err);
    }
    case MET: {
        double sums[16];
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        if (rub_client_barrier_sums(actor->core, sums) != 2 ||
            (sums[0] < scenario->n_workers && !sim->disturbed)) {
            rub_sim_broken(sim, "actor %u left a barrier of %g trainers, expected %u", actor->actor,
                           sums[0], scenario->n_workers);
        }
        actor->epoch++;
        actor->stage = EPOCH;
        return true;
    }
    case LAST_PULL:
        actor->pull_stamp = clock_of(actor);
        actor->last_stir = stir_of(sim);
        actor->stage = LAST_PULLED;
        return ask_ledger(sim, actor, 0, &actor->pull);
    case LAST_PULLED:
        if (!ended(sim, actor, &actor->pull)) {
            return false;
        }
        read_ledger(sim, actor->raw[0], values);
        rub_sim_take_back(sim, actor, 0);
        if (stir_of(sim) == actor->last_stir) { /* else it is from before the end */
            rub_sim_tell_session(
                sim, actor, (rub_history_event_t){.kind = RUB_HISTORY_FINAL, .values = values});
        }
        actor->told_to_leave = false; /* too late: its work is done */
        actor->stage = LEAVE;
        return true;
    case LEAVE:
        actor->stage = LEFT;
        actor->leaving_us = sim->now_us;
        return begun(
            sim, actor,
            rub_client_leave(actor->core, !actor->told_to_leave, 0, "", &actor->waiting, &err),
            &err);
    case LEFT:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        if (actor->told_to_leave) {
            rub_sim_actor_gone(sim, actor);
            return false;
        }
        actor->left_well = true;
        actor->stage = ENDED;
        return true;
    case ENDED:
        actor->ended = true;
        return false;
    }
    return false;
}

/* SIGTERM is looked at between two steps, as a training loop does. */
static bool leaves_now(rub_sim_actor_t *actor)
{
    if (!actor->told_to_leave || (actor->stage != PULL && actor->stage != COMPUTED)) {
        return false;
    }
    actor->stage = LEAVE;
    return true;
}

void rub_sim_actor_run(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const rub_sim_process_t *process = &actor->process;
    const unsigned before = actor->stage;
    bool moved = false;
    if (!process->paused) {
        rub_sim_lender_look(actor);
    }
    while (actor->core && !actor->busy && !actor->ended && !process->paused &&
           sim->violation[0] == '\0' && (leaves_now(actor) || advance(sim, actor))) {
        moved = true;
    }
    if (moved || actor->stage != before) {
        actor->stands_ms = rub_sim_local_ms(sim, process);
    }
    if (actor->core && actor->stage == ENDED) {
        rub_stats_t stats;
        rub_client_stats(actor->core, &stats);
        sim->max_gap = stats.max_gap > sim->max_gap ? stats.max_gap : sim->max_gap;
        if (actor->kind != SIM_READER && stats.max_gap > sim->scenario.staleness) {
            rub_sim_broken(sim, "actor %u saw a gap of %llu, the bound is %llu", actor->actor,
                           (unsigned long long)stats.max_gap,
                           (unsigned long long)sim->scenario.staleness);
        }
        actor->ended = true;
        /* The core is freed by a later event: this call may stand inside one of its own. */
    }
}
