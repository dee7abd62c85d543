/* Ranks against counting by hand, in float64 where the model allows it. */
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/graph_ranking.h"

#include <math.h>
#include <string.h>

enum { ENTITIES = 2100, WIDTH = 8, RELATIONS = 3 };

static float entities[ENTITIES * WIDTH], relations[RELATIONS * WIDTH];

static void set_up(void)
{
    for (size_t i = 0; i < ENTITIES * WIDTH; i++) {
        entities[i] = (float)number(0, i);
    }
    for (size_t i = 0; i < RELATIONS * WIDTH; i++) {
        relations[i] = (float)number(1, i);
    }
}

static rub_ranks_t rank(const char *kind, const rub_ranked_query_t *query, rub_ranks_t *raw)
{
    rub_ranks_t filtered = {0};
    rub_graph_ranking_t *ranking =
        rub_graph_ranking_new(rub_graph_kind_named(kind), WIDTH, entities, ENTITIES, relations);
    assert_non_null(ranking);
    assert_true(rub_graph_ranking_block(ranking) >= 1);
    *raw = (rub_ranks_t){0};
    rub_graph_ranking_add(ranking, query, 1, raw, &filtered);
    rub_graph_ranking_destroy(&ranking);
    assert_true(raw->n == 1 && filtered.n == 1);
    return filtered;
}

/* DistMult's score, either side. */
static double score(const rub_ranked_query_t *query, size_t entity)
{
    double sum = 0;
    for (size_t k = 0; k < WIDTH; k++) {
        sum += (double)entities[query->known * WIDTH + k] *
               (double)relations[query->relation * WIDTH + k] *
               (double)entities[entity * WIDTH + k];
    }
    return sum;
}

static void ranks_are_what_counting_says_and_known_ones_do_not_count(void **state)
{
    (void)state;
    set_up();
    for (uint32_t i = 0; i < 20; i++) {
        rub_ranks_t raw;
        uint32_t completing[4];
        const rub_ranked_query_t query = {.known = i * 31 % ENTITIES,
                                          .relation = i % RELATIONS,
                                          .answer = (i * 77 + 5) % ENTITIES,
                                          .for_heads = i % 2,
                                          .completing = completing,
                                          .n_completing = 4};
        const double answer = score(&query, query.answer);
        double place = 1, best = -1e9, second = -1e9;
        uint32_t at[2] = {0, 0};
        for (uint32_t e = 0; e < ENTITIES; e++) {
            const double s = score(&query, e);
            place += e != query.answer && s > answer;
            if (s > best) {
                second = best, at[1] = at[0];
                best = s, at[0] = e;
            } else if (s > second) {
                second = s, at[1] = e;
            }
        }
        completing[0] = completing[1] = at[0] < at[1] ? at[0] : at[1]; /* stands there twice */
        completing[2] = at[0] < at[1] ? at[1] : at[0];
        completing[3] = query.answer;
        const rub_ranks_t filtered = rank("distmult", &query, &raw);
        assert_true(raw.rank == place);
        assert_true(raw.reciprocal == 1 / place);
        assert_true(place < 3 || filtered.rank == place - 2);
    }
}

static void equals_share_the_mean_of_their_ranks(void **state)
{
    (void)state;
    static const char *const kinds[] = {"transe_l1", "transe_l2", "distmult", "complex", "rotate"};
    for (size_t k = 0; k < 5; k++) {
        rub_ranks_t raw;
        const uint32_t known[2] = {3, 900};
        const rub_ranked_query_t query = {
            .known = 7, .answer = 900, .completing = known, .n_completing = 2};
        memset(entities, 0, sizeof entities);
        const rub_ranks_t filtered = rank(kinds[k], &query, &raw);
        assert_true(raw.rank == 1 + (ENTITIES - 1) / 2.0);
        assert_true(filtered.rank == 1 + (ENTITIES - 2) / 2.0);
    }
}

static void the_answer_itself_is_first_when_nothing_is_nearer(void **state)
{
    (void)state;
    rub_ranks_t raw;
    set_up();
    memset(relations, 0, sizeof relations); /* so that a query of distances is the entity itself */
    static const char *const kinds[] = {"transe_l1", "transe_l2", "rotate"};
    for (size_t k = 0; k < 3; k++) {
        const rub_ranked_query_t query = {.known = 2099, .answer = 2099, .for_heads = k % 2};
        const rub_ranks_t filtered = rank(kinds[k], &query, &raw);
        assert_true(raw.rank == 1 && filtered.hits1 == 1 && filtered.hits10 == 1);
    }
}

static void an_answer_without_a_number_is_last(void **state)
{
    (void)state;
    rub_ranks_t raw;
    set_up();
    entities[5 * WIDTH] = NAN;
    const rub_ranked_query_t query = {.known = 1, .answer = 5};
    const rub_ranks_t filtered = rank("distmult", &query, &raw);
    assert_true(raw.rank == ENTITIES && filtered.rank == ENTITIES && filtered.hits10 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_what_counting_says_and_known_ones_do_not_count),
        cmocka_unit_test(equals_share_the_mean_of_their_ranks),
        cmocka_unit_test(the_answer_itself_is_first_when_nothing_is_nearer),
        cmocka_unit_test(an_answer_without_a_number_is_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
