/* Files of ratings, plain or compressed. The first byte says whether ratings may be left off,
 * whether small ones are passed over, and whether a part is held out. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/rating_set.h"

#include <math.h>

static void check(const rub_rating_set_t *set)
{
    const size_t n_users = rub_vocabulary_size(set->users);
    const size_t n_items = rub_vocabulary_size(set->items);
    RUB_ASSERT(set->train.n > 0);
    RUB_ASSERT(set->starts[n_users] == set->train.n);
    RUB_ASSERT(isfinite(set->mean));
    for (size_t i = 0; i < set->train.n; i++) {
        RUB_ASSERT(set->train.items[i].user < n_users);
        RUB_ASSERT(set->train.items[i].item < n_items);
        RUB_ASSERT(set->known[i] < n_items);
    }
}

static void check_others(const rub_rating_set_t *set, const rub_rating_list_t *others)
{
    const size_t n_users = rub_vocabulary_size(set->users);
    const size_t n_items = rub_vocabulary_size(set->items);
    for (size_t i = 0; i < others->n; i++) {
        const rub_rating_t *rating = &others->items[i];
        RUB_ASSERT(rating->user < n_users || rating->user == RUB_NO_WORD);
        RUB_ASSERT(rating->item < n_items || rating->item == RUB_NO_WORD);
        RUB_ASSERT(i == 0 || rating[-1].user <= rating->user);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const rub_rating_set_options_t options = {.train = rub_fuzz_file(0, data + 1, size - 1),
                                              .interactions = data[0] & 1,
                                              .least = data[0] & 2 ? 2 : 0,
                                              .held_out = data[0] & 4 ? 0.25 : 0,
                                              .seed = data[0]};
    rub_rating_set_t *set = NULL;
    rub_error_t err = {0};
    if (rub_rating_set_open(&options, &set, &err) != 0) {
        RUB_ASSERT(!set);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    check(set);
    const rub_rating_options_t file = {.path = options.train,
                                       .interactions = true,
                                       .held_out = options.held_out,
                                       .take_held_out = true,
                                       .held_out_seed = data[0]};
    rub_rating_list_t others = {0};
    if (rub_rating_set_read(set, &file, &others, &err) == 0) {
        check_others(set, &others);
    }
    rub_rating_list_fini(&others);
    rub_rating_set_close(&set);
    return 0;
}
