/* Growing and filling the index; looking up is inline in the header, because it is the inner loop
 * of every sparse push and pull. Invariant: at most five eighths of a partition's entries are full,
 * so a search that finds nothing takes about four probes, all of them in one or two cache lines
 * (Knuth, vol. 3, section 6.4). Rows are never removed. */
#include "ps/table_index.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

enum { FIRST_ENTRIES = 16 };

int rub_index_init(rub_table_index_t *self, uint32_t first_part, uint32_t n_parts)
{
    *self = (rub_table_index_t){.first_part = first_part, .n_parts = n_parts};
    self->parts = rub_calloc(n_parts, sizeof *self->parts);
    self->memory_bytes = n_parts * sizeof *self->parts;
    return self->parts != NULL ? 0 : RUB_ENOMEM;
}

void rub_index_fini(rub_table_index_t *self)
{
    for (uint32_t i = 0; self->parts != NULL && i < self->n_parts; i++) {
        rub_free(self->parts[i].entries);
    }
    rub_free(self->parts);
    *self = (rub_table_index_t){0};
}

static void entry_put(rub_index_part_t *part, uint64_t hash, uint32_t row)
{
    uint32_t at = (uint32_t)hash & part->mask;
    while (part->entries[at] != 0) {
        at = (at + 1) & part->mask;
    }
    part->entries[at] = (row + 1) << 7 | rub_index_tag(hash);
}

static int part_grow(rub_table_index_t *self, rub_index_part_t *part, rub_index_hash_t hash_of,
                     const void *context)
{
    const uint32_t old_entries = part->entries != NULL ? part->mask + 1 : 0;
    const uint32_t n_entries = old_entries > 0 ? old_entries * 2 : FIRST_ENTRIES;
    rub_index_part_t grown = {
        .entries = rub_calloc(n_entries, sizeof *grown.entries),
        .mask = n_entries - 1,
        .n_rows = part->n_rows,
    };
    if (grown.entries == NULL) {
        return RUB_ENOMEM;
    }
    for (uint32_t i = 0; i < old_entries; i++) {
        if (part->entries[i] != 0) {
            const uint32_t row = (part->entries[i] >> 7) - 1;
            entry_put(&grown, hash_of(context, row), row);
        }
    }
    self->memory_bytes += (size_t)(n_entries - old_entries) * sizeof *grown.entries;
    rub_free(part->entries);
    *part = grown;
    return 0;
}

int rub_index_reserve(rub_table_index_t *self, uint64_t hash, rub_index_hash_t hash_of,
                      const void *context)
{
    rub_index_part_t *part = rub_index_part(self, hash);
    if (part->entries != NULL &&
        (part->n_rows + 1) * UINT64_C(8) <= (part->mask + 1) * UINT64_C(5)) {
        return 0;
    }
    return part_grow(self, part, hash_of, context);
}

void rub_index_insert(rub_table_index_t *self, uint64_t hash, uint32_t row)
{
    rub_index_part_t *part = rub_index_part(self, hash);
    RUB_ASSERT(row < RUB_INDEX_ROWS_LIMIT);
    entry_put(part, hash, row);
    part->n_rows++;
}

void rub_index_replace(rub_table_index_t *self, uint64_t hash, uint32_t at, uint32_t row)
{
    rub_index_part_t *part = rub_index_part(self, hash);
    RUB_ASSERT(row < RUB_INDEX_ROWS_LIMIT);
    part->entries[at & part->mask] = (row + 1) << 7 | rub_index_tag(hash);
}
