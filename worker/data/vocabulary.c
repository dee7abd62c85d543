/* Words and their counts.
 *
 * Idea: texts lie one behind the other in an arena; an open-addressing index of numbers finds them,
 * half full at most, each place with the hash's upper half beside the number, so that a text is
 * compared about once per look-up. Settling sorts the numbers, moves texts and counts to their new
 * places and builds the index anew. Invariant: place p of the index is 0, or a number + 1 whose
 * word hashes to a place at or before p with no empty place between. */
#include "worker/data/vocabulary.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "worker/data/line_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PLACES = 1 << 12, COUNT_DIGITS = 24 };

typedef struct place {
    uint32_t number_plus_1;
    uint32_t tag;
} place_t;

typedef struct entry {
    const char *word;
    uint32_t bytes;
    uint32_t number; /* for sorting */
    uint64_t count;
} entry_t;

struct rub_vocabulary {
    rub_arena_t texts;
    entry_t *entries;
    size_t n_entries, entries_capacity;
    place_t *places;
    size_t n_places;  /* a power of 2 */
    uint64_t *counts; /* once settled */
};

rub_vocabulary_t *rub_vocabulary_new(void)
{
    rub_vocabulary_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    rub_arena_init(&self->texts);
    self->n_places = FIRST_PLACES;
    self->places = rub_calloc(self->n_places, sizeof *self->places);
    if (self->places == NULL) {
        rub_vocabulary_destroy(&self);
    }
    return self;
}

void rub_vocabulary_destroy(rub_vocabulary_t **self_p)
{
    rub_vocabulary_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_arena_fini(&self->texts);
    rub_free(self->entries);
    rub_free(self->places);
    rub_free(self->counts);
    rub_free(self);
    *self_p = NULL;
}

/* The place of the word, or the empty place where it belongs. */
static place_t *find_place(const rub_vocabulary_t *self, const char *word, size_t bytes,
                           uint64_t hash)
{
    const uint32_t tag = (uint32_t)(hash >> 32);
    size_t p = (size_t)hash & (self->n_places - 1);
    for (;; p = (p + 1) & (self->n_places - 1)) {
        place_t *place = &self->places[p];
        if (place->number_plus_1 == 0) {
            return place;
        }
        const entry_t *entry = &self->entries[place->number_plus_1 - 1];
        if (place->tag == tag && entry->bytes == bytes && memcmp(entry->word, word, bytes) == 0) {
            return place;
        }
    }
}

static void index_all(rub_vocabulary_t *self)
{
    memset(self->places, 0, self->n_places * sizeof *self->places);
    for (size_t i = 0; i < self->n_entries; i++) {
        const entry_t *entry = &self->entries[i];
        const uint64_t hash = rub_hash_bytes(entry->word, entry->bytes);
        *find_place(self, entry->word, entry->bytes, hash) =
            (place_t){(uint32_t)i + 1, (uint32_t)(hash >> 32)};
    }
}

static int make_room(rub_vocabulary_t *self, rub_error_t *err)
{
    if (self->n_entries == RUB_VOCABULARY_LIMIT) {
        return rub_fail(err, RUB_EDATA, "the text has more than %u different words",
                        RUB_VOCABULARY_LIMIT);
    }
    int rc = rub_grow(&self->entries, &self->entries_capacity, self->n_entries + 1,
                      sizeof *self->entries);
    if (rc == 0 && 2 * (self->n_entries + 1) > self->n_places) {
        place_t *places = rub_calloc(2 * self->n_places, sizeof *places);
        rc = places != NULL ? 0 : RUB_ENOMEM;
        if (places != NULL) {
            rub_free(self->places);
            self->places = places;
            self->n_places *= 2;
            index_all(self);
        }
    }
    return rc == 0 ? 0 : rub_fail(err, rc, "vocabulary: no memory for %zu words", self->n_entries);
}

int rub_vocabulary_add(rub_vocabulary_t *self, const char *word, size_t bytes, uint32_t *number_p,
                       rub_error_t *err)
{
    return rub_vocabulary_add_counted(self, word, bytes, 1, number_p, err);
}

int rub_vocabulary_add_counted(rub_vocabulary_t *self, const char *word, size_t bytes,
                               uint64_t count, uint32_t *number_p, rub_error_t *err)
{
    const uint64_t hash = rub_hash_bytes(word, bytes);
    place_t *place = find_place(self, word, bytes, hash);
    if (place->number_plus_1 == 0) {
        const int rc = make_room(self, err);
        if (rc != 0) {
            return rc;
        }
        char *text = rub_arena_alloc(&self->texts, bytes + 1);
        if (text == NULL) {
            return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %zu words",
                            self->n_entries);
        }
        memcpy(text, word, bytes);
        text[bytes] = '\0';
        self->entries[self->n_entries++] = (entry_t){.word = text, .bytes = (uint32_t)bytes};
        place = find_place(self, word, bytes, hash); /* the index may have grown */
        *place = (place_t){(uint32_t)self->n_entries, (uint32_t)(hash >> 32)};
    }
    *number_p = place->number_plus_1 - 1;
    self->entries[*number_p].count += count;
    return 0;
}

static int by_count_then_bytes(const void *a, const void *b)
{
    const entry_t *x = a;
    const entry_t *y = b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return strcmp(x->word, y->word); /* no word holds a byte 0 that a text file gives */
}

int rub_vocabulary_settle(rub_vocabulary_t *self, uint64_t min_count, uint32_t **numbers_p,
                          rub_error_t *err)
{
    const size_t n_before = self->n_entries;
    *numbers_p = rub_alloc((n_before + 1) * sizeof **numbers_p);
    if (*numbers_p == NULL) {
        return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %zu words", n_before);
    }
    for (size_t i = 0; i < n_before; i++) {
        self->entries[i].number = (uint32_t)i;
        (*numbers_p)[i] = RUB_NO_WORD;
    }
    if (n_before > 0) {
        qsort(self->entries, n_before, sizeof *self->entries, by_count_then_bytes);
    }
    while (self->n_entries > 0 && self->entries[self->n_entries - 1].count < min_count) {
        self->n_entries--;
    }
    rub_free(self->counts);
    self->counts = rub_alloc((self->n_entries + 1) * sizeof *self->counts);
    if (self->counts == NULL) {
        rub_free(*numbers_p);
        *numbers_p = NULL;
        return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %zu words", self->n_entries);
    }
    for (size_t i = 0; i < self->n_entries; i++) {
        (*numbers_p)[self->entries[i].number] = (uint32_t)i;
        self->counts[i] = self->entries[i].count;
    }
    index_all(self);
    return 0;
}

size_t rub_vocabulary_size(const rub_vocabulary_t *self)
{
    return self->n_entries;
}

const char *rub_vocabulary_word(const rub_vocabulary_t *self, uint32_t number)
{
    RUB_ASSERT(number < self->n_entries);
    return self->entries[number].word;
}

uint64_t rub_vocabulary_count(const rub_vocabulary_t *self, uint32_t number)
{
    RUB_ASSERT(number < self->n_entries);
    return self->entries[number].count;
}

const uint64_t *rub_vocabulary_counts(const rub_vocabulary_t *self)
{
    RUB_ASSERT(self->counts != NULL);
    return self->counts;
}

uint32_t rub_vocabulary_find(const rub_vocabulary_t *self, const char *word, size_t bytes)
{
    const place_t *place = find_place(self, word, bytes, rub_hash_bytes(word, bytes));
    return place->number_plus_1 == 0 ? RUB_NO_WORD : place->number_plus_1 - 1;
}

int rub_vocabulary_save(const rub_vocabulary_t *self, const char *path, rub_error_t *err)
{
    size_t limit = 1;
    for (size_t i = 0; i < self->n_entries; i++) {
        limit += self->entries[i].bytes + COUNT_DIGITS;
    }
    char *text = rub_alloc(limit);
    if (text == NULL) {
        return rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %zu bytes", limit);
    }
    size_t used = 0;
    for (size_t i = 0; i < self->n_entries; i++) {
        used += (size_t)snprintf(text + used, limit - used, "%s %" PRIu64 "\n",
                                 self->entries[i].word, self->entries[i].count);
    }
    const int rc = rub_fs_write(path, text, used, err);
    rub_free(text);
    return rc;
}

/* ---- reading ---- */

static int take_line(rub_vocabulary_t *self, const rub_line_reader_t *lines, const char *line,
                     size_t bytes, rub_error_t *err)
{
    const char *space = memrchr(line, ' ', bytes);
    uint64_t count = 0;
    uint32_t number = 0;
    const char *end = space ? rub_decimal_scan_u64(space + 1, UINT64_MAX, &count) : NULL;
    if (!space || space == line || !end || *end != '\n' || count == 0) {
        return rub_line_reader_refuse(lines, line, err, "expected a word, a blank and its count");
    }
    const int rc = rub_vocabulary_add(self, line, (size_t)(space - line), &number, err);
    if (rc) {
        return rc;
    }
    if ((size_t)number + 1 != self->n_entries || self->entries[number].count != 1) {
        return rub_line_reader_refuse(lines, line, err,
                                      "expected a word that was not there before");
    }
    if (number > 0 && self->entries[number - 1].count < count) {
        return rub_line_reader_refuse(lines, space + 1, err,
                                      "expected a count not above the one before");
    }
    self->entries[number].count = count;
    return 0;
}

static int count_all(rub_vocabulary_t *self, const char *path, rub_error_t *err)
{
    self->counts = rub_alloc((self->n_entries + 1) * sizeof *self->counts);
    if (self->counts == NULL || self->n_entries == 0) {
        return self->counts == NULL
                   ? rub_fail(err, RUB_ENOMEM, "vocabulary: no memory for %zu words",
                              self->n_entries)
                   : rub_fail(err, RUB_EDATA, "vocabulary '%s' holds no words", path);
    }
    for (size_t i = 0; i < self->n_entries; i++) {
        self->counts[i] = self->entries[i].count;
    }
    return 0;
}

int rub_vocabulary_open(const char *path, rub_vocabulary_t **self_p, rub_error_t *err)
{
    rub_line_reader_t *lines = NULL;
    const char *line = NULL;
    size_t bytes = 0;
    *self_p = NULL;
    rub_vocabulary_t *self = rub_vocabulary_new();
    int rc = self != NULL ? 0 : rub_fail(err, RUB_ENOMEM, "vocabulary: no memory");
    rc = rc ? rc : rub_line_reader_open(path, &lines, err);
    while (rc == 0) {
        rc = rub_line_reader_next(lines, &line, &bytes, err);
        if (rc || line == NULL) {
            break;
        }
        rc = take_line(self, lines, line, bytes, err);
    }
    rc = rc ? rc : count_all(self, path, err);
    if (rc == 0) {
        *self_p = self;
        self = NULL;
    }
    rub_line_reader_close(&lines);
    rub_vocabulary_destroy(&self);
    return rc;
}
