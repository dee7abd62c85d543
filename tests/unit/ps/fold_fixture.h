/* Two shards of one job behind the recorder of shard_fixture.h, and their snapshots as files. */
#ifndef RUB_TEST_FOLD_FIXTURE_H
#define RUB_TEST_FOLD_FIXTURE_H

#include "common/base/fs.h"
#include "common/store/journal_file.h"
#include "ps/fold.h"
#include "ps/record.h"
#include "ps/shard_restore.h"
#include "tests/unit/ps/shard_fixture.h"

#include <unistd.h>

static inline int ff_state(void *context, void **data_p, size_t *n_bytes_p, rub_error_t *err)
{
    const fx_t *fx = context;
    RUB_UNUSED(err);
    *data_p = NULL;
    *n_bytes_p = 0;
    if (fx->state) {
        *data_p = rub_alloc(fx->n_state);
        memcpy(*data_p, fx->state, fx->n_state);
        *n_bytes_p = fx->n_state;
    }
    return 0;
}

static inline int ff_each_chunk(void *context, rub_store_visit_t visit, void *visit_context,
                                rub_error_t *err)
{
    const fx_t *fx = context;
    int rc = 0;
    for (size_t i = 0; i < fx->n_stored && rc == 0; i++) {
        rc = visit(visit_context, fx->stored[i].table, fx->stored[i].chunk, fx->stored[i].bytes,
                   fx->stored[i].n_bytes, err);
    }
    return rc;
}

/* The recorder's journal as files in folder. */
static inline void ff_write_journal(const fx_t *fx, const char *folder)
{
    rub_journal_t *journal = NULL;
    assert_int_equal(rub_fs_remove_tree(folder, NULL), 0);
    assert_int_equal(rub_journal_open(folder, 8u << 20, &journal, NULL), 0);
    for (size_t i = 0; i < fx->n_journal; i++) {
        const rub_span_t part = {fx->journal[i].bytes, fx->journal[i].n_bytes};
        assert_int_equal(rub_journal_append(journal, fx->journal[i].lsn,
                                            (uint8_t)fx->journal[i].type, &part, 1, NULL),
                         0);
        assert_int_equal(rub_journal_write(journal, NULL), 0);
    }
    rub_journal_close(&journal);
}

/* Folds what fx has stored and journaled, up to its last record, into folder/shard-<k>. */
static inline int ff_fold(const fx_t *fx, const char *folder, const rub_fold_cut_t *cut,
                          rub_fold_result_t *result, rub_error_t *err)
{
    char journal[200], path[200];
    snprintf(journal, sizeof(journal), "%s/journal", folder);
    snprintf(path, sizeof(path), "%s/shard-%u", folder, fx->config.shard);
    ff_write_journal(fx, journal);
    const rub_fold_request_t request = {
        .shard = fx->config.shard,
        .n_shards = fx->config.n_shards,
        .image = {.context = (void *)(uintptr_t)fx, .state = ff_state, .each_chunk = ff_each_chunk},
        .journal_dir = journal,
        .to_lsn = fx->journal[fx->n_journal - 1].lsn,
        .cut = *cut,
        .path = path};
    return rub_fold_write(&request, result, err);
}

#endif
