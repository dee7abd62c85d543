/* What the tables of word vectors are, for those who train over a session and for the local loop,
 * which must begin with the same numbers. */
#include "worker/train/word_tables.h"

size_t rub_word_tables(uint32_t width, size_t n_words, uint32_t buckets, const rub_update_t *update,
                       rub_delta_table_t tables[RUB_WORD_TABLES])
{
    const rub_delta_table_t common = {.width = width,
                                      .init = RUB_INIT_UNIFORM,
                                      .init_scale = 0.5 / width,
                                      .n_keys = n_words,
                                      .push_codec = update->push_codec,
                                      .pull_codec = update->pull_codec,
                                      .evict = update->evict};
    tables[RUB_WORDS_IN] = tables[RUB_WORDS_OUT] = tables[RUB_WORDS_NGRAMS] = common;
    tables[RUB_WORDS_IN].name = RUB_WORDS_IN_NAME;
    tables[RUB_WORDS_OUT].name = RUB_WORDS_OUT_NAME;
    tables[RUB_WORDS_OUT].init = RUB_INIT_ZEROS;
    tables[RUB_WORDS_OUT].init_scale = 0;
    tables[RUB_WORDS_NGRAMS].name = RUB_WORDS_NGRAMS_NAME;
    tables[RUB_WORDS_NGRAMS].n_keys = buckets;
    return buckets > 0 ? RUB_WORD_TABLES : RUB_WORDS_NGRAMS;
}

void rub_word_lists(const rub_word_batch_t *batch, rub_key_list_t lists[RUB_WORD_TABLES])
{
    lists[RUB_WORDS_IN] = (rub_key_list_t){batch->keys, batch->n_in};
    lists[RUB_WORDS_OUT] = (rub_key_list_t){batch->keys, batch->n_out};
    lists[RUB_WORDS_NGRAMS] = (rub_key_list_t){batch->gram_keys, batch->n_grams};
}

rub_word_text_t rub_word_slice_text(const rub_word_slice_t *slice, const uint32_t *negatives,
                                    const rub_subwords_t *subwords)
{
    return (rub_word_text_t){.n_words = slice->n_words,
                             .in_rows = slice->words,
                             .out_rows = slice->words,
                             .before = slice->before,
                             .behind = slice->behind,
                             .negatives = negatives,
                             .first_gram = subwords ? subwords->first : NULL,
                             .grams = subwords ? subwords->grams : NULL};
}
