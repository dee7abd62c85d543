/* An actor's process: a client core, its sockets, its timers, and the lease thread beside it. The
 * program that it runs is in sim_program.c.
 *
 * Law: nobody waits in silence. A program that has stood at one place for five seconds of its own
 * time has been told for whom, by a notice, and can say so itself. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/wire/key_pack.h"
#include "tests/sim/sim.h"

#include <stdio.h>

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

/* The keys of a push, which stand packed beside some codecs' values, or are said by a digest. */
static void plain_keys(rub_packet_t *packet, uint8_t keys[8 * SIM_KEYS])
{
    rub_packet_t *full =
        rub_packet_is_short(packet) ? rub_packet_in_full(packet) : rub_packet_ref(packet);
    RUB_ASSERT(full);
    const rub_frame_t frame = rub_packet_frame(full);
    if ((frame.header.flags & RUB_FLAG_PACKED) != 0) {
        RUB_ASSERT(frame.header.n_keys <= SIM_KEYS);
        RUB_ASSERT(rub_keys_unpack(frame.keys, frame.keys_bytes, frame.header.n_keys, keys) == 0);
    } else {
        RUB_ASSERT(frame.keys_bytes <= 8 * SIM_KEYS);
        memcpy(keys, frame.keys, frame.keys_bytes);
    }
    rub_packet_unref(&full);
}

/* A value that is no number, put where the client's own check is past: in its ring, so that the
 * push is refused however often it is sent. */
static void poison(rub_sim_t *sim, rub_sim_actor_t *actor, rub_packet_t *packet)
{
    const rub_header_t *header = rub_packet_header(packet);
    if (header->type != RUB_MSG_PUSH || header->table != actor->table || !sim->scenario.poison ||
        !rub_sim_chance(sim, 3)) {
        return;
    }
    /* Whatever the codec: the first value, or the scale that it is a multiple of. */
    const uint8_t nan[4] = {0x00, 0x00, 0xc0, 0x7f};
    const size_t few = header->value_bytes < sizeof(nan) ? header->value_bytes : sizeof(nan);
    memcpy(rub_packet_values(packet), nan + sizeof(nan) - few, few);
    sim->counts[SIM_N_POISONED]++;
    uint8_t keys[8 * SIM_KEYS];
    plain_keys(packet, keys);
    for (uint32_t i = 0; i < (sim->scenario.dense ? SIM_KEYS : header->n_keys); i++) {
        const uint64_t key = sim->scenario.dense ? i : rub_get_u64(keys + 8 * i);
        actor->poisoned[key % SIM_KEYS]++;
        rub_sim_tell(sim, (rub_history_event_t){.kind = RUB_HISTORY_VERDICT,
                                                .writer = actor->actor,
                                                .row = (uint32_t)(key % SIM_KEYS),
                                                .number = 1});
    }
}

static void on_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    const rub_sim_seat_t *seat = context;
    poison(seat->sim, seat->actor, packet);
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
    seat->actor->named_ms = rub_sim_local_ms(seat->sim, &seat->actor->process);
    rub_sim_trace(seat->sim, "actor %u: %s", seat->actor->actor, sentence);
}

/* ---- timers ---- */

static bool dead_or_asleep(rub_sim_t *sim, rub_sim_actor_t *actor, rub_sim_fire_t fire,
                           uint64_t life)
{
    return !actor->core || actor->life != life ||
           rub_sim_asleep(sim, &actor->process, fire, actor, life);
}

static void check_named(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    const uint64_t now_ms = rub_sim_local_ms(sim, &actor->process);
    if (actor->busy || actor->ended || now_ms - actor->ticked_ms > 1000) {
        actor->excused_ms = now_ms; /* it computes, or it was stopped: that is no wait */
    }
    actor->ticked_ms = now_ms;
    const uint64_t since_ms =
        actor->stands_ms > actor->excused_ms ? actor->stands_ms : actor->excused_ms;
    /* Who has been missing for long is named every ten seconds, whoever comes to wait meanwhile. */
    const bool named = actor->named_ms > actor->stands_ms ||
                       (actor->named_ms > 0 && now_ms - actor->named_ms < 10500);
    if (now_ms - since_ms < 5000 || named) {
        return;
    }
    char whom[300] = "";
    const rub_handle_t handle = actor->waiting ? actor->waiting : actor->pull;
    rub_client_waits_for(actor->core, handle, now_ms, whom, sizeof(whom));
    rub_sim_broken(sim,
                   "diagnosis: actor %u has stood in stage %u for %.1f s and nobody was named "
                   "(it waits for %s)",
                   actor->actor, actor->stage, (double)(now_ms - actor->stands_ms) / 1000.0, whom);
}

static void tick(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (dead_or_asleep(sim, actor, tick, life)) {
        return;
    }
    rub_client_tick(actor->core, rub_sim_local_ms(sim, &actor->process));
    rub_sim_actor_run(sim, actor);
    check_named(sim, actor);
    rub_sim_check_parted(sim, actor);
    rub_sim_timer(sim, &actor->process, 50000, tick, actor, life);
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
    if (!actor->busy) { /* only a wait can be stuck */
        message.lease.stuck_at =
            rub_client_stuck_at(actor->core, rub_sim_local_ms(sim, &actor->process));
    }
    rub_sim_send_control(sim, &actor->control, true, &message);
}

/* What the lease thread of a real session does. */
static void lease(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (dead_or_asleep(sim, actor, lease, life)) {
        return;
    }
    rub_info_t info = {0};
    rub_client_info(actor->core, &info);
    if (info.epoch > 0 && !actor->ended) { /* from JOINED on */
        say_alive(sim, actor);
    }
    rub_sim_timer(sim, &actor->process, 1000000, lease, actor, life);
}

static void wake(rub_sim_t *sim, void *subject, uint64_t life)
{
    rub_sim_actor_t *actor = subject;
    if (dead_or_asleep(sim, actor, wake, life)) {
        return;
    }
    actor->busy = false;
    rub_sim_actor_run(sim, actor);
}

void rub_sim_actor_compute(rub_sim_t *sim, rub_sim_actor_t *actor, uint64_t mean_us)
{
    actor->busy = true;
    rub_sim_timer(sim, &actor->process, rub_sim_between(sim, mean_us / 4, mean_us * 2), wake, actor,
                  actor->life);
}

/* A joiner comes to a job that has all its trainers: before, it would rightly get one of their
 * places. */
static bool too_early(const rub_sim_t *sim, const rub_sim_actor_t *actor)
{
    for (uint32_t a = 0; actor->kind == SIM_JOINER && a < sim->scenario.n_workers; a++) {
        if (sim->actors[a].stage <= SIM_JOINING) {
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
        .retain = sim->scenario.retain_synced ? RUB_RETAIN_SYNCED : 0,
        .ring_limit_bytes = rub_sim_chance(sim, 50) ? 1024 : 1u << 20,
        .list_least_keys = 1,
        .grant_least_bytes = 1,
        .residual_limit_bytes = 1 << 20,
    };
    actor->life++;
    rub_sim_take_back(sim, actor, 0); /* whatever its last life had asked for */
    rub_sim_take_back(sim, actor, 1);
    actor->hesitated = 0;
    actor->stage = 0;
    actor->rank_epoch = 0;
    actor->ticked_ms = actor->stands_ms = rub_sim_local_ms(sim, &actor->process);
    rub_put_u64(config.nonce, sim->options.seed);
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
        sim->scenario.dense ? (size_t)sim->n_actors * RUB_BLOCK : rub_sim_ledger_rows(sim);
    for (int i = 0; i < 2; i++) {
        actor->raw[i] = rub_calloc(elements, sizeof(float));
        RUB_ASSERT(actor->raw[i]);
    }
    actor->pushes = rub_calloc(SIM_PUSHES, sizeof(*actor->pushes));
    actor->handles = rub_calloc(SIM_PUSHES, sizeof(*actor->handles));
    RUB_ASSERT(actor->pushes);
    RUB_ASSERT(actor->handles);
    for (uint32_t i = 0; i < rub_sim_ledger_rows(sim); i++) {
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

void rub_sim_actor_fini(rub_sim_t *sim, rub_sim_actor_t *actor)
{
    rub_client_destroy(&actor->core);
    rub_sim_process_fini(sim, &actor->process);
    rub_free(actor->seat);
    rub_free(actor->raw[0]);
    rub_free(actor->raw[1]);
    rub_free(actor->pushes);
    rub_free(actor->handles);
    rub_sim_lender_fini(actor);
}
