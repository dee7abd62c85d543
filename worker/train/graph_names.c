/* A row of another entity answers without a complaint, so the numbering is checked before a row is
 * used. The file's text is a function of the graph alone: two are the same if their texts are. A
 * job that goes on may have more names behind those that it has rows of, since these get their own.
 */
#include "worker/train/graph_names.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "worker/train/kept_names.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 160 };

/* Of the first `most` names, or of all. Files of numbers have none. */
static uint64_t digest_of(const rub_vocabulary_t *names, size_t most)
{
    uint64_t digest = 0;
    const size_t n = rub_vocabulary_size(names);
    for (uint32_t i = 0; i < n && i < most; i++) {
        const char *name = rub_vocabulary_word(names, i);
        digest = rub_mix64(digest ^ rub_hash_bytes(name, strlen(name)));
    }
    return digest;
}

static size_t describe(const rub_knowledge_graph_t *graph, char out[TEXT_BYTES])
{
    return (size_t)snprintf(
        out, TEXT_BYTES, "entities %zu names %016" PRIx64 "\nrelations %zu names %016" PRIx64 "\n",
        graph->n_entities, digest_of(graph->entities, SIZE_MAX), graph->n_relations,
        digest_of(graph->relations, SIZE_MAX));
}

/* Are the graph's first names those that the text is of? */
static bool begins_so(const rub_knowledge_graph_t *graph, const char *text)
{
    size_t n_entities = 0, n_relations = 0;
    uint64_t entities = 0, relations = 0;
    return sscanf(text, "entities %zu names %" SCNx64 " relations %zu names %" SCNx64, &n_entities,
                  &entities, &n_relations, &relations) == 4 &&
           n_entities <= graph->n_entities && n_relations <= graph->n_relations &&
           digest_of(graph->entities, n_entities) == entities &&
           digest_of(graph->relations, n_relations) == relations;
}

static bool find_file(const rub_config_t *config, char path[PATH_MAX])
{
    const char *folder = config->run_dir[0] ? config->run_dir : ".";
    return snprintf(path, PATH_MAX, "%s/" RUB_GRAPH_NAMES_FILE, folder) < PATH_MAX;
}

static int save(const rub_config_t *config, const rub_knowledge_graph_t *graph, rub_error_t *err)
{
    char path[PATH_MAX], text[TEXT_BYTES];
    const size_t bytes = describe(graph, text);
    return find_file(config, path) ? rub_fs_write(path, text, bytes, err)
                                   : rub_fail(err, RUB_ECONFIG, "run_dir: the path is too long");
}

/* may_grow: names that stand behind those of the run are no fault. */
static int check(const rub_config_t *config, const rub_knowledge_graph_t *graph, bool may_grow,
                 rub_error_t *err)
{
    char path[PATH_MAX], text[TEXT_BYTES];
    char *then = NULL;
    size_t bytes = 0;
    if (!config->run_dir[0] || !find_file(config, path) || !rub_fs_exists(path)) {
        return 0;
    }
    int rc = rub_fs_read(path, TEXT_BYTES, &then, &bytes, err);
    const size_t now_bytes = describe(graph, text);
    if (rc == 0 && (bytes != now_bytes || memcmp(then, text, bytes) != 0) &&
        !(may_grow && begins_so(graph, then))) {
        rc = rub_fail(err, RUB_EDATA,
                      "train_file '%s': with the run's other files it names %zu entities and %zu "
                      "relations, which are not those that the run was trained on ('%s')",
                      config->train_file, graph->n_entities, graph->n_relations, path);
    }
    rub_free(then);
    return rc;
}

int rub_graph_names_check(const rub_config_t *config, const rub_knowledge_graph_t *graph,
                          rub_error_t *err)
{
    return check(config, graph, false, err);
}

int rub_graph_names_begin(const rub_config_t *config, const rub_info_t *info,
                          const rub_knowledge_graph_t *graph, rub_error_t *err)
{
    const int rc = rub_kept_names_count(info) ? check(config, graph, true, err) : 0;
    return rc || info->rank != 0 ? rc : save(config, graph, err);
}
