/* The stream of one session at a shard: what is sent when, what is sent again, what is freed. */
#include "tests/unit/worker/client/fake_world.h"

#include <math.h>

enum { RING = 64 << 20 };

static void nothing_is_sent_before_welcome_but_hello(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 1, RUB_TRAINER, RING);
    const rub_handle_t handle = world_join(&world);
    assert_int_equal(world.n_connects, 1);
    world_tick(&world, 2000);
    assert_true(world_count(&world, 0, RUB_MSG_HELLO) >= 3);
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), world.n_sent);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    const rub_header_t *hello = rub_packet_header(world_find(&world, 0, RUB_MSG_HELLO, 0));
    assert_int_equal(hello->seq, rub_rank_epoch(0, 1));
    assert_int_equal(hello->mark, JOB);
    assert_int_equal(hello->value_bytes, 16);
    world_close(&world);
}

static void welcome_is_the_resend_point(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(world_push_block(&world, NULL), 0);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 5);
    world_ack(&world, 0, 2, 0);
    world_forget(&world);
    const rub_header_t rehello = {.type = RUB_MSG_REHELLO};
    world_hear(&world, 0, &rehello, NULL);
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 1);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 0);
    world_welcome(&world, 0, 3, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, i))->seq, 4 + i);
    }
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.reconnects, 1);
    world_close(&world);
}

static void silence_while_something_is_outstanding_asks_hello(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world_tick(&world, 5000);
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_tick(&world, 900);
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 0);
    world_tick(&world, 200);
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 1);
    world_close(&world);
}

static void shard_that_talks_and_acknowledges_nothing_is_greeted_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    for (unsigned i = 0; i < 6; i++) { /* the second was damaged under way */
        world_ack(&world, 0, 1, 0);
        world_tick(&world, 450);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 0);
    for (unsigned i = 0; i < 2; i++) {
        world_ack(&world, 0, 1, 0);
        world_tick(&world, 200);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 1); /* it would be repeated soon */
    world_forget(&world);
    world_welcome(&world, 0, 1, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 1);
    world_close(&world);
}

static void a_full_ring_makes_push_wait_and_takes_nothing(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, 40000); /* two blocks and a bit: taken whole while below */
    int n = 0;
    while (n < 10 && world_push_block(&world, NULL) == 0) {
        n++;
    }
    assert_int_equal(n, 3);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.pushes, 3);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), RUB_CLIENT_WAIT);
    assert_int_equal(world_clock(&world), 0);
    world_ack(&world, 0, 3, 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_close(&world);
}

static void the_window_bounds_what_is_in_flight(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world_ack_as(&world, 0, 0, 0, 0, 0, 40000);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(world_push_block(&world, NULL), 0);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2);
    world_ack_as(&world, 0, 1, 0, 1, 0, 40000);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 3);
    world_ack_as(&world, 0, 3, 0, 3, 0, 1); /* a window below one record: one at a time */
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 4);
    world_close(&world);
}

static void a_busy_shard_holds_up_pushes_and_not_the_clock_behind_them(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world.flight = 20000; /* a block and a bit */
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), RUB_CLIENT_WAIT);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    assert_int_equal(world_clock(&world), 1);
    assert_int_equal(world_push_block(&world, NULL), RUB_CLIENT_WAIT);
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_close(&world);
}

static void a_push_handle_ends_when_acknowledged(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t first, second, flush;
    assert_int_equal(world_push_block(&world, &first), 0);
    assert_int_equal(world_push_block(&world, &second), 0);
    assert_int_equal(rub_client_flush(world.client, &flush, NULL), 0);
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_poll(&world, first), 0);
    assert_int_equal(world_poll(&world, first), RUB_EINVAL);
    assert_int_equal(world_poll(&world, second), RUB_CLIENT_WAIT);
    assert_int_equal(rub_client_cancel(world.client, second, NULL), RUB_EINVAL);
    assert_int_equal(world_poll(&world, flush), RUB_CLIENT_WAIT);
    world_ack(&world, 0, 2, 0);
    assert_int_equal(world_poll(&world, flush), 0);
    assert_int_equal(world_poll(&world, second), 0);
    world_close(&world);
}

static void a_flush_that_nobody_waits_for_any_more_is_cancelled(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t push, flush;
    assert_int_equal(world_push_block(&world, &push), 0);
    assert_int_equal(rub_client_flush(world.client, &flush, NULL), 0);
    assert_int_equal(rub_client_cancel(world.client, flush, NULL), 0);
    assert_int_equal(world_poll(&world, flush), RUB_EINVAL);
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_poll(&world, push), 0);
    world_close(&world);
}

static void sync_durability_frees_only_what_is_synced(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 1, RUB_TRAINER, RING);
    const rub_handle_t join = world_join(&world);
    world_welcome_as(&world, 0, 0, 0, 0, 1 << 20, RUB_DURABILITY_SYNC);
    assert_int_equal(world_poll(&world, join), 0);
    rub_handle_t handle;
    assert_int_equal(world_push_block(&world, &handle), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_ack_as(&world, 0, 2, 0, 0, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    world_forget(&world);
    /* The shard lost power and comes back with what was on the platter: all is still here. */
    world_welcome_as(&world, 0, 0, 0, 0, 1 << 20, RUB_DURABILITY_SYNC);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESYNC), 0);
    world_ack_as(&world, 0, 2, 0, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

static void lost_acknowledged_records_are_resynced_with_the_clock(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    world_ack(&world, 0, 2, 1);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_forget(&world);
    world_welcome(&world, 0, 1, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESYNC), 1);
    const rub_header_t *resync = rub_packet_header(world_find(&world, 0, RUB_MSG_RESYNC, 0));
    assert_int_equal(resync->seq, 3);
    assert_int_equal(resync->clock, 1);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 0))->seq, 3);
    assert_int_equal(world.n_notices, 1);
    world_close(&world);
}

static void a_shard_that_lost_our_idle_is_told_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    world_ack(&world, 0, 2, 1);
    assert_int_equal(world_poll(&world, handle), 0);
    world_forget(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(rub_packet_header(world.sent[0].packet)->type, RUB_MSG_RESYNC);
    assert_int_equal(rub_packet_header(world.sent[0].packet)->clock, 1);
    const rub_header_t *idle = rub_packet_header(world_find(&world, 0, RUB_MSG_IDLE, 0));
    assert_int_equal(idle->seq, 3);
    assert_int_equal(idle->clock, 1);
    world_close(&world);
}

static void retained_until_synced_nothing_is_lost(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open_as(&world, 1, RUB_TRAINER, RING, RUB_RETAIN_SYNCED);
    const rub_handle_t join = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, join), 0);
    rub_handle_t handle;
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, &handle), 0);
    world_ack_as(&world, 0, 2, 0, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0); /* acknowledged as durability promises */
    world_forget(&world);
    world_welcome_back(&world, 0, 1, 0, 1, 2, (UINT64_C(1) << 40) + 2, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESYNC), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 1);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 0))->seq, 2);
    world_close(&world);
}

static void half_full_ring_of_the_retained_asks_for_a_sync(void **state)
{
    RUB_UNUSED(state);
    enum { FIVE_BLOCKS = 5 * (RUB_BLOCK * 4 + 400) };
    static world_t world;
    world_open_as(&world, 1, RUB_TRAINER, FIVE_BLOCKS, RUB_RETAIN_SYNCED);
    const rub_handle_t join = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, join), 0);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_int_equal(world_push_block(&world, NULL), 0);
        world_ack_as(&world, 0, seq, 0, 0, 0, 1 << 20);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_ack_as(&world, 0, 3, 0, 0, 0, 1 << 20);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 1);
    world_tick(&world, 100);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 1); /* it is on its way */
    world_tick(&world, 200);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 2); /* or was lost with a connection */
    world_ack_as(&world, 0, 3, 0, 3, 0, 1 << 20);
    world_forget(&world);
    world_tick(&world, 500);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 0);
    world_close(&world);
}

static void full_ring_of_the_retained_waits_for_the_platter(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open_as(&world, 1, RUB_TRAINER, RUB_BLOCK * 4, RUB_RETAIN_SYNCED);
    const rub_handle_t join = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, join), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_ack_as(&world, 0, 1, 0, 0, 0, 1 << 20);
    assert_int_equal(world_push_block(&world, NULL), RUB_CLIENT_WAIT);
    char whom[200];
    rub_client_waits_for(world.client, 0, world.now_ms, whom, sizeof(whom));
    assert_non_null(strstr(whom, "it has 1, 0 on disk"));
    world_ack_as(&world, 0, 1, 0, 1, 0, 1 << 20);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_close(&world);
}

static void retained_session_leaves_when_all_is_on_the_platter(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open_as(&world, 1, RUB_TRAINER, RING, RUB_RETAIN_SYNCED);
    const rub_handle_t join = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, join), 0);
    rub_handle_t handle;
    assert_int_equal(rub_client_leave(world.client, true, 0, "", &handle, NULL), 0);
    world_ack_as(&world, 0, 1, 0, 0, 0, 1 << 20);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 1);
    assert_int_equal(world_said(&world, RUB_MSG_LEAVE), 0);
    world_ack_as(&world, 0, 1, 0, 1, 0, 1 << 20);
    assert_int_equal(world_said(&world, RUB_MSG_LEAVE), 1);
    world_close(&world);
}

static void a_resume_counts_once_it_is_on_the_platter(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    world_ack_as(&world, 0, 1, 0, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_resume(world.client, &handle, NULL), 0);
    world_ack_as(&world, 0, 2, 0, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    assert_int_equal(world_count(&world, 0, RUB_MSG_SYNC), 1);
    world_forget(&world);
    /* The power took it, and the others have gone on to clock 5 meanwhile. */
    world_welcome_back(&world, 0, 1, 0, 1, 2, (UINT64_C(1) << 40) + 1, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESYNC), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESUME), 1);
    world_ack_as(&world, 0, 2, 5, 2, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world_clock(&world), 5);
    world_close(&world);
}

static void a_resume_that_is_lost_is_pinned_anew(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    world_ack_as(&world, 0, 1, 0, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_resume(world.client, &handle, NULL), 0);
    world_ack_as(&world, 0, 2, 5, 1, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    world_forget(&world);
    /* The power took it, and with it what the others had done since clock 3. */
    world_welcome_back(&world, 0, 1, 0, 1, 2, (UINT64_C(1) << 40) + 1, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESUME), 1);
    world_ack_as(&world, 0, 2, 3, 2, 0, 1 << 20);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world_clock(&world), 3);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 0))->clock, 3);
    world_close(&world);
}

static void losses_are_counted_once_whoever_tells_them(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_stats_t stats;
    world_ready(&world, 1, RUB_TRAINER, RING);
    const rub_header_t lost = {.type = RUB_MSG_LOST, .seq = 3, .clock = 7, .mark = 1};
    world_hear(&world, 0, &lost, NULL);
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.lost, 5);
    assert_int_equal(world.n_notices, 1);
    world_welcome_back(&world, 0, 0, 0, 0, 2, 0, 5);
    assert_int_equal(world.n_notices, 1);
    world_welcome_back(&world, 0, 0, 0, 0, 3, 0, 9); /* told while we were not connected */
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.lost, 9);
    assert_int_equal(world.n_notices, 2);
    world_close(&world);
}

static void full_disk_of_a_shard_is_named(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    uint8_t code[4];
    rub_put_u32(code, (uint32_t)RUB_ENOSPC);
    const rub_header_t header = {.type = RUB_MSG_POSTPONED, .seq = 2, .value_bytes = sizeof(code)};
    world_hear(&world, 0, &header, code);
    world_ack(&world, 0, 1, 0);   /* of the same turn: what went before */
    for (int i = 0; i < 4; i++) { /* after a silence it says HELLO, and hears the same again */
        assert_int_equal(world.n_notices, 0);
        world_tick(&world, 1000);
        world_welcome(&world, 0, 1, 0);
        world_hear(&world, 0, &header, code);
    }
    world_tick(&world, 100);
    assert_int_equal(world.n_notices, 1);
    assert_non_null(strstr(world.notices[0], "its disk is full"));
    world_close(&world);
}

static void welcome_above_everything_sent_is_a_protocol_failure(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world_welcome(&world, 0, 9, 0);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EPROTO);
    world_close(&world);
}

static void verdicts_are_counted_and_a_hundred_in_a_row_diverge(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(rub_client_failure(world.client, NULL), 0);
        assert_int_equal(world_push_block(&world, NULL), 0);
        world_ack_as(&world, 0, i, 0, i, i, 1 << 20);
    }
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EDIVERGED);
    assert_int_equal(world.n_notices, 1);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.refused, 100);
    assert_int_equal(stats.last_refusal, RUB_ENAN);
    world_close(&world);
}

static void who_has_diverged_leaves_in_order_and_says_why(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(world_push_block(&world, NULL), 0);
        world_ack_as(&world, 0, i, 0, i, i, 1 << 20);
    }
    assert_int_equal(world_push_block(&world, NULL), RUB_EDIVERGED);
    rub_handle_t handle;
    assert_int_equal(
        rub_client_leave(world.client, false, RUB_EDIVERGED, "too steep", &handle, NULL), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_BYE), 1);
    world_forget(&world);
    world_ack_as(&world, 0, 101, 0, 101, 100, 1 << 20);
    assert_int_equal(world_said(&world, RUB_MSG_LEAVE), 1);
    assert_int_equal(world.said[0].leave.code, -RUB_EDIVERGED);
    assert_string_equal(world.said[0].leave.why, "too steep");
    world_close(&world);
}

static void postponed_stops_the_stream_until_continue(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    rub_header_t header = {.type = RUB_MSG_POSTPONED, .seq = 2};
    world_ack(&world, 0, 1, 0);
    world_hear(&world, 0, &header, NULL);
    world_forget(&world);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world.n_sent, 0);
    header.type = RUB_MSG_CONTINUE;
    world_hear(&world, 0, &header, NULL);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2);
    assert_int_equal(rub_packet_header(world.sent[0].packet)->seq, 2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_before_welcome_but_hello),
        cmocka_unit_test(welcome_is_the_resend_point),
        cmocka_unit_test(silence_while_something_is_outstanding_asks_hello),
        cmocka_unit_test(shard_that_talks_and_acknowledges_nothing_is_greeted_again),
        cmocka_unit_test(a_full_ring_makes_push_wait_and_takes_nothing),
        cmocka_unit_test(the_window_bounds_what_is_in_flight),
        cmocka_unit_test(a_busy_shard_holds_up_pushes_and_not_the_clock_behind_them),
        cmocka_unit_test(a_push_handle_ends_when_acknowledged),
        cmocka_unit_test(a_flush_that_nobody_waits_for_any_more_is_cancelled),
        cmocka_unit_test(sync_durability_frees_only_what_is_synced),
        cmocka_unit_test(lost_acknowledged_records_are_resynced_with_the_clock),
        cmocka_unit_test(a_shard_that_lost_our_idle_is_told_again),
        cmocka_unit_test(retained_until_synced_nothing_is_lost),
        cmocka_unit_test(half_full_ring_of_the_retained_asks_for_a_sync),
        cmocka_unit_test(full_ring_of_the_retained_waits_for_the_platter),
        cmocka_unit_test(retained_session_leaves_when_all_is_on_the_platter),
        cmocka_unit_test(a_resume_counts_once_it_is_on_the_platter),
        cmocka_unit_test(a_resume_that_is_lost_is_pinned_anew),
        cmocka_unit_test(losses_are_counted_once_whoever_tells_them),
        cmocka_unit_test(full_disk_of_a_shard_is_named),
        cmocka_unit_test(welcome_above_everything_sent_is_a_protocol_failure),
        cmocka_unit_test(verdicts_are_counted_and_a_hundred_in_a_row_diverge),
        cmocka_unit_test(who_has_diverged_leaves_in_order_and_says_why),
        cmocka_unit_test(postponed_stops_the_stream_until_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
