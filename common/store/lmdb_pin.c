/* Looks at a store: a read transaction sees the last commit, and goes on seeing it while others are
 * committed. So a snapshot can be folded from it beside the training, at the price of pages that
 * LMDB can not use again meanwhile, and of a map that must not move (n_pins).
 *
 * A pin may be used by another thread than the one that made it (MDB_NOTLS), by one at a time. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/store/lmdb_record.h"

/* Opens pin, whose storage is the caller's. */
static int begin_pin(rub_store_t *self, rub_store_pin_t *pin, rub_error_t *err)
{
    *pin = (rub_store_pin_t){.store = self};
    const int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &pin->txn);
    if (rc) {
        pin->txn = NULL;
        return rub_store_fail(self, err, rc, "cannot read");
    }
    (void)atomic_fetch_add(&self->n_pins, 1);
    return 0;
}

static void end_pin(rub_store_pin_t *pin)
{
    mdb_txn_abort(pin->txn);
    (void)atomic_fetch_sub(&pin->store->n_pins, 1);
}

int rub_store_pin(rub_store_t *self, rub_store_pin_t **pin_p, rub_error_t *err)
{
    *pin_p = rub_alloc(sizeof(**pin_p));
    if (!*pin_p) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a look at store %s", self->path);
    }
    const int rc = begin_pin(self, *pin_p, err);
    if (rc) {
        rub_free(*pin_p);
        *pin_p = NULL;
    }
    return rc;
}

void rub_store_unpin(rub_store_pin_t **pin_p)
{
    if (*pin_p) {
        end_pin(*pin_p);
        rub_free(*pin_p);
        *pin_p = NULL;
    }
}

int rub_store_pin_get_state(rub_store_pin_t *pin, const char *name, void **data_p, size_t *bytes_p,
                            rub_error_t *err)
{
    const rub_store_t *self = pin->store;
    uint8_t bytes[RUB_STORE_NAME_LIMIT + 1];
    MDB_val key = {rub_store_state_key(name, bytes), bytes};
    MDB_val value;
    *data_p = NULL;
    *bytes_p = 0;
    int rc = mdb_get(pin->txn, self->dbi, &key, &value);
    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    rc = rc ? rub_store_fail(self, err, rc, "cannot read")
            : rub_store_check_value(self->path, key.mv_data, key.mv_size, value.mv_data,
                                    value.mv_size, err);
    if (rc) {
        return rc;
    }
    const size_t n = value.mv_size - RUB_STORE_VALUE_HEAD_BYTES;
    *data_p = rub_alloc(n + 1);
    if (!*data_p) {
        return rub_fail(err, RUB_ENOMEM, "no memory for state '%s' of %zu bytes", name, n);
    }
    memcpy(*data_p, (const uint8_t *)value.mv_data + RUB_STORE_VALUE_HEAD_BYTES, n);
    *bytes_p = n;
    return 0;
}

int rub_store_pin_each_chunk(rub_store_pin_t *pin, rub_store_visit_t visit, void *context,
                             rub_error_t *err)
{
    const rub_store_t *self = pin->store;
    MDB_cursor *cursor = NULL;
    uint8_t first[RUB_STORE_CHUNK_KEY_BYTES];
    rub_store_chunk_key(0, 0, first);
    MDB_val key = {sizeof(first), first};
    MDB_val value;
    int visited = 0;
    int rc = mdb_cursor_open(pin->txn, self->dbi, &cursor);
    rc = rc ? rc : mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    uint32_t table, chunk;
    while (!rc && rub_store_read_chunk_key(key.mv_data, key.mv_size, &table, &chunk)) {
        visited = rub_store_check_value(self->path, key.mv_data, key.mv_size, value.mv_data,
                                        value.mv_size, err);
        if (!visited) {
            visited = visit(context, table, chunk,
                            (const uint8_t *)value.mv_data + RUB_STORE_VALUE_HEAD_BYTES,
                            value.mv_size - RUB_STORE_VALUE_HEAD_BYTES, err);
        }
        if (visited) {
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    if (visited) {
        return visited;
    }
    return rc && rc != MDB_NOTFOUND ? rub_store_fail(self, err, rc, "cannot read the chunks") : 0;
}

int rub_store_get_state(rub_store_t *self, const char *name, void **data_p, size_t *bytes_p,
                        rub_error_t *err)
{
    rub_store_pin_t pin;
    *data_p = NULL;
    *bytes_p = 0;
    int rc = begin_pin(self, &pin, err);
    if (!rc) {
        rc = rub_store_pin_get_state(&pin, name, data_p, bytes_p, err);
        end_pin(&pin);
    }
    return rc;
}

int rub_store_each_chunk(rub_store_t *self, rub_store_visit_t visit, void *context,
                         rub_error_t *err)
{
    rub_store_pin_t pin;
    int rc = begin_pin(self, &pin, err);
    if (!rc) {
        rc = rub_store_pin_each_chunk(&pin, visit, context, err);
        end_pin(&pin);
    }
    return rc;
}
