/* Lists of layers: any text becomes a list within its bounds or a sentence that names the item. */
#include "tests/fuzz/fuzz.h"
#include "worker/model/layer_list.h"

#include <string.h>

static void check_item(const rub_layer_spec_t *item)
{
    for (size_t a = 0; a < RUB_LAYER_ARGUMENTS && item->kind->arguments[a].name; a++) {
        const rub_layer_argument_t *argument = &item->kind->arguments[a];
        RUB_ASSERT(item->arguments[a] >= argument->least && item->arguments[a] <= argument->most);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    rub_layer_list_t list;
    rub_error_t err = {0};
    if (size >= sizeof(text) || memchr(data, 0, size)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    const int rc = rub_layer_list_read(text, &list, &err);
    RUB_ASSERT(rc == 0 || (rc == RUB_EINVAL && strncmp(err.message, "item ", 5) == 0));
    for (size_t i = 0; rc == 0 && i < list.n_items; i++) {
        check_item(&list.items[i]);
    }
    return 0;
}
