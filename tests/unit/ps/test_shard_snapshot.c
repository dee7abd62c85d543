/* A shard's share in a snapshot: what it says of its sessions, when it folds, and when it lets go.
 */
#include "tests/unit/ps/shard_fixture.h"

#include "common/base/error.h"
#include "ps/fold.h"

static void control(fx_t *fx, const rub_control_t *message)
{
    fx_begin(fx);
    assert_int_equal(rub_shard_control(fx->shard, message), 0);
    fx_end(fx);
}

static void pin(fx_t *fx, uint64_t number)
{
    const rub_control_t message = {.type = RUB_MSG_PIN,
                                   .pin = {.job = JOB, .generation = 1, .number = number}};
    control(fx, &message);
}

static void held(fx_t *fx, uint64_t number, const rub_error_t *err)
{
    fx_begin(fx);
    assert_int_equal(rub_shard_pinned(fx->shard, number, err), 0);
    fx_end(fx);
}

static void pin_and_hold(fx_t *fx, uint64_t number)
{
    pin(fx, number);
    assert_int_equal(fx->pin_number, number);
    held(fx, number, NULL);
}

static void cut(fx_t *fx, uint64_t number, uint64_t cut0, uint64_t cut1)
{
    rub_cut_rank_t ranks[] = {{.rank = 0, .epoch = 1, .cut = cut0},
                              {.rank = 1, .epoch = 1, .cut = cut1}};
    const rub_control_t message = {
        .type = RUB_MSG_CUT,
        .cut = {.job = JOB, .generation = 1, .number = number, .ranks = ranks, .n_ranks = 2}};
    control(fx, &message);
}

static void unpin(fx_t *fx, uint64_t number, uint32_t keep)
{
    const rub_control_t message = {
        .type = RUB_MSG_UNPIN,
        .unpin = {.job = JOB, .generation = 1, .number = number, .keep = keep}};
    control(fx, &message);
}

static void folded(fx_t *fx, uint64_t number, const rub_error_t *err)
{
    const rub_fold_result_t result = {.n_bytes = 100, .hash = 11, .rows = 2, .digest = 5};
    fx_begin(fx);
    assert_int_equal(rub_shard_folded(fx->shard, number, err ? NULL : &result, err), 0);
    fx_end(fx);
}

/* ---- refusals ---- */

static void a_shard_without_a_store_says_so(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    rub_shard_destroy(&fx.shard);
    fx.config.durability = RUB_DURABILITY_NONE;
    fx_new_shard(&fx);
    assert_int_equal(rub_shard_open(fx.shard, 1, fx.now, NULL), 0);
    fx_view(&fx);
    pin(&fx, 1);
    assert_int_equal(fx.pin_number, 0);
    assert_int_equal(fx.unfolded.number, 1);
    assert_int_equal(fx.unfolded.code, -RUB_EREFUSED);
    assert_non_null(strstr(fx.unfolded.sentence, "durability none"));
    fx_close(&fx);
}

static void another_jobs_and_an_old_schedulers_pins_are_ignored(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx.generation = 3;
    fx_view(&fx);
    const rub_control_t old = {.type = RUB_MSG_PIN,
                               .pin = {.job = JOB, .generation = 2, .number = 1}};
    const rub_control_t other = {.type = RUB_MSG_PIN,
                                 .pin = {.job = JOB + 1, .generation = 3, .number = 1}};
    control(&fx, &old);
    control(&fx, &other);
    assert_int_equal(fx.pin_number, 0);
    assert_int_equal(fx.controls[RUB_MSG_UNFOLDED], 0);
    fx_close(&fx);
}

static void an_image_that_can_not_be_held_is_reported(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin(&fx, 1);
    rub_error_t err = {0};
    (void)rub_fail(&err, RUB_ESTORE, "no reader's place is free");
    held(&fx, 1, &err);
    assert_int_equal(fx.unfolded.code, -RUB_ESTORE);
    assert_string_equal(fx.unfolded.sentence, "no reader's place is free");
    assert_int_equal(fx.n_unpins, 1);
    fx_close(&fx);
}

static void a_leaving_shard_gives_it_up(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    rub_shard_drain(fx.shard);
    assert_int_equal(fx.n_unpins, 1);
    assert_non_null(strstr(fx.unfolded.sentence, "shard 0 is leaving"));
    fx_close(&fx);
}

/* ---- what is said of the sessions ---- */

static void pinned_says_done_and_open_pushes_of_all_that_are_not_gone(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 4, RUB_ASYNC);
    fx_push(&fx, 100, 1, 0, 5, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_push(&fx, 100, 3, 1, 5, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    fx_push(&fx, 102, 1, 0, 5, 1);
    fx_say(&fx, 102, RUB_MSG_IDLE, 2, 1);
    fx_say(&fx, 103, RUB_MSG_BYE, 1, 0);
    pin_and_hold(&fx, 1);
    assert_int_equal(fx.n_pinned, 4);
    assert_int_equal(fx.pinned[0].done, 1);
    assert_int_equal(fx.pinned[0].marks, RUB_PINNED_PUSHED);
    assert_int_equal(fx.pinned[1].done, 1);
    assert_int_equal(fx.pinned[1].marks, 0);
    assert_int_equal(fx.pinned[2].done, 1);
    assert_int_equal(fx.pinned[2].marks, RUB_PINNED_IDLE);
    /* Another shard may not have its BYE yet. */
    assert_int_equal(fx.pinned[3].marks, RUB_PINNED_IDLE | RUB_PINNED_WHOLE);
    unpin(&fx, 1, 0);
    fx.ranks[3].state = RUB_RANK_DONE;
    fx.ranks[2].state = RUB_RANK_GONE;
    fx_view(&fx);
    pin_and_hold(&fx, 2);
    assert_int_equal(fx.n_pinned, 3);
    assert_int_equal(fx.pinned[2].rank, 3);
    fx_close(&fx);
}

static void idle(fx_t *fx, rub_peer_t peer, uint64_t seq, uint64_t clock, uint64_t mark)
{
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_IDLE, .seq = seq, .clock = clock, .mark = mark}, NULL,
             0, NULL, 0);
}

/* How each of the two is pinned; the pin is let go again. */
static void marks_are(fx_t *fx, uint64_t number, uint32_t first, uint32_t second)
{
    pin_and_hold(fx, number);
    assert_int_equal(fx->n_pinned, 2);
    assert_int_equal(fx->pinned[0].marks, first);
    assert_int_equal(fx->pinned[1].marks, second);
    unpin(fx, number, 0);
}

/* Kept by the journal and by the stored state: the session that said it may rest for longer than
 * the shard's process lives. */
static void
who_said_with_its_idle_that_nothing_is_kept_back_is_whole_until_it_is_counted(void **state)
{
    RUB_UNUSED(state);
    enum { IDLE = RUB_PINNED_IDLE, WHOLE = RUB_PINNED_IDLE | RUB_PINNED_WHOLE };
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_push(&fx, 100, 1, 0, 5, 1);
    idle(&fx, 100, 2, 1, RUB_IDLE_WHOLE);
    idle(&fx, 101, 1, 0, 0);
    marks_are(&fx, 1, WHOLE, IDLE);
    fx_crash(&fx);
    fx_view(&fx);
    marks_are(&fx, 2, WHOLE, IDLE);
    fx_tick(&fx, 1000);
    fx_commit(&fx);
    fx_crash(&fx);
    fx_view(&fx);
    marks_are(&fx, 3, WHOLE, IDLE);
    fx_hello(&fx, 100, 0, 1);
    fx_say(&fx, 100, RUB_MSG_RESUME, 3, 1);
    marks_are(&fx, 4, 0, IDLE);
    fx_push(&fx, 100, 4, 1, 5, 1);
    idle(&fx, 100, 5, 2, 0); /* now it does keep something */
    marks_are(&fx, 5, IDLE, IDLE);
    fx_close(&fx);
}

static void pinned_is_said_again_unchanged_until_unpin(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    fx_push(&fx, 100, 1, 0, 5, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_tick(&fx, 500);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_PINNED], 3);
    assert_int_equal(fx.pinned[0].done, 0);
    unpin(&fx, 1, 0);
    assert_int_equal(fx.n_unpins, 1);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_PINNED], 3);
    fx_close(&fx);
}

static void the_same_pin_twice_is_one_and_a_later_one_takes_its_place(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    pin(&fx, 1);
    assert_int_equal(fx.n_unpins, 0);
    assert_int_equal(fx.controls[RUB_MSG_PINNED], 2);
    pin_and_hold(&fx, 2);
    assert_int_equal(fx.n_unpins, 1);
    assert_false(fx.kept);
    pin(&fx, 1); /* a late copy */
    assert_int_equal(fx.pin_number, 2);
    cut(&fx, 1, 0, 0);
    assert_int_equal(fx.n_folds, 0);
    fx_close(&fx);
}

static void an_image_that_comes_after_unpin_is_not_spoken_of(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin(&fx, 1);
    unpin(&fx, 1, 0);
    held(&fx, 1, NULL);
    assert_int_equal(fx.controls[RUB_MSG_PINNED], 0);
    fx_close(&fx);
}

/* ---- the cut ---- */

static void it_folds_once_everybody_has_come_to_the_cut(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_push(&fx, 100, 1, 0, 5, 1);
    pin_and_hold(&fx, 1);
    const uint64_t pin_lsn = rub_shard_lsn(fx.shard);
    cut(&fx, 1, 1, 1);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_push(&fx, 100, 3, 1, 5, 1);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx.n_folds, 1);
    assert_int_equal(fx.order.number, 1);
    assert_int_equal(fx.order.pin_lsn, pin_lsn);
    assert_int_equal(fx.order.to_lsn, rub_shard_lsn(fx.shard));
    assert_int_equal(fx.order.n_ranks, 2);
    assert_int_equal(fx.order_cut[0].cut, 1);
    cut(&fx, 1, 1, 1); /* a late copy */
    fx_tick(&fx, 100);
    assert_int_equal(fx.n_folds, 1);
    fx_close(&fx);
}

static void who_ended_its_stream_below_the_cut_is_cut_where_it_ended(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 3, 3);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
    }
    fx_push(&fx, 101, 1, 0, 5, 1);
    fx_say(&fx, 101, RUB_MSG_BYE, 2, 1);
    assert_int_equal(fx.n_folds, 1);
    assert_int_equal(fx.order_cut[0].cut, 3);
    assert_int_equal(fx.order_cut[1].cut, 1);
    fx_close(&fx);
}

static void who_is_evicted_below_the_cut_ends_it(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 2, 2);
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    assert_int_equal(fx.n_folds, 0);
    assert_int_equal(fx.unfolded.code, -RUB_ECANCELLED);
    assert_non_null(strstr(fx.unfolded.sentence, "rank 1 (epoch 1) was evicted before it came to"));
    assert_int_equal(fx.n_unpins, 1);
    fx_close(&fx);
}

static void who_was_at_the_cut_may_go(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 1, 1);
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx.n_folds, 1);
    fx_close(&fx);
}

static void a_rank_whose_view_has_not_come_is_waited_for(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    rub_cut_rank_t ranks[] = {{.rank = 2, .epoch = 1, .cut = 1}};
    const rub_control_t message = {
        .type = RUB_MSG_CUT,
        .cut = {.job = JOB, .generation = 1, .number = 1, .ranks = ranks, .n_ranks = 1}};
    control(&fx, &message);
    assert_int_equal(fx.n_folds, 0);
    fx.ranks[2] = (rub_rank_view_t){.rank = 2, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 3;
    fx_view(&fx);
    fx_hello(&fx, 102, 2, 1);
    fx_all_synced(&fx);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 102, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx.n_folds, 1);
    fx_close(&fx);
}

static void bsp_waits_for_the_period_to_be_closed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 5, 1);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 1, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx.n_folds, 1);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    assert_int_equal(fx.order.to_lsn, fx.journal[fx.n_journal - 1].lsn);
    fx_close(&fx);
}

static void bsp_does_not_wait_for_an_idle_rank_that_can_only_come_back_behind_the_cut(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    fx_push(&fx, 100, 1, 0, 5, 1);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 1, 1);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    assert_int_equal(fx.n_folds, 1);
    assert_int_equal(fx.order_cut[0].cut, 1);
    assert_int_equal(fx.order_cut[1].cut, 0);
    fx_close(&fx);
}

static void with_a_bound_an_idle_rank_is_waited_for(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 1, 1); /* it was busy at another shard */
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx.n_folds, 0);
    fx_say(&fx, 101, RUB_MSG_RESUME, 2, 1);
    assert_int_equal(fx.n_folds, 1);
    fx_close(&fx);
}

/* ---- the part ---- */

static void folded_is_said_again_until_unpin_and_the_image_is_let_go_at_once(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 0, 0);
    assert_int_equal(fx.n_folds, 1);
    folded(&fx, 1, NULL);
    assert_int_equal(fx.n_unpins, 1);
    assert_true(fx.kept);
    assert_int_equal(fx.folded.part_bytes, 100);
    assert_int_equal(fx.folded.hash, 11);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_FOLDED], 2);
    unpin(&fx, 1, 1);
    assert_true(fx.kept);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_FOLDED], 2);
    fx_close(&fx);
}

static void a_part_of_a_snapshot_that_was_given_up_is_removed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 0, 0);
    folded(&fx, 1, NULL);
    unpin(&fx, 1, 0);
    assert_int_equal(fx.n_unpins, 2);
    assert_false(fx.kept);
    fx_close(&fx);
}

static void what_is_not_folded_yet_is_not_kept_whatever_unpin_says(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 0, 0);
    assert_int_equal(fx.n_folds, 1);
    unpin(&fx, 1, 1);
    assert_int_equal(fx.n_unpins, 1);
    assert_false(fx.kept);
    fx_close(&fx);
}

static void a_fold_that_fails_is_reported_until_unpin_and_one_let_go_is_not(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    cut(&fx, 1, 0, 0);
    rub_error_t err = {0};
    (void)rub_fail(&err, RUB_ENOSPC, "no space for the part");
    folded(&fx, 1, &err);
    assert_int_equal(fx.unfolded.code, -RUB_ENOSPC);
    assert_false(fx.kept);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_UNFOLDED], 2);
    unpin(&fx, 1, 0);

    pin_and_hold(&fx, 2);
    cut(&fx, 2, 0, 0);
    unpin(&fx, 2, 0);
    folded(&fx, 2, NULL);
    assert_int_equal(fx.controls[RUB_MSG_FOLDED], 0);
    fx_close(&fx);
}

static void a_new_generation_of_the_scheduler_ends_it(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    pin_and_hold(&fx, 1);
    fx.generation = 2;
    fx_view(&fx);
    assert_int_equal(fx.n_unpins, 1);
    assert_false(fx.kept);
    const uint32_t said = fx.controls[RUB_MSG_PINNED];
    fx_tick(&fx, 600);
    assert_int_equal(fx.controls[RUB_MSG_PINNED], said);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_without_a_store_says_so),
        cmocka_unit_test(another_jobs_and_an_old_schedulers_pins_are_ignored),
        cmocka_unit_test(an_image_that_can_not_be_held_is_reported),
        cmocka_unit_test(a_leaving_shard_gives_it_up),
        cmocka_unit_test(pinned_says_done_and_open_pushes_of_all_that_are_not_gone),
        cmocka_unit_test(
            who_said_with_its_idle_that_nothing_is_kept_back_is_whole_until_it_is_counted),
        cmocka_unit_test(pinned_is_said_again_unchanged_until_unpin),
        cmocka_unit_test(the_same_pin_twice_is_one_and_a_later_one_takes_its_place),
        cmocka_unit_test(an_image_that_comes_after_unpin_is_not_spoken_of),
        cmocka_unit_test(it_folds_once_everybody_has_come_to_the_cut),
        cmocka_unit_test(who_ended_its_stream_below_the_cut_is_cut_where_it_ended),
        cmocka_unit_test(who_is_evicted_below_the_cut_ends_it),
        cmocka_unit_test(who_was_at_the_cut_may_go),
        cmocka_unit_test(a_rank_whose_view_has_not_come_is_waited_for),
        cmocka_unit_test(bsp_waits_for_the_period_to_be_closed),
        cmocka_unit_test(bsp_does_not_wait_for_an_idle_rank_that_can_only_come_back_behind_the_cut),
        cmocka_unit_test(with_a_bound_an_idle_rank_is_waited_for),
        cmocka_unit_test(folded_is_said_again_until_unpin_and_the_image_is_let_go_at_once),
        cmocka_unit_test(a_part_of_a_snapshot_that_was_given_up_is_removed),
        cmocka_unit_test(what_is_not_folded_yet_is_not_kept_whatever_unpin_says),
        cmocka_unit_test(a_fold_that_fails_is_reported_until_unpin_and_one_let_go_is_not),
        cmocka_unit_test(a_new_generation_of_the_scheduler_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
