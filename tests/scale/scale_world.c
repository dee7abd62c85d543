/* The cores of a job and the network between them. Every connection stands from the first word to
 * the last; callers and peers are numbered by who speaks. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/timing.h"
#include "tests/scale/scale.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#define LEASE_EVERY_MS 1000u
#define CLIENT_TICK_MS 50u
#define SCHEDULER_TICK_MS 100u
#define JOURNAL_ROOM ((size_t)1 << 30)
#define COMERS 8u /* workers that may come after the first */

const char *const rub_scale_phase_names[SCALE_PHASES] = {"gather", "train", "evict", "barrier",
                                                         "leave"};

void rub_scale_break(rub_scale_t *self, const char *format, ...)
{
    va_list arguments;
    if (!self->broken[0]) {
        va_start(arguments, format);
        vsnprintf(self->broken, sizeof(self->broken), format, arguments);
        va_end(arguments);
    }
}

uint64_t rub_scale_heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static rub_scale_books_t *books(rub_scale_t *self)
{
    return &self->books[self->phase];
}

static void charge(rub_scale_cost_t *cost, uint64_t bytes, uint64_t ns)
{
    cost->n++;
    cost->bytes += bytes;
    cost->ns += ns;
}

static void post(rub_scale_t *self, rub_scale_mail_t mail)
{
    RUB_ASSERT(
        rub_grow(&self->mail[0], &self->mail_capacity[0], self->n_mail[0] + 1, sizeof(mail)) == 0);
    self->mail[0][self->n_mail[0]++] = mail;
}

static void post_control(rub_scale_t *self, rub_scale_mail_t mail, const rub_control_t *message)
{
    rub_error_t err = {0};
    const uint64_t version = message->type == RUB_MSG_VIEW ? message->view.version : 0;
    if (version == 0 || version != self->encoded_view) {
        rub_buf_reset(&self->encoded);
        self->encoded_view = 0;
        if (rub_control_encode(message, &self->encoded, &err) != 0) {
            rub_scale_break(self, "%s can not be said: %s", rub_message_name(message->type),
                            err.message);
            return;
        }
        self->encoded_view = version;
    }
    mail.control_bytes = self->encoded.bytes;
    mail.control = rub_alloc(mail.control_bytes + 1);
    RUB_ASSERT(mail.control);
    memcpy(mail.control, self->encoded.data, mail.control_bytes);
    post(self, mail);
}

/* ---- who speaks: a worker's session, its lease thread, a shard ---- */

static uint64_t caller_of(const rub_scale_t *self, uint32_t index, unsigned kind)
{
    return (uint64_t)kind * (self->options.n_workers + COMERS + self->options.n_shards) + index + 1;
}

enum { SESSION, LEASE_THREAD, SHARD };

void rub_scale_say(rub_scale_t *self, uint32_t worker, bool lease, const rub_control_t *message)
{
    post_control(
        self,
        (rub_scale_mail_t){.way = SCALE_TO_SCHEDULER,
                           .from = worker,
                           .caller = caller_of(self, worker, lease ? LEASE_THREAD : SESSION)},
        message);
}

/* ---- the scheduler ---- */

static void scheduler_send(void *context, rub_caller_t to, const rub_control_t *message)
{
    rub_scale_t *self = context;
    const uint64_t all = self->options.n_workers + COMERS + self->options.n_shards;
    const uint64_t kind = (to - 1) / all;
    const uint32_t index = (uint32_t)((to - 1) % all);
    const uint64_t from_ns = rub_now_ns();
    if (kind == LEASE_THREAD) { /* an answer to the lease thread decides nothing here */
        self->encoded_view = 0;
        rub_buf_reset(&self->encoded);
        (void)rub_control_encode(message, &self->encoded, NULL);
    } else {
        post_control(
            self,
            (rub_scale_mail_t){.way = kind == SHARD ? SCALE_CONTROL_TO_SHARD : SCALE_TO_WORKER,
                               .to = index,
                               .from = UINT32_MAX},
            message);
    }
    const uint64_t ns = rub_now_ns() - from_ns;
    charge(&books(self)->scheduler_out[message->type], self->encoded.bytes, ns);
    self->sent_ns += ns;
}

static int scheduler_commit(void *context, const void *state, size_t n_bytes)
{
    rub_scale_t *self = context;
    RUB_UNUSED(state);
    charge(&books(self)->scheduler_commit, n_bytes, 0);
    return 0;
}

static int open_scheduler(rub_scale_t *self)
{
    const rub_scheduler_config_t config = {.job = 77,
                                           .n_workers = self->options.n_workers,
                                           .n_shards = self->options.n_shards,
                                           .staleness = self->options.staleness,
                                           .seed = self->options.seed,
                                           .lease_ms = 5000,
                                           .join_timeout_ms = 600000,
                                           .grace_ms = 60000};
    const rub_scheduler_effects_t effects = {
        .context = self, .send = scheduler_send, .commit = scheduler_commit};
    self->scheduler = rub_scheduler_new(&config, &effects);
    return self->scheduler ? rub_scheduler_start(self->scheduler, self->now_ms) : RUB_ENOMEM;
}

static void to_scheduler(rub_scale_t *self, const rub_scale_mail_t *mail)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_scale_books_t *at = books(self);
    const uint64_t decode_ns = rub_now_ns();
    rub_arena_init(&arena);
    RUB_ASSERT(rub_control_decode(mail->control, mail->control_bytes, &arena, &message, NULL) == 0);
    charge(&at->scheduler_decode, mail->control_bytes, rub_now_ns() - decode_ns);
    self->sent_ns = 0;
    const uint64_t from_ns = rub_now_ns();
    if (rub_scheduler_receive(self->scheduler, mail->caller, &message, self->now_ms) != 0) {
        rub_scale_break(self, "the scheduler fails on %s", rub_message_name(message.type));
    }
    charge(&at->scheduler_in[message.type], mail->control_bytes,
           rub_now_ns() - from_ns - self->sent_ns);
    if (message.type == RUB_MSG_REPORT) {
        self->shards[message.report.status[0].shard].memory_bytes =
            message.report.status[0].memory_bytes;
    }
    rub_arena_fini(&arena);
}

static void tick_scheduler(rub_scale_t *self)
{
    self->sent_ns = 0;
    const uint64_t from_ns = rub_now_ns();
    if (rub_scheduler_tick(self->scheduler, self->now_ms) != 0) {
        rub_scale_break(self, "the scheduler fails at its tick");
    }
    charge(&books(self)->scheduler_tick, 0, rub_now_ns() - from_ns - self->sent_ns);
    const char *sentence = "";
    if (rub_scheduler_failure(self->scheduler, &sentence) != 0) {
        rub_scale_break(self, "the job failed: %s", sentence);
    }
}

/* ---- shards ---- */

static int shard_journal(void *context, uint64_t lsn, rub_record_type_t type,
                         const rub_span_t *parts, size_t n_parts)
{
    rub_scale_shard_t *shard = context;
    RUB_UNUSED(lsn);
    RUB_UNUSED(type);
    for (size_t i = 0; i < n_parts; i++) {
        books(shard->scale)->journal_bytes += parts[i].bytes;
    }
    books(shard->scale)->journal_records++;
    return 0;
}

static size_t shard_room(void *context)
{
    RUB_UNUSED(context);
    return JOURNAL_ROOM;
}

static void shard_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    rub_scale_shard_t *shard = context;
    charge(&books(shard->scale)->shard_out[rub_packet_header(packet)->type],
           rub_packet_bytes(packet).bytes, 0);
    post(shard->scale, (rub_scale_mail_t){.way = SCALE_TO_WORKER,
                                          .to = (uint32_t)peer - 1,
                                          .from = shard->shard,
                                          .packet = packet});
}

static void shard_control(void *context, const rub_control_t *message)
{
    rub_scale_shard_t *shard = context;
    post_control(shard->scale,
                 (rub_scale_mail_t){.way = SCALE_TO_SCHEDULER,
                                    .from = shard->shard,
                                    .caller = caller_of(shard->scale, shard->shard, SHARD)},
                 message);
}

static int shard_stage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn,
                             void *bytes, size_t n_bytes)
{
    RUB_UNUSED(context);
    RUB_UNUSED(table);
    RUB_UNUSED(chunk);
    RUB_UNUSED(lsn);
    RUB_UNUSED(n_bytes);
    rub_free(bytes);
    return 0;
}

static int shard_stage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed,
                             const void *state, size_t n_bytes)
{
    rub_scale_shard_t *shard = context;
    RUB_UNUSED(lsn_needed);
    RUB_UNUSED(state);
    RUB_UNUSED(n_bytes);
    shard->redo_lsn = redo_lsn;
    shard->has_redo = true;
    return 0;
}

static void shard_sync(void *context, uint64_t lsn)
{
    rub_scale_shard_t *shard = context;
    shard->sync_lsn = lsn;
}

static int open_shard(rub_scale_t *self, uint32_t number)
{
    rub_scale_shard_t *shard = &self->shards[number];
    rub_shard_config_t config = {.shard = number,
                                 .n_shards = self->options.n_shards,
                                 .durability = RUB_DURABILITY_JOURNAL,
                                 .limit_bytes = (size_t)4 << 30,
                                 .checkpoint_interval_ms = 1000,
                                 .redo_limit_bytes = (uint64_t)512 << 20};
    snprintf(config.address, sizeof(config.address), "tcp://10.20.%u.%u:41234", number / 250,
             number % 250);
    snprintf(config.who, sizeof(config.who), "ps-%u.cluster.example:4242", number);
    const rub_shard_effects_t effects = {.context = shard,
                                         .journal = shard_journal,
                                         .journal_room = shard_room,
                                         .send = shard_send,
                                         .control = shard_control,
                                         .stage_chunk = shard_stage_chunk,
                                         .stage_state = shard_stage_state,
                                         .sync = shard_sync};
    *shard = (rub_scale_shard_t){.scale = self, .shard = number};
    shard->core = rub_shard_new(&config, &effects);
    return shard->core ? rub_shard_open(shard->core, 1, self->now_ms, NULL) : RUB_ENOMEM;
}

/* The caller frees the arena, which the message lives in. */
static rub_control_t control_in(const rub_scale_mail_t *mail, rub_arena_t *arena)
{
    rub_control_t message;
    rub_arena_init(arena);
    RUB_ASSERT(rub_control_decode(mail->control, mail->control_bytes, arena, &message, NULL) == 0);
    return message;
}

static int take_mail(rub_scale_shard_t *shard, rub_scale_mail_t *mail)
{
    rub_scale_books_t *at = books(shard->scale);
    int rc = 0;
    if (mail->packet) {
        const rub_frame_t frame = rub_packet_frame(mail->packet);
        const uint64_t from_ns = rub_now_ns();
        rc = rub_shard_receive(shard->core, (uint64_t)mail->from + 1, &frame);
        charge(&at->shard_in[frame.header.type], rub_packet_bytes(mail->packet).bytes,
               rub_now_ns() - from_ns);
    } else {
        rub_arena_t arena;
        const rub_control_t message = control_in(mail, &arena);
        const uint64_t from_ns = rub_now_ns();
        rc = rub_shard_control(shard->core, &message);
        charge(&at->shard_control, mail->control_bytes, rub_now_ns() - from_ns);
        rub_arena_fini(&arena);
    }
    return rc;
}

static void turn(rub_scale_t *self, rub_scale_shard_t *shard, size_t first, size_t n)
{
    rub_scale_books_t *at = books(self);
    int rc = 0;
    rub_shard_turn_begin(shard->core, self->now_ms);
    for (size_t i = first; i < first + n && rc == 0; i++) {
        rc = take_mail(shard, &shard->inbox[i]);
    }
    if (rc == 0 && shard->sync_lsn) {
        const uint64_t lsn = shard->sync_lsn;
        shard->sync_lsn = 0;
        rc = rub_shard_synced(shard->core, lsn);
    }
    if (rc == 0 && shard->has_redo) {
        shard->has_redo = false;
        rc = rub_shard_checkpointed(shard->core, shard->redo_lsn);
    }
    uint64_t from_ns = rub_now_ns();
    rc = rc ? rc : rub_shard_tick(shard->core);
    charge(&at->shard_tick, 0, rub_now_ns() - from_ns);
    from_ns = rub_now_ns();
    rc = rc ? rc : rub_shard_turn_end(shard->core);
    charge(&at->shard_turn_end, 0, rub_now_ns() - from_ns);
    if (rc) {
        rub_scale_break(self, "shard %u fails with %s", shard->shard, rub_error_name(rc));
    }
    for (size_t i = first; i < first + n; i++) { /* borrowed until the turn has ended */
        rub_packet_unref(&shard->inbox[i].packet);
        rub_free(shard->inbox[i].control);
    }
    const uint64_t next_ms = rub_shard_next_tick_ms(shard->core);
    shard->tick_ms = self->now_ms + (next_ms ? next_ms : 1);
}

static void run_shard(rub_scale_t *self, rub_scale_shard_t *shard)
{
    for (size_t at = 0; at < shard->n_inbox; at += SCALE_TURN) {
        const size_t left = shard->n_inbox - at;
        turn(self, shard, at, left < SCALE_TURN ? left : SCALE_TURN);
    }
    const bool due = self->now_ms >= shard->tick_ms || shard->sync_lsn || shard->has_redo;
    if (shard->n_inbox == 0 && due) {
        turn(self, shard, 0, 0);
    }
    shard->n_inbox = 0;
}

/* ---- workers ---- */

static void client_connect(void *context, uint32_t shard, const char *address)
{
    RUB_UNUSED(context);
    RUB_UNUSED(shard);
    RUB_UNUSED(address);
}

static void client_send(void *context, uint32_t shard, rub_packet_t *packet)
{
    rub_scale_worker_t *worker = context;
    post(worker->scale,
         (rub_scale_mail_t){
             .way = SCALE_TO_SHARD, .to = shard, .from = worker->index, .packet = packet});
}

static void client_control(void *context, const rub_control_t *message)
{
    rub_scale_worker_t *worker = context;
    rub_scale_say(worker->scale, worker->index, false, message);
}

int rub_scale_add_worker(rub_scale_t *self)
{
    RUB_ASSERT(self->n_workers < self->options.n_workers + COMERS);
    rub_error_t err = {0};
    const size_t n = (size_t)self->options.rows_each * self->options.n_shards;
    rub_scale_worker_t *worker = &self->workers[self->n_workers];
    *worker = (rub_scale_worker_t){.scale = self, .index = self->n_workers++};
    worker->keys = rub_calloc(n, sizeof(*worker->keys));
    worker->values = rub_calloc(n * self->options.width, sizeof(*worker->values));
    rub_client_config_t config = {
        .role = RUB_TRAINER, .rank = RUB_ANY_RANK, .ring_limit_bytes = (size_t)64 << 20};
    rub_put_u64(config.nonce, worker->index + 1);
    snprintf(config.who, sizeof(config.who), "worker-%u.cluster.example:4242", worker->index);
    const rub_client_effects_t effects = {.context = worker,
                                          .connect = client_connect,
                                          .send = client_send,
                                          .control = client_control};
    worker->core = rub_client_new(&config, &effects);
    if (!worker->keys || !worker->values || !worker->core) {
        return RUB_ENOMEM;
    }
    return rub_client_join(worker->core, self->now_ms, &worker->handle, &err);
}

static void to_worker(rub_scale_t *self, const rub_scale_mail_t *mail)
{
    rub_scale_worker_t *worker = &self->workers[mail->to];
    if (worker->stage == SCALE_DEAD || worker->stage == SCALE_LEFT) {
        return;
    }
    if (mail->packet) {
        const rub_frame_t frame = rub_packet_frame(mail->packet);
        rub_client_receive(worker->core, mail->from, &frame, self->now_ms);
    } else {
        rub_arena_t arena;
        const rub_control_t message = control_in(mail, &arena);
        rub_client_control(worker->core, &message, self->now_ms);
        rub_arena_fini(&arena);
    }
    rub_scale_worker_run(worker);
}

static void say_lease(rub_scale_t *self, rub_scale_worker_t *worker)
{
    rub_info_t info = {0};
    rub_client_info(worker->core, &info);
    if (info.epoch == 0) {
        return;
    }
    const rub_control_t message = {.type = RUB_MSG_LEASE,
                                   .lease = {.job = info.job,
                                             .rank = info.rank,
                                             .epoch = info.epoch,
                                             .clock = info.clock,
                                             .examples = worker->periods * 128,
                                             .total_examples = UINT64_C(1000000000),
                                             .loss = 0.5,
                                             .pull_wait_us = worker->waited_ms * 1000}};
    rub_scale_say(self, worker->index, true, &message);
}

static void run_worker(rub_scale_t *self, rub_scale_worker_t *worker)
{
    if (worker->stage == SCALE_DEAD || worker->stage == SCALE_LEFT) {
        return;
    }
    if ((self->now_ms + worker->index) % LEASE_EVERY_MS == 0) {
        say_lease(self, worker);
    }
    if ((self->now_ms + worker->index) % CLIENT_TICK_MS == 0) {
        /* The session hears from its lease thread that the scheduler lives. */
        const rub_control_t heard = {.type = RUB_MSG_LEASE_OK,
                                     .lease_ok = {.state = RUB_RANK_LIVE}};
        rub_client_control(worker->core, &heard, self->now_ms);
        rub_client_tick(worker->core, self->now_ms);
    }
    rub_scale_worker_run(worker);
}

void rub_scale_kill(rub_scale_t *self, uint32_t index)
{
    rub_control_t message = {.type = RUB_MSG_DEAD};
    snprintf(message.dead.who, sizeof(message.dead.who), "worker-%u.cluster.example:4242", index);
    self->workers[index].stage = SCALE_DEAD;
    rub_scale_say(self, index, true, &message);
}

/* ---- steps ---- */

static void deliver(rub_scale_t *self)
{
    rub_scale_mail_t *mail = self->mail[0];
    const size_t n = self->n_mail[0], capacity = self->mail_capacity[0];
    self->mail[0] = self->mail[1];
    self->mail_capacity[0] = self->mail_capacity[1];
    self->n_mail[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (mail[i].way == SCALE_TO_SHARD || mail[i].way == SCALE_CONTROL_TO_SHARD) {
            rub_scale_shard_t *shard = &self->shards[mail[i].to];
            RUB_ASSERT(rub_grow(&shard->inbox, &shard->inbox_capacity, shard->n_inbox + 1,
                                sizeof(*mail)) == 0);
            shard->inbox[shard->n_inbox++] = mail[i]; /* its now */
            continue;
        }
        if (mail[i].way == SCALE_TO_SCHEDULER) {
            to_scheduler(self, &mail[i]);
        } else {
            const uint64_t from_ns = rub_now_ns();
            to_worker(self, &mail[i]);
            books(self)->client_ns += rub_now_ns() - from_ns;
        }
        rub_packet_unref(&mail[i].packet);
        rub_free(mail[i].control);
    }
    self->mail[1] = mail;
    self->mail_capacity[1] = capacity;
}

void rub_scale_step(rub_scale_t *self)
{
    self->now_ms++;
    books(self)->virtual_s += 0.001;
    deliver(self);
    for (uint32_t i = 0; i < self->options.n_shards; i++) {
        run_shard(self, &self->shards[i]);
    }
    if (self->now_ms % SCHEDULER_TICK_MS == 0) {
        tick_scheduler(self);
    }
    for (uint32_t i = 0; i < self->n_workers; i++) {
        run_worker(self, &self->workers[i]);
    }
}

int rub_scale_open(rub_scale_t *self, const rub_scale_options_t *options)
{
    *self = (rub_scale_t){.options = *options, .now_ms = 1000};
    rub_rng_init(&self->rng, options->seed, 0);
    rub_buf_init(&self->encoded);
    self->shards = rub_calloc(options->n_shards, sizeof(*self->shards));
    self->workers = rub_calloc(options->n_workers + COMERS, sizeof(*self->workers));
    if (!self->shards || !self->workers) {
        return RUB_ENOMEM;
    }
    int rc = open_scheduler(self);
    for (uint32_t i = 0; i < options->n_shards && rc == 0; i++) {
        rc = open_shard(self, i);
    }
    for (uint32_t i = 0; i < options->n_workers && rc == 0; i++) {
        rc = rub_scale_add_worker(self);
    }
    return rc;
}

void rub_scale_close(rub_scale_t *self)
{
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; side == 0 && i < self->n_mail[0]; i++) {
            rub_packet_unref(&self->mail[0][i].packet);
            rub_free(self->mail[0][i].control);
        }
        rub_free(self->mail[side]);
    }
    uint64_t before = rub_scale_heap_bytes();
    for (uint32_t i = 0; self->workers && i < self->n_workers; i++) {
        rub_client_destroy(&self->workers[i].core);
    }
    self->clients_bytes = before - rub_scale_heap_bytes();
    before = rub_scale_heap_bytes();
    for (uint32_t i = 0; self->shards && i < self->options.n_shards; i++) {
        rub_shard_destroy(&self->shards[i].core);
        self->table_bytes += self->shards[i].memory_bytes;
    }
    self->shards_bytes = before - rub_scale_heap_bytes();
    before = rub_scale_heap_bytes();
    rub_scheduler_destroy(&self->scheduler);
    self->scheduler_bytes = before - rub_scale_heap_bytes();
    for (uint32_t i = 0; self->workers && i < self->n_workers; i++) {
        rub_free(self->workers[i].keys);
        rub_free(self->workers[i].values);
    }
    for (uint32_t i = 0; self->shards && i < self->options.n_shards; i++) {
        rub_free(self->shards[i].inbox);
    }
    rub_free(self->workers);
    rub_free(self->shards);
    rub_buf_fini(&self->encoded);
}
