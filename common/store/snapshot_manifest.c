/* The manifest in the blocks of a snapshot file: one for the job and the cut, one for each state of
 * the scheduler. It is small, so it is read whole into one arena-like allocation per list.
 *
 * Counts are checked against their limits and against the bytes that are there before anything is
 * allocated: a checksum says that the bytes are as they were written, not that we wrote them. */
#include "common/store/snapshot_manifest.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/store/snapshot_file.h"

enum { SECTION_JOB = 1, SECTION_STATE = 2 };

static void encode_job(const rub_manifest_t *manifest, rub_buf_t *out)
{
    rub_buf_u64(out, manifest->number);
    rub_buf_u64(out, manifest->time_ms);
    rub_buf_u64(out, manifest->job);
    rub_buf_u32(out, manifest->n_workers);
    rub_buf_u32(out, manifest->n_shards);
    rub_buf_u64(out, manifest->staleness);
    rub_buf_u32(out, manifest->reduce);
    rub_buf_u64(out, manifest->seed);
    for (uint32_t i = 0; i < manifest->n_shards; i++) {
        rub_buf_u64(out, manifest->parts[i].n_bytes);
        rub_buf_u64(out, manifest->parts[i].hash);
        rub_buf_u64(out, manifest->parts[i].rows);
        rub_buf_u64(out, manifest->parts[i].digest);
    }
    rub_buf_u32(out, manifest->n_ranks);
    for (uint32_t i = 0; i < manifest->n_ranks; i++) {
        rub_buf_u32(out, manifest->ranks[i].rank);
        rub_buf_u32(out, manifest->ranks[i].epoch);
        rub_buf_u64(out, manifest->ranks[i].cut);
    }
    rub_buf_u32(out, manifest->n_states);
}

int rub_manifest_write(const char *folder, const rub_manifest_t *manifest, rub_error_t *err)
{
    rub_buf_t job;
    rub_snapshot_writer_t *writer = NULL;
    uint64_t n_bytes = 0, hash = 0;
    rub_buf_init(&job);
    encode_job(manifest, &job);
    char *path = rub_sprintf("%s/" RUB_MANIFEST_NAME, folder);
    int rc = path && !job.failed
                 ? 0
                 : rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", folder);
    rc = rc ? rc : rub_snapshot_writer_open(path, RUB_SNAPSHOT_MANIFEST, &writer, err);
    rc = rc ? rc : rub_snapshot_writer_put(writer, SECTION_JOB, job.data, job.bytes, err);
    for (uint32_t i = 0; i < manifest->n_states && rc == 0; i++) {
        rc = rub_snapshot_writer_put(writer, SECTION_STATE, manifest->states[i].data,
                                     manifest->states[i].bytes, err);
    }
    rc = rc ? rc : rub_snapshot_writer_finish(writer, &n_bytes, &hash, err);
    rub_snapshot_writer_close(&writer);
    rub_buf_fini(&job);
    rub_free(path);
    return rc;
}

/* ---- reading ---- */

typedef struct reading {
    const char *folder;
    rub_manifest_t *manifest;
    uint32_t states_expected;
    bool has_job;
} reading_t;

static int makes_no_sense(const reading_t *self, const char *what, rub_error_t *err)
{
    return rub_fail(err, RUB_ECORRUPT, "manifest in %s: %s makes no sense", self->folder, what);
}

static int read_parts(reading_t *self, rub_reader_t *in, rub_error_t *err)
{
    rub_manifest_t *manifest = self->manifest;
    if (manifest->n_shards == 0 || manifest->n_shards > RUB_MANIFEST_PARTS_LIMIT) {
        return makes_no_sense(self, "its number of shards", err);
    }
    manifest->parts = rub_calloc(manifest->n_shards, sizeof(*manifest->parts));
    if (!manifest->parts) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", self->folder);
    }
    for (uint32_t i = 0; i < manifest->n_shards; i++) {
        manifest->parts[i].n_bytes = rub_read_u64(in);
        manifest->parts[i].hash = rub_read_u64(in);
        manifest->parts[i].rows = rub_read_u64(in);
        manifest->parts[i].digest = rub_read_u64(in);
    }
    return 0;
}

static int read_ranks(reading_t *self, rub_reader_t *in, rub_error_t *err)
{
    rub_manifest_t *manifest = self->manifest;
    const uint32_t n = rub_read_u32(in);
    if (in->failed || n > RUB_MANIFEST_RANKS_LIMIT) {
        return makes_no_sense(self, "its number of ranks", err);
    }
    manifest->ranks = rub_calloc(n + 1, sizeof(*manifest->ranks));
    if (!manifest->ranks) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", self->folder);
    }
    manifest->n_ranks = n;
    for (uint32_t i = 0; i < n; i++) {
        manifest->ranks[i].rank = rub_read_u32(in);
        manifest->ranks[i].epoch = rub_read_u32(in);
        manifest->ranks[i].cut = rub_read_u64(in);
    }
    return 0;
}

static int read_job(reading_t *self, const uint8_t *payload, size_t n_bytes, rub_error_t *err)
{
    rub_manifest_t *manifest = self->manifest;
    rub_reader_t in;
    rub_reader_init(&in, payload, n_bytes);
    manifest->number = rub_read_u64(&in);
    manifest->time_ms = rub_read_u64(&in);
    manifest->job = rub_read_u64(&in);
    manifest->n_workers = rub_read_u32(&in);
    manifest->n_shards = rub_read_u32(&in);
    manifest->staleness = rub_read_u64(&in);
    manifest->reduce = rub_read_u32(&in);
    manifest->seed = rub_read_u64(&in);
    int rc = read_parts(self, &in, err);
    rc = rc ? rc : read_ranks(self, &in, err);
    if (rc) {
        return rc;
    }
    self->states_expected = rub_read_u32(&in);
    if (in.failed || in.left || self->states_expected > RUB_MANIFEST_STATES_LIMIT) {
        return makes_no_sense(self, "its length", err);
    }
    manifest->states = rub_calloc(self->states_expected + 1, sizeof(*manifest->states));
    if (!manifest->states) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", self->folder);
    }
    self->has_job = true;
    return 0;
}

static int read_section(void *context, uint32_t section, const uint8_t *payload, size_t n_bytes,
                        rub_error_t *err)
{
    reading_t *self = context;
    if (section == SECTION_JOB && !self->has_job) {
        return read_job(self, payload, n_bytes, err);
    }
    if (section != SECTION_STATE || self->manifest->n_states == self->states_expected) {
        return makes_no_sense(self, "one of its sections", err);
    }
    void *copy = rub_alloc(n_bytes + 1);
    if (!copy) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", self->folder);
    }
    memcpy(copy, payload, n_bytes);
    self->manifest->states[self->manifest->n_states++] = (rub_span_t){copy, n_bytes};
    return 0;
}

int rub_manifest_read(const char *folder, rub_manifest_t **manifest_p, rub_error_t *err)
{
    *manifest_p = NULL;
    reading_t self = {.folder = folder, .manifest = rub_calloc(1, sizeof(rub_manifest_t))};
    char *path = rub_sprintf("%s/" RUB_MANIFEST_NAME, folder);
    int rc = self.manifest && path
                 ? 0
                 : rub_fail(err, RUB_ENOMEM, "no memory for the manifest in %s", folder);
    if (rc == 0 && !rub_fs_exists(path)) { /* a mistyped path is not damage */
        rc = rub_fail(err, RUB_ECONFIG,
                      "'%s' is no snapshot: it has no manifest; 'rubato snapshot ls RUN' lists the "
                      "whole ones",
                      folder);
    }
    rc = rc ? rc
            : rub_snapshot_file_read(path, RUB_SNAPSHOT_MANIFEST, read_section, &self, NULL, NULL,
                                     err);
    if (rc == 0 && (!self.has_job || self.manifest->n_states != self.states_expected)) {
        rc = rub_fail(err, RUB_ECORRUPT, "manifest in %s: %u states of the scheduler, %u expected",
                      folder, self.manifest->n_states, self.states_expected);
    }
    if (rc == 0) {
        *manifest_p = self.manifest;
        self.manifest = NULL;
    }
    rub_manifest_destroy(&self.manifest);
    rub_free(path);
    return rc;
}

void rub_manifest_destroy(rub_manifest_t **manifest_p)
{
    rub_manifest_t *manifest = *manifest_p;
    *manifest_p = NULL;
    if (!manifest) {
        return;
    }
    for (uint32_t i = 0; i < manifest->n_states; i++) {
        rub_free((void *)(uintptr_t)manifest->states[i].data); /* ours, though spans borrow */
    }
    rub_free(manifest->states);
    rub_free(manifest->parts);
    rub_free(manifest->ranks);
    rub_free(manifest);
}
