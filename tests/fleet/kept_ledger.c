/* Known gradients through a codec that keeps back, into tables that only add: whatever is there at
 * a clock can be told from the clock alone. For test_kept.sh.
 *
 *   kept_ledger ADDRESS train CODEC PERIODS   pushes them for its rank; at the end, after
 *                                             rub_push_kept and a barrier, all ranks' are there
 *   kept_ledger ADDRESS check CLOCK RANKS     what a restored job holds is what RANKS ranks gave
 *                                             below CLOCK; then it leaves the job finished
 */
#include "tests/fleet/ledger_tables.h"

#include <math.h>
#include <rubato.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 2 * RUB_BLOCK + 100, ROWS = 50, WIDTH = 6 };

typedef struct ledger {
    rub_session_t *session;
    rub_table_t dense, rows;
    rub_info_t info;
} ledger_t;

/* Multiples of 1/8: their sums are exact. */
static float given(uint64_t rank, uint64_t clock, uint64_t i)
{
    return (float)((rank * 7 + clock * 13 + i * 29) % 17) / 8.0F - 1.0F;
}

static double given_below(uint64_t ranks, uint64_t clock, uint64_t i)
{
    double sum = 0;
    for (uint64_t rank = 0; rank < ranks; rank++) {
        for (uint64_t c = 0; c < clock; c++) {
            sum += (double)given(rank, c, i);
        }
    }
    return sum;
}

static int open_ledger(ledger_t *self, const char *address, rub_error_t *err)
{
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = address;
    int rc = rub_open(&options, &self->session, err);
    rc = rc ? rc : ledger_tables_open(self->session, N, WIDTH, &self->dense, &self->rows, err);
    if (rc == 0) {
        rub_session_info(self->session, &self->info);
    }
    return rc;
}

static void fill_keys(uint64_t keys[ROWS])
{
    for (uint64_t i = 0; i < ROWS; i++) {
        keys[i] = 1000 + 77 * i;
    }
}

static int push(ledger_t *self, uint64_t clock, rub_error_t *err)
{
    static float x[N];
    uint64_t keys[ROWS];
    fill_keys(keys);
    for (uint64_t i = 0; i < N; i++) {
        x[i] = given(self->info.rank, clock, i);
    }
    const int rc = rub_push_range(self->session, self->dense, 0, N, x, NULL, err);
    return rc ? rc : rub_push(self->session, self->rows, keys, ROWS, x, NULL, err);
}

static int compare(const char *what, const float *is, uint64_t n, uint64_t ranks, uint64_t clock)
{
    double off = 0;
    for (uint64_t i = 0; i < n; i++) {
        off = fmax(off, fabs((double)is[i] - given_below(ranks, clock, i)));
    }
    printf("%s: off by at most %.6f\n", what, off);
    return off < 0.01 ? 0 : 1;
}

/* 1: something else is there. */
static int expect(ledger_t *self, uint64_t ranks, uint64_t clock, rub_error_t *err)
{
    static float x[N];
    uint64_t keys[ROWS];
    fill_keys(keys);
    int rc = rub_pull_range(self->session, self->dense, 0, N, x, err);
    int wrong = rc ? 0 : compare("dense", x, N, ranks, clock);
    rc = rc ? rc : rub_pull(self->session, self->rows, keys, ROWS, x, NULL, err);
    wrong += rc ? 0 : compare("rows", x, (uint64_t)ROWS * WIDTH, ranks, clock);
    return rc ? rc : wrong > 0;
}

static rub_codec_kind_t codec_of(const char *name)
{
    return strcmp(name, "2bit") == 0   ? RUB_CODEC_2BIT
           : strcmp(name, "1bit") == 0 ? RUB_CODEC_1BIT
                                       : RUB_CODEC_TOPK;
}

static int train(ledger_t *self, const char *codec, uint64_t periods, rub_error_t *err)
{
    const struct timespec pace = {.tv_nsec = 4000000};
    int rc = rub_table_codec(self->session, self->dense, codec_of(codec), RUB_CODEC_F32, err);
    rc = rc ? rc : rub_table_codec(self->session, self->rows, codec_of(codec), RUB_CODEC_F32, err);
    for (uint64_t clock = 0; clock < periods && rc == 0; clock++) {
        rc = push(self, clock, err);
        if (rc == 0 && clock + 1 == periods) {
            rc = rub_push_kept(self->session, err);
        }
        rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
        (void)nanosleep(&pace, NULL);
    }
    rc = rc ? rc : rub_barrier(self->session, NULL, 0, err);
    return rc ? rc : expect(self, self->info.n_workers, periods, err);
}

int main(int argc, char **argv)
{
    ledger_t self = {.session = NULL};
    rub_error_t err = {0};
    if (argc != 5) {
        return 2;
    }
    int rc = open_ledger(&self, argv[1], &err);
    if (rc == 0 && strcmp(argv[2], "train") == 0) {
        rc = train(&self, argv[3], strtoull(argv[4], NULL, 10), &err);
    } else if (rc == 0) {
        rc = expect(&self, strtoull(argv[4], NULL, 10), strtoull(argv[3], NULL, 10), &err);
    }
    rc = self.session && rc >= 0 && rub_close(&self.session, true, &err) ? err.code : rc;
    rub_abandon(&self.session);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", rub_error_name(rc), err.message);
    }
    return rc != 0;
}
