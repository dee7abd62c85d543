/* Mutants: bugs of the protocol that we plant on purpose, to learn whether our tests would notice
 * them.
 *
 * A program that ships contains none: RUB_MUTANT is the constant 0 there, and the compiler drops
 * what hangs on it. Tests that are built with RUBATO_MUTANTS link a second set of objects in which
 * one mutant can be chosen at run time. Each is a row of mutants.def, which also says which test
 * must kill it; CONTRIBUTING.md says how to add one. */
#ifndef RUB_MUTANT_H
#define RUB_MUTANT_H

typedef enum {
    RUB_MUTANT_NONE = 0,
#define RUB_MUTANT_ROW(name, killer, sentence) RUB_MUTANT_##name,
#include "common/base/mutants.def"
#undef RUB_MUTANT_ROW
    RUB_MUTANTS_END
} rub_mutant_t;

#ifdef RUBATO_MUTANTS
extern rub_mutant_t rub_mutant_chosen; /* tests/mutants/mutant_choice.c */
#define RUB_MUTANT(name) (rub_mutant_chosen == RUB_MUTANT_##name)
#else
#define RUB_MUTANT(name) ((int)RUB_MUTANT_##name < 0) /* constant: never */
#endif

#endif
