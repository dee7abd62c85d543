/* Guessing formats. Binary ones have a magic; of text the first line that is not empty decides:
 * how many tabs, pairs with a colon behind a label, double colons, a time behind a rating, commas;
 * of three words the line behind it, too.
 * Nothing here is believed any further: whoever reads the file afterwards checks every byte. */
#include "worker/data/format_guess.h"

#include "common/base/alloc.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"
#include "worker/data/line_reader.h"
#include "worker/data/npy_array.h"
#include "worker/data/packed_file.h"
#include "worker/data/reader.h"

#include <string.h>

enum { HEAD_BYTES = 65536, CRITEO_TABS = 39 };

static size_t count(const char *text, size_t bytes, char wanted)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += text[i] == wanted;
    }
    return n;
}

/* "label index:" or a label alone; text ends in a byte that no number has. */
static bool looks_like_libsvm(const char *text, size_t bytes)
{
    double label = 0;
    uint64_t index = 0;
    const char *at = rub_decimal_scan(text, &label);
    if (at == NULL || at >= text + bytes || (*at != ' ' && *at != '\t')) {
        return false;
    }
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    at = rub_decimal_scan_u64(at, UINT32_MAX, &index);
    return at != NULL && *at == ':';
}

/* MovieLens' ratings.dat: user::item::rating, and perhaps the time. No other format has that. */
static bool looks_like_colon_ratings(const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i + 1 < bytes; i++) {
        if (text[i] == ':' && text[i + 1] == ':') {
            n++;
            i++;
        } else if (text[i] == ' ' || text[i] == '\t') {
            return false;
        }
    }
    return n == 2 || n == 3;
}

/* MovieLens' u.data and ratings.csv: four fields, the third a rating and the fourth a Unix time
 * (from 1973 on, in seconds or milliseconds), or the names of such columns. */
static bool looks_like_timed_ratings(const char *text, size_t bytes, char separator)
{
    static const char rating_name[] = "rating", time_name[] = "timestamp";
    const char *const end = text + bytes;
    const char *at = text;
    if (count(text, bytes, separator) != 3) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        at = (const char *)memchr(at, separator, (size_t)(end - at)) + 1;
    }
    const size_t n_names = strlen(rating_name) + 1 + strlen(time_name);
    if ((size_t)(end - at) >= n_names && at[strlen(rating_name)] == separator &&
        memcmp(at, rating_name, strlen(rating_name)) == 0) {
        return memcmp(at + strlen(rating_name) + 1, time_name, strlen(time_name)) == 0;
    }
    double rating = 0;
    uint64_t time = 0;
    at = rub_decimal_scan(at, &rating);
    if (at == NULL || at >= end || *at != separator) {
        return false;
    }
    at = rub_decimal_scan_u64(at + 1, UINT64_MAX / 10 - 1, &time);
    return at != NULL && (at == end || (at + 1 == end && *at == '\r')) && time >= 100000000;
}

static bool looks_like_ratings(const char *text, size_t bytes)
{
    return looks_like_colon_ratings(text, bytes) || looks_like_timed_ratings(text, bytes, '\t') ||
           looks_like_timed_ratings(text, bytes, ',');
}

/* Three fields, all of them words: no row of a table is that, which has at least a label. */
static bool looks_like_triple(const char *text, size_t bytes)
{
    const char *const end = text + bytes;
    double number = 0;
    for (const char *at = text; at != NULL && at < end;) {
        const char *const behind = rub_decimal_scan(at, &number);
        if (*at == '\t' || (behind != NULL && (behind >= end || *behind <= ' '))) {
            return false;
        }
        at = memchr(at, '\t', (size_t)(end - at));
        at = at != NULL ? at + 1 : NULL;
    }
    return bytes > 0 && end[-1] != '\t' && count(text, bytes, '\t') == 2;
}

/* behind: the next line, or empty. */
static const char *format_of_line(const char *text, size_t bytes, const char *behind,
                                  size_t behind_bytes)
{
    const size_t tabs = count(text, bytes, '\t');
    if (looks_like_libsvm(text, bytes)) {
        return "libsvm";
    }
    if (looks_like_ratings(text, bytes)) {
        return "ratings";
    }
    if (tabs == CRITEO_TABS && (text[0] == '0' || text[0] == '1') && text[1] == '\t') {
        return "criteo";
    }
    if (tabs > 0) { /* the first line may be names of columns */
        const bool triples =
            looks_like_triple(text, bytes) && looks_like_triple(behind, behind_bytes);
        return triples ? "triples" : "tsv";
    }
    /* Words may have commas between; a table has no blank behind most of them. */
    const size_t commas = count(text, bytes, ',');
    return commas > 0 && count(text, bytes, ' ') < commas ? "csv" : "text";
}

const char *rub_format_of(const char *text, size_t bytes)
{
    const uint8_t *const head = (const uint8_t *)text;
    const size_t n_head = bytes < RUB_READER_HEAD ? bytes : RUB_READER_HEAD;
    if (rub_npy_sniff(head, n_head)) {
        return "npy";
    }
    if (rub_idx_sniff(head, n_head)) {
        return "idx";
    }
    const char *const end = text + bytes;
    text += rub_text_mark_bytes(text, bytes);
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (newline == NULL) {
            break; /* a line without an end is not looked at: a number might go on */
        }
        if (newline > text && *text != '#' && *text != '\r') {
            const char *const behind = newline + 1;
            const char *const last =
                behind < end ? memchr(behind, '\n', (size_t)(end - behind)) : NULL;
            return format_of_line(text, (size_t)(newline - text), behind,
                                  last != NULL ? (size_t)(last - behind) : 0);
        }
        text = newline + 1;
    }
    return "text";
}

int rub_format_guess(const char *words, const char **format_p, rub_error_t *err)
{
    static const char npy[] = "npy";
    size_t file_bytes = 0;
    if (strcmp(words, "-") == 0) {
        return rub_fail(err, RUB_ECONFIG, "data_format: standard input is of which format?");
    }
    if (rub_npy_path(words, &file_bytes)) {
        *format_p = npy;
        return 0;
    }
    rub_data_files_t *files = NULL;
    rub_packed_file_t *file = NULL;
    static const size_t room = HEAD_BYTES;
    char *const head = rub_alloc(room);
    size_t got = 0;
    int rc = head ? rub_data_files_open(words, &files, err)
                  : rub_fail(err, RUB_ENOMEM, "data '%s': no memory", words);
    rc = rc ? rc : rub_packed_file_open(files->paths[0], &file, err);
    rc = rc ? rc : rub_packed_file_read_some(file, head, room - 1, &got, err);
    if (rc == 0) {
        head[got] = '\n'; /* also ends a file's last line */
        *format_p = rub_format_of(head, got + (got < room - 1));
    }
    rub_packed_file_close(&file);
    rub_data_files_close(&files);
    rub_free(head);
    return rc;
}
