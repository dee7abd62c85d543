/* Pushes that lend the caller's arrays, which he uses for something else as soon as they are his
 * again, into tables that only add. For test_lent.sh, which kills the shards meanwhile.
 *
 *   lent_ledger ADDRESS RUN_FILE    pushes as long as RUN_FILE exists, then compares; says how many
 *                                   rounds there were every 10
 */
#include "tests/fleet/ledger_tables.h"

#include <rubato.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARRAYS = 3, N = 100 * RUB_BLOCK, ROWS = 20000, WIDTH = 8, AFTERWARDS = 1 << 20 };

typedef struct array {
    rub_handle_t handle; /* 0: it is ours */
    float values[N];     /* of a range, or of rows */
} array_t;

typedef struct ledger {
    rub_session_t *session;
    rub_table_t dense, rows;
    uint64_t n_rounds;
    uint64_t keys[ROWS];
    array_t arrays[ARRAYS];
} ledger_t;

/* Their sums are exact. */
static float given(uint64_t round, uint64_t i)
{
    return (float)((round * 13 + i * 29) % 17);
}

static void fill(float *values, uint64_t n, float value)
{
    for (uint64_t i = 0; i < n; i++) {
        values[i] = value;
    }
}

static int give_back(ledger_t *self, array_t *array, rub_error_t *err)
{
    const int rc = array->handle ? rub_wait(self->session, array->handle, err) : 0;
    if (rc == 0) {
        array->handle = 0;
        fill(array->values, N, AFTERWARDS); /* were it sent again, sums would show it */
    }
    return rc;
}

/* Odd rounds are of rows. */
static int push_round(ledger_t *self, rub_error_t *err)
{
    const uint64_t round = self->n_rounds;
    array_t *array = &self->arrays[round % ARRAYS];
    const bool is_range = round % 2 == 0;
    const int rc = give_back(self, array, err);
    if (rc) {
        return rc;
    }
    for (uint64_t i = 0; i < (is_range ? N : ROWS * WIDTH); i++) {
        array->values[i] = given(round, i);
    }
    self->n_rounds++;
    return is_range ? rub_push_range_lent(self->session, self->dense, 0, N, array->values,
                                          &array->handle, err)
                    : rub_push_lent(self->session, self->rows, self->keys, ROWS, array->values,
                                    &array->handle, err);
}

static int work(ledger_t *self, const char *run_file, rub_error_t *err)
{
    int rc = 0;
    while (rc == 0 && access(run_file, F_OK) == 0) {
        rc = push_round(self, err);
        rc = rc || self->n_rounds % 2 ? rc : rub_clock(self->session, NULL, 0, err);
        if (self->n_rounds % 10 == 0) {
            printf("%llu rounds\n", (unsigned long long)self->n_rounds);
            (void)fflush(stdout);
        }
    }
    rc = rc ? rc : rub_flush(self->session, err);
    for (size_t i = 0; i < ARRAYS && rc == 0; i++) {
        rc = give_back(self, &self->arrays[i], err);
    }
    return rc;
}

/* 1: something else is there. */
static int compare(const ledger_t *self, const float *is, uint64_t n, uint64_t first_round)
{
    static float want[N];
    uint64_t wrong = 0;
    fill(want, n, 0);
    for (uint64_t round = first_round; round < self->n_rounds; round += 2) {
        for (uint64_t i = 0; i < n; i++) {
            want[i] += given(round, i);
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        wrong += memcmp(&is[i], &want[i], sizeof(want[i])) != 0;
    }
    printf("%s: %llu of %llu values are wrong\n", first_round ? "rows" : "dense",
           (unsigned long long)wrong, (unsigned long long)n);
    return wrong > 0;
}

static int check(ledger_t *self, rub_error_t *err)
{
    static float is[N];
    rub_stats_t stats;
    int rc = rub_pull_range(self->session, self->dense, 0, N, is, err);
    int wrong = rc ? 0 : compare(self, is, N, 0);
    rc = rc ? rc : rub_pull(self->session, self->rows, self->keys, ROWS, is, NULL, err);
    wrong += rc ? 0 : compare(self, is, (uint64_t)ROWS * WIDTH, 1);
    rub_session_stats(self->session, &stats);
    printf("%llu rounds, %llu refused, %llu reconnects\n", (unsigned long long)self->n_rounds,
           (unsigned long long)stats.refused, (unsigned long long)stats.reconnects);
    return rc ? rc : wrong > 0 || stats.refused > 0;
}

int main(int argc, char **argv)
{
    static ledger_t self;
    rub_options_t options;
    rub_error_t err = {0};
    if (argc != 3) {
        return 2;
    }
    for (uint64_t i = 0; i < ROWS; i++) {
        self.keys[i] = 1000 + 77 * i;
    }
    rub_options_defaults(&options);
    options.scheduler = argv[1];
    options.lane = RUB_LANE_TCP; /* shared memory would have copies */
    int rc = rub_open(&options, &self.session, &err);
    rc = rc ? rc : ledger_tables_open(self.session, N, WIDTH, &self.dense, &self.rows, &err);
    rc = rc ? rc : work(&self, argv[2], &err);
    rc = rc ? rc : check(&self, &err);
    rc = self.session && rc >= 0 && rub_close(&self.session, true, &err) ? err.code : rc;
    rub_abandon(&self.session);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", rub_error_name(rc), err.message);
    }
    return rc != 0;
}
