/* Which lists are worth telling: the second time, within what is granted, and never at the cost of
 * one that is used more often. */
#include "common/base/check.h"
#include "worker/client/told_lists.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4 };

static int setup(void **state)
{
    *state = rub_told_lists_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    rub_told_lists_t *self = *state;
    rub_told_lists_destroy(&self);
    return 0;
}

/* Uses list number `list`, and tells it if that is its form. */
static rub_keys_form_t use(rub_told_lists_t *self, uint64_t list, size_t limit_lists)
{
    const uint64_t keys[N] = {list, list + 1, 5, list * 3};
    const size_t limit_bytes = limit_lists * rub_key_list_bytes(N);
    rub_key_digest_t digest;
    rub_packet_t *told = NULL;
    const rub_keys_form_t form = rub_told_lists_form(self, keys, N, limit_bytes, &digest, &told);
    assert_int_equal(form == RUB_KEYS_BY_DIGEST, told != NULL);
    if (told) {
        assert_memory_equal(rub_packet_keys(told), keys, sizeof(keys));
    }
    if (form == RUB_KEYS_TELL) {
        const rub_header_t header = {.type = RUB_MSG_PULL, .flags = RUB_FLAG_REMEMBER, .n_keys = N};
        rub_packet_t *packet = rub_packet_new(&header, sizeof(keys), 0);
        assert_non_null(packet);
        memcpy(rub_packet_keys(packet), keys, sizeof(keys));
        rub_told_lists_told(self, packet, limit_bytes);
        rub_packet_unref(&packet);
    }
    return form;
}

static void a_list_is_told_when_it_comes_again_and_short_from_then_on(void **state)
{
    assert_int_equal(use(*state, 1, 9), RUB_KEYS_SAY);
    assert_int_equal(use(*state, 2, 9), RUB_KEYS_SAY);
    assert_int_equal(use(*state, 1, 9), RUB_KEYS_TELL);
    assert_int_equal(use(*state, 1, 9), RUB_KEYS_BY_DIGEST);
    assert_int_equal(use(*state, 2, 9), RUB_KEYS_TELL);
    assert_int_equal(use(*state, 2, 9), RUB_KEYS_BY_DIGEST);
}

static void what_is_not_granted_is_not_told(void **state)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(use(*state, 1, 0), RUB_KEYS_SAY);
    }
}

static void lists_that_go_round_do_not_throw_each_other_out(void **state)
{
    enum { ALL = 12, LIMIT = 4 };
    size_t n_short = 0;
    for (int round = 0; round < 6; round++) {
        n_short = 0;
        for (uint64_t list = 0; list < ALL; list++) {
            n_short += use(*state, 10 * list, LIMIT) == RUB_KEYS_BY_DIGEST;
        }
    }
    assert_int_equal(n_short, LIMIT);
}

static void one_that_is_not_used_any_more_gives_way(void **state)
{
    for (int i = 0; i < 3; i++) {
        (void)use(*state, 1, 1);
    }
    rub_keys_form_t form = RUB_KEYS_SAY;
    for (int i = 0; i < 100 && form != RUB_KEYS_BY_DIGEST; i++) {
        form = use(*state, 2, 1);
    }
    assert_int_equal(form, RUB_KEYS_BY_DIGEST);
    assert_int_equal(use(*state, 1, 1), RUB_KEYS_SAY); /* and does not come back at once */
}

static void what_is_forgotten_is_told_again(void **state)
{
    const uint64_t keys[N] = {1, 2, 5, 3};
    const rub_key_digest_t digest = rub_key_digest_of((const uint8_t *)keys, N);
    for (int i = 0; i < 2; i++) {
        (void)use(*state, 1, 9);
        (void)use(*state, 2, 9);
    }
    rub_told_lists_forget(*state, &digest);
    assert_int_equal(use(*state, 1, 9), RUB_KEYS_TELL);
    assert_int_equal(use(*state, 2, 9), RUB_KEYS_BY_DIGEST);
    rub_told_lists_forget(*state, NULL);
    assert_int_equal(use(*state, 1, 9), RUB_KEYS_TELL);
    assert_int_equal(use(*state, 2, 9), RUB_KEYS_TELL);
}

static void more_lists_than_there_are_notes_are_no_harm(void **state)
{
    for (uint64_t list = 0; list < 20000; list++) {
        (void)use(*state, list % 7 ? list : 1, 3);
    }
    assert_int_equal(use(*state, 1, 3), RUB_KEYS_BY_DIGEST);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_told_when_it_comes_again_and_short_from_then_on),
        TEST(what_is_not_granted_is_not_told),
        TEST(lists_that_go_round_do_not_throw_each_other_out),
        TEST(one_that_is_not_used_any_more_gives_way),
        TEST(what_is_forgotten_is_told_again),
        TEST(more_lists_than_there_are_notes_are_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
