/* Every instruction set against plain C, bit for bit, plain C against the formulas in float64, and
 * gradients against finite differences of these. */
#include "common/num/distance_loops.h"

#include "common/base/timing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 46, POINTS = 37, ROOM = WIDTH * POINTS };

typedef struct example {
    float query[WIDTH], rows[ROOM], columns[ROOM], factors[POINTS];
    float out[POINTS], query_gradient[WIDTH], row_gradients[ROOM];
    size_t n, width;
} example_t;

static float draw(uint32_t i)
{
    const uint32_t mixed = (i * UINT32_C(2654435761)) ^ (i << 9) ^ (i >> 3);
    return (float)(mixed >> 8) / 8388608.0f - 1.0f;
}

static void set_up(example_t *e, size_t n, size_t width)
{
    memset(e, 0, sizeof *e);
    e->n = n;
    e->width = width;
    for (uint32_t k = 0; k < width; k++) {
        e->query[k] = draw(k);
        e->query_gradient[k] = draw(k + 10000);
    }
    for (uint32_t j = 0; j < n; j++) {
        e->factors[j] = draw(j + 20000);
        for (uint32_t k = 0; k < width; k++) {
            e->rows[j * width + k] = e->columns[k * n + j] = draw(30000 + j * WIDTH + k);
            e->row_gradients[j * width + k] = draw(50000 + j * WIDTH + k);
        }
    }
}

static void run(const rub_distance_loops_t *loops, bool modulus, example_t *e)
{
    (modulus ? loops->modulus : loops->l1)(e->query, e->columns, e->n, e->width, e->out);
    (modulus ? loops->modulus_gradient : loops->l1_gradient)(
        e->query, e->rows, e->factors, e->n, e->width, e->query_gradient, e->row_gradients);
}

static void every_set_gives_the_bits_of_plain_c(void **state)
{
    (void)state;
    static example_t expected, e;
    for (size_t s = 1; rub_distance_loops_at(s) != NULL; s++) {
        for (size_t n = 0; n <= POINTS; n += n < 5 ? 1 : 8) {
            for (size_t width = 0; width <= WIDTH; width += 2) {
                for (int modulus = 0; modulus < 2; modulus++) {
                    set_up(&expected, n, width + (modulus ? 0 : width < WIDTH));
                    set_up(&e, n, width + (modulus ? 0 : width < WIDTH));
                    run(rub_distance_loops_at(0), modulus, &expected);
                    run(rub_distance_loops_at(s), modulus, &e);
                    assert_memory_equal(&e, &expected, sizeof e);
                }
            }
        }
    }
}

static double distance(const double *query, const double *row, size_t width, bool modulus)
{
    double sum = 0;
    for (size_t k = 0; k < (modulus ? width / 2 : width); k++) {
        const double x = query[k] - row[k];
        sum += modulus ? hypot(x, query[width / 2 + k] - row[width / 2 + k]) : fabs(x);
    }
    return sum;
}

/* The weighted sum whose gradient is asked for, with one number of the query or of a row moved. */
static double moved(const example_t *e, bool modulus, size_t row, size_t k, double by)
{
    double query[WIDTH], point[WIDTH], sum = 0;
    for (size_t i = 0; i < e->width; i++) {
        query[i] = (double)e->query[i] + (row == SIZE_MAX && i == k ? by : 0);
    }
    for (size_t j = 0; j < e->n; j++) {
        for (size_t i = 0; i < e->width; i++) {
            point[i] = (double)e->rows[j * e->width + i] + (row == j && i == k ? by : 0);
        }
        sum += (double)e->factors[j] * distance(query, point, e->width, modulus);
    }
    return sum;
}

static void distances_and_gradients_are_those_of_the_formulas(void **state)
{
    (void)state;
    static example_t e, before;
    const double step = 1e-6;
    for (int modulus = 0; modulus < 2; modulus++) {
        set_up(&e, 7, 10);
        before = e;
        run(rub_distance_loops(), modulus, &e);
        for (size_t j = 0; j < e.n; j++) {
            double query[WIDTH], point[WIDTH];
            for (size_t k = 0; k < e.width; k++) {
                query[k] = (double)e.query[k];
                point[k] = (double)e.rows[j * e.width + k];
            }
            const double wanted = distance(query, point, e.width, modulus);
            assert_true(fabs((double)e.out[j] - wanted) <= 1e-6 * wanted);
            for (size_t k = 0; k < e.width; k++) {
                const double slope =
                    (moved(&e, modulus, j, k, step) - moved(&e, modulus, j, k, -step)) / (2 * step);
                const size_t at = j * e.width + k;
                assert_true(fabs((double)(e.row_gradients[at] - before.row_gradients[at]) - slope) <
                            1e-5);
            }
        }
        for (size_t k = 0; k < e.width; k++) {
            const double slope =
                (moved(&e, modulus, SIZE_MAX, k, step) - moved(&e, modulus, SIZE_MAX, k, -step)) /
                (2 * step);
            assert_true(fabs((double)(e.query_gradient[k] - before.query_gradient[k]) - slope) <
                        1e-5);
        }
    }
}

static void points_that_equal_the_query_and_numbers_that_are_none_come_through(void **state)
{
    (void)state;
    const rub_distance_loops_t *loops = rub_distance_loops();
    const float query[4] = {1, 2, 3, 4}, bad[4] = {1, NAN, 3, 4}, factor = 1;
    float out = -1, query_gradient[4] = {0}, gradient[4] = {0};
    loops->modulus(query, query, 1, 4, &out);
    assert_true(out == 0);
    loops->modulus_gradient(query, query, &factor, 1, 4, query_gradient, gradient);
    for (int k = 0; k < 4; k++) {
        assert_true(query_gradient[k] == 0 && gradient[k] == 0);
    }
    loops->modulus(query, bad, 1, 4, &out);
    assert_true(isnan(out));
    loops->l1(query, bad, 1, 4, &out);
    assert_true(isnan(out));
}

static void speeds_are_printed(void **state)
{
    (void)state;
    static float query[100], columns[6400], rows[6400], factors[64], out[64], gradients[6500];
    for (uint32_t i = 0; i < 6400; i++) {
        columns[i] = rows[i] = draw(i);
        query[i % 100] = draw(i + 7000);
        factors[i % 64] = draw(i + 9000);
    }
    for (size_t s = 0; rub_distance_loops_at(s) != NULL; s++) {
        const rub_distance_loops_t *loops = rub_distance_loops_at(s);
        double us[4];
        for (int what = 0; what < 4; what++) {
            const uint64_t began_us = rub_now_us();
            for (int r = 0; r < 300; r++) {
                if (what < 2) {
                    (what ? loops->modulus : loops->l1)(query, columns, 64, 100, out);
                } else {
                    (what == 3 ? loops->modulus_gradient : loops->l1_gradient)(
                        query, rows, factors, 64, 100, gradients, gradients + 100);
                }
            }
            us[what] = (double)(rub_now_us() - began_us) / 300;
        }
        printf("64 points of 100, %s: l1 %.2f us, its gradient %.2f, modulus %.2f, %.2f\n",
               loops->name, us[0], us[2], us[1], us[3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(distances_and_gradients_are_those_of_the_formulas),
        cmocka_unit_test(points_that_equal_the_query_and_numbers_that_are_none_come_through),
        cmocka_unit_test(speeds_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
