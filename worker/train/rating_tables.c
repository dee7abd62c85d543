/* What the tables are, for those who train over a session, for those who look at weights at rest,
 * and for a warm start. */
#include "worker/train/rating_tables.h"

size_t rub_rating_tables(const rub_rating_kind_t *kind, uint32_t width, size_t n_users,
                         size_t n_items, const rub_update_t *update,
                         rub_delta_table_t tables[RUB_RATING_TABLES])
{
    const rub_delta_table_t vectors = {.width = width,
                                       .init = RUB_INIT_NORMAL,
                                       .init_scale = RUB_RATING_INIT_SCALE,
                                       .push_codec = update->push_codec,
                                       .pull_codec = update->pull_codec,
                                       .evict = update->evict};
    const rub_eviction_t idle = rub_update_idle(update);
    const rub_delta_table_t sums = {
        .width = RUB_RATING_SUMS, .init = RUB_INIT_ZEROS, .evict = idle};
    const rub_delta_table_t biases = {.width = 1, .init = RUB_INIT_ZEROS, .evict = idle};
    static const char *const names[] = {[RUB_RATING_USERS] = "mf/users",
                                        [RUB_RATING_USER_SUMS] = "mf/users/sums",
                                        [RUB_RATING_ITEMS] = RUB_RATING_ITEMS_NAME,
                                        [RUB_RATING_ITEM_SUMS] = "mf/items/sums",
                                        [RUB_RATING_ITEM_BIAS] = "mf/items/bias",
                                        [RUB_RATING_USER_BIAS] = "mf/users/bias"};
    tables[RUB_RATING_USERS] = tables[RUB_RATING_ITEMS] = vectors;
    tables[RUB_RATING_USER_SUMS] = tables[RUB_RATING_ITEM_SUMS] = sums;
    tables[RUB_RATING_USER_BIAS] = tables[RUB_RATING_ITEM_BIAS] = biases;
    for (int t = 0; t < RUB_RATING_TABLES; t++) {
        const bool of_users =
            t == RUB_RATING_USERS || t == RUB_RATING_USER_SUMS || t == RUB_RATING_USER_BIAS;
        tables[t].name = names[t];
        tables[t].n_keys = of_users ? n_users : n_items;
    }
    return RUB_RATING_TABLES - !kind->user_bias;
}

void rub_rating_mean_schema(double mean, rub_schema_t *schema)
{
    rub_schema_defaults(schema);
    schema->name = RUB_RATING_MEAN_NAME;
    schema->kind = RUB_DENSE;
    schema->elements = 1;
    schema->optimizer = RUB_ADD;
    schema->init = RUB_INIT_CONSTANT;
    schema->init_scale = mean;
}

void rub_rating_lists(const rub_rating_batch_t *batch, rub_key_list_t lists[RUB_RATING_TABLES])
{
    const rub_key_list_t users = {batch->user_keys, batch->n_users};
    const rub_key_list_t items = {batch->item_keys, batch->n_items};
    lists[RUB_RATING_USERS] = lists[RUB_RATING_USER_SUMS] = lists[RUB_RATING_USER_BIAS] = users;
    lists[RUB_RATING_ITEMS] = lists[RUB_RATING_ITEM_SUMS] = lists[RUB_RATING_ITEM_BIAS] = items;
}
