/* Reads a list of layers: item {"," item}, where an item is NAME, NAME ":" NUMBER, or NAME ":" "{"
 * ARGUMENT ":" NUMBER
 * {"," ...} "}".
 *
 * The kinds' own tables say which arguments there are and between which bounds, so this file knows
 * no kind. A scanner walks over the text once; every refusal says which item, what it got, and what
 * was expected. */
#include "worker/model/layer_list.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 32 };

typedef struct scan {
    const char *at;
    size_t item; /* from 1 */
    const rub_layer_kind_t *kind;
    rub_error_t *err;
} scan_t;

static void skip_blanks(scan_t *self)
{
    self->at += strspn(self->at, " \t\n");
}

/* Moves past c, if that is what comes. */
static bool take(scan_t *self, char c)
{
    skip_blanks(self);
    const bool here = *self->at == c;
    self->at += here;
    return here;
}

static int refuse_text(const scan_t *self, const char *expected)
{
    return rub_fail(self->err, RUB_EINVAL, "item %zu: '%.20s' stands where %s is expected",
                    self->item, self->at, expected);
}

static int read_word(scan_t *self, char word[WORD_BYTES], const char *expected)
{
    skip_blanks(self);
    const size_t n = strspn(self->at, "abcdefghijklmnopqrstuvwxyz_");
    if (n == 0 || n >= WORD_BYTES) {
        return refuse_text(self, expected);
    }
    memcpy(word, self->at, n);
    word[n] = '\0';
    self->at += n;
    return 0;
}

static size_t count_arguments(const rub_layer_kind_t *kind)
{
    size_t n = 0;
    while (n < RUB_LAYER_ARGUMENTS && kind->arguments[n].name != NULL) {
        n++;
    }
    return n;
}

/* The value of argument number a. */
static int read_value(scan_t *self, size_t a, rub_layer_spec_t *spec)
{
    const rub_layer_argument_t *argument = &self->kind->arguments[a];
    skip_blanks(self);
    const size_t spelled = strspn(self->at, "+-.0123456789eE");
    char number[WORD_BYTES], *end = NULL;
    if (spelled == 0 || spelled >= sizeof number) {
        return refuse_text(self, "a number");
    }
    memcpy(number, self->at, spelled);
    number[spelled] = '\0';
    const double value = strtod(number, &end);
    if (*end != '\0' || !isfinite(value) || (argument->whole && value != floor(value))) {
        return refuse_text(self, argument->whole ? "a whole number" : "a number");
    }
    if (value < argument->least || value > argument->most) {
        return rub_fail(self->err, RUB_EINVAL, "item %zu (%s): %s %s, expected %.7g to %.7g",
                        self->item, self->kind->name, argument->name, number, argument->least,
                        argument->most);
    }
    spec->arguments[a] = value;
    self->at += spelled;
    return 0;
}

static int read_named_value(scan_t *self, rub_layer_spec_t *spec, bool given[RUB_LAYER_ARGUMENTS])
{
    const size_t n = count_arguments(self->kind);
    char name[WORD_BYTES];
    size_t a = 0;
    const int rc = read_word(self, name, "the name of an argument");
    if (rc != 0) {
        return rc;
    }
    while (a < n && strcmp(self->kind->arguments[a].name, name) != 0) {
        a++;
    }
    if (a == n) {
        char known[128] = "none";
        for (size_t i = 0, used = 0; i < n; i++) {
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                     self->kind->arguments[i].name);
        }
        return rub_fail(self->err, RUB_EINVAL,
                        "item %zu (%s): argument '%s' is not known, expected %s", self->item,
                        self->kind->name, name, known);
    }
    if (given[a]) {
        return rub_fail(self->err, RUB_EINVAL,
                        "item %zu (%s): argument '%s' is there twice, expected once", self->item,
                        self->kind->name, name);
    }
    given[a] = true;
    return take(self, ':') ? read_value(self, a, spec) : refuse_text(self, "':'");
}

static int read_arguments(scan_t *self, rub_layer_spec_t *spec, bool given[RUB_LAYER_ARGUMENTS])
{
    if (!take(self, '{')) {
        if (count_arguments(self->kind) == 0) {
            return rub_fail(self->err, RUB_EINVAL,
                            "item %zu (%s): takes no argument, expected ',' or the end", self->item,
                            self->kind->name);
        }
        given[0] = true;
        return read_value(self, 0, spec);
    }
    int rc = 0;
    do {
        rc = read_named_value(self, spec, given);
    } while (rc == 0 && take(self, ','));
    return rc == 0 && !take(self, '}') ? refuse_text(self, "',' or '}'") : rc;
}

static int read_item(scan_t *self, rub_layer_spec_t *spec)
{
    char name[WORD_BYTES];
    bool given[RUB_LAYER_ARGUMENTS] = {false};
    int rc = read_word(self, name, "the name of a layer");
    if (rc != 0) {
        return rc;
    }
    self->kind = rub_layer_kind_find(name);
    if (self->kind == NULL) {
        char known[160];
        size_t n = 0, used = 0;
        const rub_layer_kind_t *const *kinds = rub_layer_kinds(&n);
        for (size_t i = 0; i < n; i++) {
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                     kinds[i]->name);
        }
        return rub_fail(self->err, RUB_EINVAL,
                        "item %zu: layer '%s' is not known, expected one of %s", self->item, name,
                        known);
    }
    *spec = (rub_layer_spec_t){.kind = self->kind};
    for (size_t a = 0; a < count_arguments(self->kind); a++) {
        spec->arguments[a] = self->kind->arguments[a].fallback;
    }
    rc = take(self, ':') ? read_arguments(self, spec, given) : 0;
    for (size_t a = 0; rc == 0 && a < count_arguments(self->kind); a++) {
        if (!given[a] && isnan(self->kind->arguments[a].fallback)) {
            rc = rub_fail(self->err, RUB_EINVAL, "item %zu (%s): %s is missing, expected %s: %s",
                          self->item, name, self->kind->arguments[a].name, name,
                          a == 0 ? "and a number" : "{...}");
        }
    }
    return rc;
}

int rub_layer_list_read(const char *text, rub_layer_list_t *list, rub_error_t *err)
{
    scan_t self = {.at = text, .item = 1, .err = err};
    list->n_items = 0;
    for (;; self.item++) {
        if (list->n_items == RUB_LAYER_LIST_LIMIT) {
            return rub_fail(err, RUB_EINVAL, "item %zu: more than %u items", self.item,
                            RUB_LAYER_LIST_LIMIT);
        }
        const int rc = read_item(&self, &list->items[list->n_items]);
        if (rc != 0) {
            return rc;
        }
        list->n_items++;
        if (take(&self, ',')) {
            continue;
        }
        return *self.at == '\0' ? 0 : refuse_text(&self, "',' or the end");
    }
}

void rub_layer_list_add(rub_layer_list_t *list, const rub_layer_kind_t *kind, double argument)
{
    RUB_ASSERT(list->n_items < RUB_LAYER_LIST_LIMIT);
    rub_layer_spec_t *spec = &list->items[list->n_items++];
    *spec = (rub_layer_spec_t){.kind = kind};
    for (size_t a = 1; a < count_arguments(kind); a++) {
        spec->arguments[a] = kind->arguments[a].fallback;
    }
    spec->arguments[0] = argument;
}
