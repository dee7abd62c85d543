/* What error feedback keeps back goes out before a snapshot's cut, a pause and an early leave; and
 * what a session says of that to scheduler and shards. */
#include "tests/unit/worker/client/codec_world.h"

#include <math.h>

enum { ALL = 2 * RUB_BLOCK + 10 };

typedef struct tally {
    double given[ALL], sent[ALL];
    size_t n_plain; /* messages of float32 */
} tally_t;

static void ready_for(world_t *world, int codec, uint32_t n_shards)
{
    world_open(world, n_shards, RUB_TRAINER, RING);
    world->tables[0].elements = ALL;
    const rub_handle_t join = world_join(world);
    for (uint32_t s = 0; s < n_shards; s++) {
        world_welcome(world, s, 0, 0);
    }
    assert_int_equal(world_poll(world, join), 0);
    assert_int_equal(choose(world, DENSE, codec, RUB_CODEC_F32, NULL), 0);
    assert_int_equal(choose(world, ROWS, codec, RUB_CODEC_F32, NULL), 0);
    world_forget(world);
}

/* Adds what went out since the last look, of the dense table. */
static void count_dense(world_t *world, uint32_t n_shards, tally_t *tally)
{
    static float got[ALL];
    for (uint32_t s = 0; s < n_shards; s++) {
        for (size_t m = 0; world_find(world, s, RUB_MSG_PUSH, m); m++) {
            const rub_frame_t frame = rub_packet_frame(world_find(world, s, RUB_MSG_PUSH, m));
            if (frame.header.table == DENSE) {
                const uint64_t first = rub_get_u64(frame.keys);
                const size_t n = decode(world, s, m, 0, got);
                tally->n_plain += rub_codec_of_flags(frame.header.flags) == RUB_CODEC_F32;
                for (size_t i = 0; i < n; i++) {
                    tally->sent[first + i] += (double)got[i];
                }
            }
        }
    }
    world_forget(world);
}

static void give(world_t *world, uint32_t n_shards, tally_t *tally, int pushes)
{
    static float x[ALL];
    for (int push = 0; push < pushes; push++) {
        fill(x, ALL);
        for (size_t i = 0; i < ALL; i++) {
            x[i] *= (float)(push + 1);
            tally->given[i] += (double)x[i];
        }
        assert_int_equal(push_dense(world, x, ALL, NULL), 0);
        count_dense(world, n_shards, tally);
    }
}

static double off_by(const tally_t *tally)
{
    double off = 0;
    for (size_t i = 0; i < ALL; i++) {
        off = fmax(off, fabs(tally->given[i] - tally->sent[i]));
    }
    return off;
}

static void show_snapshot(world_t *world, uint64_t number, uint64_t cut)
{
    world->view.snapshot = number;
    world->view.snapshot_cut = cut;
    world_show_view(world);
}

static uint64_t said_whole_from(const world_t *world)
{
    for (size_t i = world->n_said; i > 0; i--) {
        if (world->said[i - 1].type == RUB_MSG_VIEW_ACK) {
            return world->said[i - 1].view_ack.whole_from;
        }
    }
    fail_msg("no VIEW_ACK was said");
    return 0;
}

/* For every codec with error feedback, on one and on more shards: at the clock that VIEW_ACK named,
 * and at every one up to the cut, what was given is what was sent; before and behind it is not. */
static void a_snapshots_cut_has_all_that_was_given(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static tally_t tally;
    static const int codecs[] = {RUB_CODEC_2BIT, RUB_CODEC_1BIT, RUB_CODEC_TOPK};
    for (size_t c = 0; c < 2 * RUB_COUNT_OF(codecs); c++) {
        const uint32_t n_shards = c % 2 ? 3 : 1;
        tally = (tally_t){.n_plain = 0};
        ready_for(&world, codecs[c / 2], n_shards);
        for (uint64_t clock = 0; clock < 8; clock++) {
            if (clock == 3) {
                show_snapshot(&world, 1, 0);
                assert_int_equal(said_whole_from(&world), 4);
            } else if (clock == 5) {
                show_snapshot(&world, 1, 6);
            } else if (clock == 7) {
                show_snapshot(&world, 0, 0);
            }
            give(&world, n_shards, &tally, 3);
            const size_t before = tally.n_plain;
            assert_true(off_by(&tally) > 0.01);
            assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
            count_dense(&world, n_shards, &tally);
            if (clock >= 3 && clock < 6) {
                assert_true(off_by(&tally) < 1e-4);
                assert_true(tally.n_plain > before);
            } else {
                assert_true(off_by(&tally) > 0.01);
                assert_int_equal(tally.n_plain, before);
            }
        }
        world_close(&world);
    }
}

/* What goes out is a push of the period that ends: before the CLOCK in every stream. */
static void what_was_kept_stands_before_the_clock(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const float x[2] = {1, 4};
    ready_for(&world, RUB_CODEC_1BIT, 1);
    show_snapshot(&world, 1, 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    assert_int_equal(world.n_sent, 3);
    const rub_frame_t kept = rub_packet_frame(world.sent[1].packet);
    assert_int_equal(kept.header.type, RUB_MSG_PUSH);
    assert_int_equal(kept.header.flags, 0);
    assert_int_equal(rub_get_u64(kept.keys), 7);
    float rest[2];
    memcpy(rest, kept.values, sizeof(rest));
    assert_true(rest[0] == -1.5F && rest[1] == 1.5F);
    assert_int_equal(rub_packet_header(world.sent[2].packet)->type, RUB_MSG_CLOCK);
    assert_int_equal(rub_packet_header(world.sent[2].packet)->clock, kept.header.clock + 1);
    world_forget(&world);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    assert_int_equal(world.n_sent, 1); /* nothing is kept any more */
    world_close(&world);
}

/* Who has finished leaves the weights as they are: they may have been validated. */
static void who_leaves_unfinished_or_pauses_sends_all_first(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static tally_t tally;
    for (int leave = 0; leave < 3; leave++) {
        rub_handle_t handle;
        tally = (tally_t){.n_plain = 0};
        ready_for(&world, RUB_CODEC_TOPK, 2);
        give(&world, 2, &tally, 4);
        const bool done = leave == 2;
        assert_int_equal(leave ? rub_client_leave(world.client, done, 0, "", &handle, NULL)
                               : rub_client_pause(world.client, &handle, NULL),
                         0);
        assert_int_equal(rub_packet_header(world.sent[world.n_sent - 1].packet)->type,
                         leave ? RUB_MSG_BYE : RUB_MSG_IDLE);
        count_dense(&world, 2, &tally);
        assert_true(done ? off_by(&tally) > 0.01 : off_by(&tally) < 1e-4);
        world_close(&world);
    }
}

static void push_kept_waits_for_room_and_goes_on_where_it_stood(void **state)
{
    RUB_UNUSED(state);
    enum { ROOM = 16 * 1024 };
    static world_t world;
    static tally_t tally;
    tally = (tally_t){.n_plain = 0};
    world_open(&world, 1, RUB_TRAINER, ROOM);
    world.tables[0].elements = ALL;
    const rub_handle_t join = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, join), 0);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    world_forget(&world);
    give(&world, 1, &tally, 3);
    uint64_t seq = 3;
    world_ack(&world, 0, seq, 0);
    assert_int_equal(rub_client_push_kept(world.client, NULL), 0); /* one message took the room */
    seq++;
    count_dense(&world, 1, &tally);
    assert_true(off_by(&tally) < 1e-4);
    static float x[ALL];
    fill(x, ALL);
    assert_int_equal(push_dense(&world, x, ALL, NULL), RUB_CLIENT_WAIT);
    world_ack(&world, 0, seq, 0);
    give(&world, 1, &tally, 1);
    static float rows[ROOM];
    static uint64_t keys[ROOM / 2];
    fill(rows, ROOM);
    for (uint64_t i = 0; i < ROOM / 2; i++) {
        keys[i] = i;
    }
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    world_ack(&world, 0, ++seq, 0);
    assert_int_equal(push_rows(&world, keys, ROOM / 2, rows, NULL), 0);
    assert_int_equal(rub_client_push_kept(world.client, NULL), RUB_CLIENT_WAIT);
    seq++;
    int rc = RUB_CLIENT_WAIT;
    for (int turn = 0; turn < 10 && rc == RUB_CLIENT_WAIT; turn++) {
        world_ack(&world, 0, seq, 0);
        rc = rub_client_push_kept(world.client, NULL);
        seq++;
    }
    assert_int_equal(rc, 0);
    count_dense(&world, 1, &tally);
    assert_true(off_by(&tally) < 1e-4);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_F32, RUB_CODEC_F32, NULL), 0); /* not busy */
    world_close(&world);
}

/* What a session says of where it can be cut, through a pause and a barrier. */
static void who_rests_says_whether_it_keeps_something(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const float x[2] = {1, 4};
    rub_handle_t handle;
    world_ready(&world, 1, RUB_TRAINER, RING);
    show_snapshot(&world, 1, 0);
    assert_int_equal(said_whole_from(&world), 0); /* no codec with feedback */
    show_snapshot(&world, 0, 0);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    assert_int_equal(said_whole_from(&world), 1); /* told at once */
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), 0);
    show_snapshot(&world, 2, 0);
    assert_int_equal(said_whole_from(&world), UINT64_MAX);
    world_close(&world);

    ready_for(&world, RUB_CODEC_1BIT, 1);
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    show_snapshot(&world, 1, 0);
    /* A shard that was pinned before it paused has it at clock 0, without what it pushed last. */
    assert_int_equal(said_whole_from(&world), 1);
    world_close(&world);
}

static uint64_t idle_mark(const world_t *world, uint32_t shard)
{
    rub_packet_t *idle = world_find(world, shard, RUB_MSG_IDLE, 0);
    assert_non_null(idle);
    return rub_packet_header(idle)->mark;
}

/* Whoever asks a shard, and whenever: it may rest for long. */
static void idle_says_in_every_stream_whether_something_is_kept(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const float x[2] = {1, 4};
    rub_handle_t handle;
    ready_for(&world, RUB_CODEC_1BIT, 2);
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), 0);
    assert_int_equal(idle_mark(&world, 0), 0);
    assert_int_equal(idle_mark(&world, 1), 0);
    world_close(&world);

    ready_for(&world, RUB_CODEC_1BIT, 2);
    show_snapshot(&world, 1, 0); /* then it is pushed first */
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), 0);
    assert_int_equal(idle_mark(&world, 0), RUB_IDLE_WHOLE);
    world_close(&world);

    for (unsigned keep = 0; keep < 2; keep++) { /* a snapshot may be taken in the barrier itself */
        const rub_score_t score = {.evaluation = 1, .value = 0.5, .keep = keep};
        ready_for(&world, RUB_CODEC_1BIT, 2);
        assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
        assert_int_equal(rub_client_judge(world.client, &score, NULL, 0, &handle, NULL), 0);
        assert_int_equal(idle_mark(&world, 0), keep ? RUB_IDLE_WHOLE : 0);
        world_close(&world);
    }

    world_ready(&world, 2, RUB_TRAINER, RING); /* no codec */
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    assert_int_equal(idle_mark(&world, 1), RUB_IDLE_WHOLE);
    world_close(&world);
}

/* While a cut waits, its word comes again: the first one may be lost with a connection. */
static void a_cut_that_waits_hears_again_what_is_kept(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    ready_for(&world, RUB_CODEC_1BIT, 1);
    show_snapshot(&world, 1, 0);
    assert_int_equal(said_whole_from(&world), 1);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    world_ack(&world, 0, 1, 1);
    world_forget(&world);
    const uint64_t version = world.view.version;
    world_tick(&world, 3000);
    assert_true(world_said(&world, RUB_MSG_VIEW_ACK) >= 2);
    assert_int_equal(said_whole_from(&world), 1); /* it still holds */
    assert_int_equal(world.said[0].view_ack.version, version);
    show_snapshot(&world, 1, 2);
    world_forget(&world);
    world_tick(&world, 3000);
    assert_int_equal(world_said(&world, RUB_MSG_VIEW_ACK), 0);
    world_close(&world);
}

/* A VIEW_ACK that asks for a view names none, and no scheduler takes its word. */
static void what_was_said_without_a_view_is_said_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_handle_t handle;
    ready_for(&world, RUB_CODEC_1BIT, 1);
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    world_tick(&world, 100);
    const uint64_t version = world.view.version;
    const rub_control_t rumour = {
        .type = RUB_MSG_LEASE_OK,
        .lease_ok = {.generation = world.view.generation, .version = version + 1}};
    const float x[2] = {1, 4};
    assert_int_equal(rub_client_resume(world.client, &handle, NULL), 0);
    world_ack(&world, 0, 2, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){7}, 1, x, NULL), 0);
    world_forget(&world);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), 0);
    world_say(&world, &rumour);
    world.now_ms += 2000;
    rub_client_tick(world.client, world.now_ms); /* asks for the view, and says what has changed */
    bool told = false;
    for (size_t i = 0; i < world.n_said; i++) {
        told = told || (world.said[i].type == RUB_MSG_VIEW_ACK &&
                        world.said[i].view_ack.version == version &&
                        world.said[i].view_ack.whole_from == UINT64_MAX);
    }
    assert_true(told);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshots_cut_has_all_that_was_given),
        cmocka_unit_test(what_was_kept_stands_before_the_clock),
        cmocka_unit_test(who_leaves_unfinished_or_pauses_sends_all_first),
        cmocka_unit_test(push_kept_waits_for_room_and_goes_on_where_it_stood),
        cmocka_unit_test(who_rests_says_whether_it_keeps_something),
        cmocka_unit_test(idle_says_in_every_stream_whether_something_is_kept),
        cmocka_unit_test(a_cut_that_waits_hears_again_what_is_kept),
        cmocka_unit_test(what_was_said_without_a_view_is_said_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
