/* Tables: the first to come creates one, everybody else opens it with exactly the same schema.
 *
 * TABLE_OK promises that every shard can take pushes to the table, so it waits until each has
 * acknowledged a view that holds it. Who waits is only remembered to answer sooner: the client asks
 * again anyway. */
#include "common/base/alloc.h"
#include "common/num/optimizer.h"
#include "common/wire/table_schema.h"
#include "scheduler/scheduler_internal.h"

#include <math.h>

static rub_table_entry_t *find_table(rub_scheduler_t *self, const char *name)
{
    for (uint32_t i = 0; i < self->n_tables; i++) {
        if (strcmp(self->tables[i].schema.name, name) == 0) {
            return &self->tables[i];
        }
    }
    return NULL;
}

static int check_schema(const rub_table_view_t *schema, rub_error_t *err)
{
    const rub_optimizer_t *optimizer = rub_optimizer_find(schema->optimizer);
    const rub_hyper_t hyper = rub_schema_hyper(schema);
    if (!schema->name[0]) {
        return rub_fail(err, RUB_EINVAL, "a table without a name");
    }
    if (schema->kind > RUB_HASHED || !optimizer || schema->init > RUB_INIT_NORMAL) {
        return rub_fail(err, RUB_EINVAL,
                        "table '%s': kind %u, optimizer %u, initializer %u: not known",
                        schema->name, schema->kind, schema->optimizer, schema->init);
    }
    if (schema->kind == RUB_DENSE && schema->elements == 0) {
        return rub_fail(err, RUB_EINVAL, "table '%s': dense with 0 elements, at least 1",
                        schema->name);
    }
    if (schema->kind == RUB_HASHED && (schema->width == 0 || schema->width > RUB_WIDTH_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': width %u, 1 to %u", schema->name,
                        schema->width, RUB_WIDTH_LIMIT);
    }
    if (!isfinite(schema->init_scale)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': init_scale is not finite", schema->name);
    }
    const rub_eviction_t evict = rub_schema_eviction(schema);
    int rc = rub_optimizer_check_table(optimizer, schema->kind, &hyper, err);
    rc = rc ? rc : rub_eviction_check(&evict, schema->kind, err);
    const rub_admission_t admit = rub_schema_admission(schema);
    rc = rc ? rc : rub_admission_check(&admit, schema->kind, err);
    return rc ? rub_wrap(err, rc, "table '%s'", schema->name) : 0;
}

static int same_schema(const rub_table_view_t *have, const rub_table_view_t *asked,
                       rub_error_t *err)
{
    rub_schema_difference_t difference;
    return rub_schemas_differ(have, asked, &difference)
               ? rub_fail(err, RUB_ESCHEMA, "table '%s' exists with %s, asked for %s", have->name,
                          difference.one, difference.other)
               : 0;
}

static int create_table(rub_scheduler_t *self, const rub_table_view_t *schema, rub_error_t *err)
{
    if (self->n_tables >= RUB_TABLES_LIMIT ||
        rub_scheduler_view_bytes(self, 0, 1) > RUB_VIEW_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "table '%s': the job has %u tables and takes no more",
                        schema->name, self->n_tables);
    }
    if (rub_grow(&self->tables, &self->tables_capacity, self->n_tables + 1u, sizeof *self->tables) <
        0) {
        self->fatal = RUB_ENOMEM;
        return rub_fail(err, RUB_ENOMEM, "table '%s': out of memory", schema->name);
    }
    rub_table_entry_t *table = &self->tables[self->n_tables++];
    *table = (rub_table_entry_t){.schema = *schema, .version = self->version + 1};
    table->schema.id = self->n_tables;
    rub_scheduler_change(self);
    rub_scheduler_notice(self, "table '%s' is number %u", schema->name, table->schema.id);
    return 0;
}

int rub_scheduler_add_table(rub_scheduler_t *self, const rub_table_view_t *schema, uint32_t *id_p,
                            rub_error_t *err)
{
    if (find_table(self, schema->name)) {
        return rub_fail(err, RUB_ESCHEMA, "table '%s' is there already", schema->name);
    }
    int rc = check_schema(schema, err);
    rc = rc ? rc : create_table(self, schema, err);
    *id_p = self->n_tables;
    return rc;
}

static void remember_waiter(rub_scheduler_t *self, rub_caller_t from, uint32_t id)
{
    for (size_t i = 0; i < self->n_waiters; i++) {
        if (self->waiters[i].caller == from && self->waiters[i].table == id) {
            return;
        }
    }
    if (self->n_waiters >= RUB_RANKS_LIMIT) {
        return; /* it will ask again */
    }
    if (rub_grow(&self->waiters, &self->waiters_capacity, self->n_waiters + 1,
                 sizeof *self->waiters) < 0) {
        self->fatal = RUB_ENOMEM;
        return;
    }
    self->waiters[self->n_waiters++] = (rub_table_waiter_t){.caller = from, .table = id};
}

void rub_scheduler_table(rub_scheduler_t *self, rub_caller_t from, const rub_table_ask_t *ask)
{
    rub_error_t err = {0};
    if (rub_scheduler_over(self)) {
        rub_scheduler_refuse_over(self, from, RUB_MSG_TABLE);
        return;
    }
    if (ask->n_schema != 1) {
        rub_fail(&err, RUB_EPROTO, "TABLE with %u schemas, exactly one", ask->n_schema);
        rub_scheduler_refuse(self, from, RUB_MSG_TABLE, &err, true);
        return;
    }
    const rub_table_view_t *schema = &ask->schema[0];
    int rc = check_schema(schema, &err);
    rub_table_entry_t *table = rc == 0 ? find_table(self, schema->name) : NULL;
    if (rc == 0) {
        rc = table ? same_schema(&table->schema, schema, &err) : create_table(self, schema, &err);
    }
    if (rc < 0) {
        rub_scheduler_refuse(self, from, RUB_MSG_TABLE, &err, true);
        return;
    }
    remember_waiter(self, from, table ? table->schema.id : self->n_tables);
}

static bool all_shards_have(const rub_scheduler_t *self, uint64_t version)
{
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        if (!self->shards[i].incarnation || self->shards[i].audience.acked_version < version) {
            return false;
        }
    }
    return true;
}

void rub_scheduler_tables_settle(rub_scheduler_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->n_waiters; i++) {
        const rub_table_entry_t *table = &self->tables[self->waiters[i].table - 1];
        if (!all_shards_have(self, table->version)) {
            self->waiters[kept++] = self->waiters[i];
            continue;
        }
        rub_control_t reply = {.type = RUB_MSG_TABLE_OK,
                               .table_ok = {.id = table->schema.id, .version = table->version}};
        rub_scheduler_text(reply.table_ok.name, sizeof reply.table_ok.name, table->schema.name);
        rub_scheduler_say(self, self->waiters[i].caller, &reply);
    }
    self->n_waiters = kept;
}
