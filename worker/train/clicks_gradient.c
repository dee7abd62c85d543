/* The arithmetic of a step, apart from the rows' way: the yardstick of `rubato bench train` is only
 * one as long as it computes what a fleet's worker does.
 *
 * Invariant: nothing here knows where arrays come from. */
#include "worker/train/clicks_gradient.h"

#include "common/base/check.h"

enum { EMBEDDINGS = 1 }; /* the table of them, in deep models */

rub_sparse_rows_t rub_clicks_rows(const rub_sparse_batch_t *batch)
{
    return (rub_sparse_rows_t){.n = batch->count,
                               .starts = batch->starts,
                               .places = batch->places,
                               .values = batch->values,
                               .labels = batch->labels,
                               .n_places = batch->n_keys};
}

/* How the embeddings of a batch lie; NULL: side by side, all as wide. */
static const rub_field_lines_t *fields_of(rub_clicks_task_t *task, const rub_sparse_batch_t *batch)
{
    return task->data.columns.n_own > 0 ? rub_field_layout_lines(&task->layout, batch) : NULL;
}

void rub_clicks_deep_scores(rub_clicks_task_t *task, const rub_sparse_batch_t *batch,
                            const rub_clicks_arrays_t *arrays, float *scores)
{
    const rub_sparse_rows_t rows = rub_clicks_rows(batch);
    rub_deep_score_rows(task->deep, arrays->network, arrays->rows[EMBEDDINGS],
                        fields_of(task, batch), &rows, scores);
}

void rub_clicks_gradient(rub_clicks_task_t *task, const rub_sparse_batch_t *batch,
                         const rub_clicks_arrays_t *arrays, rub_sparse_figures_t *figures_p)
{
    const rub_sparse_rows_t rows = rub_clicks_rows(batch);
    if (!task->deep) {
        rub_sparse_model_gradient(task->model, arrays->rows, &rows, arrays->row_gradients,
                                  figures_p);
        return;
    }
    rub_clicks_deep_scores(task, batch, arrays, task->more);
    rub_sparse_model_gradient_with(task->model, arrays->rows, &rows, task->more, task->slopes,
                                   arrays->row_gradients, figures_p);
    rub_deep_score_step(task->deep, arrays->network, fields_of(task, batch), &rows, task->slopes,
                        arrays->network_gradients, arrays->row_gradients[EMBEDDINGS]);
}

void rub_clicks_clip(const rub_clicks_task_t *task, const rub_clicks_arrays_t *arrays,
                     size_t n_keys)
{
    float *gradients[RUB_SPARSE_TABLES_MOST + 2 * (RUB_MODEL_HIDDEN_LIMIT + 1)];
    size_t sizes[RUB_COUNT_OF(gradients)], n_rows = 0, n_network = 0;
    const rub_sparse_table_t *rows = rub_sparse_model_tables(task->model, &n_rows);
    const rub_model_table_t *network =
        task->deep ? rub_model_tables(rub_deep_score_network(task->deep), &n_network) : NULL;
    RUB_ASSERT(n_rows + n_network <= RUB_COUNT_OF(gradients));
    for (size_t t = 0; t < n_rows; t++) {
        gradients[t] = arrays->row_gradients[t];
        sizes[t] = rub_sparse_lines(&rows[t], n_keys) * rows[t].width;
    }
    for (size_t t = 0; t < n_network; t++) {
        gradients[n_rows + t] = arrays->network_gradients[t];
        sizes[n_rows + t] = (size_t)network[t].elements;
    }
    (void)rub_clip_gradients(&task->update.clip, gradients, sizes, n_rows + n_network);
}
