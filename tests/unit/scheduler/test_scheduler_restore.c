/* A new job out of a snapshot: every example of the data epoch is either below the cut or dealt
 * again, tables and results stay, nobody of the old job is known. */
#include "tests/unit/scheduler/job_fixture.h"

enum { EXAMPLES = 250 }; /* as job_piece asks for */

typedef struct restored {
    rub_scheduler_t *core;
    rub_scheduler_place_t place;
    uint64_t again;
    rub_error_t err;
} restored_t;

static int restore_as(restored_t *self, const rub_scheduler_config_t *config,
                      const rub_span_t *states, uint32_t n_states, const rub_scheduler_cut_t *cuts,
                      size_t n_cuts)
{
    *self = (restored_t){.core = NULL};
    self->core = rub_scheduler_new(config, &(rub_scheduler_effects_t){0});
    assert_non_null(self->core);
    return rub_scheduler_restore(self->core, states, n_states, cuts, n_cuts, &self->place,
                                 &self->again, &self->err);
}

static rub_scheduler_cut_t cut_at(uint32_t rank, uint64_t done, uint64_t epoch, uint64_t piece,
                                  uint64_t examples)
{
    return (rub_scheduler_cut_t){.rank = rank,
                                 .epoch = 1,
                                 .done = done,
                                 .has_cursor = true,
                                 .cursor = {epoch, piece, examples}};
}

/* A job that goes on from the restored core, as its processes would start it. */
static void go_on(job_t *job, restored_t *restored, const rub_scheduler_config_t *config)
{
    rub_buf_t state;
    rub_buf_init(&state);
    assert_int_equal(rub_scheduler_save(restored->core, &state), 0);
    job_init(job, config->n_workers, config->n_shards, config->staleness);
    rub_scheduler_destroy(&job->core);
    free(job->state);
    job->state = malloc(state.bytes);
    memcpy(job->state, state.data, state.bytes);
    job->state_bytes = state.bytes;
    rub_buf_fini(&state);
    job->config = *config;
    job_restart(job);
    job_gather(job);
}

/* All that is dealt to one rank of the data epoch, which all others have left. */
static uint64_t deal_all(job_t *job, uint64_t epoch, bool seen[EXAMPLES])
{
    uint64_t finished = UINT64_MAX, n = 0;
    for (uint64_t request = 1;; request++) {
        const rub_dealt_t dealt = job_piece(job, 0, request, epoch, finished);
        if (dealt.kind != RUB_DEAL_PIECE) {
            assert_int_equal(dealt.kind, RUB_DEAL_END);
            return n;
        }
        for (uint64_t i = dealt.first; i < dealt.first + dealt.count; i++) {
            assert_false(seen[i]);
            seen[i] = true;
            n++;
        }
        finished = dealt.number;
    }
}

static void pieces_beyond_the_cut_are_dealt_again_and_nothing_else(void **state)
{
    RUB_UNUSED(state);
    job_t job, next;
    restored_t restored;
    bool seen[EXAMPLES] = {false};
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    const rub_dealt_t a = job_piece(&job, 0, 1, 0, UINT64_MAX);
    const rub_dealt_t b = job_piece(&job, 1, 1, 0, UINT64_MAX);
    const rub_dealt_t c = job_piece(&job, 0, 2, 0, a.number);
    assert_int_equal(c.kind, RUB_DEAL_PIECE);
    assert_true(b.count > 10);
    /* Rank 0 was in piece c and is cut in the middle of it; rank 1 had finished nothing. */
    const rub_scheduler_cut_t cuts[] = {cut_at(0, 7, 0, c.number, 5), cut_at(1, 6, 0, b.number, 3)};
    const rub_span_t saved = {job.state, job.state_bytes};
    rub_scheduler_config_t config = job.config;
    config.job = 99;
    config.n_workers = 3;
    config.n_shards = 2;
    assert_int_equal(restore_as(&restored, &config, &saved, 1, cuts, 2), 0);
    assert_int_equal(restored.place.clock, 7);
    assert_int_equal(restored.place.epoch, 0);
    assert_int_equal(restored.place.examples, a.count + 5 + 3);
    assert_int_equal(restored.again, b.count - 3 + c.count - 5);
    go_on(&next, &restored, &config);
    const rub_view_t *view = rub_scheduler_view(next.core);
    assert_int_equal(view->job, 99);
    assert_int_equal(view->n_ranks, 3);
    assert_int_equal(view->ranks[0].epoch, 1);
    assert_int_equal(view->resumed_clock, 7);
    assert_int_equal(view->resumed_examples, a.count + 8);
    const uint64_t n = deal_all(&next, 0, seen);
    assert_int_equal(n, EXAMPLES - a.count - 8);
    assert_true(seen[b.first + 3] && !seen[b.first + 2]);
    assert_true(seen[c.first + 5] && !seen[c.first + 4]);
    assert_false(seen[a.first]);
    rub_scheduler_destroy(&restored.core);
    job_fini(&next);
    job_fini(&job);
}

static void a_rank_without_a_cursor_has_trained_nothing(void **state)
{
    RUB_UNUSED(state);
    job_t job, next;
    restored_t restored;
    bool seen[EXAMPLES] = {false};
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    (void)job_piece(&job, 0, 1, 0, UINT64_MAX);
    (void)job_piece(&job, 1, 1, 0, UINT64_MAX);
    const rub_scheduler_cut_t cuts[] = {{.rank = 0, .epoch = 1}, {.rank = 1, .epoch = 1}};
    const rub_span_t saved = {job.state, job.state_bytes};
    assert_int_equal(restore_as(&restored, &job.config, &saved, 1, cuts, 2), 0);
    assert_int_equal(restored.place.clock, 0);
    assert_int_equal(restored.place.examples, 0);
    go_on(&next, &restored, &job.config);
    assert_int_equal(deal_all(&next, 0, seen), EXAMPLES);
    rub_scheduler_destroy(&restored.core);
    job_fini(&next);
    job_fini(&job);
}

/* The scheduler may have begun the next data epoch before the manifest was written. */
static void the_state_of_the_cuts_data_epoch_is_taken(void **state)
{
    RUB_UNUSED(state);
    job_t job, after;
    restored_t restored;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    uint64_t request = 1, finished = UINT64_MAX;
    rub_dealt_t dealt, last = {0};
    uint8_t *before = NULL;
    size_t before_bytes = 0;
    while ((dealt = job_piece(&job, 0, request, 0, finished)).kind == RUB_DEAL_PIECE) {
        request++;
        finished = dealt.number;
        last = dealt;
        free(before);
        before = malloc(job.state_bytes);
        before_bytes = job.state_bytes;
        memcpy(before, job.state, job.state_bytes);
    }
    const rub_dealt_t next = job_piece(&job, 0, request + 1, 1, finished);
    assert_int_equal(next.kind, RUB_DEAL_PIECE);
    assert_int_equal(next.data_epoch, 1);
    rub_table_view_t schema = {
        .kind = RUB_DENSE, .elements = 5, .optimizer = RUB_SGD, .lr = 0.1, .name = "late"};
    const rub_control_t table = {.type = RUB_MSG_TABLE,
                                 .table_ask = {.schema = &schema, .n_schema = 1}};
    job_receive(&job, WORKER(0), &table);
    const rub_scheduler_cut_t cut = cut_at(0, 9, 0, last.number, 2);
    const rub_span_t states[] = {{before, before_bytes}, {job.state, job.state_bytes}};
    assert_int_equal(restore_as(&restored, &job.config, states, 2, &cut, 1), 0);
    assert_int_equal(restored.place.epoch, 0);
    assert_int_equal(restored.place.examples, EXAMPLES - last.count + 2);
    go_on(&after, &restored, &job.config);
    assert_int_equal(rub_scheduler_view(after.core)->n_tables, 1); /* parts may hold rows of it */
    job_fini(&after);
    rub_scheduler_destroy(&restored.core);
    const rub_scheduler_cut_t later = cut_at(0, 12, 1, next.number, 1);
    assert_int_equal(restore_as(&restored, &job.config, states, 2, &later, 1), 0);
    assert_int_equal(restored.place.epoch, 1);
    assert_int_equal(restored.place.examples, 1);
    rub_scheduler_destroy(&restored.core);
    assert_int_equal(restore_as(&restored, &job.config, states + 1, 1, &cut, 1), RUB_ECORRUPT);
    assert_non_null(strstr(restored.err.message, "the cut is in data epoch 0"));
    rub_scheduler_destroy(&restored.core);
    free(before);
    job_fini(&job);
}

static void bsp_goes_on_at_the_batch_that_the_cursors_name(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    restored_t restored;
    job_init(&job, 3, 1, 0);
    job_gather(&job);
    /* After period 4 of data epoch 2 of three ranks: the next batches are 15, 16, 17. Rank 2 rests.
     */
    const rub_scheduler_cut_t cuts[] = {cut_at(0, 25, 2, 15, 0), cut_at(1, 25, 2, 16, 0),
                                        cut_at(2, 20, 1, 60, 0)};
    const rub_span_t saved = {job.state, job.state_bytes};
    assert_int_equal(restore_as(&restored, &job.config, &saved, 1, cuts, 3), 0);
    assert_int_equal(restored.place.clock, 25);
    assert_int_equal(restored.place.epoch, 2);
    assert_int_equal(restored.place.batch, 15);
    assert_int_equal(restored.again, 0);
    rub_scheduler_destroy(&restored.core);
    job_fini(&job);
}

static void another_job_is_refused(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    restored_t restored;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    const rub_span_t saved = {job.state, job.state_bytes}, cut_off = {job.state, 30};
    rub_scheduler_config_t config = job.config;
    config.seed++;
    assert_int_equal(restore_as(&restored, &config, &saved, 1, NULL, 0), RUB_ECONFIG);
    rub_scheduler_destroy(&restored.core);
    config = job.config;
    config.staleness = 0;
    assert_int_equal(restore_as(&restored, &config, &saved, 1, NULL, 0), RUB_ECONFIG);
    rub_scheduler_destroy(&restored.core);
    config.staleness = UINT64_MAX; /* another bound is none of the data's business */
    assert_int_equal(restore_as(&restored, &config, &saved, 1, NULL, 0), 0);
    rub_scheduler_destroy(&restored.core);
    assert_int_equal(restore_as(&restored, &job.config, &cut_off, 1, NULL, 0), RUB_ECORRUPT);
    rub_scheduler_destroy(&restored.core);
    assert_int_equal(restore_as(&restored, &job.config, NULL, 0, NULL, 0), RUB_ECORRUPT);
    rub_scheduler_destroy(&restored.core);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_job_is_refused),
        cmocka_unit_test(pieces_beyond_the_cut_are_dealt_again_and_nothing_else),
        cmocka_unit_test(a_rank_without_a_cursor_has_trained_nothing),
        cmocka_unit_test(the_state_of_the_cuts_data_epoch_is_taken),
        cmocka_unit_test(bsp_goes_on_at_the_batch_that_the_cursors_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
