/* What `rubato bench pushpull` measures: the named cases, and those that options make. Pure. */
#ifndef RUB_BENCH_CASE_H
#define RUB_BENCH_CASE_H

#include "cli/key_draw.h"
#include "common/conf/config.h"

typedef enum { RUB_BENCH_PUSH = 1, RUB_BENCH_PULL = 2, RUB_BENCH_PUSH_PULL = 3 } rub_bench_verb_t;

/* How a bar is read. */
typedef enum {
    RUB_BENCH_BAR_RATE = 0,    /* the rate is at least so much of the ideal server's */
    RUB_BENCH_BAR_LATENCY = 1, /* the median latency is at most so many times the ideal server's */
} rub_bench_bar_t;

typedef struct rub_bench_case {
    const char *name;
    rub_bench_verb_t verb;
    uint32_t call_items; /* of one call: elements of a range, or keys */
    uint32_t width;      /* float32 of a row; 0: a dense table */
    uint64_t rows;       /* of the table; of a dense one its elements */
    rub_key_draw_kind_t draw;
    uint32_t in_flight; /* calls */
    rub_optimizer_kind_t optimizer;
    rub_bench_bar_t bar_kind;
    double bar_none, bar_journal; /* through tcp; 0: nothing is demanded */
    double bar_lane;              /* through shared memory, without a journal; with it goes */
                                  /* RUB_BENCH_LANE_CPU_BAR */
    uint64_t cache_bytes;         /* pulls are a reader's, which keeps so much; 0: a trainer's */
    bool fresh; /* lists of keys that have long been forgotten when they come again */
    bool lend;  /* pushes are sent from the caller's array */
    rub_codec_kind_t push_codec, pull_codec;
} rub_bench_case_t;

/* The fleet that all cases of a run share. */
typedef struct rub_bench_shape {
    uint32_t n_ps, shards /* of each ps */, workers;
    rub_lane_choice_t lane;
    bool ipc;    /* the ps listen on Unix sockets */
    bool inproc; /* threads of the measuring process instead */
} rub_bench_shape_t;

/* Through shared memory: CPU seconds per GB are at most so many times the ideal server's. */
#define RUB_BENCH_LANE_CPU_BAR 0.5

#define RUB_BENCH_CASES_LIMIT 32u
#define RUB_BENCH_PS_LIMIT 8u
#define RUB_BENCH_WORKERS_LIMIT 16u

/* The cases to be measured: those that the words behind "pushpull" name, or all; when options
 * describe a call and no case is named, the case "custom" that they describe. Options that were
 * given change the cases; a changed case has no bars. Returns how many in *n_p. RUB_ECONFIG:
 * unknown name, or options that do not go together. */
int rub_bench_cases(const rub_config_t *config, rub_bench_case_t cases[RUB_BENCH_CASES_LIMIT],
                    size_t *n_p, rub_error_t *err);

/* 1 ps, 1 shard, 1 worker, and tcp where no option says otherwise. RUB_ECONFIG. */
int rub_bench_shape(const rub_config_t *config, rub_bench_shape_t *shape, rub_error_t *err);

/* The case of that name; NULL when there is none. Static. */
const rub_bench_case_t *rub_bench_case_named(const char *name);
/* Bytes of values that a call moves, both ways together. */
uint64_t rub_bench_call_bytes(const rub_bench_case_t *row);
/* Rows that a call moves; 0 for a dense one. */
uint64_t rub_bench_call_rows(const rub_bench_case_t *row);
/* Whether the two can be measured on the same table. */
bool rub_bench_same_table(const rub_bench_case_t *a, const rub_bench_case_t *b);
/* float32 of the table */
uint64_t rub_bench_table_values(const rub_bench_case_t *row);

#endif
