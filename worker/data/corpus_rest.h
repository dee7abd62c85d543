/* The parts of a text of which not all tokens are in memory: corpus.h's alone. */
#ifndef RUB_CORPUS_REST_H
#define RUB_CORPUS_REST_H

#include "worker/data/word_merge.h"
#include "worker/data/word_part.h"

typedef struct rub_corpus_rest rub_corpus_rest_t;

/* merge: settled; borrowed until return. Keeps parts. RUB_ENOMEM. */
int rub_corpus_rest_new(const rub_text_parts_t *parts, const rub_word_merge_t *merge,
                        rub_corpus_rest_t **self_p, rub_error_t *err);
void rub_corpus_rest_destroy(rub_corpus_rest_t **self_p); /* NULL is fine */

/* All tokens of a part go to their places in tokens (those of the whole text). numbers: what became
 * of the part's own. RUB_EDATA: it was counted otherwise than what merge was told. */
int rub_corpus_rest_take(rub_corpus_rest_t *self, uint32_t part, const rub_word_part_t *counted,
                         const uint32_t *numbers, uint32_t *tokens, rub_error_t *err);
/* As rub_corpus_reach. */
int rub_corpus_rest_reach(rub_corpus_rest_t *self, size_t first, size_t count,
                          const rub_vocabulary_t *vocabulary, uint32_t *tokens, rub_error_t *err);

#endif
