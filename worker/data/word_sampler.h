/* What an epoch makes of a stretch of text: which words stay, how far each looks, and what is drawn
 * against them (Mikolov et al., NIPS 2013, as word2vec's code does it).
 *
 * - Subsampling: a word that is the part f of the text stays with probability
 *   (sqrt(f / sample) + 1) * sample / f.
 * - Dynamic window: each word looks 1..window words far, all equally likely, within its sentence.
 * - Negatives come from the counts to the power 3/4.
 *
 * All draws are functions of (seed, data epoch, place in the text): it does not matter who takes
 * which stretch. No libm but sqrt, which is exact. */
#ifndef RUB_WORD_SAMPLER_H
#define RUB_WORD_SAMPLER_H

#include "worker/data/corpus.h"
#include "worker/data/order.h"

#define RUB_WINDOW_LIMIT 255u
#define RUB_WORD_RUN 1000u /* tokens that are drawn together; word2vec's longest sentence */

typedef struct rub_word_sampler rub_word_sampler_t;

/* A stretch after sampling. Read by anybody, written by rub_word_sampler_slice alone. */
typedef struct rub_word_slice {
    size_t n_words;
    uint32_t *words; /* numbers in the vocabulary */
    uint8_t
        *before; /* how many words in front of each and behind it are its neighbours: they stand */
    uint8_t *behind; /* in the slice and in its sentence */
    size_t capacity;
} rub_word_slice_t;

/* sample: above 1 or 0 for none, 1e-3 usually. The vocabulary is settled and not empty; it is
 * borrowed until return. The caller's. RUB_EINVAL: window 0 or above RUB_WINDOW_LIMIT, sample below
 * 0 or no number. RUB_ENOMEM. */
int rub_word_sampler_new(const rub_vocabulary_t *vocabulary, uint32_t window, double sample,
                         uint64_t seed, rub_word_sampler_t **self_p, rub_error_t *err);
void rub_word_sampler_destroy(rub_word_sampler_t **self_p); /* NULL is fine */

/* Room for stretches of so many tokens. The caller's; NULL when memory is short. */
rub_word_slice_t *rub_word_slice_new(size_t capacity);
void rub_word_slice_destroy(rub_word_slice_t **slice_p); /* NULL is fine */

/* Tokens that stand one behind the other in the text, and in an epoch's order. */
typedef struct rub_word_run {
    size_t first, count; /* in the text */
} rub_word_run_t;

/* The run at a place of that data epoch's order, of at most `most` tokens. A text keeps its order,
 * as in word2vec, so the place is the token; but with RUB_REPLACED the order is made of runs of
 * RUB_WORD_RUN tokens, each of which begins at any token of the text, by a draw (behind the text's
 * end stands its beginning): every token is as likely at every place. place < n_tokens, most >= 1.
 */
rub_word_run_t rub_word_sampler_run(const rub_word_sampler_t *self, rub_sampling_t how,
                                    size_t n_tokens, uint64_t data_epoch, size_t place,
                                    size_t most);

/* Fills the slice from places [first, first + count) of the corpus's order, count <= its capacity,
 * in that data epoch. No window reaches from one run into another. May end with no word. */
void rub_word_sampler_slice(const rub_word_sampler_t *self, const rub_corpus_t *corpus,
                            rub_sampling_t how, uint64_t data_epoch, size_t first, size_t count,
                            rub_word_slice_t *slice);

/* Draws n negatives for the stretch that begins at token `first`: numbers of words. */
void rub_word_sampler_negatives(const rub_word_sampler_t *self, uint64_t data_epoch, size_t first,
                                size_t n, uint32_t *words);

#endif
