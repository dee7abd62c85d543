/* Reading triples.
 *
 * A field is looked at three times: for its end, for what is wrong with it as a text, and for its
 * number, by a look-up in a vocabulary or as decimal digits. Why numbers are made while reading: a
 * list of triples is 12 bytes each, whatever their names are. Invariant: every number in the list
 * is below what the names say there are, so nothing behind this file checks again. */
#include "worker/data/triple_reader.h"

#include "common/base/alloc.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/text_file.h"

#include <inttypes.h>
#include <string.h>

enum { FIELDS = 3 };

typedef struct field {
    const char *text;
    size_t bytes;
} field_t;

static const char *name_of(char letter)
{
    return letter == 'h' ? "head" : letter == 't' ? "tail" : "relation";
}

/* The field that begins at `at`; what: for the refusals. */
static int cut_field(const rub_line_reader_t *lines, const char *at, const char *what,
                     field_t *field, rub_error_t *err)
{
    size_t bytes = 0;
    while (at[bytes] != '\t' && at[bytes] != '\n') {
        bytes++;
    }
    *field = (field_t){at, bytes};
    if (bytes == 0) {
        return rub_line_reader_refuse(lines, at, err, "expected the %s", what);
    }
    if (bytes > RUB_TRIPLE_NAME_LIMIT) {
        return rub_line_reader_refuse(lines, at, err, "expected a %s of at most %u bytes", what,
                                      RUB_TRIPLE_NAME_LIMIT);
    }
    const uint8_t *bad = rub_text_bad_byte(at, bytes);
    return bad == NULL ? 0
                       : rub_line_reader_refuse(lines, (const char *)bad, err,
                                                "expected UTF-8 in the %s", what);
}

/* A line's fields; the last one must end it. whats: what each is. */
static int cut_line(const rub_line_reader_t *lines, const char *line, size_t n,
                    const char *const *whats, field_t *fields, rub_error_t *err)
{
    const char *at = line;
    for (size_t i = 0; i < n; i++) {
        const int rc = cut_field(lines, at, whats[i], &fields[i], err);
        if (rc != 0) {
            return rc;
        }
        at += fields[i].bytes;
        if (i + 1 < n && *at != '\t') {
            return rub_line_reader_refuse(lines, at, err, "expected a tab and the %s",
                                          whats[i + 1]);
        }
        at += i + 1 < n;
    }
    return *at == '\n' ? 0
                       : rub_line_reader_refuse(lines, at, err,
                                                "expected the line's end behind %zu fields", n);
}

static int read_number(const rub_line_reader_t *lines, const field_t *field, const char *what,
                       uint64_t below, uint32_t *number_p, rub_error_t *err)
{
    uint64_t number = 0;
    const char *end = below > 0 ? rub_decimal_scan_u64(field->text, below - 1, &number) : NULL;
    if (end != field->text + field->bytes) {
        return rub_line_reader_refuse(lines, field->text, err,
                                      "expected the number of %s, below %" PRIu64, what, below);
    }
    *number_p = (uint32_t)number;
    return 0;
}

/* The number of a field that names an entity, or a relation; without vocabularies names are good,
 * and all have the same. */
static int number_of(const rub_line_reader_t *lines, const field_t *field, bool relation,
                     rub_triple_names_t *names, uint32_t *number_p, rub_error_t *err)
{
    rub_vocabulary_t *vocabulary = relation ? names->relations : names->entities;
    size_t *n_p = relation ? &names->n_relations : &names->n_entities;
    int rc = 0;
    if (names->ids) {
        rc = read_number(lines, field, relation ? "a relation" : "an entity",
                         names->closed ? *n_p : RUB_GRAPH_NUMBERS_LIMIT, number_p, err);
    } else if (vocabulary == NULL) {
        *number_p = 0;
    } else if (names->closed) {
        *number_p = rub_vocabulary_find(vocabulary, field->text, field->bytes);
        rc = *number_p != RUB_NO_WORD
                 ? 0
                 : rub_line_reader_refuse(lines, field->text, err,
                                          "expected one of the %zu names that are known", *n_p);
    } else {
        rc = rub_vocabulary_add(vocabulary, field->text, field->bytes, number_p, err);
    }
    if (rc == 0 && *number_p >= *n_p) {
        *n_p = (size_t)*number_p + 1;
    }
    return rc;
}

static int append(rub_triple_list_t *list, const char *path, const uint32_t numbers[FIELDS],
                  rub_error_t *err)
{
    if (list->n == RUB_TRIPLES_LIMIT) {
        return rub_fail(err, RUB_EDATA, "data file '%s' has more than %u triples", path,
                        RUB_TRIPLES_LIMIT);
    }
    if (rub_grow(&list->items, &list->room, list->n + 1, sizeof *list->items) != 0) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu triples", path,
                        list->n);
    }
    list->items[list->n++] = (rub_triple_t){numbers[0], numbers[1], numbers[2]};
    return 0;
}

/* numbers: of head, relation and tail. */
static int read_line(const rub_line_reader_t *lines, const char *line, rub_triple_names_t *names,
                     uint32_t numbers[FIELDS], rub_error_t *err)
{
    const char *whats[FIELDS];
    field_t fields[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        whats[i] = name_of(names->order[i]);
    }
    int rc = cut_line(lines, line, FIELDS, whats, fields, err);
    for (size_t i = 0; i < FIELDS && rc == 0; i++) {
        const char letter = names->order[i];
        const size_t place = letter == 'h' ? 0 : letter == 'r' ? 1 : 2;
        rc = number_of(lines, &fields[i], letter == 'r', names, &numbers[place], err);
    }
    return rc;
}

/* Where triples go: into a list, or their lines to fn. */
typedef struct taker {
    rub_triple_list_t *list;
    rub_line_fn *fn;
    void *context;
} taker_t;

static int read_file(const char *path, rub_triple_names_t *names, const taker_t *taker,
                     rub_error_t *err)
{
    rub_line_reader_t *lines = NULL;
    int rc = rub_line_reader_open(path, &lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        uint32_t numbers[FIELDS] = {0};
        rc = rub_line_reader_next(lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        if (length == 0) {
            continue;
        }
        rc = read_line(lines, line, names, numbers, err);
        if (rc == 0) {
            rc = taker->fn != NULL ? taker->fn(taker->context, line, length, false, err)
                                   : append(taker->list, path, numbers, err);
        }
    }
    rub_line_reader_close(&lines);
    return rc;
}

int rub_triple_reader_read(const char *path, rub_triple_names_t *names, rub_triple_list_t *list,
                           rub_error_t *err)
{
    return read_file(path, names, &(taker_t){.list = list}, err);
}

int rub_triple_reader_lines(const char *path, const char *order, bool ids, rub_line_fn *fn,
                            void *context, rub_error_t *err)
{
    rub_triple_names_t names = {.order = order, .ids = ids};
    return read_file(path, &names, &(taker_t){.fn = fn, .context = context}, err);
}

/* ---- dictionaries ---- */

typedef struct entry {
    char *name;
    size_t bytes;
    uint32_t number;
    uint64_t line;
} entry_t;

typedef struct dictionary {
    entry_t *entries; /* in the file's order, so that a great number costs no memory */
    size_t n, room;
} dictionary_t;

static int put(dictionary_t *self, uint32_t number, const field_t *name, uint64_t line,
               rub_error_t *err)
{
    if (rub_grow(&self->entries, &self->room, self->n + 1, sizeof *self->entries) != 0) {
        return rub_fail(err, RUB_ENOMEM, "dictionary: no memory for %zu names", self->n);
    }
    entry_t *entry = &self->entries[self->n];
    *entry = (entry_t){rub_alloc(name->bytes), name->bytes, number, line};
    if (entry->name == NULL) {
        return rub_fail(err, RUB_ENOMEM, "dictionary: no memory for %zu names", self->n);
    }
    memcpy(entry->name, name->text, name->bytes);
    self->n++;
    return 0;
}

static int read_entries(rub_line_reader_t *lines, dictionary_t *self, rub_error_t *err)
{
    static const char *const whats[] = {"number", "name"};
    for (uint64_t number_of_line = 1;; number_of_line++) {
        const char *line = NULL;
        size_t length = 0;
        field_t fields[2];
        uint32_t number = 0;
        int rc = rub_line_reader_next(lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            return rc;
        }
        if (length == 0) {
            continue;
        }
        rc = cut_line(lines, line, 2, whats, fields, err);
        rc = rc ? rc
                : read_number(lines, &fields[0], "a name", RUB_GRAPH_NUMBERS_LIMIT, &number, err);
        rc = rc ? rc : put(self, number, &fields[1], number_of_line, err);
        if (rc != 0) {
            return rc;
        }
    }
}

static int refuse_entry(const char *path, const entry_t *entry, const char *fact, uint64_t bound,
                        rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "data file '%s', line %" PRIu64 ", column 1: %s %" PRIu64, path,
                    entry->line, fact, bound);
}

/* Which entry has which number: places[number] = place + 1. */
static int place_entries(const dictionary_t *self, const char *path, uint32_t *places,
                         rub_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        const entry_t *entry = &self->entries[i];
        if (entry->number >= self->n) {
            return refuse_entry(path, entry, "expected each number once, from 0 to", self->n - 1,
                                err);
        }
        if (places[entry->number] != 0) {
            return refuse_entry(path, entry, "expected another number than that of line",
                                self->entries[places[entry->number] - 1].line, err);
        }
        places[entry->number] = (uint32_t)i + 1;
    }
    return 0;
}

/* Names get their numbers by being added in this order. */
static int add_names(const dictionary_t *self, const char *path, const uint32_t *places,
                     rub_vocabulary_t *names, rub_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        const entry_t *entry = &self->entries[places[i] - 1];
        uint32_t number = 0;
        const int rc = rub_vocabulary_add(names, entry->name, entry->bytes, &number, err);
        if (rc != 0) {
            return rc;
        }
        if (number != i) {
            return refuse_entry(path, entry, "expected another name than that of line",
                                self->entries[places[number] - 1].line, err);
        }
    }
    return 0;
}

int rub_triple_reader_dictionary(const char *path, rub_vocabulary_t *names, size_t *n_p,
                                 rub_error_t *err)
{
    dictionary_t self = {0};
    uint32_t *places = NULL;
    rub_line_reader_t *lines = NULL;
    int rc = rub_line_reader_open(path, &lines, err);
    rc = rc ? rc : read_entries(lines, &self, err);
    if (rc == 0 && self.n == 0) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' has no names, expected some", path);
    }
    if (rc == 0) {
        places = rub_calloc(self.n, sizeof *places);
        rc = places ? 0 : rub_fail(err, RUB_ENOMEM, "dictionary: no memory for %zu names", self.n);
    }
    rc = rc ? rc : place_entries(&self, path, places, err);
    rc = rc ? rc : add_names(&self, path, places, names, err);
    *n_p = self.n;
    for (size_t i = 0; i < self.n; i++) {
        rub_free(self.entries[i].name);
    }
    rub_free(self.entries);
    rub_free(places);
    rub_line_reader_close(&lines);
    return rc;
}
