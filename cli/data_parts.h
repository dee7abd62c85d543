/* Which of `rubato data split`'s parts an example goes to.
 *
 * Each is dealt by a draw of its own, a function of the seed and its number, so that a split
 * repeats, needs no memory, and does not change for the examples before when some are added behind.
 * The parts are so large on the average, not to the example. Pure. */
#ifndef RUB_DATA_PARTS_H
#define RUB_DATA_PARTS_H

#include "common/conf/config.h"

enum { RUB_DATA_PARTS = 3 };

typedef struct rub_data_parts {
    uint64_t seed;
    double ends[RUB_DATA_PARTS]; /* of each part in [0, 1] */
} rub_data_parts_t;

/* What the config's parts say, "0.8,0.1,0.1"; those that are left off are of nothing. RUB_ECONFIG.
 */
int rub_data_parts_read(const rub_config_t *config, rub_data_parts_t *self, rub_error_t *err);

/* "train", "valid", "test". */
const char *rub_data_part_name(size_t part);
/* Is anything dealt to it? */
bool rub_data_parts_wants(const rub_data_parts_t *self, size_t part);
/* The part of example `number`, from 0. */
size_t rub_data_parts_deal(const rub_data_parts_t *self, uint64_t number);

#endif
