/* What the files of the client core share: one struct per noun, and the few verbs that cross file
 * borders.
 *
 *   client.c            doors: new, receive, control, tick, info
 *   client_operation.c  handles and how operations end
 *   client_join.c       JOIN, the view, whom to connect to
 *   client_link.c       one shard: HELLO, WELCOME, ACK, silence
 *   client_ring.c       what is not acknowledged yet, and its sending within the window
 *   client_push.c       cutting, duplicates summed; key_routing.c finds them, and the shards
 *   client_codec.c      values that do not travel as float32; residuals.c keeps what was not sent
 *   client_kept.c       when and how what was not sent goes out after all
 *   client_keys.c       keys said by their digest; told_lists.c knows which the shard was told
 *   client_pull.c       routing of pulls; client_request.c asks, windows, scatters
 *   client_cache.c      rows that a reader has pulled, kept for its next pulls in row_cache.c
 *   client_clock.c      CLOCK, IDLE, RESUME on every shard; pause and resume
 *   client_barrier.c client_piece.c client_table.c client_leave.c   the talk with the scheduler
 *   client_notice.c     sentences on who is waited for
 *
 * Private to worker/client. */
#ifndef RUB_CLIENT_INTERNAL_H
#define RUB_CLIENT_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/metrics/histogram.h"
#include "common/num/codec.h"
#include "common/wire/grant.h"
#include "common/wire/placement.h"
#include "worker/client/client.h"
#include "worker/client/residuals.h"
#include "worker/client/row_cache.h"
#include "worker/client/told_lists.h"

#include <stdbool.h>

/* Keys and values are copied between the caller's arrays and the wire, which is little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "rubato's client needs a little-endian host");

enum {
    RUB_JOIN_EVERY_MS = 300,
    RUB_ASK_EVERY_MS = 500, /* BARRIER, RESUMED, TABLE, LEAVE until answered */
    RUB_PIECE_EVERY_MS = 300,
    RUB_HELLO_FIRST_MS = 250, /* repeated HELLO, doubling up to ... */
    RUB_HELLO_LAST_MS = 1000,
    RUB_SILENCE_MS = 1000, /* a record is not acknowledged and nothing heard: HELLO again */
    RUB_UNMOVED_MS = 3000, /* it talks, and acknowledges nothing of what was sent: HELLO again */
    RUB_PULL_SILENCE_MS = 2500, /* only pulls are open: a shard says WAITING every second */
    RUB_ALIVE_EVERY_MS = 1000,  /* who waits, and has nothing to ask, says that it is there */
    RUB_READER_ASKS_MS = 1000,  /* a reader has no lease thread: so often it asks for news itself */
    RUB_TELL_EVERY_MS = 1000,   /* says again, to a cut that waits for it, what is kept back */
    RUB_VIEW_EVERY_MS = 1000,   /* asks for the view while a shard is out of reach */
    RUB_NOTICE_FIRST_MS = 3000, /* before somebody missing is named; design: within 5 s */
    RUB_NOTICE_EVERY_MS = 10000,
    RUB_PAUSE_MS = 2000, /* no tick for so long: this process did not run, or its caller computed */
    RUB_REFUSED_IN_A_ROW = 100, /* verdicts until the session counts as diverged */
    RUB_SYNC_EVERY_MS = 200,    /* between two SYNCs while the platter does not move */
    RUB_REQUEST_BYTES = 256,    /* what a parked pull costs a shard beside keys and answer */
    RUB_ENTRY_BYTES = 128,      /* what a record costs the ring beside its bytes */
    RUB_METRICS_LIMIT = 16
};
/* Of replies outstanding per shard; of those for later periods, as many as a lane has slots for
 * beside the others. */
#define RUB_PULL_WINDOW_BYTES (8u * 1024u * 1024u)
#define RUB_PREFETCH_WINDOW_BYTES (24u * 1024u * 1024u)
#define RUB_WINDOW_FIRST_BYTES (4u * 1024u * 1024u) /* until WELCOME grants one */

/* ---- the ring: records [base, base + n) of one stream, not acknowledged as the job's durability
 * promises ---- */
typedef struct rub_ring {
    rub_packet_t **packets; /* circular; capacity is a power of two */
    size_t head, n, capacity;
    size_t used_bytes;
    uint64_t base;       /* seq of the first record */
    uint64_t base_clock; /* done(u) before that record: what RESYNC says */
} rub_ring_t;

int rub_ring_reserve(rub_ring_t *self, size_t more); /* 0 or RUB_ENOMEM */
void rub_ring_fini(rub_ring_t *self);
rub_packet_t *rub_ring_at(const rub_ring_t *self, uint64_t seq); /* borrowed; base <= seq <= last */
rub_packet_t **rub_ring_place(rub_ring_t *self, uint64_t seq);   /* to put the same record there */
void rub_ring_free_to(rub_ring_t *self, uint64_t seq); /* records up to seq, this one included */
static inline uint64_t rub_ring_last(const rub_ring_t *self)
{
    return self->base + self->n - 1;
}
/* Bytes on the wire and in memory of a record, as ring and window count them. */
size_t rub_ring_cost(const rub_packet_t *packet);

/* ---- operations ---- */
typedef enum {
    RUB_OP_JOIN,
    RUB_OP_TABLE,
    RUB_OP_BARRIER,
    RUB_OP_PAUSE,
    RUB_OP_RESUME,
    RUB_OP_PIECE,
    RUB_OP_LEAVE, /* up to here: one at a time, stepped by its advance function */
    RUB_OP_PULL,
    RUB_OP_ACKED /* a push or a flush: ends when every shard has acknowledged */
} rub_op_kind_t;

typedef struct rub_operation {
    rub_handle_t handle;
    rub_op_kind_t kind;
    bool ended;
    int code;       /* of an ended one: 0, or why it failed */
    char *sentence; /* may be NULL */
} rub_operation_t;

typedef struct rub_acked {
    rub_operation_t op;
    bool flush;
    rub_loan_t *loan;   /* what must be back then; NULL: nothing was lent */
    uint64_t targets[]; /* per shard: the seq that must be acknowledged */
} rub_acked_t;

/* ---- pulls: a pull has a route per shard, a route has parts, a part is one PULL message ---- */
typedef struct rub_part {
    rub_packet_t *packet;
    rub_grant_t *grant; /* that the packet bears; NULL: none */
    size_t at; /* first row in routed order; for a range, first element in the caller's array */
    uint32_t n;
} rub_part_t;

typedef struct rub_route {
    struct rub_pull *pull;
    struct rub_route *next; /* in the lane's backlog */
    rub_part_t *parts;
    uint32_t shard, n_parts, next_part;
    uint64_t mark; /* last seq of our stream there when the pull was issued */
} rub_route_t;

typedef struct rub_pull {
    rub_operation_t op;
    rub_table_t table;
    bool range;
    uint32_t width;           /* floats per row; 1 for a range */
    const rub_codec_t *codec; /* that the values come in */
    uint64_t stamp;
    float *values;
    uint8_t *exists;
    uint32_t *positions; /* routed order -> caller's order; NULL: the same */
    /* Of a table that is cached: what travels is only what was not here. */
    uint32_t *missed;      /* positions of these in the caller's order, until they are routed */
    uint64_t *missed_keys; /* in routed order; NULL: nothing of this table is kept */
    uint64_t cached_since; /* the caching's, when this was asked for */
    rub_part_t *parts;
    rub_route_t *routes;
    uint32_t n_parts, n_routes, left_parts;
    uint64_t gap, issued_ms, noticed_ms;
    /* of the last WAITING frame */
    uint64_t waiting_minimum;
    uint32_t waiting_shard, waiting_ranks[16], n_waiting;
} rub_pull_t;

/* Pulls of one stamp. A parked prefetch must never stand in the way of a pull for the period that
 * has to end before the prefetch can be served: stamps queue apart. */
typedef struct rub_lane {
    uint64_t stamp;
    size_t outstanding_bytes;
    rub_route_t *head, *tail; /* routes with parts not asked yet */
} rub_lane_t;

typedef struct rub_request {
    rub_route_t *route; /* NULL: answered or cancelled */
    uint32_t part;
    bool held; /* the shard has no room to park it: asked again soon */
} rub_request_t;

/* ---- one shard ---- */
typedef enum { RUB_LINK_DOWN, RUB_LINK_HELLO, RUB_LINK_UP, RUB_LINK_POSTPONED } rub_link_state_t;

typedef struct rub_link {
    uint32_t shard;
    rub_link_state_t state;
    bool welcomed;        /* ever */
    bool idle;            /* IDLE was said, RESUME not yet */
    char address[128];    /* connected to; empty: not yet */
    uint64_t incarnation; /* of its last WELCOME */
    uint32_t durability;
    /* the stream */
    rub_ring_t ring;
    uint64_t sent;          /* last seq given to this connection */
    uint64_t applied;       /* last seq the shard says it has */
    uint64_t acked;         /* last seq that is acknowledged as the job's durability promises */
    uint64_t synced;        /* last seq that is on the shard's platter */
    uint64_t resumed;       /* seq of the last RESUME, which must not be lost; 0: none */
    uint64_t sync_asked_ms; /* when SYNC was said last; 0: not since the platter moved */
    size_t in_flight_bytes; /* of (applied, sent] */
    uint64_t window;
    uint64_t seen_lsn;      /* the greatest that came with rows */
    uint64_t lost;          /* records that the shard has lost with the power, as far as told */
    int postponed;          /* why the shard took no records when it said so last */
    uint64_t postponed_seq; /* the record that it did not take */
    uint64_t postponed_ms, postponed_noticed_ms; /* since when it takes none; 0: it does */
    uint64_t done; /* done(u) there at the end of our stream: the stamp of the next record */
    uint64_t refused, refused_in_a_row;
    /* requests, circular, ids [request_base, request_base + n_requests) */
    rub_request_t *requests;
    size_t request_head, n_requests, request_capacity, open_requests, held_requests;
    size_t outstanding_bytes; /* what the open requests may cost the shard */
    uint64_t request_base;
    rub_lane_t *lanes;
    size_t n_lanes, lane_capacity;
    /* key lists */
    rub_told_lists_t *told; /* NULL: none was long enough yet */
    size_t lists_limit;     /* of what it may be told on this connection; 0: nothing */
    bool takes_grants;      /* it is of this process, and its WELCOME said so */
    /* time */
    uint64_t heard_ms, said_ms, asked_ms, hello_ms, hello_wait_ms, down_ms, noticed_ms;
    uint64_t moved_ms, moved_to; /* when all that was sent was applied, or applied rose to that */
    bool lost_connection;        /* the next WELCOME is a reconnect */
} rub_link_t;

typedef struct rub_client_table {
    const rub_table_view_t *schema;
    rub_placement_t placement;
} rub_client_table_t;

typedef struct rub_outgoing {
    uint32_t shard;
    rub_packet_t *packet;
    rub_packet_t
        *plain; /* with error feedback: of each value what packet does not send; else NULL */
} rub_outgoing_t;

/* A table whose values do not (only) travel as float32. */
typedef struct rub_coding {
    rub_table_t table;
    const rub_codec_t *push, *pull;
    uint64_t clock, n_pushes; /* pushes in that clock: each draws anew */
    rub_residuals_t *kept;    /* error feedback; NULL without */
    float *sent;              /* room for a codec row */
    bool dirty;               /* something may be kept that was not pushed since */
    uint64_t next;            /* row, or block, at which pushing it goes on */
} rub_coding_t;

/* A table whose rows a reader keeps. */
typedef struct rub_caching {
    rub_table_t table;
    uint64_t max_age_ms;
    const rub_codec_t *codec; /* that its rows came in */
    rub_row_cache_t *rows;
    uint64_t since; /* what was asked for before that is not kept */
} rub_caching_t;

typedef struct rub_wanted_table {
    rub_table_view_t schema;
    uint32_t id; /* 0: not answered yet */
    uint64_t version;
} rub_wanted_table_t;

struct rub_client {
    rub_client_config_t config;
    rub_client_effects_t effects;
    uint64_t now_ms;
    uint64_t ticked_ms; /* the last tick */
    uint64_t scheduler_heard_ms, scheduler_noticed_ms;
    uint64_t reader_asked_ms;
    uint32_t lease_ms; /* of JOINED: how long we may be silent */
    bool joined, opened, leaving;
    int failure;
    rub_error_t failure_error;
    rub_error_t last_refusal; /* the scheduler's latest "not yet" */
    rub_error_t hindrance;    /* why it could answer nobody, */
    uint64_t hindered_ms;     /* and when it said so last; 0: never */

    uint64_t job, generation;
    uint32_t rank, epoch;
    rub_arena_t view_arenas[2]; /* the view lives in one, the next is copied into the other */
    unsigned view_arena;
    rub_view_t *view;
    rub_client_table_t *tables; /* as in the view */
    size_t table_capacity;
    uint64_t view_asked_ms;
    uint64_t rumoured_version, rumoured_generation; /* a LEASE_OK told of these */
    rub_link_t *links;
    uint32_t n_links;

    uint64_t clock;
    bool idle;           /* IDLE is the last record of every stream: */
    uint64_t idle_clock; /* where each shard stands once it has that one */
    bool paused;         /* by rub_client_pause, not by a wait for data */
    uint8_t cursor[RUB_CURSOR_LIMIT];
    size_t cursor_bytes;

    /* operations under way, ascending by handle, [ops_head, n_ops) */
    rub_operation_t **ops;
    size_t ops_head, n_ops, ops_capacity;
    rub_handle_t last_handle;
    size_t n_pulls_open;
    /* the one exclusive operation */
    rub_operation_t *active;
    unsigned step;
    uint64_t asked_ms; /* 0: not yet in this step */
    uint64_t started_ms, active_noticed_ms;
    bool full; /* the last push or clock found no room: since full_ms */
    uint64_t full_ms, full_noticed_ms;

    uint64_t barrier_number;
    double barrier_sums[16];
    uint32_t n_barrier_sums;
    uint64_t release_number, release_clock, release_version, go_number;
    rub_score_t score; /* that this barrier tells; evaluation 0: none */
    char metric[32];   /* of it */

    rub_piece_t piece;
    rub_piece_ask_t piece_ask;
    uint64_t piece_request;
    uint64_t piece_epoch, piece_last; /* the piece held, UINT64_MAX: none */
    bool piece_answered;
    rub_dealt_t dealt;

    rub_wanted_table_t wanted;

    bool leave_done, left;
    int leave_code;
    char leave_why[256];
    rub_metric_t metrics[RUB_METRICS_LIMIT];
    uint32_t n_metrics;

    rub_coding_t *codings;
    size_t n_codings, coding_capacity;
    bool feedback; /* some table had a codec that keeps back: from then on VIEW_ACK says a clock */
    bool plain;    /* the push under way is of what was kept back: as float32, and at once */
    uint64_t told_from; /* whole_from of our last VIEW_ACK of our view */
    uint64_t told_ms;

    rub_caching_t *cachings;
    size_t n_cachings, caching_capacity;
    uint64_t cache_epoch; /* rises with everything that makes a cache forget */

    rub_loan_t *loans;   /* all that is lent to this session */
    rub_arena_t scratch; /* of one call */
    rub_outgoing_t *outgoing;
    size_t n_outgoing, outgoing_capacity;

    rub_stats_t stats;
    bool pushed;          /* something, to any shard, in the open period */
    rub_histogram_t gaps; /* of answered pulls, in clocks */
};

/* ---- client.c ---- */
/* The session can do nothing more; every operation fails with it. The first failure stays. */
void rub_client_fail(rub_client_t *self, int code, const char *sentence);
/* May pulls be issued (readers too)? And records of the stream (trainers, joined, not leaving)? 0
 * or a code. */
int rub_client_usable(const rub_client_t *self, rub_error_t *err);
int rub_client_may_push(const rub_client_t *self, const char *what, rub_error_t *err);
const rub_client_table_t *rub_client_find_table(const rub_client_t *self, rub_table_t table);
void rub_client_count_gap(rub_client_t *self, uint64_t gap);

/* ---- client_operation.c ---- */
/* Registers op (memory from rub_alloc, zeroed) and takes it; RUB_ENOMEM: still the caller's. */
int rub_operation_add(rub_client_t *self, rub_operation_t *op, rub_op_kind_t kind,
                      rub_handle_t *handle_p);
rub_operation_t *rub_operation_find(const rub_client_t *self,
                                    rub_handle_t handle);           /* NULL: unknown */
void rub_operation_remove(rub_client_t *self, rub_operation_t *op); /* frees it */
void rub_operation_end(rub_client_t *self, rub_operation_t *op, int code, const char *sentence);
/* Starts the exclusive operation. RUB_EBUSY: another one is under way. */
int rub_operation_start(rub_client_t *self, rub_op_kind_t kind, rub_handle_t *handle_p,
                        rub_error_t *err);
void rub_operation_step(rub_client_t *self, unsigned step); /* next step; it asks at once */
/* True when the active operation should ask (again), at most every every_ms. */
bool rub_operation_due(rub_client_t *self, uint64_t every_ms);
void rub_operation_advance(rub_client_t *self); /* moves the active operation as far as it goes */
/* Whether every shard has acknowledged. */
bool rub_acked_reached(const rub_client_t *self, const rub_acked_t *acked);
void rub_operations_fini(rub_client_t *self);

/* The exclusive operations' advance functions: called after every event; they end with
 * rub_operation_end. */
void rub_join_advance(rub_client_t *self);
void rub_table_advance(rub_client_t *self);
/* The tables of the view before are in the new one, as they were. RUB_ESCHEMA. */
int rub_table_check_view(const rub_client_t *self, const rub_view_t *view, rub_error_t *err);
void rub_barrier_advance(rub_client_t *self);
void rub_pause_advance(rub_client_t *self);
void rub_resume_advance(rub_client_t *self);
void rub_piece_advance(rub_client_t *self);
void rub_leave_advance(rub_client_t *self);
/* Every record is acknowledged, BYE too; only the scheduler's LEFT is missing. */
bool rub_leave_is_safe(const rub_client_t *self);

/* ---- client_join.c ---- */
void rub_join_joined(rub_client_t *self, const rub_joined_t *joined);
void rub_join_refused(rub_client_t *self, const rub_refused_t *refused);
void rub_join_view(rub_client_t *self, const rub_view_t *view);
void rub_join_lease(rub_client_t *self, const rub_lease_ok_t *lease);
void rub_join_tick(rub_client_t *self); /* asks for the view when it must be old */

/* ---- client_link.c ---- */
void rub_link_connect(rub_client_t *self, rub_link_t *link, const char *address);
void rub_link_hello(rub_client_t *self,
                    rub_link_t *link); /* says HELLO now; nothing else is sent until WELCOME */
void rub_link_receive(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_link_tick(rub_client_t *self, rub_link_t *link);
/* A packet as rub_packet_new makes it. Where there is memory that the shard sees, too, it lies
 * there; else, if it is too long for one frame, its values are those that are lent: rub_loan_t's,
 * NULL: none are. */
typedef struct rub_lent {
    rub_loan_t *loan;
    const float *values;
    rub_grant_t *grant; /* or a PULL bears it; NULL: none */
} rub_lent_t;
rub_packet_t *rub_link_packet(const rub_client_t *self, uint32_t shard, const rub_header_t *header,
                              size_t keys_bytes, rub_lent_t lent);
void rub_link_send(rub_client_t *self, rub_link_t *link,
                   rub_packet_t *packet); /* takes; link is up */
/* Silent for too long while something is outstanding. */
bool rub_link_stuck(const rub_link_t *link, uint64_t now_ms);
/* The session cannot open, because that shard has said nothing to it for so long. */
bool rub_link_shut_out(const rub_link_t *link, uint64_t now_ms);
void rub_link_fini(rub_link_t *link);

/* ---- client_ring.c ---- */
/* Appends to the stream: sets seq, takes the packet; room was reserved. Sends what the window
 * allows. */
void rub_stream_append(rub_client_t *self, rub_link_t *link, rub_packet_t *packet);
void rub_stream_pump(rub_client_t *self, rub_link_t *link);
/* The connection is new or the shard went back: the records behind seq count as not sent. */
void rub_stream_rewind(rub_link_t *link, uint64_t seq);
/* On this connection the shard has consumed nothing from seq on: sent goes back before it. */
void rub_stream_take_back(rub_link_t *link, uint64_t seq);
/* The shard has everything up to applied, and on its platter up to synced. Frees what nobody needs
 * any more. */
void rub_stream_acknowledge(const rub_client_t *self, rub_link_t *link, uint64_t applied,
                            uint64_t synced);
/* Says SYNC when somebody waits for the platter: a ring that is half full of what is only there
 * for it, a RESUME, or a leaving session. */
void rub_stream_ask_sync(rub_client_t *self, rub_link_t *link);

/* ---- client_keys.c ---- */
/* As rub_link_packet, for a message of header->n_keys keys, copied or said by their digest. */
rub_packet_t *rub_keyed_packet(rub_client_t *self, uint32_t shard, const rub_header_t *header,
                               const uint64_t *keys, rub_lent_t lent);
void rub_keys_sent(const rub_link_t *link, const rub_packet_t *packet); /* borrowed */
/* WELCOME: no list is told yet, and the shard has room for so many bytes of them. What was short
 * becomes full. */
void rub_keys_begin(const rub_client_t *self, rub_link_t *link, uint64_t grant_bytes);
void rub_keys_unknown(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame);

/* ---- client_clock.c ---- */
/* One record of that type to every shard, all or none. clock: of CLOCK and RESUME; the others are
 * stamped done(u). mark: of BYE. cursor: the last one is added. RUB_ENOMEM. */
int rub_stream_append_all(rub_client_t *self, uint8_t type, uint64_t clock, uint64_t mark);
/* IDLE once more, to a shard that has lost it with the power. */
void rub_stream_idle_again(rub_client_t *self, rub_link_t *link);
bool rub_stream_all_applied(const rub_client_t *self);
/* All applied, and every RESUME on the platter: one that is lost after others have gone on would
 * leave us behind a minimum that we can not fall below. */
bool rub_stream_all_resumed(rub_client_t *self);
/* Every ring is below its limit, and for values no shard has more than it can be busy with; else
 * notes since when pushes wait. A clock need not wait for a busy shard: what is behind it will. */
bool rub_stream_room(rub_client_t *self, bool for_values);
/* CLOCK(clock) where the shard's done(u) is lower, or everywhere. Moves the session's clock. */
int rub_stream_catch_up(rub_client_t *self, uint64_t clock, bool everywhere);
uint64_t rub_stream_maximum(const rub_client_t *self); /* of done(u) over shards */
/* A failure in the middle of an operation that cannot be undone. */
void rub_client_no_memory(rub_client_t *self);

/* ---- client_codec.c ---- */
/* NULL: float32. */
rub_coding_t *rub_coding_of_push(const rub_client_t *self, rub_table_t table);
const rub_codec_t *rub_coding_of_pull(const rub_client_t *self, rub_table_t table);
/* Puts the encoded packet in the plain one's place. RUB_ENAN, RUB_ENOMEM. */
int rub_coding_encode(rub_client_t *self, const rub_coding_t *coding,
                      const rub_client_table_t *table, rub_outgoing_t *outgoing, rub_error_t *err);
/* Room for what the outgoing packets keep back. RUB_ELIMIT, RUB_ENOMEM. */
int rub_coding_reserve(const rub_client_t *self, const rub_coding_t *coding,
                       const rub_table_view_t *schema, rub_error_t *err);
/* The outgoing packets are on their way: what they did not send is kept. */
void rub_coding_commit(const rub_client_t *self, rub_coding_t *coding,
                       const rub_table_view_t *schema);
void rub_codings_fini(rub_client_t *self);

/* ---- client_cache.c ---- */
/* Answers of the call what is kept and young enough; the call is left with the keys of the rest.
 * RUB_ENOMEM. */
int rub_cache_take(rub_client_t *self, rub_pull_t *pull, rub_client_pull_t *call);
/* The n keys that were left have been routed: their positions become the caller's. RUB_ENOMEM. */
int rub_cache_place(rub_pull_t *pull, size_t n);
/* An answer has been written to the caller's arrays: its rows are kept. */
void rub_cache_keep(rub_client_t *self, const rub_pull_t *pull, const rub_part_t *part,
                    const rub_frame_t *frame);
void rub_caches_forget(rub_client_t *self); /* all rows, and those that are on their way */
/* A view follows another one (NULL: it is the first): they forget if rows may have changed with it.
 */
void rub_caches_view(rub_client_t *self, const rub_view_t *before, const rub_view_t *now);
size_t rub_caches_bytes(const rub_client_t *self);
void rub_caches_fini(rub_client_t *self);

/* ---- client_kept.c ---- */
/* Pushes all that is kept back, without regard to room. The session is not idle. The session fails
 * when it can not. */
void rub_kept_push_now(rub_client_t *self);
/* A snapshot is being taken and the period that is open may be its last one: nothing may be kept
 * back beyond the period's end. */
bool rub_kept_is_due(const rub_client_t *self);
/* The mark of an IDLE that is about to be said. */
uint64_t rub_kept_idle_mark(const rub_client_t *self);
/* Says VIEW_ACK of that view. */
void rub_kept_acknowledge(rub_client_t *self, uint64_t generation, uint64_t version);
/* The same for our view, if something else is true now. */
void rub_kept_tell(rub_client_t *self);

/* ---- client_pull.c, client_request.c ---- */
void rub_pull_free(rub_pull_t *self);
void rub_pull_drop(rub_client_t *self,
                   rub_pull_t *pull); /* CANCEL what was asked, forget the rest */
int rub_request_enqueue(rub_client_t *self, rub_route_t *route); /* RUB_ENOMEM */
void rub_request_again(rub_client_t *self,
                       rub_link_t *link); /* after WELCOME: all open ones, same ids */
rub_part_t *rub_request_part(const rub_link_t *link, uint64_t id); /* NULL: not open */
void rub_request_tick(rub_client_t *self, rub_link_t *link);       /* asks the held ones again */
void rub_request_forget(rub_client_t *self, rub_route_t *route);
void rub_request_rows(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_request_refused(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_request_waiting(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame);

/* ---- client_piece.c, client_leave.c ---- */
void rub_piece_dealt(rub_client_t *self, const rub_dealt_t *dealt);
void rub_leave_resend_metrics(rub_client_t *self);

/* ---- client_notice.c ---- */
void rub_client_say(rub_client_t *self, const rub_error_t *line);
void rub_notice_tick(rub_client_t *self);
void rub_notice_link(const rub_client_t *self, const rub_link_t *link, rub_error_t *line);

#endif
