/* The public API over the client core: each call lets the core act, and waits for what it must
 * (worker/client/session_turn.h). Opening and closing are in open_session.c.
 *
 * A failed pull gives the caller's arrays back; a barrier, a pause or a table whose wait ended at
 * its deadline stays under way, and the same call takes it up again. */
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/client/session_turn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "pull of 'x'" */
static const char *subject(const rub_session_t *self, const char *verb, rub_table_t table,
                           char out[96])
{
    const rub_table_view_t *schema = rub_client_table(self->client, table);
    snprintf(out, 96, "%s '%s'", verb, schema ? schema->name : "?");
    return out;
}

void rub_session_info(const rub_session_t *session, rub_info_t *info)
{
    rub_client_info(session->client, info);
}

void rub_session_stats(const rub_session_t *session, rub_stats_t *stats)
{
    rub_client_stats(session->client, stats);
    stats->lanes = rub_session_lanes_open(session);
}

/* ---- operations that are one at a time ---- */

/* What has come meanwhile, before something is asked. */
static int look(rub_session_t *session, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    if (!rc) {
        rub_session_look(session);
    }
    return rc;
}

static void tell_clock(rub_session_t *session)
{
    rub_info_t info;
    rub_client_info(session->client, &info);
    if (session->lease) {
        rub_lease_thread_clock(session->lease, info.clock);
    }
}

/* A wait that ended at its deadline leaves the operation under way: the same call takes it up again
 * instead of beginning another one. */
static bool take_up(const rub_session_t *session, const char *what, rub_handle_t *handle_p)
{
    *handle_p = session->unfinished;
    return session->unfinished != 0 && strcmp(session->unfinished_what, what) == 0;
}

/* Ends a call that began an operation, or took one up: waits for it, and tells the lease thread
 * where the clock stands now. */
static int finish(rub_session_t *session, int rc, rub_handle_t handle, const char *what,
                  rub_error_t *err)
{
    if (rc) {
        return rc;
    }
    if (session->unfinished != handle) {
        (void)rub_client_poll(session->client, session->unfinished, NULL); /* it ended unseen */
    }
    rc = rub_session_wait_for(session, handle, what, session->options.request_timeout_ms, err);
    const bool under_way = (rc == RUB_ETIMEOUT || rc == RUB_EINTR) &&
                           rub_client_poll(session->client, handle, NULL) == RUB_CLIENT_WAIT;
    session->unfinished = under_way ? handle : 0;
    snprintf(session->unfinished_what, sizeof(session->unfinished_what), "%s", what);
    tell_clock(session);
    return rc;
}

/* ---- tables ---- */

int rub_table_open(rub_session_t *session, const rub_schema_t *schema, rub_table_t *table_p,
                   rub_error_t *err)
{
    rub_handle_t handle = 0;
    char what[96];
    int rc = look(session, err);
    snprintf(what, sizeof(what), "opening table '%s'", schema->name ? schema->name : "");
    if (!rc && !take_up(session, what, &handle)) {
        rc = rub_client_table_open(session->client, schema, &handle, err);
    }
    rc = finish(session, rc, handle, what, err);
    if (!rc) {
        *table_p = rub_client_table_result(session->client);
    }
    return rc;
}

int rub_table_schema(const rub_session_t *session, rub_table_t table, rub_schema_t *schema,
                     rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    return rc ? rc : rub_client_table_schema(session->client, table, schema, err);
}

int rub_table_codec(rub_session_t *session, rub_table_t table, rub_codec_kind_t push,
                    rub_codec_kind_t pull, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    return rc ? rc : rub_client_table_codec(session->client, table, push, pull, err);
}

int rub_table_cache(rub_session_t *session, rub_table_t table, size_t limit_bytes,
                    uint64_t max_age_ms, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    return rc ? rc : rub_client_table_cache(session->client, table, limit_bytes, max_age_ms, err);
}

/* ---- pulls ---- */

static int start_pull(rub_session_t *session, const rub_client_pull_t *pull, rub_handle_t *handle_p,
                      rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    if (rc) {
        return rc;
    }
    rub_session_glance(session);
    rub_client_time(session->client, rub_now_ms());
    return rub_client_pull(session->client, pull, handle_p, err);
}

/* A failed pull gives the caller's arrays back: it is cancelled, not left under way. */
static int pull_and_wait(rub_session_t *session, const rub_client_pull_t *pull, rub_error_t *err)
{
    rub_handle_t handle = 0;
    int rc = start_pull(session, pull, &handle, err);
    if (!rc) {
        char what[96];
        rc = rub_session_wait_for(session, handle, subject(session, "pull of", pull->table, what),
                                  session->options.request_timeout_ms, err);
        if (rc) {
            rub_client_cancel(session->client, handle, NULL);
        }
    }
    return rc;
}

/* The core takes keys NULL for a range; a call with no keys at all may pass NULL too. */
static const uint64_t NO_KEY = 0;

int rub_pull_range(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                   float *values, rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table, .first = first, .n = count, .values = values};
    return pull_and_wait(session, &pull, err);
}

int rub_pull(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
             float *values, uint8_t *exists, rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table,
                                    .keys = n_keys ? keys : &NO_KEY,
                                    .n = n_keys,
                                    .values = values,
                                    .exists = exists};
    return pull_and_wait(session, &pull, err);
}

int rub_pull_range_async(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                         uint32_t ahead, float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_pull_t pull = {
        .table = table, .first = first, .n = count, .ahead = ahead, .values = values};
    return start_pull(session, &pull, handle_p, err);
}

int rub_pull_async(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
                   uint32_t ahead, float *values, uint8_t *exists, rub_handle_t *handle_p,
                   rub_error_t *err)
{
    const rub_client_pull_t pull = {.table = table,
                                    .keys = n_keys ? keys : &NO_KEY,
                                    .n = n_keys,
                                    .ahead = ahead,
                                    .values = values,
                                    .exists = exists};
    return start_pull(session, &pull, handle_p, err);
}

/* ---- pushes and the clock: they wait only for room in the rings ---- */

static int push_when_room(rub_session_t *session, const rub_client_push_t *push,
                          rub_handle_t *handle_p, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    int rc = rub_session_ours(session, err);
    if (rc) {
        return rc;
    }
    rub_session_glance(session);
    for (;;) {
        rc = rub_client_push(session->client, push, handle_p, err);
        if (rc != RUB_CLIENT_WAIT) {
            return rc;
        }
        char what[96];
        rc = rub_session_turn(session, 0, subject(session, "push to", push->table, what),
                              started_ms, session->options.request_timeout_ms, err);
        if (rc) {
            return rc;
        }
    }
}

int rub_push_range(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                   const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {.table = table, .first = first, .n = count, .values = values};
    return push_when_room(session, &push, handle_p, err);
}

int rub_push(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
             const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {
        .table = table, .keys = n_keys ? keys : &NO_KEY, .n = n_keys, .values = values};
    return push_when_room(session, &push, handle_p, err);
}

int rub_push_range_lent(rub_session_t *session, rub_table_t table, uint64_t first, uint64_t count,
                        const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {
        .table = table, .first = first, .n = count, .values = values, .lend = true};
    return push_when_room(session, &push, handle_p, err);
}

int rub_push_lent(rub_session_t *session, rub_table_t table, const uint64_t *keys, size_t n_keys,
                  const float *values, rub_handle_t *handle_p, rub_error_t *err)
{
    const rub_client_push_t push = {.table = table,
                                    .keys = n_keys ? keys : &NO_KEY,
                                    .n = n_keys,
                                    .values = values,
                                    .lend = true};
    return push_when_room(session, &push, handle_p, err);
}

int rub_push_kept(rub_session_t *session, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    int rc = rub_session_ours(session, err);
    if (rc) {
        return rc;
    }
    rub_session_glance(session);
    for (;;) {
        rc = rub_client_push_kept(session->client, err);
        if (rc != RUB_CLIENT_WAIT) {
            return rc;
        }
        rc = rub_session_turn(session, 0, "push of what was kept back", started_ms,
                              session->options.request_timeout_ms, err);
        if (rc) {
            return rc;
        }
    }
}

static void flush_pull_log(rub_session_t *session)
{
    rub_error_t trouble = {0};
    if (session->pulls && rub_pull_log_flush(session->pulls, &trouble) != 0) {
        rub_session_say(session, trouble.message);
    }
}

int rub_clock(rub_session_t *session, const void *cursor, size_t cursor_bytes, rub_error_t *err)
{
    const uint64_t started_ms = rub_now_ms();
    int rc = rub_session_ours(session, err);
    if (rc) {
        return rc;
    }
    rub_session_glance(session);
    for (;;) {
        rc = rub_client_clock(session->client, cursor, cursor_bytes, err);
        if (rc != RUB_CLIENT_WAIT) {
            tell_clock(session);
            flush_pull_log(session);
            return rc;
        }
        rc = rub_session_turn(session, 0, "clock", started_ms, session->options.request_timeout_ms,
                              err);
        if (rc) {
            return rc;
        }
    }
}

/* ---- waiting ---- */

int rub_wait(rub_session_t *session, rub_handle_t handle, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    return rc ? rc
              : rub_session_wait_for(session, handle, "wait", session->options.request_timeout_ms,
                                     err);
}

int rub_cancel(rub_session_t *session, rub_handle_t handle, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    return rc ? rc : rub_client_cancel(session->client, handle, err);
}

int rub_flush(rub_session_t *session, rub_error_t *err)
{
    rub_handle_t handle = 0;
    int rc = look(session, err);
    rc = rc ? rc : rub_client_flush(session->client, &handle, err);
    if (!rc) {
        rc = rub_session_wait_for(session, handle, "flush", session->options.request_timeout_ms,
                                  err);
        (void)rub_client_cancel(session->client, handle, NULL); /* under way, it is nobody's */
    }
    return rc;
}

/* ---- standing aside ---- */

static int meet(rub_session_t *session, const rub_score_t *score, const char *what, double *sums,
                uint32_t n_sums, rub_error_t *err)
{
    rub_handle_t handle = 0;
    int rc = look(session, err);
    if (!rc && !take_up(session, what, &handle)) {
        rc = rub_client_judge(session->client, score, sums, sums ? n_sums : 0, &handle, err);
    }
    rc = finish(session, rc, handle, what, err);
    if (!rc && sums) {
        double out[16];
        const uint32_t n = rub_client_barrier_sums(session->client, out);
        memcpy(sums, out, (n < n_sums ? n : n_sums) * sizeof(*sums));
    }
    return rc;
}

int rub_barrier(rub_session_t *session, double *sums, uint32_t n_sums, rub_error_t *err)
{
    static const char what[] = "barrier";
    return meet(session, NULL, what, sums, n_sums, err);
}

int rub_judge(rub_session_t *session, const rub_score_t *score, double *sums, uint32_t n_sums,
              rub_error_t *err)
{
    static const char what[] = "judge";
    if (score->evaluation == 0 || !isfinite(score->value)) {
        return rub_fail(err, RUB_EINVAL,
                        "judge: evaluation %llu of value %g, expected a number above 0 and a "
                        "finite value",
                        (unsigned long long)score->evaluation, score->value);
    }
    return meet(session, score, what, sums, n_sums, err);
}

uint64_t rub_stopped(const rub_session_t *session)
{
    return rub_client_stopped(session->client);
}

int rub_pause(rub_session_t *session, rub_error_t *err)
{
    static const char what[] = "pause";
    rub_handle_t handle = 0;
    int rc = look(session, err);
    if (!rc && !take_up(session, what, &handle)) {
        rc = rub_client_pause(session->client, &handle, err);
    }
    return finish(session, rc, handle, what, err);
}

int rub_resume(rub_session_t *session, rub_error_t *err)
{
    static const char what[] = "resume";
    rub_handle_t handle = 0;
    int rc = look(session, err);
    if (!rc && !take_up(session, what, &handle)) {
        rc = rub_client_resume(session->client, &handle, err);
    }
    return finish(session, rc, handle, what, err);
}

/* ---- data and reports ---- */

int rub_piece_next(rub_session_t *session, uint64_t epoch, uint64_t n_examples,
                   uint64_t piece_examples, rub_piece_t *piece, rub_error_t *err)
{
    static const char what[] = "next piece of data";
    rub_handle_t handle = 0;
    int rc = look(session, err);
    if (!rc && !take_up(session, what, &handle)) {
        rc = rub_client_piece(session->client, epoch, n_examples, piece_examples, &handle, err);
    }
    rc = finish(session, rc, handle, what, err);
    if (!rc) {
        *piece = *rub_client_piece_result(session->client);
    }
    return rc;
}

void rub_session_progress(rub_session_t *session, const rub_progress_t *progress)
{
    if (session->lease && rub_session_ours(session, NULL) == 0) {
        rub_lease_thread_progress(session->lease, progress);
    }
}

int rub_metric(rub_session_t *session, const char *name, double value, rub_error_t *err)
{
    const int rc = rub_session_ours(session, err);
    if (rc) {
        return rc;
    }
    rub_session_glance(session);
    return rub_client_metric(session->client, name, value, err);
}
