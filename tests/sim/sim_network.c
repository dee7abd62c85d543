/* The network: what is in flight when a channel is cut is lost in both directions, neither end is
 * told, and the near end (a DEALER) connects again after 50 to 250 ms under a new number, as libzmq
 * does. What is sent while a channel is down is dropped (IMMEDIATE=1, non-blocking sends). While it
 * stands it keeps order. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"

#include <stdio.h>

typedef struct flight {
    rub_sim_channel_t *channel;
    uint64_t connection;
    bool to_server;
    rub_packet_t *packet;
    uint8_t *control;
    size_t control_bytes;
} flight_t;

static bool far_end_lives(const rub_sim_t *sim, const rub_sim_channel_t *channel)
{
    if (channel->kind != SIM_DATA) {
        return sim->scheduler.core != NULL;
    }
    const rub_sim_shard_host_t *host = &sim->shards[channel->shard];
    return host->core != NULL && strcmp(host->address, channel->address) == 0;
}

static void try_connect(rub_sim_t *sim, void *subject, uint64_t connection)
{
    rub_sim_channel_t *channel = subject;
    if (!channel->wanted || channel->up || channel->connection != connection) {
        return;
    }
    if (!far_end_lives(sim, channel)) {
        rub_sim_after(sim, rub_sim_between(sim, 50000, 250000), try_connect, channel, connection);
        return;
    }
    channel->up = true;
    channel->connection = ++sim->next_connection;
}

void rub_sim_connect(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    channel->wanted = true;
    channel->up = false;
    channel->connection = ++sim->next_connection;
    rub_sim_after(sim, rub_sim_between(sim, 100, 3000), try_connect, channel, channel->connection);
}

void rub_sim_cut(rub_sim_t *sim, rub_sim_channel_t *channel)
{
    if (!channel->up) {
        return;
    }
    channel->up = false;
    rub_sim_after(sim, rub_sim_between(sim, 50000, 250000), try_connect, channel,
                  channel->connection);
}

rub_sim_channel_t *rub_sim_channel_of(rub_sim_t *sim, uint64_t connection)
{
    for (uint32_t a = 0; a < sim->n_actors; a++) {
        rub_sim_actor_t *actor = &sim->actors[a];
        if (actor->control.up && actor->control.connection == connection) {
            return &actor->control;
        }
        for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
            if (actor->data[s].up && actor->data[s].connection == connection) {
                return &actor->data[s];
            }
        }
    }
    for (uint32_t s = 0; s < sim->scenario.n_shards; s++) {
        if (sim->shard_control[s].up && sim->shard_control[s].connection == connection) {
            return &sim->shard_control[s];
        }
    }
    return NULL;
}

static void to_near_end(rub_sim_t *sim, flight_t *flight)
{
    rub_sim_channel_t *channel = flight->channel;
    if (channel->kind == SIM_CONTROL_OF_SHARD) {
        rub_sim_shard_mail(
            sim, &sim->shards[channel->shard],
            (rub_sim_mail_t){.control = flight->control, .control_bytes = flight->control_bytes});
        flight->control = NULL;
        return;
    }
    rub_sim_actor_t *actor = &sim->actors[channel->actor];
    if (!actor->core) {
        return;
    }
    if (flight->packet) {
        const rub_span_t bytes = rub_packet_bytes(flight->packet);
        rub_frame_t frame;
        RUB_ASSERT(rub_frame_read(&bytes, 1, &frame, NULL) == 0);
        rub_client_receive(actor->core, channel->shard, &frame, rub_sim_ms(sim->now_us));
    } else {
        rub_arena_t arena;
        rub_control_t message;
        rub_arena_init(&arena);
        RUB_ASSERT(rub_control_decode(flight->control, flight->control_bytes, &arena, &message,
                                      NULL) == 0);
        rub_client_control(actor->core, &message, rub_sim_ms(sim->now_us));
        rub_arena_fini(&arena);
    }
    rub_sim_actor_run(sim, actor);
}

static void deliver(rub_sim_t *sim, void *subject, uint64_t unused)
{
    RUB_UNUSED(unused);
    flight_t *flight = subject;
    rub_sim_channel_t *channel = flight->channel;
    if (!channel->up || channel->connection != flight->connection) {
        goto out;
    }
    if (!flight->to_server) {
        to_near_end(sim, flight);
    } else if (channel->kind == SIM_DATA) {
        rub_sim_shard_mail(
            sim, &sim->shards[channel->shard],
            (rub_sim_mail_t){.connection = flight->connection, .packet = flight->packet});
        flight->packet = NULL;
    } else {
        rub_sim_scheduler_mail(sim, flight->connection, flight->control, flight->control_bytes);
    }
out:
    rub_packet_unref(&flight->packet);
    rub_free(flight->control);
    rub_free(flight);
}

static void launch(rub_sim_t *sim, flight_t flight)
{
    rub_sim_channel_t *channel = flight.channel;
    if (!channel->up) {
        rub_packet_unref(&flight.packet);
        rub_free(flight.control);
        return;
    }
    flight_t *kept = rub_alloc(sizeof(*kept));
    RUB_ASSERT(kept);
    *kept = flight;
    kept->connection = channel->connection;
    const uint64_t latency = 1 + rub_sim_between(sim, 0, 2 * sim->scenario.latency_us);
    uint64_t *last = flight.to_server ? &channel->last_to_us : &channel->last_from_us;
    uint64_t at = sim->now_us + latency;
    at = at > *last ? at : *last;
    *last = at;
    rub_sim_after(sim, at - sim->now_us, deliver, kept, 0);
}

void rub_sim_send_packet(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                         rub_packet_t *packet)
{
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
