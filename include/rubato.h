/* Rubato's client library: pull parameters, push gradients, keep a bounded clock.
 *
 * A session is one member of a job: a *trainer* has a rank, a stream of pushes and a clock that
 * others wait for; a *reader* only pulls and blocks nobody. One thread uses a session at a time; a
 * process may open many sessions. The library has no globals, installs no signal handlers, and
 * never exits or aborts on what a peer, a file or a caller does. Every wait has a deadline, and its
 * error says for whom it waited.
 *
 * Consistency: stale synchronous parallel (Ho et al., NIPS 2013). Work is cut into *periods* by
 * rub_clock. A pull at clock c is answered once every counted trainer has finished c - s periods, s
 * being the job's staleness bound; it always contains this session's own earlier pushes. s = 0 is
 * bsp, RUB_ASYNC is no bound.
 *
 * Errors: every int function returns 0, or a negative code of rubato_errors.def with a sentence in
 * *err (err may be NULL). Arrays are borrowed until the call returns unless a comment says *keeps*
 * (until the named event) or *takes*. Values are float32 in host order. Keys are 64-bit, every
 * value is legal. */
#ifndef RUBATO_H
#define RUBATO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RUB_API __attribute__((visibility("default")))

#define RUB_ERROR(name, number, exit_code, text) name = (number),
enum {
    RUB_OK = 0,
#include "rubato_errors.def"
};
#undef RUB_ERROR

typedef struct rub_error {
    int code;          /* RUB_OK or one of rubato_errors.def */
    char message[500]; /* a sentence: subject, fact, bound */
} rub_error_t;

/* "RUB_EINVAL"; "RUB_OK" for 0; "?" for unknown codes. Static. */
RUB_API const char *rub_error_name(int code);
/* "0.1.0". Static. */
RUB_API const char *rub_version(void);

/* ---- sessions ---- */

typedef struct rub_session rub_session_t;

#define RUB_ASYNC UINT64_MAX /* a staleness bound of infinity */
#define RUB_ANY_RANK (-1)

typedef enum { RUB_TRAINER = 0, RUB_READER = 1 } rub_role_t;

/* How long a session keeps what it has pushed. A shard whose host loses power may come back with
 * less than it had acknowledged; what its sessions still hold is pushed again. */
typedef enum {
    RUB_RETAIN_ACKED = 0, /* until acknowledged as the job's durability promises */
    RUB_RETAIN_SYNCED =
        1 /* until it is on the shard's platter: nothing is lost while workers live */
} rub_retain_t;

/* How values travel between this session and a shard. */
typedef enum {
    RUB_LANE_AUTO = 0, /* through shared memory to the shards of this host, else the connection */
    RUB_LANE_TCP = 1,
    RUB_LANE_SHM = 2 /* as auto, and open fails when a shard can not be reached through memory */
} rub_lane_choice_t;

typedef struct rub_options {
    const char *scheduler;       /* "tcp://host:port", or what rub_inproc_address says; required */
    rub_role_t role;             /* RUB_TRAINER */
    int32_t rank;                /* the rank wanted, or RUB_ANY_RANK */
    uint32_t join_timeout_ms;    /* for scheduler, shards and rank to be there; 60000, also for 0 */
    uint32_t request_timeout_ms; /* for one pull, clock, barrier, flush; 0: none; 300000 */
    uint32_t grace_ms;       /* a trainer whose scheduler has been silent for so long gives up with
                                RUB_EPEER; 0: never; 60000 */
    size_t ring_limit_bytes; /* unacknowledged pushes held per shard; 64 MiB */
    /* Called from the thread that uses the session, with a sentence about trouble that is not yet
     * an error: a missing peer, a reconnect, for whom a pull waits. NULL: silence. */
    void (*notice)(void *context, const char *sentence);
    void *notice_context;
    /* A folder, made if missing, where this session logs its pulls for `rubato audit`: a line of
     * about 40 bytes per answer of a shard, flushed with each clock. NULL: no log. */
    const char *pull_log_dir;
    /* Polled while waiting; non-zero ends the wait with RUB_EINTR. May be set from a signal
     * handler. May be NULL. */
    const volatile int *interrupted;
    /* RUB_RETAIN_ACKED. With RUB_RETAIN_SYNCED the ring must hold what is pushed between two syncs;
     * when half full it asks for one, when full a push waits for it. */
    rub_retain_t retain;
    rub_lane_choice_t lane; /* RUB_LANE_AUTO */
    /* Memory for what codecs with error feedback keep back, per table; 1 GiB, also for 0. */
    size_t residual_limit_bytes;
    /* A libzmq context in which the session makes its sockets, kept until it is closed: that of a
     * fleet in this process (rubato_inproc.h). NULL: one of its own. */
    void *zmq_context;
} rub_options_t;

RUB_API void rub_options_defaults(rub_options_t *options);

/* Joins the job and says HELLO to every shard. Blocks up to join_timeout_ms. On success *session_p
 * is the caller's. RUB_EPEER: names who is missing. RUB_EHELD: the wanted rank has a living holder.
 * RUB_EREFUSED: the job is over or has no place.
 *
 * A session is of the process that opened it. In a child that is forked from it later each call is
 * refused with RUB_EINVAL; rub_close and rub_abandon set *session_p to NULL there, tell nobody, and
 * free nothing. */
RUB_API int rub_open(const rub_options_t *options, rub_session_t **session_p, rub_error_t *err);

/* Leaves the job: flushes (up to request_timeout_ms), says BYE to every shard and the scheduler,
 * frees the session and sets *session_p to NULL, whatever the result. done: this rank's work is
 * finished; otherwise it only leaves, and its data is dealt again. NULL is fine. */
RUB_API int rub_close(rub_session_t **session_p, bool done, rub_error_t *err);

/* As rub_close(done = false), and tells the scheduler why: for RUB_EDIVERGED and RUB_EDATA the
 * whole job fails with this code and sentence; for others only this rank is gone. */
RUB_API int rub_close_failed(rub_session_t **session_p, int code, const char *why,
                             rub_error_t *err);

/* Frees at once without a word to anybody, as a crash would. */
RUB_API void rub_abandon(rub_session_t **session_p);

typedef struct rub_info {
    uint64_t job;       /* the job's number */
    uint32_t rank;      /* 0..; readers: UINT32_MAX */
    uint32_t epoch;     /* of the rank, 1.. */
    uint32_t n_workers; /* W, as configured */
    uint32_t n_shards;
    uint64_t staleness; /* bound s, or RUB_ASYNC */
    uint64_t seed;
    uint64_t clock; /* periods this session has finished */
    /* A job that was restored from a snapshot: the clock at which its first ranks began, the data
     * epoch, and what of it had been trained: under bsp its global batches before resumed_batch,
     * otherwise so many examples. Else zeros. */
    uint64_t resumed_clock, resumed_epoch, resumed_batch, resumed_examples;
} rub_info_t;

RUB_API void rub_session_info(const rub_session_t *session, rub_info_t *info);

typedef struct rub_stats {
    uint64_t pushes, pulls;             /* calls */
    uint64_t push_bytes, pull_bytes;    /* of values, as they stand on the wire */
    uint64_t max_gap, p50_gap, p99_gap; /* of the pulls answered, in clocks */
    uint64_t refused;                   /* push messages the shards refused (verdicts) */
    int last_refusal;                   /* its code */
    uint64_t reconnects;
    uint64_t lost; /* acknowledged records, of all sessions of the job, that shards lost with the
                      power: as far as this session was told */
    uint64_t rollbacks; /* shards that came back with less than this session had read there */
    /* How long calls have stood waiting, in microseconds, the one under way included: for pulls
     * (wire, shard, and above all the staleness bound), for pushes (room in the rings,
     * acknowledgements), and to meet others (barrier, pause, resume, the next piece of data). */
    uint64_t pull_wait_us, push_wait_us, meet_wait_us;
    uint64_t lanes; /* shards to which values go through shared memory now */
    /* Rows that pulls of cached tables found, and did not find, in the cache; what it holds now. */
    uint64_t cache_hits, cache_misses, cache_bytes;
} rub_stats_t;

RUB_API void rub_session_stats(const rub_session_t *session, rub_stats_t *stats);

/* ---- tables ---- */

typedef enum { RUB_DENSE = 0, RUB_HASHED = 1 } rub_table_kind_t;

typedef enum {
    RUB_SGD = 0,
    RUB_ADD = 1,
    RUB_MOMENTUM = 2,
    RUB_ADAGRAD = 3,
    RUB_ADAM = 4,
    RUB_NESTEROV = 5,
    RUB_RMSPROP = 6,
    RUB_ADADELTA = 7,
    RUB_ADAMW = 8,
    RUB_AMSGRAD = 9,
    RUB_ROWWISE_ADAGRAD = 10, /* one accumulator for a row; of a dense table, for a block */
    RUB_FTRL = 11,            /* FTRL-proximal */
    RUB_LAMB = 12,            /* with norms of whole tensors: not for tables, worker's steps only */
    RUB_ADAREVISION = 13      /* AdaGrad that revises what late gradients could not know */
} rub_optimizer_kind_t;

typedef enum {
    RUB_INIT_ZEROS = 0,
    RUB_INIT_CONSTANT = 1, /* init_scale */
    RUB_INIT_UNIFORM = 2,  /* in [-init_scale, init_scale) */
    RUB_INIT_NORMAL = 3    /* standard deviation init_scale; sum of 12 uniforms, no libm */
} rub_init_kind_t;

/* How values stand on the wire. Formats: common/num/codec.h. Numbers are pinned for ever. */
typedef enum {
    RUB_CODEC_F32 = 0,  /* as they are */
    RUB_CODEC_F16 = 1,  /* half the bytes, 11 bits of precision, up to 65504 */
    RUB_CODEC_BF16 = 2, /* half the bytes, 8 bits of precision, float32's range */
    RUB_CODEC_INT8 = 3, /* about a quarter; a scale per row, rounded at random without bias */
    RUB_CODEC_2BIT = 4, /* about a 14th; with error feedback, as the next two */
    RUB_CODEC_1BIT = 5, /* about a 25th */
    RUB_CODEC_TOPK = 6  /* about a 21st: the greatest 1/32 of a row */
} rub_codec_kind_t;

/* The learning rate as a function of the clock of the period that is pushed; formulas:
 * common/num/schedule.h. */
typedef enum {
    RUB_SCHEDULE_CONSTANT = 0,
    RUB_SCHEDULE_STEP = 1,         /* times step_factor every schedule_clocks */
    RUB_SCHEDULE_COSINE = 2,       /* from lr to lr_end in schedule_clocks */
    RUB_SCHEDULE_LINEAR = 3,       /* the same, straight */
    RUB_SCHEDULE_INVERSE_SQRT = 4, /* as 1 / sqrt(clock) */
    RUB_SCHEDULE_INVERSE = 5       /* as 1 / clock: half of lr behind schedule_clocks */
} rub_schedule_kind_t;

/* What a shard does about gradients that come late. A push's delay is how many periods of other
 * ranks ended at its shard between the first pull for its period and the push: updates that the
 * gradient could not know. Under bsp there is none. */
typedef enum {
    RUB_DELAY_IGNORED = 0,
    RUB_DELAY_DIVIDES = 1,     /* the rate is divided by it (Zhang et al., IJCAI 2016) */
    RUB_DELAY_COMPENSATES = 2, /* g + lambda g g (w - w of the pull) (Zheng et al., ICML 2017) */
    RUB_DELAY_ADAPTS = 3       /* the same with lambda / sqrt(mean of squares of g) */
} rub_delay_kind_t;

/* Hyper-parameters of the server-side optimizer, with their defaults; what an optimizer does not
 * use is ignored. Formulas, papers, and who uses what: common/num/optimizer.h. */
typedef struct rub_hyper {
    double lr;           /* 0.01 */
    double momentum;     /* 0.9: momentum, nesterov */
    double beta1, beta2; /* 0.9, 0.999: adam, adamw, amsgrad */
    double epsilon;      /* 1e-8 */
    double weight_decay; /* 0: L2 added to the gradient; adamw: decoupled from it; ftrl: unused */
    double rho;          /* 0.9: rmsprop, adadelta: decay of their means of squares */
    double l1, l2;       /* 0, 0: ftrl */
    double ftrl_beta;    /* 1: ftrl */
    rub_schedule_kind_t schedule; /* constant; ftrl takes no other, and no warm-up */
    uint64_t warmup_clocks;       /* 0: how long the rate rises to lr, before the schedule begins */
    uint64_t schedule_clocks;     /* 0; step, cosine, linear, inverse need it */
    double step_factor;           /* 0.1 */
    double lr_end;                /* 0: cosine, linear */
    rub_delay_kind_t delay;       /* ignored; ftrl and adarevision take no other, hashed tables
                                     no compensation */
    double delay_lambda;          /* 0.04: of compensation; adapting one is better off with 2 */
} rub_hyper_t;

/* Which rows of a hashed table its shards delete by themselves, so that keys that have had their
 * day do not fill them up for ever. Off unless asked for: a deleted row is as if it had never been
 * pushed, its weights and slots are gone, and the next push to it begins a new one. Deletes are
 * records of the journal, counted in the result and by 'rubato status'.
 *
 * A shard's time is the least clock t of those that train. At each clock it looks at a part of its
 * rows, each once in sweep_clocks, and deletes those that no push of a period below t has named for
 * more than idle_clocks clocks, or whose weights have an L2 norm below `norm` and that no push of
 * period t or later has named. Pulls do not keep a row. Under bsp that is exactly so, as a function
 * of what was pushed, whatever the number of shards and whoever was killed; else a shard may be
 * behind with looking. */
typedef struct rub_eviction {
    uint64_t idle_clocks;  /* 0: rows may be idle for as long as they like; at most 2^30 */
    double norm;           /* 0: they may be as short as they like */
    uint64_t sweep_clocks; /* 1024; 1 to 2^20, where one of the others is not 0 */
} rub_eviction_t;

typedef struct rub_schema {
    const char *name; /* at most 63 bytes */
    rub_table_kind_t kind;
    uint64_t elements; /* dense: number of float32 in the table */
    uint32_t width;    /* hashed: float32 per row, 1..65536 */
    rub_optimizer_kind_t optimizer;
    rub_hyper_t hyper;
    rub_init_kind_t init;
    double init_scale;
    rub_eviction_t evict; /* hashed */
    /* Hashed, 0 to 1; 0: as 1. A push of a row that is not there makes it with this probability,
     * and else is passed over for that row, counted; so keys that are pushed once or twice seldom
     * take room. The draw is a function of (seed, table, key, clock of the push): the same for all
     * who push the row in one period, on any number of shards, and in every replay. */
    double admit_probability;
    /* Hashed, 0 to 15; 0 and 1: no matter. A row that is not there is made by the admit_count-th
     * push that names its key (under bsp: in the admit_count-th period), and passed over, counted,
     * by those before. Pushes are counted in admit_counters counters of 4 bits over all shards, 4
     * for each key (2^17 to 2^26, rounded down to a multiple of 2^17; 0: 2^22): keys that share all
     * of theirs come in early, none comes in late. What is counted outlives kills and goes into
     * snapshots; a row that was deleted comes back at the first push. Not beside admit_probability.
     */
    uint32_t admit_count;
    uint64_t admit_counters;
} rub_schema_t;

/* A dense zero-initialised sgd table with the default hyper-parameters; name and size are the
 * caller's to set. */
RUB_API void rub_schema_defaults(rub_schema_t *schema);

typedef uint32_t rub_table_t; /* a table's number in its job */

/* Creates the table, or opens it if it exists with the same schema (the first to come creates).
 * Blocks until every shard can have it. RUB_ESCHEMA: it exists and differs; RUB_EINVAL: bad schema.
 */
RUB_API int rub_table_open(rub_session_t *session, const rub_schema_t *schema, rub_table_t *table_p,
                           rub_error_t *err);

/* What the job's table of that number is, as far as this session has heard; they are numbered from
 * 1. schema->name is borrowed until the next call. Does not wait. RUB_ENOTABLE: none of that
 * number. */
RUB_API int rub_table_schema(const rub_session_t *session, rub_table_t table, rub_schema_t *schema,
                             rub_error_t *err);

/* How the values of this session's pushes to the table, and of what it pulls from it, travel from
 * now on; other sessions choose for themselves. Both are float32 until told. What shards keep is
 * float32: they decode before they apply. Does not wait.
 *
 * push: any. With int8 the draws follow from the job's seed, the rank, the clock and the row, so
 * bsp stays repeatable. With 2bit, 1bit and topk (error feedback) the session keeps of each row
 * what it did not send and adds it to the row's next push. It sends all it keeps, as float32, at
 * the cut of a snapshot, and before it pauses or leaves unfinished: what others go on with has all
 * that was given. Who leaves as done leaves the weights as they are (rub_push_kept). When its
 * process is killed, or its rank evicted, some pushes' worth of what it gave is lost: not for sums
 * that must be exact. pull: RUB_CODEC_F32, _F16
 * or _BF16; others round weights too coarsely.
 *
 * RUB_ECODEC: unknown, or not for pulls; RUB_ENOTABLE; RUB_EBUSY: another codec has kept back what
 * was not pushed yet. A shard that does not know a codec refuses each push (rub_stats_t.refused,
 * last_refusal RUB_ECODEC) and each pull with that code. */
RUB_API int rub_table_codec(rub_session_t *session, rub_table_t table, rub_codec_kind_t push,
                            rub_codec_kind_t pull, rub_error_t *err);

/* Keeps rows of a hashed table that this session has pulled, so that later pulls find them here:
 * only the keys of rows that are missing, or too old, travel. For readers, off until asked for.
 * Rows give way to others by CLOCK when limit_bytes are used. A second call begins anew, with
 * nothing kept; limit_bytes 0 ends it. Does not wait.
 *
 * Never older than max_age_ms: what a pull returns of a row stood in its shard at some moment of
 * the last max_age_ms before the call, or later. (The bound is a time because a reader has no
 * clock, and hears of others' clocks only by what it pulls.) Monotone: a pull that begins after
 * another one has returned never returns an older version of a row. Rows of one pull may be of
 * different ages: one push may be in some of them and not yet in others. A shard or a scheduler
 * that was started again, a shard that has moved, and another codec make the session forget all it
 * has kept. rub_stats_t.pull_bytes counts what has travelled.
 *
 * RUB_ENOTABLE; RUB_ESHAPE: it is dense; RUB_EINVAL: the session is a trainer, max_age_ms is 0, or
 * not even one row goes into limit_bytes; RUB_ENOMEM. As it was then. */
RUB_API int rub_table_cache(rub_session_t *session, rub_table_t table, size_t limit_bytes,
                            uint64_t max_age_ms, rub_error_t *err);

/* ---- pulls ---- */

typedef uint64_t rub_handle_t; /* an operation under way; never 0 */

/* Dense: copies elements [first, first + count) into values. Blocks until the bound allows. */
RUB_API int rub_pull_range(rub_session_t *session, rub_table_t table, uint64_t first,
                           uint64_t count, float *values, rub_error_t *err);

/* Hashed: values is n_keys x width, rows in the order of keys (duplicates allowed). exists: n_keys
 * flags, 1 when the row was ever pushed, 0 when the values are its first-touch initialisation; may
 * be NULL. */
RUB_API int rub_pull(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
                     float *values, uint8_t *exists, rub_error_t *err);

/* The same without waiting. ahead: the values will be used `ahead` periods from now (0: this one;
 * 1: prefetch for the next); the pull is stamped with that clock. Keeps values and exists until
 * rub_wait has returned its end (not RUB_ETIMEOUT or RUB_EINTR), or rub_cancel, or the session is
 * closed; they may be written at any time until then, by shards of the same process
 * (rubato_inproc.h) also while no call is being made. Keys are copied. */
RUB_API int rub_pull_range_async(rub_session_t *session, rub_table_t table, uint64_t first,
                                 uint64_t count, uint32_t ahead, float *values,
                                 rub_handle_t *handle_p, rub_error_t *err);
RUB_API int rub_pull_async(rub_session_t *session, rub_table_t table, const uint64_t *keys,
                           size_t n_keys, uint32_t ahead, float *values, uint8_t *exists,
                           rub_handle_t *handle_p, rub_error_t *err);

/* ---- pushes ---- */

/* Gives gradients (or deltas, optimizer add) to the server, which applies the table's optimizer.
 * Values are copied before return; the call waits only when the ring is full. Acknowledged when
 * rub_wait(handle) or rub_flush has returned; handle_p may be NULL. RUB_ENAN: a value is not
 * finite; RUB_ESHAPE; nothing was pushed then.
 *
 * Dense: first is a multiple of RUB_BLOCK, and first + count is one too or the table's end: one
 * optimizer step per block. */
RUB_API int rub_push_range(rub_session_t *session, rub_table_t table, uint64_t first,
                           uint64_t count, const float *values, rub_handle_t *handle_p,
                           rub_error_t *err);
/* Hashed: values is n_keys x width. Duplicate keys are summed in the caller's order before they
 * leave. */
RUB_API int rub_push(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
                     const float *values, rub_handle_t *handle_p, rub_error_t *err);

/* The same from the caller's array: no value is copied where a message can be sent as it stands
 * there, through tcp or inside the process: ranges, and rows of a job with one shard, each key
 * once. Elsewhere (shared memory, codecs, RUB_RETAIN_SYNCED, messages up to 8 KiB) this is what the
 * functions above do. Keys are copied in any case.
 *
 * Keeps values until rub_wait(handle) or rub_flush has returned 0, or rub_close, rub_close_failed
 * or rub_abandon has returned, whatever its result; until then they must not change, for what is
 * not acknowledged may be sent again, to a shard that was started again, too. No error gives them
 * back: neither a wait that ended at its deadline nor a session that failed; close it then. If this
 * call itself fails nothing was pushed, and nothing is kept.
 *
 * Values that are sent in place are not looked at here. A shard looks at each message, of at most
 * 1 MiB, before it applies it, and refuses one with a value that is not finite: it alone is left
 * out, the rest of the call is applied, and rub_stats_t.refused counts it, with last_refusal
 * RUB_ENAN; waits end as ever. */
RUB_API int rub_push_range_lent(rub_session_t *session, rub_table_t table, uint64_t first,
                                uint64_t count, const float *values, rub_handle_t *handle_p,
                                rub_error_t *err);
RUB_API int rub_push_lent(rub_session_t *session, rub_table_t table, const uint64_t *keys,
                          size_t n_keys, const float *values, rub_handle_t *handle_p,
                          rub_error_t *err);

/* Pushes, as float32, what error feedback keeps back of this session's pushes to all tables: then
 * all that was given is sent. Waits for room only. The optimizer takes it as a gradient of its own,
 * which may be as large as some dozens of others: sums come out, but weights are better a while
 * later than right behind it. */
RUB_API int rub_push_kept(rub_session_t *session, rub_error_t *err);

#define RUB_BLOCK 4096u /* float32 per block of a dense table */

/* ---- waiting ---- */

/* Until the pull's values are there, or the push is acknowledged as the job's durability promises.
 */
RUB_API int rub_wait(rub_session_t *session, rub_handle_t handle, rub_error_t *err);
/* Gives up on a pull: its buffers are the caller's again at return. Does not wait, but for
 * microseconds where a shard of the same process is just writing there. A push cannot be taken
 * back: RUB_EINVAL. */
RUB_API int rub_cancel(rub_session_t *session, rub_handle_t handle, rub_error_t *err);
/* Until every push and clock of this session is acknowledged. */
RUB_API int rub_flush(rub_session_t *session, rub_error_t *err);

/* ---- the clock ---- */

/* Ends this session's period. cursor: where in the data this period ended, at most 64 bytes, kept
 * by the shards; may be NULL. Does not wait for others. Readers: RUB_EINVAL. */
RUB_API int rub_clock(rub_session_t *session, const void *cursor, size_t cursor_bytes,
                      rub_error_t *err);

/* Waits until every live trainer has come here; nobody waits for a trainer that stands in a
 * barrier. Ends the open period; at return all clocks stand at the maximum. sums (may be NULL):
 * n_sums <= 16 numbers, replaced by their sum over all trainers, added in rank order.
 *
 * A barrier, pause, resume, piece_next or table_open that ends with RUB_ETIMEOUT or RUB_EINTR is
 * still under way, with the arguments it was begun with: the same call takes it up again, the
 * others answer RUB_EBUSY until then. */
RUB_API int rub_barrier(rub_session_t *session, double *sums, uint32_t n_sums, rub_error_t *err);

/* What the trainers make of an evaluation of the job's model. All tell the same. */
typedef struct rub_score {
    uint64_t evaluation; /* its number, above 0; the next one's is greater */
    double value;        /* finite; the greater the better */
    const char *metric;  /* what it is, for people; at most 31 bytes */
    uint64_t patience;   /* so many evaluations in a row without a better one end the training; 0:
                            they never do */
    bool keep;           /* a snapshot is taken of the best one */
} rub_score_t;

/* A barrier that judges an evaluation, once per number. For the best one so far, if it is to be
 * kept, a snapshot is taken of the weights as they stand in this barrier, what codecs keep back
 * included (rub_push_kept is done first): it returns when the snapshot's cut is fixed, which takes
 * a moment, or when the snapshot was given up. Such a snapshot stays until that of a better one is
 * whole. Then rub_stopped tells whether to go on. Errors as of rub_barrier; RUB_EINVAL: number 0,
 * or a value that is not finite. */
RUB_API int rub_judge(rub_session_t *session, const rub_score_t *score, double *sums,
                      uint32_t n_sums, rub_error_t *err);
/* The evaluation behind which nobody trains on, as far as this session has heard; 0: none. All that
 * leave one rub_judge have heard the same. Does not wait. */
RUB_API uint64_t rub_stopped(const rub_session_t *session);

/* From pause to resume nobody waits for this session. Resume moves its clock up to the others'. */
RUB_API int rub_pause(rub_session_t *session, rub_error_t *err);
RUB_API int rub_resume(rub_session_t *session, rub_error_t *err);

/* ---- data and reports ---- */

typedef enum { RUB_PIECE = 0, RUB_PIECE_END = 1 } rub_piece_kind_t;

typedef struct rub_piece {
    rub_piece_kind_t kind; /* RUB_PIECE_END: the data epoch is dealt out and finished by all */
    uint64_t epoch;        /* the data epoch that is being dealt now: beyond the one asked for when
                              that one is over, as a late joiner finds */
    uint64_t number;       /* of the piece in its data epoch */
    uint64_t first, count; /* examples [first, first + count) of the epoch's order */
} rub_piece_t;

/* Asks the scheduler for the next piece of data epoch `epoch` over n_examples. The previous piece
 * counts as done. A piece belongs to this session alone; should it die, what its clock's cursor has
 * not covered is dealt again. Pauses the session while it waits for others' last pieces. */
RUB_API int rub_piece_next(rub_session_t *session, uint64_t epoch, uint64_t n_examples,
                           uint64_t piece_examples, rub_piece_t *piece, rub_error_t *err);

/* The cursor that rub_piece_next's bookkeeping understands: pass it to rub_clock. done: examples of
 * the piece. */
typedef struct rub_cursor {
    uint64_t epoch, piece, done;
} rub_cursor_t;

/* How far this rank is; a thread of the session tells the scheduler about once a second. Never
 * blocks. */
typedef struct rub_progress {
    uint64_t epoch, step, examples; /* since the session was opened; epoch from 0 */
    uint64_t total_examples; /* that this rank expects of the whole job, all ranks; 0: unknown */
    double loss;             /* mean of the recent batches */
} rub_progress_t;
RUB_API void rub_session_progress(rub_session_t *session, const rub_progress_t *progress);

/* A named result of the job (accuracy, loss): the scheduler keeps the last value of each; at most
 * 16 names. */
RUB_API int rub_metric(rub_session_t *session, const char *name, double value, rub_error_t *err);

#ifdef __cplusplus
}
#endif

#endif
