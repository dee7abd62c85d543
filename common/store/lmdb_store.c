/* Opening a store, and writing chunks and small states into it. What a record looks like is in
 * common/store/lmdb_record.h, looking at one in lmdb_pin.c.
 *
 * Invariants: default sync flags, so a commit is on the platter when it returns; a transaction
 * stays below DIRTY_LIMIT, but for one that holds a large state alone; the map always has more room
 * than one transaction can use, so MDB_MAP_FULL does not happen. A file whose pages do not check
 * out is never handed to LMDB, which would trust it (common/store/lmdb_pages.h). */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/store/lmdb_pages.h"
#include "common/store/lmdb_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define DIRTY_LIMIT (UINT64_C(128) << 20)
#define MAP_HEADROOM (UINT64_C(1) << 30)
#define SPACE_MARGIN (UINT64_C(1) << 20)
/* Only address space; so much that it hardly ever grows, which it can not while a pin stands. */
#define MAP_START (UINT64_C(64) << 30)
#define MAP_LEAST (UINT64_C(1) << 30)

enum {
    PAGES_PER_PUT = 4, /* the leaf and its parents, which copy on write */
    PAGE = 4096,
    FORMAT = 1
};

/* Puts {crc, 0, data} into the open transaction. */
static int put_value(rub_store_t *self, MDB_val *key, const void *data, size_t bytes)
{
    MDB_val value = {.mv_size = bytes + RUB_STORE_VALUE_HEAD_BYTES};
    const int rc = mdb_put(self->txn, self->dbi, key, &value, MDB_RESERVE);
    if (rc) {
        return rc;
    }
    rub_store_write_value(key, data, bytes, value.mv_data);
    self->dirty_bytes += (bytes / PAGE + 1 + PAGES_PER_PUT) * PAGE;
    return 0;
}

/* ---- opening ---- */

static int visit_value(void *context, const void *key, size_t key_bytes, const void *data,
                       size_t bytes, rub_error_t *err)
{
    return rub_store_check_value(context, key, key_bytes, data, bytes, err);
}

/* LMDB trusts its file: what would lead it astray must not reach it. Large values are checked when
 * they are read. */
static int check_pages(const char *path, rub_error_t *err)
{
    const rub_pages_visit_t visit = {.context = (void *)(uintptr_t)path, .value = visit_value};
    return rub_pages_walk(path, &visit, NULL, err);
}

/* Room for one transaction, and for a value of so many bytes besides. Between transactions only. */
static int ensure_map(rub_store_t *self, uint64_t value_bytes)
{
    MDB_envinfo info;
    int rc = mdb_env_info(self->env, &info);
    const uint64_t used = ((uint64_t)info.me_last_pgno + 1) * PAGE;
    while (!rc && used + MAP_HEADROOM + value_bytes > self->map_bytes) {
        if (atomic_load(&self->n_pins) > 0) {
            return MDB_MAP_FULL; /* to be tried again, as when the disk is full */
        }
        self->map_bytes *= 2;
        rc = mdb_env_set_mapsize(self->env, self->map_bytes);
    }
    return rc;
}

/* Writes the format into an empty database, checks it in one that is not. */
static int check_format(rub_store_t *self, rub_error_t *err)
{
    MDB_val key = {.mv_size = 1, .mv_data = (uint8_t[]){'f'}};
    MDB_val value;
    MDB_stat stat;
    int rc = mdb_stat(self->txn, self->dbi, &stat);
    if (!rc && stat.ms_entries == 0) {
        uint8_t format[4];
        rub_put_u32(format, FORMAT);
        rc = put_value(self, &key, format, sizeof(format));
        return rc ? rub_store_fail(self, err, rc, "cannot write the format") : 0;
    }
    rc = rc ? rc : mdb_get(self->txn, self->dbi, &key, &value);
    if (rc == MDB_NOTFOUND) {
        return rub_fail(err, RUB_ECORRUPT, "%s is an LMDB file, but not a store of rubato",
                        self->path);
    }
    if (rc) {
        return rub_store_fail(self, err, rc, "cannot read the format");
    }
    rc = rub_store_check_value(self->path, key.mv_data, key.mv_size, value.mv_data, value.mv_size,
                               err);
    if (rc) {
        return rc;
    }
    const uint8_t *data = value.mv_data;
    const uint32_t format = value.mv_size >= RUB_STORE_VALUE_HEAD_BYTES + 4
                                ? rub_get_u32(data + RUB_STORE_VALUE_HEAD_BYTES)
                                : 0;
    return format == FORMAT
               ? 0
               : rub_fail(err, RUB_ECORRUPT, "store %s has format %u, this program reads %d",
                          self->path, format, FORMAT);
}

static int open_env_readonly(rub_store_t *self, rub_error_t *err)
{
    MDB_stat stat;
    int rc = mdb_env_create(&self->env);
    rc = rc ? rc
            : mdb_env_open(self->env, self->path,
                           MDB_NOSUBDIR | MDB_NOTLS | MDB_RDONLY | MDB_NOLOCK, 0);
    rc = rc ? rc : mdb_txn_begin(self->env, NULL, MDB_RDONLY, &self->txn);
    rc = rc ? rc : mdb_dbi_open(self->txn, NULL, 0, &self->dbi);
    rc = rc ? rc : mdb_stat(self->txn, self->dbi, &stat);
    if (rc) {
        rc = rub_store_fail(self, err, rc, "cannot open");
    } else if (stat.ms_entries > 0) { /* else a store whose first transaction never came */
        rc = check_format(self, err);
    }
    if (self->txn) {
        mdb_txn_abort(self->txn);
        self->txn = NULL;
    }
    return rc;
}

/* A process may be short of address space (ulimit -v): then with less. */
static int map_env(rub_store_t *self)
{
    int rc = ENOMEM;
    for (uint64_t bytes = MAP_START; rc == ENOMEM && bytes >= MAP_LEAST; bytes /= 4) {
        if (self->env) {
            mdb_env_close(self->env);
            self->env = NULL;
        }
        self->map_bytes = bytes;
        rc = mdb_env_create(&self->env);
        rc = rc ? rc : mdb_env_set_mapsize(self->env, self->map_bytes);
        rc = rc ? rc : mdb_env_open(self->env, self->path, MDB_NOSUBDIR | MDB_NOTLS, 0666);
    }
    return rc;
}

static int open_env(rub_store_t *self, rub_error_t *err)
{
    int dead = 0;
    int rc = map_env(self);
    rc = rc ? rc : mdb_reader_check(self->env, &dead);
    rc = rc ? rc : ensure_map(self, 0);
    rc = rc ? rc : mdb_txn_begin(self->env, NULL, 0, &self->txn);
    if (rc) {
        return rub_store_fail(self, err, rc, "cannot open");
    }
    rc = mdb_dbi_open(self->txn, NULL, 0, &self->dbi);
    rc = rc ? rub_store_fail(self, err, rc, "cannot open") : check_format(self, err);
    if (rc) {
        mdb_txn_abort(self->txn);
        self->txn = NULL;
        return rc;
    }
    rc = mdb_txn_commit(self->txn);
    self->txn = NULL;
    return rc ? rub_store_fail(self, err, rc, "cannot commit the format") : 0;
}

static int open_store(const char *folder, int (*open)(rub_store_t *self, rub_error_t *err),
                      rub_store_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_store_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the store in %s", folder);
    }
    self->path = rub_sprintf("%s/data.mdb", folder);
    int rc = self->path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the store in %s", folder);
    rc = rc ? rc : check_pages(self->path, err);
    rc = rc ? rc : open(self, err);
    if (rc) {
        rub_store_close(&self);
        return rc;
    }
    *self_p = self;
    return 0;
}

/* LMDB writes the pages of a new file one by one: power lost in between leaves one that is neither
 * new nor a store. So a store is made under another name, and gets its own once it is whole. */
static int make_store(const char *folder, const char *path, rub_error_t *err)
{
    rub_store_t making = {.path = rub_sprintf("%s.new", path)};
    char *lock = rub_sprintf("%s.new-lock", path);
    int rc = making.path && lock ? 0 : rub_fail(err, RUB_ENOMEM, "no memory to make %s", path);
    if (!rc) {
        (void)unlink(making.path); /* half-made */
        rc = open_env(&making, err);
    }
    if (making.env) {
        mdb_env_close(making.env);
    }
    if (!rc && rename(making.path, path) != 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot rename %s", making.path);
    }
    if (!rc && rub_fs_sync_folder(folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "store %s", path);
    }
    if (lock) {
        (void)unlink(lock);
    }
    rub_free(lock);
    rub_free(making.path);
    return rc;
}

int rub_store_open(const char *folder, rub_store_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    char *path = rub_sprintf("%s/data.mdb", folder);
    int rc = path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the store in %s", folder);
    rc = rc || rub_fs_exists(path) ? rc : make_store(folder, path, err);
    rub_free(path);
    return rc ? rc : open_store(folder, open_env, self_p, err);
}

int rub_store_open_readonly(const char *folder, rub_store_t **self_p, rub_error_t *err)
{
    return open_store(folder, open_env_readonly, self_p, err);
}

typedef struct inspection {
    const char *path;
    void (*fault)(void *context, const rub_error_t *fault);
    void *context;
} inspection_t;

static int inspect_value(void *context, const void *key, size_t key_bytes, const void *data,
                         size_t bytes, rub_error_t *err)
{
    const inspection_t *self = context;
    return rub_store_check_value(self->path, key, key_bytes, data, bytes, err);
}

static void inspect_fault(void *context, const rub_error_t *fault)
{
    const inspection_t *self = context;
    self->fault(self->context, fault);
}

int rub_store_inspect(const char *folder, void (*fault)(void *context, const rub_error_t *fault),
                      void *context, rub_store_findings_t *findings, rub_error_t *err)
{
    rub_pages_report_t report = {0};
    char *path = rub_sprintf("%s/data.mdb", folder);
    if (!path) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the store in %s", folder);
    }
    inspection_t self = {path, fault, context};
    const rub_pages_visit_t visit = {.context = &self,
                                     .all = true,
                                     .value = inspect_value,
                                     .fault = fault ? inspect_fault : NULL};
    const int rc = rub_pages_walk(path, &visit, &report, err);
    *findings = (rub_store_findings_t){
        .transaction = report.transaction,
        .n_pages = report.n_pages,
        .n_used = report.n_used,
        .n_free = report.n_free,
        .page_bytes = report.page_bytes,
        .n_values = report.n_values,
        .value_bytes = report.value_bytes,
        .n_faults = report.n_faults,
    };
    rub_free(path);
    return rc;
}

static void drop_held(rub_store_t *self)
{
    for (size_t i = 0; i < self->n_held; i++) {
        rub_free(self->held[i].data);
    }
    self->n_held = 0;
}

void rub_store_close(rub_store_t **self_p)
{
    rub_store_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->txn) {
        mdb_txn_abort(self->txn);
    }
    if (self->env) {
        mdb_env_close(self->env);
    }
    drop_held(self);
    rub_free(self->held);
    rub_free(self->path);
    rub_free(self);
}

/* ---- writing ---- */

/* The first failure stays; the transaction is given up at once, so that nothing half goes in. */
static void stick(rub_store_t *self, int rc, const char *what)
{
    if (self->failure.code == 0) {
        (void)rub_store_fail(self, &self->failure, rc, what);
    }
    if (self->txn) {
        mdb_txn_abort(self->txn);
        self->txn = NULL;
    }
}

static void open_txn(rub_store_t *self, uint64_t value_bytes)
{
    int rc = ensure_map(self, value_bytes);
    rc = rc ? rc : mdb_txn_begin(self->env, NULL, 0, &self->txn);
    self->dirty_bytes = 0;
    if (rc) {
        self->txn = NULL;
        stick(self, rc, "cannot begin a transaction");
    }
}

/* LMDB turns the short write of a disk that fills up into EIO, which we must take for a dying disk.
 * So it never meets one: the space behind the file, as much as the transaction could use, is taken
 * first, all or nothing, and is there for the next one if this one did not need it. Where a file
 * system cannot do that, asking must do. */
static bool has_space(const rub_store_t *self)
{
    MDB_envinfo info;
    uint64_t free_bytes = 0;
    int fd = -1;
    if (rub_fs_free_bytes(self->path, &free_bytes, NULL) == 0 &&
        free_bytes <= self->dirty_bytes + SPACE_MARGIN) {
        return false;
    }
    if (mdb_env_info(self->env, &info) || mdb_env_get_fd(self->env, &fd)) {
        return true;
    }
    const off_t end = ((off_t)info.me_last_pgno + 1) * PAGE;
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, end, (off_t)self->dirty_bytes) == 0 ||
           (errno != ENOSPC && errno != EDQUOT);
}

static void commit_txn(rub_store_t *self)
{
    if (!has_space(self)) {
        stick(self, ENOSPC, "cannot commit");
        return;
    }
    const int rc = mdb_txn_commit(self->txn);
    self->txn = NULL;
    if (rc) {
        stick(self, rc, "cannot commit");
    }
}

int rub_store_begin(rub_store_t *self, rub_error_t *err)
{
    self->failure = (rub_error_t){0};
    drop_held(self);
    open_txn(self, 0);
    if (self->failure.code && err) {
        *err = self->failure;
    }
    return self->failure.code;
}

/* After each change of a chunk: a transaction that has grown enough goes out, and another begins.
 */
static void after_chunk(rub_store_t *self, int rc, const char *what)
{
    if (rc) {
        stick(self, rc, what);
    } else if (self->dirty_bytes > DIRTY_LIMIT) {
        commit_txn(self);
        if (!self->failure.code) {
            open_txn(self, 0);
        }
    }
}

void rub_store_put_chunk(rub_store_t *self, uint32_t table, uint32_t chunk, const void *bytes,
                         size_t n_bytes)
{
    if (self->failure.code) {
        return;
    }
    uint8_t name[RUB_STORE_CHUNK_KEY_BYTES];
    rub_store_chunk_key(table, chunk, name);
    MDB_val key = {sizeof(name), name};
    after_chunk(self, put_value(self, &key, bytes, n_bytes), "cannot put a chunk");
}

void rub_store_delete_chunk(rub_store_t *self, uint32_t table, uint32_t chunk)
{
    if (self->failure.code) {
        return;
    }
    uint8_t name[RUB_STORE_CHUNK_KEY_BYTES];
    rub_store_chunk_key(table, chunk, name);
    MDB_val key = {sizeof(name), name};
    const int rc = mdb_del(self->txn, self->dbi, &key, NULL);
    self->dirty_bytes += PAGES_PER_PUT * PAGE;
    after_chunk(self, rc == MDB_NOTFOUND ? 0 : rc, "cannot delete a chunk");
}

void rub_store_put_state(rub_store_t *self, const char *name, const void *bytes, size_t n_bytes)
{
    if (self->failure.code) {
        return;
    }
    void *copy = rub_alloc(n_bytes + 1);
    if (!copy || rub_grow(&self->held, &self->capacity_held, self->n_held + 1,
                          sizeof(rub_store_held_t)) != 0) {
        rub_free(copy);
        stick(self, ENOMEM, "cannot put a state");
        return;
    }
    if (n_bytes > 0) {
        memcpy(copy, bytes, n_bytes);
    }
    rub_store_held_t *held = &self->held[self->n_held++];
    held->key_bytes = rub_store_state_key(name, held->key);
    held->data = copy;
    held->bytes = n_bytes;
}

/* A state with open bsp pushes may be as large as they are: it gets a transaction of its own then,
 * and a map that holds it, or LMDB would find the map full each time it is tried. */
static void make_way_for_held(rub_store_t *self)
{
    uint64_t held_bytes = 0;
    for (size_t i = 0; i < self->n_held; i++) {
        held_bytes += self->held[i].bytes;
    }
    if (!self->failure.code && self->dirty_bytes + held_bytes > DIRTY_LIMIT) {
        commit_txn(self);
        if (!self->failure.code) {
            open_txn(self, held_bytes);
        }
    }
}

int rub_store_commit(rub_store_t *self, rub_error_t *err)
{
    make_way_for_held(self);
    for (size_t i = 0; i < self->n_held && !self->failure.code; i++) {
        MDB_val key = {self->held[i].key_bytes, self->held[i].key};
        const int rc = put_value(self, &key, self->held[i].data, self->held[i].bytes);
        if (rc) {
            stick(self, rc, "cannot put a state");
        }
    }
    drop_held(self);
    if (!self->failure.code) {
        commit_txn(self);
    }
    if (self->failure.code && err) {
        *err = self->failure;
    }
    return self->failure.code;
}
