/* Which cases words and options of `rubato bench pushpull` make. */
#include "cli/bench_case.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define ARGUMENTS_LIMIT 16

typedef struct asked {
    rub_config_t config;
    rub_bench_case_t cases[RUB_BENCH_CASES_LIMIT];
    size_t n;
    rub_bench_shape_t shape;
    rub_error_t err;
    int rc;
} asked_t;

static void ask(asked_t *self, const char *const *words)
{
    char *arguments[ARGUMENTS_LIMIT];
    int n = 0;
    memset(self, 0, sizeof(*self));
    for (; words[n]; n++) {
        assert_true(n < ARGUMENTS_LIMIT);
        arguments[n] = (char *)(uintptr_t)words[n];
    }
    rub_config_init(&self->config);
    self->rc = rub_config_load(&self->config, RUB_FOR_BENCH, n, arguments, NULL, &self->err);
    self->rc =
        self->rc ? self->rc : rub_bench_cases(&self->config, self->cases, &self->n, &self->err);
    self->rc = self->rc ? self->rc : rub_bench_shape(&self->config, &self->shape, &self->err);
}

/* The words behind "bench pushpull". */
#define ASK(self, ...) ask(self, (const char *const[]){__VA_ARGS__, NULL})

static void expect_refusal(asked_t *self, const char *sentence)
{
    assert_int_equal(self->rc, RUB_ECONFIG);
    if (!strstr(self->err.message, sentence)) {
        fail_msg("'%s' does not say '%s'", self->err.message, sentence);
    }
    rub_config_fini(&self->config);
}

static void what_does_not_go_together_is_refused(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "push_2k");
    expect_refusal(&a, "pushpull has no case 'push_2k'; known: push_64k, ");
    ASK(&a, "pushpull", "--in-flight", "65");
    expect_refusal(&a, "in_flight: 65 is above the greatest, 64");
    ASK(&a, "pushpull", "--call-bytes", "20000");
    expect_refusal(&a, "call_bytes: 20000 are not whole blocks of 16384 bytes");
    ASK(&a, "pushpull", "--keys", "100", "--rows", "50");
    expect_refusal(&a, "keys: 100 in a call, but the table of case custom has 50 rows");
    ASK(&a, "pushpull", "push_64k", "--draw", "zipf");
    expect_refusal(&a, "draw: case push_64k moves a range of a dense table");
    ASK(&a, "pushpull", "push_10k", "--call-bytes", "64K");
    expect_refusal(&a, "call_bytes: case push_10k moves rows");
    ASK(&a, "pushpull", "--keys", "10", "--width", "4096");
    expect_refusal(&a, "rows: 1048576 of 4096 float32 take 32768 MB with slots, at most 3072");
    ASK(&a, "pushpull", "tiny_1", "--ps", "9");
    expect_refusal(&a, "ps: 9, a measurement on one machine takes at most 8");
    ASK(&a, "pushpull", "tiny_1", "--workers", "17");
    expect_refusal(&a, "workers: 17, a measurement on one machine takes at most 16");
}

static void no_word_is_every_named_case_with_its_bars(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull");
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.n, 22);
    for (size_t i = 0; i < a.n; i++) { /* none is set for what a cache brings */
        assert_int_equal(a.cases[i].bar_none > 0, a.cases[i].cache_bytes == 0);
        assert_int_equal(a.cases[i].bar_journal > 0, a.cases[i].cache_bytes == 0);
    }
    assert_int_equal(a.shape.n_ps, 1);
    assert_int_equal(a.shape.workers, 1);
    rub_config_fini(&a.config);
}

static void words_choose_cases_in_their_order(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "tiny_1", "push_4m");
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.n, 2);
    assert_string_equal(a.cases[0].name, "tiny_1");
    assert_int_equal(a.cases[0].bar_kind, RUB_BENCH_BAR_LATENCY);
    assert_string_equal(a.cases[1].name, "push_4m");
    assert_int_equal(rub_bench_call_bytes(&a.cases[1]), 4 << 20);
    assert_int_equal(rub_bench_call_rows(&a.cases[1]), 0);
    rub_config_fini(&a.config);
}

static void options_alone_make_a_case(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "--operation", "pushpull", "--keys", "32", "--width", "8", "--rows", "1000",
        "--draw", "zipf", "--in-flight", "3");
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.n, 1);
    const rub_bench_case_t *row = &a.cases[0];
    assert_string_equal(row->name, "custom");
    assert_int_equal(row->verb, RUB_BENCH_PUSH_PULL);
    assert_int_equal(row->draw, RUB_DRAW_ZIPF);
    assert_int_equal(row->in_flight, 3);
    assert_int_equal(row->optimizer, RUB_ADAGRAD);
    assert_int_equal(rub_bench_call_rows(row), 64);
    assert_int_equal(rub_bench_call_bytes(row), 2 * 32 * 8 * 4);
    assert_int_equal(rub_bench_table_values(row), 8000);
    rub_config_fini(&a.config);
}

static void a_large_dense_call_gets_a_table_of_its_size(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "--call-bytes", "64M");
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.cases[0].rows, 16 << 20);
    rub_config_fini(&a.config);
}

static void a_changed_case_has_no_bar(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    static const char *const changes[][2] = {{"--in-flight", "2"}, {"--optimizer", "adam"},
                                             {"--workers", "2"},   {"--operation", "pull"},
                                             {"--codec", "int8"},  {"--pull-codec", "bf16"}};
    for (size_t i = 0; i < RUB_COUNT_OF(changes); i++) {
        ASK(&a, "pushpull", "push_1m", changes[i][0], changes[i][1]);
        assert_int_equal(a.rc, 0);
        assert_true(a.cases[0].bar_none == 0);
        assert_true(a.cases[0].bar_journal == 0);
        rub_config_fini(&a.config);
    }
    ASK(&a, "pushpull", "push_1m", "--repeat", "9");
    assert_true(a.cases[0].bar_none > 0);
    rub_config_fini(&a.config);
}

static void codecs_are_those_of_all_cases(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "push_1m", "pull_10k", "--codec", "2bit", "--pull-codec", "f16");
    assert_int_equal(a.rc, 0);
    for (size_t i = 0; i < a.n; i++) {
        assert_int_equal(a.cases[i].push_codec, RUB_CODEC_2BIT);
        assert_int_equal(a.cases[i].pull_codec, RUB_CODEC_F16);
    }
    rub_config_fini(&a.config);
    ASK(&a, "pushpull", "push_1m");
    assert_int_equal(a.cases[0].push_codec, RUB_CODEC_F32);
    assert_int_equal(a.cases[0].pull_codec, RUB_CODEC_F32);
    assert_string_equal(rub_bench_case_named("push_1m")->name, "push_1m");
    assert_null(rub_bench_case_named("custom"));
    rub_config_fini(&a.config);
}

static void cases_of_one_table_share_it(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "push_64k", "pull_4m", "push_10k", "push_100k");
    assert_true(rub_bench_same_table(&a.cases[0], &a.cases[1]));
    assert_false(rub_bench_same_table(&a.cases[1], &a.cases[2]));
    assert_false(rub_bench_same_table(&a.cases[2], &a.cases[3]));
    rub_config_fini(&a.config);
}

static void a_fleet_is_measured_through_tcp_unless_told(void **state)
{
    RUB_UNUSED(state);
    asked_t a;
    ASK(&a, "pushpull", "push_1m");
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.shape.lane, RUB_LANE_TCP);
    assert_true(a.cases[0].bar_lane >= 2);
    rub_config_fini(&a.config);
    ASK(&a, "pushpull", "push_1m", "--lane", "auto");
    assert_int_equal(a.shape.lane, RUB_LANE_SHM); /* or the figure would be of something else */
    rub_config_fini(&a.config);
    ASK(&a, "pushpull", "push_1m", "--lane", "tcp");
    assert_int_equal(a.shape.lane, RUB_LANE_TCP);
    rub_config_fini(&a.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fleet_is_measured_through_tcp_unless_told),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(no_word_is_every_named_case_with_its_bars),
        cmocka_unit_test(words_choose_cases_in_their_order),
        cmocka_unit_test(options_alone_make_a_case),
        cmocka_unit_test(a_large_dense_call_gets_a_table_of_its_size),
        cmocka_unit_test(a_changed_case_has_no_bar),
        cmocka_unit_test(codecs_are_those_of_all_cases),
        cmocka_unit_test(cases_of_one_table_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
