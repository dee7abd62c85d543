/* Every control message there and back, and bytes that lie. The fillers are generated from
 * proto.def, so a new message is tested by being there. */
#include "common/base/rng.h"
#include "common/wire/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct filler {
    rub_rng_t rng;
    rub_arena_t arena;
} filler_t;

static double some_f64(rub_rng_t *rng)
{
    return rub_rng_unit(rng) * 1e9 - 5e8;
}

static void some_text(rub_rng_t *rng, char *out, size_t limit)
{
    const size_t bytes = (size_t)rub_rng_below(rng, limit + 1);
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)(1 + rub_rng_below(rng, 255));
    }
    out[bytes] = '\0';
}

#define RUB_FIELD_U32(name, meaning) m->name = rub_rng_u32(&f->rng) >> (rub_rng_u32(&f->rng) % 32);
#define RUB_FIELD_U64(name, meaning) m->name = rub_rng_u64(&f->rng) >> (rub_rng_u32(&f->rng) % 64);
#define RUB_FIELD_F64(name, meaning) m->name = some_f64(&f->rng);
#define RUB_FIELD_STR(name, limit, meaning) some_text(&f->rng, m->name, limit);
#define RUB_FIELD_BIN(name, limit, meaning)                                                        \
    m->name##_bytes = (uint32_t)rub_rng_below(&f->rng, (limit) + 1);                               \
    memset(m->name, (int)(rub_rng_u32(&f->rng) & 0xff), m->name##_bytes);
#define RUB_FIELD_LIST(part, name, limit, meaning)                                                 \
    m->n_##name = (uint32_t)rub_rng_below(&f->rng, (limit) < 20 ? (limit) + 1 : 20);               \
    m->name = rub_arena_calloc(&f->arena, m->n_##name, sizeof(*m->name));                          \
    for (uint32_t i = 0; i < m->n_##name; i++) {                                                   \
        fill_##part(f, &m->name[i]);                                                               \
    }
#define RUB_STRUCT(name, meaning)                                                                  \
    static void fill_##name(filler_t *f, rub_##name##_t *m)                                        \
    {
#define RUB_CONTROL(NAME, name, number, meaning) RUB_STRUCT(name, meaning)
#define RUB_END(name) }
#include "common/wire/proto.def"
#undef RUB_FIELD_U32
#undef RUB_FIELD_U64
#undef RUB_FIELD_F64
#undef RUB_FIELD_STR
#undef RUB_FIELD_BIN
#undef RUB_FIELD_LIST
#undef RUB_STRUCT
#undef RUB_CONTROL
#undef RUB_END

#define RUB_FIELD_U32(...)
#define RUB_FIELD_U64(...)
#define RUB_FIELD_F64(...)
#define RUB_FIELD_STR(...)
#define RUB_FIELD_BIN(...)
#define RUB_FIELD_LIST(...)
#define RUB_STRUCT(...)
#define RUB_END(...)
#define RUB_CONTROL(NAME, name, number, meaning) number,
static const uint32_t NUMBERS[] = {
#include "common/wire/proto.def"
};
#undef RUB_CONTROL

static void fill(filler_t *f, uint32_t number, rub_control_t *message)
{
    memset(message, 0, sizeof(*message));
    message->type = number;
#define RUB_CONTROL(NAME, name, no, meaning)                                                       \
    case no:                                                                                       \
        fill_##name(f, &message->name);                                                            \
        break;
    switch (number) {
#include "common/wire/proto.def"
    }
#undef RUB_CONTROL
}

enum { N_NUMBERS = sizeof(NUMBERS) / sizeof(NUMBERS[0]) };

static void setup(filler_t *f, uint64_t seed)
{
    rub_rng_init(&f->rng, seed, 0);
    rub_arena_init(&f->arena);
}

static void every_message_round_trips(void **state)
{
    (void)state;
    filler_t f;
    rub_buf_t first;
    rub_buf_t second;
    setup(&f, 1);
    rub_buf_init(&first);
    rub_buf_init(&second);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < N_NUMBERS; i++) {
            rub_control_t sent;
            rub_control_t got;
            rub_error_t err = {0};
            fill(&f, NUMBERS[i], &sent);
            rub_buf_reset(&first);
            rub_buf_reset(&second);
            assert_int_equal(rub_control_encode(&sent, &first, &err), 0);
            if (rub_control_decode(first.data, first.bytes, &f.arena, &got, &err) != 0) {
                fail_msg("%s: %s", rub_message_name(NUMBERS[i]), err.message);
            }
            assert_int_equal(got.type, NUMBERS[i]);
            /* Encoding is injective, so equal bytes are equal messages. */
            assert_int_equal(rub_control_encode(&got, &second, &err), 0);
            assert_int_equal(first.bytes, second.bytes);
            assert_memory_equal(first.data, second.data, first.bytes);
        }
        rub_arena_reset(&f.arena);
    }
    rub_buf_fini(&first);
    rub_buf_fini(&second);
    rub_arena_fini(&f.arena);
}

static void mutated_messages_are_decoded_or_refused_but_never_crash(void **state)
{
    (void)state;
    filler_t f;
    rub_buf_t buf;
    size_t decoded = 0;
    size_t rejected = 0;
    setup(&f, 2);
    rub_buf_init(&buf);
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < N_NUMBERS; i++) {
            rub_control_t message;
            rub_error_t err = {0};
            fill(&f, NUMBERS[i], &message);
            rub_buf_reset(&buf);
            assert_int_equal(rub_control_encode(&message, &buf, NULL), 0);
            const size_t bytes = rub_rng_below(&f.rng, 4) == 0
                                     ? (size_t)rub_rng_below(&f.rng, buf.bytes + 1)
                                     : buf.bytes;
            uint8_t *exact = malloc(bytes > 0 ? bytes : 1);
            memcpy(exact, buf.data, bytes);
            for (uint64_t n = 1 + rub_rng_below(&f.rng, 4); n > 0 && bytes > 0; n--) {
                /* Half of the hits at the front, where the structure is. */
                const size_t span = rub_rng_below(&f.rng, 2) && bytes > 12 ? 12 : bytes;
                exact[rub_rng_below(&f.rng, span)] = (uint8_t)rub_rng_u32(&f.rng);
            }
            const int rc = rub_control_decode(exact, bytes, &f.arena, &message, &err);
            if (rc == 0) {
                decoded++;
                rub_buf_reset(&buf); /* whatever was accepted is a message that we could send */
                assert_int_equal(rub_control_encode(&message, &buf, NULL), 0);
            } else {
                rejected++;
                assert_int_equal(rc, RUB_EPROTO);
                assert_true(err.message[0] != '\0');
                assert_int_equal(message.type, 0);
            }
            free(exact);
            rub_arena_reset(&f.arena);
        }
    }
    assert_true(decoded > 100);
    assert_true(rejected > 100);
    rub_buf_fini(&buf);
    rub_arena_fini(&f.arena);
}

static void a_views_lists_arrive_whole(void **state)
{
    (void)state;
    rub_arena_t arena;
    rub_buf_t buf;
    rub_control_t got;
    rub_rank_view_t ranks[2] = {{.rank = 0, .epoch = 3}, {.rank = 1, .epoch = 1, .state = 2}};
    rub_table_view_t table = {.id = 1, .name = "w", .elements = 1000, .lr = 1e-4};
    rub_control_t sent = {.type = RUB_MSG_VIEW,
                          .view = {.version = 9,
                                   .staleness = UINT64_MAX,
                                   .ranks = ranks,
                                   .n_ranks = 2,
                                   .tables = &table,
                                   .n_tables = 1}};
    rub_arena_init(&arena);
    rub_buf_init(&buf);
    assert_int_equal(rub_control_encode(&sent, &buf, NULL), 0);
    assert_int_equal(rub_control_decode(buf.data, buf.bytes, &arena, &got, NULL), 0);
    const rub_view_t *copy = rub_view_copy(&got.view, &arena);
    memset(got.view.ranks, 0, sizeof(ranks));
    assert_true(copy->staleness == UINT64_MAX);
    assert_int_equal(copy->n_ranks, 2);
    assert_memory_equal(copy->ranks, ranks, sizeof(ranks));
    assert_string_equal(copy->tables[0].name, "w");
    assert_true(copy->tables[0].lr == 1e-4);
    assert_int_equal(copy->n_shards, 0);
    assert_null(copy->shards);
    rub_buf_fini(&buf);
    rub_arena_fini(&arena);
}

static void decode_says(const char *data, size_t bytes, const char *words)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_error_t err = {0};
    rub_arena_init(&arena);
    assert_int_equal(rub_control_decode(data, bytes, &arena, &message, &err), RUB_EPROTO);
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    rub_arena_fini(&arena);
}

#define DECODE_SAYS(text, words) decode_says(text, sizeof(text) - 1, words)

static void wrong_bytes_are_refused_with_sentences(void **state)
{
    (void)state;
    DECODE_SAYS("\x01", "not an array that begins with a number");
    DECODE_SAYS("\x90", "not an array that begins with a number");
    DECODE_SAYS("\x91\xa0", "unknown number 0");
    DECODE_SAYS("\x91\x01", "unknown number 1");
    DECODE_SAYS("\x91\xcf\x01\0\0\0\0\0\0\x40", "unknown number 0");
    DECODE_SAYS("\x92\x40\x01", "JOIN: field 'nonce' is not a byte string, limit 16");
    DECODE_SAYS("\x92\x44\xff", "VIEW_ACK: field 'generation' is not a natural number");
    DECODE_SAYS("\x93\x41\x01\xa1x", "JOINED: field 'generation' is not a natural number");
    DECODE_SAYS("\x92\x70\xcf\0\0\0\1\0\0\0\0", "is not a natural number, limit 4294967295");
    DECODE_SAYS("\x92\x72\xa2x\0", "DEAD: field 'who' is not a text without zero bytes, limit 127");
    DECODE_SAYS("\x92\x47\x92\x90\x90", "field 'schema' is not a list, limit 1");
    DECODE_SAYS("\x92\x47\x91\x01", "TABLE: field 'schema' is not a list of arrays");
    DECODE_SAYS("\x92\x40\xc4\x11"
                "01234567890123456",
                "field 'nonce' is not a byte string, limit 16");
    DECODE_SAYS("\x92\x51\xd9\x20"
                "01234567890123456789012345678901",
                "field 'name' is not a text without zero bytes, limit 31");
}

static void missing_fields_are_zero_and_unknown_ones_not_looked_at(void **state)
{
    (void)state;
    rub_arena_t arena;
    rub_control_t got;
    rub_arena_init(&arena);
    assert_int_equal(rub_control_decode("\x92\x44\x07", 3, &arena, &got, NULL), 0);
    assert_int_equal(got.type, RUB_MSG_VIEW_ACK);
    assert_true(got.view_ack.generation == 7);
    assert_true(got.view_ack.version == 0);
    assert_true(got.view_ack.whole_from == 0);
    assert_int_equal(rub_control_decode("\x95\x44\x07\x08\x09\xa1z", 7, &arena, &got, NULL), 0);
    assert_true(got.view_ack.version == 8);
    assert_true(got.view_ack.whole_from == 9);
    assert_int_equal(rub_control_decode("\x92\x47\x91\x90", 4, &arena, &got, NULL), 0);
    assert_int_equal(got.table_ask.n_schema, 1);
    assert_int_equal(got.table_ask.schema[0].id, 0);
    rub_arena_fini(&arena);
}

static void encode_says(const rub_control_t *message, int code, const char *words)
{
    rub_buf_t buf;
    rub_error_t err = {0};
    rub_buf_init(&buf);
    rub_buf_append(&buf, "abc", 3);
    assert_int_equal(rub_control_encode(message, &buf, &err), code);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(buf.bytes, 3);
    assert_memory_equal(buf.data, "abc", 3);
    assert_false(buf.failed);
    rub_buf_fini(&buf);
}

static void what_is_over_its_limit_is_not_encoded(void **state)
{
    (void)state;
    static rub_shard_view_t shards[1025];
    rub_control_t message = {.type = RUB_MSG_VIEW};
    message.view.shards = shards;
    message.view.n_shards = 1025;
    encode_says(&message, RUB_EINVAL, "field 'shards' has 1025 bytes or elements, limit 1024");
    for (int i = 0; i < 1024; i++) {
        memset(shards[i].address, 'a', 100);
    }
    message.view.n_shards = 1024;
    encode_says(&message, RUB_ELIMIT, "limit 65536");
    message = (rub_control_t){.type = RUB_MSG_DEAD};
    memset(message.dead.who, 'x', sizeof(message.dead.who));
    encode_says(&message, RUB_EINVAL, "field 'who' has 128 bytes or elements, limit 127");
    message = (rub_control_t){.type = RUB_MSG_JOIN};
    message.join.nonce_bytes = 17;
    encode_says(&message, RUB_EINVAL, "field 'nonce' has 17 bytes or elements, limit 16");
    message.type = RUB_MSG_PUSH;
    encode_says(&message, RUB_EINVAL, "unknown number 2");
}

/* What common/conf/options.def allows, with every field as long as it can be. */
static void greatest_job_fits_into_its_messages(void **state)
{
    (void)state;
    enum { WORKERS = 2048, SHARDS = 200, REPORTED = 512, BINS = 512 };
    static rub_rank_view_t ranks[WORKERS];
    static rub_shard_view_t shards[SHARDS];
    static rub_rank_report_t reports[REPORTED];
    static rub_gap_count_t gaps[BINS];
    static rub_shard_status_t status;
    memset(ranks, 0xff, sizeof(ranks));
    memset(gaps, 0xff, sizeof(gaps));
    memset(reports, 0xff, sizeof(reports));
    for (int i = 0; i < REPORTED; i++) {
        reports[i].cursor_bytes = RUB_CURSOR_LIMIT;
    }
    for (int i = 0; i < SHARDS; i++) {
        shards[i].shard = UINT32_MAX;
        shards[i].incarnation = UINT64_MAX;
        memset(shards[i].address, 'a', sizeof(shards[i].address) - 1);
    }
    memset(&status, 0xff, sizeof(status));
    memset(status.address, 'a', sizeof(status.address));
    memset(status.who, 'w', sizeof(status.who));
    status.address[127] = status.who[127] = '\0';
    const rub_control_t messages[] = {
        {.type = RUB_MSG_VIEW,
         .view = {.ranks = ranks, .n_ranks = WORKERS, .shards = shards, .n_shards = SHARDS}},
        {.type = RUB_MSG_REPORT,
         .report = {.status = &status,
                    .n_status = 1,
                    .ranks = reports,
                    .n_ranks = REPORTED,
                    .gaps = gaps,
                    .n_gaps = BINS}},
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        rub_buf_t buf;
        rub_error_t err = {0};
        rub_buf_init(&buf);
        if (rub_control_encode(&messages[i], &buf, &err) != 0) {
            fail_msg("%s", err.message);
        }
        rub_buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_round_trips),
        cmocka_unit_test(mutated_messages_are_decoded_or_refused_but_never_crash),
        cmocka_unit_test(a_views_lists_arrive_whole),
        cmocka_unit_test(wrong_bytes_are_refused_with_sentences),
        cmocka_unit_test(missing_fields_are_zero_and_unknown_ones_not_looked_at),
        cmocka_unit_test(what_is_over_its_limit_is_not_encoded),
        cmocka_unit_test(greatest_job_fits_into_its_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
