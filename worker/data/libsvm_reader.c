/* The LIBSVM format (Chang & Lin, "LIBSVM: a library for support vector machines", 2011; SVMlight
 * before it): one example per line,
 *
 *     label index:value index:value ... # comment
 *
 * with blanks or tabs between. Labels are +1 and -1, or 1 and 0, one of the two in a file (or
 * classes, or any numbers, where the options say so); indices ascend, from 0 or from 1: they are
 * names, so both are fine. Empty lines and lines with a comment alone are skipped. Values that are
 * 0 are kept, as they were written.
 *
 * Invariant: the loop looks at each byte once and never behind the '\n' that ends the line. A line
 * of n bytes has at most n / 4 + 1 features ("1:1 "), so room is made once per line. */
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/sparse_reader.h"

#include <math.h>

enum { EITHER, SIGNED, UNSIGNED }; /* conventions: what says "no": either, -1, or 0 */

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    return at;
}

static bool ends_field(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static int read_label(rub_sparse_parse_t *parse, const char **at_p, float *label_p,
                      rub_error_t *err)
{
    const rub_line_reader_t *const lines = parse->lines;
    const bool two = parse->options->labels == RUB_LABELS_TWO;
    double label = 0;
    const char *const behind = rub_decimal_scan(*at_p, &label);
    if (behind == NULL || !(ends_field(*behind) || *behind == '#')) {
        return rub_line_reader_refuse(lines, *at_p, err,
                                      two ? "expected a label: +1 or -1, 1 or 0"
                                          : "expected a label, a number");
    }
    if (!two) {
        const int rc = rub_sparse_parse_label(parse, *at_p, label, label_p, err);
        *at_p = behind;
        return rc;
    }
    if (label != 1 && label != -1 && label != 0) {
        return rub_line_reader_refuse(lines, *at_p, err,
                                      "expected a label of two classes: +1 or -1, 1 or 0");
    }
    if (label != 1) {
        const int here = label < 0 ? SIGNED : UNSIGNED;
        if (parse->convention != EITHER && parse->convention != here) {
            return rub_line_reader_refuse(lines, *at_p, err,
                                          "expected labels as before, +1 and -1 or 1 and 0");
        }
        parse->convention = here;
    }
    *label_p = label == 1;
    *at_p = behind;
    return 0;
}

/* A feature at *at_p, behind blanks. before: the index of the one before, -1 for none. */
static int read_feature(const rub_line_reader_t *lines, const char **at_p, int64_t before,
                        uint32_t *key_p, float *value_p, rub_error_t *err)
{
    const char *const at = *at_p;
    uint64_t index = 0;
    const char *const colon = rub_decimal_scan_u64(at, UINT32_MAX, &index);
    if (colon == NULL || *colon != ':') {
        return rub_line_reader_refuse(lines, colon != NULL ? colon : at, err,
                                      colon != NULL ? "expected ':' and a value behind the index"
                                                    : "expected index:value, the index from 0 to "
                                                      "4294967295");
    }
    if ((int64_t)index <= before) {
        return rub_line_reader_refuse(lines, at, err, "expected an index above %lld: they ascend",
                                      (long long)before);
    }
    double value = 0;
    const char *const behind = rub_decimal_scan(colon + 1, &value);
    if (behind == NULL || !(ends_field(*behind) || *behind == '#')) {
        return rub_line_reader_refuse(lines, colon + 1, err, "expected a number and a blank");
    }
    if (!isfinite((float)value)) {
        return rub_line_reader_refuse(lines, colon + 1, err, "expected a number within float32");
    }
    *key_p = (uint32_t)index;
    *value_p = (float)value;
    *at_p = behind;
    return 0;
}

int rub_libsvm_begin(rub_sparse_parse_t *parse, rub_error_t *err)
{
    RUB_UNUSED(err);
    parse->convention = EITHER; /* each file has its own */
    return 0;
}

bool rub_libsvm_holds(const char *line)
{
    const char *const at = skip_blanks(line);
    return *at != '\n' && *at != '#';
}

uint64_t rub_libsvm_entries(uint64_t text_bytes, uint64_t n_examples)
{
    return text_bytes / 4 + n_examples;
}

int rub_libsvm_parse(rub_sparse_parse_t *parse, const char *line, size_t length,
                     rub_sparse_set_t *set, rub_error_t *err)
{
    const rub_line_reader_t *const lines = parse->lines;
    const char *at = skip_blanks(line);
    float label = 0;
    int rc = read_label(parse, &at, &label, err);
    rc = rc ? rc : rub_sparse_set_reserve(set, parse->options, length / 4 + 1, true, err);
    if (rc) {
        return rc;
    }
    const uint64_t first = set->offsets[set->n_examples];
    int64_t before = -1;
    size_t n = 0;
    for (at = skip_blanks(at); *at != '\n' && *at != '#'; at = skip_blanks(at)) {
        if (n == RUB_SPARSE_ROW_LIMIT) {
            return rub_line_reader_refuse(lines, at, err, "expected at most %u features",
                                          RUB_SPARSE_ROW_LIMIT);
        }
        rc = read_feature(lines, &at, before, &set->keys[first + n], &set->values[first + n], err);
        if (rc) {
            return rc;
        }
        before = set->keys[first + n];
        n++;
    }
    rub_sparse_set_add(set, n, label);
    return 0;
}
