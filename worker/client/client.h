/* The client core: one session's rings, pulls, clocks and its talk with the scheduler.
 *
 * Pure: stepped with messages and time by worker/client/session_turn.c (real sockets) or tests/sim
 * (virtual time); answers through effects. Calls that must wait return RUB_CLIENT_WAIT: step the
 * core with messages and ticks until rub_client_poll says that the operation has ended.
 *
 * Laws: a shard is sent nothing before its WELCOME on the current connection; what is not
 * acknowledged stays in the ring and is sent again from WELCOME's applied; a pull is stamped with
 * the clock of its use and the last seq sent to that shard; after a reconnect open pulls are asked
 * again under the same id.
 *
 * Not thread-safe. Errors: negative codes with a sentence in err. */
#ifndef RUB_CLIENT_H
#define RUB_CLIENT_H

#include "common/wire/control.h"
#include "common/wire/packet.h"
#include "worker/client/loan.h"

typedef struct rub_client rub_client_t;

enum { RUB_CLIENT_WAIT = 1 }; /* positive outcome: under way, or no room yet */

/* One shard's answer to (a part of) a pull, taken by the session. */
typedef struct rub_answer {
    uint32_t shard;
    uint64_t stamp;   /* the clock at which the values are to be used */
    uint64_t minimum; /* of done over counted ranks, as the shard says */
    uint64_t lsn;     /* of the shard's last record then */
    uint64_t own_seq; /* the session's own records there up to this one are in the values */
} rub_answer_t;

typedef struct rub_client_effects {
    void *context;
    /* (Re)connect the data socket of that shard: drops what was queued on the old connection. */
    void (*connect)(void *context, uint32_t shard, const char *address);
    /* Takes the packet. */
    void (*send)(void *context, uint32_t shard, rub_packet_t *packet);
    /* A packet for that shard in memory that the shard can see, too. NULL: there is none, it shall
     * lie on the heap. The effect may be NULL: the same. */
    rub_packet_t *(*packet)(void *context, uint32_t shard, const rub_header_t *header,
                            size_t keys_bytes);
    /* Bytes on their way to that shard beyond which pushes wait for its acknowledgements; SIZE_MAX:
     * no memory is shared with it, only the window counts. May be NULL: the same. */
    size_t (*flight)(void *context, uint32_t shard);
    void (*control)(void *context, const rub_control_t *message); /* to the scheduler; borrowed */
    void (*notice)(void *context, const char *sentence); /* missing peers, waits, reconnects */
    void (*answered)(void *context, const rub_answer_t *answer); /* may be NULL: nobody listens */
} rub_client_effects_t;

typedef struct rub_client_config {
    uint8_t nonce[16];
    rub_role_t role;
    int32_t rank;
    size_t ring_limit_bytes;
    rub_retain_t retain;
    uint32_t list_least_keys;    /* of fewer keys the digest is never said; 0: of none */
    uint32_t grant_least_bytes;  /* of shorter answers the array is never granted; 0: of none */
    size_t residual_limit_bytes; /* of what error feedback keeps, per table */
    uint32_t grace_ms; /* a session whose scheduler is silent for so long fails with RUB_EPEER; 0:
                          never */
    char who[128];
} rub_client_config_t;

rub_client_t *rub_client_new(const rub_client_config_t *config,
                             const rub_client_effects_t *effects);
void rub_client_destroy(rub_client_t **self_p);

/* ---- the world ---- */
/* It is so late now: before a pull of a table that is cached, so that ages are true. */
void rub_client_time(rub_client_t *self, uint64_t now_ms);
void rub_client_receive(rub_client_t *self, uint32_t shard, const rub_frame_t *frame,
                        uint64_t now_ms);
void rub_client_control(rub_client_t *self, const rub_control_t *message, uint64_t now_ms);
void rub_client_tick(rub_client_t *self,
                     uint64_t now_ms); /* resends, HELLO after silence, notices; every 50 ms */

/* ---- operations: each starts one, *handle_p names it. One of join, table, barrier, pause, resume,
 * piece, leave at a time; pulls and pushes at any time in between. ---- */
int rub_client_join(rub_client_t *self, uint64_t now_ms, rub_handle_t *handle_p, rub_error_t *err);
int rub_client_table_open(rub_client_t *self, const rub_schema_t *schema, rub_handle_t *handle_p,
                          rub_error_t *err);
/* After it has ended: the table's number. */
rub_table_t rub_client_table_result(const rub_client_t *self);

/* How the values of a table's pushes and pulls stand on the wire from now on; see rub_table_codec.
 */
int rub_client_table_codec(rub_client_t *self, rub_table_t table, rub_codec_kind_t push,
                           rub_codec_kind_t pull, rub_error_t *err);

/* What is pulled of a table is kept for later pulls; see rub_table_cache. */
int rub_client_table_cache(rub_client_t *self, rub_table_t table, size_t limit_bytes,
                           uint64_t max_age_ms, rub_error_t *err);

/* keys NULL: the dense range [first, first + n). Keeps values and exists until the pull has ended
 * or is cancelled. */
typedef struct rub_client_pull {
    rub_table_t table;
    const uint64_t *keys;
    uint64_t first;
    size_t n; /* keys, or elements of the range */
    uint32_t ahead;
    float *values;
    uint8_t *exists;
} rub_client_pull_t;
int rub_client_pull(rub_client_t *self, const rub_client_pull_t *pull, rub_handle_t *handle_p,
                    rub_error_t *err);
/* Ends a pull, and gives its arrays back, or a flush. RUB_EINVAL: anything else. */
int rub_client_cancel(rub_client_t *self, rub_handle_t handle, rub_error_t *err);

/* Copies values, or keeps them (lend) until the operation, or a flush, has ended well, or nothing
 * is out of rub_client_loans any more; keys are copied. RUB_CLIENT_WAIT: the ring is full, nothing
 * was taken: step and call again. handle_p may be NULL. */
typedef struct rub_client_push {
    rub_table_t table;
    const uint64_t *keys;
    uint64_t first;
    size_t n;
    const float *values;
    bool lend;
} rub_client_push_t;
int rub_client_push(rub_client_t *self, const rub_client_push_t *push, rub_handle_t *handle_p,
                    rub_error_t *err);
/* What error feedback keeps back of all tables, as float32; see rub_push_kept. Or WAIT, as above.
 */
int rub_client_push_kept(rub_client_t *self, rub_error_t *err);
/* All that is lent to this session; outlives it for who has a reference. Borrowed. */
rub_loan_t *rub_client_loans(const rub_client_t *self);
/* That push, or flush, is acknowledged, and waits only for its array: no message will say when. */
bool rub_client_awaits_loan(const rub_client_t *self, rub_handle_t handle);
int rub_client_clock(rub_client_t *self, const void *cursor, size_t cursor_bytes,
                     rub_error_t *err); /* or WAIT */

int rub_client_barrier(rub_client_t *self, const double *sums, uint32_t n_sums,
                       rub_handle_t *handle_p, rub_error_t *err);
/* The same in which an evaluation is judged; NULL: none is. */
int rub_client_judge(rub_client_t *self, const rub_score_t *score, const double *sums,
                     uint32_t n_sums, rub_handle_t *handle_p, rub_error_t *err);
uint64_t rub_client_stopped(const rub_client_t *self); /* as rub_stopped */
/* After a barrier has ended: its sums. */
uint32_t rub_client_barrier_sums(const rub_client_t *self, double out[16]);
int rub_client_pause(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err);
int rub_client_resume(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err);
int rub_client_piece(rub_client_t *self, uint64_t epoch, uint64_t n_examples,
                     uint64_t piece_examples, rub_handle_t *handle_p, rub_error_t *err);
const rub_piece_t *rub_client_piece_result(const rub_client_t *self);
int rub_client_flush(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err);
/* BYE to every shard, then LEAVE. code, why: 0 and "" unless it leaves because of an error. */
int rub_client_leave(rub_client_t *self, bool done, int code, const char *why,
                     rub_handle_t *handle_p, rub_error_t *err);
int rub_client_metric(rub_client_t *self, const char *name, double value, rub_error_t *err);

/* 0: ended well; RUB_CLIENT_WAIT: under way; negative: failed, err says how. An ended handle is
 * forgotten. */
int rub_client_poll(rub_client_t *self, rub_handle_t handle, rub_error_t *err);
/* A sentence on what a handle waits for ("rank 1 (clock 17) on shard 0", "shard 1 at tcp://…,
 * silent for 3.2 s"). handle 0: what room in the rings waits for. */
void rub_client_waits_for(const rub_client_t *self, rub_handle_t handle, uint64_t now_ms, char *out,
                          size_t out_bytes);

/* 1 + the first shard that has been silent for too long while something waits for it, be it the
 * open itself; 0: none. The scheduler is told: a worker that computes, or waits elsewhere, is
 * silent at a shard without being cut off from it. */
uint32_t rub_client_stuck_at(const rub_client_t *self, uint64_t now_ms);

/* The caller's thread has stood still for us microseconds on that handle (0: for room in the
 * rings): counted in the statistics by what the handle is of. Opening tables, joining and leaving
 * are not counted; an unknown handle is not either. Returns the statistics as counted so far,
 * without the gaps; the core's. */
const rub_stats_t *rub_client_waited(rub_client_t *self, rub_handle_t handle, uint64_t us);

/* How long this session may be silent, as the scheduler said in JOINED; 0 before that. */
uint32_t rub_client_lease_ms(const rub_client_t *self);

void rub_client_info(const rub_client_t *self, rub_info_t *info);
void rub_client_stats(const rub_client_t *self, rub_stats_t *stats);
/* As rub_table_schema. */
int rub_client_table_schema(const rub_client_t *self, rub_table_t table, rub_schema_t *schema,
                            rub_error_t *err);
const rub_table_view_t *rub_client_table(const rub_client_t *self,
                                         rub_table_t table); /* NULL: unknown */
/* RUB_EFENCED, RUB_EREFUSED, RUB_EDIVERGED...: why this session can do nothing more; 0 while it
 * lives. */
int rub_client_failure(const rub_client_t *self, rub_error_t *err);

#endif
