/* The chosen mutant: by the runner in its children, or, for unit tests that are built with mutants,
 * by the environment before main() begins. */
#include "tests/mutants/mutant_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rub_mutant_t rub_mutant_chosen = RUB_MUTANT_NONE;

static const rub_mutant_row_t rows[] = {
    {"NONE", "", "nothing is planted"},
#define RUB_MUTANT_ROW(name, killer, sentence) {#name, killer, sentence},
#include "common/base/mutants.def"
#undef RUB_MUTANT_ROW
};

const rub_mutant_row_t *rub_mutant_row(rub_mutant_t mutant)
{
    return &rows[mutant];
}

rub_mutant_t rub_mutant_of_name(const char *name)
{
    int mutant = RUB_MUTANT_NONE;
    while (mutant < RUB_MUTANTS_END && strcmp(rows[mutant].name, name) != 0) {
        mutant++;
    }
    return (rub_mutant_t)mutant;
}

__attribute__((constructor)) static void choose(void)
{
    const char *name = getenv("RUBATO_MUTANT");
    if (name) {
        rub_mutant_chosen = rub_mutant_of_name(name);
        if (rub_mutant_chosen == RUB_MUTANTS_END) {
            fprintf(stderr, "RUBATO_MUTANT=%s: no such mutant\n", name);
            exit(2);
        }
    }
}
