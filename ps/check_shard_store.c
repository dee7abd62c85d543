/* What a recovery finds out while it goes on, found out without going on.
 *
 * First each half by itself, since one may be damaged and the other not: LMDB's pages and values
 * without LMDB (a damaged file cannot hurt then), the journal's records from the first one on.
 * Then, if both are whole, the recovery itself: state, chunks and records through the core that
 * wrote them, in memory, up to its opening. Nothing is written, not even a lock's content. */
#include "ps/check_shard_store.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/store/journal_replay.h"
#include "ps/open_store.h"
#include "ps/record.h"

#define LSN(lsn) ((unsigned long long)((lsn) >> 40)), ((unsigned long long)((lsn)&0xffffffffff))

typedef struct check {
    const char *folder;
    void (*fault)(void *context, const rub_error_t *fault);
    void *context;
    rub_shard_findings_t *findings;
    rub_store_t *lmdb;
    rub_shard_t *core;
    void *state;
    size_t state_bytes;
    uint64_t redo_boot; /* in which the redo point was committed; 0: unknown */
    uint64_t before;    /* lsn of the last record that was looked at */
} check_t;

static void take_fault(void *context, const rub_error_t *fault)
{
    check_t *self = context;
    self->findings->n_faults++;
    if (self->fault) {
        self->fault(self->context, fault);
    }
}

/* Memory is our own lack; all else is the folder's. */
static int judge(check_t *self, int rc, const rub_error_t *fault)
{
    if (rc == 0 || rc == RUB_ENOMEM) {
        return rc;
    }
    take_fault(self, fault);
    return 0;
}

/* ---- each half by itself ---- */

/* The first view says how many shards the job has, when no state does. */
static int learn_shards(check_t *self, const void *payload, size_t bytes)
{
    rub_arena_t arena;
    rub_control_t message;
    rub_arena_init(&arena);
    if (rub_control_decode(payload, bytes, &arena, &message, NULL) == 0 &&
        message.type == RUB_MSG_VIEW && self->findings->owner.n_shards == 0) {
        self->findings->owner.n_shards = message.view.n_shards;
    }
    rub_arena_fini(&arena);
    return 0;
}

static int look_at_record(void *context, uint64_t lsn, uint8_t type, const void *payload,
                          size_t bytes, rub_error_t *err)
{
    check_t *self = context;
    const uint64_t before = self->before;
    self->before = lsn;
    self->findings->n_redo += lsn > self->findings->owner.redo_lsn;
    if (before != 0 && !rub_record_follows(lsn, before)) {
        return rub_fail(err, RUB_ECORRUPT,
                        "journal of %s: record %llu:%llu stands behind %llu:%llu, records are "
                        "missing between",
                        self->folder, LSN(lsn), LSN(before));
    }
    return type == RUB_RECORD_VIEW && self->findings->owner.n_shards == 0
               ? learn_shards(self, payload, bytes)
               : 0;
}

/* Reads the state, and the numbers that stand beside it. */
static int read_state(check_t *self, rub_error_t *err)
{
    rub_state_owner_t *owner = &self->findings->owner;
    void *number = NULL;
    size_t bytes = 0;
    int rc = rub_store_get_state(self->lmdb, RUB_STATE_CORE, &self->state, &self->state_bytes, err);
    if (rc == 0 && self->state) {
        self->findings->has_state = true;
        rc = rub_shard_state_owner(self->state, self->state_bytes, owner, err);
    }
    rc = rc ? rc : rub_store_get_state(self->lmdb, RUB_STATE_INCARNATION, &number, &bytes, err);
    if (rc == 0 && number && bytes == 8) {
        owner->incarnation = rub_get_u64(number);
    } else if (rc == 0 && number) { /* none: the state was restored and never opened */
        rc = rub_fail(err, RUB_ECORRUPT, "store %s: the incarnation has %zu bytes, expected 8",
                      self->folder, bytes);
    }
    rub_free(number);
    return rc ? rc : rub_shard_store_boot(self->lmdb, &self->redo_boot, err);
}

/* Where the two halves touch. */
static int compare(const check_t *self, rub_error_t *err)
{
    const rub_shard_findings_t *findings = self->findings;
    const rub_journal_findings_t *journal = &findings->journal;
    const uint64_t redo = findings->owner.redo_lsn;
    if (journal->n_segments + journal->n_spare == 0 && findings->owner.incarnation > 0) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s is gone: its store was opened %llu times", self->folder,
                        (unsigned long long)findings->owner.incarnation);
    }
    if (!rub_replay_reaches(journal->last_lsn, redo + 1, self->redo_boot, rub_journal_boot())) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s ends at %llu:%llu, its store needs it from %llu:%llu on",
                        self->folder, LSN(journal->last_lsn), LSN(redo));
    }
    if (journal->base_lsn > redo) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s begins behind %llu:%llu, its store needs it from "
                        "%llu:%llu on",
                        self->folder, LSN(journal->base_lsn), LSN(redo));
    }
    if (journal->last_lsn >> 40 > findings->owner.incarnation) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s is of incarnation %llu, its store of %llu", self->folder,
                        (unsigned long long)(journal->last_lsn >> 40),
                        (unsigned long long)findings->owner.incarnation);
    }
    return 0;
}

/* ---- the recovery in memory ---- */

static int refuse_journal(void *context, uint64_t lsn, rub_record_type_t type,
                          const rub_span_t *parts, size_t n_parts)
{
    (void)context;
    (void)lsn;
    (void)type;
    (void)parts;
    (void)n_parts;
    return RUB_EINTERNAL; /* a core that is not turned journals nothing */
}

static size_t no_room(void *context)
{
    (void)context;
    return 0;
}

static int load_chunk(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                      size_t n_bytes, rub_error_t *err)
{
    check_t *self = context;
    self->findings->n_chunks++;
    self->findings->chunk_bytes += n_bytes;
    const int rc = rub_shard_load_chunk(self->core, bytes, n_bytes, err);
    return rc ? rub_wrap(err, rc, "store %s: chunk %u of table %u", self->folder, chunk, table) : 0;
}

static int redo(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                rub_error_t *err)
{
    check_t *self = context;
    if (lsn <= self->findings->owner.redo_lsn) {
        return 0;
    }
    const int rc = rub_shard_replay(self->core, lsn, (rub_record_type_t)type, payload, bytes, err);
    return rc ? rub_wrap(err, rc, "journal of %s, record %llu:%llu", self->folder, LSN(lsn)) : 0;
}

static int recover(check_t *self, rub_error_t *err)
{
    rub_shard_findings_t *findings = self->findings;
    rub_journal_findings_t again;
    char *journal = rub_sprintf("%s/journal", self->folder);
    const rub_shard_config_t config = {.shard = findings->owner.shard,
                                       .n_shards = findings->owner.n_shards,
                                       .durability = RUB_DURABILITY_JOURNAL};
    const rub_shard_effects_t effects = {.journal = refuse_journal, .journal_room = no_room};
    uint64_t ignored = 0;
    self->core = journal ? rub_shard_new(&config, &effects) : NULL;
    int rc = self->core ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for shard %u", config.shard);
    if (rc == 0 && self->state) {
        rc = rub_shard_load_state(self->core, self->state, self->state_bytes, &ignored, err);
    }
    rc = rc ? rc : rub_store_each_chunk(self->lmdb, load_chunk, self, err);
    rc = rc ? rc : rub_journal_inspect(journal, findings->owner.redo_lsn, redo, self, &again, err);
    rc = rc ? rc : rub_shard_open(self->core, findings->owner.incarnation + 1, 0, err);
    if (rc == 0) {
        findings->replayed = true;
        findings->job = rub_shard_job(self->core);
        findings->rows = rub_shard_rows(self->core);
        findings->lost = rub_shard_lost(self->core);
        findings->digest = rub_shard_digest(self->core);
    }
    rub_free(journal);
    return rc;
}

/* ---- all of it ---- */

/* "…/shard-7" */
static uint32_t number_of(const char *folder)
{
    const char *dash = strrchr(folder, '-');
    uint32_t number = 0;
    for (const char *at = dash ? dash + 1 : ""; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint32_t)(*at - '0');
    }
    return number;
}

static int look_at_halves(check_t *self, rub_error_t *err)
{
    rub_error_t fault = {0};
    rub_shard_findings_t *findings = self->findings;
    findings->owner.shard = number_of(self->folder);
    int rc = rub_store_inspect(self->folder, take_fault, self, &findings->store, err);
    if (rc == RUB_ENOMEM) {
        return rc;
    }
    if (rc != 0 && rc != RUB_ECORRUPT) { /* who found faults has told them */
        (void)judge(self, rc, err);
    }
    if (findings->n_faults == 0) {
        rc = rub_store_open_readonly(self->folder, &self->lmdb, &fault);
        rc = judge(self, rc ? rc : read_state(self, &fault), &fault);
    }
    char *journal = rub_sprintf("%s/journal", self->folder);
    rc = rc && rc != RUB_ECORRUPT ? rc : journal ? 0 : RUB_ENOMEM;
    if (rc == 0) {
        rc = rub_journal_inspect(journal, findings->owner.redo_lsn, look_at_record, self,
                                 &findings->journal, &fault);
        rc = judge(self, rc, &fault);
    }
    rub_free(journal);
    return rc ? rub_fail(err, rc, "no memory to look at %s", self->folder) : 0;
}

int rub_shard_store_check(const char *folder,
                          void (*fault)(void *context, const rub_error_t *fault), void *context,
                          rub_shard_findings_t *findings, rub_error_t *err)
{
    check_t self = {.folder = folder, .fault = fault, .context = context, .findings = findings};
    rub_error_t line = {0};
    *findings = (rub_shard_findings_t){0};
    int rc = look_at_halves(&self, err);
    if (rc == 0 && findings->n_faults == 0) {
        rc = compare(&self, &line);
        rc = rc ? rc : recover(&self, &line);
        rc = judge(&self, rc, &line);
        if (rc && err) {
            *err = line;
        }
    }
    rub_shard_destroy(&self.core);
    rub_store_close(&self.lmdb);
    rub_free(self.state);
    return rc;
}
