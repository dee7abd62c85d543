/* A list of a fixed size, and two ways to print it. A job has at most 512 ranks and 256 shards, so
 * the limit holds one finding on each of them; a list that is full keeps its last place for what
 * comes. */
#include "cli/findings.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <jansson.h>
#include <stdarg.h>

static const char *const verdicts[] = {"fine", "note", "problem"};

int rub_findings_init(rub_findings_t *self, rub_error_t *err)
{
    *self = (rub_findings_t){.items = rub_calloc(RUB_FINDINGS_LIMIT, sizeof *self->items)};
    return self->items ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a list of findings");
}

void rub_findings_fini(rub_findings_t *self)
{
    rub_free(self->items);
    *self = (rub_findings_t){0};
}

static rub_finding_t *add(rub_findings_t *self, rub_verdict_t verdict, int code,
                          const char *subject, const char *format, va_list arguments)
{
    if (self->n_items < RUB_FINDINGS_LIMIT) {
        self->n_items++;
    }
    rub_finding_t *item = &self->items[self->n_items - 1];
    *item = (rub_finding_t){.verdict = verdict, .code = code};
    snprintf(item->subject, sizeof item->subject, "%s", subject);
    vsnprintf(item->fact, sizeof item->fact, format, arguments);
    return item;
}

rub_finding_t *rub_findings_fine(rub_findings_t *self, const char *subject, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rub_finding_t *item = add(self, RUB_FINDING_FINE, 0, subject, format, arguments);
    va_end(arguments);
    return item;
}

rub_finding_t *rub_findings_note(rub_findings_t *self, const char *subject, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rub_finding_t *item = add(self, RUB_FINDING_NOTE, 0, subject, format, arguments);
    va_end(arguments);
    return item;
}

rub_finding_t *rub_findings_problem(rub_findings_t *self, int code, const char *subject,
                                    const char *format, ...)
{
    RUB_ASSERT(code < 0);
    va_list arguments;
    va_start(arguments, format);
    rub_finding_t *item = add(self, RUB_FINDING_PROBLEM, code, subject, format, arguments);
    va_end(arguments);
    return item;
}

void rub_finding_remedy(rub_finding_t *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->remedy, sizeof self->remedy, format, arguments);
    va_end(arguments);
}

static size_t count(const rub_findings_t *self, rub_verdict_t verdict)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_items; i++) {
        n += self->items[i].verdict == verdict;
    }
    return n;
}

int rub_findings_code(const rub_findings_t *self)
{
    for (size_t i = 0; i < self->n_items; i++) {
        if (self->items[i].verdict == RUB_FINDING_PROBLEM) {
            return self->items[i].code;
        }
    }
    return 0;
}

void rub_findings_print(const rub_findings_t *self, FILE *out)
{
    for (size_t i = 0; i < self->n_items; i++) {
        const rub_finding_t *item = &self->items[i];
        fprintf(out, "%-8s %-14s %s\n", verdicts[item->verdict], item->subject, item->fact);
        if (item->remedy[0]) {
            fprintf(out, "%23s -> %s\n", "", item->remedy);
        }
    }
    const size_t problems = count(self, RUB_FINDING_PROBLEM), notes = count(self, RUB_FINDING_NOTE);
    fprintf(out, "\n%zu looked at: %zu problem%s, %zu note%s\n", self->n_items, problems,
            problems == 1 ? "" : "s", notes, notes == 1 ? "" : "s");
}

void rub_findings_print_json(const rub_findings_t *self, FILE *out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < self->n_items; i++) {
        const rub_finding_t *item = &self->items[i];
        json_t *one = json_pack("{s:s, s:s, s:s}", "verdict", verdicts[item->verdict], "subject",
                                item->subject, "fact", item->fact);
        if (one && item->remedy[0]) {
            json_object_set_new(one, "remedy", json_string(item->remedy));
        }
        if (one && item->code) {
            json_object_set_new(one, "exit_code", json_integer(rub_error_exit_code(item->code)));
        }
        json_array_append_new(list, one);
    }
    json_t *root = json_pack("{s:b, s:i, s:i, s:o}", "healthy", rub_findings_code(self) == 0,
                             "problems", (int)count(self, RUB_FINDING_PROBLEM), "notes",
                             (int)count(self, RUB_FINDING_NOTE), "findings", list);
    json_dumpf(root, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(root);
}
