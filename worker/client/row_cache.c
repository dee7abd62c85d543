/* One block of memory: records of equal size, then an index of twice to four thirds as many places,
 * probed linearly. A place holds a record's number and 32 bits of its key's hash, the lowest of
 * which say where its run begins, so that records are only looked at when they are probably the
 * right ones, and entries can move without looking at records at all.
 *
 * CLOCK: a hand goes round the records; one that was asked for since the hand came by is spared
 * once, any other gives its place away. A new record has not been asked for again yet: a scan of
 * rows that nobody wants twice drives out none that are wanted often. LRU would cost two list
 * updates for each hit; CLOCK costs a flag.
 *
 * Lookups walk ahead in small groups, as a shard's do (ps/table_index): most of a cold row's time
 * is waiting for memory. Deletion closes the gap (Knuth, The Art of Computer Programming 3, 6.4,
 * algorithm R): no tombstones, so a cache that replaces rows for days probes as few places as a new
 * one. Invariant: a place is free within every run, because at most three quarters are taken. */
#include "worker/client/row_cache.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdbool.h>
#include <string.h>

enum {
    GROUP = 16, /* keys whose memory is asked for at once */
    LINE_BYTES = 64,
    AHEAD_LINES = 5 /* of a record: all of one of width 64 */
};

#define HUGE_BYTES ((size_t)2 << 20)
#define HUGE_FROM_BYTES ((size_t)8 << 20) /* below, rounding to huge pages would cost too much */
#define ROWS_MOST (UINT32_MAX / 2)

typedef struct record {
    uint64_t key, version, as_of_ms;
    uint8_t exists, wanted; /* wanted: asked for since the hand came by */
    float values[];
} record_t;

typedef struct place {
    uint32_t hash;
    uint32_t number; /* of the record, from 1; 0: free */
} place_t;

struct rub_row_cache {
    uint32_t width;
    size_t record_bytes, block_bytes;
    uint8_t *block; /* limit_rows records, then the places */
    place_t *places;
    size_t n_places; /* a power of two */
    size_t n_rows, limit_rows, hand;
    bool is_region;
};

/* ---- how the memory is cut ---- */

static size_t record_bytes_of(uint32_t width)
{
    const size_t bytes = offsetof(record_t, values) + (size_t)width * sizeof(float);
    return (bytes + 7) / 8 * 8;
}

/* How many rows there are room for when so many places stand behind them. */
static size_t rows_beside(size_t n_places, size_t record_bytes, size_t limit_bytes)
{
    const size_t places_bytes = n_places * sizeof(place_t);
    const size_t most = n_places / 4 * 3;
    const size_t rows =
        limit_bytes > places_bytes ? (limit_bytes - places_bytes) / record_bytes : 0;
    return rows < most ? rows : most;
}

/* The number of places with which most rows fit. */
static size_t places_of(size_t record_bytes, size_t limit_bytes)
{
    size_t best = 4;
    for (size_t n = 4; n * sizeof(place_t) < limit_bytes && n / 4 * 3 <= ROWS_MOST; n *= 2) {
        if (rows_beside(n, record_bytes, limit_bytes) >
            rows_beside(best, record_bytes, limit_bytes)) {
            best = n;
        }
    }
    return best;
}

size_t rub_row_cache_least_bytes(uint32_t width)
{
    return record_bytes_of(width) + 4 * sizeof(place_t);
}

rub_row_cache_t *rub_row_cache_new(uint32_t width, size_t limit_bytes)
{
    RUB_ASSERT(width >= 1);
    RUB_ASSERT(limit_bytes >= rub_row_cache_least_bytes(width));
    rub_row_cache_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->is_region = limit_bytes >= HUGE_FROM_BYTES;
    limit_bytes -= self->is_region ? limit_bytes % HUGE_BYTES : 0;
    self->width = width;
    self->record_bytes = record_bytes_of(width);
    self->n_places = places_of(self->record_bytes, limit_bytes);
    self->limit_rows = rows_beside(self->n_places, self->record_bytes, limit_bytes);
    const size_t records_bytes = self->limit_rows * self->record_bytes;
    self->block_bytes = records_bytes + self->n_places * sizeof(place_t);
    self->block =
        self->is_region ? rub_region_alloc(self->block_bytes) : rub_calloc(1, self->block_bytes);
    if (!self->block) {
        rub_free(self);
        return NULL;
    }
    self->places = (place_t *)(void *)(self->block + records_bytes);
    return self;
}

void rub_row_cache_destroy(rub_row_cache_t **self_p)
{
    rub_row_cache_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->is_region) {
        rub_region_free(self->block, self->block_bytes);
    } else {
        rub_free(self->block);
    }
    rub_free(self);
}

void rub_row_cache_clear(rub_row_cache_t *self)
{
    if (self->n_rows > 0) {
        memset(self->places, 0, self->n_places * sizeof(place_t));
        self->n_rows = self->hand = 0;
    }
}

size_t rub_row_cache_rows(const rub_row_cache_t *self)
{
    return self->n_rows;
}

size_t rub_row_cache_limit_rows(const rub_row_cache_t *self)
{
    return self->limit_rows;
}

size_t rub_row_cache_bytes(const rub_row_cache_t *self)
{
    return self->n_rows * self->record_bytes + self->n_places * sizeof(place_t);
}

/* ---- finding ---- */

static uint32_t hash_of(uint64_t key)
{
    return (uint32_t)(rub_mix64(key) >> 32);
}

static record_t *record_at(const rub_row_cache_t *self, size_t number)
{
    return (record_t *)(void *)(self->block + (number - 1) * self->record_bytes);
}

static size_t next_place(const rub_row_cache_t *self, size_t place)
{
    return (place + 1) & (self->n_places - 1);
}

/* The first place from there on whose hash is this one, or the free place at the run's end. */
static size_t probe(const rub_row_cache_t *self, uint32_t hash, size_t place)
{
    while (self->places[place].number && self->places[place].hash != hash) {
        place = next_place(self, place);
    }
    return place;
}

static size_t home_of(const rub_row_cache_t *self, uint32_t hash)
{
    return hash & (self->n_places - 1);
}

/* The place of the key, or the free one at the end of its run. */
static size_t find(const rub_row_cache_t *self, uint32_t hash, uint64_t key)
{
    size_t place = probe(self, hash, home_of(self, hash));
    while (self->places[place].number && record_at(self, self->places[place].number)->key != key) {
        place = probe(self, hash, next_place(self, place));
    }
    return place;
}

static void prefetch_record(const rub_row_cache_t *self, size_t number)
{
    const uint8_t *record = (const uint8_t *)record_at(self, number);
    size_t lines = (self->record_bytes + LINE_BYTES - 1) / LINE_BYTES;
    lines = lines < AHEAD_LINES ? lines : AHEAD_LINES;
    for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch(record + i * LINE_BYTES);
    }
}

/* The group's keys, before anything of them is needed: first the places, then the records. */
static void walk_ahead(const rub_row_cache_t *self, const uint64_t *keys, size_t n,
                       uint32_t hashes[GROUP])
{
    for (size_t i = 0; i < n; i++) {
        hashes[i] = hash_of(keys[i]);
        __builtin_prefetch(&self->places[home_of(self, hashes[i])]);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t number = self->places[probe(self, hashes[i], home_of(self, hashes[i]))].number;
        if (number) {
            prefetch_record(self, number);
        }
    }
}

size_t rub_row_cache_take(rub_row_cache_t *self, const uint64_t *keys, size_t n, uint64_t oldest_ms,
                          float *values, uint8_t *exists, uint32_t *missing)
{
    uint32_t hashes[GROUP];
    size_t n_missing = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % GROUP == 0) {
            walk_ahead(self, keys + i, n - i < GROUP ? n - i : GROUP, hashes);
        }
        const size_t number = self->places[find(self, hashes[i % GROUP], keys[i])].number;
        record_t *record = number ? record_at(self, number) : NULL;
        if (!record || record->as_of_ms < oldest_ms) {
            missing[n_missing++] = (uint32_t)i;
            continue;
        }
        if (!record->wanted) {
            record->wanted = 1;
        }
        memcpy(values + i * self->width, record->values, self->width * sizeof(float));
        if (exists) {
            exists[i] = record->exists;
        }
    }
    return n_missing;
}

/* ---- keeping ---- */

/* Takes the entry out of its run. What stands behind it in the run moves up, unless it would come
 * to stand before its home. */
static void close_gap(rub_row_cache_t *self, size_t gap)
{
    const size_t mask = self->n_places - 1;
    for (size_t at = next_place(self, gap); self->places[at].number; at = next_place(self, at)) {
        const size_t home = home_of(self, self->places[at].hash);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            self->places[gap] = self->places[at];
            gap = at;
        }
    }
    self->places[gap] = (place_t){0};
}

/* A record for a new row: an unused one, or the one on which the hand comes to stand. The hand goes
 * round once at most before it finds somebody that it has not spared. */
static size_t make_room(rub_row_cache_t *self, uint64_t oldest_ms)
{
    if (self->n_rows < self->limit_rows) {
        return ++self->n_rows;
    }
    for (;;) {
        self->hand = self->hand % self->limit_rows + 1;
        record_t *record = record_at(self, self->hand);
        if (!record->wanted || record->as_of_ms < oldest_ms) {
            close_gap(self, find(self, hash_of(record->key), record->key));
            return self->hand;
        }
        record->wanted = 0;
    }
}

void rub_row_cache_expect(const rub_row_cache_t *self, uint64_t key)
{
    __builtin_prefetch(&self->places[home_of(self, hash_of(key))]);
    if (self->n_rows < self->limit_rows) {
        return;
    }
    /* Who will have to go: its record first, and once that is here, its place. */
    const size_t next = (self->hand + RUB_ROW_CACHE_AHEAD) % self->limit_rows + 1;
    const size_t near = (self->hand + RUB_ROW_CACHE_AHEAD / 2) % self->limit_rows + 1;
    prefetch_record(self, next);
    __builtin_prefetch(&self->places[home_of(self, hash_of(record_at(self, near)->key))]);
}

static void write_record(const rub_row_cache_t *self, record_t *record, const rub_cached_row_t *row)
{
    record->version = row->version;
    record->exists = row->exists;
    memcpy(record->values, row->values, self->width * sizeof(float));
}

void rub_row_cache_put(rub_row_cache_t *self, const rub_cached_row_t *row, uint64_t oldest_ms)
{
    const uint32_t hash = hash_of(row->key);
    const size_t known = self->places[find(self, hash, row->key)].number;
    if (known) {
        record_t *record = record_at(self, known);
        if (row->version < record->version) {
            return;
        }
        write_record(self, record, row);
        /* The shard has answered this version after the other one, whenever it was asked for it. */
        record->as_of_ms = row->as_of_ms > record->as_of_ms ? row->as_of_ms : record->as_of_ms;
        record->wanted = 1;
        return;
    }
    const size_t number = make_room(self, oldest_ms);
    record_t *record = record_at(self, number);
    record->key = row->key;
    record->as_of_ms = row->as_of_ms;
    record->wanted = 0;
    write_record(self, record, row);
    self->places[find(self, hash, row->key)] = (place_t){.hash = hash, .number = (uint32_t)number};
}
