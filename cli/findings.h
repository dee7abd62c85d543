/* What a doctor found: a list of verdicts, each with its subject, a sentence, and what to do. */
#ifndef RUB_FINDINGS_H
#define RUB_FINDINGS_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define RUB_FINDINGS_LIMIT 2048u

typedef enum {
    RUB_FINDING_FINE = 0,
    RUB_FINDING_NOTE = 1,   /* works, but may surprise */
    RUB_FINDING_PROBLEM = 2 /* does not work, or will not */
} rub_verdict_t;

typedef struct rub_finding {
    rub_verdict_t verdict;
    int code;         /* of a problem: RUB_E*, which gives the exit code */
    char subject[48]; /* "port", "shard 3" */
    char fact[400];   /* subject, fact, bound */
    char remedy[240]; /* what to do; empty: nothing */
} rub_finding_t;

typedef struct rub_findings {
    rub_finding_t *items; /* in the order of adding */
    size_t n_items;
} rub_findings_t;

int rub_findings_init(rub_findings_t *self, rub_error_t *err); /* RUB_ENOMEM */
void rub_findings_fini(rub_findings_t *self);

/* Adds one, and returns it so that a remedy can be told; never NULL. Text is cut at its field's
 * size. */
rub_finding_t *rub_findings_fine(rub_findings_t *self, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
rub_finding_t *rub_findings_note(rub_findings_t *self, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
rub_finding_t *rub_findings_problem(rub_findings_t *self, int code, const char *subject,
                                    const char *format, ...) __attribute__((format(printf, 4, 5)));
void rub_finding_remedy(rub_finding_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The code of the first problem, 0: there is none. */
int rub_findings_code(const rub_findings_t *self);

/* For people: a line each, problems with their remedy below; then how many there are. */
void rub_findings_print(const rub_findings_t *self, FILE *out);
/* One line of JSON: {"healthy":..,"problems":..,"notes":..,"findings":[{..}]}. */
void rub_findings_print_json(const rub_findings_t *self, FILE *out);

#endif
