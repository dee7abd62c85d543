/* A shard with a recorder around it: journal, store and wire are arrays, time is a number. Each
 * call is one turn. */
#ifndef RUB_TEST_SHARD_FIXTURE_H
#define RUB_TEST_SHARD_FIXTURE_H

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/wire/table_schema.h"
#include "ps/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DENSE = 1, LEDGER = 2, JOB = 77 };

typedef struct fx_record {
    uint64_t lsn;
    rub_record_type_t type;
    uint8_t *bytes;
    size_t n_bytes;
} fx_record_t;

typedef struct fx_sent {
    rub_peer_t peer;
    rub_packet_t *packet;
} fx_sent_t;

typedef struct fx_chunk {
    uint32_t table, chunk;
    void *bytes;
    size_t n_bytes;
} fx_chunk_t;

typedef struct fx {
    rub_shard_t *shard;
    rub_shard_config_t config;
    uint64_t staleness;
    uint32_t n_workers, reduce;
    uint64_t incarnation, now;
    size_t room;
    fx_record_t *journal;
    size_t n_journal, journal_capacity;
    fx_sent_t *sent;
    size_t n_sent, sent_capacity;
    fx_chunk_t *staged, *stored;
    size_t n_staged, staged_capacity, n_stored, stored_capacity;
    void *state; /* stored */
    size_t n_state;
    void *next_state; /* staged */
    size_t n_next_state;
    uint64_t next_redo;
    bool state_staged;
    uint64_t sync_lsn;      /* asked for; 0: none */
    uint32_t controls[128]; /* how many messages of each type went to the scheduler */
    uint64_t acked_version, finished_digest;
    uint64_t pin_number;         /* asked for; 0: none */
    rub_shard_fold_t order;      /* the last fold that was ordered */
    rub_cut_rank_t order_cut[8]; /* its ranks */
    unsigned n_folds, n_unpins;
    bool kept; /* by the last unpin */
    rub_pinned_rank_t pinned[8];
    uint32_t n_pinned;
    rub_folded_t folded;
    rub_unfolded_t unfolded;
    rub_rank_view_t ranks[8];
    uint32_t n_ranks;
    uint64_t generation; /* 0: 1 */
    uint64_t version;
    uint32_t n_tables;
    const rub_hyper_t *dense_hyper; /* of the dense table; NULL: as fx_view has it */
    rub_optimizer_kind_t optimizer; /* of both tables; 0: as fx_view has them */
    rub_eviction_t evict;           /* of the ledger */
    rub_peer_t deaf;                /* a peer that does not take */
    uint64_t unread;                /* so many bytes */
    uint64_t cut_off;               /* as last reported */
    uint64_t deleted_rows;          /* likewise */
    uint64_t heard_ms[8];           /* by rank, as last reported */
    unsigned n_notices;
    char notice[300]; /* the last one */
} fx_t;

static int fx_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    fx_t *fx = context;
    assert_true(fx->n_journal == 0 || fx->journal[fx->n_journal - 1].lsn < lsn);
    fx_record_t record = {.lsn = lsn, .type = type};
    for (size_t i = 0; i < n_parts; i++) {
        record.n_bytes += parts[i].bytes;
    }
    record.bytes = rub_alloc(record.n_bytes + 1);
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        memcpy(record.bytes + at, parts[i].data, parts[i].bytes);
        at += parts[i].bytes;
    }
    assert_int_equal(
        rub_grow(&fx->journal, &fx->journal_capacity, fx->n_journal + 1, sizeof(record)), 0);
    fx->journal[fx->n_journal++] = record;
    return 0;
}

static size_t fx_room(void *context)
{
    return ((fx_t *)context)->room;
}

static void fx_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    fx_t *fx = context;
    assert_int_equal(rub_grow(&fx->sent, &fx->sent_capacity, fx->n_sent + 1, sizeof(fx_sent_t)), 0);
    fx->sent[fx->n_sent++] = (fx_sent_t){peer, packet};
}

static uint64_t fx_unread(void *context, rub_peer_t peer)
{
    const fx_t *fx = context;
    return peer == fx->deaf ? fx->unread : 0;
}

static void fx_control(void *context, const rub_control_t *message)
{
    fx_t *fx = context;
    fx->controls[message->type]++;
    if (message->type == RUB_MSG_VIEW_ACK) {
        fx->acked_version = message->view_ack.version;
    }
    if (message->type == RUB_MSG_FINISHED) {
        fx->finished_digest = message->finished.digest;
    }
    if (message->type == RUB_MSG_REPORT) {
        fx->deleted_rows = message->report.status[0].deleted_rows;
        fx->cut_off = message->report.status[0].cut_off;
        for (uint32_t i = 0; i < message->report.n_ranks && i < 8; i++) {
            fx->heard_ms[i] = message->report.ranks[i].heard_ms;
        }
    }
    if (message->type == RUB_MSG_FOLDED) {
        fx->folded = message->folded;
    }
    if (message->type == RUB_MSG_UNFOLDED) {
        fx->unfolded = message->unfolded;
    }
    if (message->type == RUB_MSG_PINNED) {
        fx->n_pinned = message->pinned.n_ranks;
        for (uint32_t i = 0; i < fx->n_pinned && i < 8; i++) {
            fx->pinned[i] = message->pinned.ranks[i];
        }
    }
}

static void fx_pin(void *context, uint64_t number)
{
    ((fx_t *)context)->pin_number = number;
}

static void fx_fold(void *context, const rub_shard_fold_t *order)
{
    fx_t *fx = context;
    fx->n_folds++;
    fx->order = *order;
    for (size_t i = 0; i < order->n_ranks && i < 8; i++) {
        fx->order_cut[i] = order->ranks[i];
    }
}

static void fx_unpin(void *context, uint64_t number, bool keep)
{
    fx_t *fx = context;
    RUB_UNUSED(number);
    fx->n_unpins++;
    fx->kept = keep;
    fx->pin_number = 0;
}

static int fx_stage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                          size_t n_bytes)
{
    fx_t *fx = context;
    RUB_UNUSED(lsn);
    assert_int_equal(
        rub_grow(&fx->staged, &fx->staged_capacity, fx->n_staged + 1, sizeof(fx_chunk_t)), 0);
    fx->staged[fx->n_staged++] = (fx_chunk_t){table, chunk, bytes, n_bytes};
    return 0;
}

static int fx_stage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                          size_t n_bytes)
{
    fx_t *fx = context;
    assert_true(lsn_needed >= redo_lsn);
    assert_false(fx->state_staged);
    fx->next_state = rub_alloc(n_bytes);
    memcpy(fx->next_state, state, n_bytes);
    fx->n_next_state = n_bytes;
    fx->next_redo = redo_lsn;
    fx->state_staged = true;
    return 0;
}

static void fx_sync(void *context, uint64_t lsn)
{
    fx_t *fx = context;
    assert_int_equal(fx->sync_lsn, 0); /* one in flight */
    fx->sync_lsn = lsn;
}

static void fx_notice(void *context, const char *sentence)
{
    fx_t *fx = context;
    fx->n_notices++;
    snprintf(fx->notice, sizeof(fx->notice), "%s", sentence);
    if (getenv("RUBATO_TEST_VERBOSE")) {
        fprintf(stderr, "notice: %s\n", sentence);
    }
}

static void fx_new_shard(fx_t *fx)
{
    const rub_shard_effects_t effects = {
        .context = fx,
        .journal = fx_journal,
        .journal_room = fx_room,
        .send = fx_send,
        .unread = fx_unread,
        .control = fx_control,
        .stage_chunk = fx_stage_chunk,
        .stage_state = fx_stage_state,
        .sync = fx_sync,
        .pin = fx_pin,
        .fold = fx_fold,
        .unpin = fx_unpin,
        .notice = fx_notice,
    };
    fx->shard = rub_shard_new(&fx->config, &effects);
    assert_non_null(fx->shard);
}

static void fx_begin(fx_t *fx)
{
    rub_shard_turn_begin(fx->shard, fx->now);
}

static void fx_end(fx_t *fx)
{
    assert_int_equal(rub_shard_turn_end(fx->shard), 0);
}

/* Tells the shard the view that fx describes. */
static inline void fx_view(fx_t *fx)
{
    rub_table_view_t tables[2] = {
        {.id = DENSE,
         .name = "dense",
         .kind = RUB_DENSE,
         .elements = 2 * RUB_BLOCK,
         .optimizer = RUB_SGD,
         .init = RUB_INIT_ZEROS,
         .lr = 0.1,
         .momentum = 0.9,
         .beta1 = 0.9,
         .beta2 = 0.999,
         .epsilon = 1e-8},
        {.id = LEDGER,
         .name = "ledger",
         .kind = RUB_HASHED,
         .width = 2,
         .optimizer = RUB_ADD,
         .init = RUB_INIT_ZEROS,
         .lr = 0.1,
         .momentum = 0.9,
         .beta1 = 0.9,
         .beta2 = 0.999,
         .epsilon = 1e-8},
    };
    if (fx->dense_hyper) {
        rub_schema_set_hyper(&tables[0], fx->dense_hyper);
    }
    if (fx->optimizer) {
        tables[0].optimizer = tables[1].optimizer = fx->optimizer;
    }
    tables[1].evict_idle_clocks = fx->evict.idle_clocks;
    tables[1].evict_norm = fx->evict.norm;
    tables[1].evict_sweep_clocks = fx->evict.sweep_clocks;
    fx->version++;
    const rub_control_t message = {
        .type = RUB_MSG_VIEW,
        .view = {.job = JOB,
                 .generation = fx->generation ? fx->generation : 1,
                 .version = fx->version,
                 .state = RUB_JOB_RUNNING,
                 .n_workers = fx->n_workers,
                 .staleness = fx->staleness,
                 .reduce = fx->reduce,
                 .seed = 5,
                 .ranks = fx->ranks,
                 .n_ranks = fx->n_ranks,
                 .tables = tables,
                 .n_tables = fx->n_tables},
    };
    fx_begin(fx);
    assert_int_equal(rub_shard_control(fx->shard, &message), 0);
    fx_end(fx);
}

/* A job with n_workers live ranks of epoch 1, each with connection 100 + rank, bound. */
static inline void fx_hello(fx_t *fx, rub_peer_t peer, uint32_t rank, uint32_t epoch);
/* fx->config, staleness, n_workers and the like are set. */
static inline void fx_begin_job(fx_t *fx)
{
    fx_new_shard(fx);
    assert_int_equal(rub_shard_open(fx->shard, fx->incarnation, fx->now, NULL), 0);
    for (uint32_t i = 0; i < fx->n_workers; i++) {
        fx->ranks[i] = (rub_rank_view_t){.rank = i, .epoch = 1, .state = RUB_RANK_LIVE};
    }
    fx_view(fx);
    for (uint32_t i = 0; i < fx->n_workers; i++) {
        fx_hello(fx, 100 + i, i, 1);
    }
}

static inline fx_t fx_job(uint32_t n_workers, uint64_t staleness)
{
    return (fx_t){
        .config = {.n_shards = 1,
                   .durability = RUB_DURABILITY_JOURNAL,
                   .limit_bytes = 1u << 30,
                   .checkpoint_interval_ms = 1000,
                   .redo_limit_bytes = 512u << 20,
                   .address = "tcp://127.0.0.1:1",
                   .who = "here:1"},
        .staleness = staleness,
        .n_workers = n_workers,
        .incarnation = 1,
        .now = 10000,
        .room = 64u << 20,
        .n_ranks = n_workers,
        .n_tables = 2,
    };
}

static inline void fx_open_with(fx_t *fx, uint32_t n_workers, uint64_t staleness,
                                const rub_hyper_t *dense_hyper)
{
    *fx = fx_job(n_workers, staleness);
    fx->dense_hyper = dense_hyper;
    fx_begin_job(fx);
}

/* Whose ledger deletes rows. */
static inline void fx_open_evicting(fx_t *fx, uint32_t n_workers, uint64_t staleness,
                                    rub_eviction_t evict)
{
    *fx = fx_job(n_workers, staleness);
    fx->evict = evict;
    fx_begin_job(fx);
}

static inline void fx_open(fx_t *fx, uint32_t n_workers, uint64_t staleness)
{
    fx_open_with(fx, n_workers, staleness, NULL);
}

static inline void fx_forget_sent(fx_t *fx)
{
    for (size_t i = 0; i < fx->n_sent; i++) {
        rub_packet_unref(&fx->sent[i].packet);
    }
    fx->n_sent = 0;
}

static inline void fx_drop_chunks(fx_chunk_t *chunks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rub_free(chunks[i].bytes);
    }
    rub_free(chunks);
}

static inline void fx_close(fx_t *fx)
{
    rub_shard_destroy(&fx->shard);
    fx_forget_sent(fx);
    for (size_t i = 0; i < fx->n_journal; i++) {
        rub_free(fx->journal[i].bytes);
    }
    rub_free(fx->journal);
    rub_free(fx->sent);
    fx_drop_chunks(fx->staged, fx->n_staged);
    fx_drop_chunks(fx->stored, fx->n_stored);
    rub_free(fx->state);
    rub_free(fx->next_state);
}

/* One frame, one turn. */
static inline void fx_frame(fx_t *fx, rub_peer_t peer, rub_header_t header, const void *keys,
                            size_t keys_bytes, const void *values, size_t values_bytes)
{
    header.value_bytes = (uint32_t)values_bytes;
    rub_packet_t *packet = rub_packet_new(&header, keys_bytes, values_bytes);
    assert_non_null(packet);
    if (keys_bytes > 0) {
        memcpy(rub_packet_keys(packet), keys, keys_bytes);
    }
    if (values_bytes > 0) {
        memcpy(rub_packet_values(packet), values, values_bytes);
    }
    const rub_frame_t frame = rub_packet_frame(packet);
    fx_begin(fx);
    assert_int_equal(rub_shard_receive(fx->shard, peer, &frame), 0);
    fx_end(fx);
    rub_packet_unref(&packet);
}

static inline void fx_hello(fx_t *fx, rub_peer_t peer, uint32_t rank, uint32_t epoch)
{
    const uint8_t nonce[16] = {1};
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_HELLO, .seq = rub_rank_epoch(rank, epoch), .mark = JOB},
             NULL, 0, nonce, sizeof(nonce));
}

static inline void fx_reader(fx_t *fx, rub_peer_t peer)
{
    fx_frame(fx, peer, (rub_header_t){.type = RUB_MSG_HELLO, .mark = JOB, .lsn = RUB_READER}, NULL,
             0, NULL, 0);
}

/* CLOCK, IDLE, RESUME, BYE, RESYNC, CANCEL. */
static inline void fx_say(fx_t *fx, rub_peer_t peer, uint8_t type, uint64_t seq, uint64_t clock)
{
    fx_frame(fx, peer, (rub_header_t){.type = type, .seq = seq, .clock = clock}, NULL, 0, NULL, 0);
}

/* +x to both values of a row of the ledger. */
static inline void fx_push(fx_t *fx, rub_peer_t peer, uint64_t seq, uint64_t clock, uint64_t key,
                           float x)
{
    const float values[2] = {x, x};
    uint8_t keys[8];
    rub_put_u64(keys, key);
    fx_frame(fx, peer,
             (rub_header_t){
                 .type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .clock = clock, .n_keys = 1},
             keys, sizeof(keys), values, sizeof(values));
}

/* A gradient of x for the dense table's block. */
static inline void fx_push_block(fx_t *fx, rub_peer_t peer, uint64_t seq, uint64_t clock,
                                 uint64_t block, float x)
{
    float *values = rub_alloc(RUB_BLOCK * sizeof(float));
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        values[i] = x * (float)(i + 1) / 7.0F;
    }
    uint8_t keys[16];
    rub_put_u64(keys, block * RUB_BLOCK);
    rub_put_u64(keys + 8, RUB_BLOCK);
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = DENSE,
                            .flags = RUB_FLAG_RANGE,
                            .seq = seq,
                            .clock = clock,
                            .n_keys = 1},
             keys, sizeof(keys), values, RUB_BLOCK * sizeof(float));
    rub_free(values);
}

static inline void fx_pull(fx_t *fx, rub_peer_t peer, uint64_t id, uint64_t clock, uint64_t mark,
                           uint64_t key)
{
    uint8_t keys[8];
    rub_put_u64(keys, key);
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_PULL,
                            .table = LEDGER,
                            .seq = id,
                            .clock = clock,
                            .mark = mark,
                            .n_keys = 1},
             keys, sizeof(keys), NULL, 0);
}

/* Elements of the dense table. */
static inline void fx_pull_range(fx_t *fx, rub_peer_t peer, uint64_t id, uint64_t clock,
                                 uint64_t first, uint64_t count)
{
    uint8_t keys[16];
    rub_put_u64(keys, first);
    rub_put_u64(keys + 8, count);
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_PULL,
                            .table = DENSE,
                            .flags = RUB_FLAG_RANGE,
                            .seq = id,
                            .clock = clock,
                            .n_keys = 1},
             keys, sizeof(keys), NULL, 0);
}

/* The last message of that type to that peer since fx_forget_sent; NULL: none. */
static inline rub_packet_t *fx_last(const fx_t *fx, rub_peer_t peer, uint8_t type)
{
    for (size_t i = fx->n_sent; i > 0; i--) {
        if (fx->sent[i - 1].peer == peer &&
            rub_packet_header(fx->sent[i - 1].packet)->type == type) {
            return fx->sent[i - 1].packet;
        }
    }
    return NULL;
}

static inline size_t fx_count(const fx_t *fx, rub_peer_t peer, uint8_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < fx->n_sent; i++) {
        n += fx->sent[i].peer == peer && rub_packet_header(fx->sent[i].packet)->type == type;
    }
    return n;
}

/* The last ACK's applied and done. */
static inline const rub_header_t *fx_ack(const fx_t *fx, rub_peer_t peer)
{
    rub_packet_t *ack = fx_last(fx, peer, RUB_MSG_ACK);
    assert_non_null(ack);
    return rub_packet_header(ack);
}

/* The first value of the row in the last ROWS answer (behind 8 bytes of exists bits). */
static inline float fx_value(const fx_t *fx, rub_peer_t peer)
{
    rub_packet_t *rows = fx_last(fx, peer, RUB_MSG_ROWS);
    assert_non_null(rows);
    float value;
    memcpy(&value, rub_packet_values(rows) + 8, sizeof(value));
    return value;
}

static inline void fx_tick(fx_t *fx, uint64_t ms)
{
    fx->now += ms;
    fx_begin(fx);
    assert_int_equal(rub_shard_tick(fx->shard), 0);
    fx_end(fx);
}

static inline void fx_synced(fx_t *fx)
{
    const uint64_t lsn = fx->sync_lsn;
    assert_true(lsn != 0);
    fx->sync_lsn = 0;
    fx_begin(fx);
    assert_int_equal(rub_shard_synced(fx->shard, lsn), 0);
    fx_end(fx);
}

/* The platter has all there is. */
static inline void fx_all_synced(fx_t *fx)
{
    while (fx->sync_lsn != 0) {
        fx_synced(fx);
    }
}

/* The storage thread commits what is staged. */
static inline void fx_commit(fx_t *fx)
{
    assert_true(fx->state_staged);
    for (size_t i = 0; i < fx->n_staged; i++) {
        size_t at = 0;
        while (at < fx->n_stored && (fx->stored[at].table != fx->staged[i].table ||
                                     fx->stored[at].chunk != fx->staged[i].chunk)) {
            at++;
        }
        if (at == fx->n_stored) {
            assert_int_equal(
                rub_grow(&fx->stored, &fx->stored_capacity, fx->n_stored + 1, sizeof(fx_chunk_t)),
                0);
            fx->n_stored++;
        } else {
            rub_free(fx->stored[at].bytes);
        }
        fx->stored[at] = fx->staged[i];
    }
    fx->n_staged = 0;
    rub_free(fx->state);
    fx->state = fx->next_state;
    fx->n_state = fx->n_next_state;
    fx->next_state = NULL;
    fx->state_staged = false;
    fx_begin(fx);
    assert_int_equal(rub_shard_checkpointed(fx->shard, fx->next_redo), 0);
    fx_end(fx);
}

/* kill -9, and a new process on what the store and the journal hold. */
static inline void fx_crash(fx_t *fx)
{
    rub_shard_destroy(&fx->shard);
    fx_forget_sent(fx);
    fx_drop_chunks(fx->staged, fx->n_staged);
    fx->staged = NULL;
    fx->n_staged = fx->staged_capacity = 0;
    rub_free(fx->next_state);
    fx->next_state = NULL;
    fx->state_staged = false;
    fx->sync_lsn = 0;
    fx_new_shard(fx);
    rub_error_t err = {0};
    uint64_t redo = 0;
    if (fx->state) {
        assert_int_equal(rub_shard_load_state(fx->shard, fx->state, fx->n_state, &redo, &err), 0);
        for (size_t i = 0; i < fx->n_stored; i++) {
            assert_int_equal(
                rub_shard_load_chunk(fx->shard, fx->stored[i].bytes, fx->stored[i].n_bytes, &err),
                0);
        }
    }
    for (size_t i = 0; i < fx->n_journal; i++) {
        const fx_record_t *record = &fx->journal[i];
        const int rc = rub_shard_replay(fx->shard, record->lsn, record->type, record->bytes,
                                        record->n_bytes, &err);
        if (rc != 0) {
            fail_msg("replay: %s", err.message);
        }
    }
    assert_int_equal(rub_shard_open(fx->shard, ++fx->incarnation, fx->now, &err), 0);
}

/* The same, which comes to the same rows; ranks 0 and 1 say HELLO. */
static inline void fx_crash_alike(fx_t *fx)
{
    const uint64_t digest = rub_shard_digest(fx->shard);
    fx_crash(fx);
    assert_true(rub_shard_digest(fx->shard) == digest);
    fx_hello(fx, 100, 0, 1);
    fx_hello(fx, 101, 1, 1);
}

/* A new process that has replayed the journal, and then this record. Returns what that said. */
static inline int fx_replay_and(fx_t *fx, rub_record_type_t type, const void *payload,
                                size_t n_bytes, rub_error_t *err)
{
    rub_shard_destroy(&fx->shard);
    fx_new_shard(fx);
    for (size_t i = 0; i < fx->n_journal; i++) {
        assert_int_equal(rub_shard_replay(fx->shard, fx->journal[i].lsn, fx->journal[i].type,
                                          fx->journal[i].bytes, fx->journal[i].n_bytes, NULL),
                         0);
    }
    const uint64_t lsn = fx->journal[fx->n_journal - 1].lsn + 1;
    return rub_shard_replay(fx->shard, lsn, type, payload, n_bytes, err);
}

#endif
