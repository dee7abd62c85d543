/* Which mutant lives in this process. */
#ifndef RUB_MUTANT_CHOICE_H
#define RUB_MUTANT_CHOICE_H

#include "common/base/mutant.h"

typedef struct rub_mutant_row {
    const char *name, *killer, *sentence;
} rub_mutant_row_t;

/* Row of a mutant, NONE included. */
const rub_mutant_row_t *rub_mutant_row(rub_mutant_t mutant);
/* RUB_MUTANTS_END: there is none of that name. */
rub_mutant_t rub_mutant_of_name(const char *name);

#endif
