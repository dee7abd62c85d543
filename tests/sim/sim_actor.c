/* Actors: what users write, as programs that never block. A trainer pulls the whole ledger,
 * computes, pushes +1 to its own rows, ends its period, meets the others in a barrier at each
 * epoch's end, reads the ledger a last time, leaves. A joiner does a few periods and leaves; a
 * reader only looks.
 *
 * Each actor steps its program after whatever its client core has heard; an operation that is under
 * way leaves the program where it stands. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

enum stage {
    JOIN,
    TABLE,
    EPOCH,
    PIECE,
    DEALT,
    PULL,
    PULLED,
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

static uint32_t ledger_rows(const rub_sim_t *sim)
{
    return sim->n_actors * SIM_KEYS;
}

/* ---- effects ---- */

typedef struct rub_sim_seat {
    rub_sim_t *sim;
    rub_sim_actor_t *actor;
} rub_sim_seat_t;

static void on_connect(void *context, uint32_t shard, const char *address)
{
    const rub_sim_seat_t *seat = context;
    rub_sim_channel_t *channel = &seat->actor->data[shard];
    snprintf(channel->address, sizeof(channel->address), "%s", address);
    rub_sim_connect(seat->sim, channel);
}

static void on_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    const rub_sim_seat_t *seat = context;
    rub_sim_send_packet(seat->sim, &seat->actor->data[shard], true, packet);
}

static void on_control(void *context, const rub_control_t *message)
{
    const rub_sim_seat_t *seat = context;
    rub_sim_send_control(seat->sim, &seat->actor->control, true, message);
}

static void on_notice(void *context, const char *sentence)
{
    const rub_sim_seat_t *seat = context;
    rub_sim_trace(seat->sim, "actor %u: %s", seat->actor->actor, sentence);
}

/* ---- timers ---- */

static void tick(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (!actor->core || actor->life != life) {
        return;
    }
    rub_client_tick(actor->core, rub_sim_ms(sim->now_us));
    rub_sim_actor_run(sim, actor);
    rub_sim_after(sim, 50000, tick, actor, life);
}

static void say_alive(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_info_t info = {0};
    rub_control_t message = {.type = RUB_MSG_LEASE};
    rub_client_info(actor->core, &info);
    message.lease.job = info.job;
    message.lease.rank = info.rank;
    message.lease.epoch = info.epoch;
    message.lease.clock = info.clock;
    message.lease.stuck_at = rub_client_stuck_at(actor->core, rub_sim_ms(sim->now_us));
    rub_sim_send_control(sim, &actor->control, true, &message);
}

/* What the lease thread of a real session does. */
static void lease(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (!actor->core || actor->life != life) {
        return;
    }
    if (actor->stage > JOIN && actor->kind != SIM_READER) {
        say_alive(sim, actor);
    }
    rub_sim_after(sim, 1000000, lease, actor, life);
}

static void wake(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (actor->life != life) {
        return;
    }
    actor->busy = false;
    rub_sim_actor_run(sim, actor);
}

static void compute(rub_sim_t *sim, rub_sim_actor_t *actor, uint64_t mean_us)
{
    actor->busy = true;
    rub_sim_after(sim, rub_sim_between(sim, mean_us / 4, mean_us * 2), wake, actor, actor->life);
}

/* A joiner comes to a job that has all its trainers: before, it would rightly get one of their
 * places. */
static bool too_early(const rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    for (uint32_t a = 0; actor->kind == SIM_JOINER && a < sim->scenario.n_workers; a++) {
        if (sim->actors[a].stage == JOIN) {
            return true;
        }
    }
    return false;
}

void rub_sim_actor_live(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_client_config_t config = {
        .role = actor->kind == SIM_READER ? RUB_READER : RUB_TRAINER,
        /* Trainers are named after their ranks in the laws. */
        .rank = actor->kind == SIM_TRAINER ? (int32_t)actor->actor : RUB_ANY_RANK,
        .ring_limit_bytes = rub_sim_chance(sim, 50) ? 1024 : 1u << 20,
    };
    actor->life++;
    actor->stage = JOIN;
    rub_put_u64(config.nonce, sim->seed);
    rub_put_u64(config.nonce + 8, actor->actor + ((uint64_t)actor->life << 32));
    snprintf(config.who, sizeof(config.who), "actor:%u.%u", actor->actor, actor->life);
    const rub_client_effects_t effects = {.context = actor->seat,
                                          .connect = on_connect,
                                          .send = on_send,
                                          .control = on_control,
                                          .notice = on_notice};
    actor->core = rub_client_new(&config, &effects);
    RUB_ASSERT(actor->core);
    rub_sim_connect(sim, &actor->control);
    tick(sim, actor, actor->life);
    lease(sim, actor, actor->life);
}

bool rub_sim_actor_is_through(const rub_sim_actor_t *actor)
{
    return actor->stage >= LAST_PULL;
}

static void start(rub_sim_t *sim, void *subject, uint64_t unused)
{
    rub_sim_actor_t *actor = subject;
    if (too_early(sim, actor)) {
        rub_sim_after(sim, 50000, start, actor, unused);
        return;
    }
    rub_sim_seat_t *seat = rub_alloc(sizeof(*seat));
    RUB_ASSERT(seat);
    *seat = (rub_sim_seat_t){sim, actor};
    actor->seat = seat;
    rub_sim_actor_live(sim, actor);
}

void rub_sim_actor_start(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const size_t elements =
        sim->scenario.dense ? (size_t)sim->n_actors * RUB_BLOCK : ledger_rows(sim);
    for (int i = 0; i < 2; i++) {
        actor->raw[i] = rub_calloc(elements, sizeof(float));
        RUB_ASSERT(actor->raw[i]);
    }
    actor->push_stamps = rub_calloc(SIM_PUSHES, sizeof(*actor->push_stamps));
    actor->handles = rub_calloc(SIM_PUSHES, sizeof(*actor->handles));
    RUB_ASSERT(actor->push_stamps);
    RUB_ASSERT(actor->handles);
    for (uint32_t i = 0; i < ledger_rows(sim); i++) {
        actor->keys[i] = i;
    }
    actor->control.kind = SIM_CONTROL_OF_ACTOR;
    actor->control.actor = actor->actor;
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        actor->data[s].kind = SIM_DATA;
        actor->data[s].actor = actor->actor;
        actor->data[s].shard = s;
    }
    rub_sim_after(sim, actor->start_us, start, actor, 0);
}

/* ---- the program ---- */

/* One operation ended? Handles are forgotten by the core when they have. */
static bool ended(rub_sim_t *sim, rub_sim_actor_t *actor, rub_handle_t *handle)
{
    rub_error_t err = {0};
    const int rc = rub_client_poll(actor->core, *handle, &err);
    if (rc == RUB_CLIENT_WAIT) {
        return false;
    }
    *handle = 0;
    if (rc == RUB_EHELD && actor->life > 1) {
        rub_sim_actor_again(sim, actor);
        return false;
    }
    if (rc < 0) {
        /* A successor may find that the others have done it all. */
        const bool too_late = actor->life > 1 && actor->stage == JOIN && rc == RUB_EREFUSED;
        if (actor->kind == SIM_TRAINER && !too_late) {
            rub_sim_broken(sim, "actor %u fails in stage %u: %s", actor->actor, actor->stage,
                           err.message);
        } else {
            actor->stage = ENDED; /* a late joiner or reader may find the job over */
        }
        return false;
    }
    return true;
}

static bool begun(rub_sim_t *sim, rub_sim_actor_t *actor, int rc, const rub_error_t *err)
{
    if (rc < 0 && actor->kind == SIM_READER) {
        actor->stage = ENDED; /* the job is over without it */
        return false;
    }
    if (rc < 0) {
        rub_sim_broken(sim, "actor %u may not begin stage %u: %s", actor->actor, actor->stage,
                       err->message);
    }
    return rc == 0;
}

static bool ask_ledger(rub_sim_t *sim, rub_sim_actor_t *actor, uint32_t ahead, rub_handle_t *handle)
{
    rub_error_t err = {0};
    rub_client_pull_t pull = {
        .table = actor->table, .ahead = ahead, .values = actor->raw[ahead ? 1 : 0]};
    if (sim->scenario.dense) {
        pull.n = (size_t)sim->n_actors * RUB_BLOCK;
    } else {
        pull.keys = actor->keys;
        pull.n = ledger_rows(sim);
    }
    return begun(sim, actor, rub_client_pull(actor->core, &pull, handle, &err), &err);
}

/* The ledger as [actor][key], wherever it is stored. */
static void read_ledger(rub_sim_t *sim, const float *raw, float *values)
{
    static const uint32_t sample[SIM_KEYS] = {0, 1, RUB_BLOCK / 2, RUB_BLOCK - 1};
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        for (uint32_t k = 0; k < SIM_KEYS; k++) {
            values[a * SIM_KEYS + k] =
                sim->scenario.dense ? raw[a * RUB_BLOCK + sample[k]] : raw[a * SIM_KEYS + k];
        }
    }
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
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        ones[i] = 1;
    }
    rub_error_t err = {0};
    rub_client_push_t push = {.table = actor->table, .values = ones};
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
    actor->push_stamps[actor->n_pushes++] = clock_of(actor);
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
    schema.optimizer = RUB_ADD;
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

static void take_piece(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const rub_piece_t *piece = rub_client_piece_result(actor->core);
    if (piece->kind == RUB_PIECE_END) {
        actor->stage = BARRIER;
        return;
    }
    for (uint64_t i = piece->first; i < piece->first + piece->count; i++) {
        RUB_ASSERT(i < sim->n_examples);
        if (++sim->dealt[actor->epoch * sim->n_examples + i] > 1 &&
            sim->scenario.n_trainer_crashes == 0) {
            rub_sim_broken(sim, "example %llu of data epoch %u is dealt twice",
                           (unsigned long long)i, actor->epoch);
        }
    }
    actor->cursor = (rub_cursor_t){actor->epoch, piece->number, 0};
    actor->piece_left = piece->count;
    actor->steps_left = (uint32_t)((piece->count + 7) / 8);
    actor->stage = PULL;
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
                   rub_client_join(actor->core, rub_sim_ms(sim->now_us), &actor->waiting, &err),
                   &err)) {
            return false;
        }
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->stage = TABLE;
        return begun(sim, actor, open_ledger(sim, actor, &err), &err);
    case TABLE:
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        actor->table = 1; /* the job's only table */
        actor->stage = EPOCH;
        return true;
    case EPOCH:
        if (actor->kind == SIM_TRAINER && actor->epoch == scenario->n_epochs) {
            actor->stage = LAST_PULL;
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
            actor->pull = actor->prefetch;
            actor->pull_stamp = actor->prefetch_stamp;
            actor->pull_own = actor->prefetch_own;
            actor->prefetching = false;
            return true;
        }
        actor->pull_stamp = actor->kind == SIM_READER ? UINT64_MAX : clock_of(actor);
        actor->pull_own = actor->n_pushes;
        return ask_ledger(sim, actor, 0, &actor->pull);
    case PULLED:
        if (!ended(sim, actor, &actor->pull)) {
            return false;
        }
        read_ledger(sim, actor->raw[0], values);
        rub_sim_check_read(sim, actor, values, actor->pull_stamp, actor->pull_own);
        if (actor->kind == SIM_READER) {
            actor->stage = PULL;
            compute(sim, actor, 20000);
            return false;
        }
        if (scenario->prefetch && actor->steps_left > 1 && rub_sim_chance(sim, 80)) {
            actor->prefetching = true;
            actor->prefetch_stamp = clock_of(actor) + 1;
            actor->prefetch_own = actor->n_pushes;
            if (!ask_ledger(sim, actor, 1, &actor->prefetch)) {
                return false;
            }
        }
        actor->pushes_left = (uint32_t)rub_sim_between(sim, 0, 2);
        actor->stage = COMPUTED;
        compute(sim, actor, actor->compute_us);
        return false;
    case COMPUTED:
        actor->stage = PUSH;
        if (actor->pushes_left == 0) {
            const uint64_t examples = actor->piece_left < 8 ? actor->piece_left : 8;
            actor->cursor.done += examples;
            actor->piece_left -= examples;
            actor->stage = CLOCK;
        }
        return true;
    case PUSH:
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
        compute(sim, actor, 10 * actor->compute_us);
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
        actor->stage = MET;
        return begun(sim, actor, rub_client_barrier(actor->core, sums, 2, &actor->waiting, &err),
                     &err);
    }
    case MET: {
        double sums[16];
        if (!ended(sim, actor, &actor->waiting)) {
            return false;
        }
        if (rub_client_barrier_sums(actor->core, sums) != 2 ||
            (sums[0] < scenario->n_workers && scenario->n_trainer_crashes == 0)) {
            rub_sim_broken(sim, "actor %u left a barrier of %g trainers, expected %u", actor->actor,
                           sums[0], scenario->n_workers);
        }
        actor->epoch++;
        actor->stage = EPOCH;
        return true;
    }
    case LAST_PULL:
        actor->pull_stamp = clock_of(actor);
        actor->pull_own = actor->n_pushes;
        actor->stage = LAST_PULLED;
        return ask_ledger(sim, actor, 0, &actor->pull);
    case LAST_PULLED:
        if (!ended(sim, actor, &actor->pull)) {
            return false;
        }
        read_ledger(sim, actor->raw[0], values);
        rub_sim_check_final(sim, actor, values);
        actor->stage = LEAVE;
        return true;
    case LEAVE:
        actor->stage = LEFT;
        return begun(sim, actor, rub_client_leave(actor->core, true, 0, "", &actor->waiting, &err),
                     &err);
    case LEFT:
        if (!ended(sim, actor, &actor->waiting)) {
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

void rub_sim_actor_run(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    while (actor->core && !actor->busy && !actor->ended && sim->violation[0] == '\0' &&
           advance(sim, actor)) {
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

void rub_sim_actor_fini(rub_sim_actor_t *actor)
{
    rub_client_destroy(&actor->core);
    rub_free(actor->seat);
    rub_free(actor->raw[0]);
    rub_free(actor->raw[1]);
    rub_free(actor->push_stamps);
    rub_free(actor->handles);
}
