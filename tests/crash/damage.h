/* Damage that no power loss does: rot, cut files, swapped and stale segments. */
#ifndef RUB_DAMAGE_H
#define RUB_DAMAGE_H

#include "tests/crash/disk_image.h"

#define RUB_DAMAGE_KINDS 9u
#define RUB_DAMAGE_TEXT 300u
extern const char *const rub_damage_names[RUB_DAMAGE_KINDS];

/* Does one kind of damage to a random file of the image. old: an earlier state of the same disk,
 * for stale copies. Says in what (RUB_DAMAGE_TEXT bytes) what it did. */
void rub_damage_do(uint32_t kind, const rub_image_t *old, rub_rng_t *rng, rub_image_t *image,
                   char *what);

#endif
