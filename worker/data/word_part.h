/* One part of a text, counted: its words, in numbers of its own, and what others have to know of it
 * to come to the vocabulary and the token numbers of the whole text without reading the part. */
#ifndef RUB_WORD_PART_H
#define RUB_WORD_PART_H

#include "common/base/bytes.h"
#include "worker/data/text_parts.h"
#include "worker/data/vocabulary.h"

#define RUB_WORD_PART_LEFT 1 /* rub_word_part_count: the watch had it stopped */

typedef struct rub_word_part {
    rub_vocabulary_t *words; /* by first place in the part; not settled */
    uint32_t *tokens;        /* their numbers, and RUB_NO_WORD where a sentence ends */
    size_t n_tokens, room;
} rub_word_part_t;

/* Asked every 2^18 tokens or so: 0 to go on, positive to stop, negative to fail. */
typedef struct rub_part_watch {
    int (*look)(void *context, rub_error_t *err);
    void *context;
} rub_part_watch_t;

/* Reads and counts a part. RUB_WORD_PART_LEFT: watch (may be NULL) had it stopped. RUB_EDATA: as
 * worker/data/text_file.h says, 2^32 tokens or more; RUB_ENOMEM; what the watch failed with. Blocks
 * on files. *self_p is the caller's, NULL unless 0 is returned. */
int rub_word_part_count(const rub_text_parts_t *parts, uint32_t part, const rub_part_watch_t *watch,
                        rub_word_part_t **self_p, rub_error_t *err);
void rub_word_part_destroy(rub_word_part_t **self_p); /* NULL is fine */

/* Appends what rub_word_merge_add takes, for that min_count: the same bytes whoever has counted the
 * part. Failure: out->failed. */
void rub_word_part_write(const rub_word_part_t *self, uint64_t min_count, rub_buf_t *out);

#endif
