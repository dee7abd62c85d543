/* The text of a history: one line per event, short enough to be written with one call and plain
 * enough to be read with the eye and with grep. What is not there is "-". */
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/wire/header.h"
#include "tests/history/history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const durabilities[] = {
    [RUB_DURABILITY_NONE] = "none",
    [RUB_DURABILITY_JOURNAL] = "journal",
    [RUB_DURABILITY_SYNC] = "sync",
};
static const char *const fates[] = {"left", "killed", "fenced"};

size_t rub_history_line_limit(const rub_history_config_t *config)
{
    return 256 + (size_t)24 * config->n_writers * config->n_rows + (size_t)4 * RUB_HISTORY_ROWS;
}

/* ---- writing ---- */

/* A number, or "-" for what is not known. */
static size_t put(char *out, size_t limit, size_t at, uint64_t number)
{
    return at + (size_t)(number == RUB_HISTORY_UNKNOWN
                             ? snprintf(out + at, limit - at, " -")
                             : snprintf(out + at, limit - at, " %" PRIu64, number));
}

static size_t put_row(char *out, size_t limit, size_t at, uint32_t row)
{
    return put(out, limit, at, row == RUB_HISTORY_ALL ? RUB_HISTORY_UNKNOWN : row);
}

static size_t put_values(const rub_history_config_t *config, const float *values, char *out,
                         size_t limit, size_t at)
{
    for (size_t i = 0; i < (size_t)config->n_writers * config->n_rows; i++) {
        at += (size_t)snprintf(out + at, limit - at, " %.9g", (double)values[i]);
    }
    return at;
}

size_t rub_history_write_line(const rub_history_config_t *config, const rub_history_event_t *event,
                              char *line, size_t limit)
{
    const bool alone = event->kind == RUB_HISTORY_LOST || event->kind == RUB_HISTORY_SENT_AGAIN ||
                       event->kind == RUB_HISTORY_VERDICT || event->kind == RUB_HISTORY_BACK ||
                       event->kind == RUB_HISTORY_MINIMUM;
    size_t at = (size_t)(alone ? snprintf(line, limit, "%" PRIu64 " %c %u", event->time_us,
                                          (char)event->kind, event->writer)
                               : snprintf(line, limit, "%" PRIu64 " %c %u.%u", event->time_us,
                                          (char)event->kind, event->writer, event->epoch));
    switch (event->kind) {
    case RUB_HISTORY_OPEN:
    case RUB_HISTORY_CLOCK:
        at = put(line, limit, at, event->clock);
        break;
    case RUB_HISTORY_PUSH:
    case RUB_HISTORY_ACK:
    case RUB_HISTORY_ASK:
        at = put(line, limit, at, event->number);
        at = put(line, limit, at, event->clock);
        break;
    case RUB_HISTORY_READ:
        at = put(line, limit, at, event->number);
        at = put(line, limit, at, event->gap);
        at = put_values(config, event->values, line, limit, at);
        break;
    case RUB_HISTORY_FINAL:
        at = put_values(config, event->values, line, limit, at);
        break;
    case RUB_HISTORY_END:
        at += (size_t)snprintf(line + at, limit - at, " %s", fates[event->fate]);
        break;
    case RUB_HISTORY_DOUBT:
    case RUB_HISTORY_MINIMUM:
        at = put(line, limit, at, event->number);
        break;
    case RUB_HISTORY_LOST:
    case RUB_HISTORY_SENT_AGAIN:
    case RUB_HISTORY_VERDICT:
        at = put_row(line, limit, at, event->row);
        at = put(line, limit, at, event->number);
        break;
    case RUB_HISTORY_BACK:
        at = put_row(line, limit, at, event->row);
        break;
    }
    line[at++] = '\n';
    return at;
}

size_t rub_history_write_header(const rub_history_config_t *config, char *line, size_t limit)
{
    size_t at = (size_t)snprintf(line, limit, "rubato-history 1 writers=%u rows=%u staleness=",
                                 config->n_writers, config->n_rows);
    at += (size_t)(config->staleness == RUB_ASYNC
                       ? snprintf(line + at, limit - at, "-")
                       : snprintf(line + at, limit - at, "%" PRIu64, config->staleness));
    at +=
        (size_t)snprintf(line + at, limit - at, " durability=%s", durabilities[config->durability]);
    for (uint32_t i = 0; config->grouped && i < config->n_rows; i++) {
        at += (size_t)snprintf(line + at, limit - at, "%s%u", i == 0 ? " groups=" : ",",
                               config->groups[i]);
    }
    line[at++] = '\n';
    return at;
}

/* ---- reading: a cursor with a sticky failure ---- */

typedef struct cursor {
    const char *at;
    bool failed;
} cursor_t;

static bool take_char(cursor_t *in, char c)
{
    if (in->failed || *in->at != c) {
        in->failed = true;
        return false;
    }
    in->at++;
    return true;
}

static uint64_t take_number(cursor_t *in)
{
    if (in->failed || *in->at < '0' || *in->at > '9') {
        in->failed = true;
        return 0;
    }
    char *end = NULL;
    const uint64_t number = strtoull(in->at, &end, 10);
    in->at = end;
    return number;
}

static uint64_t next_number(cursor_t *in)
{
    take_char(in, ' ');
    return take_number(in);
}

static uint64_t next_or_unknown(cursor_t *in)
{
    take_char(in, ' ');
    if (!in->failed && *in->at == '-') {
        in->at++;
        return RUB_HISTORY_UNKNOWN;
    }
    return take_number(in);
}

static uint32_t next_row(cursor_t *in, const rub_history_config_t *config)
{
    const uint64_t row = next_or_unknown(in);
    if (row == RUB_HISTORY_UNKNOWN) {
        return RUB_HISTORY_ALL;
    }
    in->failed = in->failed || row >= config->n_rows;
    return (uint32_t)row;
}

static const float *next_values(cursor_t *in, const rub_history_config_t *config, float *values)
{
    for (size_t i = 0; i < (size_t)config->n_writers * config->n_rows && take_char(in, ' '); i++) {
        char *end = NULL;
        values[i] = strtof(in->at, &end);
        in->failed = in->failed || end == in->at;
        in->at = end;
    }
    return values;
}

static size_t take_word(cursor_t *in, const char *const *words, size_t n_words)
{
    for (size_t i = 0; i < n_words && !in->failed; i++) {
        const size_t length = strlen(words[i]);
        if (strncmp(in->at, words[i], length) == 0) {
            in->at += length;
            return i;
        }
    }
    in->failed = true;
    return 0;
}

static void take_rest(cursor_t *in, const rub_history_config_t *config, float *values,
                      rub_history_event_t *event)
{
    switch (event->kind) {
    case RUB_HISTORY_OPEN:
    case RUB_HISTORY_CLOCK:
        event->clock = next_number(in);
        break;
    case RUB_HISTORY_PUSH:
    case RUB_HISTORY_ACK:
        event->number = next_number(in);
        event->clock = next_number(in);
        break;
    case RUB_HISTORY_ASK:
        event->number = next_number(in);
        event->clock = next_or_unknown(in);
        break;
    case RUB_HISTORY_READ:
        event->number = next_number(in);
        event->gap = next_or_unknown(in);
        event->values = next_values(in, config, values);
        break;
    case RUB_HISTORY_FINAL:
        event->values = next_values(in, config, values);
        break;
    case RUB_HISTORY_END:
        take_char(in, ' ');
        event->fate = (rub_history_fate_t)take_word(in, fates, RUB_COUNT_OF(fates));
        break;
    case RUB_HISTORY_DOUBT:
    case RUB_HISTORY_MINIMUM:
        event->number = next_or_unknown(in);
        break;
    case RUB_HISTORY_LOST:
    case RUB_HISTORY_SENT_AGAIN:
    case RUB_HISTORY_VERDICT:
        event->row = next_row(in, config);
        event->number = next_number(in);
        break;
    case RUB_HISTORY_BACK:
        event->row = next_row(in, config);
        break;
    }
}

int rub_history_read_line(const rub_history_config_t *config, const char *line, float *values,
                          rub_history_event_t *event, rub_error_t *err)
{
    cursor_t in = {.at = line};
    *event = (rub_history_event_t){.time_us = take_number(&in)};
    take_char(&in, ' ');
    if (!in.failed && *in.at != '\0' && strchr("OPACQREDLSVBMF", *in.at)) {
        event->kind = (rub_history_kind_t)*in.at++;
    } else {
        in.failed = true;
    }
    event->writer = (uint32_t)next_number(&in);
    if (!in.failed && *in.at == '.') {
        in.at++;
        event->epoch = (uint32_t)take_number(&in);
    }
    if (!in.failed) {
        take_rest(&in, config, values, event);
    }
    if (in.failed || *in.at != '\0') {
        return rub_fail(err, RUB_EDATA, "column %zu of '%.60s' is not what belongs there",
                        (size_t)(in.at - line) + 1, line);
    }
    return 0;
}

static void take_groups(cursor_t *in, rub_history_config_t *config)
{
    config->grouped = true;
    for (uint32_t i = 0; i < config->n_rows && !in->failed; i++) {
        config->groups[i] = (uint8_t)take_number(in);
        if (i + 1 < config->n_rows) {
            take_char(in, ',');
        }
    }
}

static bool take_text(cursor_t *in, const char *text)
{
    const size_t length = strlen(text);
    if (in->failed || strncmp(in->at, text, length) != 0) {
        in->failed = true;
        return false;
    }
    in->at += length;
    return true;
}

int rub_history_read_header(const char *line, rub_history_config_t *config, rub_error_t *err)
{
    cursor_t in = {.at = line};
    *config = (rub_history_config_t){0};
    take_text(&in, "rubato-history 1 writers=");
    const uint64_t writers = take_number(&in);
    take_text(&in, " rows=");
    const uint64_t rows = take_number(&in);
    if (in.failed || writers > RUB_HISTORY_WRITERS || rows < 1 || rows > RUB_HISTORY_ROWS) {
        return rub_fail(err, RUB_EDATA,
                        "'%.60s' does not begin a history of at most %u writers with 1 to %u rows",
                        line, RUB_HISTORY_WRITERS, RUB_HISTORY_ROWS);
    }
    config->n_writers = (uint32_t)writers;
    config->n_rows = (uint32_t)rows;
    take_text(&in, " staleness=");
    if (!in.failed && *in.at == '-') {
        in.at++;
        config->staleness = RUB_ASYNC;
    } else {
        config->staleness = take_number(&in);
    }
    take_text(&in, " durability=");
    config->durability = (uint32_t)take_word(&in, durabilities, RUB_COUNT_OF(durabilities));
    if (!in.failed && *in.at == ' ' && take_text(&in, " groups=")) {
        take_groups(&in, config);
    }
    if (in.failed || *in.at != '\0') {
        return rub_fail(err, RUB_EDATA, "column %zu of header '%.80s' is not what belongs there",
                        (size_t)(in.at - line) + 1, line);
    }
    return 0;
}
