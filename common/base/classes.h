/* How many classes there may be. Options ask for them, files of examples name them, and models have
 * a score for each, three layers that do not see each other; so the bound is here, once. */
#ifndef RUB_CLASSES_H
#define RUB_CLASSES_H

#define RUB_CLASSES_LIMIT 65536u /* a label is below it, from 0 on */

#endif
