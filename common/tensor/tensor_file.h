/* Files of tensors, as rows of a table: safetensors (Hugging Face's format, v0.6), and NumPy's .npy
 * (one array) and .npz (a zip of those). Written for whoever reads those formats; read back for a
 * warm start. Float32 and u64 alone, little-endian, rows one behind the other. Blocks on files. */
#ifndef RUB_TENSOR_FILE_H
#define RUB_TENSOR_FILE_H

#include "common/base/whole_file.h"
#include "common/tensor/tensor.h"

/* A word about the file as a whole, where a format has a place for it. */
typedef struct rub_tensor_note {
    const char *name, *text;
} rub_tensor_note_t;

typedef struct rub_tensor_format {
    const char *name;
    const char *suffix; /* of files: ".npz" */
    bool single;        /* holds exactly one tensor */
    /* Errors of writing show when the stream is closed. RUB_ECONFIG: the format has no place for
     * that much, or that name; RUB_ENOMEM. */
    int (*write)(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                 size_t n_notes, rub_error_t *err);
    /* Adds what the file holds to weights (rub_tensors_add). NULL: not for reading. RUB_EDATA
     * says what is wrong where, RUB_EIO that the file cannot be read; RUB_ENOMEM. */
    int (*read)(const char *path, rub_weights_t *weights, rub_error_t *err);
} rub_tensor_format_t;

/* All formats; static. */
const rub_tensor_format_t *rub_tensor_formats(size_t *n_p);
/* NULL when there is none of that name. */
const rub_tensor_format_t *rub_tensor_format_named(const char *name);
/* By the end of a file's name; NULL: none. */
const rub_tensor_format_t *rub_tensor_format_of(const char *path);

/* Reads a file whole: its tensors as tables, complete and checked. RUB_EDATA names the file;
 * RUB_ENOMEM. */
int rub_tensor_file_read(const rub_tensor_format_t *format, const char *path,
                         rub_weights_t *weights, rub_error_t *err);

/* ---- the formats themselves, one file each ---- */

int rub_safetensors_write(FILE *out, const rub_tensor_t *tensors, size_t n,
                          const rub_tensor_note_t *notes, size_t n_notes, rub_error_t *err);
int rub_safetensors_read(const char *path, rub_weights_t *weights, rub_error_t *err);
int rub_npy_write(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                  size_t n_notes, rub_error_t *err);
int rub_npz_write(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                  size_t n_notes, rub_error_t *err);
/* One array without a name: as table "array", rows and width as it has them, for rub_tensors_end.
 */
int rub_npy_weights_read(const char *path, rub_weights_t *weights, rub_error_t *err);
int rub_npz_read(const char *path, rub_weights_t *weights, rub_error_t *err);

#endif
