/* Joining, the clock, barriers, data and leaving: the talk with the scheduler, with repeats and
 * losses. */
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20 };

static void join_is_repeated_and_a_final_refusal_ends_it(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_join(world.client, world.now_ms, &handle, NULL), 0);
    world_tick(&world, 1000);
    assert_int_equal(world_said(&world, RUB_MSG_JOIN), 4);
    rub_control_t refused = {.type = RUB_MSG_REFUSED,
                             .refused = {.request = RUB_MSG_JOIN,
                                         .code = (uint64_t)-RUB_EPEER,
                                         .sentence = "shard 1 is not here"}};
    world_say(&world, &refused);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    char text[200];
    rub_client_waits_for(world.client, handle, world.now_ms, text, sizeof(text));
    assert_non_null(strstr(text, "shard 1 is not here"));
    refused.refused = (rub_refused_t){.request = RUB_MSG_JOIN,
                                      .code = (uint64_t)-RUB_EHELD,
                                      .sentence = "rank 0 is held by a:1",
                                      .final = 1};
    world_say(&world, &refused);
    rub_error_t err;
    assert_int_equal(rub_client_poll(world.client, handle, &err), RUB_EHELD);
    assert_string_equal(err.message, "rank 0 is held by a:1");
    world_close(&world);
}

static void a_joiner_starts_at_the_greatest_pin_with_clock_first(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 2, RUB_TRAINER, RING);
    const rub_handle_t handle = world_join(&world);
    world_welcome(&world, 0, 0, 5);
    world_welcome(&world, 1, 0, 7);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world_clock(&world), 7);
    for (uint32_t s = 0; s < 2; s++) {
        const rub_header_t *first = rub_packet_header(world_find(&world, s, RUB_MSG_CLOCK, 0));
        assert_int_equal(first->seq, 1);
        assert_int_equal(first->clock, 7);
    }
    world_close(&world);
}

static void clocks_go_to_every_shard_with_the_cursor(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    const rub_cursor_t cursor = {1, 2, 3};
    assert_int_equal(rub_client_clock(world.client, &cursor, sizeof(cursor), NULL), 0);
    assert_int_equal(rub_client_clock(world.client, &cursor, 65, NULL), RUB_EINVAL);
    for (uint32_t s = 0; s < 2; s++) {
        const rub_frame_t frame = rub_packet_frame(world_find(&world, s, RUB_MSG_CLOCK, 0));
        assert_int_equal(frame.header.clock, 1);
        assert_int_equal(frame.values_bytes, sizeof(cursor));
        assert_memory_equal(frame.values, &cursor, sizeof(cursor));
    }
    assert_int_equal(world_clock(&world), 1);
    world_close(&world);
}

static void release(world_t *world, uint64_t number, uint64_t clock, double sum)
{
    rub_control_t message = {.type = RUB_MSG_RELEASE,
                             .release = {.number = number, .clock = clock, .sums_bytes = 8}};
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    rub_put_u64(message.release.sums, bits);
    world_say(world, &message);
}

static void a_barrier_idles_asks_resumes_and_goes(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    rub_handle_t handle;
    const double sum = 2.5;
    assert_int_equal(rub_client_barrier(world.client, &sum, 1, &handle, NULL), 0);
    rub_handle_t other;
    assert_int_equal(rub_client_pause(world.client, &other, NULL), RUB_EBUSY);
    assert_int_equal(world_push_block(&world, NULL), RUB_EINVAL); /* nothing follows IDLE */
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_said(&world, RUB_MSG_BARRIER), 0);
    world_ack(&world, 1, 1, 1); /* something had been pushed there: IDLE ended a period */
    assert_int_equal(world_said(&world, RUB_MSG_BARRIER), 1);
    assert_int_equal(world.said[0].barrier.clock, 1);
    world_tick(&world, 1000);
    assert_int_equal(world_said(&world, RUB_MSG_BARRIER), 3);
    release(&world, 1, 4, 10);
    release(&world, 1, 9, 99); /* a repeat says nothing new */
    for (uint32_t s = 0; s < 2; s++) {
        assert_int_equal(world_count(&world, s, RUB_MSG_RESUME), 1);
        assert_int_equal(rub_packet_header(world_find(&world, s, RUB_MSG_RESUME, 0))->clock, 4);
    }
    world_ack(&world, 0, 2, 4);
    assert_int_equal(world_said(&world, RUB_MSG_RESUMED), 0);
    world_ack(&world, 1, 2, 5); /* pinned higher here */
    assert_int_equal(world_clock(&world), 5);
    assert_int_equal(world_count(&world, 0, RUB_MSG_CLOCK), 1);
    assert_int_equal(world_count(&world, 1, RUB_MSG_CLOCK), 0);
    assert_int_equal(world_said(&world, RUB_MSG_RESUMED), 1);
    world_tick(&world, 600);
    assert_int_equal(world_said(&world, RUB_MSG_RESUMED), 2);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    const rub_control_t go = {.type = RUB_MSG_GO, .go = {.number = 1}};
    world_say(&world, &go);
    assert_int_equal(world_poll(&world, handle), 0);
    double out[16];
    assert_int_equal(rub_client_barrier_sums(world.client, out), 1);
    assert_true(out[0] == 10.0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    world_close(&world);
}

static void pause_and_resume_move_the_clock_to_the_pin(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_pause(world.client, &handle, NULL), 0);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), RUB_EINVAL);
    assert_int_equal(rub_client_resume(world.client, &handle, NULL), 0);
    world_ack(&world, 0, 2, 12);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world_clock(&world), 12);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 0))->clock, 12);
    world_close(&world);
}

static void deal(world_t *world, uint64_t request, uint32_t kind, uint64_t number)
{
    const rub_control_t message = {
        .type = RUB_MSG_PIECE,
        .dealt = {.request = request, .kind = kind, .number = number, .first = 10, .count = 20}};
    world_say(world, &message);
}

static void waiting_for_a_piece_pauses_the_session(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_piece(world.client, 0, 100, 20, &handle, NULL), 0);
    world_tick(&world, 400);
    assert_int_equal(world_said(&world, RUB_MSG_PIECE_ASK), 2);
    assert_int_equal(world.said[1].piece_ask.request, 1);
    assert_true(world.said[0].piece_ask.finished_piece == UINT64_MAX);
    deal(&world, 1, RUB_DEAL_PIECE, 3);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_piece_result(world.client)->number, 3);
    assert_int_equal(world_count(&world, 0, RUB_MSG_IDLE), 0);
    world_forget(&world);

    assert_int_equal(rub_client_piece(world.client, 0, 100, 20, &handle, NULL), 0);
    assert_int_equal(world.said[0].piece_ask.finished_piece, 3);
    deal(&world, 2, RUB_DEAL_WAIT, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_IDLE), 1);
    world_ack(&world, 0, 1, 0);
    world_tick(&world, 400);
    assert_int_equal(world.said[world.n_said - 1].piece_ask.request, 2);
    deal(&world, 2, RUB_DEAL_END, 0);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    assert_int_equal(world_count(&world, 0, RUB_MSG_RESUME), 1);
    world_ack(&world, 0, 2, 6);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_piece_result(world.client)->kind, RUB_PIECE_END);
    assert_int_equal(world_clock(&world), 6);
    world_close(&world);
}

static void fenced_ends_every_operation(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t push, pull_handle;
    float value;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    assert_int_equal(world_push_block(&world, &push), 0);
    assert_int_equal(rub_client_pull(world.client, &pull, &pull_handle, NULL), 0);
    rub_header_t fenced = {.type = RUB_MSG_FENCED, .seq = rub_rank_epoch(1, 1)};
    world_hear(&world, 0, &fenced, NULL); /* not us */
    assert_int_equal(rub_client_failure(world.client, NULL), 0);
    fenced.seq = rub_rank_epoch(0, 1);
    world_hear(&world, 0, &fenced, NULL);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EFENCED);
    assert_int_equal(world_poll(&world, push), RUB_EFENCED);
    assert_int_equal(world_poll(&world, pull_handle), RUB_EFENCED);
    assert_int_equal(world_push_block(&world, NULL), RUB_EFENCED);
    world_close(&world);
}

static void a_view_with_a_newer_epoch_or_a_dead_lease_fences(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world.ranks[0].epoch = 2;
    world_show_view(&world);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EFENCED);
    world_close(&world);
    world_ready(&world, 1, RUB_TRAINER, RING);
    const rub_control_t lease = {.type = RUB_MSG_LEASE_OK,
                                 .lease_ok = {.generation = 1, .state = RUB_RANK_GONE}};
    world_say(&world, &lease);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EFENCED);
    world_close(&world);
}

static void a_scheduler_that_is_silent_is_named_and_given_up_after_the_grace(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world.scheduler_is_silent = true;
    rub_handle_t handle;
    char whom[200];
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), 0);
    world_ack(&world, 0, 1, 0); /* of IDLE: the barrier now waits for nobody but the scheduler */
    world_tick(&world, 3500);
    assert_int_equal(world.n_notices, 1);
    assert_non_null(strstr(world.notices[0], "waiting for the scheduler, silent for 3.0 s"));
    rub_client_waits_for(world.client, handle, world.now_ms, whom, sizeof(whom));
    assert_non_null(strstr(whom, "the scheduler, silent for"));
    world_tick(&world, GRACE_MS - 3500 - 200);
    assert_int_equal(rub_client_failure(world.client, NULL), 0);
    world_tick(&world, 300);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EPEER);
    world_close(&world);
}

static void a_scheduler_that_says_why_it_answers_nobody_is_waited_for(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world.scheduler_is_silent = true;
    rub_handle_t handle;
    const rub_schema_t schema = {.name = "new", .kind = RUB_HASHED, .width = 4};
    assert_int_equal(rub_client_table_open(world.client, &schema, &handle, NULL), 0);
    const rub_control_t hindered = {.type = RUB_MSG_REFUSED,
                                    .refused = {.request = RUB_MSG_LEASE,
                                                .code = (uint64_t)-RUB_ENOSPC,
                                                .sentence = "its disk is full"}};
    for (int s = 0; s < 60; s++) { /* far beyond the grace */
        world_say(&world, &hindered);
        world_tick(&world, 1000);
    }
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    char text[200];
    rub_client_waits_for(world.client, handle, world.now_ms, text, sizeof(text));
    assert_string_equal(text, "the scheduler: its disk is full");
    world.scheduler_is_silent = false;
    world_tick(&world, 5000); /* it answers leases again, and not yet the table */
    rub_client_waits_for(world.client, handle, world.now_ms, text, sizeof(text));
    assert_string_equal(text, "the scheduler");
    world_close(&world);
}

static void silence_counts_from_the_end_of_a_pause(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    world.now_ms += 10 * GRACE_MS; /* stopped, or busy: nobody ticked */
    rub_client_tick(world.client, world.now_ms);
    assert_int_equal(rub_client_failure(world.client, NULL), 0);
    world.scheduler_is_silent = true;
    world_tick(&world, GRACE_MS + 100);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EPEER);
    world_close(&world);
}

static void a_new_address_is_connected_and_greeted(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    snprintf(world.shards[1].address, 128, "tcp://elsewhere:2");
    const size_t before = world.n_connects;
    world_show_view(&world);
    world_show_view(&world);
    assert_int_equal(world.n_connects, before + 1);
    assert_int_equal(world_count(&world, 1, RUB_MSG_HELLO), 1);
    assert_int_equal(world_said(&world, RUB_MSG_VIEW_ACK), 2);
    world_forget(&world);
    world_tick(&world, 3500); /* out of reach: the view is asked for, and people hear of it */
    assert_true(world_said(&world, RUB_MSG_VIEW_ACK) >= 2);
    assert_int_equal(world.said[world.n_said - 1].view_ack.version, 0);
    assert_int_equal(world.n_notices, 1);
    assert_non_null(strstr(world.notices[0], "tcp://elsewhere:2"));
    world_close(&world);
}

static void a_table_is_open_when_its_view_is_here(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_schema_t schema = {.name = "new", .kind = RUB_HASHED, .width = 0};
    rub_handle_t handle;
    assert_int_equal(rub_client_table_open(world.client, &schema, &handle, NULL), RUB_EINVAL);
    schema.width = 4;
    assert_int_equal(rub_client_table_open(world.client, &schema, &handle, NULL), 0);
    assert_int_equal(world_said(&world, RUB_MSG_TABLE), 1);
    rub_control_t answer = {.type = RUB_MSG_TABLE_OK,
                            .table_ok = {.name = "new", .id = 3, .version = 2}};
    world_say(&world, &answer);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    rub_table_view_t tables[3] = {world.tables[0], world.tables[1], world.tables[1]};
    tables[2].id = 3;
    tables[2].width = 4;
    snprintf(tables[2].name, sizeof(tables[2].name), "new");
    world.view.tables = tables;
    world.view.n_tables = 3;
    world_show_view(&world);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_table_result(world.client), 3);
    assert_string_equal(rub_client_table(world.client, 3)->name, "new");
    world_close(&world);
}

/* Opens a table of width 4 that the view then shows as tables[2]. Returns how that ended. */
static int open_new_table(world_t *world, const rub_table_view_t *shown, rub_error_t *err)
{
    const rub_schema_t schema = {.name = "new", .kind = RUB_HASHED, .width = 4};
    rub_handle_t handle;
    assert_int_equal(rub_client_table_open(world->client, &schema, &handle, NULL), 0);
    const rub_control_t answer = {.type = RUB_MSG_TABLE_OK,
                                  .table_ok = {.name = "new", .id = 3, .version = 2}};
    world_say(world, &answer);
    rub_table_view_t tables[3] = {world->tables[0], world->tables[1], *shown};
    world->view.tables = tables;
    world->view.n_tables = 3;
    world_show_view(world);
    world->view.tables = world->tables;
    return rub_client_poll(world->client, handle, err);
}

static void a_table_that_is_not_the_one_asked_for_is_refused(void **state)
{
    RUB_UNUSED(state);
    const rub_table_view_t asked = {.id = 3, .name = "new", .kind = RUB_HASHED, .width = 4};
    rub_table_view_t shown[4] = {asked, asked, asked, asked};
    shown[0].width = 8;
    shown[1].optimizer = RUB_ADAGRAD;
    shown[2].kind = RUB_DENSE;
    shown[2].elements = 10;
    snprintf(shown[3].name, sizeof(shown[3].name), "newer");
    const char *const sentences[] = {
        "table 'new' has width 8 in the view, opened with width 4",
        "table 'new' has optimizer 3 in the view, opened with optimizer 0",
        "table 'new' has kind 0 in the view, opened with kind 1",
        "table 3 is 'newer' in the view, opened was 'new'",
    };
    for (size_t i = 0; i < RUB_COUNT_OF(shown); i++) {
        static world_t world;
        rub_error_t err = {0};
        world_ready(&world, 1, RUB_TRAINER, RING);
        assert_int_equal(open_new_table(&world, &shown[i], &err), RUB_ESCHEMA);
        assert_string_equal(err.message, sentences[i]);
        world_close(&world);
    }
}

static void a_view_that_changes_a_table_ends_the_session(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    for (int gone = 0; gone < 2; gone++) {
        world_ready(&world, 1, RUB_TRAINER, RING);
        world.tables[0].elements -= 10;
        world.view.n_tables = gone ? 0 : 2;
        world_show_view(&world);
        rub_error_t err = {0};
        rub_handle_t handle;
        const rub_schema_t schema = {.name = "any", .kind = RUB_HASHED, .width = 1};
        assert_int_equal(rub_client_table_open(world.client, &schema, &handle, &err), RUB_ESCHEMA);
        assert_string_equal(
            err.message, gone ? "view: table 1 is '', it was 'dense'"
                              : "view: table 'dense' has 409600 elements, it had 409610 elements");
        world_close(&world);
    }
}

static void leave_waits_for_bye_everywhere_and_for_left(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    rub_handle_t handle;
    assert_int_equal(rub_client_metric(world.client, "accuracy", 0.5, NULL), 0);
    assert_int_equal(rub_client_leave(world.client, true, 0, "", &handle, NULL), 0);
    assert_int_equal(world_push_block(&world, NULL), RUB_EINVAL);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_BYE, 0))->mark, 1);
    world_ack(&world, 0, 1, 0);
    world_tick(&world, 600);
    assert_int_equal(world_said(&world, RUB_MSG_LEAVE), 0);
    world_ack(&world, 1, 1, 0);
    world_tick(&world, 600);
    assert_int_equal(world_said(&world, RUB_MSG_LEAVE), 2);
    assert_int_equal(world_said(&world, RUB_MSG_METRIC), 2); /* said once more on the way out */
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    const rub_control_t left = {.type = RUB_MSG_LEFT, .left = {.rank = 0, .epoch = 1}};
    world_say(&world, &left);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

static void who_was_given_up_before_its_leave_has_not_left(void **state)
{
    RUB_UNUSED(state);
    for (unsigned done = 0; done < 2; done++) {
        static world_t world;
        world_ready(&world, 1, RUB_TRAINER, RING);
        rub_handle_t handle;
        assert_int_equal(rub_client_leave(world.client, done != 0, 0, "", &handle, NULL), 0);
        const rub_control_t refused = {.type = RUB_MSG_REFUSED,
                                       .refused = {.request = RUB_MSG_JOIN,
                                                   .code = (uint64_t)-RUB_EFENCED,
                                                   .final = 1,
                                                   .sentence = "epoch 1 of rank 0 is over"}};
        world_say(&world, &refused); /* to the JOIN that asks where the shard is */
        assert_int_equal(world_poll(&world, handle), done ? RUB_EFENCED : 0);
        world_close(&world);
    }
}

static void a_reader_has_no_stream(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_READER, RING);
    rub_handle_t handle;
    assert_int_equal(world_push_block(&world, NULL), RUB_EINVAL);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), RUB_EINVAL);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &handle, NULL), RUB_EINVAL);
    assert_int_equal(rub_client_piece(world.client, 0, 1, 1, &handle, NULL), RUB_EINVAL);
    float value;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    assert_int_equal(rub_client_leave(world.client, true, 0, "", &handle, NULL), 0);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

static void a_reader_asks_for_news_and_hears_the_end_of_the_job(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_READER, RING);
    world.scheduler_is_silent = true; /* restarted: it knows no readers, and answers who asks */
    world_forget(&world);
    world_tick(&world, 1900);
    const size_t asked = world_said(&world, RUB_MSG_LEASE);
    assert_in_range(asked, 1, 2);
    assert_int_equal(world_said(&world, RUB_MSG_JOIN), 0);
    const rub_control_t news = {.type = RUB_MSG_LEASE_OK,
                                .lease_ok = {.generation = world.view.generation,
                                             .version = world.view.version + 1,
                                             .state = RUB_RANK_LIVE}};
    world_say(&world, &news);
    world_tick(&world, 1100);
    assert_int_equal(world_said(&world, RUB_MSG_JOIN), 1); /* known again, the view comes */
    float value;
    rub_handle_t handle;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    world.view.state = RUB_JOB_DONE;
    world.view.version++;
    const rub_control_t view = {.type = RUB_MSG_VIEW, .view = world.view};
    world_say(&world, &view);
    assert_int_equal(world_poll(&world, handle), RUB_EREFUSED);
    world_close(&world);
}

static void a_reader_without_a_scheduler_is_told_and_gives_up_after_the_grace(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_READER, RING);
    world.scheduler_is_silent = true;
    world_tick(&world, 3500);
    assert_int_equal(world.n_notices, 1);
    assert_int_equal(rub_client_failure(world.client, NULL), 0);
    world_tick(&world, GRACE_MS - 3500 + 100);
    assert_int_equal(rub_client_failure(world.client, NULL), RUB_EPEER);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_is_repeated_and_a_final_refusal_ends_it),
        cmocka_unit_test(a_joiner_starts_at_the_greatest_pin_with_clock_first),
        cmocka_unit_test(clocks_go_to_every_shard_with_the_cursor),
        cmocka_unit_test(a_barrier_idles_asks_resumes_and_goes),
        cmocka_unit_test(pause_and_resume_move_the_clock_to_the_pin),
        cmocka_unit_test(waiting_for_a_piece_pauses_the_session),
        cmocka_unit_test(fenced_ends_every_operation),
        cmocka_unit_test(a_view_with_a_newer_epoch_or_a_dead_lease_fences),
        cmocka_unit_test(a_scheduler_that_is_silent_is_named_and_given_up_after_the_grace),
        cmocka_unit_test(a_scheduler_that_says_why_it_answers_nobody_is_waited_for),
        cmocka_unit_test(silence_counts_from_the_end_of_a_pause),
        cmocka_unit_test(a_new_address_is_connected_and_greeted),
        cmocka_unit_test(a_table_is_open_when_its_view_is_here),
        cmocka_unit_test(a_table_that_is_not_the_one_asked_for_is_refused),
        cmocka_unit_test(a_view_that_changes_a_table_ends_the_session),
        cmocka_unit_test(leave_waits_for_bye_everywhere_and_for_left),
        cmocka_unit_test(who_was_given_up_before_its_leave_has_not_left),
        cmocka_unit_test(a_reader_has_no_stream),
        cmocka_unit_test(a_reader_asks_for_news_and_hears_the_end_of_the_job),
        cmocka_unit_test(a_reader_without_a_scheduler_is_told_and_gives_up_after_the_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
