/* `rubato audit RUN`: did any read break its bound?
 *
 * The workers' logs of pulls say what was received and when it was to be used; the shards' journals
 * say who was counted, and where each rank stood, at every lsn. Both are walked together, shard by
 * shard, and three things are asked of each answer: was the slowest counted rank within the bound
 * (Ho et al. 2013, bounded staleness)? Did the shard claim no more than its journal shows? Were the
 * session's own earlier records in it (read-my-writes)? Nothing that served the run takes part in
 * the judgement: ranks are counted by cli/audit_ranks.c. */
#include "cli/audit_pulls.h"
#include "cli/audit_ranks.h"
#include "cli/commands.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/metrics/histogram.h"
#include "common/store/journal_read.h"

#include <glob.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define RUB_LSN_PER_INCARNATION (UINT64_C(1) << 40)
#define RUB_AUDIT_SENTENCES 10u /* violations that are told one by one */

typedef struct audit {
    rub_audit_pulls_t pulls;
    rub_histogram_t gaps;
    uint64_t checked, unbounded; /* answers held against a bound; of readers and async */
    uint64_t judged, missing;    /* answers whose record is in a journal that we have, or in none */
    uint64_t broken, overclaimed, unread;
    char sentences[RUB_AUDIT_SENTENCES][400];
    size_t n_sentences;

    /* the shard being walked */
    rub_audit_ranks_t ranks;
    uint32_t shard;
    size_t next, end; /* its answers: [next, end) are still to be judged */
    uint64_t last_lsn;
} audit_t;

static void accuse(audit_t *self, const rub_audit_pull_t *pull, const char *fact)
{
    if (self->n_sentences < RUB_AUDIT_SENTENCES) {
        snprintf(self->sentences[self->n_sentences++], sizeof self->sentences[0],
                 "%s line %" PRIu64 ": shard %" PRIu32 " at lsn %" PRIu64 ": %s",
                 self->pulls.sessions[pull->session].file, pull->line, pull->shard, pull->lsn,
                 fact);
    }
}

static void judge(audit_t *self, const rub_audit_pull_t *pull)
{
    const rub_audit_session_t *session = &self->pulls.sessions[pull->session];
    const uint64_t minimum = rub_audit_ranks_minimum(&self->ranks);
    char fact[200];
    if (!session->trainer) {
        self->unbounded++;
        return;
    }
    const uint64_t gap = pull->stamp > minimum ? pull->stamp - minimum : 0;
    rub_histogram_add(&self->gaps, gap);
    self->checked++;
    self->unbounded += session->staleness == RUB_ASYNC;
    if (session->staleness != RUB_ASYNC && gap > session->staleness) {
        self->broken++;
        snprintf(fact, sizeof fact,
                 "used at clock %" PRIu64 " with the slowest rank at %" PRIu64 ": gap %" PRIu64
                 ", bound %" PRIu64,
                 pull->stamp, minimum, gap, session->staleness);
        accuse(self, pull, fact);
    }
    if (pull->minimum != UINT64_MAX && pull->minimum > minimum) {
        self->overclaimed++;
        snprintf(fact, sizeof fact, "it claimed minimum %" PRIu64 ", its journal shows %" PRIu64,
                 pull->minimum, minimum);
        accuse(self, pull, fact);
    }
    const uint64_t seq = rub_audit_ranks_seq(&self->ranks, session->rank, session->epoch);
    if (seq < pull->own_seq) {
        self->unread++;
        snprintf(fact, sizeof fact,
                 "rank %" PRIu32 " had sent record %" PRIu64 ", only %" PRIu64 " were in",
                 session->rank, pull->own_seq, seq);
        accuse(self, pull, fact);
    }
}

/* Judges the answers that were given before this record was made. */
static void judge_until(audit_t *self, uint64_t lsn)
{
    for (; self->next < self->end && self->pulls.items[self->next].lsn < lsn; self->next++) {
        const rub_audit_pull_t *pull = &self->pulls.items[self->next];
        /* a shard that was opened again answers with the first lsn of its incarnation until it has
         * made a record */
        if (pull->lsn == self->last_lsn || pull->lsn % RUB_LSN_PER_INCARNATION == 0) {
            judge(self, pull);
            self->judged++;
        }
    }
}

static int on_record(void *context, uint64_t lsn, uint8_t type, const void *payload, size_t bytes,
                     rub_error_t *err)
{
    audit_t *self = context;
    judge_until(self, lsn);
    self->last_lsn = lsn;
    return rub_audit_ranks_take(&self->ranks, (rub_record_type_t)type, payload, bytes, err);
}

static void select_shard(audit_t *self, uint32_t shard)
{
    size_t i = 0;
    while (i < self->pulls.n_items && self->pulls.items[i].shard < shard) {
        i++;
    }
    self->next = i;
    while (i < self->pulls.n_items && self->pulls.items[i].shard == shard) {
        i++;
    }
    self->end = i;
    self->shard = shard;
    self->last_lsn = 0;
}

/* One shard's folder: its kept journal, then the segments in use. */
static int walk_shard(audit_t *self, const char *folder, rub_error_t *err)
{
    const char *dash = strrchr(folder, '-');
    char journal[PATH_MAX];
    if (snprintf(journal, sizeof journal, "%s/journal", folder) >= (int)sizeof journal) {
        return rub_fail(err, RUB_EDATA, "the path '%s' is too long", folder);
    }
    select_shard(self, (uint32_t)strtoul(dash ? dash + 1 : "", NULL, 10));
    rub_audit_ranks_init(&self->ranks);
    int rc = rub_journal_read(journal, 1, UINT64_MAX, on_record, self, NULL, err);
    if (rc == 0) {
        judge_until(self, UINT64_MAX);
    } else {
        rc = rub_wrap(err, rc, "shard %" PRIu32 " in '%s' (an audit needs journal_keep: all)",
                      self->shard, folder);
    }
    rub_audit_ranks_fini(&self->ranks);
    return rc;
}

/* Every shard's folder below the run directory, at most two levels deep. */
static int walk_shards(audit_t *self, const char *run_dir, rub_error_t *err)
{
    glob_t found = {0};
    char pattern[PATH_MAX];
    snprintf(pattern, sizeof pattern, "%s/shard-[0-9]*", run_dir);
    glob(pattern, 0, NULL, &found);
    snprintf(pattern, sizeof pattern, "%s/*/shard-[0-9]*", run_dir);
    glob(pattern, found.gl_pathc ? GLOB_APPEND : 0, NULL, &found);
    int rc =
        found.gl_pathc ? 0 : rub_fail(err, RUB_EDATA, "no shard has a store below '%s'", run_dir);
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/');
        if (strspn(name + strlen("/shard-"), "0123456789") == strlen(name + strlen("/shard-"))) {
            rc = walk_shard(self, found.gl_pathv[i], err);
        }
    }
    globfree(&found);
    return rc;
}

static void print_people(const audit_t *self, const char *run_dir, FILE *out)
{
    fprintf(out, "audit of %s: %zu answers to pulls in %zu sessions\n", run_dir,
            self->pulls.n_items, self->pulls.n_sessions);
    fprintf(out, "%12" PRIu64 " checked against the shards' journals\n", self->checked);
    if (self->unbounded) {
        fprintf(out, "%12" PRIu64 " without a bound (readers, or async)\n", self->unbounded);
    }
    if (self->missing) {
        fprintf(out,
                "%12" PRIu64 " not checked: their records are in no journal (lost with the power, "
                "or journal_keep is not all)\n",
                self->missing);
    }
    fprintf(out, "\n%8s %12s\n", "gap", "answers");
    size_t at = 0;
    uint64_t gap, count;
    while (rub_histogram_next(&self->gaps, &at, &gap, &count)) {
        fprintf(out, "%8" PRIu64 " %12" PRIu64 "\n", gap, count);
    }
    fputc('\n', out);
    for (size_t i = 0; i < self->n_sentences; i++) {
        fprintf(out, "%s\n", self->sentences[i]);
    }
    if (self->broken + self->overclaimed + self->unread == 0) {
        fprintf(out, "no read broke its bound, greatest gap %" PRIu64 "\n", self->gaps.max);
    } else {
        fprintf(out,
                "%" PRIu64 " reads broke their bound, %" PRIu64 " claims were too high, %" PRIu64
                " reads missed their session's own records\n",
                self->broken, self->overclaimed, self->unread);
    }
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void print_machine(const audit_t *self, FILE *out)
{
    json_t *gaps = json_object(), *sentences = json_array();
    size_t at = 0;
    uint64_t gap, n;
    while (rub_histogram_next(&self->gaps, &at, &gap, &n)) {
        char name[24];
        snprintf(name, sizeof name, "%" PRIu64, gap);
        json_object_set_new(gaps, name, count(n));
    }
    for (size_t i = 0; i < self->n_sentences; i++) {
        json_array_append_new(sentences, json_string(self->sentences[i]));
    }
    json_t *root =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sessions",
                  count(self->pulls.n_sessions), "answers", count(self->pulls.n_items), "checked",
                  count(self->checked), "unbounded", count(self->unbounded), "missing",
                  count(self->missing), "broken", count(self->broken), "overclaimed",
                  count(self->overclaimed), "unread", count(self->unread), "max_gap",
                  count(self->gaps.max), "gaps", gaps, "violations", sentences);
    json_dumpf(root, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(root);
}

/* 0, or why the audit has no good answer. */
static int verdict(const audit_t *self, rub_error_t *err)
{
    const uint64_t violations = self->broken + self->overclaimed + self->unread;
    if (violations > 0) {
        return rub_fail(err, RUB_EINTERNAL, "%" PRIu64 " violations", violations);
    }
    if (self->checked == 0) {
        return rub_fail(err, RUB_EDATA,
                        "not one of %zu answers could be checked; train with journal_keep: all",
                        self->pulls.n_items);
    }
    return 0;
}

int rub_audit_main(const rub_config_t *config)
{
    char pulls[PATH_MAX];
    rub_error_t err = {0};
    audit_t *self = rub_calloc(1, sizeof *self);
    int rc = self ? 0 : rub_fail(&err, RUB_ENOMEM, "no memory for an audit");
    if (rc == 0) {
        rub_audit_pulls_init(&self->pulls);
        rub_histogram_init(&self->gaps);
    }
    if (rc == 0 && config->n_words != 1) {
        rc = rub_fail(&err, RUB_ECONFIG, "expected one run directory, got %u", config->n_words);
    }
    if (rc == 0 && !rub_fs_exists(config->words[0])) {
        rc = rub_fail(&err, RUB_ECONFIG, "there is no run directory '%s'", config->words[0]);
    }
    if (rc == 0) {
        snprintf(pulls, sizeof pulls, "%s/pulls", config->words[0]);
        rc = rub_audit_pulls_read(&self->pulls, pulls, &err);
    }
    rc = rc ? rc : walk_shards(self, config->words[0], &err);
    if (rc == 0) {
        self->missing = self->pulls.n_items - self->judged;
        if (config->json) {
            print_machine(self, stdout);
        } else {
            print_people(self, config->words[0], stdout);
        }
        rc = verdict(self, &err);
    }
    if (rc != 0) {
        fprintf(stderr, "rubato audit: %s\n", err.message);
    }
    if (self) {
        rub_audit_pulls_fini(&self->pulls);
        rub_free(self);
    }
    return rub_error_exit_code(rc);
}
