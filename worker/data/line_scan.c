/* The loop over lines of ratings, triples and text for tools, which look at each line once and must
 * not hold more than that. Ratings and triples are checked by their readers; text has its own loop
 * here, since its reader hands out words and forgets what stood between them. Invariant: what is
 * given away is what a reader of the format takes. */
#include "worker/data/line_scan.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/rating_reader.h"
#include "worker/data/text_file.h"
#include "worker/data/triple_reader.h"

#include <string.h>

typedef struct scan {
    const rub_line_scan_options_t *options;
    rub_line_fn *fn;
    void *context;
    uint64_t n_lines; /* without headings */
} scan_t;

static int pass_on(void *context, const char *text, size_t text_bytes, bool heading,
                   rub_error_t *err)
{
    scan_t *const self = context;
    self->n_lines += !heading;
    return self->fn(self->context, text, text_bytes, heading, err);
}

static int check_words(const rub_line_reader_t *lines, const char *line, size_t length, bool *any_p,
                       rub_error_t *err)
{
    const char *const end = line + length;
    const char *word = line;
    *any_p = false;
    while (word < end) {
        const char *behind = word;
        while (behind < end && !rub_text_is_space(*behind)) {
            behind++;
        }
        const size_t bytes = (size_t)(behind - word);
        if (bytes > RUB_TEXT_WORD_LIMIT) {
            return rub_line_reader_refuse(lines, word, err, "expected a word of at most %u bytes",
                                          RUB_TEXT_WORD_LIMIT);
        }
        const uint8_t *const bad = rub_text_bad_byte(word, bytes);
        if (bad != NULL) {
            return rub_line_reader_refuse(lines, (const char *)bad, err,
                                          "expected a word in UTF-8");
        }
        *any_p = *any_p || bytes > 0;
        word = behind + 1;
    }
    return 0;
}

static int scan_text(const char *path, scan_t *self, rub_error_t *err)
{
    rub_line_reader_t *lines = NULL;
    int rc = rub_line_reader_open(path, &lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        bool any = false;
        rc = rub_line_reader_next(lines, &line, &length, err);
        if (rc != 0 || line == NULL) {
            break;
        }
        rc = check_words(lines, line, length, &any, err);
        rc = rc || !any ? rc : pass_on(self, line, length, false, err);
    }
    rub_line_reader_close(&lines);
    return rc;
}

static int scan_triples(const char *path, scan_t *self, rub_error_t *err)
{
    return rub_triple_reader_lines(path, self->options->triple_order, self->options->triple_ids,
                                   pass_on, self, err);
}

static int scan_files(scan_t *self, int (*scan)(const char *, scan_t *, rub_error_t *),
                      rub_error_t *err)
{
    rub_data_files_t *files = NULL;
    int rc = rub_data_files_open(self->options->path, &files, err);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rc = scan(files->paths[i], self, err);
    }
    rub_data_files_close(&files);
    return rc;
}

static int all_texts(scan_t *self, rub_error_t *err)
{
    return scan_files(self, scan_text, err);
}

static int all_triples(scan_t *self, rub_error_t *err)
{
    return scan_files(self, scan_triples, err);
}

static int all_ratings(scan_t *self, rub_error_t *err)
{
    return rub_rating_reader_lines(self->options->path, pass_on, self, err);
}

static const struct kind {
    const char *format;
    int (*scan)(scan_t *self, rub_error_t *err);
} kinds[] = {{"ratings", all_ratings}, {"triples", all_triples}, {"text", all_texts}};

static const struct kind *find_kind(const char *format)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].format, format) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool rub_line_scan_format_known(const char *format)
{
    return find_kind(format) != NULL;
}

int rub_line_scan(const rub_line_scan_options_t *options, rub_line_fn *fn, void *context,
                  rub_error_t *err)
{
    const struct kind *const kind = find_kind(options->format);
    scan_t self = {.options = options, .fn = fn, .context = context};
    RUB_ASSERT(kind != NULL);
    const int rc = kind->scan(&self, err);
    return rc || self.n_lines > 0
               ? rc
               : rub_fail(err, RUB_EDATA, "data '%s' holds 0 lines of %s, expected at least 1",
                          options->path, options->format);
}
