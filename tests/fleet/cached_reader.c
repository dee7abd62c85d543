/* A trainer and a reader of a real fleet in one process, for test_reader_cache.sh. The trainer adds
 * 1 to a row, waits until that is acknowledged, and notes when; the reader pulls all rows through
 * its cache. Laws: what was acknowledged longer ago than the cache's greatest age is in what the
 * reader gets, and no row ever falls. Ends with 1 and a sentence when one is broken, and well when
 * STOP_FILE is there; says how far it is meanwhile. */
#include <rubato.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 64, COUNTS = 100000, AGE_MS = 200, PULLS = 20, TELL_MS = 50 };

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

typedef struct row {
    uint32_t count;           /* acknowledged */
    uint64_t when_ms[COUNTS]; /* count c was */
    uint32_t certain;         /* for so long that a reader must have it */
    float read;
} row_t;

static row_t rows[ROWS];

static int push_one(rub_session_t *trainer, rub_table_t table, uint64_t key, rub_error_t *err)
{
    const float one = 1;
    rub_handle_t handle = 0;
    int rc = rub_push(trainer, table, &key, 1, &one, &handle, err);
    rc = rc ? rc : rub_wait(trainer, handle, err);
    if (!rc && rows[key].count + 1 < COUNTS) {
        rows[key].when_ms[++rows[key].count] = now_ms();
    }
    return rc;
}

static int read_all(rub_session_t *reader, rub_table_t table, rub_error_t *err)
{
    uint64_t keys[ROWS];
    float values[ROWS];
    for (uint64_t k = 0; k < ROWS; k++) {
        keys[k] = k;
    }
    const uint64_t called_ms = now_ms();
    const int rc = rub_pull(reader, table, keys, ROWS, values, NULL, err);
    for (uint64_t k = 0; k < ROWS && !rc; k++) {
        row_t *row = &rows[k];
        while (row->certain < row->count && row->when_ms[row->certain + 1] + AGE_MS <= called_ms) {
            row->certain++;
        }
        if (values[k] < (float)row->certain || values[k] < row->read) {
            printf("row %d is %g; %u were acknowledged %d ms ago, %g were read before\n", (int)k,
                   (double)values[k], row->certain, AGE_MS, (double)row->read);
            exit(1);
        }
        row->read = values[k];
    }
    return rc;
}

int main(int argc, char **argv)
{
    rub_error_t err = {0};
    rub_session_t *trainer = NULL, *reader = NULL;
    rub_options_t options;
    rub_schema_t schema;
    rub_table_t table = 0;
    rub_stats_t stats = {0};
    uint64_t pulls = 0, pushes = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: %s SCHEDULER STOP_FILE\n", argv[0]);
        return 2;
    }
    uint64_t told_ms = 0;
    rub_options_defaults(&options);
    options.scheduler = argv[1];
    rub_schema_defaults(&schema);
    schema.name = "ledger";
    schema.kind = RUB_HASHED;
    schema.width = 1;
    schema.optimizer = RUB_ADD;
    int rc = rub_open(&options, &trainer, &err);
    rc = rc ? rc : rub_table_open(trainer, &schema, &table, &err);
    options.role = RUB_READER;
    rc = rc ? rc : rub_open(&options, &reader, &err);
    rc = rc ? rc : rub_table_open(reader, &schema, &table, &err);
    rc = rc ? rc : rub_table_cache(reader, table, 1 << 16, AGE_MS, &err);
    while (!rc && access(argv[2], F_OK) != 0) {
        rc = push_one(trainer, table, pushes++ * 7 % ROWS, &err);
        for (int i = 0; i < PULLS && !rc; i++, pulls++) {
            rc = read_all(reader, table, &err);
        }
        if (now_ms() >= told_ms + TELL_MS) {
            told_ms = now_ms();
            printf("so far %llu pushes\n", (unsigned long long)pushes);
            fflush(stdout);
        }
    }
    if (!rc) {
        rub_session_stats(reader, &stats);
    }
    const int closed = rub_close(&reader, true, rc ? NULL : &err);
    rc = rc ? rc : closed;
    const int left = rub_close(&trainer, rc == 0, rc ? NULL : &err);
    rc = rc ? rc : left;
    if (rc) {
        printf("%s: %s\n", rub_error_name(rc), err.message);
        return 3;
    }
    printf("{\"pushes\":%llu,\"pulls\":%llu,\"hits\":%llu,\"misses\":%llu,\"bytes\":%llu,"
           "\"reconnects\":%llu}\n",
           (unsigned long long)pushes, (unsigned long long)pulls,
           (unsigned long long)stats.cache_hits, (unsigned long long)stats.cache_misses,
           (unsigned long long)stats.cache_bytes, (unsigned long long)stats.reconnects);
    return 0;
}
