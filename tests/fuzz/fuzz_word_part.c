/* What is told of a part of a text; the first byte is min_count. What is taken adds up: words stay
 * as often as the vocabulary counts them, and each part has its tokens behind the one before. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/word_merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const uint64_t min_count = data[0] % 8u;
    const size_t half = data[0] / 8u % 2 == 0 ? size - 1 : (size - 1) / 2;
    const uint8_t *const told[] = {data + 1, data + 1 + half};
    const size_t bytes[] = {half, size - 1 - half};
    const uint32_t n_parts = bytes[1] > 0 ? 2 : 1;
    rub_word_merge_t *merge = rub_word_merge_new(n_parts);
    rub_error_t err = {0};
    int rc = 0;
    RUB_ASSERT(merge);
    for (uint32_t i = 0; i < n_parts && rc == 0; i++) {
        rc = rub_word_merge_add(merge, i, told[i], bytes[i], &err);
        RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    }
    if (rc == 0) {
        RUB_ASSERT(rub_word_merge_settle(merge, min_count, &err) == 0);
        uint64_t words = 0, tokens = 0;
        for (uint32_t i = 0; i < rub_vocabulary_size(merge->words); i++) {
            RUB_ASSERT(rub_vocabulary_count(merge->words, i) >= min_count);
            words += rub_vocabulary_count(merge->words, i);
        }
        RUB_ASSERT(words == merge->n_words);
        for (uint32_t i = 0; i < n_parts; i++) {
            RUB_ASSERT(merge->parts[i].first_token == tokens);
            tokens += merge->parts[i].n_tokens;
        }
        RUB_ASSERT(tokens == merge->n_tokens);
    }
    rub_word_merge_destroy(&merge);
    return 0;
}
