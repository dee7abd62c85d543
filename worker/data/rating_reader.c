/* Reading ratings.
 *
 * Why separators are found out and not asked for: people have u.data (tabs), ratings.dat ("::") and
 * ratings.csv of the same data set, and a run file should not have to know. What is found out on a
 * file's first line holds for the whole file, so that a line which is cut otherwise is refused
 * where it differs, and never read as something else. Invariant: a rating that is given away has
 * numbers of its vocabularies, or RUB_NO_WORD, and a finite value. */
#include "worker/data/rating_reader.h"

#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/held_out.h"
#include "worker/data/text_file.h"

#include <string.h>

enum { USER, ITEM, RATING, TIMESTAMP, FIELDS };
_Static_assert(FIELDS == RUB_RATING_FIELDS_LIMIT, "fields of a line");

typedef struct field {
    const char *text;
    size_t bytes;
} field_t;

typedef struct reading {
    const rub_rating_options_t *options;
    rub_vocabulary_t *users, *items;
    rub_rating_fn *fn;
    rub_line_fn *line_fn; /* not NULL: lines are wanted, and no ratings */
    void *context;
    rub_line_reader_t *lines;
    char separator;  /* of the present file: '\t', ':' for "::", ',', or ' ' for blanks */
    bool begun;      /* a line was read, of this file or of one before */
    bool headed;     /* line_fn has the names of columns */
    uint64_t number; /* of the next line that has a rating, over all files and parts */
} reading_t;

static const char *separator_name(char separator)
{
    return separator == '\t'  ? "a tab"
           : separator == ':' ? "'::'"
           : separator == ',' ? "a comma"
                              : "a blank";
}

/* The first separator of a line that nothing else is known of; blanks, if it has no other one. */
static char find_separator(const char *line, size_t length, const char **at_p)
{
    static const char others[] = {'\t', ','};
    for (size_t i = 0; i + 1 < length; i++) {
        if (line[i] == ':' && line[i + 1] == ':' && memchr(line, '\t', length) == NULL) {
            *at_p = line + i;
            return ':';
        }
    }
    for (size_t i = 0; i < RUB_COUNT_OF(others); i++) {
        *at_p = memchr(line, others[i], length);
        if (*at_p != NULL) {
            return others[i];
        }
    }
    *at_p = line;
    return ' ';
}

/* Bytes of the separator that begins at `at`; 0: none does. A line ends in '\n', so that the byte
 * behind a colon may be looked at. */
static size_t separator_at(const char *at, char separator)
{
    size_t n = 0;
    if (separator == ' ') {
        while (at[n] == ' ' || at[n] == '\t') {
            n++;
        }
        return n;
    }
    n = separator == ':' ? 2 : 1;
    return at[0] == separator && at[n - 1] == separator ? n : 0;
}

static int cut(const reading_t *self, const char *line, field_t fields[FIELDS], size_t *n_p,
               rub_error_t *err)
{
    const char separator = self->separator;
    const char *at = separator == ' ' ? line + separator_at(line, ' ') : line;
    for (*n_p = 0;;) {
        const char *const begin = at;
        while (*at != '\n' && separator_at(at, separator) == 0) {
            at++;
        }
        fields[(*n_p)++] = (field_t){begin, (size_t)(at - begin)};
        const size_t step = separator_at(at, separator);
        if (at[step] == '\n' && (step == 0 || separator == ' ')) {
            return 0;
        }
        if (*n_p == FIELDS) {
            return rub_line_reader_refuse(self->lines, at, err,
                                          "expected the line's end behind %d fields", FIELDS);
        }
        at += step;
    }
}

/* The number of a name. */
static int number_of(const reading_t *self, const field_t *field, const char *what,
                     rub_vocabulary_t *names, uint32_t *number_p, rub_error_t *err)
{
    if (field->bytes == 0) {
        return rub_line_reader_refuse(self->lines, field->text, err, "expected the %s", what);
    }
    if (field->bytes > RUB_RATING_NAME_LIMIT) {
        return rub_line_reader_refuse(self->lines, field->text, err,
                                      "expected the name of the %s, of at most %u bytes", what,
                                      RUB_RATING_NAME_LIMIT);
    }
    if (field->text[0] == '"') {
        return rub_line_reader_refuse(self->lines, field->text, err,
                                      "expected the name of the %s without quotes", what);
    }
    const char *const tab = memchr(field->text, '\t', field->bytes);
    if (tab != NULL) {
        return rub_line_reader_refuse(self->lines, tab, err,
                                      "expected the name of the %s without tabs", what);
    }
    const uint8_t *bad = rub_text_bad_byte(field->text, field->bytes);
    if (bad != NULL) {
        return rub_line_reader_refuse(self->lines, (const char *)bad, err,
                                      "expected UTF-8 in the name of the %s", what);
    }
    if (names == NULL) {
        *number_p = RUB_NO_WORD;
        return 0;
    }
    if (self->options->closed) {
        *number_p = rub_vocabulary_find(names, field->text, field->bytes);
        return 0;
    }
    return rub_vocabulary_add(names, field->text, field->bytes, number_p, err);
}

static int read_number(const reading_t *self, const field_t *field, const char *what,
                       double *value_p, rub_error_t *err)
{
    const char *const end = rub_decimal_scan(field->text, value_p);
    if (end != field->text + field->bytes) {
        return rub_line_reader_refuse(self->lines, field->text, err, "expected the %s, a number",
                                      what);
    }
    return 0;
}

static int expect_fields(const reading_t *self, const field_t *last, size_t n, rub_error_t *err)
{
    static const char *const names[] = {"user", "item", "rating"};
    const size_t least = self->options->interactions ? 2 : 3;
    return n >= least ? 0
                      : rub_line_reader_refuse(self->lines, last->text + last->bytes, err,
                                               "expected %s and the %s",
                                               separator_name(self->separator), names[n]);
}

/* A letter where a rating should begin: the names of columns. */
static bool is_heading(const field_t fields[FIELDS], size_t n)
{
    const char first = n > RATING && fields[RATING].bytes > 0 ? fields[RATING].text[0] : '0';
    return (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
}

static bool is_wanted(const reading_t *self, uint64_t number)
{
    const rub_rating_options_t *options = self->options;
    return options->held_out == 0 || rub_held_out(options->held_out, options->held_out_seed,
                                                  number) == options->take_held_out;
}

static int read_values(const reading_t *self, const field_t fields[FIELDS], size_t n,
                       double *rating_p, rub_error_t *err)
{
    double timestamp = 0;
    *rating_p = 1;
    int rc = n > RATING ? read_number(self, &fields[RATING], "rating", rating_p, err) : 0;
    if (rc == 0 && !(*rating_p >= -RUB_RATING_LIMIT && *rating_p <= RUB_RATING_LIMIT)) {
        rc = rub_line_reader_refuse(self->lines, fields[RATING].text, err,
                                    "expected a rating within +-%g", RUB_RATING_LIMIT);
    }
    return rc || n <= TIMESTAMP ? rc
                                : read_number(self, &fields[TIMESTAMP], "time", &timestamp, err);
}

/* A line that is good. Where the names of columns stand before it, they say how it is cut. */
static int give_line(const reading_t *self, const char *line, size_t length, rub_error_t *err)
{
    const char *at = NULL;
    if (!self->headed && find_separator(line, length, &at) != self->separator) {
        return rub_line_reader_refuse(self->lines, at, err,
                                      "expected a line that is cut at %s wherever it stands",
                                      separator_name(self->separator));
    }
    return self->line_fn(self->context, line, length, false, err);
}

static int give_heading(reading_t *self, const char *line, size_t length, rub_error_t *err)
{
    if (self->line_fn == NULL || self->begun) {
        return 0;
    }
    self->headed = true;
    return self->line_fn(self->context, line, length, true, err);
}

static int read_line(reading_t *self, const char *line, size_t length, bool first, rub_error_t *err)
{
    field_t fields[FIELDS];
    size_t n = 0;
    double value = 0;
    rub_rating_t rating;
    int rc = cut(self, line, fields, &n, err);
    if (rc || (first && is_heading(fields, n))) {
        return rc ? rc : give_heading(self, line, length, err);
    }
    rc = expect_fields(self, &fields[n - 1], n, err);
    rc = rc ? rc : read_values(self, fields, n, &value, err);
    if (rc || !is_wanted(self, self->number++) ||
        (self->options->least > 0 && value < self->options->least)) {
        return rc;
    }
    rating.value = (float)value;
    rc = number_of(self, &fields[USER], "user", self->users, &rating.user, err);
    rc = rc ? rc : number_of(self, &fields[ITEM], "item", self->items, &rating.item, err);
    rc = rc || self->fn == NULL ? rc : self->fn(self->context, &rating, err);
    return rc || self->line_fn == NULL ? rc : give_line(self, line, length, err);
}

/* Looks for the separator of a file on its first line. */
static int begin_file(reading_t *self, const char *line, size_t length, rub_error_t *err)
{
    const char *at = NULL;
    const char found = find_separator(line, length, &at);
    if (self->line_fn != NULL && self->begun && found != self->separator) {
        return rub_line_reader_refuse(self->lines, at, err,
                                      "expected %s between the fields, as in the first file",
                                      separator_name(self->separator));
    }
    self->separator = found;
    return 0;
}

static int read_file(reading_t *self, const char *path, rub_error_t *err)
{
    bool first = true;
    int rc = rub_line_reader_open(path, &self->lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(self->lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        if (length == 0) {
            continue;
        }
        rc = first ? begin_file(self, line, length, err) : 0;
        rc = rc ? rc : read_line(self, line, length, first, err);
        first = false;
        self->begun = true;
    }
    rub_line_reader_close(&self->lines);
    return rc;
}

static int read_files(reading_t *self, rub_error_t *err)
{
    rub_data_files_t *files = NULL;
    int rc = rub_data_files_open(self->options->path, &files, err);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rc = read_file(self, files->paths[i], err);
    }
    rub_data_files_close(&files);
    return rc;
}

int rub_rating_reader_scan(const rub_rating_options_t *options, rub_vocabulary_t *users,
                           rub_vocabulary_t *items, rub_rating_fn *fn, void *context,
                           rub_error_t *err)
{
    reading_t self = {
        .options = options, .users = users, .items = items, .fn = fn, .context = context};
    return read_files(&self, err);
}

int rub_rating_reader_lines(const char *path, rub_line_fn *fn, void *context, rub_error_t *err)
{
    const rub_rating_options_t options = {.path = path, .interactions = true};
    reading_t self = {.options = &options, .line_fn = fn, .context = context};
    return read_files(&self, err);
}
