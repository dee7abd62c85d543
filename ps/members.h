/* The ranks of the job as one shard sees them: identity, place in the stream, clock. What a record
 * does to a rank is decided here, once, for records that arrive and for records that are replayed.
 *
 * Rules: seq counts from 1 per epoch; done(u) is what this shard applied; whoever becomes counted
 * is pinned at or above the minimum (and above the greatest minimum there ever was), so no minimum
 * ever falls; the first W ranks count from the job's first view, at 0. Pure. */
#ifndef RUB_MEMBERS_H
#define RUB_MEMBERS_H

#include "common/wire/control.h"
#include "ps/record.h"

#define RUB_RANKS_LIMIT 4096u /* as in the VIEW message */
/* No session may name a clock above this one; counting on from it by one never comes near
 * UINT64_MAX, which means nobody, or no bound. */
#define RUB_CLOCK_LIMIT (UINT64_C(1) << 62)
/* What a store may hold: whoever began at the limit has gone on from there. */
#define RUB_CLOCK_STORED_LIMIT (RUB_CLOCK_LIMIT * 2)

#define RUB_READS_KEPT 4u /* pulls may be made ahead of their clock */

typedef struct rub_member {
    /* ---- what the journal rebuilds ---- */
    bool known; /* in a view, or one of the first W */
    uint32_t rank;
    uint32_t epoch; /* 0: one of the first W, not here yet */
    uint32_t state; /* RUB_RANK_* */
    bool idle;      /* after IDLE, until RESUME: */
    bool whole;     /* that IDLE said that nothing is kept back */
    bool bye;       /* after BYE */
    bool joined;    /* pinned above 0, no record of this epoch yet: its first CLOCK says where it
                       starts */
    bool may_jump;  /* the next CLOCK may go up by more than one */
    bool pushed;    /* something was pushed here in its open period */
    uint64_t applied;
    uint64_t done;
    uint64_t refused, refused_seq; /* verdicts of this epoch, and the last */
    int32_t refused_code;
    uint32_t cursor_bytes;
    uint8_t cursor[RUB_CURSOR_LIMIT];

    /* ---- what lives as long as the process ---- */
    bool spoken;       /* a session has said HELLO for this epoch: */
    uint8_t nonce[16]; /* its own, and no other may */
    bool bound;
    uint64_t peer;                 /* valid when bound */
    uint64_t heard_ms;             /* time; UINT64_MAX: never */
    uint64_t entered_lsn;          /* of the VIEW that pinned it; 0: it holds a place kept for it */
    uint64_t last_lsn;             /* of its last record */
    uint64_t synced;               /* seq that is on the platter */
    uint64_t asked_lsn, asked_seq; /* what a sync under way will make synced */
    bool ack;                      /* owed at the turn's end */
    int postponed;                 /* code of a postponement under way; 0: none */
    bool continued;                /* CONTINUE was sent, its record has not come yet */
    bool insist;                   /* its table did not come in time: a verdict now */
    uint16_t postponed_table;
    size_t postponed_bytes;
    bool
        awaits_keys; /* KEYS_UNKNOWN was said; what is behind that push is dropped until it comes */
    uint64_t postponed_ms; /* since */
    uint64_t n_ended;      /* periods that it has ended */
    /* The first pull for a clock, by clock mod RUB_READS_KEPT. */
    struct {
        bool made;
        uint64_t clock, n_others; /* periods that others had ended then */
    } reads[RUB_READS_KEPT];
} rub_member_t;

typedef struct rub_members {
    rub_member_t *items; /* index = rank */
    size_t n, capacity;
    uint64_t floor; /* greatest minimum that ever was */
    bool founded;   /* the first view has come */
    /* A fold behind its pin: records were passed over, so the minimum over who counts is not the
     * shard's. Ranks are pinned at the floor, which the fold raises by the minima that the records
     * bear; where a rank stood higher its next stamp says. */
    bool unpinned;
} rub_members_t;

void rub_members_init(rub_members_t *self);
void rub_members_fini(rub_members_t *self);
/* NULL: no such rank. Borrowed until the next view. */
rub_member_t *rub_members_find(const rub_members_t *self, uint32_t rank);

/* Trainers that are live and not idle. */
bool rub_member_counts(const rub_member_t *member);
/* Over who counts; UINT64_MAX: nobody. Scans. */
uint64_t rub_members_minimum(const rub_members_t *self);
void rub_members_raise_floor(rub_members_t *self, uint64_t minimum); /* UINT64_MAX is ignored */

/* A restored job: places for the first W ranks are kept at that clock, where they will begin. Into
 * an empty one. RUB_ENOMEM. */
int rub_members_found(rub_members_t *self, uint32_t n_workers, uint64_t clock);

/* Takes a view's ranks: new epochs are pinned, the dead leave. lsn: of the VIEW record. over is
 * called for each epoch that ended, with the member as it was. RUB_ENOMEM. */
typedef void (*rub_member_over_t)(void *context, const rub_member_t *member);
int rub_members_take_view(rub_members_t *self, const rub_view_t *view, uint64_t lsn,
                          rub_member_over_t over, void *context);

/* ---- admission: 0, or the verdict's code. Looks only ---- */
int rub_member_check_push(const rub_member_t *member, uint64_t clock);
int rub_member_check_clock(const rub_member_t *member, uint64_t clock, size_t cursor_bytes);
int rub_member_check_pause(const rub_member_t *member, uint64_t clock,
                           size_t cursor_bytes); /* IDLE, BYE */
int rub_member_check_resume(const rub_member_t *member, uint64_t clock);

/* ---- records: each takes seq = applied + 1 ---- */
void rub_member_push(rub_member_t *member);
/* All four return whether the period member->done (as it was before) ended with this rank taking
 * part in it. */
bool rub_member_clock(rub_member_t *member, const rub_record_t *record);
bool rub_member_idle(rub_member_t *member, const rub_record_t *record);
bool rub_member_bye(rub_member_t *member, const rub_record_t *record);
/* pin: the least clock to be counted at. */
bool rub_member_resume(rub_member_t *member, const rub_record_t *record, uint64_t pin);
void rub_member_refuse(rub_member_t *member, const rub_record_t *record, int code);
/* What came before seq `last + 1` is lost with the power; the rank goes on at record->clock and is
 * counted (at pin or above, if it was not). As for the four. */
bool rub_member_lost(rub_member_t *member, const rub_record_t *record, uint64_t last, uint64_t pin);

/* The clock below which nobody may enter now. */
uint64_t rub_members_pin(const rub_members_t *self);

void rub_members_encode(const rub_members_t *self, rub_buf_t *out);
/* Into an empty one. RUB_ECORRUPT, RUB_ENOMEM. */
int rub_members_decode(rub_members_t *self, rub_reader_t *in, rub_error_t *err);

#endif
