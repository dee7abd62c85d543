/* Creating or opening a table: asked until TABLE_OK names it and the view that holds it has
 * arrived. The scheduler answers when every shard has that view, so the first push cannot meet a
 * shard that does not know the table. A view whose table is not the one asked for, or not the one
 * it was in the view before, is refused: its rows would be read in another shape. */
#include "common/num/optimizer.h"
#include "common/wire/table_schema.h"
#include "worker/client/client_internal.h"

#include <math.h>
#include <string.h>

static int check_schema(const rub_schema_t *schema, rub_error_t *err)
{
    const size_t length = schema->name ? strnlen(schema->name, 64) : 0;
    if (length == 0 || length > 63) {
        return rub_fail(err, RUB_EINVAL, "table: a name of %zu bytes, expected 1 to 63", length);
    }
    const char *name = schema->name;
    if (schema->kind != RUB_DENSE && schema->kind != RUB_HASHED) {
        return rub_fail(err, RUB_EINVAL, "table '%s': kind %d does not exist", name, schema->kind);
    }
    if (schema->kind == RUB_DENSE && (schema->elements < 1 || schema->elements > RUB_DENSE_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': %llu elements, expected 1 to %llu", name,
                        (unsigned long long)schema->elements, (unsigned long long)RUB_DENSE_LIMIT);
    }
    if (schema->kind == RUB_HASHED && (schema->width < 1 || schema->width > RUB_WIDTH_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': width %u, expected 1 to %u", name,
                        schema->width, RUB_WIDTH_LIMIT);
    }
    const rub_optimizer_t *optimizer = rub_optimizer_find((uint32_t)schema->optimizer);
    if (!optimizer || (unsigned)schema->init > RUB_INIT_NORMAL) {
        return rub_fail(err, RUB_EINVAL, "table '%s': optimizer %d or initializer %d unknown", name,
                        schema->optimizer, schema->init);
    }
    if (!isfinite(schema->init_scale)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': init_scale is not finite", name);
    }
    int rc = rub_optimizer_check_table(optimizer, (uint32_t)schema->kind, &schema->hyper, err);
    rc = rc ? rc : rub_eviction_check(&schema->evict, (uint32_t)schema->kind, err);
    const rub_admission_t admit = {
        .probability = schema->admit_probability,
        .count = schema->admit_count,
        .counters = schema->admit_counters == 0 ? RUB_ADMIT_COUNTERS : schema->admit_counters};
    rc = rc ? rc : rub_admission_check(&admit, (uint32_t)schema->kind, err);
    return rc ? rub_wrap(err, rc, "table '%s'", name) : 0;
}

int rub_client_table_open(rub_client_t *self, const rub_schema_t *schema, rub_handle_t *handle_p,
                          rub_error_t *err)
{
    int rc = rub_client_usable(self, err);
    if (!rc) {
        rc = check_schema(schema, err);
    }
    if (!rc) {
        rc = rub_operation_start(self, RUB_OP_TABLE, handle_p, err);
    }
    if (rc) {
        return rc;
    }
    rub_hyper_t hyper = schema->hyper;
    rub_optimizer_trim(rub_optimizer_find((uint32_t)schema->optimizer), &hyper);
    self->wanted = (rub_wanted_table_t){0};
    rub_schema_to_view(schema, &hyper, &self->wanted.schema);
    rub_operation_advance(self);
    return 0;
}

/* The table's number once TABLE_OK and its view are here; 0: not yet. By name, because the caller
 * holds only that. */
static bool is_here(const rub_client_t *self)
{
    return self->wanted.id != 0 && self->view->version >= self->wanted.version &&
           rub_client_find_table(self, self->wanted.id);
}

rub_table_t rub_client_table_result(const rub_client_t *self)
{
    return self->wanted.id;
}

int rub_client_table_schema(const rub_client_t *self, rub_table_t table, rub_schema_t *schema,
                            rub_error_t *err)
{
    const rub_client_table_t *found = rub_client_find_table(self, table);
    if (!found) {
        return rub_fail(err, RUB_ENOTABLE, "the job has no table of number %u", table);
    }
    const rub_table_view_t *view = found->schema;
    *schema = (rub_schema_t){
        .name = view->name,
        .kind = (rub_table_kind_t)view->kind,
        .elements = view->kind == RUB_DENSE ? view->elements : 0,
        .width = view->kind == RUB_HASHED ? view->width : 0,
        .optimizer = (rub_optimizer_kind_t)view->optimizer,
        .hyper = rub_schema_hyper(view),
        .init = (rub_init_kind_t)view->init,
        .init_scale = view->init_scale,
        .evict = rub_schema_eviction(view),
        .admit_probability = view->admit_probability,
        .admit_count = view->admit_count,
        .admit_counters = view->admit_counters,
    };
    return 0;
}

/* What came is what was asked for. RUB_ESCHEMA. */
static int check_wanted(const rub_client_t *self, rub_error_t *err)
{
    const rub_table_view_t *wanted = &self->wanted.schema;
    const rub_table_view_t *have = rub_client_find_table(self, self->wanted.id)->schema;
    rub_schema_difference_t difference;
    if (strcmp(have->name, wanted->name) != 0) {
        return rub_fail(err, RUB_ESCHEMA, "table %u is '%s' in the view, opened was '%s'", have->id,
                        have->name, wanted->name);
    }
    return rub_schemas_differ(have, wanted, &difference)
               ? rub_fail(err, RUB_ESCHEMA, "table '%s' has %s in the view, opened with %s",
                          have->name, difference.one, difference.other)
               : 0;
}

int rub_table_check_view(const rub_client_t *self, const rub_view_t *view, rub_error_t *err)
{
    for (uint32_t i = 0; self->view && i < self->view->n_tables; i++) {
        const rub_table_view_t *had = &self->view->tables[i];
        const rub_table_view_t *has = NULL;
        for (uint32_t k = 0; k < view->n_tables && !has; k++) {
            has = view->tables[k].id == had->id ? &view->tables[k] : NULL;
        }
        rub_schema_difference_t difference;
        if (!has || strcmp(has->name, had->name) != 0) {
            return rub_fail(err, RUB_ESCHEMA, "view: table %u is '%s', it was '%s'", had->id,
                            has ? has->name : "", had->name);
        }
        if (rub_schemas_differ(has, had, &difference)) {
            return rub_fail(err, RUB_ESCHEMA, "view: table '%s' has %s, it had %s", had->name,
                            difference.one, difference.other);
        }
    }
    return 0;
}

void rub_table_advance(rub_client_t *self)
{
    if (is_here(self)) {
        rub_error_t err;
        const int rc = check_wanted(self, &err);
        rub_operation_end(self, self->active, rc, rc ? err.message : NULL);
        return;
    }
    if (self->wanted.id != 0) {
        self->rumoured_version = self->wanted.version; /* asks for the view should it not come */
        return;
    }
    if (rub_operation_due(self, RUB_ASK_EVERY_MS)) {
        const rub_control_t message = {
            .type = RUB_MSG_TABLE, .table_ask = {.schema = &self->wanted.schema, .n_schema = 1}};
        self->effects.control(self->effects.context, &message);
    }
}
