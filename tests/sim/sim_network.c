/* The network: TCP as ZeroMQ uses it.
 *
 * A channel is one DEALER's way to one ROUTER. While its connection stands it keeps order and loses
 * nothing, though either direction may be held up for a while. When it is cut, the near end comes
 * back after 50 to 250 ms under a new number, and neither end's program is told. What the client
 * had sent by then may still reach the server, later, under the old number, between frames of the
 * new one: ghosts. How much of it is a prefix, as a prefix is what had left the host. What the
 * server had sent is lost with the socket. Heartbeats (1 s, 3 s) end a connection that is held up,
 * or whose other end is stopped or without power, after three to four seconds.
 *
 * What is sent while a channel is down is dropped (IMMEDIATE=1, non-blocking sends). */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#define HEARTBEAT_US 3000000u

typedef struct flight {
    rub_sim_channel_t *channel;
    uint64_t connection;
    bool to_server;
    bool ghost;   /* of a connection that is over; on its own way now */
    bool arrived; /* lies in the socket of a stopped process */
    rub_packet_t *packet;
    uint8_t *control;
    size_t control_bytes;
} flight_t;

/* ---- ends ---- */

static rub_sim_process_t *near_end(rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    return channel->kind == SIM_CONTROL_OF_SHARD ? &sim->shards[channel->shard].process
                                                 : &sim->actors[channel->actor].process;
}

static rub_sim_process_t *far_end(rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    return channel->kind == SIM_DATA ? &sim->shards[channel->shard].process
                                     : &sim->scheduler.process;
}

static bool far_end_lives(const rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    if (channel->kind != SIM_DATA) {
        return sim->scheduler.core != NULL;
    }
    const rub_sim_shard_host_t *host = &sim->shards[channel->shard];
    return host->core != NULL && strcmp(host->address, channel->address) == 0;
}

static bool held_up(const rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    return channel->blocked_until_us[0] > sim->now_us || channel->blocked_until_us[1] > sim->now_us;
}

static void note_trouble(rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    if (channel->kind != SIM_CONTROL_OF_SHARD) {
        sim->actors[channel->actor].impaired_us = sim->now_us;
    }
}

/* ---- connections ---- */

static void try_connect(rub_sim_t *sim, void *subject, uint64_t connection)
{
    rub_sim_channel_t *channel = subject;
    if (!channel->wanted || channel->up || channel->connection != connection ||
        rub_sim_asleep(sim, near_end(sim, channel), try_connect, channel, connection)) {
        return;
    }
    if (!far_end_lives(sim, channel) || far_end(sim, channel)->paused || held_up(sim, channel)) {
        note_trouble(sim, channel);
        rub_sim_after(sim, rub_sim_between(sim, 50000, 250000), try_connect, channel, connection);
        return;
    }
    channel->up = true;
    channel->dead = false;
    channel->connection = ++sim->next_connection;
}

static uint64_t slowness(const rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    return channel->slow_until_us > sim->now_us ? 30 : 1;
}

/* Some of what was on its way to the server still comes: a prefix, late. */
static void leave_ghosts(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    const bool some = rub_sim_chance(sim, 70);
    const uint64_t held_us = channel->blocked_until_us[1];
    const uint64_t reach_us = (held_us > sim->now_us ? held_us - sim->now_us : 0) +
                              2 * sim->scenario.latency_us * slowness(sim, channel);
    channel->old[channel->n_old++ % SIM_OLD] = (rub_sim_old_t){
        .connection = channel->connection,
        .until_us = some ? sim->now_us + rub_sim_between(sim, 0, reach_us) : 0,
        .delay_us = rub_sim_chance(sim, 50) ? rub_sim_between(sim, 0, 400000)
                                            : rub_sim_between(sim, 0, 4000000),
    };
}

static void down(rub_sim_t *sim, rub_sim_channel_t *channel, bool ghosts)
{
    if (!channel->up) {
        return;
    }
    channel->up = false;
    note_trouble(sim, channel);
    if (ghosts && !channel->dead) {
        leave_ghosts(sim, channel);
    }
    rub_sim_after(sim, rub_sim_between(sim, 50000, 250000), try_connect, channel,
                  channel->connection);
}

void rub_sim_cut(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    sim->counts[SIM_N_CUTS] += channel->up;
    down(sim, channel, true);
}

void rub_sim_reset(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    down(sim, channel, false);
    memset(channel->old, 0, sizeof(channel->old)); /* its sockets went with the server */
}

void rub_sim_connect(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    if (channel->up) {
        leave_ghosts(sim, channel);
    }
    channel->wanted = true;
    channel->up = false;
    channel->connection = ++sim->next_connection;
    rub_sim_after(sim, rub_sim_between(sim, 100, 3000), try_connect, channel, channel->connection);
}

static void heartbeat(rub_sim_t *sim, void *subject, uint64_t connection)
{
    rub_sim_channel_t *channel = subject;
    if (!channel->up || channel->connection != connection) {
        return;
    }
    if (channel->dead) {
        rub_sim_reset(sim, channel);
    } else if (held_up(sim, channel) || far_end(sim, channel)->paused ||
               near_end(sim, channel)->paused) {
        rub_sim_trace(sim, "a silent connection is given up");
        rub_sim_cut(sim, channel);
    }
}

void rub_sim_watch(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    if (channel->up) {
        rub_sim_after(sim, HEARTBEAT_US + rub_sim_between(sim, 0, 1000000), heartbeat, channel,
                      channel->connection);
    }
}

void rub_sim_hold_up(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                     uint64_t duration_us)
{
    uint64_t *until_us = &channel->blocked_until_us[to_server];
    const uint64_t end_us = sim->now_us + duration_us;
    *until_us = end_us > *until_us ? end_us : *until_us;
    note_trouble(sim, channel);
    rub_sim_watch(sim, channel);
}

void rub_sim_vanish(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    if (channel->up) {
        channel->dead = true;
        sim->counts[SIM_N_HALF_OPEN]++;
        rub_sim_watch(sim, channel);
        memset(channel->old, 0, sizeof(channel->old));
    }
}

size_t rub_sim_channels(rub_sim_t *sim, rub_sim_channel_t *out[SIM_CHANNELS])
{
    size_t n = 0;
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        out[n++] = &sim->actors[a].control;
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            out[n++] = &sim->actors[a].data[s];
        }
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        out[n++] = &sim->shard_control[s];
    }
    return n;
}

rub_sim_channel_t *rub_sim_channel_of(rub_sim_t *sim, uint64_t connection)
{
    rub_sim_channel_t *channels[SIM_CHANNELS];
    const size_t n = rub_sim_channels(sim, channels);
    for (size_t i = 0; i < n; i++) {
        if (channels[i]->up && channels[i]->connection == connection) {
            return channels[i];
        }
    }
    return NULL;
}

/* ---- flights ---- */

static void drop(flight_t *flight)
{
    rub_packet_unref(&flight->packet);
    rub_free(flight->control);
    rub_free(flight);
}

static void to_actor(rub_sim_t *sim, rub_sim_actor_t *actor, const flight_t *flight)
{
    const uint64_t now_ms = rub_sim_local_ms(sim, &actor->process);
    if (!actor->core) {
        return;
    }
    if (flight->packet) {
        const rub_frame_t frame = rub_sim_read(sim, flight->packet);
        sim->counts[SIM_N_GRANTED] += (frame.header.flags & RUB_FLAG_GRANT) != 0;
        rub_client_receive(actor->core, flight->channel->shard, &frame, now_ms);
    } else {
        rub_arena_t arena;
        rub_control_t message;
        rub_arena_init(&arena);
        RUB_ASSERT(rub_control_decode(flight->control, flight->control_bytes, &arena, &message,
                                      NULL) == 0);
        rub_client_control(actor->core, &message, now_ms);
        rub_arena_fini(&arena);
    }
    rub_sim_actor_run(sim, actor);
}

static void hear(rub_sim_t *sim, rub_sim_shard_host_t *host, uint32_t actor)
{
    if (sim->now_us - host->heard_us[actor] > HEARTBEAT_US / 2) {
        host->hearing_us[actor] = sim->now_us;
    }
    host->heard_us[actor] = sim->now_us;
}

static void hand_over(rub_sim_t *sim, flight_t *flight)
{
    rub_sim_channel_t *channel = flight->channel;
    if (flight->to_server && channel->kind != SIM_DATA) {
        rub_sim_scheduler_mail(sim, flight->connection, flight->control, flight->control_bytes);
    } else if (flight->to_server || channel->kind == SIM_CONTROL_OF_SHARD) {
        if (channel->kind == SIM_DATA && channel->connection == flight->connection) {
            hear(sim, &sim->shards[channel->shard], channel->actor);
        }
        if (flight->packet) {
            rub_sim_lender_check(sim, flight->packet);
        }
        rub_sim_shard_mail(sim, &sim->shards[channel->shard],
                           (rub_sim_mail_t){.connection = flight->connection,
                                            .packet = flight->packet,
                                            .control = flight->control,
                                            .control_bytes = flight->control_bytes});
        flight->packet = NULL;
        flight->control = NULL;
    } else {
        to_actor(sim, &sim->actors[channel->actor], flight);
    }
}

static void deliver(rub_sim_t *sim, void *subject, uint64_t unused);

/* Its connection is over: does it come later under the old number? */
static bool haunts(rub_sim_t *sim, flight_t *flight)
{
    rub_sim_channel_t *channel = flight->channel;
    for (size_t i = 0; i < SIM_OLD && flight->to_server; i++) {
        const rub_sim_old_t *old = &channel->old[i];
        if (old->connection != flight->connection) {
            continue;
        }
        if (flight->ghost) {
            sim->counts[SIM_N_GHOSTS] += channel->up;
            return true;
        }
        if (sim->now_us <= old->until_us || flight->arrived) {
            flight->ghost = true;
            rub_sim_after(sim, old->delay_us, deliver, flight, 0);
            return false;
        }
    }
    drop(flight);
    return false;
}

static void deliver(rub_sim_t *sim, void *subject, uint64_t unused)
{
    flight_t *flight = subject;
    rub_sim_channel_t *channel = flight->channel;
    if (sim->over) {
        drop(flight);
        return;
    }
    if (!flight->arrived) {
        const uint64_t until_us = channel->blocked_until_us[flight->to_server];
        if (sim->now_us < until_us) {
            rub_sim_after(sim, until_us - sim->now_us, deliver, flight, unused);
            return;
        }
        const bool stands = channel->up && channel->connection == flight->connection;
        if (stands && channel->dead) {
            if (flight->to_server && far_end_lives(sim, channel)) {
                rub_sim_reset(sim, channel); /* the host is back and knows no such connection */
            }
            drop(flight);
            return;
        }
        if (!stands && !haunts(sim, flight)) {
            return;
        }
    }
    rub_sim_process_t *process = flight->to_server ? far_end(sim, channel) : near_end(sim, channel);
    if (process->paused) {
        flight->arrived = true;
        rub_sim_asleep(sim, process, deliver, flight, unused);
        return;
    }
    hand_over(sim, flight);
    drop(flight);
}

static void launch(rub_sim_t *sim, flight_t flight)
{
    rub_sim_channel_t *channel = flight.channel;
    flight_t *kept = rub_alloc(sizeof(*kept));
    RUB_ASSERT(kept);
    *kept = flight;
    if (!channel->up) {
        drop(kept);
        return;
    }
    kept->connection = channel->connection;
    const uint64_t reach_us = 2 * sim->scenario.latency_us * slowness(sim, channel);
    const uint64_t blocked_us = channel->blocked_until_us[flight.to_server];
    uint64_t *last = flight.to_server ? &channel->last_to_us : &channel->last_from_us;
    uint64_t at = sim->now_us + 1 + rub_sim_between(sim, 0, reach_us);
    at = at > *last ? at : *last;
    at = at > blocked_us ? at : blocked_us + 1; /* behind what is held up already */
    *last = at;
    rub_sim_after(sim, at - sim->now_us, deliver, kept, 0);
}

void rub_sim_send_packet(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                         rub_packet_t *packet)
{
    if (!to_server) {
        const uint8_t type = rub_packet_header(packet)->type;
        sim->counts[SIM_N_REHELLOS] += type == RUB_MSG_REHELLO;
        sim->counts[SIM_N_KEYS_UNKNOWN] += type == RUB_MSG_KEYS_UNKNOWN;
        sim->counts[SIM_N_POSTPONED] += type == RUB_MSG_POSTPONED;
        sim->counts[SIM_N_FENCED] += type == RUB_MSG_FENCED;
        sim->counts[SIM_N_LOST_TOLD] += type == RUB_MSG_LOST;
        sim->counts[SIM_N_WAITING] += type == RUB_MSG_WAITING;
    }
    launch(sim, (flight_t){.channel = channel, .to_server = to_server, .packet = packet});
}

void rub_sim_send_control(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                          const rub_control_t *message)
{
    rub_buf_t bytes;
    rub_error_t err = {0};
    rub_buf_init(&bytes);
    const int rc = rub_control_encode(message, &bytes, &err);
    if (rc) {
        rub_sim_broken(sim, "a %s cannot be encoded: %s", rub_message_name(message->type),
                       err.message);
        rub_buf_fini(&bytes);
        return;
    }
    launch(sim, (flight_t){.channel = channel,
                           .to_server = to_server,
                           .control = bytes.data,
                           .control_bytes = bytes.bytes});
}
