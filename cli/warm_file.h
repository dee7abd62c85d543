/* Weights of a file, for a warm start: tensors (.safetensors, .npz), a network (.onnx), one table
 * (.npy, .tsv), or word vectors in word2vec's formats (anything else). */
#ifndef RUB_WARM_FILE_H
#define RUB_WARM_FILE_H

#include "common/conf/config.h"
#include "common/num/weights.h"
#include "common/wire/table_schema.h"
#include "worker/data/vocabulary.h"
#include "worker/train/task.h"

/* The model that begins: what its task is, and the tables that its workers will ask for. */
typedef struct rub_warm_model {
    const rub_config_t *config; /* init: the file; table: which one a file of one table is of */
    const rub_task_t *task;
    const rub_table_view_t *tables;
    uint32_t n_tables;
} rub_warm_model_t;

/* Adds what the file holds to weights. *names_p: what the numbers that rows have there are called,
 * a new vocabulary, the caller's; NULL where keys are the model's own numbers, or it is not said.
 * RUB_EDATA: the file is malformed, with line and column, or byte; RUB_ECONFIG: which table it is
 * of is not known, or such a file does not hold such a table; RUB_ENOMEM. Blocks. */
int rub_warm_file_read(const rub_warm_model_t *model, rub_weights_t *weights,
                       rub_vocabulary_t **names_p, rub_error_t *err);

#endif
