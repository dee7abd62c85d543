/* Texts as bags of words: each word of a vocabulary is a feature, whose value says how often it
 * stands in the text, as scikit-learn's CountVectorizer and TfidfVectorizer have it:
 *
 *     count   n, how often           binary   1           tf   n, divided by the length of all n
 *     tfidf   n (log((1 + N) / (1 + d)) + 1), divided by the length (L2) of all these,
 *             where d of the N texts that were counted have the word (smooth idf)
 *
 * A vocabulary is counted (pass one: rub_bag_count of each text, then rub_bag_settle) or opened; or
 * there is none, and features are hashes of words (Weinberger et al., ICML 2009). One thread. */
#ifndef RUB_BAG_OF_WORDS_H
#define RUB_BAG_OF_WORDS_H

#include "include/rubato.h"

typedef struct rub_bag rub_bag_t;

typedef enum { RUB_BAG_COUNT, RUB_BAG_BINARY, RUB_BAG_TF, RUB_BAG_TFIDF } rub_bag_weight_t;

typedef struct rub_bag_spec {
    rub_bag_weight_t weight;
    /* Words are what stands between white space. Else runs of at least two letters, digits and _ in
     * small letters, where all beyond ASCII is a letter without a small one: of ASCII texts the
     * words of scikit-learn. */
    bool spaces;
    uint32_t hash_bits;     /* above 0: features are hashes of so many bits, below 32 */
    uint64_t min_documents; /* words of fewer texts are left out */
    uint64_t max_features;  /* so many words that come most often are kept; 0: all */
} rub_bag_spec_t;

/* A feature of a text. */
typedef struct rub_bag_feature {
    uint64_t index; /* from 1: the place of the word among all, in the order of their bytes; or of
                       its hash */
    float value;
} rub_bag_feature_t;

/* The caller's, NULL on failure. RUB_ECONFIG: tfidf of hashes, whose texts nobody counts.
 * RUB_ENOMEM. */
int rub_bag_new(const rub_bag_spec_t *spec, rub_bag_t **self_p, rub_error_t *err);
/* A vocabulary that rub_bag_save has written. RUB_EDATA names file and line of what is no such
 * file; as above. Blocks. */
int rub_bag_open(const rub_bag_spec_t *spec, const char *path, rub_bag_t **self_p,
                 rub_error_t *err);
void rub_bag_destroy(rub_bag_t **self_p); /* NULL is fine */

/* One more text for the vocabulary. RUB_ENOMEM, RUB_EDATA (too many words). */
int rub_bag_count(rub_bag_t *self, const char *text, size_t bytes, rub_error_t *err);
/* All were counted. RUB_EDATA: no word is left; RUB_ENOMEM. */
int rub_bag_settle(rub_bag_t *self, rub_error_t *err);
size_t rub_bag_size(const rub_bag_t *self); /* words; 0 of hashes */

/* The features of a text, ascending, each once; words that the vocabulary lacks are none. Borrowed
 * until the next call. RUB_ENOMEM. */
int rub_bag_features(rub_bag_t *self, const char *text, size_t bytes,
                     const rub_bag_feature_t **features_p, size_t *n_p, rub_error_t *err);

/* Writes a line `documents N`, then `word documents` for each, by index, with a tab between, in one
 * step. RUB_ENOSPC, RUB_ESTORE, RUB_ENOMEM. Blocks. */
int rub_bag_save(const rub_bag_t *self, const char *path, rub_error_t *err);

#endif
