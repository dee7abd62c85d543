/* Ranks: epochs, pins, and what each record does to a clock. */
#include "common/base/check.h"
#include "ps/members.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void count_over(void *context, const rub_member_t *member)
{
    RUB_UNUSED(member);
    ++*(int *)context;
}

static int take(rub_members_t *members, rub_rank_view_t *ranks, uint32_t n_ranks,
                uint32_t n_workers)
{
    int over = 0;
    const rub_view_t view = {.n_workers = n_workers, .ranks = ranks, .n_ranks = n_ranks};
    assert_int_equal(rub_members_take_view(members, &view, 1, count_over, &over), 0);
    return over;
}

static void clock_to(rub_members_t *members, uint32_t rank, uint64_t clock)
{
    rub_member_t *member = rub_members_find(members, rank);
    while (member->done < clock) {
        const rub_record_t record = {.clock = member->done + 1};
        assert_true(rub_member_clock(member, &record));
    }
}

static void first_gang_counts_at_zero_even_when_nobody_came(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_init(&members);
    rub_rank_view_t first[] = {{.rank = 0, .epoch = 1, .state = RUB_RANK_LIVE}};
    assert_int_equal(take(&members, first, 1, 2), 0);
    assert_true(rub_member_counts(rub_members_find(&members, 1)));
    clock_to(&members, 0, 3);
    assert_int_equal(rub_members_minimum(&members), 0);
    rub_rank_view_t both[] = {first[0], {.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE}};
    assert_int_equal(take(&members, both, 2, 2), 0);
    assert_int_equal(rub_members_find(&members, 1)->done, 0); /* its place waited for it */
    assert_int_equal(rub_members_find(&members, 1)->epoch, 1);
    rub_members_fini(&members);
}

static void new_epoch_starts_its_stream_afresh_at_the_minimum_of_the_others(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_init(&members);
    rub_rank_view_t ranks[] = {{.rank = 0, .epoch = 1, .state = RUB_RANK_LIVE},
                               {.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE}};
    take(&members, ranks, 2, 2);
    clock_to(&members, 0, 6);
    clock_to(&members, 1, 2);
    ranks[1].epoch = 2;
    assert_int_equal(take(&members, ranks, 2, 2), 1);
    const rub_member_t *member = rub_members_find(&members, 1);
    assert_int_equal(member->applied, 0);
    assert_int_equal(member->done, 6);
    assert_true(member->joined);
    rub_members_fini(&members);
}

static void
a_gang_member_replaced_before_the_start_ends_its_first_period_like_any_other(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_init(&members);
    rub_rank_view_t ranks[] = {{.rank = 0, .epoch = 1, .state = RUB_RANK_LIVE},
                               {.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE}};
    take(&members, ranks, 2, 2);
    ranks[1].epoch = 2;
    take(&members, ranks, 2, 2);
    const rub_record_t record = {.clock = 1};
    assert_true(rub_member_clock(rub_members_find(&members, 1), &record));
    rub_members_fini(&members);
}

static void the_gone_are_not_counted_and_do_not_come_back(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_init(&members);
    rub_rank_view_t ranks[] = {{.rank = 0, .epoch = 1, .state = RUB_RANK_LIVE}};
    take(&members, ranks, 1, 1);
    ranks[0].state = RUB_RANK_GONE;
    assert_int_equal(take(&members, ranks, 1, 1), 1);
    assert_int_equal(rub_members_minimum(&members), UINT64_MAX);
    assert_int_equal(take(&members, ranks, 1, 1), 0);
    ranks[0].state = RUB_RANK_LIVE;
    take(&members, ranks, 1, 1);
    assert_false(rub_member_counts(rub_members_find(&members, 0)));
    rub_members_fini(&members);
}

static void pin_is_never_below_a_minimum_that_was(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_init(&members);
    assert_int_equal(rub_members_pin(&members), 0);
    rub_members_raise_floor(&members, 9);
    rub_members_raise_floor(&members, 4);
    rub_members_raise_floor(&members, UINT64_MAX);
    assert_int_equal(rub_members_pin(&members), 9);
    rub_members_fini(&members);
}

static rub_member_t a_member(uint64_t done)
{
    return (rub_member_t){.known = true, .epoch = 1, .done = done};
}

static void push_must_carry_its_ranks_clock(void **state)
{
    RUB_UNUSED(state);
    rub_member_t member = a_member(3);
    assert_int_equal(rub_member_check_push(&member, 3), 0);
    assert_int_equal(rub_member_check_push(&member, 2), RUB_ECLOCK);
    assert_int_equal(rub_member_check_push(&member, 4), RUB_ECLOCK);
    member.idle = true;
    assert_int_equal(rub_member_check_push(&member, 3), RUB_ENOWORKER);
}

static void clock_goes_up_by_one_or_jumps_when_it_may(void **state)
{
    RUB_UNUSED(state);
    rub_member_t member = a_member(3);
    assert_int_equal(rub_member_check_clock(&member, 4, 0), 0);
    assert_int_equal(rub_member_check_clock(&member, 3, 0), RUB_ECLOCK);
    assert_int_equal(rub_member_check_clock(&member, 5, 0), RUB_ECLOCK);
    assert_int_equal(rub_member_check_clock(&member, 4, RUB_CURSOR_LIMIT + 1), RUB_ESHAPE);
    member.may_jump = true;
    assert_int_equal(rub_member_check_clock(&member, 3, 0), 0);
    assert_int_equal(rub_member_check_clock(&member, 50, 0), 0);
    assert_int_equal(rub_member_check_clock(&member, 2, 0), RUB_ECLOCK);
    assert_int_equal(rub_member_check_clock(&member, RUB_CLOCK_LIMIT, 0), 0);
    assert_int_equal(rub_member_check_clock(&member, RUB_CLOCK_LIMIT + 1, 0), RUB_ECLOCK);
    assert_int_equal(rub_member_check_resume(&member, RUB_CLOCK_LIMIT), 0);
    assert_int_equal(rub_member_check_resume(&member, RUB_CLOCK_LIMIT + 1), RUB_ECLOCK);
}

static void joiners_first_clock_ends_no_period(void **state)
{
    RUB_UNUSED(state);
    rub_member_t member = a_member(3);
    member.joined = true;
    member.may_jump = true;
    const rub_record_t record = {.clock = 4};
    assert_false(rub_member_clock(&member, &record));
    assert_int_equal(member.done, 4);
    const rub_record_t next = {.clock = 5};
    assert_true(rub_member_clock(&member, &next));
}

static void idle_ends_a_period_that_was_pushed_into_or_that_it_says(void **state)
{
    RUB_UNUSED(state);
    rub_member_t member = a_member(3);
    const rub_record_t same = {.clock = 3};
    const rub_record_t next = {.clock = 4};
    rub_member_t empty = member;
    assert_false(rub_member_idle(&empty, &same));
    assert_int_equal(empty.done, 3);
    rub_member_t told = member;
    assert_true(rub_member_idle(&told, &next));
    assert_int_equal(told.done, 4);
    rub_member_push(&member);
    assert_true(rub_member_idle(&member, &same));
    assert_int_equal(member.done, 4);
    assert_true(member.idle);
    assert_int_equal(member.applied, 2);
}

static void resume_takes_the_greatest_of_own_wanted_and_pin(void **state)
{
    RUB_UNUSED(state);
    const rub_record_t wanted = {.clock = 7};
    rub_member_t a = a_member(9);
    rub_member_t b = a_member(3);
    rub_member_t c = a_member(3);
    a.idle = b.idle = c.idle = true;
    rub_member_resume(&a, &wanted, 2);
    rub_member_resume(&b, &wanted, 2);
    rub_member_resume(&c, &wanted, 8);
    assert_int_equal(a.done, 9);
    assert_int_equal(b.done, 7);
    assert_int_equal(c.done, 8);
    assert_false(c.idle);
    assert_true(c.may_jump);
}

static void state_comes_back_as_it_was(void **state)
{
    RUB_UNUSED(state);
    rub_members_t members;
    rub_members_t again;
    rub_members_init(&members);
    rub_members_init(&again);
    rub_rank_view_t ranks[] = {{.rank = 0, .epoch = 4, .state = RUB_RANK_LIVE},
                               {.rank = 5, .epoch = 1, .state = RUB_RANK_DONE}};
    take(&members, ranks, 2, 1);
    rub_member_t *member = rub_members_find(&members, 0);
    const rub_record_t cursor = {.clock = 1, .values = (const uint8_t *)"abc", .values_bytes = 3};
    rub_member_clock(member, &cursor);
    rub_member_push(member);
    rub_member_refuse(member, &(rub_record_t){.seq = 3}, RUB_ENAN);
    rub_members_raise_floor(&members, 1);
    rub_buf_t out;
    rub_buf_init(&out);
    rub_members_encode(&members, &out);
    rub_reader_t in;
    rub_reader_init(&in, out.data, out.bytes);
    assert_int_equal(rub_members_decode(&again, &in, NULL), 0);
    assert_int_equal(in.left, 0);
    const rub_member_t *copy = rub_members_find(&again, 0);
    assert_int_equal(copy->epoch, 4);
    assert_int_equal(copy->applied, 3);
    assert_int_equal(copy->done, 1);
    assert_true(copy->pushed);
    assert_int_equal(copy->refused, 1);
    assert_int_equal(copy->refused_code, RUB_ENAN);
    assert_memory_equal(copy->cursor, "abc", 3);
    assert_int_equal(rub_members_find(&again, 5)->state, RUB_RANK_DONE);
    assert_null(rub_members_find(&again, 3));
    assert_int_equal(again.floor, 1);
    for (size_t cut = 0; cut < out.bytes; cut++) { /* any cut is refused */
        rub_members_t torn;
        rub_members_init(&torn);
        rub_reader_init(&in, out.data, cut);
        assert_int_equal(rub_members_decode(&torn, &in, NULL), RUB_ECORRUPT);
        rub_members_fini(&torn);
    }
    rub_buf_reset(&out);
    member->done = UINT64_MAX; /* which would mean that nobody is counted */
    rub_members_encode(&members, &out);
    rub_members_t wild;
    rub_members_init(&wild);
    rub_reader_init(&in, out.data, out.bytes);
    rub_error_t err = {0};
    assert_int_equal(rub_members_decode(&wild, &in, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "has clock 18446744073709551615, limit"));
    rub_members_fini(&wild);
    rub_buf_fini(&out);
    rub_members_fini(&members);
    rub_members_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_gang_counts_at_zero_even_when_nobody_came),
        cmocka_unit_test(new_epoch_starts_its_stream_afresh_at_the_minimum_of_the_others),
        cmocka_unit_test(
            a_gang_member_replaced_before_the_start_ends_its_first_period_like_any_other),
        cmocka_unit_test(the_gone_are_not_counted_and_do_not_come_back),
        cmocka_unit_test(pin_is_never_below_a_minimum_that_was),
        cmocka_unit_test(push_must_carry_its_ranks_clock),
        cmocka_unit_test(clock_goes_up_by_one_or_jumps_when_it_may),
        cmocka_unit_test(joiners_first_clock_ends_no_period),
        cmocka_unit_test(idle_ends_a_period_that_was_pushed_into_or_that_it_says),
        cmocka_unit_test(resume_takes_the_greatest_of_own_wanted_and_pin),
        cmocka_unit_test(state_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
