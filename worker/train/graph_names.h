/* Which names a run has given its numbers of entities and relations: whoever uses its rows later
 * reads its files of triples again, and they may be others by then. Not the names, which may be
 * millions, stand in the run directory, but how many they are and a digest of them in their order.
 * Blocks on the file. */
#ifndef RUB_GRAPH_NAMES_H
#define RUB_GRAPH_NAMES_H

#include "common/conf/config.h"
#include "worker/data/knowledge_graph.h"

#define RUB_GRAPH_NAMES_FILE "graph.txt" /* in the run directory */

/* As a worker begins: of a job that goes on the graph must be the one that it has rows of, perhaps
 * with more names behind, as the file says, which a restored run has from the run of its snapshot;
 * then the first rank writes the file. RUB_EDATA as rub_graph_names_check; RUB_ECONFIG: the path is
 * too long; RUB_EIO and others of rub_fs_write. */
int rub_graph_names_begin(const rub_config_t *config, const rub_info_t *info,
                          const rub_knowledge_graph_t *graph, rub_error_t *err);
/* RUB_EDATA: the graph that was read is not the one that the run was trained on. A run without that
 * file, and weights whose run is not known, are not checked. */
int rub_graph_names_check(const rub_config_t *config, const rub_knowledge_graph_t *graph,
                          rub_error_t *err);

#endif
