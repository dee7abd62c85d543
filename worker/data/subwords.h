/* Words as bags of character n-grams (Bojanowski et al., TACL 2017), numbered as fastText does it:
 * of `<word>`, with the signs for its begin and end, all runs of minn to maxn characters (UTF-8),
 * but the signs by themselves; each is the 32-bit FNV-1a hash of its bytes, taken as signed, modulo
 * `bucket`. N-grams of one hash share a vector. So ids agree with fastText's and gensim's files.
 * Does not change once it is made: any number of threads may read it. */
#ifndef RUB_SUBWORDS_H
#define RUB_SUBWORDS_H

#include "worker/data/text_file.h"
#include "worker/data/vocabulary.h"

#define RUB_SUBWORD_LENGTH_LIMIT 16u /* characters */
#define RUB_SUBWORD_BUCKETS_LIMIT 100000000u
#define RUB_SUBWORDS_OF_LIMIT ((RUB_TEXT_WORD_LIMIT + 2) * RUB_SUBWORD_LENGTH_LIMIT)

typedef struct rub_subword_spec {
    uint32_t minn, maxn; /* characters of an n-gram; maxn 0: words have none */
    uint32_t buckets;
} rub_subword_spec_t;

/* RUB_EINVAL: maxn is not 0, and minn is 0 or above it, maxn above RUB_SUBWORD_LENGTH_LIMIT, or
 * buckets 0 or above their limit. */
int rub_subword_spec_check(const rub_subword_spec_t *spec, rub_error_t *err);

/* The buckets of the word's n-grams (<= RUB_TEXT_WORD_LIMIT bytes, not terminated) into ids (room
 * for RUB_SUBWORDS_OF_LIMIT), as often as they come; how many. */
size_t rub_subwords_of(const rub_subword_spec_t *spec, const char *word, size_t bytes,
                       uint32_t *ids);

/* The n-grams of all words of a vocabulary: those of word w are the numbers
 * grams[first[w]] .. grams[first[w + 1] - 1], and n-gram number g is in bucket buckets[g]. */
typedef struct rub_subwords {
    rub_subword_spec_t spec;
    size_t *first;          /* words + 1 */
    uint32_t *grams;        /* first[words] numbers */
    uint64_t *buckets;      /* n_buckets, ascending */
    size_t n_buckets, most; /* most: of one word */
} rub_subwords_t;

/* The caller's, NULL on failure. spec: checked, maxn not 0. RUB_ENOMEM; RUB_EDATA: more than 2^32
 * n-grams. */
int rub_subwords_new(const rub_subword_spec_t *spec, const rub_vocabulary_t *words,
                     rub_subwords_t **self_p, rub_error_t *err);
void rub_subwords_destroy(rub_subwords_t **self_p); /* NULL is fine */

#endif
