/* The job's state as bytes: what a scheduler that starts again must know, and nothing that peers
 * will tell it anyway.
 *
 * Written whole at each commit, read once at load. Connections, silences, reports and who stands
 * where before a release are left out: shards report, sessions ask again. The number in front
 * changes when the layout does. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "common/num/schedule.h"
#include "common/wire/placement.h"
#include "common/wire/table_schema.h"
#include "scheduler/scheduler_internal.h"

#define STATE_MAGIC UINT64_C(0x3653534241425552)   /* "RUBABSS6" */
#define STATE_MAGIC_5 UINT64_C(0x3553534241425552) /* without what was before the data epoch */
#define STATE_MAGIC_4 UINT64_C(0x3453534241425552) /* and nothing was judged */
#define STATE_MAGIC_3 UINT64_C(0x3353534241425552) /* and tables had fewer hyper-parameters */

enum { LATER_NUMBERS = 17 };

static void write_rank(rub_buf_t *out, const rub_rank_entry_t *rank)
{
    rub_buf_u32(out, rank->epoch - (RUB_MUTANT(EPOCH_UNSAVED) && rank->epoch > 1 ? 1 : 0));
    rub_buf_u32(out, rank->state);
    /* A place that is kept but not given is not remembered: its JOIN comes again. */
    rub_buf_u8(out, rank->told ? 1 : 0);
    rub_buf_u8(out, rank->evicted ? 1 : 0);
    rub_buf_append(out, rank->nonce, sizeof rank->nonce);
    rub_buf_str(out, rank->who);
    rub_buf_u64(out, rank->progress.clock);
    bool released = rank->stand == RUB_STAND_RELEASED || rank->stand == RUB_STAND_RESUMED;
    rub_buf_u8(out, released ? 1 : 0);
    rub_buf_u64(out, rank->barrier_number);
    rub_buf_u64(out, rank->gone_number);
    rub_buf_u8(out, rank->was_dealt ? 1 : 0);
    rub_buf_u64(out, rank->dealt.request);
    rub_buf_u32(out, rank->dealt.kind);
    rub_buf_u64(out, rank->dealt.data_epoch);
    rub_buf_u64(out, rank->dealt.number);
    rub_buf_u64(out, rank->dealt.first);
    rub_buf_u64(out, rank->dealt.count);
}

static void read_rank(rub_reader_t *in, rub_rank_entry_t *rank)
{
    *rank = (rub_rank_entry_t){0};
    rank->epoch = rub_read_u32(in);
    rank->state = rub_read_u32(in);
    rank->told = rub_read_u8(in) != 0;
    rank->held = rank->told;
    rank->evicted = rub_read_u8(in) != 0;
    const void *nonce = rub_read_bytes(in, sizeof rank->nonce);
    if (nonce) {
        memcpy(rank->nonce, nonce, sizeof rank->nonce);
    }
    rub_read_str(in, rank->who, sizeof rank->who);
    rank->progress.clock = rub_read_u64(in);
    rank->stand = rub_read_u8(in) ? RUB_STAND_RELEASED : RUB_STAND_OUT;
    rank->barrier_number = rub_read_u64(in);
    rank->gone_number = rub_read_u64(in);
    rank->was_dealt = rub_read_u8(in) != 0;
    rank->dealt.request = rub_read_u64(in);
    rank->dealt.kind = rub_read_u32(in);
    rank->dealt.data_epoch = rub_read_u64(in);
    rank->dealt.number = rub_read_u64(in);
    rank->dealt.first = rub_read_u64(in);
    rank->dealt.count = rub_read_u64(in);
}

static void write_table(rub_buf_t *out, const rub_table_entry_t *table)
{
    const rub_table_view_t *schema = &table->schema;
    rub_buf_u64(out, table->version);
    rub_buf_str(out, schema->name);
    rub_buf_u32(out, schema->kind);
    rub_buf_u64(out, schema->elements);
    rub_buf_u32(out, schema->width);
    rub_buf_u32(out, schema->optimizer);
    rub_buf_u32(out, schema->init);
    rub_buf_f64(out, schema->init_scale);
    rub_buf_f64(out, schema->lr);
    rub_buf_f64(out, schema->momentum);
    rub_buf_f64(out, schema->beta1);
    rub_buf_f64(out, schema->beta2);
    rub_buf_f64(out, schema->epsilon);
    rub_buf_f64(out, schema->weight_decay);
    const double later[LATER_NUMBERS] = {schema->rho,
                                         schema->l1,
                                         schema->l2,
                                         schema->ftrl_beta,
                                         schema->schedule,
                                         (double)schema->warmup_clocks,
                                         (double)schema->schedule_clocks,
                                         schema->step_factor,
                                         schema->lr_end,
                                         schema->delay,
                                         schema->delay_lambda,
                                         (double)schema->evict_idle_clocks,
                                         schema->evict_norm,
                                         (double)schema->evict_sweep_clocks,
                                         schema->admit_probability,
                                         schema->admit_count,
                                         (double)schema->admit_counters};
    rub_buf_u32(out, LATER_NUMBERS);
    for (uint32_t i = 0; i < LATER_NUMBERS; i++) {
        rub_buf_f64(out, later[i]);
    }
}

/* What came after the first hyper-parameters is counted: less is zeroes, more is another's. */
static void read_later(rub_reader_t *in, rub_table_view_t *schema)
{
    double later[LATER_NUMBERS] = {0};
    const uint32_t n = rub_read_u32(in);
    for (uint32_t i = 0; i < n && !in->failed; i++) {
        const double number = rub_read_f64(in);
        if (i < LATER_NUMBERS) {
            later[i] = number;
        }
    }
    schema->rho = later[0];
    schema->l1 = later[1];
    schema->l2 = later[2];
    schema->ftrl_beta = later[3];
    const bool whole = later[4] >= 0 && later[4] <= UINT32_MAX && later[5] >= 0 &&
                       later[5] <= (double)RUB_SCHEDULE_CLOCKS_LIMIT && later[6] >= 0 &&
                       later[6] <= (double)RUB_SCHEDULE_CLOCKS_LIMIT && later[9] >= 0 &&
                       later[9] <= UINT32_MAX && later[11] >= 0 &&
                       later[11] <= (double)RUB_EVICT_IDLE_LIMIT && later[13] >= 0 &&
                       later[13] <= (double)RUB_EVICT_SWEEP_LIMIT && later[15] >= 0 &&
                       later[15] <= RUB_ADMIT_COUNT_LIMIT && later[16] >= 0 &&
                       later[16] <= (double)RUB_ADMIT_COUNTERS_LIMIT;
    in->failed = in->failed || !whole;
    schema->schedule = whole ? (uint32_t)later[4] : 0;
    schema->warmup_clocks = whole ? (uint64_t)later[5] : 0;
    schema->schedule_clocks = whole ? (uint64_t)later[6] : 0;
    schema->step_factor = later[7];
    schema->lr_end = later[8];
    schema->delay = whole ? (uint32_t)later[9] : 0;
    schema->delay_lambda = later[10];
    schema->evict_idle_clocks = whole ? (uint64_t)later[11] : 0;
    schema->evict_norm = later[12];
    schema->evict_sweep_clocks = whole ? (uint64_t)later[13] : 0;
    schema->admit_probability = later[14];
    schema->admit_count = whole ? (uint32_t)later[15] : 0;
    schema->admit_counters = whole ? (uint64_t)later[16] : 0;
}

static void read_table(rub_reader_t *in, uint64_t magic, rub_table_entry_t *table, uint32_t id)
{
    *table = (rub_table_entry_t){0};
    rub_table_view_t *schema = &table->schema;
    table->version = rub_read_u64(in);
    schema->id = id;
    rub_read_str(in, schema->name, sizeof schema->name);
    schema->kind = rub_read_u32(in);
    schema->elements = rub_read_u64(in);
    schema->width = rub_read_u32(in);
    schema->optimizer = rub_read_u32(in);
    schema->init = rub_read_u32(in);
    schema->init_scale = rub_read_f64(in);
    schema->lr = rub_read_f64(in);
    schema->momentum = rub_read_f64(in);
    schema->beta1 = rub_read_f64(in);
    schema->beta2 = rub_read_f64(in);
    schema->epsilon = rub_read_f64(in);
    schema->weight_decay = rub_read_f64(in);
    if (magic != STATE_MAGIC_3) {
        read_later(in, schema);
    }
}

static void write_gaps(rub_buf_t *out, const rub_histogram_t *gaps)
{
    rub_gap_count_t bins[RUB_HISTOGRAM_BINS];
    const uint32_t n = rub_gap_list_write(gaps, bins);
    rub_buf_u32(out, n);
    for (uint32_t i = 0; i < n; i++) {
        rub_buf_u64(out, bins[i].gap);
        rub_buf_u64(out, bins[i].count);
    }
}

static void read_gaps(rub_reader_t *in, rub_histogram_t *gaps)
{
    const uint32_t n = rub_read_u32(in);
    for (uint32_t i = 0; i < n && !in->failed; i++) {
        const uint64_t gap = rub_read_u64(in);
        rub_histogram_add_bin(gaps, gap, rub_read_u64(in));
    }
}

static void write_shard(rub_buf_t *out, const rub_shard_entry_t *shard)
{
    rub_buf_u64(out, shard->incarnation);
    rub_buf_str(out, shard->address);
    rub_buf_str(out, shard->who);
    rub_buf_u8(out, shard->bound ? 1 : 0);
    rub_buf_u8(out, shard->finished ? 1 : 0);
    rub_buf_u64(out, shard->digest);
    rub_buf_u64(out, shard->rows);
    rub_buf_u64(out, shard->past_pushes);
    rub_buf_u64(out, shard->past_pulls);
    rub_buf_u64(out, shard->status.pushes);
    rub_buf_u64(out, shard->status.pulls);
    rub_buf_u64(out, shard->status.lost);
    write_gaps(out, &shard->gaps);
}

static void read_shard(rub_reader_t *in, rub_shard_entry_t *shard)
{
    shard->incarnation = rub_read_u64(in);
    rub_read_str(in, shard->address, sizeof shard->address);
    rub_read_str(in, shard->who, sizeof shard->who);
    shard->bound = rub_read_u8(in) != 0;
    shard->finished = rub_read_u8(in) != 0;
    shard->digest = rub_read_u64(in);
    shard->rows = rub_read_u64(in);
    shard->past_pushes = rub_read_u64(in);
    shard->past_pulls = rub_read_u64(in);
    shard->status.pushes = rub_read_u64(in);
    shard->status.pulls = rub_read_u64(in);
    shard->status.lost = rub_read_u64(in);
    read_gaps(in, &shard->gaps);
}

static void write_ledger(rub_buf_t *out, const rub_ledger_t *ledger)
{
    rub_buf_u8(out, ledger->begun ? 1 : 0);
    rub_buf_u64(out, ledger->data_epoch);
    rub_buf_u64(out, ledger->n_examples);
    rub_buf_u64(out, ledger->piece_examples);
    rub_buf_u64(out, ledger->next_first);
    rub_buf_u64(out, ledger->next_number);
    rub_buf_u64(out, ledger->dealt_again);
    rub_buf_u64(out, ledger->n_pieces);
    for (size_t i = 0; i < ledger->n_pieces; i++) {
        const rub_ledger_piece_t *piece = &ledger->pieces[i];
        rub_buf_u64(out, piece->number);
        rub_buf_u64(out, piece->first);
        rub_buf_u64(out, piece->count);
        rub_buf_u32(out, piece->rank);
        rub_buf_u32(out, piece->epoch);
        rub_buf_u32(out, piece->state);
    }
    rub_buf_u64(out, ledger->n_returns);
    for (size_t i = 0; i < ledger->n_returns; i++) {
        rub_buf_u32(out, ledger->returns[i].rank);
        rub_buf_u32(out, ledger->returns[i].epoch);
        rub_buf_u32(out, ledger->returns[i].left);
    }
}

static void read_ledger(rub_scheduler_t *self, rub_reader_t *in, rub_ledger_t *ledger)
{
    ledger->begun = rub_read_u8(in) != 0;
    ledger->data_epoch = rub_read_u64(in);
    ledger->n_examples = rub_read_u64(in);
    ledger->piece_examples = rub_read_u64(in);
    ledger->next_first = rub_read_u64(in);
    ledger->next_number = rub_read_u64(in);
    ledger->dealt_again = rub_read_u64(in);
    uint64_t n = rub_read_u64(in);
    for (uint64_t i = 0; i < n && !in->failed && !self->fatal; i++) {
        if (rub_grow(&ledger->pieces, &ledger->pieces_capacity, ledger->n_pieces + 1,
                     sizeof *ledger->pieces) < 0) {
            self->fatal = RUB_ENOMEM;
            return;
        }
        rub_ledger_piece_t *piece = &ledger->pieces[ledger->n_pieces++];
        piece->number = rub_read_u64(in);
        piece->first = rub_read_u64(in);
        piece->count = rub_read_u64(in);
        piece->rank = rub_read_u32(in);
        piece->epoch = rub_read_u32(in);
        piece->state = rub_read_u32(in);
    }
    n = rub_read_u64(in);
    for (uint64_t i = 0; i < n && !in->failed && !self->fatal; i++) {
        if (rub_grow(&ledger->returns, &ledger->returns_capacity, ledger->n_returns + 1,
                     sizeof *ledger->returns) < 0) {
            self->fatal = RUB_ENOMEM;
            return;
        }
        rub_return_t *back = &ledger->returns[ledger->n_returns++];
        *back = (rub_return_t){.rank = rub_read_u32(in)};
        back->epoch = rub_read_u32(in);
        back->left = rub_read_u32(in);
    }
}

static bool is_known(uint64_t magic)
{
    return magic == STATE_MAGIC || magic == STATE_MAGIC_5 || magic == STATE_MAGIC_4 ||
           magic == STATE_MAGIC_3;
}

static int not_ours(uint64_t magic, size_t n_bytes, rub_error_t *err)
{
    if ((magic ^ STATE_MAGIC) << 8 == 0) { /* all but the digit at its end */
        return rub_fail(err, RUB_ECORRUPT,
                        "the scheduler's state has format %c, this program reads %c",
                        (char)(magic >> 56), (char)(STATE_MAGIC >> 56));
    }
    return rub_fail(err, RUB_ECORRUPT, "the scheduler's state of %zu bytes is not one", n_bytes);
}

int rub_scheduler_state_write(const rub_scheduler_t *self, rub_buf_t *out)
{
    rub_buf_u64(out, STATE_MAGIC);
    rub_buf_u64(out, self->job);
    rub_buf_u32(out, self->config.n_workers);
    rub_buf_u32(out, self->config.n_shards);
    rub_buf_u64(out, self->config.staleness);
    rub_buf_u32(out, self->config.reduce);
    rub_buf_u64(out, self->config.seed);
    rub_buf_u64(out, self->generation);
    rub_buf_u64(out, self->version);
    rub_buf_u32(out, self->state);
    rub_buf_u32(out, (uint32_t)-self->failure);
    rub_buf_str(out, self->sentence);
    rub_buf_u32(out, self->evictions);
    rub_buf_u64(out, self->release_clock);
    rub_buf_u32(out, self->n_release_sums);
    for (uint32_t i = 0; i < self->n_release_sums; i++) {
        rub_buf_f64(out, self->release_sums[i]);
    }
    rub_buf_u32(out, self->n_ranks);
    for (uint32_t i = 0; i < self->n_ranks; i++) {
        write_rank(out, &self->ranks[i]);
    }
    rub_buf_u32(out, self->n_tables);
    for (uint32_t i = 0; i < self->n_tables; i++) {
        write_table(out, &self->tables[i]);
    }
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        write_shard(out, &self->shards[i]);
    }
    write_gaps(out, &self->past_gaps);
    write_ledger(out, &self->ledger);
    rub_buf_u32(out, self->n_metrics);
    for (uint32_t i = 0; i < self->n_metrics; i++) {
        rub_buf_str(out, self->metrics[i].name);
        rub_buf_f64(out, self->metrics[i].value);
    }
    rub_buf_u64(out, self->resumed.clock);
    rub_buf_u64(out, self->resumed.epoch);
    rub_buf_u64(out, self->resumed.batch);
    rub_buf_u64(out, self->resumed.examples);
    rub_scheduler_snapshot_write_state(self, out);
    rub_buf_u64(out, self->release_version);
    rub_scheduler_judge_write_state(self, out);
    rub_scheduler_manifest_write_state(self, out);
    return out->failed ? RUB_ENOMEM : 0;
}

int rub_scheduler_state_peek(const void *state, size_t n_bytes, rub_scheduler_config_t *config,
                             rub_error_t *err)
{
    rub_reader_t in;
    rub_reader_init(&in, state, n_bytes);
    const uint64_t magic = rub_read_u64(&in);
    config->job = rub_read_u64(&in);
    config->n_workers = rub_read_u32(&in);
    config->n_shards = rub_read_u32(&in);
    config->staleness = rub_read_u64(&in);
    config->reduce = rub_read_u32(&in);
    config->seed = rub_read_u64(&in);
    if (!is_known(magic)) {
        return not_ours(magic, n_bytes, err);
    }
    if (in.failed || config->n_workers == 0 || config->n_shards == 0 ||
        config->n_shards > RUB_SHARDS_LIMIT) {
        return rub_fail(err, RUB_ECORRUPT, "a scheduler's state of %zu bytes is not one", n_bytes);
    }
    return 0;
}

int rub_scheduler_save(const rub_scheduler_t *self, rub_buf_t *out)
{
    return rub_scheduler_state_write(self, out);
}

/* A store belongs to one job: the same command starts it again, another one must not. */
static int check_config(const rub_scheduler_t *self, rub_reader_t *in, rub_error_t *err)
{
    const rub_scheduler_config_t *config = &self->config;
    uint32_t n_workers = rub_read_u32(in);
    uint32_t n_shards = rub_read_u32(in);
    uint64_t staleness = rub_read_u64(in);
    uint32_t reduce = rub_read_u32(in);
    uint64_t seed = rub_read_u64(in);
    if (in->failed) {
        return 0;
    }
    if (n_workers != config->n_workers) {
        return rub_fail(err, RUB_ECONFIG, "the stored job has %u workers, asked for %u", n_workers,
                        config->n_workers);
    }
    if (n_shards != config->n_shards) {
        return rub_fail(err, RUB_ECONFIG, "the stored job has %u shards, asked for %u", n_shards,
                        config->n_shards);
    }
    if (staleness != config->staleness || reduce != config->reduce || seed != config->seed) {
        return rub_fail(err, RUB_ECONFIG,
                        "the stored job has another staleness, reduce or seed (%lld, %u, %llu) "
                        "than asked for (%lld, %u, %llu)",
                        (long long)staleness, reduce, (unsigned long long)seed,
                        (long long)config->staleness, config->reduce,
                        (unsigned long long)config->seed);
    }
    return 0;
}

static void read_ranks(rub_scheduler_t *self, rub_reader_t *in)
{
    uint32_t n = rub_read_u32(in);
    if (n > RUB_RANKS_LIMIT) {
        in->failed = true;
    }
    for (uint32_t i = 0; i < n && !in->failed && !self->fatal; i++) {
        if (rub_grow(&self->ranks, &self->ranks_capacity, i + 1u, sizeof *self->ranks) < 0) {
            self->fatal = RUB_ENOMEM;
            return;
        }
        read_rank(in, &self->ranks[i]);
        self->n_ranks = i + 1u;
    }
}

static void read_tables(rub_scheduler_t *self, uint64_t magic, rub_reader_t *in)
{
    uint32_t n = rub_read_u32(in);
    if (n > RUB_TABLES_LIMIT) {
        in->failed = true;
    }
    for (uint32_t i = 0; i < n && !in->failed && !self->fatal; i++) {
        if (rub_grow(&self->tables, &self->tables_capacity, i + 1u, sizeof *self->tables) < 0) {
            self->fatal = RUB_ENOMEM;
            return;
        }
        read_table(in, magic, &self->tables[i], i + 1u);
        self->n_tables = i + 1u;
    }
}

static void read_head(rub_scheduler_t *self, rub_reader_t *in)
{
    self->generation = rub_read_u64(in);
    self->version = rub_read_u64(in);
    self->state = rub_read_u32(in);
    self->failure = -(int)rub_read_u32(in);
    rub_read_str(in, self->sentence, sizeof self->sentence);
    self->evictions = rub_read_u32(in);
    self->release_clock = rub_read_u64(in);
    self->n_release_sums = rub_read_u32(in);
    if (self->n_release_sums > RUB_SUMS_LIMIT || self->state > RUB_JOB_FAILED) {
        self->n_release_sums = 0;
        in->failed = true;
    }
    for (uint32_t i = 0; i < self->n_release_sums; i++) {
        self->release_sums[i] = rub_read_f64(in);
    }
}

static void read_metrics(rub_scheduler_t *self, rub_reader_t *in)
{
    uint32_t n = rub_read_u32(in);
    if (n > RUB_METRICS_LIMIT) {
        in->failed = true;
    }
    for (uint32_t i = 0; i < n && !in->failed; i++) {
        rub_read_str(in, self->metrics[i].name, sizeof self->metrics[i].name);
        self->metrics[i].value = rub_read_f64(in);
        self->n_metrics = i + 1u;
    }
}

int rub_scheduler_load(rub_scheduler_t *self, const void *state, size_t n_bytes, rub_error_t *err)
{
    RUB_ASSERT(self->generation == 0);
    rub_reader_t in;
    rub_reader_init(&in, state, n_bytes);
    const uint64_t magic = rub_read_u64(&in);
    if (!is_known(magic)) {
        return not_ours(magic, n_bytes, err);
    }
    self->job = rub_read_u64(&in);
    int rc = check_config(self, &in, err);
    if (rc < 0) {
        return rc;
    }
    read_head(self, &in);
    read_ranks(self, &in);
    read_tables(self, magic, &in);
    for (uint32_t i = 0; i < self->config.n_shards && !in.failed; i++) {
        read_shard(&in, &self->shards[i]);
    }
    read_gaps(&in, &self->past_gaps);
    read_ledger(self, &in, &self->ledger);
    read_metrics(self, &in);
    self->resumed.clock = rub_read_u64(&in);
    self->resumed.epoch = rub_read_u64(&in);
    self->resumed.batch = rub_read_u64(&in);
    self->resumed.examples = rub_read_u64(&in);
    rub_scheduler_snapshot_read_state(self, &in);
    if (magic == STATE_MAGIC || magic == STATE_MAGIC_5) {
        self->release_version = rub_read_u64(&in);
        rub_scheduler_judge_read_state(self, &in);
    }
    if (magic == STATE_MAGIC) {
        rub_scheduler_manifest_read_state(self, &in);
    }
    if (self->fatal) {
        return rub_fail(err, self->fatal, "reading the scheduler's state: out of memory");
    }
    if (in.failed || in.left) {
        return rub_fail(err, RUB_ECORRUPT, "the scheduler's state of %zu bytes is damaged",
                        n_bytes);
    }
    return 0;
}
