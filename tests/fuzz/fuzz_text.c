/* Texts, plain or gzip. A corpus that opens is whole: every token is a word of the vocabulary or a
 * sentence's end, no sentence is empty, and the counts add up. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/corpus.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    rub_corpus_t *corpus = NULL;
    rub_error_t err = {0};
    const uint64_t min_count = data[0] % 4u;
    if (rub_corpus_open(rub_fuzz_file(0, data + 1, size - 1), min_count, &corpus, &err) != 0) {
        RUB_ASSERT(!corpus);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    const size_t n = rub_vocabulary_size(corpus->vocabulary);
    uint64_t words = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *word = rub_vocabulary_word(corpus->vocabulary, i);
        RUB_ASSERT(rub_vocabulary_find(corpus->vocabulary, word, strlen(word)) == i);
        RUB_ASSERT(rub_vocabulary_counts(corpus->vocabulary)[i] >= min_count);
        words += rub_vocabulary_counts(corpus->vocabulary)[i];
    }
    RUB_ASSERT(words == corpus->n_words);
    RUB_ASSERT(words <= corpus->words_read);
    bool in_sentence = false;
    for (size_t i = 0; i < corpus->n_tokens; i++) {
        const bool end = corpus->tokens[i] == RUB_SENTENCE_END;
        RUB_ASSERT(end ? in_sentence : corpus->tokens[i] < n);
        in_sentence = !end;
    }
    RUB_ASSERT(!in_sentence);
    rub_corpus_close(&corpus);
    return 0;
}
