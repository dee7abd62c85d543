/* `rubato data split FILES FOLDER`: deals the lines of sparse examples to train, valid and test.
 *
 * Each example is dealt by a draw of its own, a function of the seed and its number, so that a
 * split repeats, needs no memory, and does not change for the lines before when lines are added
 * behind. The parts are so large on the average, not to the line. Lines are written as they were
 * read; each part of a table has its header. */
#include "cli/data.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/whole_file.h"
#include "worker/data/sparse_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 3 };
#define SPLIT_STREAM (UINT64_C(0x73706c6974) << 16) /* "split" in ASCII */

static const char *const names[PARTS] = {"train", "valid", "test"};

typedef struct split {
    rub_whole_file_t *files[PARTS]; /* NULL: of no lines */
    char *paths[PARTS];
    double ends[PARTS]; /* of each part in [0, 1] */
    uint64_t counts[PARTS], n_examples, seed;
} split_t;

/* "0.8,0.1,0.1"; parts that are left off are empty. */
static int read_parts(const char *words, double ends[PARTS], rub_error_t *err)
{
    const char *at = words;
    double sum = 0;
    size_t n = 0;
    while (n < PARTS) {
        char *behind = NULL;
        const double part = strtod(at, &behind);
        if (behind == at || !(part >= 0 && part <= 1)) {
            break;
        }
        sum += part;
        ends[n++] = sum;
        at = behind;
        if (*at != ',') {
            break;
        }
        at++;
    }
    if (*at != '\0' || n == 0 || sum < 1 - 1e-9 || sum > 1 + 1e-9) {
        return rub_fail(err, RUB_ECONFIG,
                        "parts: '%s', expected up to %d numbers with commas between, whose sum is "
                        "1",
                        words, PARTS);
    }
    for (size_t i = n - 1; i < PARTS; i++) {
        ends[i] = 1;
    }
    return 0;
}

static int open_parts(split_t *self, const char *folder, const char *format, const char *header,
                      rub_error_t *err)
{
    rub_error_t cause = {0};
    int rc = rub_fs_mkdirs(folder, &cause) == 0
                 ? 0
                 : rub_fail(err, RUB_ESTORE, "the parts' folder: %s", cause.message);
    for (size_t i = 0; rc == 0 && i < PARTS; i++) {
        if (self->ends[i] <= (i > 0 ? self->ends[i - 1] : 0)) {
            continue; /* of no lines */
        }
        const bool libsvm = strcmp(format, "libsvm") == 0;
        const char *const suffix = libsvm ? "svm" : strcmp(format, "csv") == 0 ? "csv" : "tsv";
        self->paths[i] = rub_sprintf("%s/%s.%s", folder, names[i], suffix);
        rc = self->paths[i] ? rub_whole_file_open(self->paths[i], &self->files[i], err)
                            : rub_fail(err, RUB_ENOMEM, "no memory for names");
        if (rc == 0 && header != NULL) {
            fprintf(rub_whole_file_stream(self->files[i]), "%s\n", header);
        }
    }
    return rc;
}

static int deal(void *context, const rub_sparse_set_t *example, const char *text, size_t text_bytes,
                rub_error_t *err)
{
    split_t *const self = context;
    uint32_t words[4];
    RUB_UNUSED(example);
    rub_philox(self->seed, SPLIT_STREAM, self->n_examples++, words);
    const double drawn = (double)words[0] * 0x1p-32;
    size_t part = 0;
    while (part + 1 < PARTS && drawn >= self->ends[part]) {
        part++;
    }
    FILE *const out = rub_whole_file_stream(self->files[part]);
    self->counts[part]++;
    const bool written = fwrite(text, 1, text_bytes, out) == text_bytes && fputc('\n', out) != EOF;
    return written ? 0
                   : rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, errno,
                                    "'%s' cannot be written", self->paths[part]);
}

int rub_data_split(const rub_config_t *config, rub_error_t *err)
{
    rub_sparse_options_t options;
    split_t split = {.seed = config->seed};
    char *header = NULL;
    int rc = rub_data_options(config, config->words[1], &options, err);
    if (rc == 0 && !rub_sparse_format_known(options.format)) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "data_format: %s, expected lines of examples to deal: libsvm, criteo, csv or "
                      "tsv",
                      options.format);
        rc = rub_data_taken_for(config, options.format, rc, err);
    }
    rc = rc ? rc : read_parts(config->parts, split.ends, err);
    rc = rc ? rc : rub_sparse_scan_header(&options, &header, err);
    rc = rc ? rc : open_parts(&split, config->words[2], options.format, header, err);
    rc = rc ? rc : rub_sparse_scan(&options, deal, &split, err);
    rc = rc == RUB_EDATA ? rub_data_taken_for(config, options.format, rc, err) : rc;
    for (size_t i = 0; i < PARTS; i++) {
        rc = rc || !split.files[i] ? rc : rub_whole_file_finish(&split.files[i], err);
        rub_whole_file_abandon(&split.files[i]);
    }
    for (size_t i = 0; i < PARTS; i++) {
        if (rc == 0 && split.paths[i] != NULL) {
            printf("%-6s %12" PRIu64 " examples  %s\n", names[i], split.counts[i], split.paths[i]);
        }
        rub_free(split.paths[i]);
    }
    rub_free(header);
    return rc;
}
