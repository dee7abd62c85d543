/* Post boxes: order beside a connection, limits, sleep, an end that scribbles, two threads. */
#include "common/net/post.h"

#include "common/base/alloc.h"
#include "common/base/rng.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct pair {
    void *memory;
    rub_post_t in, out; /* in: who puts in */
} pair_t;

static pair_t pair_of(void)
{
    pair_t pair = {.memory = rub_alloc_aligned(4096, RUB_POST_BOX_BYTES)};
    assert_non_null(pair.memory);
    memset(pair.memory, 0, RUB_POST_BOX_BYTES);
    rub_post_open(&pair.in, pair.memory);
    rub_post_open(&pair.out, pair.memory);
    return pair;
}

static void expect(pair_t *pair, const char *text)
{
    uint8_t out[RUB_POST_MOST];
    assert_int_equal(rub_post_take(&pair->out, out), text ? strlen(text) : 0);
    if (text) {
        assert_memory_equal(out, text, strlen(text));
    }
}

static void what_is_empty_or_too_long_is_not_taken(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    const uint8_t bytes[RUB_POST_MOST + 1] = {7};
    uint8_t out[RUB_POST_MOST];
    assert_false(rub_post_put(&pair.in, bytes, 0));
    assert_false(rub_post_put(&pair.in, bytes, sizeof(bytes)));
    assert_false(rub_post_has(&pair.out));
    assert_true(rub_post_put(&pair.in, bytes, RUB_POST_MOST));
    assert_int_equal(rub_post_take(&pair.out, out), RUB_POST_MOST);
    assert_memory_equal(out, bytes, RUB_POST_MOST);
    rub_free(pair.memory);
}

static void a_full_box_takes_nothing_until_there_is_room(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < RUB_POST_PLACES; i++) {
            assert_true(rub_post_put(&pair.in, i % 2 ? "odd" : "even", i % 2 ? 3 : 4));
        }
        assert_false(rub_post_put(&pair.in, "more", 4));
        expect(&pair, "even");
        assert_true(rub_post_put(&pair.in, "more", 4));
        assert_false(rub_post_put(&pair.in, "more", 4));
        for (uint32_t i = 1; i < RUB_POST_PLACES; i++) {
            expect(&pair, i % 2 ? "odd" : "even");
        }
        expect(&pair, "more");
        expect(&pair, NULL);
    }
    rub_free(pair.memory);
}

/* A message that went through the connection stands between those before and behind it. */
static void nothing_overtakes_what_went_through_the_connection(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    pair.in.through = pair.out.through = UINT32_MAX; /* counts wrap around */
    assert_true(rub_post_put(&pair.in, "1", 1));
    pair.in.through++;
    assert_true(rub_post_put(&pair.in, "3", 1));
    expect(&pair, "1");
    expect(&pair, NULL);
    assert_false(rub_post_has(&pair.out));
    pair.out.through++; /* 2 has come */
    expect(&pair, "3");
    pair.out.through++; /* more than was said hurts nobody */
    assert_true(rub_post_put(&pair.in, "4", 1));
    expect(&pair, "4");
    rub_free(pair.memory);
}

static void a_mark_is_reached_when_all_before_it_is_taken(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    assert_true(rub_post_reached(&pair.out, rub_post_mark(&pair.out)));
    assert_true(rub_post_put(&pair.in, "1", 1));
    assert_true(rub_post_put(&pair.in, "2", 1));
    const uint32_t mark = rub_post_mark(&pair.out);
    assert_true(rub_post_put(&pair.in, "4", 1));
    expect(&pair, "1");
    assert_false(rub_post_reached(&pair.out, mark));
    expect(&pair, "2");
    assert_true(rub_post_reached(&pair.out, mark));
    expect(&pair, "4");
    assert_true(rub_post_reached(&pair.out, mark));
    pair.in.through += 2; /* a lie: nothing that is held for it may be held for ever */
    assert_true(rub_post_put(&pair.in, "5", 1));
    assert_true(rub_post_reached(&pair.out, rub_post_mark(&pair.out)));
    rub_free(pair.memory);
}

static void who_sleeps_is_knocked_up_once(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    assert_true(rub_post_put(&pair.in, "1", 1));
    assert_false(rub_post_must_knock(&pair.in)); /* nobody slept */
    assert_false(rub_post_sleep(&pair.out));     /* there is something */
    assert_true(rub_post_put(&pair.in, "2", 1));
    assert_false(rub_post_must_knock(&pair.in));
    expect(&pair, "1");
    expect(&pair, "2");
    assert_true(rub_post_sleep(&pair.out));
    assert_true(rub_post_put(&pair.in, "3", 1));
    assert_true(rub_post_must_knock(&pair.in));
    assert_true(rub_post_put(&pair.in, "4", 1));
    assert_false(rub_post_must_knock(&pair.in));
    expect(&pair, "3");
    expect(&pair, "4");
    assert_true(rub_post_sleep(&pair.out));
    rub_post_rise(&pair.out);
    assert_true(rub_post_put(&pair.in, "5", 1));
    assert_false(rub_post_must_knock(&pair.in));
    rub_free(pair.memory);
}

/* Whatever stands in the box, each end stays within it: the sanitizers look on. */
static void an_end_that_scribbles_is_survived(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_rng_t rng;
    rub_rng_init(&rng, 1, 2);
    uint8_t out[RUB_POST_MOST];
    for (uint32_t turn = 0; turn < 3000; turn++) {
        uint8_t *bytes = pair.memory;
        const size_t at = rub_rng_below(&rng, 4) * 64; /* counts, sleeper, and what lies behind */
        for (size_t i = 0; i < 4; i++) {
            bytes[at + i] = (uint8_t)rub_rng_u32(&rng) >> rub_rng_below(&rng, 9);
        }
        for (size_t i = 0; i < 8; i++) { /* a place's head */
            bytes[4096 + (turn % RUB_POST_PLACES) * 128 + i] = (uint8_t)rub_rng_u32(&rng);
        }
        (void)rub_post_put(&pair.in, "x", 1);
        (void)rub_post_must_knock(&pair.in);
        const size_t n = rub_post_take(&pair.out, out);
        assert_true(n <= RUB_POST_MOST);
        assert_true(rub_post_mark(&pair.out) - pair.out.n <= RUB_POST_PLACES);
        if (rub_post_sleep(&pair.out)) {
            rub_post_rise(&pair.out);
        }
    }
    rub_free(pair.memory);
}

enum { MESSAGES = 20000 };

typedef struct talk {
    pair_t *pair;
    atomic_uint knocks; /* the connection: it carries nothing but these */
} talk_t;

static void *put_all(void *argument)
{
    talk_t *talk = argument;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        while (!rub_post_put(&talk->pair->in, &i, sizeof(i))) {
            (void)sched_yield();
        }
        if (rub_post_must_knock(&talk->pair->in)) {
            talk->pair->in.through++;
            atomic_fetch_add(&talk->knocks, 1);
        }
    }
    return NULL;
}

/* The taker sleeps whenever he may, and nothing but a knock wakes him: a lost one would never end.
 */
static void two_threads_lose_no_message_and_no_knock(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    talk_t talk = {.pair = &pair};
    pthread_t putter;
    assert_int_equal(pthread_create(&putter, NULL, put_all, &talk), 0);
    for (uint32_t i = 0; i < MESSAGES;) {
        uint8_t out[RUB_POST_MOST];
        const size_t n = rub_post_take(&pair.out, out);
        if (n > 0) {
            assert_int_equal(n, sizeof(i));
            assert_memory_equal(out, &i, sizeof(i));
            i++;
            continue;
        }
        if (rub_post_sleep(&pair.out)) {
            while (atomic_load(&talk.knocks) == pair.out.through) {
                (void)sched_yield();
            }
            rub_post_rise(&pair.out);
        }
        pair.out.through = atomic_load(&talk.knocks);
    }
    assert_int_equal(pthread_join(putter, NULL), 0);
    rub_free(pair.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_empty_or_too_long_is_not_taken),
        cmocka_unit_test(a_full_box_takes_nothing_until_there_is_room),
        cmocka_unit_test(nothing_overtakes_what_went_through_the_connection),
        cmocka_unit_test(a_mark_is_reached_when_all_before_it_is_taken),
        cmocka_unit_test(who_sleeps_is_knocked_up_once),
        cmocka_unit_test(an_end_that_scribbles_is_survived),
        cmocka_unit_test(two_threads_lose_no_message_and_no_knock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
