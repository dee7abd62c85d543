/* Runs leave their dictionaries in the run directory, so that old data need not be there. A
 * snapshot stands two folders below it; whoever moves a file of tensors takes the dictionaries
 * along. */
#include "cli/warm_ratings.h"

#include "cli/row_names.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/names_file.h"
#include "worker/data/rating_reader.h"
#include "worker/data/triple_reader.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The file of that name in init, or one or two folders above it, into path. */
static int find(const char *init, const char *name, char path[PATH_MAX], rub_error_t *err)
{
    static const char *const places[] = {"%s/%s", "%s/../%s", "%s/../../%s"};
    struct stat info;
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", init);
    const bool file = stat(init, &info) == 0 && S_ISREG(info.st_mode);
    const char *const folder = file ? dirname(copy) : copy;
    for (size_t i = 0; i < (file ? 1 : RUB_COUNT_OF(places)); i++) {
        if (snprintf(path, PATH_MAX, places[i], folder, name) < PATH_MAX && rub_fs_exists(path)) {
            return 0;
        }
    }
    return rub_fail(err, RUB_ECONFIG,
                    "whose rows these are is not known: %s of their run is not %s", name,
                    file ? "beside them" : "there");
}

static const char *name_of(void *context, uint32_t i)
{
    return rub_vocabulary_word(context, i);
}

/* The tables of one side, whose names begin with prefix. */
static int rename_side(const char *init, const char *file, const char *prefix,
                       rub_vocabulary_t *names, rub_weights_t *weights, rub_error_t *err)
{
    char path[PATH_MAX];
    size_t n = 0;
    rub_vocabulary_t *old = rub_vocabulary_new();
    int rc = old ? find(init, file, path, err) : rub_fail(err, RUB_ENOMEM, "no memory for names");
    rc = rc ? rc : rub_triple_reader_dictionary(path, old, &n, err);
    for (size_t t = 0; t < weights->n_tables && rc == 0; t++) {
        rub_weight_table_t *table = &weights->tables[t];
        if (!table->dense && strncmp(table->name, prefix, strlen(prefix)) == 0) {
            rc = rub_rows_rename(table, old, (uint32_t)rub_vocabulary_size(names), name_of, names,
                                 err);
        }
    }
    rub_vocabulary_destroy(&old);
    return rc;
}

/* Names as a file of vectors has them. */
typedef struct words {
    const rub_vocabulary_t *names;
    char room[RUB_RATING_NAME_LIMIT + 1];
} words_t;

static const char *word_of(void *context, uint32_t i)
{
    words_t *self = context;
    return rub_name_as_word(rub_vocabulary_word(self->names, i), self->room);
}

int rub_warm_names(const rub_ratings_task_t *task, const rub_vocabulary_t *names,
                   rub_weights_t *weights, rub_error_t *err)
{
    int rc = 0;
    for (size_t t = 0; t < weights->n_tables && rc == 0; t++) {
        rub_weight_table_t *table = &weights->tables[t];
        const bool users = strncmp(table->name, "mf/users", 8) == 0;
        words_t words = {.names = users ? task->set->users : task->set->items};
        rc = rub_rows_rename(table, names, (uint32_t)rub_vocabulary_size(words.names), word_of,
                             &words, err);
    }
    return rc;
}

int rub_warm_ratings(const rub_ratings_task_t *task, const char *init, rub_weights_t *weights,
                     rub_error_t *err)
{
    const int rc =
        rename_side(init, RUB_RATING_USERS_FILE, "mf/users", task->set->users, weights, err);
    return rc ? rc
              : rename_side(init, RUB_RATING_ITEMS_FILE, "mf/items", task->set->items, weights,
                            err);
}
