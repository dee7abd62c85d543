/* Text to value and back, one pair of functions per type of options.def.
 *
 * The schema decides what a text is: YAML's guesses about types are never asked, so "lr: 1e-4" is a
 * number, and "name: 1e-4" a string. What one parser accepts the formatter prints in a form that
 * the parser reads as the same value (tested as a round trip). A refusal says the fact and the
 * bound; where it stands and which key is the caller's to add. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/conf/option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail_not(const char *text, const char *what, rub_error_t *err)
{
    if (text[0] == 0) {
        return rub_fail(err, RUB_ECONFIG, "the value is empty where %s is wanted", what);
    }
    return rub_fail(err, RUB_ECONFIG, "'%.80s' is not %s", text, what);
}

static int check_bounds(const rub_option_t *option, double value, const char *text,
                        rub_error_t *err)
{
    if (value < option->min) {
        return rub_fail(err, RUB_ECONFIG, "%s is below the least, %.15g", text, option->min);
    }
    if (value > option->max) {
        return rub_fail(err, RUB_ECONFIG, "%s is above the greatest, %.15g", text, option->max);
    }
    return 0;
}

/* Digits at *text_p, moved past. 0, or -1 when there are none or they do not fit 64 bits. */
static int scan_u64(const char **text_p, uint64_t *value_p)
{
    const char *p = *text_p;
    uint64_t value = 0;
    if (!isdigit((unsigned char)*p)) {
        return -1;
    }
    for (; isdigit((unsigned char)*p); p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return -1;
        }
        value = value * 10 + digit;
    }
    *text_p = p;
    *value_p = value;
    return 0;
}

static int parse_u64(const rub_option_t *option, const char *text, uint64_t *value_p,
                     rub_error_t *err)
{
    if (strcmp(text, "any") == 0 && strstr(option->words, "|any")) {
        *value_p = UINT64_MAX;
        return 0;
    }
    const char *p = text;
    uint64_t value = 0;
    const bool negative = *p == '-' && p[1] != 0;
    p += negative;
    if (scan_u64(&p, &value) != 0 || *p != 0) {
        return fail_not(text, "a whole number", err);
    }
    if (negative) {
        return rub_fail(err, RUB_ECONFIG, "%s is below the least, %.15g", text, option->min);
    }
    const int rc = check_bounds(option, (double)value, text, err);
    *value_p = rc == 0 ? value : *value_p;
    return rc;
}

static int parse_f64(const rub_option_t *option, const char *text, double *value_p,
                     rub_error_t *err)
{
    char *end = NULL;
    errno = 0;
    const double value = strtod(text, &end);
    const bool spelled = text[0] && strspn(text, "+-.0123456789eE") == strlen(text);
    if (!spelled || *end != 0 || !isfinite(value)) {
        return fail_not(text, "a number", err);
    }
    const int rc = check_bounds(option, value, text, err);
    *value_p = rc == 0 ? value : *value_p;
    return rc;
}

static int parse_bool(const char *text, bool *value_p, rub_error_t *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < RUB_COUNT_OF(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *value_p = i % 2 == 1;
            return 0;
        }
    }
    return fail_not(text, "true or false", err);
}

/* The word at place index of "a|b|c", or an empty span past the end. */
static rub_span_t word_at(const char *words, int index)
{
    for (; index > 0 && words; index--) {
        words = strchr(words, '|');
        words = words ? words + 1 : NULL;
    }
    return (rub_span_t){words, words ? strcspn(words, "|") : 0};
}

static int parse_enum(rub_config_t *config, const rub_option_t *option, const char *text,
                      int *value_p, rub_error_t *err)
{
    for (int i = 0;; i++) {
        const rub_span_t word = word_at(option->words, i);
        if (word.bytes == 0) {
            break;
        }
        if (strlen(text) == word.bytes && memcmp(text, word.data, word.bytes) == 0) {
            char *copy = rub_arena_strdup(&config->arena, text);
            if (!copy) {
                return rub_fail(err, RUB_ENOMEM, "no memory for a value");
            }
            config->enum_words[option - rub_option_table] = copy;
            *value_p = i;
            return 0;
        }
    }
    return rub_fail(err, RUB_ECONFIG, "'%.80s' is not one of %s", text, option->words);
}

static int parse_staleness(const rub_option_t *option, const char *text, uint64_t *value_p,
                           rub_error_t *err)
{
    if (strcmp(text, "bsp") == 0) {
        *value_p = 0;
        return 0;
    }
    if (strcmp(text, "async") == 0) {
        *value_p = RUB_ASYNC;
        return 0;
    }
    const char *p = text;
    uint64_t value = 0;
    if (scan_u64(&p, &value) != 0 || *p != 0) {
        return fail_not(text, "a whole number, bsp or async", err);
    }
    const int rc = check_bounds(option, (double)value, text, err);
    *value_p = rc == 0 ? value : *value_p;
    return rc;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit_t;

/* A number with an optional fraction and an optional unit of the table; bare: factor of a number
 * without one. */
static int parse_quantity(const rub_option_t *option, const char *text, const unit_t *units,
                          size_t n_units, uint64_t bare, const char *what, uint64_t *value_p,
                          rub_error_t *err)
{
    const size_t digits = strspn(text, "0123456789.");
    char number[32];
    if (digits == 0 || digits >= sizeof number || text[0] == '.') {
        return fail_not(text, what, err);
    }
    memcpy(number, text, digits);
    number[digits] = 0;
    uint64_t factor = text[digits] == 0 ? bare : 0;
    for (size_t i = 0; i < n_units; i++) {
        factor = strcmp(text + digits, units[i].name) == 0 ? units[i].factor : factor;
    }
    char *end = NULL;
    const double value = strtod(number, &end) * (double)factor;
    if (factor == 0 || *end != 0 || value != floor(value) || value > 9007199254740992.0) {
        return fail_not(text, what, err);
    }
    const int rc = check_bounds(option, value, text, err);
    *value_p = rc == 0 ? (uint64_t)value : *value_p;
    return rc;
}

static int parse_ms(const rub_option_match_t *match, const char *text, uint64_t *value_p,
                    rub_error_t *err)
{
    static const unit_t units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    return parse_quantity(match->option, text, units, RUB_COUNT_OF(units),
                          match->unit_left_off ? 1000 : 1,
                          "a duration in whole milliseconds (250ms, 5s, 2m, 1h)", value_p, err);
}

static int parse_bytes(const rub_option_t *option, const char *text, uint64_t *value_p,
                       rub_error_t *err)
{
    static const unit_t units[] = {{"B", 1},
                                   {"K", UINT64_C(1) << 10},
                                   {"M", UINT64_C(1) << 20},
                                   {"G", UINT64_C(1) << 30},
                                   {"T", UINT64_C(1) << 40}};
    return parse_quantity(option, text, units, RUB_COUNT_OF(units), 1,
                          "a size in whole bytes (4096, 64K, 512M, 2G)", value_p, err);
}

static int parse_list(const rub_option_t *option, const char *text, rub_u64_list_t *value_p,
                      rub_error_t *err)
{
    const char *what = "a list of whole numbers ([256, 128])";
    rub_u64_list_t list = {.n_items = 0};
    const char *p = text + strspn(text, " ");
    const bool bracket = *p == '[';
    p += bracket;
    p += strspn(p, " ");
    while (*p && *p != ']') {
        uint64_t item = 0;
        const char *start = p;
        if (scan_u64(&p, &item) != 0) {
            return fail_not(text, what, err);
        }
        if (list.n_items == RUB_LIST_LIMIT) {
            return rub_fail(err, RUB_ECONFIG, "more than %u items", RUB_LIST_LIMIT);
        }
        char item_text[24];
        snprintf(item_text, sizeof item_text, "%.*s", (int)(p - start), start);
        const int rc = check_bounds(option, (double)item, item_text, err);
        if (rc != 0) {
            return rc;
        }
        list.items[list.n_items++] = item;
        p += strspn(p, " ");
        if (*p != ',') {
            break;
        }
        p += 1 + strspn(p + 1, " ");
        if (!isdigit((unsigned char)*p)) {
            return fail_not(text, what, err);
        }
    }
    if (bracket && *p == ']') {
        p += 1 + strspn(p + 1, " ");
    } else if (bracket) {
        return fail_not(text, what, err);
    }
    if (*p != 0) {
        return fail_not(text, what, err);
    }
    *value_p = list;
    return 0;
}

static int parse_string(rub_config_t *config, const rub_option_t *option, const char *text,
                        const char **value_p, rub_error_t *err)
{
    const size_t n = strlen(text);
    if ((double)n < option->min) {
        return rub_fail(err, RUB_ECONFIG, "the value is empty; at least %.0f byte is wanted",
                        option->min);
    }
    if ((double)n > option->max) {
        return rub_fail(err, RUB_ECONFIG, "%zu bytes are above the limit of %.0f", n, option->max);
    }
    for (const char *p = text; *p; p++) {
        if (iscntrl((unsigned char)*p)) {
            return rub_fail(err, RUB_ECONFIG, "the value holds a control character (0x%02x)",
                            (unsigned char)*p);
        }
    }
    char *copy = rub_arena_strdup(&config->arena, text);
    if (!copy) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a value of %zu bytes", n);
    }
    *value_p = copy;
    return 0;
}

/* Who uses the items reads them; here the brackets around all of them go, and blanks behind commas,
 * as in what the run file's lists become. */
static int parse_items(rub_config_t *config, const rub_option_t *option, const char *text,
                       const char **value_p, rub_error_t *err)
{
    const size_t n = strlen(text), bracket = text[0] == '[';
    size_t spelled = bracket;
    while (text[spelled] && (isalnum((unsigned char)text[spelled]) || (text[spelled] & 0x80) ||
                             strchr("_.+-/:{}, ", text[spelled]))) {
        spelled++;
    }
    if (spelled + bracket != n || (bracket && text[n - 1] != ']')) {
        return fail_not(text, "a list of items ([dense: 256, relu])", err);
    }
    char *inner = rub_arena_copy(&config->arena, text, n + 1);
    if (!inner) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a value of %zu bytes", n);
    }
    size_t used = 0;
    for (size_t i = bracket; i < n - bracket; i++) {
        if (text[i] != ' ' || (used > 0 && inner[used - 1] != ',')) {
            inner[used++] = text[i];
        }
    }
    inner[used] = 0;
    return parse_string(config, option, inner, value_p, err);
}

int rub_option_parse(rub_config_t *config, const rub_option_match_t *match, const char *text,
                     bool is_list, rub_error_t *err)
{
    const rub_option_t *option = match->option;
    void *member = (char *)config + option->offset;
    if (is_list && option->type != RUB_OPTION_LIST && option->type != RUB_OPTION_ITEMS) {
        return rub_fail(err, RUB_ECONFIG, "a list stands where one value is wanted");
    }
    switch (option->type) {
    case RUB_OPTION_U64:
        return parse_u64(option, text, member, err);
    case RUB_OPTION_F64:
        return parse_f64(option, text, member, err);
    case RUB_OPTION_BOOL:
        return parse_bool(text, member, err);
    case RUB_OPTION_STR:
        return parse_string(config, option, text, member, err);
    case RUB_OPTION_ENUM:
        return parse_enum(config, option, text, member, err);
    case RUB_OPTION_STALENESS:
        return parse_staleness(option, text, member, err);
    case RUB_OPTION_MS:
        return parse_ms(match, text, member, err);
    case RUB_OPTION_BYTES:
        return parse_bytes(option, text, member, err);
    case RUB_OPTION_LIST:
        return parse_list(option, text, member, err);
    case RUB_OPTION_ITEMS:
        return parse_items(config, option, text, member, err);
    }
    RUB_ASSERT(!"a type of options.def");
    return rub_fail(err, RUB_EINTERNAL, "option of an unknown type");
}

/* ---- value to text ---- */

/* The shortest of 15 to 17 digits that reads back as the same number. */
static void format_f64(double value, char *out, size_t out_bytes)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, out_bytes, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            return;
        }
    }
}

static void format_list(const rub_u64_list_t *list, char *out, size_t out_bytes)
{
    size_t used = (size_t)snprintf(out, out_bytes, "[");
    for (uint32_t i = 0; i < list->n_items && used < out_bytes; i++) {
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%" PRIu64, i ? ", " : "",
                                 list->items[i]);
    }
    if (used < out_bytes) {
        snprintf(out + used, out_bytes - used, "]");
    }
}

static void format_bytes(uint64_t value, char *out, size_t out_bytes)
{
    static const char units[] = {0, 'K', 'M', 'G', 'T'};
    int unit = 0;
    for (; value && value % 1024 == 0 && unit < 4; unit++) {
        value /= 1024;
    }
    snprintf(out, out_bytes, "%" PRIu64 "%.1s", value, unit ? &units[unit] : "");
}

const char *rub_staleness_text(uint64_t staleness, char *out, size_t out_bytes)
{
    if (staleness == 0 || staleness == RUB_ASYNC) {
        snprintf(out, out_bytes, "%s", staleness ? "async" : "bsp");
    } else {
        snprintf(out, out_bytes, "%" PRIu64, staleness);
    }
    return out;
}

const char *rub_option_format(const rub_config_t *config, const rub_option_t *option, char *out,
                              size_t out_bytes)
{
    const void *member = (const char *)config + option->offset;
    const uint64_t *number = member;
    switch (option->type) {
    case RUB_OPTION_F64:
        format_f64(*(const double *)member, out, out_bytes);
        break;
    case RUB_OPTION_BOOL:
        snprintf(out, out_bytes, "%s", *(const bool *)member ? "true" : "false");
        break;
    case RUB_OPTION_STR:
        snprintf(out, out_bytes, "%s", *(const char *const *)member);
        break;
    case RUB_OPTION_ITEMS:
        snprintf(out, out_bytes, "[%s]", *(const char *const *)member);
        break;
    case RUB_OPTION_ENUM: {
        const rub_span_t word = word_at(option->words, *(const int *)member);
        snprintf(out, out_bytes, "%.*s", (int)word.bytes, (const char *)word.data);
        break;
    }
    case RUB_OPTION_STALENESS:
        rub_staleness_text(*number, out, out_bytes);
        break;
    case RUB_OPTION_BYTES:
        format_bytes(*number, out, out_bytes);
        break;
    case RUB_OPTION_LIST:
        format_list(member, out, out_bytes);
        break;
    case RUB_OPTION_U64:
    case RUB_OPTION_MS:
        if (*number == UINT64_MAX && strstr(option->words, "|any")) {
            snprintf(out, out_bytes, "any");
        } else {
            snprintf(out, out_bytes, "%" PRIu64, *number);
        }
        break;
    }
    return out;
}
