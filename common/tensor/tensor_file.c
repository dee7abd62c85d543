/* The table of formats. */
#include "common/tensor/tensor_file.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <string.h>

static const rub_tensor_format_t formats[] = {
    {"safetensors", ".safetensors", false, rub_safetensors_write, rub_safetensors_read},
    {"npz", ".npz", false, rub_npz_write, rub_npz_read},
    {"npy", ".npy", true, rub_npy_write, NULL},
};

const rub_tensor_format_t *rub_tensor_formats(size_t *n_p)
{
    *n_p = RUB_COUNT_OF(formats);
    return formats;
}

const rub_tensor_format_t *rub_tensor_format_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(formats); i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

const rub_tensor_format_t *rub_tensor_format_of(const char *path)
{
    const size_t bytes = strlen(path);
    for (size_t i = 0; i < RUB_COUNT_OF(formats); i++) {
        const size_t tail = strlen(formats[i].suffix);
        if (bytes > tail && strcmp(path + bytes - tail, formats[i].suffix) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

int rub_tensor_file_read(const rub_tensor_format_t *format, const char *path,
                         rub_weights_t *weights, rub_error_t *err)
{
    int rc = format->read ? format->read(path, weights, err)
                          : rub_fail(err, RUB_EDATA, "one array without a name: write it as .npz");
    rc = rc ? rc : rub_tensors_end(weights, err);
    if (rc == 0 && weights->n_tables == 0) {
        rc = rub_fail(err, RUB_EDATA, "it holds no tensors");
    }
    return rc ? rub_wrap(err, rc == RUB_EIO ? RUB_EDATA : rc, "'%s'", path) : 0;
}
