/* A warm start takes weights and nothing else: slots and steps begin anew, clocks and data from the
 * first. The tables are those that the workers will ask for, schema by schema, so the task says
 * which they are; the weights are held against them before any process is started. A table of the
 * model that the weights do not have begins as ever.
 *
 * Keys of word vectors are numbers in a vocabulary, and another text has other numbers: rows move
 * by their words, and words that the new text lacks are dropped (of ratings: warm_ratings.h). Keys
 * of n-grams are hashes, which mean the same in any text, if their options are the same. Entities
 * and relations of a graph move by name, too: a run's graph is read again for their names, a file
 * of vectors has those of entities, and a file of tensors none, so it is taken where numbers are
 * the user's own. */
#include "cli/warm_start.h"

#include "cli/row_names.h"
#include "cli/trained_model.h"
#include "cli/warm_file.h"
#include "cli/warm_ratings.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "common/num/optimizer.h"
#include "common/wire/table_schema.h"
#include "ps/warm_snapshot.h"
#include "scheduler/scheduler.h"
#include "worker/train/graph_names.h"
#include "worker/train/graph_task.h"
#include "worker/train/word_tables.h"
#include "worker/train/words_task.h"
#include "worker/train/workload.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct warm {
    const rub_config_t *config;
    rub_workload_t workload;
    const rub_vocabulary_t *new_words;      /* of the training text; NULL: no words are trained */
    const rub_knowledge_graph_t *new_graph; /* that is trained on; NULL: none is */
    const rub_ratings_task_t *new_ratings;  /* likewise */
    rub_weights_t weights;
    rub_vocabulary_t *old_words;      /* that keys of the weights are numbers of; NULL: of none */
    rub_knowledge_graph_t *old_graph; /* whose numbers they are; NULL: it is not known */
    rub_table_view_t *tables;         /* of the model */
    uint32_t n_tables;
} warm_t;

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory to begin from weights");
}

/* ---- what the model's tables are ---- */

static rub_table_view_t view_of(const rub_schema_t *schema, uint32_t id)
{
    rub_hyper_t hyper = schema->hyper;
    rub_optimizer_trim(rub_optimizer_find((uint32_t)schema->optimizer), &hyper);
    rub_table_view_t view;
    rub_schema_to_view(schema, &hyper, &view);
    view.id = id;
    return view;
}

static int open_model(warm_t *self, rub_error_t *err)
{
    int rc = rub_workload_open(self->config, &self->workload, err);
    if (rc) {
        return rc;
    }
    const rub_task_t *task = self->workload.task;
    if (!task->kind->tables) {
        return rub_fail(err, RUB_ECONFIG, "model_kind %s does not begin from weights",
                        rub_config_word(self->config, RUB_OPT_model_kind));
    }
    const rub_words_task_t *words = rub_words_task_of(task);
    self->new_words = words ? words->train->vocabulary : NULL;
    const rub_graph_task_t *graph = rub_graph_task_of(task);
    self->new_graph = graph ? graph->graph : NULL;
    self->new_ratings = rub_ratings_task_of(task);
    rub_schema_t *schemas = rub_calloc(RUB_TASK_TABLES_LIMIT, sizeof(*schemas));
    self->tables = rub_calloc(RUB_TASK_TABLES_LIMIT, sizeof(*self->tables));
    if (!schemas || !self->tables) {
        rub_free(schemas);
        return no_memory(err);
    }
    self->n_tables = (uint32_t)task->kind->tables(task, (uint32_t)self->config->workers,
                                                  self->config->batch, schemas);
    for (uint32_t t = 0; t < self->n_tables; t++) {
        self->tables[t] = view_of(&schemas[t], t + 1);
    }
    rub_free(schemas);
    return 0;
}

/* ---- what the weights are ---- */

/* Other buckets would be other n-grams. That there are none now is found by the tables' names. */
static int check_ngrams(const rub_config_t *now, const rub_config_t *then, rub_error_t *err)
{
    const rub_subword_spec_t a = rub_words_ngrams(now), b = rub_words_ngrams(then);
    return now->maxn == 0 || (a.minn == b.minn && a.maxn == b.maxn && a.buckets == b.buckets)
               ? 0
               : rub_fail(err, RUB_ECONFIG,
                          "its n-grams have minn %" PRIu32 ", maxn %" PRIu32 ", bucket %" PRIu32
                          "; the run asks for %" PRIu32 ", %" PRIu32 ", %" PRIu32,
                          b.minn, b.maxn, b.buckets, a.minn, a.maxn, a.buckets);
}

static int read_model(warm_t *self, rub_error_t *err)
{
    rub_trained_model_t model;
    int rc = rub_trained_model_open(self->config->init, NULL, &model, err);
    if (rc == 0 && rub_weights_find(&model.weights, RUB_WORDS_NGRAMS_NAME)) {
        rc = check_ngrams(self->config, &model.config, err);
        if (rc) {
            rub_trained_model_close(&model);
        }
    }
    if (rc == 0) {
        if (self->new_graph && rub_graph_task_wanted(&model.config)) {
            rc = rub_graph_task_read(&model.config, &self->old_graph, err);
            rc = rc ? rc : rub_graph_names_check(&model.config, self->old_graph, err);
        }
        self->weights = model.weights;
        self->old_words = model.words;
        rub_weights_init(&model.weights);
        model.words = NULL;
        rub_trained_model_close(&model);
    }
    return rc;
}

static int read_weights(warm_t *self, rub_error_t *err)
{
    struct stat info;
    const char *path = self->config->init;
    const bool file = stat(path, &info) == 0 && S_ISREG(info.st_mode);
    const rub_warm_model_t model = {.config = self->config,
                                    .task = self->workload.task,
                                    .tables = self->tables,
                                    .n_tables = self->n_tables};
    int rc = file ? rub_warm_file_read(&model, &self->weights, &self->old_words, err)
             : self->config->table[0]
                 ? rub_fail(err, RUB_ECONFIG, "table: '%s', but a run or snapshot has them all",
                            self->config->table)
                 : read_model(self, err);
    if (rc == 0 && self->config->vocabulary[0] && self->new_ratings) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "vocabulary: '%s' is of words, " RUB_RATING_USERS_FILE
                      " and " RUB_RATING_ITEMS_FILE " have the names of ratings",
                      self->config->vocabulary);
    } else if (rc == 0 && self->config->vocabulary[0] && self->new_graph) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "vocabulary: '%s' is of words, a graph's names are in entities_file and "
                      "relations_file",
                      self->config->vocabulary);
    } else if (rc == 0 && self->config->vocabulary[0]) {
        rub_vocabulary_destroy(&self->old_words);
        rc = rub_vocabulary_open(self->config->vocabulary, &self->old_words, err);
    }
    return rc;
}

typedef struct names {
    const rub_vocabulary_t *exact; /* or, when it is NULL, of the graph's entities as one word */
    const rub_knowledge_graph_t *graph;
    char room[RUB_ENTITY_NAME_BYTES];
} names_t;

static const char *new_name(void *context, uint32_t i)
{
    names_t *self = context;
    if (self->exact) {
        return rub_vocabulary_word(self->exact, i);
    }
    rub_knowledge_graph_name(self->graph, i, self->room);
    return self->room;
}

static int renumber_words(warm_t *self, rub_error_t *err)
{
    int rc = 0;
    if (!self->new_words) {
        return 0;
    }
    if (!self->old_words) {
        return rub_fail(err, RUB_ECONFIG,
                        "which words the rows of '%s' are is not known: --vocabulary names the "
                        "file that its run left",
                        self->config->init);
    }
    for (size_t i = 0; i < self->weights.n_tables && rc == 0; i++) {
        rub_weight_table_t *table = &self->weights.tables[i];
        names_t names = {.exact = self->new_words};
        const bool by_word = !table->dense && strcmp(table->name, RUB_WORDS_NGRAMS_NAME) != 0;
        rc = by_word ? rub_rows_rename(table, self->old_words,
                                       (uint32_t)rub_vocabulary_size(self->new_words), new_name,
                                       &names, err)
                     : 0;
    }
    return rc;
}

/* A file of vectors has the names of items; else the run that they are of has left all names. */
static int renumber_ratings(warm_t *self, rub_error_t *err)
{
    if (!self->new_ratings) {
        return 0;
    }
    return self->old_words
               ? rub_warm_names(self->new_ratings, self->old_words, &self->weights, err)
               : rub_warm_ratings(self->new_ratings, self->config->init, &self->weights, err);
}

/* Of entities or of relations. */
static int renumber_of_graph(const warm_t *self, bool relations, rub_weight_table_t *table,
                             rub_error_t *err)
{
    const rub_knowledge_graph_t *graph = self->new_graph, *before = self->old_graph;
    const uint32_t n = (uint32_t)(relations ? graph->n_relations : graph->n_entities);
    names_t names = {.graph = graph};
    if (self->old_words) {
        return rub_rows_rename(table, self->old_words, n, new_name, &names, err);
    }
    names.exact = relations ? graph->relations : graph->entities;
    const rub_vocabulary_t *old = !before ? NULL : relations ? before->relations : before->entities;
    const bool named = rub_vocabulary_size(names.exact) > 0;
    const bool numbers_are_given = self->config->triple_ids || self->config->entities_file[0];
    if (old && named && rub_vocabulary_size(old) > 0) {
        return rub_rows_rename(table, old, n, new_name, &names, err);
    }
    if (old ? named || rub_vocabulary_size(old) > 0 : !numbers_are_given) {
        return rub_fail(err, RUB_ECONFIG, "which %s the rows of '%s' are is not known: %s",
                        relations ? "relations" : "entities", table->name,
                        old ? "they have names in one of the graphs and numbers in the other"
                            : "name its run instead, or train with entities_file and "
                              "relations_file, or triple_ids, as its run did");
    }
    rub_rows_limit(table, n);
    return 0;
}

static int renumber_graph(warm_t *self, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t t = 0; t < self->n_tables && self->new_graph && rc == 0; t++) {
        for (size_t i = 0; i < self->weights.n_tables && rc == 0; i++) {
            rub_weight_table_t *table = &self->weights.tables[i];
            if (!table->dense && strcmp(table->name, self->tables[t].name) == 0) {
                rc = renumber_of_graph(self, t >= RUB_GRAPH_RELATIONS, table, err);
            }
        }
    }
    return rc;
}

static uint64_t rows_of(const warm_t *self)
{
    uint64_t n = 0;
    for (size_t i = 0; i < self->weights.n_tables; i++) {
        n += self->weights.tables[i].dense ? 0 : self->weights.tables[i].n_rows;
    }
    return n;
}

/* Where not one name is known the file is another one than was meant. */
static int renumber(warm_t *self, rub_error_t *err)
{
    const uint64_t before = rows_of(self);
    int rc = renumber_words(self, err);
    rc = rc ? rc : renumber_ratings(self, err);
    rc = rc ? rc : renumber_graph(self, err);
    if (rc == 0 && before > 0 && rows_of(self) == 0) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "none of its %" PRIu64 " rows has a name that the data to train on have",
                      before);
    }
    return rc;
}

/* ---- do they fit? ---- */

static const rub_table_view_t *table_named(const warm_t *self, const char *name)
{
    for (uint32_t t = 0; t < self->n_tables; t++) {
        if (strcmp(self->tables[t].name, name) == 0) {
            return &self->tables[t];
        }
    }
    return NULL;
}

static int check(const warm_t *self, FILE *people, rub_error_t *err)
{
    for (size_t i = 0; i < self->weights.n_tables; i++) {
        const rub_weight_table_t *table = &self->weights.tables[i];
        const rub_table_view_t *wanted = table_named(self, table->name), *found = wanted;
        const rub_weight_table_t *same = NULL;
        if (!found) {
            return rub_fail(err, RUB_ECONFIG,
                            "it has a table '%s', which the model does not have: its first is '%s'",
                            table->name, self->n_tables > 0 ? self->tables[0].name : "");
        }
        const int rc = rub_weights_expect(&self->weights, table->name,
                                          found->kind == RUB_DENSE ? found->elements : 0,
                                          found->width, &same, err);
        if (rc) {
            return rc;
        }
    }
    for (uint32_t t = 0; t < self->n_tables; t++) {
        const rub_weight_table_t *table = rub_weights_find(&self->weights, self->tables[t].name);
        if (table && !table->dense) {
            fprintf(people, "table %s begins with %" PRIu64 " rows of %s\n", table->name,
                    table->n_rows, self->config->init);
        } else {
            fprintf(people, "table %s begins %s%s\n", self->tables[t].name,
                    table ? "with " : "anew", table ? self->config->init : "");
        }
    }
    return 0;
}

/* ---- the snapshot ---- */

/* The scheduler's state of a job that has the tables and nobody in it. */
static int make_state(const warm_t *self, rub_manifest_t *manifest, rub_buf_t *state,
                      rub_error_t *err)
{
    const rub_scheduler_config_t config = {.job = manifest->job,
                                           .n_workers = manifest->n_workers,
                                           .n_shards = manifest->n_shards,
                                           .staleness = manifest->staleness,
                                           .reduce = manifest->reduce,
                                           .seed = manifest->seed};
    rub_scheduler_t *core = rub_scheduler_new(&config, &(rub_scheduler_effects_t){0});
    int rc = core ? 0 : no_memory(err);
    for (uint32_t t = 0; t < self->n_tables && rc == 0; t++) {
        uint32_t id = 0;
        rc = rub_scheduler_add_table(core, &self->tables[t], &id, err);
    }
    rc = rc ? rc : rub_scheduler_save(core, state) ? no_memory(err) : 0;
    rub_scheduler_destroy(&core);
    return rc;
}

static int write_snapshot(const warm_t *self, const char *folder, rub_error_t *err)
{
    uint8_t nonce[16];
    rub_manifest_part_t part;
    rub_buf_t state;
    rub_span_t span;
    rub_buf_init(&state);
    int rc =
        rub_random_nonce(nonce) < 0 ? rub_fail(err, RUB_EIO, "no random number for the job") : 0;
    rub_manifest_t manifest = {.number = 1,
                               .time_ms = (uint64_t)time(NULL) * 1000,
                               .job = rub_get_u64(nonce) | 1u,
                               .n_workers = (uint32_t)self->config->workers,
                               .n_shards = 1,
                               .staleness = self->config->staleness,
                               .reduce = (uint32_t)self->config->reduce,
                               .seed = self->config->seed,
                               .parts = &part,
                               .states = &span,
                               .n_states = 1};
    rc = rc ? rc : make_state(self, &manifest, &state, err);
    span = (rub_span_t){state.data, state.bytes};
    if (rc == 0 && rub_fs_mkdirs(folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "init");
    }
    rc = rc ? rc
            : rub_warm_part_write(folder, &manifest, self->tables, self->n_tables, &self->weights,
                                  &part, err);
    rc = rc ? rc : rub_manifest_write(folder, &manifest, err);
    rub_buf_fini(&state);
    return rc;
}

int rub_warm_start(const rub_config_t *config, const char *run_dir, FILE *people, char *out,
                   rub_error_t *err)
{
    warm_t self = {.config = config};
    rub_weights_init(&self.weights);
    int rc = open_model(&self, err);
    if (rc == 0) {
        rc = read_weights(&self, err);
        rc = rc ? rc : renumber(&self, err);
        rc = rc ? rc : check(&self, people, err);
        rc = rc ? rub_wrap(err, rc, "init: '%s'", config->init) : 0;
    }
    if (rc == 0 && snprintf(out, PATH_MAX, "%s/" RUB_INIT_FOLDER "/" RUB_MANIFEST_FOLDER_NAME,
                            run_dir, 1ull) >= PATH_MAX) {
        rc = rub_fail(err, RUB_ECONFIG, "the path '%s' is too long", run_dir);
    }
    rc = rc ? rc : write_snapshot(&self, out, err);
    rub_free(self.tables);
    rub_vocabulary_destroy(&self.old_words);
    rub_knowledge_graph_close(&self.old_graph);
    rub_weights_fini(&self.weights);
    rub_workload_close(&self.workload);
    return rc;
}
