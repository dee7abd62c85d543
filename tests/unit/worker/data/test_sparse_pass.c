/* One pass over examples: all of them, once, in the order of the files, however batches cut them.
 */
#include "worker/data/sparse_pass.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7 }; /* of each file */

typedef struct folder {
    char path[40], first[64], second[64], words[140];
    rub_sparse_options_t options;
    rub_error_t err;
} folder_t;

/* Labels tell the rows apart: row i of both files together is a click when i is a multiple of 3. */
static void write_table(const char *path, unsigned from, const char *tail)
{
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    fputs("clicked,price,city\n", file);
    for (unsigned i = from; i < from + ROWS; i++) {
        fprintf(file, "%d,%u.5,\"a, %u\"\n", i % 3 == 0, i + 1, i);
    }
    fputs(tail, file);
    fclose(file);
}

static void folder_init(folder_t *self, const char *tail)
{
    *self = (folder_t){.path = "/tmp/rubato-pass-XXXXXX"};
    assert_non_null(mkdtemp(self->path));
    (void)snprintf(self->first, sizeof self->first, "%s/a.csv", self->path);
    (void)snprintf(self->second, sizeof self->second, "%s/b.csv", self->path);
    (void)snprintf(self->words, sizeof self->words, "%s,%s", self->first, self->second);
    write_table(self->first, 0, "");
    write_table(self->second, ROWS, tail);
    rub_sparse_options_defaults(&self->options);
    self->options.format = "csv";
    self->options.path = self->words;
    self->options.csv_label = "clicked";
    self->options.csv_words = "city";
    self->options.csv_header = true;
}

static void folder_fini(folder_t *self)
{
    assert_int_equal(rub_fs_remove_tree(self->path, NULL), 0);
}

/* Reads all; what next said at last. */
static int read_all(folder_t *self, size_t capacity, unsigned *n_p)
{
    rub_sparse_pass_t *pass = NULL;
    rub_sparse_batch_t *batch = rub_sparse_batch_new(capacity);
    assert_non_null(batch);
    assert_int_equal(rub_sparse_pass_open(&self->options, &pass, &self->err), 0);
    *n_p = 0;
    int rc = rub_sparse_pass_next(pass, batch, &self->err);
    while (rc == 0 && batch->count > 0) {
        assert_true(batch->count <= capacity);
        for (size_t i = 0; i < batch->count; i++) {
            assert_int_equal(batch->labels[i], *n_p % 3 == 0);
            assert_int_equal(batch->starts[i + 1] - batch->starts[i], 2);
            (*n_p)++;
        }
        rc = rub_sparse_pass_next(pass, batch, &self->err);
    }
    rub_sparse_pass_close(&pass);
    rub_sparse_batch_destroy(&batch);
    return rc;
}

static void what_is_no_example_is_refused_with_its_place(void **state)
{
    RUB_UNUSED(state);
    folder_t f;
    unsigned n = 0;
    folder_init(&f, "1,x,y\n");
    assert_int_equal(read_all(&f, 4, &n), RUB_EDATA);
    assert_non_null(strstr(f.err.message, f.second));
    assert_non_null(strstr(f.err.message, "line 9, column 3"));
    assert_int_equal(n, 12); /* whole batches before the one that fails */
    folder_fini(&f);
}

static void every_example_comes_once_whatever_a_batch_holds(void **state)
{
    RUB_UNUSED(state);
    static const size_t capacities[] = {1, 2, ROWS, ROWS + 1, 2 * ROWS, 100};
    folder_t f;
    folder_init(&f, "\n");
    for (size_t i = 0; i < RUB_COUNT_OF(capacities); i++) {
        unsigned n = 0;
        assert_int_equal(read_all(&f, capacities[i], &n), 0);
        assert_int_equal(n, 2 * ROWS);
    }
    folder_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_example_is_refused_with_its_place),
        cmocka_unit_test(every_example_comes_once_whatever_a_batch_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
