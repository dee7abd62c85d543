/* Why conservative, and why counters never fall: a row that is there had all its counters at `most`
 * when it was made, and then counting one more push of its key changes nothing. So the counters are
 * a function of the pushes alone, in their order, whether their rows were there or not: a replay
 * from the counters of the redo point, which counts each push again, comes to the same counters
 * whatever chunks of rows were younger than that point. */
#include "ps/push_counts.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/wire/placement.h"
#include "common/wire/table_schema.h"

enum { PER_KEY = 4, LINE_COUNTERS = 2 * RUB_PUSH_COUNTS_LINE_BYTES };

int rub_push_counts_init(rub_push_counts_t *self, uint32_t most, uint64_t n_counters,
                         uint32_t first_part, uint32_t n_parts)
{
    const uint64_t n_lines = n_counters / RUB_PARTITIONS / LINE_COUNTERS;
    RUB_ASSERT(most >= 2);
    RUB_ASSERT(most <= RUB_ADMIT_COUNT_LIMIT);
    *self = (rub_push_counts_t){.first_part = first_part,
                                .n_parts = n_parts,
                                .n_lines = n_lines > 0 ? (uint32_t)n_lines : 1};
    const size_t n_bytes = (size_t)n_parts * self->n_lines * RUB_PUSH_COUNTS_LINE_BYTES;
    self->cells = rub_alloc_aligned(RUB_PUSH_COUNTS_LINE_BYTES, n_bytes + 1);
    if (!self->cells) {
        return RUB_ENOMEM;
    }
    memset(self->cells, 0, n_bytes);
    self->most = most;
    return 0;
}

void rub_push_counts_fini(rub_push_counts_t *self)
{
    rub_free(self->cells);
    *self = (rub_push_counts_t){0};
}

size_t rub_push_counts_bytes(const rub_push_counts_t *self)
{
    return self->most > 0 ? (size_t)self->n_parts * self->n_lines * RUB_PUSH_COUNTS_LINE_BYTES : 0;
}

uint64_t rub_push_counts_size(const rub_push_counts_t *self)
{
    return 2 * (uint64_t)rub_push_counts_bytes(self);
}

uint64_t rub_push_counts_used(const rub_push_counts_t *self)
{
    const size_t n_bytes = rub_push_counts_bytes(self);
    uint64_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        n += (uint64_t)((self->cells[i] & 15u) != 0) + (uint64_t)(self->cells[i] >> 4 != 0);
    }
    return n;
}

/* A key's counters: one in each quarter of a line. */
static uint8_t *places_of(const rub_push_counts_t *self, uint64_t hash, uint32_t places[PER_KEY])
{
    const uint64_t draw = rub_mix64(hash);
    const uint64_t part = (hash >> 54) - self->first_part;
    const uint64_t line = (draw >> 32) * self->n_lines >> 32;
    RUB_ASSERT(part < self->n_parts);
    for (uint32_t i = 0; i < PER_KEY; i++) {
        places[i] = LINE_COUNTERS / PER_KEY * i + (uint32_t)(draw >> 5 * i) % 32;
    }
    return self->cells + (part * self->n_lines + line) * RUB_PUSH_COUNTS_LINE_BYTES;
}

static uint32_t counter(const uint8_t *line, uint32_t place)
{
    return line[place / 2] >> 4 * (place % 2) & 15;
}

static void raise_to(uint8_t *line, const uint32_t places[PER_KEY], uint32_t count)
{
    for (uint32_t i = 0; i < PER_KEY; i++) {
        if (counter(line, places[i]) < count) {
            const uint32_t shift = 4 * (places[i] % 2);
            uint8_t *cell = &line[places[i] / 2];
            *cell = (uint8_t)((*cell & ~(15u << shift)) | count << shift);
        }
    }
}

bool rub_push_counts_add(rub_push_counts_t *self, uint64_t hash)
{
    uint32_t places[PER_KEY];
    uint8_t *line = places_of(self, hash, places);
    uint32_t least = self->most;
    for (uint32_t i = 0; i < PER_KEY; i++) {
        const uint32_t one = counter(line, places[i]);
        least = one < least ? one : least;
    }
    if (least < self->most) {
        raise_to(line, places, ++least);
    }
    return least == self->most;
}

void rub_push_counts_fill(rub_push_counts_t *self, uint64_t hash)
{
    uint32_t places[PER_KEY];
    uint8_t *line = places_of(self, hash, places);
    raise_to(line, places, self->most);
}

int rub_push_counts_take(rub_push_counts_t *self, uint32_t first_part, uint32_t n_parts,
                         const uint8_t *bytes, size_t n_bytes, rub_error_t *err)
{
    const size_t part_bytes = (size_t)self->n_lines * RUB_PUSH_COUNTS_LINE_BYTES;
    if (n_parts > RUB_PARTITIONS || first_part > RUB_PARTITIONS - n_parts ||
        n_bytes != n_parts * part_bytes) {
        return rub_fail(err, RUB_ESHAPE, "counts of %u partitions from %u on in %zu bytes", n_parts,
                        first_part, n_bytes);
    }
    for (size_t i = 0; i < n_bytes; i++) {
        if ((bytes[i] & 15u) > self->most || bytes[i] >> 4 > self->most) {
            return rub_fail(err, RUB_ECORRUPT, "a count is above %u", self->most);
        }
    }
    for (uint32_t part = first_part; part < first_part + n_parts; part++) {
        if (part >= self->first_part && part < self->first_part + self->n_parts) {
            memcpy(self->cells + (part - self->first_part) * part_bytes,
                   bytes + (part - first_part) * part_bytes, part_bytes);
        }
    }
    return 0;
}
