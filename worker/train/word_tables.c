/* What the tables of word vectors are, for those who train over a session and for the local loop,
 * which must begin with the same numbers. */
#include "worker/train/word_tables.h"

void rub_word_tables(uint32_t width, size_t n_words, const rub_update_t *update,
                     rub_delta_table_t tables[RUB_WORD_TABLES])
{
    const rub_delta_table_t common = {.width = width,
                                      .n_keys = n_words,
                                      .push_codec = update->push_codec,
                                      .pull_codec = update->pull_codec};
    tables[RUB_WORDS_IN] = tables[RUB_WORDS_OUT] = common;
    tables[RUB_WORDS_IN].name = RUB_WORDS_IN_NAME;
    tables[RUB_WORDS_IN].init = RUB_INIT_UNIFORM;
    tables[RUB_WORDS_IN].init_scale = 0.5 / width;
    tables[RUB_WORDS_OUT].name = RUB_WORDS_OUT_NAME;
    tables[RUB_WORDS_OUT].init = RUB_INIT_ZEROS;
}

void rub_word_lists(const rub_word_batch_t *batch, rub_key_list_t lists[RUB_WORD_TABLES])
{
    lists[RUB_WORDS_IN] = (rub_key_list_t){batch->keys, batch->n_in};
    lists[RUB_WORDS_OUT] = (rub_key_list_t){batch->keys, batch->n_out};
}
