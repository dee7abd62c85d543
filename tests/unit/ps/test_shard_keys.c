/* Keys that come as a digest: what is known is as if the keys had come, what is not consumes
 * nothing, and neither the journal nor a restart knows of it. */
#include "common/wire/key_digest.h"
#include "ps/record.h"
#include "tests/unit/ps/shard_fixture.h"

enum { PEER = 100, N = 3 };

static const uint64_t keys[N] = {7, 3, 900};

/* Says the ledger's rows 7, 3 and 900, in that form; a push adds 1 to each. */
static void say(fx_t *fx, uint8_t type, uint32_t form, uint64_t seq, uint32_t n)
{
    static const float ones[2 * N] = {1, 1, 1, 1, 1, 1};
    uint8_t digest[RUB_KEY_DIGEST_BYTES];
    const rub_key_digest_t of_keys = rub_key_digest_of((const uint8_t *)keys, n);
    rub_key_digest_write(&of_keys, digest);
    const bool brief = form == RUB_FLAG_DIGEST;
    fx_frame(fx, PEER,
             (rub_header_t){.type = type, .table = LEDGER, .flags = form, .seq = seq, .n_keys = n},
             brief ? digest : (const uint8_t *)keys, brief ? sizeof(digest) : 8 * (size_t)n, ones,
             type == RUB_MSG_PUSH ? 8 * (size_t)n : 0);
}

static void push(fx_t *fx, uint32_t form, uint64_t seq)
{
    say(fx, RUB_MSG_PUSH, form, seq, N);
}

static void assert_unknown(const fx_t *fx, uint8_t type, uint64_t seq, size_t times)
{
    assert_int_equal(fx_count(fx, PEER, RUB_MSG_KEYS_UNKNOWN), times);
    const rub_header_t *header = rub_packet_header(fx_last(fx, PEER, RUB_MSG_KEYS_UNKNOWN));
    assert_int_equal(header->seq, seq);
    assert_int_equal(header->mark, type);
}

static void an_unknown_digest_of_a_push_consumes_nothing(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    const size_t n_journal = fx.n_journal;
    push(&fx, RUB_FLAG_DIGEST, 1);
    assert_unknown(&fx, RUB_MSG_PUSH, 1, 1);
    assert_int_equal(fx.n_journal, n_journal);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_ACK), 0);
    push(&fx, 0, 1);
    assert_int_equal(fx_ack(&fx, PEER)->seq, 1);
    fx_close(&fx);
}

static void what_was_sent_behind_an_unknown_digest_is_dropped_until_it_comes_again(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_DIGEST, 1);
    push(&fx, 0, 2);
    fx_say(&fx, PEER, RUB_MSG_CLOCK, 3, 1);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_ACK), 0);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_REHELLO), 0);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_KEYS_UNKNOWN), 1);
    push(&fx, 0, 1);
    push(&fx, 0, 2);
    fx_say(&fx, PEER, RUB_MSG_CLOCK, 3, 1);
    assert_int_equal(fx_ack(&fx, PEER)->seq, 3);
    fx_say(&fx, PEER, RUB_MSG_CLOCK, 9, 2); /* from then on a hole is a hole again */
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_REHELLO), 1);
    fx_close(&fx);
}

static void an_unknown_digest_of_a_pull_is_said_and_not_parked(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 5, N);
    assert_unknown(&fx, RUB_MSG_PULL, 5, 1);
    fx_tick(&fx, 5000);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_WAITING), 0);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_ROWS), 0);
    fx_close(&fx);
}

static void a_digest_of_fewer_keys_than_were_told_is_unknown(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 5, N - 1);
    assert_unknown(&fx, RUB_MSG_PULL, 5, 1);
    fx_close(&fx);
}

/* The last record of the journal, a PUSH. */
static rub_record_t last_push(const fx_t *fx)
{
    const fx_record_t *last = &fx->journal[fx->n_journal - 1];
    rub_record_t record;
    assert_int_equal(last->type, RUB_RECORD_PUSH);
    assert_int_equal(rub_record_read(last->type, last->bytes, last->n_bytes, &record, NULL), 0);
    return record;
}

static void a_push_by_digest_is_journaled_with_its_keys(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    assert_int_equal(last_push(&fx).flags, 0);
    push(&fx, RUB_FLAG_DIGEST, 2);
    assert_int_equal(fx_ack(&fx, PEER)->seq, 2);
    const rub_record_t record = last_push(&fx);
    assert_int_equal(record.flags, 0);
    assert_int_equal(record.n_keys, N);
    assert_memory_equal(record.keys, keys, sizeof(keys));
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 1, N);
    assert_true(fx_value(&fx, PEER) == 2.0F);
    fx_close(&fx);
}

static void a_push_by_digest_that_was_applied_is_acknowledged_and_not_asked_for(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, 0, 1);
    fx_forget_sent(&fx);
    push(&fx, RUB_FLAG_DIGEST, 1);
    assert_int_equal(fx_ack(&fx, PEER)->seq, 1);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_KEYS_UNKNOWN), 0);
    fx_close(&fx);
}

static void a_pull_by_digest_waits_with_its_keys(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    fx_frame(&fx, PEER,
             (rub_header_t){.type = RUB_MSG_PULL,
                            .table = LEDGER,
                            .flags = RUB_FLAG_REMEMBER,
                            .seq = 8,
                            .mark = 2,
                            .n_keys = N},
             keys, sizeof(keys), NULL, 0);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_ROWS), 0);
    push(&fx, RUB_FLAG_DIGEST, 2);
    assert_true(fx_value(&fx, PEER) == 2.0F);
    fx_close(&fx);
}

static void after_hello_no_list_is_known(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    fx_hello(&fx, PEER, 0, 1);
    push(&fx, RUB_FLAG_DIGEST, 2);
    assert_unknown(&fx, RUB_MSG_PUSH, 2, 1);
    fx_hello(&fx, PEER, 0, 1); /* ends what was dropped, too */
    fx_say(&fx, PEER, RUB_MSG_CLOCK, 3, 1);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_REHELLO), 1);
    fx_close(&fx);
}

static void after_a_restart_the_rows_are_there_and_the_lists_are_not(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    push(&fx, RUB_FLAG_DIGEST, 2);
    fx_crash(&fx);
    fx_view(&fx);
    fx_hello(&fx, PEER, 0, 1);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 1, N);
    assert_unknown(&fx, RUB_MSG_PULL, 1, 1);
    say(&fx, RUB_MSG_PULL, 0, 1, N);
    assert_true(fx_value(&fx, PEER) == 2.0F);
    fx_close(&fx);
}

static void lists_that_are_not_used_for_a_minute_are_forgotten(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    fx_tick(&fx, 59000);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 1, N);
    assert_int_equal(fx_count(&fx, PEER, RUB_MSG_ROWS), 1);
    fx_tick(&fx, 61000);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 2, N);
    assert_unknown(&fx, RUB_MSG_PULL, 2, 1);
    fx_close(&fx);
}

static void welcome_says_how_much_is_remembered_and_nothing_when_memory_is_small(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    const rub_frame_t welcome = rub_packet_frame(fx_last(&fx, PEER, RUB_MSG_WELCOME));
    assert_int_equal(welcome.values_bytes, 56);
    assert_int_equal(rub_get_u64(welcome.values + 44), 16 << 20);
    fx.config.limit_bytes = 1 << 19; /* a sixteenth is not worth saying */
    fx_crash(&fx);
    fx_view(&fx);
    fx_hello(&fx, PEER, 0, 1);
    const rub_frame_t small = rub_packet_frame(fx_last(&fx, PEER, RUB_MSG_WELCOME));
    assert_int_equal(rub_get_u64(small.values + 44), 0);
    push(&fx, RUB_FLAG_REMEMBER, 1);
    say(&fx, RUB_MSG_PULL, RUB_FLAG_DIGEST, 1, N);
    assert_unknown(&fx, RUB_MSG_PULL, 1, 1);
    fx_close(&fx);
}

static void an_unknown_digest_is_told_what_is_granted_now(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    fx.config.limit_bytes = 16 << 20;
    fx_crash(&fx);
    fx_view(&fx);
    fx_hello(&fx, PEER, 0, 1);
    const rub_frame_t welcome = rub_packet_frame(fx_last(&fx, PEER, RUB_MSG_WELCOME));
    assert_int_equal(rub_get_u64(welcome.values + 44), 1 << 20);
    for (rub_peer_t reader = 200; reader < 203; reader++) {
        fx_reader(&fx, reader);
    }
    push(&fx, RUB_FLAG_DIGEST, 1);
    const rub_frame_t unknown = rub_packet_frame(fx_last(&fx, PEER, RUB_MSG_KEYS_UNKNOWN));
    assert_int_equal(unknown.values_bytes, 8);
    assert_int_equal(rub_get_u64(unknown.values), 1 << 18);
    fx_close(&fx);
}

/* How many pushes of new rows a small shard takes, with n lists told before. */
static uint64_t pushes_until_refused(size_t n_lists)
{
    enum { LIST = 1000, ROWS = 256, MOST = 2000 };
    static float ones[2 * ROWS];
    uint64_t some[LIST];
    fx_t fx;
    fx_open(&fx, 1, RUB_ASYNC);
    fx.config.limit_bytes = 4 << 20;
    fx_crash(&fx);
    fx_view(&fx);
    fx_hello(&fx, PEER, 0, 1);
    for (size_t list = 0; list < n_lists; list++) {
        for (size_t i = 0; i < LIST; i++) {
            some[i] = list * LIST + i;
        }
        fx_frame(&fx, PEER,
                 (rub_header_t){.type = RUB_MSG_PULL,
                                .table = LEDGER,
                                .flags = RUB_FLAG_REMEMBER,
                                .seq = list + 1,
                                .n_keys = LIST},
                 some, sizeof(some), NULL, 0);
    }
    uint64_t seq = 0, refused = 0;
    while (refused == 0 && seq < MOST) {
        seq++;
        for (size_t i = 0; i < ROWS; i++) {
            some[i] = seq * ROWS + i;
        }
        fx_forget_sent(&fx);
        fx_frame(&fx, PEER,
                 (rub_header_t){.type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .n_keys = ROWS},
                 some, 8 * ROWS, ones, sizeof(ones));
        refused = rub_get_u64(rub_packet_frame(fx_last(&fx, PEER, RUB_MSG_ACK)).values + 8);
    }
    assert_int_equal(refused, 1);
    fx_close(&fx);
    return seq;
}

static void no_push_is_refused_for_the_memory_of_lists(void **state)
{
    RUB_UNUSED(state);
    const uint64_t without = pushes_until_refused(0);
    assert_true(without > 1);
    assert_int_equal(pushes_until_refused(20), without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_digest_of_a_push_consumes_nothing),
        cmocka_unit_test(what_was_sent_behind_an_unknown_digest_is_dropped_until_it_comes_again),
        cmocka_unit_test(an_unknown_digest_of_a_pull_is_said_and_not_parked),
        cmocka_unit_test(a_digest_of_fewer_keys_than_were_told_is_unknown),
        cmocka_unit_test(a_push_by_digest_is_journaled_with_its_keys),
        cmocka_unit_test(a_push_by_digest_that_was_applied_is_acknowledged_and_not_asked_for),
        cmocka_unit_test(a_pull_by_digest_waits_with_its_keys),
        cmocka_unit_test(after_hello_no_list_is_known),
        cmocka_unit_test(after_a_restart_the_rows_are_there_and_the_lists_are_not),
        cmocka_unit_test(lists_that_are_not_used_for_a_minute_are_forgotten),
        cmocka_unit_test(an_unknown_digest_is_told_what_is_granted_now),
        cmocka_unit_test(no_push_is_refused_for_the_memory_of_lists),
        cmocka_unit_test(welcome_says_how_much_is_remembered_and_nothing_when_memory_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
