/* Who comes first when there are more threads than cores. All of it is a wish: what a kernel does
 * not know or does not allow is left as it was. */
#ifndef RUB_PRIORITY_H
#define RUB_PRIORITY_H

/* The calling thread, and those that it makes from now on, answer others and are short of it: who
 * runs already makes way for them at once, instead of at the end of its slice. Their share of the
 * time stays the same. Called once by programs, before threads are made; never by the library. */
void rub_priority_prompt(void);

/* The calling thread works in the background under this name (at most 15 bytes): the usual slice,
 * and so many nice steps below its process. Not the idle class, which may never get a turn. */
void rub_priority_background(const char *name, int steps);

#endif
