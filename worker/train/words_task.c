/* Word vectors over a session. Two batches take turns: while one is trained the next is sampled and
 * its rows are on their way (delta_rows.h). The vocabulary is every worker's own and the same,
 * whether each has read the text or all together (word_counting.h); rank 0 leaves it beside the
 * run, for those who want the vectors. */
#include "worker/train/words_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/word_batch.h"
#include "worker/train/batch_turns.h"
#include "worker/train/kept_names.h"
#include "worker/train/vectors_out.h"
#include "worker/train/word_counting.h"
#include "worker/train/word_tables.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LEAST_RATE 1e-4 /* of lr, at the very end */

typedef struct words {
    rub_words_task_t open; /* what is known before there is a session */
    const rub_config_t *config;
    rub_word_sampler_t *sampler;
    rub_delta_rows_t *rows;
    uint32_t *row_of;
    rub_word_batch_t *batches[2], *test_batch;
    rub_batch_turns_t turns;
} words_t;

/* ---- opening ---- */

bool rub_words_task_wanted(const rub_config_t *config)
{
    return rub_word_kind_find(rub_config_word(config, RUB_OPT_model_kind)) != NULL;
}

rub_word_spec_t rub_words_spec(const rub_config_t *config)
{
    return (rub_word_spec_t){.kind =
                                 rub_word_kind_find(rub_config_word(config, RUB_OPT_model_kind)),
                             .width = (uint32_t)config->dim,
                             .window = (uint32_t)config->window,
                             .negatives = (uint32_t)config->negatives};
}

rub_subword_spec_t rub_words_ngrams(const rub_config_t *config)
{
    return config->maxn == 0 ? (rub_subword_spec_t){0}
                             : (rub_subword_spec_t){.minn = (uint32_t)config->minn,
                                                    .maxn = (uint32_t)config->maxn,
                                                    .buckets = (uint32_t)config->bucket};
}

static int check_config(const rub_config_t *config, rub_error_t *err)
{
    const char *kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *format = rub_config_word(config, RUB_OPT_data_format);
    if (strcmp(format, "text") != 0) {
        return rub_fail(err, RUB_ECONFIG, "data_format: %s, %s trains on text", format, kind);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: nothing to train on");
    }
    if (config->optimizer != RUB_ADD) {
        return rub_fail(err, RUB_ECONFIG,
                        "optimizer: %s, %s steps on the worker and pushes sums: expected add",
                        rub_config_word(config, RUB_OPT_optimizer), kind);
    }
    if (config->schedule != RUB_SCHEDULE_CONSTANT) {
        return rub_fail(err, RUB_ECONFIG,
                        "schedule: %s, %s's rate falls linearly by itself: expected constant",
                        rub_config_word(config, RUB_OPT_schedule), kind);
    }
    return rub_vectors_out_check(config->vectors, err);
}

/* Once the vocabulary is there. */
static int open_others(words_t *self, rub_error_t *err)
{
    const rub_config_t *const config = self->config;
    rub_words_task_t *const open = &self->open;
    const rub_vocabulary_t *const words = open->train->vocabulary;
    int rc = 0;
    if (config->batch > open->train->n_tokens) {
        rc = rub_fail(err, RUB_ECONFIG, "batch: %llu, the text has %zu tokens",
                      (unsigned long long)config->batch, open->train->n_tokens);
    }
    if (rc == 0 && config->test_file[0] != '\0') {
        rc = rub_corpus_open_with(config->test_file, words, &open->test, err);
    }
    if (rc == 0 && open->ngrams.buckets > 0) {
        rc = rub_subwords_new(&open->ngrams, words, &open->subwords, err);
    }
    const size_t n_rows =
        2 * rub_vocabulary_size(words) + (open->subwords ? open->subwords->n_buckets : 0);
    open->task.n_examples = open->train->n_tokens;
    open->task.n_test = open->test ? open->test->n_tokens : 0;
    open->task.n_parameters = open->spec.width * (uint64_t)n_rows;
    return rc;
}

static int read_whole(words_t *self, rub_error_t *err)
{
    const rub_config_t *const config = self->config;
    const int rc = rub_corpus_open(config->train_file, config->min_count, &self->open.train, err);
    return rc ? rc : open_others(self, err);
}

static void words_close(rub_task_t *task)
{
    words_t *self = (words_t *)task;
    rub_word_model_destroy(&self->open.model);
    rub_subwords_destroy(&self->open.subwords);
    rub_corpus_close(&self->open.test);
    rub_corpus_close(&self->open.train);
    rub_text_parts_close(&self->open.parts);
    rub_free(self);
}

/* What the configuration says of the job is no more than likely, for a worker that was started by
 * hand. */
static int words_gather(rub_task_t *task, rub_session_t *session, const rub_log_t *log,
                        rub_error_t *err)
{
    words_t *self = (words_t *)task;
    rub_info_t info;
    rub_session_info(session, &info);
    if (self->open.train) {
        return 0;
    }
    if (info.n_workers == 1 || info.staleness == 0) {
        return read_whole(self, err);
    }
    const int rc = rub_word_counting_run(session, self->open.parts, self->config->min_count, log,
                                         &self->open.train, err);
    return rc ? rc : open_others(self, err);
}

/* ---- batches ---- */

static rub_word_batch_t *new_batch(const words_t *self, size_t tokens)
{
    return rub_word_batch_new(tokens, rub_vocabulary_size(self->open.train->vocabulary),
                              RUB_WORD_BLOCK, RUB_WORD_SHARED, self->open.subwords);
}

/* The one that the run directory has, of a job that goes on, is this one; rank 0 leaves it there.
 */
static int keep_vocabulary(const words_t *self, const rub_info_t *info, rub_error_t *err)
{
    char path[PATH_MAX];
    const char *folder = self->config->run_dir[0] ? self->config->run_dir : ".";
    const rub_vocabulary_t *words = self->open.train->vocabulary;
    rub_vocabulary_t *kept = NULL;
    int rc = 0;
    if (snprintf(path, sizeof(path), "%s/%s", folder, RUB_VOCABULARY_FILE) >= (int)sizeof(path)) {
        return rub_fail(err, RUB_ECONFIG, "run_dir: the path is too long");
    }
    if (rub_kept_names_count(info) && rub_fs_exists(path)) {
        rc = rub_vocabulary_open(path, &kept, err);
        rc = rc ? rc
                : rub_kept_names_compare(kept, words, "word", self->config->train_file, path, err);
        rub_vocabulary_destroy(&kept);
    }
    return rc || info->rank != 0 ? rc : rub_vocabulary_save(words, path, err);
}

static int words_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                       rub_error_t *err)
{
    words_t *self = (words_t *)task;
    const rub_words_task_t *open = &self->open;
    const size_t n_words = rub_vocabulary_size(open->train->vocabulary);
    rub_info_t info;
    rub_session_info(session, &info);
    int rc = rub_word_sampler_new(open->train->vocabulary, open->spec.window, open->sample,
                                  info.seed, &self->sampler, err);
    if (rc) {
        return rc;
    }
    const size_t map_bytes =
        (n_words + (open->subwords ? open->subwords->n_buckets : 0)) * sizeof(*self->row_of);
    self->row_of = rub_alloc(map_bytes);
    self->batches[0] = new_batch(self, (size_t)batch_examples);
    self->batches[1] = new_batch(self, (size_t)batch_examples);
    self->test_batch = open->test ? new_batch(self, (size_t)batch_examples) : NULL;
    if (!self->row_of || !self->batches[0] || !self->batches[1] ||
        (open->test && !self->test_batch)) {
        return rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %llu tokens",
                        (unsigned long long)batch_examples);
    }
    memset(self->row_of, 0xff, map_bytes);
    rc = keep_vocabulary(self, &info, err);
    rub_delta_table_t tables[RUB_WORD_TABLES];
    const size_t n_tables =
        rub_word_tables(open->spec.width, n_words, open->ngrams.buckets, &open->update, tables);
    return rc ? rc : rub_delta_rows_open(session, tables, n_tables, &self->rows, err);
}

static void words_end(rub_task_t *task)
{
    words_t *self = (words_t *)task;
    rub_delta_rows_close(&self->rows);
    rub_word_batch_destroy(&self->batches[0]);
    rub_word_batch_destroy(&self->batches[1]);
    rub_word_batch_destroy(&self->test_batch);
    rub_word_sampler_destroy(&self->sampler);
    rub_free(self->row_of);
    self->row_of = NULL;
}

/* A text keeps its order, as in word2vec: what changes from epoch to epoch is what is drawn. */
static int words_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(err);
    ((words_t *)task)->turns.epoch = epoch;
    return 0;
}

/* Reads what a batch is made of, where it was not read yet. */
static int reach(words_t *self, uint64_t first, uint64_t count, rub_error_t *err)
{
    rub_corpus_t *const text = self->open.train;
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < count;) {
        const rub_word_run_t run =
            rub_word_sampler_run(self->sampler, self->open.sampling, text->n_tokens,
                                 self->turns.epoch, (size_t)(first + done), (size_t)(count - done));
        rc = rub_corpus_reach(text, run.first, run.count, err);
        done += run.count;
    }
    return rc;
}

static int fill(words_t *self, unsigned which, uint64_t first, uint64_t count, rub_error_t *err)
{
    const int rc = reach(self, first, count, err);
    if (rc == 0) {
        rub_word_batch_fill(self->batches[which], self->sampler, self->open.train,
                            self->open.sampling, self->turns.epoch, (size_t)first, (size_t)count,
                            self->row_of);
    }
    return rc;
}

static int words_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    words_t *self = (words_t *)task;
    return rub_batch_turns_take(&self->turns, first, count)
               ? 0
               : fill(self, self->turns.current, first, count, err);
}

static int words_pull(rub_task_t *task, rub_error_t *err)
{
    words_t *self = (words_t *)task;
    rub_key_list_t lists[RUB_WORD_TABLES];
    rub_word_lists(self->batches[self->turns.current], lists);
    return rub_delta_rows_pull(self->rows, lists, err);
}

static int words_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    words_t *self = (words_t *)task;
    rub_key_list_t lists[RUB_WORD_TABLES];
    const unsigned ahead = rub_batch_turns_ahead(&self->turns, first, count);
    const int rc = fill(self, ahead, first, count, err);
    rub_word_lists(self->batches[ahead], lists);
    return rc ? rc : rub_delta_rows_prefetch(self->rows, lists, err);
}

static rub_word_text_t text_of(const rub_word_batch_t *batch)
{
    return (rub_word_text_t){.n_words = batch->slice->n_words,
                             .in_rows = batch->rows,
                             .out_rows = batch->rows,
                             .before = batch->slice->before,
                             .behind = batch->slice->behind,
                             .negatives = batch->negatives,
                             .first_gram = batch->first_gram,
                             .grams = batch->grams};
}

static rub_word_arrays_t arrays_of(const words_t *self)
{
    const bool grams = self->open.subwords != NULL;
    return (rub_word_arrays_t){.in = rub_delta_rows_work(self->rows, RUB_WORDS_IN),
                               .out = rub_delta_rows_work(self->rows, RUB_WORDS_OUT),
                               .grams = grams ? rub_delta_rows_work(self->rows, RUB_WORDS_NGRAMS)
                                              : NULL};
}

static void add(double sums[RUB_TASK_SUMS], const rub_word_loss_t *loss)
{
    sums[RUB_SUM_LOSS] += loss->sum;
    sums[RUB_SUM_EXAMPLES] += (double)loss->n_terms;
}

float rub_words_task_rate(const rub_words_task_t *self, uint64_t epoch, uint64_t first)
{
    const double n = (double)self->train->n_tokens;
    const double done = ((double)epoch * n + (double)first) / ((double)self->epochs * n);
    const double left = 1 - done > LEAST_RATE ? 1 - done : LEAST_RATE;
    return (float)(self->lr * left);
}

static int words_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    words_t *self = (words_t *)task;
    RUB_UNUSED(err);
    const rub_word_text_t text = text_of(self->batches[self->turns.current]);
    const rub_stretch_t *stretch = &self->turns.holds[self->turns.current];
    const float lr = rub_words_task_rate(&self->open, stretch->epoch, stretch->first);
    rub_word_loss_t loss = {0};
    const rub_word_arrays_t arrays = arrays_of(self);
    rub_word_model_train(self->open.model, &text, lr, &arrays, &loss);
    add(sums, &loss);
    return 0;
}

static int words_push(rub_task_t *task, rub_error_t *err)
{
    return rub_delta_rows_push(((words_t *)task)->rows, err);
}

/* ---- validation ---- */

/* Held-out text is sampled as data epoch 0, each time the same. */
static int words_validate(rub_task_t *task, uint64_t first, uint64_t last,
                          double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    words_t *self = (words_t *)task;
    rub_word_batch_t *batch = self->test_batch;
    rub_word_loss_t loss = {0};
    int rc = 0;
    while (rc == 0 && first < last) {
        const uint64_t left = last - first;
        const size_t room = batch->slice->capacity;
        const size_t count = left < room ? (size_t)left : room;
        rub_word_batch_fill(batch, self->sampler, self->open.test, RUB_IN_ORDER, 0, (size_t)first,
                            count, self->row_of);
        rub_key_list_t lists[RUB_WORD_TABLES];
        rub_word_lists(batch, lists);
        rc = rub_delta_rows_pull(self->rows, lists, err);
        if (rc == 0) {
            const rub_word_text_t text = text_of(batch);
            const rub_word_arrays_t arrays = arrays_of(self);
            rub_word_model_evaluate(self->open.model, &text, &arrays, &loss);
        }
        first += count;
    }
    add(sums, &loss);
    return rc;
}

/* ---- the end ---- */

static const char *name_of(void *context, uint32_t i, char *room)
{
    RUB_UNUSED(room);
    return rub_vocabulary_word(((const words_t *)context)->open.train->vocabulary, i);
}

/* Rows of words become their vectors: with the rows of their n-grams. */
static int compose(words_t *self, size_t first, size_t count, float *values, rub_error_t *err)
{
    const rub_subwords_t *subwords = self->open.subwords;
    const size_t *at = subwords->first + first;
    const size_t n = at[count] - at[0], width = self->open.spec.width;
    uint64_t *keys = rub_calloc(n + 1, sizeof(*keys));
    uint32_t *places = rub_calloc(n + 1, sizeof(*places)); /* of n-grams, among those pulled */
    float *word = rub_calloc(width, sizeof(*word));
    uint32_t *const row_of = self->row_of + rub_vocabulary_size(self->open.train->vocabulary);
    size_t n_keys = 0;
    for (size_t i = 0; i < n && keys && places; i++) {
        const uint32_t gram = subwords->grams[at[0] + i];
        if (row_of[gram] == RUB_NO_WORD) {
            row_of[gram] = (uint32_t)n_keys;
            keys[n_keys++] = gram;
        }
        places[i] = row_of[gram];
    }
    for (size_t i = 0; i < n_keys; i++) {
        row_of[keys[i]] = RUB_NO_WORD;
        keys[i] = subwords->buckets[keys[i]];
    }
    float *grams = rub_alloc((n_keys + 1) * width * sizeof(*grams));
    int rc = keys && places && word && grams
                 ? 0
                 : rub_fail(err, RUB_ENOMEM, "vectors: no memory for %zu n-grams", n);
    if (rc == 0 && n_keys > 0) {
        rc = rub_delta_rows_read_keys(self->rows, RUB_WORDS_NGRAMS, keys, n_keys, grams, err);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        memcpy(word, values + i * width, width * sizeof(*word));
        rub_word_compose(word, grams, places + (at[i] - at[0]), at[i + 1] - at[i], width,
                         values + i * width);
    }
    rub_free(keys);
    rub_free(places);
    rub_free(word);
    rub_free(grams);
    return rc;
}

static int read_vectors(void *context, size_t first, size_t count, float *values, rub_error_t *err)
{
    words_t *self = context;
    const int rc = rub_delta_rows_read(self->rows, RUB_WORDS_IN, first, count, values, err);
    return rc || !self->open.subwords ? rc : compose(self, first, count, values, err);
}

static int words_finish(rub_task_t *task, rub_error_t *err)
{
    words_t *self = (words_t *)task;
    const rub_vectors_source_t source = {.context = self,
                                         .n = rub_vocabulary_size(self->open.train->vocabulary),
                                         .width = self->open.spec.width,
                                         .name = name_of,
                                         .read = read_vectors};
    return rub_vectors_out_write(self->config->vectors, &source, err);
}

static size_t words_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                            rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    RUB_UNUSED(task);
    const double n_terms = sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1;
    measures[0] = (rub_measure_t){"loss", sums[RUB_SUM_LOSS] / n_terms};
    return 1;
}

static size_t words_tables(const rub_task_t *task, uint32_t n_workers, uint64_t batch_examples,
                           rub_schema_t schemas[RUB_TASK_TABLES_LIMIT])
{
    const rub_words_task_t *open = &((const words_t *)task)->open;
    rub_delta_table_t tables[RUB_WORD_TABLES];
    RUB_UNUSED(n_workers);
    RUB_UNUSED(batch_examples);
    const size_t n = rub_word_tables(open->spec.width, rub_vocabulary_size(open->train->vocabulary),
                                     open->ngrams.buckets, &open->update, tables);
    for (size_t t = 0; t < n; t++) {
        rub_delta_rows_schema(&tables[t], &schemas[t]);
    }
    return n;
}

static const rub_task_kind_t words_kind = {
    .gather = words_gather,
    .begin = words_begin,
    .end = words_end,
    .close = words_close,
    .order = words_order,
    .take = words_take,
    .pull = words_pull,
    .prefetch = words_prefetch,
    .compute = words_compute,
    .push = words_push,
    .validate = words_validate,
    .finish = words_finish,
    .tables = words_tables,
    .measure = words_measure,
};

/* Is the text worth counting together? Then it is only looked at. */
static int put_off(words_t *self, rub_error_t *err)
{
    const rub_config_t *const config = self->config;
    if (config->workers == 1 || config->staleness == 0 || strcmp(config->train_file, "-") == 0) {
        return 0;
    }
    const int rc = rub_text_parts_open(config->train_file, &self->open.parts, err);
    if (rc == 0 && rub_text_parts_bytes(self->open.parts) < RUB_WORD_COUNTING_LEAST_BYTES) {
        rub_text_parts_close(&self->open.parts);
    }
    self->open.task.n_test = config->test_file[0] != '\0';
    return rc;
}

static int open_task(const rub_config_t *config, const rub_update_t *update, bool joins,
                     rub_task_t **task_p, rub_error_t *err)
{
    *task_p = NULL;
    int rc = check_config(config, err);
    if (rc) {
        return rc;
    }
    words_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a task");
    }
    rub_words_task_t *open = &self->open;
    self->config = config;
    open->task.kind = &words_kind;
    open->update = *update;
    open->spec = rub_words_spec(config);
    open->ngrams = rub_words_ngrams(config);
    open->sample = config->sample;
    open->lr = config->lr;
    open->sampling = (rub_sampling_t)config->sampling;
    open->epochs = config->epochs;
    rc = rub_word_model_new(&open->spec, &open->model, err);
    rc = rc ? rc : rub_subword_spec_check(&open->ngrams, err);
    rc = rc || !joins ? rc : put_off(self, err);
    rc = rc || open->parts ? rc : read_whole(self, err);
    if (rc) {
        words_close(&open->task);
        return rc;
    }
    *task_p = &open->task;
    return 0;
}

int rub_words_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err)
{
    return open_task(config, update, false, task_p, err);
}

int rub_words_task_join(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err)
{
    return open_task(config, update, true, task_p, err);
}

const rub_words_task_t *rub_words_task_of(const rub_task_t *task)
{
    return task->kind == &words_kind ? (const rub_words_task_t *)task : NULL;
}
